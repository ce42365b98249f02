//! The payment service with Stripe's double behind it: order, payment, refund by key,
//! money that staff received, and the report over all of it.

use std::time::Duration;

use cairn_shared::{Id, identity::Role};
use cairn_tests::doubles::{
    Budget, Stripe,
    stripe::{Faults, Outcome},
};
use serde_json::{Value, json};
use wasmtime::component::Val;

use crate::{
    stage::{Alone, Sent, Stage, TREK, as_caller, caller, eventually, now_ms},
    val::{done, failure, field, none, one_of, record, response, some, success, text, text_of},
};

const CHECKOUT: &str = "cairn:payment/checkout";
const REFUNDS: &str = "cairn:payment/refunds";
const OFFLINE: &str = "cairn:payment/offline";
/// Paise.
const AMOUNT: i64 = 840_000;
const WEBHOOKS_MAX: Duration = Duration::from_secs(20);

struct Shop {
    payment: Alone,
    stripe: Stripe,
    booking: Id,
    user: Id,
    caller: String,
    admin: String,
}

impl Shop {
    async fn start() -> Self {
        let stripe = Stripe::start("127.0.0.1:0").await.unwrap();
        let settings = stripe.settings();
        let host = stripe.base_url();
        let variables = [
            ("payment_provider", "stripe"),
            // No account there, so that the report has only this provider to ask.
            ("razorpay_key_id", ""),
            ("razorpay_key_secret", ""),
            ("razorpay_webhook_secret", ""),
            ("stripe_publishable_key", settings.publishable_key.as_str()),
            ("stripe_secret_key", &settings.secret_key),
            ("stripe_webhook_secret", &settings.webhook_secret),
            ("stripe_api_host", &host),
        ];
        let takes = |_: &[Val]| response(204, &[], "");
        let payment = Stage::with("payment", &variables).answer("cairn:http/upstream", "send", takes).start().await;
        stripe.set_webhook_url(format!("http://{}/api/payments/webhook/stripe", payment.running.http_addr()));
        let (user, caller_header) = caller("Meera", Role::User);
        let (_, admin) = caller("Desk", Role::Admin);
        let booking = Id::derive(&["booking"]);
        let shop = Self { payment, stripe, booking, user, caller: caller_header, admin };
        let opened = shop.payment.call(CHECKOUT, "open", vec![shop.payable()]).await;
        assert_eq!(opened, done());
        shop
    }

    fn payable(&self) -> Val {
        record([
            ("booking-id", text(self.booking.to_string())),
            ("user-id", text(self.user.to_string())),
            ("trek-name", text("Mist Ridge")),
            ("kind", one_of("full")),
            ("amount", Val::S64(AMOUNT)),
            ("expires-at", some(Val::S64(now_ms() + 1_800_000))),
            ("promo-code", none()),
            ("order-value", Val::S64(800_000)),
            ("trek-id", text(TREK)),
        ])
    }

    fn refund(&self, key: &str, amount: i64) -> Val {
        record([
            ("key", text(key)),
            ("booking-id", text(self.booking.to_string())),
            ("participant-id", none()),
            ("payment-id", none()),
            ("amount", Val::S64(amount)),
            ("kind", one_of("custom")),
            ("reason", text("Booking cancellation")),
            ("requested-by", text("system")),
        ])
    }

    async fn post(&self, path: &str, body: Value, status: u16) -> Value {
        self.payment.send("POST", path, &[as_caller(&self.caller)], &body).await.expect(status)
    }

    /// Events of a kind that were offered to the booking service.
    fn offered(&self, kind: &str) -> Vec<Value> {
        let sent = self.payment.calls.to("send");
        let to_booking = sent.iter().map(|params| Sent::of(params)).filter(|sent| sent.service == "booking");
        let events = to_booking.flat_map(|sent| sent.json.as_array().cloned().unwrap_or_default());
        events.filter(|event| event["type"] == kind).map(|event| event["data"].clone()).collect()
    }

    async fn job(&self, path: &str) {
        self.payment.running.post("payment", path).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trekker_pays_with_stripe_and_gets_a_part_back() {
    let shop = Shop::start().await;
    let made = shop.post("/api/payments/create-order", json!({ "bookingId": shop.booking.to_string() }), 200).await;
    let order = made["order"]["id"].as_str().unwrap().to_owned();
    assert_eq!((&made["order"]["amount"], &made["order"]["currency"]), (&json!(AMOUNT), &json!("INR")));
    assert!(made["order"]["client_secret"].as_str().unwrap().starts_with(&order));
    // Every webhook comes twice.
    shop.stripe.set_faults(Faults { duplicate_webhooks: Budget::Always, refunds_pending: true, ..Faults::default() });
    let charge = shop.stripe.pay(&order, Outcome::Succeeds).unwrap();
    assert!(shop.stripe.webhooks_settled(WEBHOOKS_MAX).await);
    let verified = shop.post("/api/payments/verify", json!({ "payment_intent": order }), 200).await;
    assert_eq!((&verified["payment"]["id"], &verified["payment"]["status"]), (&json!(charge), &json!("captured")));
    let told = eventually("booking is told", async || shop.offered("payment.captured").pop()).await;
    assert_eq!((&told["paymentId"], &told["amountPaise"]), (&json!(charge), &json!(AMOUNT)));

    // What is asked for twice is one refund, and no more than there is can be asked for.
    for _ in 0..2 {
        let queued = success(shop.payment.call(REFUNDS, "refund", vec![shop.refund("cancel-1", 240_000)]).await);
        assert_eq!(field(&queued, "amount"), &Val::S64(240_000));
    }
    let refused = shop.payment.call(REFUNDS, "refund", vec![shop.refund("cancel-2", 600_001)]).await;
    assert_eq!(failure(&refused), "exceeds");
    shop.job("/_jobs/refunds").await;
    let made = eventually("the refund is made", async || {
        let state = shop.stripe.state();
        state["refunds"].as_array().unwrap().first().cloned()
    });
    let refund = made.await;
    assert_eq!((&refund["amount"], &refund["status"]), (&json!(240_000), &json!("pending")));
    shop.stripe.refund_settle(refund["id"].as_str().unwrap(), true).unwrap();
    assert!(shop.stripe.webhooks_settled(WEBHOOKS_MAX).await);
    shop.job("/_jobs/relay").await;
    let told = eventually("booking is told of the refund", async || {
        shop.offered("payment.refunded").into_iter().find(|told| told["status"] == "success")
    });
    let told = told.await;
    assert_eq!(
        (&told["key"], &told["kind"], &told["amountPaise"]),
        (&json!("cancel-1"), &json!("custom"), &json!(240_000))
    );
    let list = shop.payment.call(REFUNDS, "list-refunds", vec![text(shop.booking.to_string())]).await;
    let Val::List(refunds) = success(list) else { panic!("a list") };
    assert_eq!((refunds.len(), field(&refunds[0], "status")), (1, &one_of("success")));

    // The provider, the records, the book and the booking agree.
    let day = cairn_shared::Zone::INDIA.iso_day(cairn_shared::Timestamp::now());
    let admin = [as_caller(&shop.admin)];
    let body = json!({ "from": day, "to": day, "dryRun": true });
    let report = shop.payment.send("POST", "/api/payments/reports", &admin, &body).await.expect(201);
    assert_eq!((&report["complete"], &report["mismatches"]), (&json!(true), &json!([])), "{report}");
    assert_eq!((&report["payments"], &report["refunds"]), (&json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_does_not_answer_is_asked_again_and_made_once() {
    let shop = Shop::start().await;
    shop.stripe.set_faults(Faults { drop_connection_after_acting: Budget::Times(1), ..Faults::default() });
    let ask = json!({ "bookingId": shop.booking.to_string() });
    shop.post("/api/payments/create-order", ask.clone(), 503).await;
    let made = shop.post("/api/payments/create-order", ask, 200).await;
    assert_eq!(shop.stripe.state()["intents"].as_array().unwrap().len(), 1);
    shop.stripe.set_faults(Faults { fail: Budget::Times(1), lose_webhooks: Budget::Always, ..Faults::default() });
    let order = made["order"]["id"].as_str().unwrap();
    shop.stripe.pay(order, Outcome::Succeeds).unwrap();
    let report = json!({ "payment_intent": order });
    shop.post("/api/payments/verify", report.clone(), 503).await;
    shop.post("/api/payments/verify", report, 200).await;
    let told = eventually("booking is told", async || shop.offered("payment.captured").pop()).await;
    assert_eq!(told["bookingId"], shop.booking.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_staff_received_is_recorded_by_its_key() {
    let shop = Shop::start().await;
    let receipt = |amount: i64| {
        record([
            ("key", text("command-1")),
            ("booking-id", text(shop.booking.to_string())),
            ("user-id", text(shop.user.to_string())),
            ("kind", one_of("full")),
            ("amount", Val::S64(amount)),
            ("method", one_of("bank-transfer")),
            ("reference", text("UTR 4711")),
            ("actor", text(shop.user.to_string())),
        ])
    };
    let first = success(shop.payment.call(OFFLINE, "record", vec![receipt(AMOUNT)]).await);
    assert_eq!(text_of(&first, "method"), "bank transfer");
    assert_eq!(success(shop.payment.call(OFFLINE, "record", vec![receipt(AMOUNT)]).await), first);
    let reused = shop.payment.call(OFFLINE, "record", vec![receipt(AMOUNT + 1)]).await;
    assert_eq!(reused, crate::val::err(Val::Variant("key-reused".into(), None)));
    let list = shop.payment.call(CHECKOUT, "list-payments", vec![text(shop.booking.to_string())]).await;
    assert_eq!(success(list), Val::List(vec![first]));
    shop.post("/api/payments/create-order", json!({ "bookingId": shop.booking.to_string() }), 400).await;
}
