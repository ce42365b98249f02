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
/// As long as people are at it, but not for ever: a slow machine hardly gets on in between.
const KILLS_MAX: u64 = 40;
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

/// What becomes of a paid booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// The desk cancels it and gives everything back.
    Cancelled,
    /// Its owner cancels one of two.
    Halved,
    /// Cancelled without a refund, and restored.
    Restored,
}

impl Fate {
    fn of(n: usize) -> Self {
        [Self::Kept, Self::Cancelled, Self::Halved, Self::Restored][n % 4]
    }

    /// The state in the end, and the seats.
    fn end(self) -> (&'static str, usize) {
        match self {
            Self::Kept | Self::Restored => ("confirmed", 2),
            Self::Cancelled => ("cancelled", 0),
            Self::Halved => ("confirmed", 1),
        }
    }
}

/// Changes a booking, however often it has to try, until it is as wanted.
async fn insist_until(
    what: &str,
    client: &Client,
    id: &str,
    (path, body): (&str, &Value),
    is_done: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let started = Instant::now();
    let client = client.with_timeout(Duration::from_secs(10));
    loop {
        let found = insist(what, async || client.get(&format!("/api/bookings/{id}")).await).await?;
        if is_done(&found) {
            return Ok(found);
        }
        match client.put(path, body).await {
            // 400: an earlier try has worked, and its answer was lost.
            Ok(reply) if reply.status.is_success() || reply.status.is_server_error() => {}
            Ok(reply) if reply.status == 400 || reply.status == 409 => {}
            Ok(reply) => bail!("{what}: {} {}", reply.status, reply.json),
            Err(_) => {}
        }
        ensure!(started.elapsed() < SETTLED_MAX, "{what} did not come about: {found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Brings a paid booking to its end.
async fn fate(fate: Fate, id: &str, owner: &Client, desk: &Client) -> Result<()> {
    let cancel = format!("/api/bookings/{id}/cancel");
    let is = |status: &'static str| move |booking: &Value| booking["status"] == status;
    match fate {
        Fate::Kept => {}
        Fate::Cancelled => {
            let body = json!({ "refundType": "full", "reason": "Landslide" });
            insist_until("cancel", desk, id, (&cancel, &body), is("cancelled")).await?;
        }
        Fate::Halved => {
            let booking = insist("read", async || owner.get(&format!("/api/bookings/{id}")).await).await?;
            let path =
                format!("/api/bookings/{id}/participants/{}/cancel", text(&booking["participantDetails"][0], "_id")?);
            let gone = |booking: &Value| booking["participantDetails"][0]["isCancelled"] == true;
            insist_until("cancel one", owner, id, (&path, &json!({})), gone).await?;
        }
        Fate::Restored => {
            let body = json!({ "refund": false, "reason": "A mistake" });
            insist_until("cancel", desk, id, (&cancel, &body), is("cancelled")).await?;
            let restore = format!("/api/bookings/{id}/restore");
            insist_until("restore", desk, id, (&restore, &json!({})), is("confirmed")).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cancellations_and_refunds_survive_a_host_that_is_killed_in_a_loop() -> Result<()> {
    let mut system = System::start().await?;
    let names: Vec<_> = (0..TREKKERS).map(|n| format!("Traveller {n}")).collect();
    let trekkers = try_join_all(names.iter().map(|name| Trekker::register(&system, name))).await?;
    let provider = Client::new(system.razorpay.base_url());
    let desk = Trekker::admin(&system).await?;

    let over = std::cell::Cell::new(false);
    let lives = async {
        let all = trekkers.iter().enumerate().map(async |(n, trekker)| {
            let id = journey(trekker, &provider).await?;
            fate(Fate::of(n), &id, &trekker.client, &desk).await?;
            Ok::<_, anyhow::Error>(id)
        });
        let ids = try_join_all(all).await;
        over.set(true);
        ids
    };
    let killer = async {
        let mut kills = 0_u64;
        while !over.get() && kills < KILLS_MAX {
            // From one kill to the next, so that some come early in a life and some late.
            tokio::time::sleep(Duration::from_millis(60 + 190 * (kills % 9))).await;
            system.kill()?;
            system.launch().await?;
            kills += 1;
        }
        ensure!(kills >= KILLS, "only {kills} kills: the lives are too short for this test");
        Ok(())
    };
    let (bookings, ()) = tokio::try_join!(lives, killer)?;

    let started = Instant::now();
    while let Err(difference) = all_agree(&system, &provider, &desk, &bookings).await {
        ensure!(started.elapsed() < SETTLED_MAX, "{difference:#}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    system.stop().await
}

/// Bookings, seats, the book and the provider say the same, and the report names nothing.
async fn all_agree(system: &System, provider: &Client, desk: &Client, bookings: &[String]) -> Result<()> {
    let mut seats = 0;
    for (n, id) in bookings.iter().enumerate() {
        let booking = expect(desk.get(&format!("/api/bookings/{id}")).await?, 200)?;
        let (status, left) = Fate::of(n).end();
        ensure!(booking["status"] == status, "{status} expected: {booking}");
        let halved = Fate::of(n) == Fate::Halved;
        let back = if halved { &booking["participantDetails"][0] } else { &booking };
        let is_back = !matches!(Fate::of(n), Fate::Cancelled | Fate::Halved) || back["refundStatus"] == "success";
        ensure!(is_back, "the refund of {booking}");
        seats += left;
    }
    let batch = expect(system.client().get(&format!("/api/batches/{BATCH}")).await?, 200)?;
    ensure!(batch["currentParticipants"] == seats, "{seats} seats expected: {batch}");

    let state = expect(provider.get("/_ctl/state").await?, 200)?;
    let payments = state["payments"].as_array().context("payments")?;
    ensure!(payments.len() == bookings.len(), "everybody paid once: {payments:?}");
    let sum = |field: &str| payments.iter().filter_map(|payment| payment[field].as_i64()).sum::<i64>();
    let held = (sum("amount") - sum("amount_refunded")) as f64 / 100.0;
    ensure!(sum("amount_refunded") > 0 && sum("amount_refunded") < sum("amount"), "{payments:?}");
    let refunds = state["refunds"].as_array().context("refunds")?;
    let expected = (0..bookings.len()).filter(|n| matches!(Fate::of(*n), Fate::Cancelled | Fate::Halved)).count();
    ensure!(refunds.len() == expected, "each refund is made once: {refunds:?}");

    let book = expect(desk.get("/api/payments/ledger/balances").await?, 200)?;
    let accounts = book["accounts"].as_array().context("accounts")?;
    let account = accounts.iter().find(|account| account["account"] == "provider:razorpay");
    let balance = account.and_then(|account| account["balance"].as_f64()).context("the provider's account")?;
    ensure!((balance - held).abs() < 0.005, "by the book the provider holds {balance}, and it holds {held}");
    let dashboard = expect(desk.get("/api/stats/dashboard").await?, 200)?;
    let sales = dashboard["totalSales"].as_f64().unwrap_or_default();
    ensure!((sales - held).abs() < 0.005, "sales are {sales} of {held}: {dashboard}");

    let day = cairn_shared::Zone::INDIA.iso_day(cairn_shared::Timestamp::now());
    let ask = json!({ "from": day, "to": day, "dryRun": true });
    let report = expect(desk.post("/api/payments/reports", &ask).await?, 201)?;
    ensure!(report["complete"] == true && report["mismatchCount"] == 0, "{report}");
    Ok(())
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
