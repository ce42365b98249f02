//! The scheduler on tokio's paused clock: time passes only when nothing else is left to do.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::*;
use crate::manifest::Job;

const MINUTE: i64 = 60_000;

/// A component that is invoked: it records, waits for a permit if told to, and answers.
struct Target {
    started: Instant,
    /// Added to the wall clock only, as if the machine had slept.
    slept_ms: AtomicI64,
    /// Path and time of each run, in milliseconds from the start.
    runs: Mutex<Vec<(String, i64)>>,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
    /// Runs wait here where there is one.
    gate: Option<Semaphore>,
    /// Runs that fail before they succeed.
    failures: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Target {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            slept_ms: AtomicI64::new(0),
            runs: Mutex::default(),
            at_once: AtomicUsize::new(0),
            at_once_max: AtomicUsize::new(0),
            gate: None,
            failures: AtomicUsize::new(0),
            metrics: Metrics::new(),
        }
    }

    fn gated() -> Self {
        Self { gate: Some(Semaphore::new(0)), ..Self::new() }
    }

    fn failing(times: usize) -> Self {
        Self { failures: AtomicUsize::new(times), ..Self::new() }
    }

    fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap();
        elapsed + self.slept_ms.load(Ordering::SeqCst)
    }

    fn schedule(self: &Arc<Self>, jobs: &[(&str, &str)], runs_max: usize) -> Scheduler {
        let jobs = jobs.iter().map(|(cron, path)| {
            let job = Job { cron: (*cron).to_owned(), path: (*path).to_owned(), utc_offset_minutes: 0 };
            ("web".to_owned(), job)
        });
        let (clock, invoke) = (Arc::clone(self), Arc::clone(self));
        let settings = Settings {
            runs_max,
            clock: Arc::new(move || clock.now_ms()),
            metrics: Arc::clone(&self.metrics),
            claims: None,
        };
        let invoke: Invoke = Arc::new(move |component, path| {
            assert_eq!(&*component, "web");
            Arc::clone(&invoke).run(path).boxed()
        });
        Scheduler::start(jobs, settings, invoke).unwrap()
    }

    async fn run(self: Arc<Self>, path: Arc<str>) -> anyhow::Result<u16> {
        self.runs.lock().unwrap().push((path.to_string(), self.now_ms()));
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once_max.fetch_max(at_once, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await?.forget();
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        let fail = |left: usize| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail) {
            Ok(left) if left % 2 == 0 => Ok(500),
            Ok(_) => anyhow::bail!("no answer"),
            Err(_) => Ok(204),
        }
    }

    fn open(&self, runs: usize) {
        self.gate.as_ref().unwrap().add_permits(runs);
    }

    fn runs(&self) -> Vec<(String, i64)> {
        self.runs.lock().unwrap().clone()
    }

    fn times(&self) -> Vec<i64> {
        self.runs().into_iter().map(|(_, at)| at).collect()
    }

    fn count(&self, job: &str, outcome: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let name = format!(r#"cairn_scheduler_runs_total{{component="web",job="{job}",outcome="{outcome}"}} "#);
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(&name));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

async fn minutes(number: u64) {
    sleep(Duration::from_secs(60 * number)).await;
}

/// Lets everything that is ready run; the clock moves by one millisecond.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn jobs_run_at_their_times() {
    let target = Arc::new(Target::new());
    let scheduler = target.schedule(&[("*/2 * * * *", "/a"), ("3 * * * *", "/b")], RUNS_MAX);
    minutes(5).await;
    let run = |path: &str, minute: i64| (path.to_owned(), minute * MINUTE);
    assert_eq!(target.runs(), [run("/a", 2), run("/b", 3), run("/a", 4)]);
    assert_eq!(target.count("/a", "completed"), 2);
    let status = scheduler.status();
    assert_eq!(status[0].next_ms, Some(6 * MINUTE));
    assert_eq!(status[0].crons, ["*/2 * * * *"]);
    let last = LastRun { started_ms: 4 * MINUTE, duration_ms: 0, failure: None };
    assert_eq!(status[0].last, Some(last));
}

#[tokio::test(start_paused = true)]
async fn a_time_that_comes_while_the_job_still_runs_is_skipped_and_counted() {
    let target = Arc::new(Target::gated());
    let scheduler = target.schedule(&[("* * * * *", "/a")], RUNS_MAX);
    sleep(Duration::from_secs(3 * 60 + 30)).await;
    assert_eq!(target.times(), [MINUTE]);
    assert!(scheduler.status()[0].running);
    assert_eq!(target.count("/a", "skipped"), 2);
    target.open(1);
    minutes(1).await;
    assert_eq!(target.times(), [MINUTE, 4 * MINUTE]);
    assert_eq!(target.at_once_max.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn times_missed_in_sleep_are_made_up_for_by_one_run() {
    let target = Arc::new(Target::new());
    let _scheduler = target.schedule(&[("*/10 * * * *", "/a")], RUNS_MAX);
    minutes(1).await;
    target.slept_ms.store(95 * MINUTE, Ordering::SeqCst);
    minutes(1).await;
    let times = target.times();
    assert_eq!(times.len(), 1);
    assert_eq!(target.count("/a", "skipped"), 0);
    let noticed_after = times[0] - 96 * MINUTE;
    assert!((0..=15_000).contains(&noticed_after), "{noticed_after} ms");
    minutes(4).await;
    assert_eq!(target.times()[1..], [100 * MINUTE]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_does_not_silence_the_jobs() {
    let target = Arc::new(Target::new());
    target.slept_ms.store(1_000 * MINUTE, Ordering::SeqCst);
    let _scheduler = target.schedule(&[("* * * * *", "/a")], RUNS_MAX);
    sleep(Duration::from_secs(90)).await;
    target.slept_ms.store(0, Ordering::SeqCst);
    minutes(1).await;
    assert_eq!(target.times(), [1_001 * MINUTE, 2 * MINUTE]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_runs_again_at_its_next_time_and_not_before() {
    let target = Arc::new(Target::failing(1));
    let scheduler = target.schedule(&[("* * * * *", "/a")], RUNS_MAX);
    sleep(Duration::from_secs(90)).await;
    let failure = scheduler.status()[0].last.clone().unwrap().failure;
    assert_eq!(failure.as_deref(), Some("no answer"));
    minutes(1).await;
    assert_eq!(target.times(), [MINUTE, 2 * MINUTE]);
    assert_eq!(target.count("/a", "failed"), 1);
    assert_eq!(target.count("/a", "completed"), 1);
}

#[tokio::test(start_paused = true)]
async fn wakes_of_one_path_count_once_until_it_starts() {
    let target = Arc::new(Target::new());
    let scheduler = target.schedule(&[], RUNS_MAX);
    for _ in 0..10 {
        scheduler.wake("web", "/a").unwrap();
    }
    scheduler.wake("web", "/b").unwrap();
    settle().await;
    assert_eq!(target.runs(), [("/a".to_owned(), 0), ("/b".to_owned(), 0)]);
    assert_eq!(target.count("wake", "completed"), 2);
}

#[tokio::test(start_paused = true)]
async fn wakes_while_it_runs_make_it_run_exactly_once_more() {
    let target = Arc::new(Target::gated());
    let scheduler = target.schedule(&[], RUNS_MAX);
    scheduler.wake("web", "/a").unwrap();
    settle().await;
    for _ in 0..10 {
        scheduler.wake("web", "/a").unwrap();
    }
    settle().await;
    assert_eq!(target.runs().len(), 1);
    target.open(5);
    settle().await;
    assert_eq!(target.runs().len(), 2);
    assert_eq!(target.at_once_max.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_wake_is_retried_with_growing_waits_until_it_succeeds() {
    let target = Arc::new(Target::failing(3));
    let scheduler = target.schedule(&[], RUNS_MAX);
    scheduler.wake("web", "/a").unwrap();
    minutes(2).await;
    assert_eq!(target.times(), [0, 1_000, 3_000, 7_000]);
    assert_eq!(target.count("wake", "failed"), 3);
    assert_eq!(target.count("wake", "completed"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wake_is_given_up_after_five_retries_and_may_come_anew() {
    let target = Arc::new(Target::failing(6));
    let scheduler = target.schedule(&[], RUNS_MAX);
    scheduler.wake("web", "/a").unwrap();
    minutes(10).await;
    assert_eq!(target.times(), [0, 1_000, 3_000, 7_000, 15_000, 31_000]);
    assert_eq!(target.count("wake", "gave_up"), 1);
    scheduler.wake("web", "/a").unwrap();
    settle().await;
    assert_eq!(target.count("wake", "completed"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_wakes_does_not_shorten_the_wait_of_a_retry() {
    let target = Arc::new(Target::failing(1));
    let scheduler = target.schedule(&[], RUNS_MAX);
    for _ in 0..5 {
        scheduler.wake("web", "/a").unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    minutes(1).await;
    assert_eq!(target.times(), [0, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_wake_while_a_run_fails_is_served_by_its_retry() {
    let target = Arc::new(Target { failures: AtomicUsize::new(1), ..Target::gated() });
    let scheduler = target.schedule(&[], RUNS_MAX);
    scheduler.wake("web", "/a").unwrap();
    settle().await;
    scheduler.wake("web", "/a").unwrap();
    target.open(5);
    minutes(1).await;
    let times = target.times();
    assert_eq!(times.len(), 2, "{times:?}");
    assert!(times[1] >= 1_000, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_run_stands_in_for_a_retry() {
    let target = Arc::new(Target::failing(6));
    let scheduler = target.schedule(&[("1 * * * *", "/a")], RUNS_MAX);
    sleep(Duration::from_secs(31)).await;
    scheduler.wake("web", "/a").unwrap();
    minutes(2).await;
    // The retry after 31 s would be at 62 s: the job of 60 s has come before.
    assert_eq!(target.times(), [31_000, 32_000, 34_000, 38_000, 46_000, 60_000]);
    assert_eq!(target.count("/a", "gave_up"), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_may() {
    let target = Arc::new(Target::gated());
    let scheduler = target.schedule(&[], 2);
    for path in ["/a", "/b", "/c", "/d"] {
        scheduler.wake("web", path).unwrap();
    }
    settle().await;
    assert_eq!(target.runs().len(), 2);
    target.open(4);
    settle().await;
    assert_eq!(target.runs().len(), 4);
    assert_eq!(target.at_once_max.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_panics_has_failed_and_harms_no_other() {
    let metrics = Metrics::new();
    let settings = Settings { runs_max: RUNS_MAX, clock: Arc::new(|| 0), metrics: Arc::clone(&metrics), claims: None };
    let invoke: Invoke = Arc::new(|_, path| {
        async move {
            assert_ne!(&*path, "/bad", "on purpose");
            Ok(200)
        }
        .boxed()
    });
    let scheduler = Scheduler::start([], settings, invoke).unwrap();
    scheduler.wake("web", "/bad").unwrap();
    scheduler.wake("web", "/good").unwrap();
    settle().await;
    let text = metrics.render().unwrap();
    assert!(text.contains(r#"{component="web",job="wake",outcome="failed"} 1"#), "{text}");
    assert!(text.contains(r#"{component="web",job="wake",outcome="completed"} 1"#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_runs_and_starts_nothing_more() {
    let target = Arc::new(Target::gated());
    let scheduler = target.schedule(&[("* * * * *", "/job")], 1);
    scheduler.wake("web", "/a").unwrap();
    scheduler.wake("web", "/b").unwrap();
    settle().await;
    let opener = Arc::clone(&target);
    tokio::spawn(async move {
        minutes(2).await;
        opener.open(10);
    });
    assert_eq!(scheduler.stop(Duration::from_secs(300)).await, 0);
    assert_eq!(target.runs().len(), 1);
    assert_eq!(target.count("wake", "completed"), 1);
    assert_eq!(scheduler.wake("web", "/a"), Err(WakeError::Stopped));
    assert_eq!(scheduler.stop(Duration::ZERO).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_outlasts_the_stop_limit_is_aborted() {
    let target = Arc::new(Target::gated());
    let scheduler = target.schedule(&[], RUNS_MAX);
    scheduler.wake("web", "/a").unwrap();
    settle().await;
    let before = Instant::now();
    assert_eq!(scheduler.stop(Duration::from_secs(10)).await, 1);
    assert_eq!(before.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn wakes_of_ever_new_paths_are_bounded_and_forgotten_when_done() {
    let target = Arc::new(Target::gated());
    let scheduler = target.schedule(&[], 1);
    for number in 0..1_024 {
        scheduler.wake("web", &format!("/{number}")).unwrap();
    }
    assert_eq!(scheduler.wake("web", "/more"), Err(WakeError::TooMany));
    assert_eq!(scheduler.wake("web", "relative"), Err(WakeError::Path));
    target.open(1_024);
    settle().await;
    assert_eq!(scheduler.wake("web", "/more"), Ok(()));
}
