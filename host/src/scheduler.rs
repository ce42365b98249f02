//! Work in the background: jobs at their times, and wakes as soon as there is room.
//!
//! The scheduler POSTs to private routes through a function it is given; it
//! knows nothing of HTTP, components or what a job does. On one host a job
//! never runs twice at once; of several hosts that share [`Claims`], one runs it for
//! each of its times, and another takes over when that one dies. A run that outlasts its next time makes that time
//! be skipped; times missed while the machine slept are made up for by one run.
//! A failed job runs again at its next time, a failed wake after a back-off, up
//! to five times. How long a run may take is up to the function.
//!
//! [`plan`] decides, without a clock; this module carries out.

mod claim;
#[cfg(test)]
mod claim_tests;
mod cron;
mod plan;
#[cfg(test)]
mod tests;

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
};

pub use claim::{Claim, Claims};
pub use cron::{Cron, CronError};
use plan::{After, Plan, Run};

use crate::{
    manifest::Job,
    telemetry::metrics::{Metrics, RunOutcome},
};

/// Runs at once, of all components together, unless [`Settings`] says otherwise.
pub const RUNS_MAX: usize = 16;

/// Timers do not count while a machine sleeps, so the clock is looked at this often.
const CLOCK_CHECK: Duration = Duration::from_secs(15);

/// POSTs to a path of a component, and gives the status of the answer.
pub type Invoke = Arc<dyn Fn(Arc<str>, Arc<str>) -> BoxFuture<'static, anyhow::Result<u16>> + Send + Sync>;

/// UTC in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The clock of the machine.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ms = since.unwrap_or_default().as_millis();
        i64::try_from(ms).unwrap_or(i64::MAX)
    })
}

/// What a scheduler works with.
#[derive(Clone)]
pub struct Settings {
    /// Runs at once, of all components together.
    pub runs_max: usize,
    /// What times are compared with; [`system_clock`] outside tests.
    pub clock: Clock,
    /// Where runs are counted.
    pub metrics: Arc<Metrics>,
    /// Where several hosts agree; nothing if there is one host.
    pub claims: Option<Arc<dyn Claims>>,
}

/// Why a wake was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WakeError {
    #[error("the path does not begin with `/`, or is too long")]
    Path,
    #[error("too many different paths wait to be woken")]
    TooMany,
    #[error("the scheduler is stopping")]
    Stopped,
}

/// One job of the manifest, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// Id of the component.
    pub component: String,
    /// Its private route.
    pub path: String,
    /// Every cron expression that leads there.
    pub crons: Vec<String>,
    /// When it runs next: UTC in milliseconds since 1970.
    pub next_ms: Option<i64>,
    /// It runs at this moment.
    pub running: bool,
    /// The latest run that is over.
    pub last: Option<LastRun>,
}

/// How the latest run of a job went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// UTC in milliseconds since 1970.
    pub started_ms: i64,
    /// In milliseconds.
    pub duration_ms: i64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Handle to the running scheduler. Dropping it aborts what runs.
pub struct Scheduler {
    shared: Arc<Shared>,
    stop: watch::Sender<Option<Duration>>,
    task: Mutex<Option<JoinHandle<usize>>>,
}

struct Shared {
    plan: Mutex<Plan>,
    changed: Notify,
    invoke: Invoke,
    settings: Settings,
}

impl Scheduler {
    /// Starts to run `jobs`, each given with its component, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If a cron expression cannot be read. A validated manifest has none such.
    pub fn start(
        jobs: impl IntoIterator<Item = (String, Job)>,
        settings: Settings,
        invoke: Invoke,
    ) -> Result<Self, CronError> {
        let now = (settings.clock)();
        let plan = Plan::new(jobs, settings.runs_max, now)?;
        let shared = Arc::new(Shared { plan: Mutex::new(plan), changed: Notify::new(), invoke, settings });
        let (stop, stopped) = watch::channel(None);
        let task = tokio::spawn(drive(Arc::clone(&shared), stopped));
        Ok(Self { shared, stop, task: Mutex::new(Some(task)) })
    }

    /// Asks that `path` of `component` run soon. Wakes of the same path that
    /// arrive before it starts count once; one that arrives while it runs makes
    /// it run once more. Whether the component exists is for the caller to check.
    ///
    /// # Errors
    ///
    /// If the wake cannot be kept.
    pub fn wake(&self, component: &str, path: &str) -> Result<(), WakeError> {
        let queued = self.shared.plan().wake(component, path)?;
        if queued {
            self.shared.changed.notify_one();
        }
        Ok(())
    }

    /// The jobs of the manifest and how they are doing.
    #[must_use]
    pub fn status(&self) -> Vec<JobStatus> {
        self.shared.plan().status()
    }

    /// Starts nothing more, and waits up to `limit` for what runs. Gives the
    /// number of runs that were still going and had to be aborted.
    pub async fn stop(&self, limit: Duration) -> usize {
        self.shared.plan().stop();
        self.stop.send_replace(Some(limit));
        let task = lock(&self.task).take();
        match task {
            Some(task) => task.await.unwrap_or_else(|error| {
                tracing::error!(%error, "the scheduler ended abnormally");
                0
            }),
            None => 0,
        }
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        lock(&self.plan)
    }

    fn now(&self) -> i64 {
        (self.settings.clock)()
    }

    fn count(&self, run: &Run, outcome: RunOutcome) {
        // Wakes may name any path, and a metric must not grow with them.
        let job = if run.scheduled { &run.path } else { "wake" };
        self.settings.metrics.scheduler_run(&run.component, job, outcome);
    }
}

/// Nothing panics while it holds one of these locks, so that a poisoned one is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs until stopped. Gives the number of aborted runs.
async fn drive(shared: Arc<Shared>, mut stopped: watch::Receiver<Option<Duration>>) -> usize {
    let mut running = JoinSet::new();
    loop {
        let wait = step(&shared, &mut running);
        tokio::select! {
            () = shared.changed.notified() => {}
            Some(_) = running.join_next() => {}
            () = tokio::time::sleep(wait) => {}
            // An error means that the handle is gone.
            _ = stopped.changed() => break,
        }
    }
    shared.plan().stop();
    let limit = stopped.borrow().unwrap_or_default();
    drain(running, limit).await
}

/// Starts what is due, and tells how long nothing further is.
fn step(shared: &Arc<Shared>, running: &mut JoinSet<()>) -> Duration {
    let now = shared.now();
    let (skipped, starting, next_at) = {
        let mut plan = shared.plan();
        let skipped = plan.advance(now);
        let starting: Vec<Run> = std::iter::from_fn(|| plan.start()).collect();
        (skipped, starting, plan.next_at())
    };
    for run in skipped {
        shared.count(&run, RunOutcome::Skipped);
        tracing::warn!(component = &*run.component, path = &*run.path, "job skipped: its previous run is not over");
    }
    for run in starting {
        running.spawn(carry_out(Arc::clone(shared), run));
    }
    let wait_ms = next_at.map(|at| u64::try_from(at - now).unwrap_or(0));
    wait_ms.map_or(CLOCK_CHECK, |ms| Duration::from_millis(ms).min(CLOCK_CHECK))
}

/// Waits this long before it looks again at a job that another host runs, or that
/// could not be claimed.
const CLAIM_AGAIN_MIN_MS: i64 = 1_000;
/// Before the end of a lease, the claim is renewed this often.
const RENEWALS_A_LEASE: u32 = 3;

/// Whether this host is the one to carry out a run, and the claim to it.
enum Turn {
    /// Nobody else could.
    Alone,
    Claimed(Arc<dyn Claims>, i64),
    NotNow {
        again_ms: i64,
    },
    DoneElsewhere,
}

async fn turn(shared: &Shared, run: &Run) -> Turn {
    let (Some(claims), Some(due_ms)) = (&shared.settings.claims, run.due_ms) else {
        return Turn::Alone;
    };
    let again_ms = match claims.claim(&run.component, &run.path, due_ms).await {
        Ok(Claim::Mine) => return Turn::Claimed(Arc::clone(claims), due_ms),
        // What it was woken for may be newer than what the other host saw.
        Ok(_) if run.wanted => return Turn::Alone,
        Ok(Claim::Done) => return Turn::DoneElsewhere,
        Ok(Claim::Taken { until }) => i64::try_from(until.as_millis()).unwrap_or(i64::MAX),
        Err(error) => {
            let (component, path) = (&*run.component, &*run.path);
            tracing::warn!(component, path, error = format!("{error:#}"), "a job could not be claimed; it is retried");
            CLAIM_AGAIN_MIN_MS
        }
    };
    Turn::NotNow { again_ms: shared.now().saturating_add(again_ms.max(CLAIM_AGAIN_MIN_MS)) }
}

async fn carry_out(shared: Arc<Shared>, run: Run) {
    match turn(&shared, &run).await {
        Turn::Alone => invoke(&shared, &run).await,
        Turn::Claimed(claims, due_ms) => {
            tokio::select! {
                () = invoke(&shared, &run) => {}
                () = keep(&*claims, &run, due_ms) => abandon(&shared, &run),
            }
            if let Err(error) = claims.finish(&run.component, &run.path, due_ms).await {
                let (component, path) = (&*run.component, &*run.path);
                tracing::warn!(component, path, error = format!("{error:#}"), "the end of a job could not be noted");
            }
        }
        Turn::NotNow { again_ms } => shared.plan().postpone(&run, again_ms),
        Turn::DoneElsewhere => shared.plan().pass(&run),
    }
}

/// Renews a claim as long as that works; then another host may run the job.
async fn keep(claims: &dyn Claims, run: &Run, due_ms: i64) {
    let lease = claims.lease();
    let mut renewed = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(lease / RENEWALS_A_LEASE).await;
        let asked = tokio::time::Instant::now();
        match tokio::time::timeout(lease / RENEWALS_A_LEASE, claims.renew(&run.component, &run.path, due_ms)).await {
            Ok(Ok(true)) => renewed = asked,
            Ok(Ok(false)) => return,
            Ok(Err(_)) | Err(_) if renewed.elapsed() < lease => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// Records that a run was given up because another host may have begun it.
fn abandon(shared: &Shared, run: &Run) {
    settle(shared, run, shared.now(), Some("its claim was lost".to_owned()));
}

async fn invoke(shared: &Shared, run: &Run) {
    let started_ms = shared.now();
    let call = (shared.invoke)(Arc::clone(&run.component), Arc::clone(&run.path));
    let failure = match AssertUnwindSafe(call).catch_unwind().await {
        Ok(Ok(status)) if status < 400 => None,
        Ok(Ok(status)) => Some(format!("answered with status {status}")),
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(_) => Some("panicked".to_owned()),
    };
    settle(shared, run, started_ms, failure);
}

fn settle(shared: &Shared, run: &Run, started_ms: i64, failure: Option<String>) {
    let now = shared.now();
    let last = LastRun { started_ms, duration_ms: now - started_ms, failure: failure.clone() };
    let after = shared.plan().finish(run.id, last, now);
    let Some(after) = after else { return };
    report(shared, run, after, failure.as_deref());
}

fn report(shared: &Shared, run: &Run, after: After, failure: Option<&str>) {
    let (component, path) = (&*run.component, &*run.path);
    let failure = failure.unwrap_or_default();
    match after {
        After::Completed => {
            shared.count(run, RunOutcome::Completed);
            tracing::debug!(component, path, "job completed");
        }
        After::FailedUntilNextTime => {
            shared.count(run, RunOutcome::Failed);
            tracing::warn!(component, path, failure, "job failed; it runs again at its next time");
        }
        After::RetryAt(at_ms) => {
            shared.count(run, RunOutcome::Failed);
            tracing::warn!(component, path, failure, retry_at_ms = at_ms, "wake failed; it is retried");
        }
        After::GaveUp => {
            shared.count(run, RunOutcome::GaveUp);
            tracing::error!(component, path, failure, "wake failed too often; given up");
        }
    }
}

async fn drain(mut running: JoinSet<()>, limit: Duration) -> usize {
    let all = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(limit, all).await.is_ok() {
        return 0;
    }
    let aborted = running.len();
    running.shutdown().await;
    tracing::warn!(aborted, "jobs were still running at the end of the stop limit");
    aborted
}
