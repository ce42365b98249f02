//! Spans: what was done when within a trace, and within which other span.
//!
//! A span is begun where the work begins and recorded when its [`Recording`] is
//! dropped, so work that is given up is recorded too. Where nothing is recorded,
//! beginning a span costs one branch. A queue that is full loses spans, which are
//! counted, and never keeps a request waiting.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

use tokio::sync::mpsc;

use super::TraceContext;

/// Spans that wait to be exported.
pub const QUEUE_SPANS_MAX: usize = 8192;
/// Characters of a text that a span carries.
const TEXT_CHARS_MAX: usize = 1024;

/// What a span is of, in OpenTelemetry's terms and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work inside of the application.
    Internal = 1,
    /// A request that was answered.
    Server = 2,
    /// A request that was sent.
    Client = 3,
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub context: TraceContext,
    pub kind: Kind,
    pub name: String,
    pub started: SystemTime,
    pub ended: SystemTime,
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, if it did.
    pub error: Option<Cow<'static, str>>,
}

/// What an attribute of a span says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Integer(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.chars().take(TEXT_CHARS_MAX).collect())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Integer(number.into())
    }
}

/// Which traces that begin here are recorded, and what is done with a caller's decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// A caller's decision is kept.
    pub parent_based: bool,
    /// Share of the other traces that are recorded, 0 to 1.
    pub share: f64,
}

impl Sampler {
    /// Everything but what a caller does not record.
    pub const PARENT_OR_ALL: Self = Self { parent_based: true, share: 1.0 };

    /// The same decision for a trace on every host: it is made by the trace's id.
    fn samples(self, trace: TraceContext) -> bool {
        /// Bits that a double holds exactly.
        const BITS: u32 = 53;
        let low = u64::try_from(trace.trace_id() & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let place = (low >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64;
        place < self.share
    }
}

/// Where spans go when they end. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Queue>>);

#[derive(Debug)]
struct Queue {
    sampler: Sampler,
    sender: mpsc::Sender<Span>,
    dropped: AtomicU64,
}

impl Tracer {
    /// Records nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Records what `sampler` chooses, for whoever reads the receiver.
    #[must_use]
    pub fn new(sampler: Sampler) -> (Self, mpsc::Receiver<Span>) {
        let (sender, receiver) = mpsc::channel(QUEUE_SPANS_MAX);
        (Self(Some(Arc::new(Queue { sampler, sender, dropped: AtomicU64::new(0) }))), receiver)
    }

    /// Decides whether a trace is recorded. `from_caller`: it began elsewhere.
    #[must_use]
    pub fn decide(&self, trace: TraceContext, from_caller: bool) -> TraceContext {
        match &self.0 {
            Some(queue) if !(from_caller && queue.sampler.parent_based) => {
                trace.with_sampled(queue.sampler.samples(trace))
            }
            _ => trace,
        }
    }

    /// Whether spans of that trace are recorded.
    #[must_use]
    pub fn records(&self, trace: TraceContext) -> bool {
        self.0.is_some() && trace.sampled()
    }

    /// Spans lost so far because too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |queue| queue.dropped.load(Relaxed))
    }

    /// Begins the span of `context`, if it is recorded.
    #[must_use]
    pub fn start(&self, context: TraceContext, kind: Kind, name: impl FnOnce() -> String) -> Option<Recording> {
        let queue = self.0.as_ref().filter(|_| context.sampled())?;
        let (started, now) = (Instant::now(), SystemTime::now());
        let span = Span { context, kind, name: name(), started: now, ended: now, attributes: Vec::new(), error: None };
        Some(Recording { span: Some(span), started, queue: Arc::clone(queue) })
    }
}

/// A span that has begun. It ends when this is dropped.
#[derive(Debug)]
pub struct Recording {
    span: Option<Span>,
    started: Instant,
    queue: Arc<Queue>,
}

impl Recording {
    /// The span itself, for what is sent on.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        self.span.as_ref().map(|span| span.context)
    }

    /// Says something about the span. No personal data, no values of a statement.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.span {
            span.attributes.push((key, value.into()));
        }
    }

    /// Says that what was tried did not work. The first reason stays.
    pub fn fail(&mut self, reason: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.span {
            span.error.get_or_insert_with(|| reason.into());
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Some(mut span) = self.span.take() else {
            return;
        };
        // From the steady clock, so that a span never ends before it began.
        span.ended = span.started + self.started.elapsed();
        if self.queue.sender.try_send(span).is_err() {
            self.queue.dropped.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_recorded_when_it_ends_with_its_parent() {
        let (tracer, mut spans) = Tracer::new(Sampler::PARENT_OR_ALL);
        let parent = TraceContext::generate();
        let mut recording = tracer.start(parent.child(), Kind::Client, || "GET".to_owned()).unwrap();
        recording.set("http.response.status_code", 503_u16);
        recording.fail("overloaded");
        assert!(spans.try_recv().is_err());
        drop(recording);
        let span = spans.try_recv().unwrap();
        assert_eq!(span.context.parent_span_id(), Some(parent.span_id()));
        assert_eq!(span.attributes, [("http.response.status_code", Value::Integer(503))]);
        assert_eq!(span.error.as_deref(), Some("overloaded"));
        assert!(span.ended >= span.started);
    }

    #[test]
    fn what_is_not_sampled_is_not_recorded() {
        let (tracer, _spans) = Tracer::new(Sampler::PARENT_OR_ALL);
        let quiet = TraceContext::generate().with_sampled(false);
        assert!(tracer.start(quiet, Kind::Server, || panic!("its name is not asked for")).is_none());
        assert!(Tracer::off().start(TraceContext::generate(), Kind::Server, String::new).is_none());
        assert!(!tracer.decide(quiet, true).sampled(), "a caller's decision is kept");
        assert!(tracer.decide(quiet, false).sampled());
    }

    #[test]
    fn a_share_of_the_traces_is_recorded() {
        let (tracer, _spans) = Tracer::new(Sampler { parent_based: true, share: 0.25 });
        let chosen = (0..10_000).filter(|_| tracer.decide(TraceContext::generate(), false).sampled()).count();
        assert!((2_000..3_000).contains(&chosen), "{chosen}");
    }

    #[test]
    fn a_full_queue_loses_spans_and_counts_them() {
        let (tracer, _spans) = Tracer::new(Sampler::PARENT_OR_ALL);
        for _ in 0..QUEUE_SPANS_MAX + 3 {
            drop(tracer.start(TraceContext::generate(), Kind::Server, String::new));
        }
        assert_eq!(tracer.dropped(), 3);
    }
}
