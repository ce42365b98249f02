//! Bad input, other people's things, and outside services that misbehave.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cairn_tests::{
    doubles::{
        Budget, mailbox,
        razorpay::{Faults, WebhookFaults},
    },
    system::System,
    trekker::{MAIL_MAX, Trekker, expect, text},
};
use http::Method;
use serde_json::json;

const TREK: &str = "68c5a7d0b3e19f4200002001";
const BATCH: &str = "68c5a7d0b3e19f4200004008";

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_a_4xx_that_says_what_is_wrong() -> Result<()> {
    let system = System::start().await?;
    let ravi = Trekker::register(&system, "Ravi K").await?;
    let (anonymous, user) = (system.client(), ravi.client.clone());
    let booking = ravi.booking_request(TREK, BATCH, 1).to_string();
    let too_many = ravi.booking_request(TREK, BATCH, 5000).to_string();
    let cases: Vec<(&_, Method, &str, &str, u16)> = vec![
        (&anonymous, Method::GET, "/api/nothing", "", 404),
        (&anonymous, Method::GET, "/nothing", "", 404),
        (&anonymous, Method::GET, "/_jobs/relay", "", 404),
        (&anonymous, Method::POST, "/_events", "[]", 404),
        (&anonymous, Method::GET, "/api/treks/xyz", "", 400),
        (&anonymous, Method::GET, "/api/treks/000000000000000000000000", "", 404),
        (&anonymous, Method::GET, "/api/treks?sort=sideways", "", 400),
        (&anonymous, Method::GET, "/api/blogs/no-such-blog", "", 404),
        (&anonymous, Method::GET, "/uploads/../spin.toml", "", 404),
        (&anonymous, Method::GET, "/uploads/%2e%2e/spin.toml", "", 404),
        (&anonymous, Method::POST, "/api/auth/register", "{", 400),
        (&anonymous, Method::POST, "/api/auth/register", "3", 400),
        (&anonymous, Method::POST, "/api/auth/register", r#"{"email":{"$ne":1}}"#, 400),
        (&anonymous, Method::POST, "/api/auth/register", "{}", 400),
        (&anonymous, Method::POST, "/api/auth/login", r#"{"email":"nobody@example.org","password":"x"}"#, 401),
        (&anonymous, Method::POST, "/api/auth/login", "{}", 400),
        (&anonymous, Method::POST, "/api/auth/verify-register-otp", r#"{"email":"x@example.org","otp":"123456"}"#, 400),
        (&anonymous, Method::GET, "/api/auth/me", "", 401),
        (&anonymous, Method::POST, "/api/bookings", &booking, 401),
        (&anonymous, Method::GET, "/api/bookings/user", "", 401),
        (&anonymous, Method::POST, "/api/payments/webhook", r#"{"event":"payment.captured"}"#, 400),
        (&user, Method::GET, "/api/bookings", "", 403),
        (&user, Method::GET, "/api/stats/dashboard", "", 403),
        (&user, Method::GET, "/api/bookings/xyz", "", 404),
        (&user, Method::POST, "/api/bookings", "{}", 400),
        (&user, Method::POST, "/api/bookings", &too_many, 400),
        (&user, Method::POST, "/api/promos/validate", "{}", 400),
        (&user, Method::POST, "/api/promos/validate", r#"{"code":"NOSUCH"}"#, 404),
        (&user, Method::POST, "/api/payments/create-order", "{}", 400),
        (&user, Method::POST, "/api/payments/create-order", r#"{"bookingId":"000000000000000000000000"}"#, 404),
        (&user, Method::POST, "/api/payments/verify", "{}", 400),
        (&user, Method::DELETE, "/api/payments/verify", "", 405),
        (&user, Method::PUT, "/api/bookings/000000000000000000000000/participants", "{}", 404),
    ];
    for (client, method, path, body, status) in cases {
        let media_type = (!body.is_empty()).then_some("application/json");
        let reply = client.send(method.clone(), path, media_type, Bytes::from(body.to_owned())).await?;
        let message = reply.json["message"].as_str().unwrap_or_default();
        ensure!(
            reply.status.as_u16() == status && !message.is_empty(),
            "{method} {path} {body}: {} {}",
            reply.status,
            reply.json
        );
        ensure!(reply.header("x-correlation-id").is_some(), "{method} {path}: no correlation id");
    }
    let oversized = format!(r#"{{"email":"{}"}}"#, "x".repeat(12 << 20));
    let reply = anonymous.send(Method::POST, "/api/auth/login", Some("application/json"), oversized.into()).await?;
    ensure!(reply.status == 413 && reply.json["message"].is_string(), "{} {}", reply.status, reply.json);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_bookings_are_out_of_reach() -> Result<()> {
    let system = System::start().await?;
    let (owner, other) =
        (Trekker::register(&system, "Owner One").await?, Trekker::register(&system, "Other Two").await?);
    let booking = owner.book(TREK, BATCH, 1).await?;
    let id = text(&booking, "_id")?;
    expect(other.booking(id).await?, 403)?;
    expect(other.give_participants(id, 1).await?, 403)?;
    expect(other.client.get(&format!("/api/bookings/{id}/invoice")).await?, 403)?;
    expect(other.client.post("/api/payments/create-order", &json!({ "bookingId": id })).await?, 403)?;
    let status = json!({ "status": "confirmed" });
    expect(other.client.put(&format!("/api/bookings/{id}/status"), &status).await?, 403)?;
    let paid = owner.pay(&system, &owner.order(id).await?)?;
    let reply = other.verify(id, &paid).await?;
    ensure!(reply.status == 403, "{}", reply.json);
    // What the gateway says about callers cannot be said from outside.
    let forged = system.client().with_header("x-cairn-caller", "eyJjYWxsZXIiOnt9fQ");
    expect(forged.get("/api/auth/me").await?, 401)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_delays_an_order_and_loses_nothing() -> Result<()> {
    let system = System::start().await?;
    let ravi = Trekker::register(&system, "Ravi K").await?;
    let booking = ravi.book(TREK, BATCH, 1).await?;
    let id = text(&booking, "_id")?;
    let ask = json!({ "bookingId": id });
    system.razorpay.set_faults(Faults { down: true, ..Faults::default() });
    let refused = ravi.client.post("/api/payments/create-order", &ask).await?;
    ensure!(refused.status == 503 && refused.json["message"].is_string(), "{} {}", refused.status, refused.json);
    // Acts, and drops the connection before it answers: the order exists.
    system.razorpay.set_faults(Faults { drop_connection_after_acting: Budget::Times(1), ..Faults::default() });
    let unknown = ravi.client.post("/api/payments/create-order", &ask).await?;
    ensure!(unknown.status == 503 || unknown.status == 200, "{} {}", unknown.status, unknown.json);
    system.razorpay.set_faults(Faults::default());
    let order = ravi.order(id).await?;
    let orders = system.razorpay.state()["orders"].as_array().context("orders")?.len();
    ensure!(orders == 1, "one order, not {orders}");
    let paid = ravi.pay(&system, &order)?;
    // The provider cannot be asked when the client comes to verify; the webhook does it.
    expect(ravi.verify(id, &paid).await?, 200)?;
    ensure!(expect(ravi.booking(id).await?, 200)?["status"] == "payment_completed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicated_reordered_and_delayed_webhooks_pay_once() -> Result<()> {
    let system = System::start().await?;
    let ravi = Trekker::register(&system, "Ravi K").await?;
    let booking = ravi.book(TREK, BATCH, 1).await?;
    let id = text(&booking, "_id")?;
    let order = ravi.order(id).await?;
    let webhooks = WebhookFaults { duplicate: Budget::Always, reorder: true, delay_ms: 30, ..WebhookFaults::default() };
    system.razorpay.set_faults(Faults { webhooks, ..Faults::default() });
    let paid = ravi.pay(&system, &order)?;
    for _ in 0..3 {
        expect(ravi.verify(id, &paid).await?, 200)?;
    }
    system.razorpay.flush_webhooks();
    ensure!(system.razorpay.webhooks_settled(Duration::from_secs(20)).await, "webhooks are delivered");
    let admin = Trekker::admin(&system).await?;
    let detail = expect(admin.get(&format!("/api/bookings/{id}")).await?, 200)?;
    ensure!(detail["payments"].as_array().context("payments")?.len() == 1, "{detail}");
    ensure!(detail["amountPaid"] == booking["totalPrice"], "{detail}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_waits_while_the_mail_server_is_down() -> Result<()> {
    let system = System::start().await?;
    system.mailbox.set_faults(mailbox::Faults { refuse: true, ..mailbox::Faults::default() });
    let body = json!({
        "name": "Late Mail", "email": "late@example.org", "username": "late", "phone": "9800000009",
        "password": Trekker::PASSWORD,
    });
    expect(system.client().post("/api/auth/register", &body).await?, 201)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(system.mailbox.messages_to("late@example.org").is_empty());
    system.mailbox.set_faults(mailbox::Faults::default());
    let back = Instant::now();
    system.mailbox.wait_for("late@example.org", "", MAIL_MAX.max(Duration::from_secs(90))).await?;
    println!("the mail went out {:?} after the server was back", back.elapsed());
    Ok(())
}
