//! Bookings a second that are on disk when they are answered: on one departure that
//! everybody wants and on a hundred, with the data on SQLite and on Postgres, beside what
//! the machine does when each booking has an fsync to itself.

use std::{
    fs,
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use cairn_shared::{Db, DbError, Sql, params};
use cairn_tests::postgres;
use http::Method;
use serde::Serialize;
use serde_json::json;

use crate::{
    load::{self, Call, Plan},
    report::{self, Figure, Tally},
    seed::{self, Tickets},
    systems,
};

const USAGE: &str = "\
cairn-bench bookings [options]     the host is named by CAIRN_BIN

  --seconds N        length of a slice [5]
  --rounds N         slices of each system and number of departures [3]
  --connections N    open at once [64]
  --postgres URL     administrator's URL of a server that syncs; without it SQLite alone
  --out DIR          where bookings.json goes [.]
";

/// Bytes that a plain fsync is about: a page.
const PAGE_BYTES: usize = 4096;

struct Options {
    slice: Duration,
    rounds: usize,
    connections: usize,
    postgres: Option<String>,
    out: std::path::PathBuf,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Results {
    connections: usize,
    /// Pages a second that are written to a file and synced, one after the other.
    fsyncs_per_second: f64,
    /// Bookings a second of one row and a counter, natively, an fsync each.
    plain_per_second: f64,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    departures: usize,
    figure: Figure,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options =
        Options { slice: Duration::from_secs(5), rounds: 3, connections: 64, postgres: None, out: ".".into() };
    while let Some(name) = args.next() {
        let value = args.next().with_context(|| format!("{name} wants a value\n\n{USAGE}"))?;
        match name.as_str() {
            "--seconds" => options.slice = Duration::from_secs_f64(value.parse::<f64>()?.clamp(0.1, 600.0)),
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--connections" => options.connections = value.parse::<usize>()?.max(1),
            "--postgres" => options.postgres = Some(value),
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
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let results = runtime.block_on(measure(&options))?;
    println!("\n{}", table(&results));
    fs::create_dir_all(&options.out)?;
    let json = options.out.join("bookings.json");
    fs::write(&json, serde_json::to_string_pretty(&results)?)?;
    println!("written: {}", json.display());
    Ok(())
}

async fn measure(options: &Options) -> Result<Results> {
    println!("measuring the disk…");
    let folder = tempfile::tempdir()?;
    let fsyncs_per_second = fsyncs(folder.path(), options.slice)?;
    let plain_per_second = plain(folder.path(), options.slice).await?;
    let mut rows = rows(options, "SQLite", None).await?;
    if let Some(server) = &options.postgres {
        rows.extend(self::rows(options, "Postgres", Some(server)).await?);
    }
    Ok(Results { connections: options.connections, fsyncs_per_second, plain_per_second, rows })
}

/// Pages a second, each written and synced.
fn fsyncs(folder: &Path, time: Duration) -> Result<f64> {
    let mut file = fs::File::create(folder.join("pages"))?;
    let began = Instant::now();
    let mut pages = 0_u32;
    while began.elapsed() < time {
        file.write_all(&[0; PAGE_BYTES])?;
        file.sync_data()?;
        pages += 1;
    }
    Ok(f64::from(pages) / began.elapsed().as_secs_f64())
}

/// Bookings a second that are one row and one counter, a transaction and an fsync each.
async fn plain(folder: &Path, time: Duration) -> Result<f64> {
    let db = Db::open_file(&folder.join("plain.db")).await?;
    db.execute("CREATE TABLE departures (id BIGINT PRIMARY KEY, taken BIGINT NOT NULL)", params![]).await?;
    db.execute("CREATE TABLE bookings (id BIGINT PRIMARY KEY, document TEXT NOT NULL)", params![]).await?;
    db.execute("INSERT INTO departures (id, taken) VALUES (1, 0)", params![]).await?;
    let document = "x".repeat(1_500);
    let began = Instant::now();
    let mut bookings = 0_u32;
    while began.elapsed() < time {
        bookings += 1;
        db.transaction(async |tx| {
            tx.execute("UPDATE departures SET taken = taken + 1 WHERE id = 1", params![]).await?;
            let insert = "INSERT INTO bookings (id, document) VALUES ($1, $2)";
            tx.execute(insert, params![bookings, document.as_str()]).await?;
            Ok::<_, DbError>(())
        })
        .await?;
    }
    Ok(f64::from(bookings) / began.elapsed().as_secs_f64())
}

/// A host with its data on one engine, asked on one departure and on many.
async fn rows(options: &Options, engine: &str, server: Option<&str>) -> Result<Vec<Row>> {
    println!("starting the host on {engine}…");
    let (mut host, trek_id, _) = systems::seeded_host().await?;
    if let Some(server) = server {
        host.move_to_postgres(&postgres::database_on(server).await?)?;
    }
    host.launch().await?;
    let secret = host.environment().iter().find(|(name, _)| name == "JWT_SECRET").map(|(_, value)| value.clone());
    let mut people = People { tickets: Tickets::new(&secret.context("a secret")?), trek_id, next: 0 };
    let plan = Plan {
        address: host.base.trim_start_matches("http://").parse()?,
        connections: options.connections,
        time: options.slice,
        expected: 201,
        keep_answers: false,
    };
    let departures = [1, seed::SPREAD];
    let mut tallies = departures.map(|_| Tally::default());
    // The first round warms up and does not count.
    for round in 0..=options.rounds {
        for (tally, departures) in tallies.iter_mut().zip(departures) {
            let slices_left = (options.rounds + 1 - round) * 2;
            let slice = load::run(plan, people.calls(departures, slices_left))?;
            if round > 0 {
                let rate = slice.latencies_us.len() as f64 / slice.elapsed.as_secs_f64();
                println!("  {engine:<8} {departures:>3} departures {:>10}/s", report::thousands(rate));
                tally.add(slice, None);
            }
        }
    }
    host.stop().await?;
    let row = |(tally, departures): (Tally, usize)| Row { departures, figure: tally.figure(engine) };
    Ok(tallies.into_iter().zip(departures).map(row).collect())
}

/// People who have not booked yet.
struct People {
    tickets: Tickets,
    trek_id: String,
    next: usize,
}

impl People {
    /// The calls of a slice, when so many are still to come, this one included: each
    /// person books once.
    fn calls(&mut self, departures: usize, slices_left: usize) -> impl FnMut() -> Option<Call> + Send {
        let path: Arc<str> = "/api/bookings".into();
        let mut left = (seed::PEOPLE - self.next) / slices_left.max(1);
        move || {
            left = left.checked_sub(1)?;
            let person = self.next;
            self.next += 1;
            let batch = if departures == 1 { seed::hot_batch() } else { seed::spread_batch(person % departures) };
            let body = json!({
                "trekId": self.trek_id, "batchId": batch, "numberOfParticipants": 1, "addOns": [],
                "userDetails": { "name": "Asha Walker", "email": seed::email(person), "phone": "9800000001" },
                "paymentMode": "full",
            });
            Some(Call {
                method: Method::POST,
                path: path.clone(),
                token: Some(self.tickets.token(person).ok()?),
                body: Bytes::from(body.to_string()),
                tag: person,
            })
        }
    }
}

/// The table, in Markdown.
fn table(results: &Results) -> String {
    let mut lines = vec![
        "| data on | departures | bookings/s | p50 / p99 ms | ÷ plain | failed |".to_owned(),
        "|---|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for Row { departures, figure } in &results.rows {
        let failed: u64 = figure.failures.values().sum();
        lines.push(format!(
            "| {} | {departures} | {} | {:.1} / {:.1} | {:.1} | {failed} |",
            figure.system,
            report::thousands(figure.requests_per_second),
            f64::from(figure.p50_us) / 1e3,
            f64::from(figure.p99_us) / 1e3,
            figure.requests_per_second / results.plain_per_second.max(f64::EPSILON),
        ));
    }
    lines.push(format!(
        "\nPlain, one booking after the other with an fsync each: {}/s. Pages alone, an fsync each: {}/s.",
        report::thousands(results.plain_per_second),
        report::thousands(results.fsyncs_per_second),
    ));
    for Row { departures, figure } in &results.rows {
        for (what, count) in &figure.failures {
            lines.push(format!("failed: {} on {departures} departures, {count} times: {what}", figure.system));
        }
    }
    lines.join("\n")
}
