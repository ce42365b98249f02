//! Two schedulers that share claims, on tokio's paused clock.

use std::{collections::HashMap, sync::atomic::AtomicBool};

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(30);

/// What the hosts share, and the hands of one of them on it.
struct SharedClaims {
    rows: Arc<Mutex<HashMap<String, Row>>>,
    owner: &'static str,
    /// The host has died: nothing of it reaches the claims any more.
    dead: Arc<AtomicBool>,
}

struct Row {
    due_ms: i64,
    owner: &'static str,
    lease_until: Option<Instant>,
}

impl SharedClaims {
    fn mine(&self, path: &str, due_ms: i64, change: impl FnOnce(&mut Row)) -> anyhow::Result<bool> {
        anyhow::ensure!(!self.dead.load(std::sync::atomic::Ordering::SeqCst), "dead");
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(path).filter(|row| row.due_ms == due_ms && row.owner == self.owner);
        Ok(row.map(change).is_some())
    }
}

impl Claims for SharedClaims {
    fn claim<'a>(&'a self, _: &'a str, path: &'a str, due_ms: i64) -> BoxFuture<'a, anyhow::Result<Claim>> {
        let claim = || {
            anyhow::ensure!(!self.dead.load(std::sync::atomic::Ordering::SeqCst), "dead");
            let mut rows = self.rows.lock().unwrap();
            if let Some(row) = rows.get(path) {
                match row.lease_until {
                    Some(until) if until > Instant::now() => {
                        return Ok(Claim::Taken { until: until - Instant::now() });
                    }
                    None if row.due_ms >= due_ms => return Ok(Claim::Done),
                    _ => {}
                }
            }
            let row = Row { due_ms, owner: self.owner, lease_until: Some(Instant::now() + LEASE) };
            rows.insert(path.to_owned(), row);
            Ok(Claim::Mine)
        };
        futures::future::ready(claim()).boxed()
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    fn renew<'a>(&'a self, _: &'a str, path: &'a str, due_ms: i64) -> BoxFuture<'a, anyhow::Result<bool>> {
        let renewed = self.mine(path, due_ms, |row| row.lease_until = Some(Instant::now() + LEASE));
        futures::future::ready(renewed).boxed()
    }

    fn finish<'a>(&'a self, _: &'a str, path: &'a str, due_ms: i64) -> BoxFuture<'a, anyhow::Result<bool>> {
        futures::future::ready(self.mine(path, due_ms, |row| row.lease_until = None)).boxed()
    }
}

/// Which host ran, and when: seconds from the start.
type Runs = Arc<Mutex<Vec<(&'static str, u64)>>>;

struct Hosts {
    began: Instant,
    rows: Arc<Mutex<HashMap<String, Row>>>,
    runs: Runs,
    /// How long a run takes.
    takes: Duration,
}

impl Hosts {
    fn new(takes: Duration) -> Self {
        Self { began: Instant::now(), rows: Arc::default(), runs: Arc::default(), takes }
    }

    fn start(&self, owner: &'static str) -> (Scheduler, Arc<AtomicBool>) {
        let (began, runs, takes) = (self.began, Arc::clone(&self.runs), self.takes);
        let dead = Arc::new(AtomicBool::new(false));
        let claims = SharedClaims { rows: Arc::clone(&self.rows), owner, dead: Arc::clone(&dead) };
        let settings = Settings {
            runs_max: RUNS_MAX,
            clock: Arc::new(move || i64::try_from(began.elapsed().as_millis()).unwrap()),
            metrics: Metrics::new(),
            claims: Some(Arc::new(claims)),
        };
        let invoke: Invoke = Arc::new(move |_, _| {
            let runs = Arc::clone(&runs);
            async move {
                runs.lock().unwrap().push((owner, began.elapsed().as_secs()));
                sleep(takes).await;
                Ok(200)
            }
            .boxed()
        });
        let job = Job { cron: "* * * * *".to_owned(), path: "/job".to_owned(), utc_offset_minutes: 0 };
        (Scheduler::start([("web".to_owned(), job)], settings, invoke).unwrap(), dead)
    }

    fn runs(&self) -> Vec<(&'static str, u64)> {
        self.runs.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_hosts_one_runs_a_job_for_each_of_its_times() {
    let hosts = Hosts::new(Duration::from_secs(5));
    let _running = (hosts.start("a"), hosts.start("b"));
    sleep(MINUTE * 10 + Duration::from_secs(30)).await;
    let times: Vec<u64> = hosts.runs().iter().map(|(_, at)| *at).collect();
    assert_eq!(times, (1..=10).map(|minute| minute * 60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn when_a_host_dies_in_a_run_the_other_runs_it_again() {
    let hosts = Hosts::new(Duration::from_secs(20));
    let (a, b) = (hosts.start("a"), hosts.start("b"));
    sleep(MINUTE + Duration::from_secs(1)).await;
    let first = hosts.runs();
    assert_eq!(first.len(), 1, "{first:?}");
    let (dying, _other, survivor) = if first[0].0 == "a" { (a, b, "b") } else { (b, a, "a") };
    dying.1.store(true, std::sync::atomic::Ordering::SeqCst);
    drop(dying);
    sleep(Duration::from_secs(44)).await;
    let runs = hosts.runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[1].0, survivor);
    assert!((90..95).contains(&runs[1].1), "after the lease: {runs:?}");
    sleep(MINUTE * 2).await;
    assert_eq!(hosts.runs().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_long_run_keeps_its_claim() {
    let hosts = Hosts::new(Duration::from_secs(170));
    let _running = (hosts.start("a"), hosts.start("b"));
    sleep(MINUTE * 3 + Duration::from_secs(30)).await;
    assert_eq!(hosts.runs().len(), 1, "{:?}", hosts.runs());
}

#[tokio::test(start_paused = true)]
async fn a_wake_is_not_held_back_by_another_hosts_run() {
    let hosts = Hosts::new(Duration::from_secs(50));
    let (a, _) = hosts.start("a");
    let (b, _) = hosts.start("b");
    sleep(MINUTE + Duration::from_secs(2)).await;
    let runner = hosts.runs()[0].0;
    let other = if runner == "a" { &b } else { &a };
    other.wake("web", "/job").unwrap();
    sleep(Duration::from_secs(1)).await;
    let runs = hosts.runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_ne!(runs[1].0, runner);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_claim_is_lost_is_given_up() {
    let hosts = Hosts::new(Duration::from_secs(300));
    let (a, dead) = hosts.start("a");
    sleep(MINUTE + Duration::from_secs(1)).await;
    // The host lives, but its claims cannot be renewed.
    dead.store(true, std::sync::atomic::Ordering::SeqCst);
    sleep(Duration::from_secs(58)).await;
    let last = a.status()[0].last.clone().unwrap();
    assert_eq!(last.failure.as_deref(), Some("its claim was lost"));
}
