//! A group whose members each pay a share, by links in mails and without accounts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_tests::{
    client::Client,
    doubles::razorpay::Paid,
    system::System,
    trekker::{MAIL_MAX, Trekker, expect, text},
};
use serde_json::{Value, json};

const TREK: &str = "68c5a7d0b3e19f4200002001";
const BATCH: &str = "68c5a7d0b3e19f4200004008";

/// The path of the link in a mail, and its token.
fn link(mail: &str) -> Result<(String, String)> {
    let from = mail.find("/api/bookings/split/").context("a link")?;
    let path: String =
        mail[from..].chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-')).collect();
    let token = path.rsplit('/').next().context("a token")?.to_owned();
    Ok((path, token))
}

async fn order(client: &Client, token: &str) -> Result<Value> {
    let made = client.post("/api/payments/shares/order", &json!({ "token": token })).await?;
    Ok(expect(made, 200)?["order"].clone())
}

async fn report(client: &Client, token: &str, paid: &Paid) -> Result<Value> {
    let body = json!({ "token": token, "razorpay_order_id": paid.order_id,
        "razorpay_payment_id": paid.payment_id, "razorpay_signature": paid.signature });
    expect(client.post("/api/payments/shares/verify", &body).await?, 200)
}

async fn until(what: &str, ask: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !ask().await? {
        ensure!(started.elapsed() < Duration::from_secs(60), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn paise(rupees: &Value) -> Result<i64> {
    Ok((rupees.as_f64().context("an amount")? * 100.0).round() as i64)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_pays_in_shares_and_each_gets_their_own_money_back() -> Result<()> {
    let system = System::start().await?;
    let (admin, anybody) = (Trekker::admin(&system).await?, system.client());
    let meera = Trekker::register(&system, "Meera Rao").await?;
    let booking = meera.book(TREK, BATCH, 3).await?;
    let (id, total) = (text(&booking, "_id")?.to_owned(), paise(&booking["totalPrice"])?);
    expect(meera.give_participants(&id, 3).await?, 200)?;
    let split = format!("/api/bookings/{id}/split");
    let shared = expect(meera.client.put(&split, &json!({ "hours": 24 })).await?, 200)?;
    let amounts: Result<Vec<_>> = [&shared["own"], &shared["shares"][0]["amount"], &shared["shares"][1]["amount"]]
        .into_iter()
        .map(paise)
        .collect();
    let amounts = amounts?;
    ensure!(amounts.iter().sum::<i64>() == total, "{shared}");
    let token_of = |n: usize| -> Result<String> { Ok(link(text(&shared["shares"][n], "link")?)?.1) };
    let early = anybody.post("/api/payments/shares/order", &json!({ "token": token_of(0)? })).await?;
    ensure!(early.status == 404, "nobody pays before whoever booked: {}", early.json);

    // Whoever booked pays their own part; the others get their links.
    let own = meera.order(&id).await?;
    ensure!(own["amount"] == json!(amounts[0]), "{own}");
    let own = meera.pay(&system, &own)?;
    expect(meera.verify(&id, &own).await?, 200)?;
    let mail = system.mailbox.wait_for("walker1@example.org", "Your share of", MAIL_MAX).await?;
    let (path, first) = link(mail.text())?;
    let second = link(system.mailbox.wait_for("walker2@example.org", "Your share of", MAIL_MAX).await?.text())?.1;
    let seen = expect(anybody.get(&path).await?, 200)?;
    ensure!(seen["state"] == "open" && paise(&seen["amount"])? == amounts[1], "{seen}");
    ensure!(!seen.to_string().contains('@'), "{seen}");

    // One pays, and whoever booked is at the checkout for everything at the same time.
    let all = meera.client.post("/api/payments/create-remaining-balance-order", &json!({ "bookingId": id })).await?;
    let all = expect(all, 200)?["order"].clone();
    ensure!(all["amount"] == json!(amounts[1] + amounts[2]), "{all}");
    let paid = meera.pay(&system, &order(&anybody, &first).await?)?;
    report(&anybody, &first, &paid).await?;
    report(&anybody, &first, &paid).await?;
    let twice = meera.pay(&system, &all)?;
    ensure!(meera.verify(&id, &twice).await?.status == 400, "what is paid already is not paid again");
    let mine = expect(meera.client.get(&split).await?, 200)?;
    ensure!(mine["shares"][0]["state"] == "paid" && paise(&mine["remaining"])? == amounts[2], "{mine}");
    system.mailbox.wait_for("walker1@example.org", "Payment received", MAIL_MAX).await?;
    let last = meera.pay(&system, &order(&anybody, &second).await?)?;
    report(&anybody, &second, &last).await?;
    until("the confirmation", async || Ok(expect(meera.booking(&id).await?, 200)?["status"] == "confirmed")).await?;
    let whole = expect(meera.booking(&id).await?, 200)?;
    ensure!(paise(&whole["amountPaid"])? == total, "{whole}");
    let again = anybody.post("/api/payments/shares/order", &json!({ "token": second })).await?;
    ensure!(again.status == 409, "{}", again.json);

    // It is called off by staff: each payment goes back, and so has the one too many.
    let cancel = format!("/api/bookings/{id}/cancel");
    expect(admin.put(&cancel, &json!({ "refundType": "full", "reason": "Landslide" })).await?, 200)?;
    until("the refunds", async || Ok(expect(meera.booking(&id).await?, 200)?["refundStatus"] == "success")).await?;
    let state = system.razorpay.state();
    let back = state["refunds"].as_array().context("refunds")?;
    for (payment, amount) in
        [(&own, amounts[0]), (&paid, amounts[1]), (&last, amounts[2]), (&twice, amounts[1] + amounts[2])]
    {
        let of = back.iter().filter(|refund| refund["payment_id"] == json!(payment.payment_id));
        let sum: i64 = of.filter_map(|refund| refund["amount"].as_i64()).sum();
        ensure!(sum == amount, "{sum} of {amount} went back of {}: {state}", payment.payment_id);
    }
    let day = booking["createdAt"].as_str().context("an instant")?.split('T').next().context("a day")?;
    let report = expect(admin.post("/api/payments/reports", &json!({ "from": day, "to": day })).await?, 201)?;
    ensure!(report["mismatches"].as_array().is_some_and(Vec::is_empty), "{report}");
    Ok(())
}
