//! The double over real HTTP, with a real receiver of webhooks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Attempt, FailWith, Faults, Outcome, Razorpay, RefundCourse, RefundStatus, Settings, WebhookFaults};
use crate::client::{Client, ClientError};
use crate::doubles::Budget;
use crate::doubles::http::{Answer, Call, Server, json as respond, serve};
use crate::doubles::signature::hmac_hex;

/// Far longer than anything here takes: a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A merchant: receives webhooks, and refuses the first `refusals` of them.
struct Merchant {
    server: Server,
    received: Arc<Mutex<Vec<Call>>>,
    arrived: Arc<Notify>,
}

impl Merchant {
    async fn start(refusals: u32) -> Result<Self> {
        let received = Arc::new(Mutex::new(Vec::new()));
        let arrived = Arc::new(Notify::new());
        let refusals = Arc::new(Mutex::new(Budget::Times(refusals)));
        let (calls, notify) = (Arc::clone(&received), Arc::clone(&arrived));
        let server = serve("127.0.0.1:0", 1 << 20, move |call| {
            let refused = refusals.lock().unwrap().strike();
            calls.lock().unwrap().push(call);
            notify.notify_waiters();
            let status = if refused { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            async move { Answer::Send(respond(status, &json!({}))) }
        })
        .await?;
        Ok(Self { server, received, arrived })
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.server.addr)
    }

    /// Names of the events in the order they came.
    fn events(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received.iter().map(|call| body(call)["event"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn event_ids(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received.iter().map(|call| call.header("x-razorpay-event-id").unwrap().to_owned()).collect()
    }

    async fn wait_for(&self, count: usize) -> Result<()> {
        let enough = async {
            loop {
                let arrived = self.arrived.notified();
                if self.received.lock().unwrap().len() >= count {
                    return;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.context("webhooks did not come")
    }
}

fn body(call: &Call) -> Value {
    serde_json::from_slice(&call.body).unwrap()
}

struct Bench {
    merchant: Merchant,
    razorpay: Razorpay,
    api: Client,
    control: Client,
}

impl Bench {
    async fn start() -> Result<Self> {
        Self::start_refusing(0, &[10, 10, 10]).await
    }

    async fn start_refusing(refusals: u32, retry_ms: &[u64]) -> Result<Self> {
        let merchant = Merchant::start(refusals).await?;
        let settings = Settings {
            webhook_url: merchant.url(),
            webhook_retry_after: retry_ms.iter().copied().map(Duration::from_millis).collect(),
            ..Settings::default()
        };
        let razorpay = Razorpay::start_with("127.0.0.1:0", settings).await?;
        let control = Client::new(razorpay.base_url()).with_timeout(PATIENCE);
        let api = control.with_header("authorization", &basic("rzp_test_double", "rzp_double_secret"));
        Ok(Self { merchant, razorpay, api, control })
    }

    async fn order(&self, paise: i64) -> Result<String> {
        let reply = self
            .api
            .post(
                "/v1/orders",
                &json!({ "amount": paise, "currency": "INR", "receipt": "booking_1", "notes": { "bookingId": "1" } }),
            )
            .await?;
        ensure!(reply.status == StatusCode::OK, "{}", reply.json);
        Ok(reply.json["id"].as_str().context("an id")?.to_owned())
    }

    /// A captured payment of 1000 paise, and its webhooks are through: what different acts
    /// cause has no order among itself.
    async fn captured(&self) -> Result<String> {
        let order = self.order(1000).await?;
        let paid = self.razorpay.pay(&order, Attempt::new(Outcome::Captured)).unwrap();
        self.settled().await?;
        Ok(paid.payment_id)
    }

    async fn settled(&self) -> Result<()> {
        ensure!(self.razorpay.webhooks_settled(PATIENCE).await, "{}", self.razorpay.state());
        Ok(())
    }

    fn webhook_faults(&self, webhooks: WebhookFaults) {
        self.razorpay.set_faults(Faults { webhooks, ..Faults::default() });
    }

    async fn refund(&self, payment: &str, key: &str, body: Value) -> Result<(StatusCode, Value)> {
        let reply = self
            .api
            .with_header("X-Refund-Idempotency", key)
            .post(&format!("/v1/payments/{payment}/refund"), &body)
            .await?;
        Ok((reply.status, reply.json))
    }
}

fn basic(user: &str, password: &str) -> String {
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {credentials}")
}

#[tokio::test]
async fn a_wrong_key_is_answered_with_401() -> Result<()> {
    let bench = Bench::start().await?;
    for client in
        [bench.control.clone(), bench.control.with_header("authorization", &basic("rzp_test_double", "guess"))]
    {
        let reply = client.get("/v1/orders").await?;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert_eq!(reply.json["error"]["code"], "BAD_REQUEST_ERROR");
    }
    Ok(())
}

#[tokio::test]
async fn an_order_out_of_its_limits_is_refused_with_the_field_at_fault() -> Result<()> {
    let bench = Bench::start().await?;
    let note = |text: String| json!({ "amount": 1000, "currency": "INR", "notes": { "a": text } });
    let notes: serde_json::Map<String, Value> = (0..16).map(|n| (n.to_string(), json!("x"))).collect();
    let cases = [
        (json!({ "amount": 99, "currency": "INR" }), "amount"),
        (json!({ "amount": 1000.5, "currency": "INR" }), "amount"),
        (json!({ "currency": "INR" }), "amount"),
        (json!({ "amount": 1000 }), "currency"),
        (json!({ "amount": 1000, "currency": "INR", "receipt": "r".repeat(41) }), "receipt"),
        (note("x".repeat(257)), "notes"),
        (json!({ "amount": 1000, "currency": "INR", "notes": notes }), "notes"),
    ];
    for (ask, field) in cases {
        let reply = bench.api.post("/v1/orders", &ask).await?;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{ask}");
        assert_eq!(reply.json["error"]["field"], field, "{}", reply.json);
    }
    let reply = bench.api.post("/v1/orders", &json!({ "amount": 100, "currency": "INR", "colour": "red" })).await?;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let reply =
        bench.api.post("/v1/orders", &json!({ "amount": 100, "currency": "INR", "receipt": "r".repeat(40) })).await?;
    assert_eq!((reply.status, &reply.json["notes"]), (StatusCode::OK, &json!([])));
    Ok(())
}

#[tokio::test]
async fn a_payment_makes_the_order_paid_and_is_told_by_signed_webhooks() -> Result<()> {
    let bench = Bench::start().await?;
    let order = bench.order(254_200).await?;
    let paid = bench.control.post("/_ctl/payments", &json!({ "order_id": order, "status": "captured" })).await?.json;
    let payment = paid["payment_id"].as_str().context("a payment")?;
    assert_eq!(paid["signature"], hmac_hex("rzp_double_secret", format!("{order}|{payment}").as_bytes()));

    bench.settled().await?;
    assert_eq!(bench.merchant.events(), ["payment.authorized", "payment.captured", "order.paid"]);
    for call in bench.merchant.received.lock().unwrap().iter() {
        assert_eq!(
            call.header("x-razorpay-signature"),
            Some(hmac_hex("rzp_double_webhook_secret", &call.body).as_str())
        );
        let envelope = body(call);
        assert_eq!(envelope["entity"], "event");
        assert_eq!(envelope["payload"]["payment"]["entity"]["id"], payment);
        assert_eq!(envelope["payload"]["payment"]["entity"]["notes"]["bookingId"], "1");
    }
    let mut ids = bench.merchant.event_ids();
    ids.dedup();
    assert_eq!(ids.len(), 3);

    let found = bench.api.get("/v1/orders?receipt=booking_1").await?.json;
    assert_eq!((&found["count"], &found["items"][0]["status"]), (&json!(1), &json!("paid")));
    let found = bench.api.get(&format!("/v1/orders/{order}")).await?.json;
    assert_eq!(
        (&found["amount_paid"], &found["amount_due"], &found["attempts"]),
        (&json!(254_200), &json!(0), &json!(1))
    );
    let found = bench.api.get(&format!("/v1/orders/{order}/payments")).await?.json;
    assert_eq!(found["items"][0]["status"], "captured");
    let again = bench.control.post("/_ctl/payments", &json!({ "order_id": order, "status": "captured" })).await?;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test]
async fn a_failed_payment_may_be_authorized_late_and_captured_by_the_merchant_once() -> Result<()> {
    let bench = Bench::start().await?;
    let order = bench.order(5000).await?;
    let payment = bench.razorpay.pay(&order, Attempt::new(Outcome::Failed)).unwrap().payment_id;
    let found = bench.api.get(&format!("/v1/payments/{payment}")).await?.json;
    assert_eq!((&found["status"], &found["error_code"]), (&json!("failed"), &json!("BAD_REQUEST_ERROR")));
    bench.settled().await?;

    let late = bench.control.post(&format!("/_ctl/payments/{payment}/authorize"), &json!({})).await?.json;
    assert_eq!((&late["status"], &late["error_code"]), (&json!("authorized"), &Value::Null));
    bench.settled().await?;
    let capture = format!("/v1/payments/{payment}/capture");
    let wrong = bench.api.post(&capture, &json!({ "amount": 4999, "currency": "INR" })).await?;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let right = bench.api.post(&capture, &json!({ "amount": 5000, "currency": "INR" })).await?;
    assert_eq!((right.status, &right.json["captured"]), (StatusCode::OK, &json!(true)));
    let second = bench.api.post(&capture, &json!({ "amount": 5000, "currency": "INR" })).await?;
    assert_eq!(second.status, StatusCode::BAD_REQUEST);
    bench.settled().await?;
    assert_eq!(bench.merchant.events(), ["payment.failed", "payment.authorized", "payment.captured", "order.paid"]);
    Ok(())
}

#[tokio::test]
async fn refunds_never_exceed_the_payment_and_the_same_key_gives_the_same_answer() -> Result<()> {
    let bench = Bench::start().await?;
    let payment = bench.captured().await?;
    let first = bench.refund(&payment, "key-number-1", json!({ "amount": 400 })).await?;
    assert_eq!((first.0, &first.1["status"]), (StatusCode::OK, &json!("processed")));
    assert_eq!(bench.refund(&payment, "key-number-1", json!({ "amount": 400 })).await?, first);
    let other_body = bench.refund(&payment, "key-number-1", json!({ "amount": 300 })).await?;
    assert_eq!(other_body.0, StatusCode::CONFLICT);
    let short_key = bench.refund(&payment, "short", json!({ "amount": 300 })).await?;
    assert_eq!(short_key.0, StatusCode::BAD_REQUEST);
    let too_much = bench.refund(&payment, "key-number-2", json!({ "amount": 601 })).await?;
    assert_eq!(too_much.0, StatusCode::BAD_REQUEST);
    let found = bench.api.get(&format!("/v1/payments/{payment}")).await?.json;
    assert_eq!((&found["amount_refunded"], &found["refund_status"]), (&json!(400), &json!("partial")));

    let rest = bench
        .api
        .send(http::Method::POST, &format!("/v1/payments/{payment}/refund"), None, bytes::Bytes::new())
        .await?;
    assert_eq!(rest.json["amount"], 600);
    let found = bench.api.get(&format!("/v1/payments/{payment}")).await?.json;
    assert_eq!((&found["status"], &found["refund_status"]), (&json!("refunded"), &json!("full")));
    assert_eq!(bench.api.get(&format!("/v1/payments/{payment}/refunds")).await?.json["count"], 2);
    let refund = rest.json["id"].as_str().context("an id")?;
    assert_eq!(bench.api.get(&format!("/v1/refunds/{refund}")).await?.json["status"], "processed");
    bench.settled().await?;
    let refunds: Vec<String> = bench.merchant.events().split_off(3);
    assert_eq!(refunds.iter().filter(|name| *name == "refund.processed").count(), 2, "{refunds:?}");
    Ok(())
}

#[tokio::test]
async fn a_refund_that_fails_gives_the_money_back_to_the_merchant() -> Result<()> {
    let bench = Bench::start().await?;
    let payment = bench.captured().await?;
    bench.razorpay.set_faults(Faults { refunds: RefundCourse::Pending, ..Faults::default() });
    let (_, refund) = bench.refund(&payment, "key-number-1", json!({})).await?;
    assert_eq!(refund["status"], "pending");
    bench.settled().await?;
    let id = refund["id"].as_str().context("an id")?;
    let failed = bench.control.post(&format!("/_ctl/refunds/{id}"), &json!({ "status": "failed" })).await?.json;
    assert_eq!(failed["status"], "failed");
    assert!(bench.razorpay.refund_settle(id, RefundStatus::Processed).is_err());
    let found = bench.api.get(&format!("/v1/payments/{payment}")).await?.json;
    assert_eq!((&found["status"], &found["amount_refunded"]), (&json!("captured"), &json!(0)));
    bench.settled().await?;
    assert_eq!(bench.merchant.events().last().map(String::as_str), Some("refund.failed"));
    Ok(())
}

#[tokio::test]
async fn a_refused_webhook_is_retried_under_the_same_event_id() -> Result<()> {
    let bench = Bench::start_refusing(2, &[5, 5, 5]).await?;
    let order = bench.order(1000).await?;
    bench.razorpay.pay(&order, Attempt::new(Outcome::Failed)).unwrap();
    bench.settled().await?;
    let ids = bench.merchant.event_ids();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(bench.razorpay.state()["webhooks"][0]["state"], "delivered");
    Ok(())
}

#[tokio::test]
async fn a_webhook_is_given_up_after_the_last_retry() -> Result<()> {
    let bench = Bench::start_refusing(100, &[1, 1]).await?;
    let order = bench.order(1000).await?;
    bench.razorpay.pay(&order, Attempt::new(Outcome::Failed)).unwrap();
    bench.settled().await?;
    let webhook = &bench.razorpay.state()["webhooks"][0];
    assert_eq!(
        (&webhook["state"], &webhook["attempts"], &webhook["last_status"]),
        (&json!("failed"), &json!(3), &json!(503))
    );
    Ok(())
}

#[tokio::test]
async fn webhooks_can_be_lost_and_duplicated_and_delayed() -> Result<()> {
    let bench = Bench::start().await?;
    let faults = json!({ "webhooks": { "lose": 1, "duplicate": 1, "delay_ms": 50 } });
    assert_eq!(bench.control.post("/_ctl/faults", &faults).await?.status, StatusCode::OK);
    let started = std::time::Instant::now();
    bench.captured().await?;
    bench.settled().await?;
    assert!(started.elapsed() >= Duration::from_millis(50));
    assert_eq!(bench.merchant.events(), ["payment.captured", "payment.captured", "order.paid"]);
    let ids = bench.merchant.event_ids();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(bench.razorpay.state()["webhooks"][0]["state"], "lost");
    Ok(())
}

#[tokio::test]
async fn webhooks_can_overtake_each_other_and_be_held() -> Result<()> {
    let bench = Bench::start().await?;
    bench.webhook_faults(WebhookFaults { reorder: true, ..WebhookFaults::default() });
    bench.captured().await?;
    bench.merchant.wait_for(2).await?;
    bench.settled().await?;
    assert_eq!(bench.merchant.events(), ["payment.captured", "payment.authorized"]);
    let flushed = bench.control.post("/_ctl/webhooks/flush", &json!({})).await?.json;
    assert_eq!(flushed["released"], 1);
    bench.settled().await?;
    assert_eq!(bench.merchant.events().last().map(String::as_str), Some("order.paid"));

    bench.webhook_faults(WebhookFaults { hold: Budget::Always, ..WebhookFaults::default() });
    bench.captured().await?;
    bench.settled().await?;
    assert_eq!(bench.merchant.events().len(), 3);
    assert_eq!(bench.razorpay.flush_webhooks(), 3);
    bench.settled().await?;
    assert_eq!(bench.merchant.events().len(), 6);
    Ok(())
}

#[tokio::test]
async fn a_late_capture_leaves_the_order_attempted_until_it_comes() -> Result<()> {
    let bench = Bench::start().await?;
    bench.control.post("/_ctl/faults", &json!({ "capture_late": true })).await?;
    let payment = bench.captured().await?;
    let found = bench.api.get(&format!("/v1/payments/{payment}")).await?.json;
    assert_eq!(found["status"], "authorized");
    let order = found["order_id"].as_str().context("an order")?;
    assert_eq!(bench.api.get(&format!("/v1/orders/{order}")).await?.json["status"], "attempted");
    bench.control.post(&format!("/_ctl/payments/{payment}/capture"), &json!({})).await?;
    assert_eq!(bench.api.get(&format!("/v1/orders/{order}")).await?.json["status"], "paid");
    Ok(())
}

#[tokio::test]
async fn a_call_can_fail_without_acting_and_hang_up_after_acting() -> Result<()> {
    let bench = Bench::start().await?;
    let fail_with = FailWith { status: 500, calls: Budget::Times(1) };
    bench.razorpay.set_faults(Faults {
        fail_with,
        drop_connection_after_acting: Budget::Times(1),
        ..Faults::default()
    });
    let ask = json!({ "amount": 1000, "currency": "INR" });
    assert_eq!(bench.api.post("/v1/orders", &ask).await?.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(bench.razorpay.state()["orders"], json!([]));
    let hung_up = bench.api.post("/v1/orders", &ask).await;
    assert!(matches!(hung_up, Err(ClientError::Connection { .. })), "{hung_up:?}");
    assert_eq!(bench.razorpay.state()["orders"].as_array().map(Vec::len), Some(1));
    assert_eq!(bench.api.get("/v1/orders").await?.json["count"], 1);
    Ok(())
}

#[tokio::test]
async fn when_down_it_answers_nobody_but_the_control_door() -> Result<()> {
    let bench = Bench::start().await?;
    bench.control.post("/_ctl/faults", &json!({ "down": true })).await?;
    assert!(bench.api.get("/v1/orders").await.is_err());
    let cleared = bench.control.delete("/_ctl/faults", &Value::Null).await?;
    assert_eq!(cleared.json["down"], false);
    assert_eq!(bench.api.get("/v1/orders").await?.status, StatusCode::OK);
    let unknown = bench.control.post("/_ctl/faults", &json!({ "dwon": true })).await?;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test]
async fn a_repeated_refund_is_a_conflict_while_the_first_is_in_flight() -> Result<()> {
    let bench = Bench::start().await?;
    let payment = bench.captured().await?;
    bench.razorpay.set_faults(Faults { slow_ms: 400, ..Faults::default() });
    let (first, second) = tokio::join!(
        bench.refund(&payment, "key-number-1", json!({ "amount": 400 })),
        bench.refund(&payment, "key-number-1", json!({ "amount": 400 })),
    );
    let mut statuses = [first?.0, second?.0];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::CONFLICT]);
    bench.razorpay.set_faults(Faults::default());
    assert_eq!(bench.refund(&payment, "key-number-1", json!({ "amount": 400 })).await?.0, StatusCode::OK);
    assert_eq!(bench.razorpay.state()["refunds"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_person_can_pay_on_the_page_and_gets_the_three_values() -> Result<()> {
    let bench = Bench::start().await?;
    let order = bench.order(254_250).await?;
    let text = |reply: crate::client::Reply| String::from_utf8_lossy(&reply.body).into_owned();
    assert!(text(bench.control.get("/").await?).contains(&format!("/pay/{order}")));
    let page = format!("/pay/{order}");
    assert!(text(bench.control.get(&page).await?).contains("INR 2542.50"));
    let form = |outcome: &'static str| {
        let kind = Some("application/x-www-form-urlencoded");
        bench.control.send(http::Method::POST, &page, kind, bytes::Bytes::from_static(outcome.as_bytes()))
    };
    assert!(text(form("outcome=failed").await?).contains("Payment failed"));
    let paid = text(form("outcome=captured").await?);
    for field in ["razorpay_order_id", "razorpay_payment_id", "razorpay_signature"] {
        assert!(paid.contains(field), "{paid}");
    }
    assert_eq!(bench.razorpay.state()["orders"][0]["status"], "paid");
    Ok(())
}

#[tokio::test]
async fn a_reset_forgets_objects_and_faults_but_not_the_settings() -> Result<()> {
    let bench = Bench::start().await?;
    bench.captured().await?;
    bench.control.post("/_ctl/settings", &json!({ "webhook_secret": "next" })).await?;
    bench.control.post("/_ctl/faults", &json!({ "down": true })).await?;
    bench.control.post("/_ctl/reset", &json!({})).await?;
    let state = bench.control.get("/_ctl/state").await?.json;
    assert_eq!(
        (&state["orders"], &state["webhooks"], &state["faults"]["down"]),
        (&json!([]), &json!([]), &json!(false))
    );
    assert_eq!(bench.razorpay.settings().webhook_secret, "next");
    Ok(())
}

#[tokio::test]
async fn a_payment_that_was_begun_is_open_until_it_fails_or_is_authorized() -> Result<()> {
    let bench = Bench::start().await?;
    let order = bench.order(1000).await?;
    let begin = json!({ "order_id": order, "status": "created" });
    let mut ends = Vec::new();
    for end in ["fail", "authorize"] {
        let begun = bench.control.post("/_ctl/payments", &begin).await?.json;
        let payment = begun["payment_id"].as_str().context("a payment")?.to_owned();
        let found = bench.api.get(&format!("/v1/payments/{payment}")).await?.json;
        assert_eq!(found["status"], "created");
        let path = format!("/_ctl/payments/{payment}/{end}");
        ends.push(bench.control.post(&path, &json!({})).await?.json["status"].clone());
        assert_eq!(
            bench.control.post(&format!("/_ctl/payments/{payment}/fail"), &json!({})).await?.status,
            StatusCode::BAD_REQUEST
        );
        bench.settled().await?;
    }
    assert_eq!(ends, ["failed", "authorized"]);
    assert_eq!(bench.merchant.events(), ["payment.failed", "payment.authorized"]);
    Ok(())
}
