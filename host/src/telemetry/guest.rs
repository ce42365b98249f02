//! What components write to their standard output and error, as log events.
//!
//! Components are not trusted with the log: a line is cut at [`LINE_BYTES_MAX`]
//! and stays one line, and none of its fields can pass for one of the host's.

use serde_json::{Map, Value};
use tracing::Level;

use super::{json::JSON_FIELD, trace::CorrelationId};

/// A line of a component, in bytes. What is longer is cut.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// Where a component wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    fn as_str(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }
}

/// Logs one line of a component, with target `guest`.
///
/// A JSON object with `level` and `message` becomes an event of that level, with
/// its other members under `fields`. Any other line is the message of an event:
/// `info` from standard output, `warn` from standard error.
pub fn guest_line(component: &str, stream: Stream, correlation: Option<&CorrelationId>, line: &[u8]) {
    let (line, cut) = match line.get(..LINE_BYTES_MAX) {
        Some(head) if line.len() > LINE_BYTES_MAX => (head, true),
        _ => (line, false),
    };
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return;
    }
    let origin = Origin { component, stream: stream.as_str(), correlation: correlation.map(CorrelationId::as_str) };
    match structured(text) {
        Some((level, message, fields)) => origin.log(level, &message, fields.as_deref(), cut),
        None if stream == Stream::Err => origin.log(Level::WARN, text, None, cut),
        None => origin.log(Level::INFO, text, None, cut),
    }
}

struct Origin<'a> {
    component: &'a str,
    stream: &'static str,
    correlation: Option<&'a str>,
}

impl Origin<'_> {
    fn log(&self, level: Level, message: &str, fields: Option<&str>, cut: bool) {
        let Self { component, stream, correlation } = self;
        // Names and levels of events are fixed at compile time.
        macro_rules! at {
            ($level:expr) => {
                tracing::event!(
                    target: "guest",
                    $level,
                    component,
                    stream,
                    correlation,
                    { JSON_FIELD } = fields,
                    cut = cut.then_some(true),
                    "{message}"
                )
            };
        }
        match level {
            Level::ERROR => at!(Level::ERROR),
            Level::WARN => at!(Level::WARN),
            Level::INFO => at!(Level::INFO),
            Level::DEBUG => at!(Level::DEBUG),
            _ => at!(Level::TRACE),
        }
    }
}

/// Level, message and the other members as JSON, if `text` is a structured event.
fn structured(text: &str) -> Option<(Level, String, Option<String>)> {
    if !text.starts_with('{') {
        return None;
    }
    let mut members: Map<String, Value> = serde_json::from_str(text).ok()?;
    let level = level(members.get("level")?.as_str()?)?;
    if !members.get("message")?.is_string() {
        return None;
    }
    members.remove("level");
    let Some(Value::String(message)) = members.remove("message") else {
        return None;
    };
    let fields = (!members.is_empty()).then(|| Value::Object(members).to_string());
    Some((level, message, fields))
}

fn level(name: &str) -> Option<Level> {
    let levels = [
        ("error", Level::ERROR),
        ("fatal", Level::ERROR),
        ("critical", Level::ERROR),
        ("warn", Level::WARN),
        ("warning", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let found = levels.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, level)| *level)
}

/// Turns what a component writes into lines, keeping at most one line in memory.
#[derive(Debug, Default)]
pub struct LineBuffer {
    /// Up to one byte more than a line may have, so that its cut shows.
    line: Vec<u8>,
}

impl LineBuffer {
    /// Takes `bytes`, and gives each line they complete, without its end.
    pub fn write(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        let mut parts = bytes.split(|byte| *byte == b'\n');
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            self.push(part);
            line(&self.line);
            self.line.clear();
        }
        self.push(last);
    }

    /// Gives what was written after the last end of a line, if anything.
    pub fn finish(&mut self, line: impl FnOnce(&[u8])) {
        if !self.line.is_empty() {
            line(&self.line);
            self.line.clear();
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = (LINE_BYTES_MAX + 1).saturating_sub(self.line.len());
        let fitting = bytes.get(..room).unwrap_or(bytes);
        self.line.extend_from_slice(fitting);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::json::tests::logged;
    use super::*;

    #[test]
    fn a_plain_line_is_the_message_of_an_event() {
        let id: CorrelationId = "req-1".parse().unwrap();
        let lines = logged(|| {
            guest_line("web", Stream::Out, Some(&id), b"hello\r\n");
            guest_line("web", Stream::Err, None, b"careful \x1b[31m");
            guest_line("web", Stream::Out, None, b"\n");
        });
        assert_eq!(
            lines,
            [
                json!({
                    "level": "INFO", "target": "guest", "component": "web", "stream": "stdout",
                    "correlation": "req-1", "message": "hello",
                }),
                json!({
                    "level": "WARN", "target": "guest", "component": "web", "stream": "stderr",
                    "message": "careful \u{1b}[31m",
                }),
            ]
        );
    }

    #[test]
    fn a_json_object_with_level_and_message_is_a_structured_event() {
        let lines = logged(|| {
            let line = br#"{"level":"Error","message":"failed","component":"other","n":[1,2]}"#;
            guest_line("web", Stream::Out, None, line);
        });
        assert_eq!(
            lines,
            [json!({
                "level": "ERROR", "target": "guest", "component": "web", "stream": "stdout",
                "message": "failed", "fields": { "component": "other", "n": [1, 2] },
            })]
        );
    }

    #[test]
    fn other_json_stays_text() {
        for line in [r#"{"message":"x"}"#, r#"{"level":"loud","message":"x"}"#, r#"{"level":"info","message":1}"#, "{"]
        {
            let lines = logged(|| guest_line("web", Stream::Out, None, line.as_bytes()));
            assert_eq!(lines[0]["message"], line);
            assert_eq!(lines[0]["level"], "INFO");
        }
    }

    #[test]
    fn a_line_too_long_is_cut_and_says_so() {
        let long = "é".repeat(LINE_BYTES_MAX);
        let lines = logged(|| guest_line("web", Stream::Out, None, long.as_bytes()));
        assert_eq!(lines[0]["cut"], true);
        assert_eq!(lines[0]["message"].as_str().unwrap().len(), LINE_BYTES_MAX);
    }

    #[test]
    fn lines_are_put_together_from_whatever_pieces_arrive() {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for piece in ["a", "b\nc", "", "\n\nd"] {
            buffer.write(piece.as_bytes(), |line| lines.push(String::from_utf8_lossy(line).into_owned()));
        }
        buffer.finish(|line| lines.push(String::from_utf8_lossy(line).into_owned()));
        assert_eq!(lines, ["ab", "c", "", "d"]);
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_a_line_may() {
        let mut buffer = LineBuffer::default();
        for _ in 0..100 {
            buffer.write(&[b'x'; 1000], |_| panic!("no line has ended"));
        }
        let mut length = 0;
        buffer.finish(|line| length = line.len());
        assert_eq!(length, LINE_BYTES_MAX + 1);
    }
}
