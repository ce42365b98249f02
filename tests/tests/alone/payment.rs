//! The payment service, with the provider's double behind it and a booking service
//! that the test answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use cairn_shared::{Id, identity::Role};
use cairn_tests::doubles::{
    Razorpay,
    razorpay::{Attempt, Outcome},
};
use serde_json::{Value, json};
use wasmtime::component::Val;

use crate::{
    stage::{Alone, Sent, Stage, TREK, as_caller, caller, eventually, now_ms},
    val::{case, done, err, field, none, one_of, record, response, some, success, text, text_of},
};

const CHECKOUT: &str = "cairn:payment/checkout";
const UPSTREAM: &str = "cairn:http/upstream";
/// Paise.
const AMOUNT: i64 = 840_000;
const WEBHOOKS_MAX: Duration = Duration::from_secs(20);

struct Shop {
    payment: Alone,
    razorpay: Razorpay,
    /// Whether the booking service takes events.
    open: Arc<AtomicBool>,
    booking: Id,
    caller: String,
}

impl Shop {
    /// With a booking that is to be paid.
    async fn start() -> Self {
        let razorpay = Razorpay::start("127.0.0.1:0").await.unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let takes = Arc::clone(&open);
        let upstream = move |_: &[Val]| match takes.load(Relaxed) {
            true => response(204, &[], ""),
            false => err(case("unavailable", Val::U32(1))),
        };
        let host = razorpay.base_url();
        let payment =
            Stage::with("payment", &[("razorpay_api_host", &host)]).answer(UPSTREAM, "send", upstream).start().await;
        razorpay.set_webhook_url(format!("http://{}/api/payments/webhook", payment.running.http_addr()));
        let (user, caller) = caller("Meera", Role::User);
        let shop = Self { payment, razorpay, open, booking: Id::derive(&["booking"]), caller };
        assert_eq!(shop.payment.call(CHECKOUT, "open", vec![shop.payable(user)]).await, done());
        shop
    }

    fn payable(&self, user: Id) -> Val {
        record([
            ("booking-id", text(self.booking.to_string())),
            ("user-id", text(user.to_string())),
            ("trek-name", text("Mist Ridge")),
            ("kind", one_of("full")),
            ("amount", Val::S64(AMOUNT)),
            ("expires-at", some(Val::S64(now_ms() + 1_800_000))),
            ("promo-code", none()),
            ("order-value", Val::S64(800_000)),
            ("trek-id", text(TREK)),
        ])
    }

    async fn order(&self) -> Value {
        let body = json!({ "bookingId": self.booking.to_string(), "amount": 1 });
        let headers = [as_caller(&self.caller)];
        self.payment.send("POST", "/api/payments/create-order", &headers, &body).await.expect(200)["order"].clone()
    }

    /// Events of a kind that were offered to the booking service.
    fn offered(&self, kind: &str) -> Vec<Value> {
        let sent = self.payment.calls.to("send");
        let to_booking = sent.iter().map(|params| Sent::of(params)).filter(|sent| sent.service == "booking");
        let events = to_booking.flat_map(|sent| {
            assert_eq!((sent.method.as_str(), sent.target.as_str()), ("POST", "/_events"));
            sent.json.as_array().cloned().unwrap_or_default()
        });
        events.filter(|event| event["type"] == kind).collect()
    }

    async fn payments(&self) -> Vec<Val> {
        let booking = text(self.booking.to_string());
        match success(self.payment.call(CHECKOUT, "list-payments", vec![booking]).await) {
            Val::List(payments) => payments,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_captures_the_payment_and_tells_booking() {
    let shop = Shop::start().await;
    let order = shop.order().await;
    // The price is what booking said; what the client says counts for nothing.
    assert_eq!(order["amount"], AMOUNT);
    let paid = shop.razorpay.pay(order["id"].as_str().unwrap(), Attempt::new(Outcome::Captured)).unwrap();
    assert!(shop.razorpay.webhooks_settled(WEBHOOKS_MAX).await);

    let payments = shop.payments().await;
    assert_eq!(payments.len(), 1, "{payments:?}");
    assert_eq!(text_of(&payments[0], "id"), paid.payment_id);
    assert_eq!(field(&payments[0], "amount"), &Val::S64(AMOUNT));
    let told = eventually("booking is told", async || shop.offered("payment.captured").pop()).await;
    assert_eq!(told["data"]["bookingId"], shop.booking.to_string());
    assert_eq!(told["data"]["amountPaise"], AMOUNT);
    assert_eq!(told["data"]["paymentId"], paid.payment_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_booking_does_not_take_is_kept_and_offered_again() {
    let shop = Shop::start().await;
    let order = shop.order().await;
    shop.open.store(false, Relaxed);
    shop.razorpay.pay(order["id"].as_str().unwrap(), Attempt::new(Outcome::Captured)).unwrap();
    assert!(
        shop.razorpay.webhooks_settled(WEBHOOKS_MAX).await,
        "the provider's work is done when the capture is stored"
    );
    assert_eq!(shop.payments().await.len(), 1);
    let refused = eventually("booking is offered it", async || shop.offered("payment.captured").pop()).await;

    shop.open.store(true, Relaxed);
    let before = shop.offered("payment.captured").len();
    let again = eventually("booking is offered it again", async || {
        shop.payment.running.post("payment", "/_jobs/relay").await.unwrap();
        let offered = shop.offered("payment.captured");
        (offered.len() > before).then(|| offered.last().unwrap().clone())
    });
    assert_eq!(again.await["id"], refused["id"], "the same event, so that booking knows it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_with_a_wrong_signature_changes_nothing() {
    let shop = Shop::start().await;
    let order = shop.order().await;
    let entity = json!({
        "id": "pay_forged00000001", "entity": "payment", "order_id": order["id"], "amount": AMOUNT, "currency": "INR",
        "status": "captured", "captured": true, "method": "upi", "created_at": now_ms() / 1000,
    });
    let body = json!({ "event": "payment.captured", "payload": { "payment": { "entity": entity } } });
    let forged = "0".repeat(64);
    for headers in [&[("x-razorpay-signature", forged.as_str())][..], &[]] {
        shop.payment.send("POST", "/api/payments/webhook", headers, &body).await.expect(400);
    }
    assert_eq!(shop.payments().await, []);
    assert!(shop.offered("payment.captured").is_empty());
}
