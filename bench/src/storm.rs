//! The swap storm: services are replaced one after another while people book.
//!
//! The same load runs first without swaps and then with them, on one process, so that
//! the latencies of both can be set side by side. A request that is not answered as it
//! should be is a failure, whatever the reason.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use cairn_tests::{client::Client, system::System};
use http::Method;
use serde_json::json;

use crate::{
    load::{self, Call, Plan, Slice},
    report::percentile,
    seed::{self, Tickets},
    systems,
};

/// The services that are replaced, in turn: a caller and two that it calls.
const SERVICES: [&str; 3] = ["booking", "payment", "batch"];
/// After so many swaps one is taken back.
const ROLLBACK_EVERY: usize = 5;
/// Longest time of a swap: its compilation competes with the load.
const SWAP_TIME_MAX: Duration = Duration::from_secs(120);
/// Longest time of one phase of the load.
const PHASE_TIME_MAX: Duration = Duration::from_secs(3600);

/// How a storm goes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub swaps: usize,
    /// Connections that book, and as many that read.
    pub connections: usize,
    /// How long the load runs before the first swap.
    pub quiet: Duration,
    /// People who book; each again when all have.
    pub people: usize,
}

/// What a storm found.
#[derive(Debug)]
pub struct Outcome {
    pub quiet: Load,
    pub storm: Load,
    pub swaps: Vec<Duration>,
    pub rollbacks: Vec<Duration>,
}

/// The requests of one phase.
#[derive(Debug, Default)]
pub struct Load {
    pub elapsed: Duration,
    /// Of good answers, in µs, sorted.
    pub latencies_us: Vec<u32>,
    /// What went wrong, how often.
    pub failures: BTreeMap<String, u64>,
}

/// Starts a system, puts it under load, and replaces its services meanwhile.
///
/// # Errors
/// The system does not come up, or a swap is refused. Requests that fail are counted.
pub async fn run(options: Options) -> Result<Outcome> {
    let unlimited = u32::MAX.to_string();
    let limits = [("RATE_LIMIT_MAX_REQUESTS", unlimited.as_str()), ("RATE_LIMIT_STRICT_MAX", unlimited.as_str())];
    let mut system = System::start_with(&limits).await?;
    let (trek_id, slug) = systems::first_trek(&system.client()).await?;
    system.stop().await?;
    seed::fill(system.data(), trek_id.parse()?, options.people).await?;
    system.launch().await?;
    let secret = system.environment().iter().find(|(name, _)| name == "JWT_SECRET").map(|(_, value)| value.clone());
    let walkers = Arc::new(Walkers {
        tickets: Tickets::new(&secret.context("a secret")?),
        trek_id,
        reads: [format!("/api/treks/slug/{slug}").into(), format!("/api/batches/{}", seed::hot_batch()).into()],
        people: options.people,
        next: AtomicUsize::new(0),
    });
    let address = system.base.trim_start_matches("http://").parse()?;

    let quiet = Phase::start(address, options.connections, &walkers);
    tokio::time::sleep(options.quiet).await;
    let quiet = quiet.end()?;

    let storm = Phase::start(address, options.connections, &walkers);
    let mut storming = Storm::new(&system)?;
    let stormed = storming.swap_all(options.swaps).await;
    let storm = storm.end()?;
    stormed?;
    system.stop().await?;
    Ok(Outcome { quiet, storm, swaps: storming.swaps, rollbacks: storming.rollbacks })
}

/// People who book and look around.
struct Walkers {
    tickets: Tickets,
    trek_id: String,
    reads: [Arc<str>; 2],
    people: usize,
    next: AtomicUsize,
}

impl Walkers {
    fn book(&self, path: &Arc<str>) -> Option<Call> {
        let person = self.next.fetch_add(1, Relaxed) % self.people;
        let body = json!({
            "trekId": self.trek_id, "batchId": seed::hot_batch(), "numberOfParticipants": 1, "addOns": [],
            "userDetails": { "name": "Asha Walker", "email": seed::email(person), "phone": "9800000001" },
            "paymentMode": "full",
        });
        let token = self.tickets.token(person).ok()?;
        let body = Bytes::from(body.to_string());
        Some(Call { method: Method::POST, path: path.clone(), token: Some(token), body, tag: person })
    }

    fn read(&self, number: usize) -> Option<Call> {
        self.reads.get(number % self.reads.len()).map(Call::get)
    }
}

/// Load that runs until it is told to end.
struct Phase {
    done: Arc<AtomicBool>,
    drivers: [thread::JoinHandle<Result<Slice>>; 2],
}

impl Phase {
    fn start(address: SocketAddr, connections: usize, walkers: &Arc<Walkers>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let plan = |expected| Plan { address, connections, time: PHASE_TIME_MAX, expected, keep_answers: false };
        let booking = {
            let (done, walkers, plan) = (Arc::clone(&done), Arc::clone(walkers), plan(201));
            let path: Arc<str> = "/api/bookings".into();
            thread::spawn(move || load::run(plan, || (!done.load(Relaxed)).then(|| walkers.book(&path)).flatten()))
        };
        let reading = {
            let (done, walkers, plan) = (Arc::clone(&done), Arc::clone(walkers), plan(200));
            let mut number = 0;
            let calls = move || {
                number += 1;
                (!done.load(Relaxed)).then(|| walkers.read(number)).flatten()
            };
            thread::spawn(move || load::run(plan, calls))
        };
        Self { done, drivers: [booking, reading] }
    }

    fn end(self) -> Result<Load> {
        self.done.store(true, Relaxed);
        let mut load = Load::default();
        for driver in self.drivers {
            let slice = driver.join().map_err(|_| anyhow!("the load generator panicked"))??;
            load.elapsed = load.elapsed.max(slice.elapsed);
            load.latencies_us.extend(slice.latencies_us);
            for (what, count) in slice.failures {
                *load.failures.entry(what).or_default() += count;
            }
        }
        load.latencies_us.sort_unstable();
        Ok(load)
    }
}

/// Swaps and how long they took.
struct Storm {
    operator: Client,
    files: Vec<(&'static str, Vec<u8>)>,
    swaps: Vec<Duration>,
    rollbacks: Vec<Duration>,
}

impl Storm {
    fn new(system: &System) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/wasm32-wasip2/component");
        let file = |service: &'static str| {
            let path: PathBuf = folder.join(format!("cairn_{service}.wasm"));
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            Ok((service, bytes))
        };
        let files = SERVICES.into_iter().map(file).collect::<Result<_>>()?;
        let operator = system.operator().with_timeout(SWAP_TIME_MAX);
        Ok(Self { operator, files, swaps: Vec::new(), rollbacks: Vec::new() })
    }

    async fn swap_all(&mut self, count: usize) -> Result<()> {
        for number in 0..count {
            let (service, bytes) = self.files.get(number % self.files.len()).context("a service")?;
            let path = format!("/components/{service}");
            let began = Instant::now();
            let reply = self.operator.send(Method::PUT, &path, None, marked(bytes, number)).await?;
            self.swaps.push(began.elapsed());
            ensure!(reply.status == 200, "{service} was not replaced: {} {}", reply.status, reply.json);
            if number % ROLLBACK_EVERY == ROLLBACK_EVERY - 1 {
                let began = Instant::now();
                let reply = self.operator.post(&format!("{path}/rollback"), &json!({})).await?;
                self.rollbacks.push(began.elapsed());
                ensure!(reply.status == 200, "{service} did not go back: {} {}", reply.status, reply.json);
            }
        }
        Ok(())
    }
}

/// Another version of a component that does the same: a custom section makes other
/// bytes of it.
fn marked(bytes: &[u8], number: usize) -> Bytes {
    let mark = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    [bytes, &[0, 6, 1, b'v'], &mark].concat().into()
}

impl Outcome {
    /// Fails if any request did.
    ///
    /// # Errors
    /// What failed, how often.
    pub fn check(&self) -> Result<()> {
        for (phase, load) in [("without swaps", &self.quiet), ("with swaps", &self.storm)] {
            ensure!(!load.latencies_us.is_empty(), "{phase}: no request was answered");
            if !load.failures.is_empty() {
                bail!("{phase}: requests failed: {:?}", load.failures);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (phase, load) in [("quiet", &self.quiet), ("storm", &self.storm)] {
            writeln!(
                f,
                "{phase:<6} {:>8} requests, {} failed, {:>6.0}/s   p50 {}   p99 {}   max {}",
                load.latencies_us.len(),
                load.failures.values().sum::<u64>(),
                load.latencies_us.len() as f64 / load.elapsed.as_secs_f64(),
                milliseconds(percentile(&load.latencies_us, 0.50)),
                milliseconds(percentile(&load.latencies_us, 0.99)),
                milliseconds(load.latencies_us.last().copied().unwrap_or_default()),
            )?;
        }
        for (what, times) in [("swaps", &self.swaps), ("rollbacks", &self.rollbacks)] {
            let mut sorted: Vec<u32> =
                times.iter().map(|time| time.as_micros().try_into().unwrap_or(u32::MAX)).collect();
            sorted.sort_unstable();
            writeln!(
                f,
                "{:>6} {what:<9} median {}   slowest {}",
                sorted.len(),
                milliseconds(percentile(&sorted, 0.50)),
                milliseconds(sorted.last().copied().unwrap_or_default()),
            )?;
        }
        Ok(())
    }
}

fn milliseconds(micros: u32) -> String {
    format!("{:.1} ms", f64::from(micros) / 1000.0)
}
