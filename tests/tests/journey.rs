//! A trekker's whole journey, and the operator's view of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_tests::{
    system::System,
    trekker::{MAIL_MAX, Trekker, expect, text},
};
use serde_json::{Value, json};

const TREK: &str = "68c5a7d0b3e19f4200002001";
const BATCH: &str = "68c5a7d0b3e19f4200004008";

/// Asks until an answer is as it should be: what is kept from events lags a moment.
async fn eventually(what: &str, ask: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !ask().await? {
        ensure!(started.elapsed() < Duration::from_secs(15), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trekkers_whole_journey() -> Result<()> {
    let system = System::start().await?;
    let client = system.client();

    // Find a trek.
    let treks = expect(client.get("/api/treks").await?, 200)?;
    ensure!(treks.as_array().context("a list")?.len() == 9, "nine treks are for sale");
    let trek = expect(client.get("/api/treks/slug/hosamale-mist-ridge").await?, 200)?;
    let batch = trek["batches"].as_array().context("batches")?.iter().find(|batch| batch["_id"] == BATCH);
    let free_before = batch.context("the batch")?["availableSpots"].as_i64().context("a number")?;
    expect(client.get("/api/regions").await?, 200)?;
    expect(client.get("/api/trek-sections/active").await?, 200)?;
    let blogs = expect(client.get("/api/blogs").await?, 200)?;
    let slug = text(&blogs["blogs"][0], "slug")?;
    ensure!(expect(client.get(&format!("/api/blogs/{slug}")).await?, 200)?["slug"] == slug);
    let image = client.get(text(&json!({ "image": trek["images"][0] }), "image")?).await?;
    ensure!(image.status == 200 && image.header("content-type") == Some("image/jpeg"), "the trek's image");

    // Register, log out, log in.
    let meera = Trekker::register(&system, "Meera Rao").await?;
    ensure!(expect(meera.client.get("/api/auth/me").await?, 200)?["email"] == meera.email);
    expect(meera.client.post("/api/auth/logout", &json!({})).await?, 200)?;
    let meera = Trekker { client: Trekker::login(&client, &meera.email, Trekker::PASSWORD).await?, ..meera };

    // Check a code, book two seats.
    let quote = json!({ "code": "welcome10", "trekId": TREK, "orderValue": 6400 });
    let quoted = expect(meera.client.post("/api/promos/validate", &quote).await?, 200)?;
    ensure!(quoted["promoCode"]["discount"] == 640, "{quoted}");
    let mut request = meera.booking_request(TREK, BATCH, 2);
    request["couponCode"] = quoted["promoCode"].clone();
    request["totalPrice"] = json!(6163.2);
    let booking = expect(meera.client.post("/api/bookings", &request).await?, 201)?;
    ensure!(booking["totalPrice"] == json!(6163.2) && booking["status"] == "pending_payment", "{booking}");
    let id = text(&booking, "_id")?;
    ensure!(expect(meera.client.get("/api/bookings/user/mybookings").await?, 200)? == json!([]), "not before payment");

    // Pay.
    ensure!(
        expect(client.get("/api/payments/get-key").await?, 200)?["key"] == system.razorpay.settings().key_id.as_str()
    );
    let order = meera.order(id).await?;
    ensure!(order["amount"] == 616_320, "{order}");
    let paid = meera.pay(&system, &order)?;
    let verified = expect(meera.verify(id, &paid).await?, 200)?;
    ensure!(
        verified["payment"]["status"] == "captured" && verified["payment"]["amount"] == json!(6163.2),
        "{verified}"
    );
    ensure!(expect(meera.booking(id).await?, 200)?["status"] == "payment_completed");

    // Say who comes.
    let confirmed = expect(meera.give_participants(id, 2).await?, 200)?;
    ensure!(confirmed["booking"]["status"] == "confirmed", "{confirmed}");
    let mine = expect(meera.client.get("/api/bookings/user").await?, 200)?;
    ensure!(mine[0]["_id"] == id && mine[0]["trek"]["name"] == "Hosamale Mist Ridge", "{mine}");

    // The mails, with an invoice that names the amount.
    let received = system.mailbox.wait_for(&meera.email, "ayment", MAIL_MAX).await?;
    let invoice = received.attachment(&format!("Invoice-{id}.pdf")).context("the invoice")?;
    ensure!(invoice.content.starts_with(b"%PDF-"));
    system.mailbox.wait_for(&meera.email, "onfirmed", MAIL_MAX).await?;
    system.mailbox.wait_for("walker1@example.org", "onfirmed", MAIL_MAX).await?;
    let download = meera.client.get(&format!("/api/bookings/{id}/invoice")).await?;
    ensure!(download.status == 200 && download.header("content-type") == Some("application/pdf"));
    ensure!(download.body.starts_with(b"%PDF-"));

    // The seats are gone.
    let trek = expect(client.get("/api/treks/slug/hosamale-mist-ridge").await?, 200)?;
    let batch = trek["batches"].as_array().context("batches")?.iter().find(|batch| batch["_id"] == BATCH);
    ensure!(batch.context("the batch")?["availableSpots"] == free_before - 2);

    // The operator sees the booking and the money.
    let admin = Trekker::admin(&system).await?;
    let list = expect(admin.get("/api/bookings?search=meera").await?, 200)?;
    ensure!(list["bookings"][0]["_id"] == id && list["pagination"]["total"] == 1, "{list}");
    ensure!(list["stats"]["totalRevenue"] == json!(6163.2), "{list}");
    eventually("the money in the statistics", async || {
        let dashboard = expect(admin.get("/api/stats/dashboard").await?, 200)?;
        Ok(dashboard["totalSales"] == json!(6163.2)
            && dashboard["totalBookings"] == 1
            && dashboard["totalTreks"] == 9
            && dashboard["recentBookings"][0]["_id"] == id)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_alone_completes_the_payment() -> Result<()> {
    let system = System::start().await?;
    let ravi = Trekker::register(&system, "Ravi K").await?;
    let booking = ravi.book(TREK, BATCH, 1).await?;
    let id = text(&booking, "_id")?;
    ravi.pay(&system, &ravi.order(id).await?)?;
    eventually("the payment", async || Ok(expect(ravi.booking(id).await?, 200)?["status"] == "payment_completed")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_is_paid_first_and_the_balance_later() -> Result<()> {
    let system = System::start().await?;
    let asha = Trekker::register(&system, "Asha Iyer").await?;
    let mut request = asha.booking_request(TREK, BATCH, 2);
    request["paymentMode"] = json!("partial");
    let booking = expect(asha.client.post("/api/bookings", &request).await?, 201)?;
    let id = text(&booking, "_id")?;
    ensure!(booking["partialPaymentDetails"]["initialAmount"] == 2000, "{booking}");

    let order = asha.order(id).await?;
    ensure!(order["amount"] == 200_000, "{order}");
    let paid = asha.pay(&system, &order)?;
    expect(asha.verify(id, &paid).await?, 200)?;
    ensure!(expect(asha.booking(id).await?, 200)?["status"] == "payment_confirmed_partial");

    let reply = asha.client.post("/api/payments/create-remaining-balance-order", &json!({ "bookingId": id })).await?;
    let balance = expect(reply, 200)?;
    ensure!(balance["remainingAmount"] == booking["partialPaymentDetails"]["remainingAmount"], "{balance}");
    let paid = asha.pay(&system, &balance["order"])?;
    expect(asha.verify(id, &paid).await?, 200)?;
    let done: Value = expect(asha.booking(id).await?, 200)?;
    ensure!(done["status"] == "payment_completed" && done["partialPaymentDetails"]["remainingAmount"] == 0, "{done}");
    Ok(())
}
