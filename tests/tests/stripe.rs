//! The whole system with Stripe as its payment provider: booked, paid by webhook alone,
//! completed or cancelled, and what the book says of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_tests::{
    client::Client,
    doubles::{
        Budget, Stripe,
        stripe::{Faults, Outcome},
    },
    system::System,
    trekker::{Trekker, expect, text},
};
use serde_json::{Value, json};

const TREK: &str = "68c5a7d0b3e19f4200002001";
const BATCH: &str = "68c5a7d0b3e19f4200004008";

async fn eventually(what: &str, ask: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !ask().await? {
        ensure!(started.elapsed() < Duration::from_secs(60), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn start() -> Result<(System, Stripe)> {
    let stripe = Stripe::start("127.0.0.1:0").await?;
    let (settings, host) = (stripe.settings(), stripe.base_url());
    let system = System::start_with(&[
        ("PAYMENT_PROVIDER", "stripe"),
        ("STRIPE_PUBLISHABLE_KEY", &settings.publishable_key),
        ("STRIPE_SECRET_KEY", &settings.secret_key),
        ("STRIPE_WEBHOOK_SECRET", &settings.webhook_secret),
        ("STRIPE_API_HOST", &host),
    ])
    .await?;
    stripe.set_webhook_url(format!("{}/api/payments/webhook/stripe", system.base));
    Ok((system, stripe))
}

/// A paid booking of two, whose participants are known. The client never says that it paid.
async fn confirmed(stripe: &Stripe, who: &Trekker) -> Result<String> {
    let booking = who.book(TREK, BATCH, 2).await?;
    let id = text(&booking, "_id")?.to_owned();
    let order = who.order(&id).await?;
    let intent = text(&order, "id")?;
    ensure!(text(&order, "client_secret")?.starts_with(intent), "{order}");
    stripe.pay(intent, Outcome::Fails).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    stripe.pay(intent, Outcome::Succeeds).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    eventually("the payment", async || {
        let reply = who.booking(&id).await?;
        Ok(reply.status == 200 && reply.json["status"] == "payment_completed")
    })
    .await?;
    ensure!(expect(who.give_participants(&id, 2).await?, 200)?["booking"]["status"] == "confirmed");
    Ok(id)
}

/// Paise in an account of the book, as staff read it.
async fn balance(admin: &Client, account: &str) -> Result<i64> {
    let ledger = expect(admin.get("/api/payments/ledger/balances").await?, 200)?;
    let accounts = ledger["accounts"].as_array().with_context(|| format!("accounts in {ledger}"))?;
    let found = accounts.iter().find(|entry| entry["account"] == account);
    paise(&found.with_context(|| format!("{account} in {ledger}"))?["balance"])
}

fn paise(rupees: &Value) -> Result<i64> {
    Ok((rupees.as_f64().context("an amount")? * 100.0).round() as i64)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_collects_is_earned_by_the_trip_or_goes_back() -> Result<()> {
    let (system, stripe) = start().await?;
    let admin = Trekker::admin(&system).await?;
    let key = expect(system.client().get("/api/payments/get-key").await?, 200)?;
    ensure!(key["key"] == stripe.settings().publishable_key.as_str(), "{key}");
    // Every webhook comes twice.
    stripe.set_faults(Faults { duplicate_webhooks: Budget::Always, ..Faults::default() });
    let meera = Trekker::register(&system, "Meera Rao").await?;
    let goes = confirmed(&stripe, &meera).await?;
    let stays = confirmed(&stripe, &meera).await?;
    let total = paise(&expect(meera.booking(&goes).await?, 200)?["totalPrice"])?;
    ensure!(balance(&admin, "provider:stripe").await? == 2 * total && balance(&admin, "revenue").await? == 0);

    // One trip takes place: its money is earned, less the tax.
    let complete = format!("/api/bookings/{goes}/complete-trek");
    expect(admin.put(&complete, &json!({})).await?, 200)?;
    let (tax, revenue) = (balance(&admin, "tax").await?, balance(&admin, "revenue").await?);
    ensure!(tax > 0 && tax + revenue == total, "{tax} and {revenue} of {total}");
    ensure!(balance(&admin, "unearned").await? == total, "the other trip is still owed");

    // The other one is called off: all of its money goes back where it came from.
    let cancel = format!("/api/bookings/{stays}/cancel");
    expect(admin.put(&cancel, &json!({ "refundType": "full", "reason": "Landslide" })).await?, 200)?;
    eventually("the refund", async || Ok(expect(meera.booking(&stays).await?, 200)?["refundStatus"] == "success"))
        .await?;
    let state = stripe.state();
    let refunds = state["refunds"].as_array().context("refunds")?;
    ensure!(refunds.len() == 1 && refunds[0]["amount"] == json!(total), "{state}");
    ensure!(balance(&admin, "provider:stripe").await? == total && balance(&admin, "unearned").await? == 0);
    ensure!(balance(&admin, "revenue").await? == revenue, "nothing of it was earned");
    Ok(())
}
