//! Bookings that are cancelled after they were paid: seats, money and everybody's view of them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_tests::{
    client::Client,
    doubles::razorpay::Faults,
    system::System,
    trekker::{MAIL_MAX, Trekker, expect, text},
};
use serde_json::{Value, json};

const TREK: &str = "68c5a7d0b3e19f4200002001";
const BATCH: &str = "68c5a7d0b3e19f4200004008";

/// Asks until an answer is as it should be: refunds are executed in the background. A lease
/// of a host that died runs for 20 s.
async fn eventually(what: &str, ask: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !ask().await? {
        ensure!(started.elapsed() < Duration::from_secs(90), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A paid booking of two, whose participants are known.
async fn confirmed(system: &System, who: &Trekker) -> Result<String> {
    let booking = who.book(TREK, BATCH, 2).await?;
    let id = text(&booking, "_id")?.to_owned();
    let paid = who.pay(system, &who.order(&id).await?)?;
    expect(who.verify(&id, &paid).await?, 200)?;
    ensure!(expect(who.give_participants(&id, 2).await?, 200)?["booking"]["status"] == "confirmed");
    Ok(id)
}

/// Paise that the provider gave back.
fn given_back(system: &System) -> Result<i64> {
    let state = system.razorpay.state();
    let refunds = state["refunds"].as_array().context("refunds")?;
    let done = refunds.iter().filter(|refund| refund["status"] == "processed");
    Ok(done.filter_map(|refund| refund["amount"].as_i64()).sum())
}

async fn free(client: &Client) -> Result<i64> {
    let batch = expect(client.get(&format!("/api/batches/{BATCH}")).await?, 200)?;
    batch["availableSpots"].as_i64().context("a number")
}

fn paise(rupees: &Value) -> Result<i64> {
    let rupees = rupees.as_f64().context("an amount")?;
    Ok((rupees * 100.0).round() as i64)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_goes_then_the_other_and_all_of_the_money_comes_back() -> Result<()> {
    let system = System::start().await?;
    let (client, admin) = (system.client(), Trekker::admin(&system).await?);
    let meera = Trekker::register(&system, "Meera Rao").await?;
    let before = free(&client).await?;
    let id = confirmed(&system, &meera).await?;
    let booking = expect(meera.booking(&id).await?, 200)?;
    let total = paise(&booking["totalPrice"])?;

    // The owner cancels one of the two, without a word about money.
    let first = text(&booking["participantDetails"][0], "_id")?;
    let path = format!("/api/bookings/{id}/participants/{first}/cancel");
    let cancelled = expect(meera.client.put(&path, &json!({})).await?, 200)?;
    let share = paise(&cancelled["booking"]["participantDetails"][0]["refundAmount"])?;
    ensure!(cancelled["booking"]["status"] == "confirmed" && share > 0 && share < total, "{cancelled}");
    ensure!(free(&client).await? == before - 1, "one seat is free again");
    eventually("the first refund", async || {
        let booking = expect(meera.booking(&id).await?, 200)?;
        Ok(booking["participantDetails"][0]["refundStatus"] == "success")
    })
    .await?;
    ensure!(given_back(&system)? == share, "what the booking says is what the provider did");

    // Staff cancel the rest and give all of it back.
    let reason = json!({ "refundType": "full", "reason": "Landslide" });
    let cancelled = expect(admin.put(&format!("/api/bookings/{id}/cancel"), &reason).await?, 200)?;
    ensure!(paise(&cancelled["booking"]["refundAmount"])? == total - share, "{cancelled}");
    eventually("the second refund", async || Ok(expect(meera.booking(&id).await?, 200)?["refundStatus"] == "success"))
        .await?;
    ensure!(given_back(&system)? == total, "to the paisa");
    ensure!(free(&client).await? == before);
    let list = expect(admin.get("/api/bookings").await?, 200)?;
    ensure!(list["stats"]["totalRevenue"] == 0 && list["stats"]["cancelledBookings"] == 1, "{list}");
    system.mailbox.wait_for(&meera.email, "ancel", MAIL_MAX).await?;
    let refused = admin.put(&format!("/api/bookings/{id}/restore"), &json!({})).await?;
    ensure!(
        refused.status == 400 && refused.json["message"] == "Cannot restore a refunded booking",
        "{}",
        refused.json
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_delays_the_refund_and_not_the_cancellation() -> Result<()> {
    let system = System::start().await?;
    let admin = Trekker::admin(&system).await?;
    let ravi = Trekker::register(&system, "Ravi K").await?;
    let id = confirmed(&system, &ravi).await?;
    system.razorpay.set_faults(Faults { down: true, ..Faults::default() });
    let cancelled = expect(admin.put(&format!("/api/bookings/{id}/cancel"), &json!({})).await?, 200)?;
    ensure!(cancelled["booking"]["refundStatus"] == "processing", "{cancelled}");
    ensure!(given_back(&system)? == 0);
    // Payment asks again after a minute or more, which its own tests see to.
    let booking = expect(ravi.booking(&id).await?, 200)?;
    ensure!(booking["status"] == "cancelled" && booking["refundStatus"] == "processing", "{booking}");
    let commands = expect(admin.get(&format!("/api/bookings/{id}/commands")).await?, 200)?;
    ensure!(commands["commands"][0]["state"] == "done", "payment has taken the refund over: {commands}");
    Ok(())
}

/// The host is killed while it cancels. Whatever it had done: afterwards the booking is
/// cancelled and paid back, or it is as it was, with its seats.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_while_it_cancels_leaves_all_of_it_or_nothing() -> Result<()> {
    let mut system = System::start().await?;
    let admin = Trekker::admin(&system).await?;
    let mut expected = Vec::new();
    let before = free(&system.client()).await?;
    for (at, delay_ms) in [0_u64, 2, 4, 7, 12].into_iter().enumerate() {
        let who = Trekker::register(&system, &format!("Walker {at}")).await?;
        let id = confirmed(&system, &who).await?;
        let (client, path) = (admin.clone(), format!("/api/bookings/{id}/cancel"));
        let asked = tokio::spawn(async move { client.put(&path, &json!({})).await });
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        system.kill()?;
        let acknowledged = asked.await?.is_ok_and(|reply| reply.status == 200);
        system.launch().await?;
        expected.push((who, id, acknowledged));
    }
    let mut back = 0;
    let mut kept = 0;
    for (who, id, acknowledged) in &expected {
        eventually("an end of the command", async || {
            let commands = expect(admin.get(&format!("/api/bookings/{id}/commands")).await?, 200)?;
            let commands = commands["commands"].as_array().context("commands")?.clone();
            Ok(commands.iter().all(|command| command["endedAt"].is_string()))
        })
        .await?;
        let booking = expect(who.booking(id).await?, 200)?;
        match text(&booking, "status")? {
            "cancelled" => {
                eventually(
                    "the refund",
                    async || Ok(expect(who.booking(id).await?, 200)?["refundStatus"] == "success"),
                )
                .await?;
                back += paise(&booking["totalPrice"])?;
            }
            "confirmed" => {
                ensure!(!acknowledged, "an acknowledged cancellation is gone");
                kept += 2;
            }
            other => anyhow::bail!("{other} is neither"),
        }
    }
    ensure!(given_back(&system)? == back, "all of the money of the cancelled ones, once");
    ensure!(free(&system.client()).await? == before - kept, "the seats of those that are left");
    Ok(())
}
