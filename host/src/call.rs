//! A call: who asked, and until when. It travels from the request that came in to
//! every component that takes part in answering it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    release::Release,
    telemetry::{
        CorrelationId, Kind, Recording, TraceContext, Tracer,
        metrics::{ComponentMetrics, LimitReached},
    },
};

/// Calls nested in one another, at most: what calls itself in a circle ends here.
pub const DEPTH_MAX: u8 = 16;

/// What a request carries along through all components it reaches.
#[derive(Debug, Clone)]
pub struct Call {
    /// Names the request in every log line and in the answer.
    pub correlation_id: CorrelationId,
    /// The trace it belongs to, and its own span of it.
    pub trace: TraceContext,
    /// What the first caller wants passed on with the trace: the `tracestate` header.
    pub trace_state: Option<Arc<str>>,
    /// Where its spans are recorded, if they are.
    pub tracer: Tracer,
    /// When the first caller stops waiting.
    pub deadline: Instant,
    /// Calls that lie between this one and the first.
    pub depth: u8,
    /// The versions of all components that take part; the current ones of the first
    /// component that it reaches, unless it came with others.
    pub release: Option<Arc<Release>>,
}

impl Call {
    /// A call that starts here and may take `time_max`.
    #[must_use]
    pub fn new(correlation_id: CorrelationId, trace: TraceContext, time_max: Duration) -> Self {
        Self {
            correlation_id,
            trace,
            trace_state: None,
            tracer: Tracer::off(),
            deadline: Instant::now() + time_max,
            depth: 0,
            release: None,
        }
    }

    /// The same call, recorded by `tracer`.
    #[must_use]
    pub fn traced_by(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Begins a span within the call's own, which becomes the call's own: what the call
    /// causes from now on lies within it. Nothing happens where the call is not recorded.
    pub fn enter(&mut self, kind: Kind, name: impl FnOnce() -> String) -> Option<Recording> {
        if !self.tracer.records(self.trace) {
            return None;
        }
        self.trace = self.trace.child();
        self.tracer.start(self.trace, kind, name)
    }

    /// The same call, answered by the versions of `release`.
    #[must_use]
    pub fn on(self, release: Arc<Release>) -> Self {
        Self { release: Some(release), ..self }
    }

    /// A call that the host itself makes, with ids of its own.
    #[must_use]
    pub fn own(time_max: Duration) -> Self {
        Self::new(CorrelationId::generate(), TraceContext::generate(), time_max)
    }

    /// The same call one component further, or nothing where it is nested too deep.
    #[must_use]
    pub fn nested(&self) -> Option<Self> {
        let depth = self.depth + 1;
        (depth <= DEPTH_MAX).then(|| Self { depth, ..self.clone() })
    }

    /// The same call with a deadline no later than `time_max` from now.
    #[must_use]
    pub fn within(mut self, time_max: Duration) -> Self {
        self.deadline = self.deadline.min(Instant::now() + time_max);
        self
    }
}

/// The call that an instance works on, as its capabilities see it.
#[derive(Debug)]
pub struct CurrentCall {
    call: Mutex<Call>,
    metrics: Option<Arc<ComponentMetrics>>,
}

impl CurrentCall {
    /// An instance starts with the call it was made for.
    #[must_use]
    pub fn new(call: Call) -> Self {
        Self { call: Mutex::new(call), metrics: None }
    }

    /// Limits that it runs into count for a component.
    #[must_use]
    pub fn counted_for(self, metrics: Arc<ComponentMetrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// The component wanted more than it may have.
    pub fn reached(&self, limit: LimitReached) {
        if let Some(metrics) = &self.metrics {
            metrics.limit_reached(limit);
        }
    }

    /// The call being worked on.
    #[must_use]
    pub fn get(&self) -> Call {
        self.lock().clone()
    }

    /// Looks at the call being worked on without copying it.
    pub fn look<R>(&self, at: impl FnOnce(&Call) -> R) -> R {
        at(&self.lock())
    }

    /// Begins a span within that of the call being worked on, if that is recorded.
    #[must_use]
    pub fn span(&self, kind: Kind, name: impl FnOnce() -> String) -> Option<Recording> {
        let (tracer, trace) = {
            let call = self.lock();
            if !call.tracer.records(call.trace) {
                return None;
            }
            (call.tracer.clone(), call.trace)
        };
        tracer.start(trace.child(), kind, name)
    }

    /// Begins the span of a database statement within the call being worked on, if that
    /// is recorded. Its text holds placeholders; the values stay with the database.
    #[must_use]
    pub fn statement(&self, system: &'static str, text: &str) -> Option<Recording> {
        let verb = || text.split_whitespace().next().unwrap_or("statement").to_uppercase();
        let mut span = self.span(Kind::Client, verb)?;
        span.set("db.system.name", system);
        span.set("db.query.text", text);
        Some(span)
    }

    /// The instance turns to another call.
    pub fn set(&self, call: Call) {
        *self.lock() = call;
    }

    /// The instance waits for work. What waits must not keep versions from being dropped.
    pub fn rest(&self) {
        self.lock().release = None;
    }

    fn lock(&self) -> MutexGuard<'_, Call> {
        // Every write replaces the whole value, so a panic elsewhere leaves it sound.
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
