//! Log lines as JSON objects.
//!
//! Fields of an event stand beside `time`, `level`, `target` and `message`, and
//! so do those of the spans around it. Of two fields with one name, the inner wins.

use std::{fmt::Debug, io::Write};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::Context,
    registry::LookupSpan,
};

/// Name of a field whose text is a JSON object, to be shown as one.
pub(super) const JSON_FIELD: &str = "fields";

/// Where lines go.
pub(super) trait Sink: 'static {
    fn line(&self, line: Map<String, Value>);
}

pub(super) struct JsonLayer<K> {
    sink: K,
}

impl<K> JsonLayer<K> {
    pub(super) fn into_sink(sink: K) -> Self {
        Self { sink }
    }
}

impl<W> JsonLayer<Lines<W>> {
    pub(super) fn new(writer: W) -> Self {
        Self::into_sink(Lines(writer))
    }
}

/// Writes lines as they come.
pub(super) struct Lines<W>(W);

impl<W: for<'a> MakeWriter<'a> + 'static> Sink for Lines<W> {
    fn line(&self, line: Map<String, Value>) {
        let mut bytes = Value::Object(line).to_string().into_bytes();
        bytes.push(b'\n');
        // There is nowhere to report that the log cannot be written.
        drop(self.0.make_writer().write_all(&bytes));
    }
}

/// The fields of a span, kept with it.
struct SpanFields(Map<String, Value>);

impl<S, K> Layer<S> for JsonLayer<K>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    K: Sink,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            // There may be another layer of this kind, which finds the same.
            span.extensions_mut().replace(SpanFields(fields.0));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(SpanFields(own)) = span.extensions_mut().get_mut() {
            own.extend(fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        line.insert("time".to_owned(), now().into());
        let metadata = event.metadata();
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                for (name, value) in fields {
                    line.entry(name).or_insert_with(|| value.clone());
                }
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.extend(fields.0);
        self.sink.line(line);
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == JSON_FIELD
            && let Ok(object @ Value::Object(_)) = serde_json::from_str(value)
        {
            return self.set(field, object);
        }
        self.set(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}"));
    }
}

/// The time, such as `2026-11-26T06:30:00.000000Z`.
#[must_use]
pub fn now() -> String {
    let mut time = String::new();
    // A text takes whatever is written to it.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    time
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What `act` logs, without the times.
    pub(in crate::telemetry) fn logged(act: impl FnOnce()) -> Vec<Value> {
        let memory = Memory::default();
        let writer = memory.clone();
        let layer = JsonLayer::new(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, act);
        let bytes = memory.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let parse = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let time = line.as_object_mut().unwrap().remove("time");
            assert!(time.is_some_and(|time| time.as_str().is_some_and(|time| time.ends_with('Z'))));
            line
        };
        text.lines().map(parse).collect()
    }

    #[test]
    fn fields_keep_their_types() {
        let lines = logged(|| {
            let error = std::io::Error::other("no\ndisk");
            tracing::warn!(target: "t", count = 3, ok = true, share = 0.5, name = "x", %error, "it happened");
        });
        assert_eq!(
            lines,
            [json!({
                "level": "WARN", "target": "t", "message": "it happened", "count": 3, "ok": true,
                "share": 0.5, "name": "x", "error": "no\ndisk",
            })]
        );
    }

    #[test]
    fn fields_of_the_spans_around_an_event_come_with_it() {
        let lines = logged(|| {
            let outer = tracing::info_span!(target: "t", "outer", request = 1, who = "outer");
            let _outer = outer.enter();
            let inner = tracing::info_span!(target: "t", "inner", who = "inner", late = tracing::field::Empty);
            let _inner = inner.enter();
            inner.record("late", 9);
            tracing::info!(target: "t", "done");
        });
        assert_eq!(
            lines,
            [json!({
                "level": "INFO", "target": "t", "message": "done", "request": 1, "who": "inner", "late": 9,
            })]
        );
    }
}
