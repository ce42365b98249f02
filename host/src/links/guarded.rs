//! What every call to another component passes: its circuit breaker, a task of its
//! own, and the end of that task when the caller goes away.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::{breaker::Breaker, service::Failure};

/// A call that had less time than this left says nothing about the version.
const FAIR_TIME_MIN: Duration = Duration::from_millis(500);

/// Runs `work`, a call to the version with this breaker, in a task of its own.
///
/// The task is needed: wasmtime cannot run one store inside a host function of
/// another.
///
/// # Errors
/// Those of the work, and an open circuit.
pub async fn call<R: Send + 'static>(
    breaker: &Breaker,
    deadline: Instant,
    work: impl Future<Output = Result<R, Failure>> + Send + 'static,
) -> Result<R, Failure> {
    let began = Instant::now();
    breaker.admit(began).map_err(|time| Failure::CircuitOpen { retry_after_seconds: seconds_up(time) })?;
    let outcome = AbortOnDrop(tokio::spawn(work)).await;
    match &outcome {
        Ok(_) => breaker.succeeded(),
        Err(Failure::Deadline) if deadline.saturating_duration_since(began) < FAIR_TIME_MIN => {}
        Err(failure) if failure.is_of_component() => breaker.failed(Instant::now()),
        Err(_) => {}
    }
    outcome
}

fn seconds_up(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop<R>(JoinHandle<Result<R, Failure>>);

impl<R> Drop for AbortOnDrop<R> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<R> Future for AbortOnDrop<R> {
    type Output = Result<R, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|joined| {
            joined
                .unwrap_or_else(|error| Err(Failure::Trapped(wasmtime::Error::msg(format!("the call ended: {error}")))))
        })
    }
}
