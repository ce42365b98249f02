//! The host is killed again and again while people book and pay. Nothing may be lost,
//! doubled or leaked.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_tests::{
    client::{Client, ClientError, Reply},
    doubles::razorpay::Paid,
    system::System,
    trekker::{Trekker, expect, text},
};
use futures::future::try_join_all;
use serde_json::{Value, json};

const TREK: &str = "68c5a7d0b3e19f4200002001";
const BATCH: &str = "68c5a7d0b3e19f4200004008";
const TREKKERS: usize = 8;
const KILLS: u64 = 5;
/// Long enough for every job that picks up what a crash left.
const SETTLED_MAX: Duration = Duration::from_secs(200);

/// Repeats a request until it has an answer that is not about the system being down,
/// as a client on a bad connection does.
async fn insist(what: &str, ask: impl AsyncFn() -> Result<Reply, ClientError>) -> Result<Value> {
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(reply) if reply.status.is_success() => return Ok(reply.json),
            // 409: the first try of the same request still counts as being in flight.
            Ok(reply) if reply.status.is_server_error() || reply.status == 409 => {}
            Ok(reply) => bail!("{what}: {} {}", reply.status, reply.json),
            Err(_) => {}
        }
        ensure!(started.elapsed() < SETTLED_MAX, "{what}: no answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Books, pays, and names the participants, however often it has to try.
async fn journey(trekker: &Trekker, provider: &Client) -> Result<String> {
    let client = trekker.client.with_timeout(Duration::from_secs(10));
    let request = trekker.booking_request(TREK, BATCH, 2);
    let once = client.with_header("idempotency-key", &format!("book-{}", trekker.email));
    let booking = insist("book", async || once.post("/api/bookings", &request).await).await?;
    let id = text(&booking, "_id")?.to_owned();

    let order =
        insist("order", async || client.post("/api/payments/create-order", &json!({ "bookingId": id })).await).await?;
    let pay = json!({ "order_id": order["order"]["id"], "status": "captured" });
    let paid = expect(provider.post("/_ctl/payments", &pay).await?, 200)?;
    let paid = Paid {
        order_id: text(&pay, "order_id")?.to_owned(),
        payment_id: text(&paid, "payment_id")?.to_owned(),
        signature: text(&paid, "signature")?.to_owned(),
    };
    let verify = json!({
        "razorpay_order_id": paid.order_id, "razorpay_payment_id": paid.payment_id,
        "razorpay_signature": paid.signature, "bookingId": id,
    });
    insist("verify", async || client.post("/api/payments/verify", &verify).await).await?;

    let participant =
        |n: u32| json!({ "name": format!("Walker {n}"), "email": format!("w{n}@example.org"), "phone": "9800000002" });
    let details = json!({
        "participants": [participant(0), participant(1)],
        "emergencyContact": { "name": "Asha Rao", "phone": "9800000003", "relation": "Parent" },
    });
    insist("participants", async || client.put(&format!("/api/bookings/{id}/participants"), &details).await).await?;
    Ok(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_leaked_when_the_host_is_killed_in_the_middle_of_journeys() -> Result<()> {
    let mut system = System::start().await?;
    let names: Vec<_> = (0..TREKKERS).map(|n| format!("Survivor {n}")).collect();
    let trekkers = try_join_all(names.iter().map(|name| Trekker::register(&system, name))).await?;
    let provider = Client::new(system.razorpay.base_url());

    let journeys = try_join_all(trekkers.iter().map(|trekker| journey(trekker, &provider)));
    let killer = async {
        for n in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(80 + 170 * n)).await;
            system.kill()?;
            system.launch().await?;
        }
        Ok(())
    };
    let (bookings, ()) = tokio::try_join!(journeys, killer)?;

    // Everybody has one confirmed booking.
    let started = Instant::now();
    for (trekker, id) in trekkers.iter().zip(&bookings) {
        // What a dead request was at work on is taken over after a while.
        loop {
            let booking = expect(trekker.booking(id).await?, 200)?;
            if booking["status"] == "confirmed" {
                break;
            }
            ensure!(started.elapsed() < SETTLED_MAX, "{booking}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let mine = expect(trekker.client.get("/api/bookings/user").await?, 200)?;
        ensure!(mine.as_array().context("a list")?.len() == 1, "{mine}");
    }
    // The money at the provider is the money in the books, and the seats are theirs and no others.
    let state = expect(provider.get("/_ctl/state").await?, 200)?;
    let payments = state["payments"].as_array().context("payments")?;
    ensure!(payments.len() == TREKKERS, "everybody paid once: {payments:?}");
    let captured: i64 = payments.iter().filter_map(|payment| payment["amount"].as_i64()).sum();
    let admin = Trekker::admin(&system).await?;
    let started = Instant::now();
    loop {
        let dashboard = expect(admin.get("/api/stats/dashboard").await?, 200)?;
        let list = expect(admin.get("/api/bookings").await?, 200)?;
        let batch = expect(system.client().get(&format!("/api/batches/{BATCH}")).await?, 200)?;
        let sales = dashboard["totalSales"].as_f64().unwrap_or_default();
        if sales == captured as f64 / 100.0
            && list["pagination"]["total"] == TREKKERS
            && batch["currentParticipants"] == 2 * TREKKERS
        {
            break;
        }
        let found = format!("sales {sales} of {captured} paise, {} bookings, {batch}", list["pagination"]["total"]);
        ensure!(started.elapsed() < SETTLED_MAX, "{found}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    system.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn data_survives_an_orderly_restart_and_a_running_request_is_finished() -> Result<()> {
    let mut system = System::start().await?;
    let meera = Trekker::register(&system, "Meera Rao").await?;
    let booking = meera.book(TREK, BATCH, 1).await?;
    // A request that takes a while (passwords do), on a connection that is open already.
    let client = system.client();
    expect(client.get("/").await?, 200)?;
    let login = json!({ "email": meera.email, "password": Trekker::PASSWORD });
    let (reply, stopped) = tokio::join!(client.post("/api/auth/login", &login), async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        system.stop().await
    });
    stopped?;
    expect(reply?, 200)?;
    ensure!(client.get("/").await.is_err(), "it has stopped");
    system.launch().await?;
    let again = expect(meera.booking(text(&booking, "_id")?).await?, 200)?;
    ensure!(again["status"] == "pending_payment", "{again}");
    Ok(())
}
