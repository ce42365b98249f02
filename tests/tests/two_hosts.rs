//! Two hosts serve one application on one Postgres, and one of them is killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_tests::{
    client::Client,
    system::System,
    trekker::{Trekker, expect, text},
};
use futures::future::try_join_all;

const TREK: &str = "68c5a7d0b3e19f4200002001";
/// Exactly twenty free seats.
const BATCH: &str = "68c5a7d0b3e19f4200004008";
const SEATS: usize = 20;
const TREKKERS: usize = 40;
/// Long enough for whatever picks up what a crash left.
const SETTLED_MAX: Duration = Duration::from_secs(200);

/// One person with a login, whom either host serves.
struct Racer {
    trekker: Trekker,
    /// The same login at each host.
    hosts: [Client; 2],
}

impl Racer {
    /// Books a seat at whichever host answers, insisting as a client on a bad connection
    /// does. Nothing if there are no seats left.
    async fn book(&self, first: usize) -> Result<Option<String>> {
        let request = self.trekker.booking_request(TREK, BATCH, 1);
        let key = format!("book-{}", self.trekker.email);
        let started = Instant::now();
        for attempt in 0.. {
            let host = self.hosts[(first + attempt) % 2].with_header("idempotency-key", &key);
            match host.with_timeout(Duration::from_secs(10)).post("/api/bookings", &request).await {
                Ok(reply) if reply.status == 201 => return Ok(Some(text(&reply.json, "_id")?.to_owned())),
                Ok(reply) if reply.status == 400 => {
                    ensure!(reply.json["message"] == "Not enough spots available in this batch", "{}", reply.json);
                    return Ok(None);
                }
                // 409: the first try of the same request still counts as being in flight.
                Ok(reply) if reply.status == 409 || reply.status.is_server_error() => {}
                Ok(reply) => bail!("{} {}", reply.status, reply.json),
                Err(_) => {}
            }
            ensure!(started.elapsed() < SETTLED_MAX, "no answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(None)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_killed_while_people_book_and_no_seat_is_oversold_or_lost() -> Result<()> {
    let mut first = System::start().await?;
    if !first.environment().iter().any(|(name, _)| name == "CAIRN_DATABASE_URL") {
        println!("skipped: CAIRN_TEST_POSTGRES names no server");
        return Ok(());
    }
    let second = first.beside().await?;
    let names: Vec<_> = (0..TREKKERS).map(|n| format!("Racer {n}")).collect();
    let mut racers = Vec::new();
    for group in names.chunks(10) {
        for trekker in try_join_all(group.iter().map(|name| Trekker::register(&first, name))).await? {
            let hosts = [trekker.client.clone(), trekker.client.with_base(&second.base)];
            racers.push(Racer { trekker, hosts });
        }
    }

    let booking = try_join_all(racers.iter().enumerate().map(|(index, racer)| racer.book(index)));
    let killer = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        first.kill()
    };
    let (outcomes, ()) = tokio::try_join!(booking, killer)?;
    let killed_at_ms = now_ms()?;

    // Nothing is oversold, and everything that was acknowledged is there, once.
    let sold: Vec<_> = racers.iter().zip(&outcomes).filter_map(|(racer, id)| Some((racer, id.as_ref()?))).collect();
    ensure!(sold.len() <= SEATS, "{} seats were sold", sold.len());
    ensure!(!sold.is_empty(), "nothing was sold");
    for (racer, id) in &sold {
        let [_, host] = &racer.hosts;
        let booking = expect(host.get(&format!("/api/bookings/{id}")).await?, 200)?;
        ensure!(booking["status"] == "pending_payment", "{booking}");
    }
    // Seats that a dying request held come back, and none besides: nobody has two bookings.
    let started = Instant::now();
    loop {
        let batch = expect(second.client().get(&format!("/api/batches/{BATCH}")).await?, 200)?;
        let free = batch["availableSpots"].as_u64().context("free seats")?;
        let free = usize::try_from(free)?;
        ensure!(free <= SEATS - sold.len(), "more seats are free than were not sold: {batch}");
        if free == SEATS - sold.len() {
            break;
        }
        ensure!(started.elapsed() < SETTLED_MAX, "{} were sold: {batch}", sold.len());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // The host that is left runs the jobs of both.
    let started = Instant::now();
    loop {
        let jobs = expect(second.operator().get("/jobs").await?, 200)?;
        let jobs = jobs.as_array().context("jobs")?;
        let job = jobs.iter().find(|job| job["path"] == "/_jobs/expire").context("a job")?;
        let ran = job["last"]["startedMs"].as_i64().is_some_and(|started| started > killed_at_ms);
        if ran {
            ensure!(job["last"]["failure"].is_null(), "{job}");
            return Ok(());
        }
        ensure!(started.elapsed() < SETTLED_MAX, "nobody took over: {job}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// UTC in milliseconds since 1970.
fn now_ms() -> Result<i64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_millis())?)
}
