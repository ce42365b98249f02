//! How long a guest has computed for the call it works on.
//!
//! A guest runs only while the future that drives its store is polled, so the time
//! inside those polls is the time it used. Waiting costs nothing.

use std::{
    fmt,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Time one instance has computed since the last [`Meter::restart`].
#[derive(Debug)]
pub struct Meter {
    origin: Instant,
    /// Nanoseconds spent in polls that have ended.
    spent: AtomicU64,
    /// When the poll that runs now began, in nanoseconds since `origin`.
    entered: AtomicU64,
    /// Nanoseconds that may be spent.
    limit: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            spent: AtomicU64::new(0),
            entered: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
        }
    }
}

impl Meter {
    /// A new call begins with nothing spent of `cpu_time_max`.
    pub fn restart(&self, cpu_time_max: Duration) {
        self.spent.store(0, Relaxed);
        self.limit.store(nanoseconds(cpu_time_max), Relaxed);
    }

    /// Whether the call has computed no longer than it may. Meant for the thread that
    /// runs the guest.
    ///
    /// # Errors
    /// The time it was allowed, when that is spent.
    pub fn check(&self) -> Result<(), CpuTimeSpent> {
        let running = self.now().saturating_sub(self.entered.load(Relaxed));
        let limit = self.limit.load(Relaxed);
        if self.spent.load(Relaxed).saturating_add(running) <= limit {
            return Ok(());
        }
        Err(CpuTimeSpent { cpu_time_max: Duration::from_nanos(limit) })
    }

    fn now(&self) -> u64 {
        nanoseconds(self.origin.elapsed())
    }

    fn enter(&self) {
        self.entered.store(self.now(), Relaxed);
    }

    fn leave(&self) {
        let running = self.now().saturating_sub(self.entered.load(Relaxed));
        self.spent.fetch_add(running, Relaxed);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Adds the time spent inside polls of `future` to `meter`.
pub async fn metered<F: Future>(meter: &Meter, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| poll(meter, future.as_mut(), cx)).await
}

fn poll<F: Future>(meter: &Meter, future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
    meter.enter();
    let outcome = future.poll(cx);
    meter.leave();
    outcome
}

/// A guest computed longer than its component may.
#[derive(Debug)]
pub struct CpuTimeSpent {
    /// What it was allowed.
    pub cpu_time_max: Duration,
}

impl fmt::Display for CpuTimeSpent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest computed for more than {:?} (limits.cpu_time)", self.cpu_time_max)
    }
}

impl std::error::Error for CpuTimeSpent {}
