//! Vouchers: given by staff, spent beside money and alone, given back, in one book.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_tests::{
    client::Client,
    system::System,
    trekker::{MAIL_MAX, Trekker, expect, text},
};
use serde_json::{Value, json};

const TREK: &str = "68c5a7d0b3e19f4200002001";
const BATCH: &str = "68c5a7d0b3e19f4200004008";

async fn available(client: &Client, code: &str) -> Result<f64> {
    let read = client.post("/api/payments/vouchers/balance", &json!({ "code": code })).await?;
    expect(read, 200)?["available"].as_f64().context("an amount")
}

async fn book(who: &Trekker, count: u32, code: &str) -> Result<Value> {
    let mut request = who.booking_request(TREK, BATCH, count);
    request["voucherCode"] = json!(code);
    expect(who.client.post("/api/bookings", &request).await?, 201)
}

/// What an account of the book holds, in rupees.
async fn account(admin: &Client, name: &str) -> Result<f64> {
    let book = expect(admin.get("/api/payments/ledger/balances").await?, 200)?;
    let accounts = book["accounts"].as_array().context("accounts")?;
    let found = accounts.iter().find(|account| account["account"] == name).context("an account of this name")?;
    found["balance"].as_f64().context("an amount")
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_pays_beside_money_comes_back_and_pays_alone() -> Result<()> {
    let system = System::start().await?;
    let admin = Trekker::admin(&system).await?;
    let meera = Trekker::register(&system, "Meera Rao").await?;
    let given = json!({ "amount": 1000, "reason": "The bus was late" });
    let given = expect(admin.post("/api/payments/vouchers", &given).await?, 201)?;
    let code = text(&given, "code")?;

    let booking = book(&meera, 1, code).await?;
    let id = text(&booking, "_id")?.to_owned();
    let (total, online) = (&booking["totalPrice"], &booking["due"]["online"]);
    ensure!(total.as_f64().context("a total")? == online.as_f64().context("an amount")? + 1_000.0, "{booking}");
    ensure!(available(&system.client(), code).await? == 0.0, "it is kept for the booking");
    let paid = meera.pay(&system, &meera.order(&id).await?)?;
    expect(meera.verify(&id, &paid).await?, 200)?;
    let booking = expect(meera.booking(&id).await?, 200)?;
    ensure!(booking["status"] == "payment_completed" && booking["amountPaid"] == *total, "{booking}");
    ensure!(account(&admin, "vouchers").await? == 0.0 && account(&admin, "goodwill").await? == -1_000.0);

    // All of it goes back to where it came from.
    let cancel = json!({ "refundType": "full" });
    expect(admin.put(&format!("/api/bookings/{id}/cancel"), &cancel).await?, 200)?;
    let started = Instant::now();
    while available(&system.client(), code).await? < 1_000.0 {
        ensure!(started.elapsed() < Duration::from_secs(60), "the credit did not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // And pays for another booking, all of it this time.
    let more = json!({ "amount": 50_000, "reason": "A prize" });
    let more = expect(admin.post("/api/payments/vouchers", &more).await?, 201)?;
    let booking = book(&meera, 2, text(&more, "code")?).await?;
    ensure!(booking["status"] == "payment_completed" && booking["amountPaid"] == booking["totalPrice"], "{booking}");
    let left = 51_000.0 - booking["totalPrice"].as_f64().context("a total")?;
    ensure!((account(&admin, "vouchers").await? - left).abs() < 0.001, "what was spent is no longer owed");
    let day = booking["createdAt"].as_str().context("an instant")?.split('T').next().context("a day")?;
    let report = json!({ "from": day, "to": day });
    let report = expect(admin.post("/api/payments/reports", &report).await?, 201)?;
    ensure!(report["mismatches"].as_array().is_some_and(Vec::is_empty), "{report}");
    Ok(())
}

/// The path of the first link in a mail that leads to this API.
fn link(text: &str) -> Result<String> {
    let from = text.find("/api/bookings/call-offs/choice/").context("a link")?;
    let path: String =
        text[from..].chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-')).collect();
    Ok(path)
}

async fn paid(system: &System, who: &Trekker) -> Result<String> {
    let id = text(&who.book(TREK, BATCH, 1).await?, "_id")?.to_owned();
    let paid = who.pay(system, &who.order(&id).await?)?;
    expect(who.verify(&id, &paid).await?, 200)?;
    Ok(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_called_off_and_everybody_gets_what_they_choose() -> Result<()> {
    let system = System::start().await?;
    let admin = Trekker::admin(&system).await?;
    let (meera, arjun) =
        (Trekker::register(&system, "Meera Rao").await?, Trekker::register(&system, "Arjun Pai").await?);
    let (first, second) = (paid(&system, &meera).await?, paid(&system, &arjun).await?);
    let wish = json!({ "batchId": BATCH, "reason": "Snow on the pass", "bonusPercent": 10 });
    let preview = expect(admin.post("/api/bookings/call-offs/preview", &wish).await?, 200)?;
    ensure!(preview["totals"]["bookings"] == 2, "{preview}");
    let begun = expect(admin.post("/api/bookings/call-offs", &wish).await?, 200)?;
    ensure!(begun["counts"]["waiting"] == 2 && begun["counts"]["left"] == 0, "{begun}");
    let batch = expect(system.client().get(&format!("/api/batches/{BATCH}")).await?, 200)?;
    ensure!(batch["status"] == "cancelled" && batch["currentParticipants"] == 0, "{batch}");

    // One chooses a voucher by the link in the mail, without being logged in, and books with it.
    let subject = "does not take place";
    let mail = system.mailbox.wait_for(&meera.email, subject, MAIL_MAX).await?;
    let path = link(mail.text())?;
    let options = expect(system.client().get(&path).await?, 200)?;
    expect(system.client().post(&path, &json!({ "choice": "voucher" })).await?, 200)?;
    let mail = system.mailbox.wait_for(&meera.email, "Your voucher", MAIL_MAX).await?;
    let own = expect(meera.client.get("/api/payments/vouchers/mine").await?, 200)?;
    let code = text(&own["vouchers"][0], "code")?;
    ensure!(mail.text().contains(code), "the code is in the mail");
    ensure!(own["vouchers"][0]["available"] == options["voucher"], "{own}");
    let elsewhere = text(&options["batches"][0], "_id")?;
    let mut request = meera.booking_request(TREK, elsewhere, 1);
    request["voucherCode"] = json!(code);
    let booked = expect(meera.client.post("/api/bookings", &request).await?, 201)?;
    ensure!(booked["status"] == "payment_completed", "{booked}");

    // The other moves to another batch, and pays nothing more.
    let choice = json!({ "choice": "batch", "batchId": elsewhere });
    let moved = expect(arjun.client.post(&format!("/api/bookings/{second}/call-off"), &choice).await?, 200)?;
    ensure!(moved["booking"]["status"] == "payment_completed" && moved["booking"]["batch"] == elsewhere, "{moved}");
    let old = expect(meera.booking(&first).await?, 200)?;
    ensure!(old["status"] == "cancelled" && old["callOff"]["choice"] == "voucher", "{old}");
    let day = booked["createdAt"].as_str().context("an instant")?.split('T').next().context("a day")?;
    let report = expect(admin.post("/api/payments/reports", &json!({ "from": day, "to": day })).await?, 201)?;
    ensure!(report["mismatches"].as_array().is_some_and(Vec::is_empty), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gift_is_bought_mailed_and_given_back() -> Result<()> {
    let system = System::start().await?;
    let meera = Trekker::register(&system, "Meera Rao").await?;
    let wish = json!({ "amount": 1500, "from": "Meera", "to": "Asha", "email": "asha@example.org", "words": "Walk" });
    let gift = expect(meera.client.post("/api/bookings/gifts", &wish).await?, 201)?;
    let id = text(&gift, "id")?;
    let paid = meera.pay(&system, &meera.order(id).await?)?;
    expect(meera.verify(id, &paid).await?, 200)?;
    let mail = system.mailbox.wait_for("asha@example.org", "A gift from Meera", MAIL_MAX).await?;
    let own = expect(meera.client.get("/api/payments/vouchers/mine").await?, 200)?;
    let code = text(&own["vouchers"][0], "code")?;
    ensure!(mail.text().contains(code) && available(&system.client(), code).await? == 1_500.0, "{own}");
    let returned = expect(meera.client.post(&format!("/api/bookings/gifts/{id}/refund"), &json!({})).await?, 200)?;
    ensure!(returned["status"] == "returned" && available(&system.client(), code).await? == 0.0, "{returned}");
    let started = Instant::now();
    let given_back = || system.razorpay.state()["refunds"].as_array().is_some_and(|refunds| refunds.len() == 1);
    while !given_back() {
        ensure!(started.elapsed() < Duration::from_secs(60), "the money did not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
