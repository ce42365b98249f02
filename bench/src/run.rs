//! One run: start the systems, ask them in turn, show what was found.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use cairn_tests::client::Client;

use crate::{
    calls,
    load::{self, Plan},
    plot,
    report::{self, Conditions, Results, Row, Tally},
    scenario::{Scenario, Visit},
    seed,
    systems::{self, Pair, Target},
};

const USAGE: &str = "\
cairn-bench --twin FILE [options]     the host is named by CAIRN_BIN

  --seconds N        length of a slice [3]
  --rounds N         slices of each system and request [3]
  --connections N    open at once [32]
  --only NAME        only this request, and what it needs; may be repeated
  --other NAME=URL   a system that runs already, as one more column; may be repeated
  --guests DIR       the host's test guests, to measure calls between components
  --out DIR          where results.json and plot.svg go [.]
";

/// Warm-up of each request on each system.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long background work may go on after a slice.
const SETTLE_MAX: Duration = Duration::from_secs(20);
/// A process that uses less than this in [`SETTLE_STEP`] has nothing left to do.
const IDLE: Duration = Duration::from_millis(10);
const SETTLE_STEP: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Options {
    twin: PathBuf,
    slice: Duration,
    rounds: usize,
    connections: usize,
    only: Vec<String>,
    others: Vec<String>,
    guests: Option<PathBuf>,
    out: PathBuf,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        twin: PathBuf::new(),
        slice: Duration::from_secs(3),
        rounds: 3,
        connections: 32,
        only: Vec::new(),
        others: Vec::new(),
        guests: None,
        out: ".".into(),
    };
    while let Some(name) = args.next() {
        let value = args.next().with_context(|| format!("{name} wants a value\n\n{USAGE}"))?;
        match name.as_str() {
            "--twin" => options.twin = value.into(),
            "--seconds" => options.slice = Duration::from_secs_f64(value.parse::<f64>()?.clamp(0.1, 600.0)),
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--connections" => options.connections = value.parse::<usize>()?.max(1),
            "--only" => options.only.push(value),
            "--other" => options.others.push(value),
            "--guests" => options.guests = Some(value.into()),
            "--out" => options.out = value.into(),
            _ => bail!("{name} is not known here\n\n{USAGE}"),
        }
    }
    Ok(options)
}

/// The command line.
///
/// # Errors
/// A system does not come up, or the results cannot be written.
pub fn main(args: impl Iterator<Item = String>) -> Result<()> {
    let options = options(args)?;
    let scenarios = Scenario::chosen(&options.only)?;
    // The doubles run on its worker; this thread drives the load and may block.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let results = runtime.block_on(measure(&options, &scenarios))?;
    show(&results, &options)
}

async fn measure(options: &Options, scenarios: &[Scenario]) -> Result<Results> {
    let load_average_before = load_average()?;
    let calls = match &options.guests {
        Some(guests) => {
            println!("measuring calls between components…");
            let host = std::env::var_os("CAIRN_BIN").context("CAIRN_BIN is not set")?;
            Some(calls::measure(host.as_ref(), guests, options.slice).await?)
        }
        None => None,
    };
    println!("starting host and twin…");
    let pair = Pair::start(&options.twin).await?;
    let mut systems = Vec::new();
    for target in pair.targets.clone() {
        systems.push((target, Visit::new(&pair.secret, &pair.trek_id, &pair.slug, &seed::hot_batch().to_string())));
    }
    for other in &options.others {
        systems.push(visit_other(other).await?);
    }
    let mut requests = Vec::new();
    for scenario in scenarios {
        requests.push(row(*scenario, options, &mut systems, &pair)?);
    }
    Ok(Results {
        conditions: Conditions {
            processors: thread::available_parallelism().map_or(1, usize::from),
            connections: options.connections,
            slice_seconds: options.slice.as_secs_f64(),
            rounds: options.rounds,
            load_average_before,
            load_average_after: load_average()?,
        },
        requests,
        calls,
    })
}

/// Another system has the demo's data at most: its own first trek and a date of it.
async fn visit_other(text: &str) -> Result<(Target, Visit)> {
    let target = Target::other(text)?;
    let client = Client::new(format!("http://{}", target.address));
    let (trek_id, slug) = systems::first_trek(&client).await.with_context(|| target.name.clone())?;
    let trek = client.get(&format!("/api/treks/slug/{slug}")).await?.json;
    let batch = trek["batches"][0]["_id"].as_str().with_context(|| format!("a batch of {slug} on {}", target.name))?;
    let visit = Visit::new("", &trek_id, &slug, batch);
    Ok((target, visit))
}

/// Asks every system in turn, slice after slice.
fn row(scenario: Scenario, options: &Options, systems: &mut [(Target, Visit)], pair: &Pair) -> Result<Row> {
    let mut asked: Vec<_> = systems.iter_mut().filter(|(target, _)| target.seeded || scenario.anywhere()).collect();
    let mut tallies: Vec<Tally> = asked.iter().map(|_| Tally::default()).collect();
    println!("{}", scenario.title());
    // The first round warms up and does not count.
    for round in 0..=options.rounds {
        for ((target, visit), tally) in asked.iter_mut().zip(&mut tallies) {
            let plan = Plan {
                address: target.address,
                connections: options.connections,
                time: if round == 0 { WARM_UP.min(options.slice) } else { options.slice },
                expected: scenario.expected(),
                keep_answers: scenario.keeps_answers(),
            };
            let cpu_before = target.cpu()?;
            let slice = load::run(plan, visit.calls(scenario, options.rounds + 1 - round))?;
            let cpu_after = settled(target)?;
            visit.note(scenario, &slice, &pair.host.razorpay)?;
            if round > 0 {
                let rate = slice.latencies_us.len() as f64 / slice.elapsed.as_secs_f64();
                println!("  {:<8} {:>10}/s", target.name, report::thousands(rate));
                tally.add(slice, cpu_after.zip(cpu_before).map(|(after, before)| after.saturating_sub(before)));
            }
        }
    }
    let figures = asked.iter().zip(tallies).map(|((target, _), tally)| tally.figure(&target.name)).collect();
    Ok(Row::new(scenario, figures))
}

/// Waits until background work is done; tells the processor time used until then.
fn settled(target: &Target) -> Result<Option<Duration>> {
    let began = Instant::now();
    let mut last = target.cpu()?;
    while let Some(before) = last {
        thread::sleep(SETTLE_STEP);
        let now = target.cpu()?.unwrap_or(before);
        if now.saturating_sub(before) <= IDLE {
            return Ok(Some(now));
        }
        if began.elapsed() > SETTLE_MAX {
            println!("  {} is still busy with background work", target.name);
            return Ok(Some(now));
        }
        last = Some(now);
    }
    Ok(None)
}

fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    text.split(' ').next().and_then(|first| first.parse().ok()).context("the form of /proc/loadavg")
}

fn show(results: &Results, options: &Options) -> Result<()> {
    let mut systems: Vec<String> = Vec::new();
    for figure in results.requests.iter().flat_map(|row| &row.figures) {
        if !systems.contains(&figure.system) {
            systems.push(figure.system.clone());
        }
    }
    println!("\n{}", report::table(results, &systems));
    if let Some(calls) = &results.calls {
        println!(
            "A call between components: {:.1} µs by WIT, {:.1} µs as an HTTP request.",
            calls.wit_call_us, calls.upstream_call_us
        );
    }
    for line in report::failures(results) {
        println!("failed: {line}");
    }
    fs::create_dir_all(&options.out)?;
    let (json, svg) = (options.out.join("results.json"), options.out.join("plot.svg"));
    fs::write(&json, serde_json::to_string_pretty(results)?)?;
    fs::write(&svg, plot::svg(results, &systems))?;
    println!("\nwritten: {} and {}", json.display(), svg.display());
    Ok(())
}
