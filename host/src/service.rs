//! A service: one component of the application as it runs.
//!
//! It admits work up to a bound, gives each piece an instance of the current
//! version, watches time, processor and memory, and lets nothing that goes wrong in
//! one instance reach another. It does not know where work comes from.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::channel::oneshot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{
    AsContextMut as _,
    component::{Accessor, Val},
};
use wasmtime_wasi_http::{WasiBody, WasiHttpView as _, handler::Prepared};

use crate::{
    call::Call,
    manifest::Limits,
    meter::{CpuTimeSpent, Meter, metered},
    platform::{Request, Response},
    release::Routing,
    state::{State, StateFactory},
    tally::Ending,
    telemetry::{
        Kind, Recording,
        metrics::{ComponentMetrics, Deadline, Dropped, Rejection},
    },
    version::{Slot, Version},
};

/// Seconds after which a caller that was turned away may try again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Time that preparing a version may compute.
const PREPARE_CPU_TIME_MAX: Duration = Duration::from_secs(60);

/// Why a service gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// All instances are busy and enough callers wait already.
    #[error("too busy; try again in {retry_after_seconds} s")]
    Overloaded { retry_after_seconds: u32 },
    /// It failed several times in a row and is left alone for a while.
    #[error("not answering; try again in {retry_after_seconds} s")]
    CircuitOpen { retry_after_seconds: u32 },
    /// The time for the answer is over. What was asked may or may not have been done.
    #[error("no answer in time")]
    Deadline,
    /// It trapped, used up its processor time or memory, or could not be started.
    #[error("the component failed: {0}")]
    Trapped(wasmtime::Error),
    /// It has no such function or handler.
    #[error("not served by this component")]
    NotServed,
    /// A body is larger than the component accepts.
    #[error("the body is too large")]
    TooLarge,
}

impl Failure {
    /// Whether the failure says that the component itself is not well.
    #[must_use]
    pub fn is_of_component(&self) -> bool {
        match self {
            Self::Deadline | Self::Trapped(_) => true,
            Self::Overloaded { .. } | Self::CircuitOpen { .. } | Self::NotServed | Self::TooLarge => false,
        }
    }

    /// The failure as one word, for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Overloaded { .. } => "overloaded",
            Self::CircuitOpen { .. } => "circuit-open",
            Self::Deadline => "deadline",
            Self::Trapped(_) => "trapped",
            Self::NotServed => "not-served",
            Self::TooLarge => "too-large",
        }
    }
}

/// One component of the application.
pub struct Service {
    pub id: Arc<str>,
    pub limits: Limits,
    pub metrics: Arc<ComponentMetrics>,
    states: StateFactory,
    routing: Arc<Routing>,
    /// Where its versions are in a release.
    place: usize,
    admission: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Service {
    /// A service whose versions are those at `place` in the releases of `routing`.
    #[must_use]
    pub fn new(
        id: Arc<str>,
        limits: Limits,
        states: StateFactory,
        metrics: Arc<ComponentMetrics>,
        routing: Arc<Routing>,
        place: usize,
    ) -> Self {
        let admission = Arc::new(Semaphore::new(limits.concurrency_max));
        Self { id, limits, metrics, states, routing, place, admission, waiting: AtomicUsize::new(0) }
    }

    /// Where its versions are in a release.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    /// The version that new work goes to, but for the requests of a canary.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Version>> {
        self.routing.current()?.version(self.place).cloned()
    }

    /// The version that answers `call`. One that has no release yet gets the current one.
    ///
    /// # Errors
    /// When the host has not started.
    pub fn version(&self, call: &mut Call) -> Result<Arc<Version>, Failure> {
        if call.release.is_none() {
            call.release = self.routing.current();
        }
        let version = call.release.as_ref().and_then(|release| release.version(self.place));
        version.cloned().ok_or(Failure::NotServed)
    }

    /// Pieces of work in instances now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.limits.concurrency_max.saturating_sub(self.admission.available_permits())
    }

    /// Waits until nothing runs in an instance any more.
    pub async fn idle(&self) {
        let all = u32::try_from(self.limits.concurrency_max).unwrap_or(u32::MAX);
        // The semaphore is never closed; if it were, nothing would run either.
        let _ = self.admission.acquire_many(all).await;
    }

    /// Answers a request through the handler the component has, the buffered one first.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn handle(self: &Arc<Self>, mut call: Call, mut request: Request) -> Result<Response, Failure> {
        if request.body.len() > self.limits.body_bytes_max {
            return Err(Failure::TooLarge);
        }
        let version = self.version(&mut call)?;
        if !version.has_handler() {
            return crate::message::through_streams(self, call, request).await;
        }
        let began = Instant::now();
        let span = self.enter(&mut call, &version, || request.method.clone());
        if span.is_some() {
            crate::message::set_call_headers(&mut request, &call);
        }
        let outcome = self.handle_buffered(Arc::clone(&version), call, request).await;
        end(span, outcome.as_ref().map(|response| response.status));
        count(&version, began, outcome.as_ref().map(|response| response.status));
        outcome
    }

    /// Begins the span of a piece of work in an instance of `version`.
    fn enter(&self, call: &mut Call, version: &Version, what: impl FnOnce() -> String) -> Option<Recording> {
        let mut span = call.enter(Kind::Internal, || format!("{} {}", self.id, what()))?;
        span.set("cairn.component", &*self.id);
        span.set("cairn.version", version.compiled.hash.as_str());
        Some(span)
    }

    async fn handle_buffered(&self, version: Arc<Version>, call: Call, request: Request) -> Result<Response, Failure> {
        let mut lease = self.lease(version, call).await?;
        let (sender, receiver) = oneshot::channel();
        let work = async move {
            let handler = lease.slot.handler(&lease.version)?;
            let outcome = lease
                .run(async move |accessor: &Accessor<State>| {
                    let response = handler.call_handle(accessor, request).await?;
                    // Whoever asked may have gone; the instance finishes all the same.
                    let _ = sender.send(response);
                    settled(accessor).await;
                    Ok(())
                })
                .await;
            lease.finish(outcome)
        };
        first_answer(receiver, work).await
    }

    /// Answers a request whose bodies stream, through `wasi:http`.
    ///
    /// # Errors
    /// See [`Failure`]; what goes wrong after the head of the response ends its body.
    pub async fn handle_streaming(
        self: &Arc<Self>,
        mut call: Call,
        mut request: http::Request<WasiBody>,
    ) -> Result<http::Response<WasiBody>, Failure> {
        let version = self.version(&mut call)?;
        let began = Instant::now();
        let span = self.enter(&mut call, &version, || request.method().to_string());
        if span.is_some() {
            crate::message::set_call(request.headers_mut(), &call);
        }
        let outcome = self.stream(Arc::clone(&version), call, request).await;
        end(span, outcome.as_ref().map(|response| response.status().as_u16()));
        count(&version, began, outcome.as_ref().map(|response| response.status().as_u16()));
        outcome
    }

    async fn stream(
        &self,
        version: Arc<Version>,
        call: Call,
        request: http::Request<WasiBody>,
    ) -> Result<http::Response<WasiBody>, Failure> {
        let mut lease = self.lease(version, call).await?;
        let (sender, receiver) = oneshot::channel();
        let work = async move {
            let proxy = lease.slot.streaming_handler(&lease.version)?;
            let outcome = lease
                .run(async move |accessor: &Accessor<State>| {
                    let prepared = accessor.with(|mut store| {
                        Prepared::new(store.as_context_mut(), &proxy, request, State::http, sender)
                    })?;
                    // The deadline is kept outside of the store, where it cannot be blocked.
                    prepared.run(accessor, std::future::pending()).await?;
                    settled(accessor).await;
                    Ok(())
                })
                .await;
            lease.finish(outcome)
        };
        first_answer(receiver, work).await?.map_err(Failure::Trapped)
    }

    /// Calls an exported function, named `interface#function`, with plain values.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn call_export(
        self: &Arc<Self>,
        mut call: Call,
        function: &str,
        params: Vec<Val>,
        results_count: usize,
    ) -> Result<Vec<Val>, Failure> {
        let version = self.version(&mut call)?;
        let began = Instant::now();
        let span = self.enter(&mut call, &version, || function.to_owned());
        let outcome = self.call_function(Arc::clone(&version), call, function, params, results_count).await;
        end(span, outcome.as_ref().map(|_| 200));
        count(&version, began, outcome.as_ref().map(|_| 200));
        outcome
    }

    async fn call_function(
        &self,
        version: Arc<Version>,
        call: Call,
        function: &str,
        params: Vec<Val>,
        results_count: usize,
    ) -> Result<Vec<Val>, Failure> {
        let mut lease = self.lease(version, call).await?;
        let Some(function) = lease.slot.function(&lease.version, function) else {
            return Err(Failure::NotServed);
        };
        let (sender, receiver) = oneshot::channel();
        let work = async move {
            let outcome = lease
                .run(async move |accessor: &Accessor<State>| {
                    let mut results = vec![Val::Bool(false); results_count];
                    function.call_concurrent(accessor, &params, &mut results).await?;
                    let _ = sender.send(results);
                    settled(accessor).await;
                    Ok(())
                })
                .await;
            lease.finish(outcome)
        };
        first_answer(receiver, work).await
    }

    /// Makes an instance of `version` to see that it works, and keeps it ready.
    ///
    /// # Errors
    /// How it failed.
    pub async fn probe(&self, version: Arc<Version>, call: Call) -> Result<(), String> {
        let mut lease = self.lease_for(version, call, PREPARE_CPU_TIME_MAX).await.map_err(describe)?;
        lease.slot.check_handlers(&lease.version).map_err(describe)?;
        lease.finish(Ok(())).map_err(describe)
    }

    /// Lets a version prepare itself if it has a lifecycle, within the deadline of
    /// `call`: migrations may take longer than any request.
    ///
    /// # Errors
    /// What the component says is wrong, or how it failed.
    pub async fn prepare(&self, version: Arc<Version>, call: Call) -> Result<(), String> {
        if !version.has_lifecycle() {
            return Ok(());
        }
        let mut lease = self.lease_for(version, call, PREPARE_CPU_TIME_MAX).await.map_err(describe)?;
        let lifecycle = lease.slot.lifecycle(&lease.version).map_err(describe)?;
        let (sender, receiver) = oneshot::channel();
        let work = async move {
            let outcome = lease
                .run(async move |accessor: &Accessor<State>| {
                    let prepared = lifecycle.call_prepare(accessor).await?;
                    let _ = sender.send(prepared);
                    settled(accessor).await;
                    Ok(())
                })
                .await;
            lease.finish(outcome)
        };
        first_answer(receiver, work).await.map_err(describe)?
    }

    /// Waits for admission and takes an instance of `version`.
    async fn lease(&self, version: Arc<Version>, call: Call) -> Result<Lease, Failure> {
        let call = call.within(self.limits.request_time_max);
        self.lease_for(version, call, self.limits.cpu_time_max).await
    }

    async fn lease_for(&self, version: Arc<Version>, call: Call, cpu_time_max: Duration) -> Result<Lease, Failure> {
        let permit = self.admit(call.deadline).await?;
        let mut slot = match version.take_idle() {
            Some(slot) => slot,
            None => self.instantiate(&version, &call, cpu_time_max).await?,
        };
        slot.begin(call.clone(), cpu_time_max);
        Ok(Lease { slot, version, call, metrics: Arc::clone(&self.metrics), _permit: permit })
    }

    async fn admit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Failure> {
        const OVERLOADED: Failure = Failure::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS };
        if let Ok(permit) = Arc::clone(&self.admission).try_acquire_owned() {
            return Ok(permit);
        }
        let Some(_place) = Place::take(&self.waiting, self.limits.queue_max) else {
            self.metrics.rejected(Rejection::QueueFull);
            return Err(OVERLOADED);
        };
        let admitted = Arc::clone(&self.admission).acquire_owned();
        match tokio::time::timeout_at(deadline.into(), admitted).await {
            Ok(Ok(permit)) => Ok(permit),
            // Closed or late: nothing has been done, so trying again is safe.
            Ok(Err(_)) | Err(_) => {
                self.metrics.rejected(Rejection::QueueTimeout);
                Err(OVERLOADED)
            }
        }
    }

    async fn instantiate(&self, version: &Version, call: &Call, cpu_time_max: Duration) -> Result<Slot, Failure> {
        let (mut store, meter) = self.states.store(call).map_err(Failure::Trapped)?;
        meter.restart(cpu_time_max);
        let made = bounded(&meter, call.deadline, version.pre.instantiate_async(&mut store)).await?;
        let instance = made.map_err(|error| {
            tracing::error!(
                component = %self.id,
                correlation = %call.correlation_id,
                error = %format!("{error:?}"),
                "an instance could not be made"
            );
            match error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>() {
                Some(_) => Failure::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS },
                None => Failure::Trapped(error),
            }
        })?;
        Ok(Slot::new(store, instance, meter, Arc::clone(&self.metrics)))
    }
}

/// A place in the queue of a service, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, queue_max: usize) -> Option<Self> {
        let place = Self(waiting);
        let before = waiting.fetch_add(1, Relaxed);
        (before < queue_max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// An instance at work. Dropped before [`Lease::finish`], as when the caller goes
/// away, the instance is dropped with it.
struct Lease {
    slot: Slot,
    version: Arc<Version>,
    call: Call,
    metrics: Arc<ComponentMetrics>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Runs `work` in the instance within the call's deadline.
    async fn run(&mut self, work: impl AsyncFnOnce(&Accessor<State>) -> wasmtime::Result<()>) -> Result<(), Failure> {
        let Slot { store, meter, .. } = &mut self.slot;
        bounded(meter, self.call.deadline, store.run_concurrent(work)).await?.flatten().map_err(Failure::Trapped)
    }

    /// Gives a sound instance back to be used again, and drops any other.
    fn finish(self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let Self { slot, version, call, metrics, _permit } = self;
        match outcome {
            Ok(()) if slot.store.data().has_open_transaction() => {
                tracing::error!(
                    component = %slot.component(),
                    correlation = %call.correlation_id,
                    "an instance ended a call inside of a transaction and was dropped"
                );
                slot.drop_for(Dropped::Trap);
                Ok(())
            }
            Ok(()) => {
                version.put_idle(slot);
                Ok(())
            }
            Err(failure) => {
                log_failure(&slot, &call, &failure);
                count_failure(&metrics, &failure);
                let late = matches!(failure, Failure::Deadline);
                slot.drop_for(if late { Dropped::Deadline } else { Dropped::Trap });
                Err(failure)
            }
        }
    }
}

/// A failure while a version is made ready, with its cause: only operators see it.
fn describe(failure: Failure) -> String {
    match failure {
        Failure::Trapped(error) => format!("{error:?}"),
        other => other.to_string(),
    }
}

/// Ends the span of a piece of work.
fn end(span: Option<Recording>, outcome: Result<u16, &Failure>) {
    let Some(mut span) = span else { return };
    match outcome {
        Ok(status) if status >= 500 => span.fail("server error"),
        Ok(_) => {}
        Err(failure) => span.fail(failure.kind()),
    }
}

/// Counts an answer, by its status, or what came instead of one.
fn count(version: &Version, began: Instant, outcome: Result<u16, &Failure>) {
    let ending = match outcome {
        Ok(status) if status < 500 => Ending::Answered,
        Ok(_) | Err(Failure::Deadline) => Ending::Error,
        Err(Failure::Trapped(_)) => Ending::Trap,
        // It says how much there is to do, and nothing about the version.
        Err(Failure::Overloaded { .. } | Failure::CircuitOpen { .. } | Failure::NotServed | Failure::TooLarge) => {
            return;
        }
    };
    version.tally.add(ending, began.elapsed());
}

/// With the guest's frames and without the host's own: to look up their names takes so
/// long that a guest which traps again and again would keep its neighbours waiting.
fn log_failure(slot: &Slot, call: &Call, failure: &Failure) {
    let detail = match failure {
        Failure::Trapped(error) => format!("{error:#}"),
        other => other.to_string(),
    };
    tracing::error!(
        component = %slot.component(),
        correlation = %call.correlation_id,
        kind = failure.kind(),
        error = %detail,
        "an instance failed and was dropped"
    );
}

fn count_failure(metrics: &ComponentMetrics, failure: &Failure) {
    match failure {
        Failure::Deadline => metrics.deadline_reached(Deadline::Request),
        Failure::Trapped(error) => {
            metrics.trapped();
            if error.is::<CpuTimeSpent>() {
                metrics.deadline_reached(Deadline::Cpu);
            }
        }
        Failure::Overloaded { .. } | Failure::CircuitOpen { .. } | Failure::NotServed | Failure::TooLarge => {}
    }
}

/// Runs `future` metered and until `deadline`.
async fn bounded<F: Future>(meter: &Meter, deadline: Instant, future: F) -> Result<F::Output, Failure> {
    tokio::time::timeout_at(deadline.into(), metered(meter, future)).await.map_err(|_| Failure::Deadline)
}

/// Waits until the guest has nothing left to do for the call.
async fn settled(accessor: &Accessor<State>) {
    std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
}

/// The answer as soon as there is one. What the instance does afterwards goes on in
/// the background; an instance without any such work, the usual case, costs no task.
async fn first_answer<R>(
    mut receiver: oneshot::Receiver<R>,
    work: impl Future<Output = Result<(), Failure>> + Send + 'static,
) -> Result<R, Failure> {
    let mut work = Box::pin(work);
    let unanswered = || Failure::Trapped(wasmtime::Error::msg("the component ended without an answer"));
    tokio::select! {
        biased;
        outcome = &mut work => match (receiver.try_recv(), outcome) {
            (Ok(Some(answer)), _) => Ok(answer),
            (Ok(None) | Err(_), Err(failure)) => Err(failure),
            (Ok(None) | Err(_), Ok(())) => Err(unanswered()),
        },
        answer = &mut receiver => match answer {
            Ok(answer) => {
                tokio::spawn(work);
                Ok(answer)
            }
            Err(_) => Err(work.await.err().unwrap_or_else(unanswered)),
        },
    }
}
