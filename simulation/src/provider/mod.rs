//! The payment providers: the books of both doubles, and everything that goes wrong on the
//! way there and back.
//!
//! A request may be lost, be answered by an error, arrive late, or be carried out and its
//! answer be lost. Deliveries may be lost, repeated, and come in any order. Keys that make
//! a repeated request one are forgotten after a day.

mod razorpay;
mod stripe;

use std::{cell::RefCell, rc::Rc};

use cairn_payment::{provider::Transport, signature};
use cairn_shared::{
    Timestamp, async_trait,
    http::{Request, Response},
    time::{HOUR, SECOND},
};
use cairn_tests::doubles::razorpay::{Attempt, Event, NewRefund, Outcome, RefundCourse, RefundStatus};
use serde_json::json;

use crate::stage::Stage;

use razorpay::Razorpay;
use stripe::Stripe;

/// The accounts' keys, and where the providers are. Both accounts are always there; one of
/// them takes new payments.
pub const SETTINGS: [(&str, &str); 8] = [
    ("razorpay_key_id", "rzp_test_simulation"),
    ("razorpay_key_secret", KEY_SECRET),
    ("razorpay_webhook_secret", WEBHOOK_SECRET),
    ("razorpay_api_url", RAZORPAY_URL),
    ("stripe_publishable_key", "pk_test_simulation"),
    ("stripe_secret_key", "sk_test_simulation"),
    ("stripe_webhook_secret", WEBHOOK_SECRET),
    ("stripe_api_url", STRIPE_URL),
];

const KEY_SECRET: &str = "a-key-secret";
const WEBHOOK_SECRET: &str = "a-webhook-secret";
const RAZORPAY_URL: &str = "http://razorpay/v1/";
const STRIPE_URL: &str = "http://stripe/v1/";

/// The longest that a slow answer takes, in ms.
const SLOW_MAX: i64 = 9 * SECOND;

/// The longest that a request is on its way, in ms: what takes longer never arrives.
const LATE_MAX: i64 = HOUR;

/// How long a key of a request is known, in seconds.
const KEY_TIME: i64 = 24 * 60 * 60;

/// What goes wrong, in ten thousand requests or deliveries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub lost: u32,
    pub lost_answer: u32,
    pub error: u32,
    pub late: u32,
    pub slow: u32,
    /// Refunds that stay pending until somebody settles them; the others are processed.
    pub refund_pending: u32,
    /// Refunds that fail although they were taken.
    pub refund_fails: u32,
    pub webhook_lost: u32,
    pub webhook_twice: u32,
}

/// Who takes payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    Razorpay,
    Stripe,
}

impl Company {
    /// As the setting has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Razorpay => "razorpay",
            Self::Stripe => "stripe",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::Razorpay => Self::Stripe,
            Self::Stripe => Self::Razorpay,
        }
    }
}

/// How a new refund goes.
#[derive(Debug, Clone, Copy)]
enum Course {
    Arrives,
    Waits,
    Fails,
}

/// An attempt to pay, as a provider has it.
#[derive(Debug, Clone)]
pub struct Paid {
    pub id: String,
    pub order_id: String,
    /// Paise: what was taken, or is to be.
    pub amount: i64,
    /// Paise that went back and did not come back.
    pub refunded: i64,
    pub captured: bool,
    /// Whether it may still be authorised, taken or let go by itself.
    pub may_move: bool,
    /// Unix seconds.
    pub begun_at: i64,
}

/// Something that a provider tells until it is answered.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub id: String,
    pub name: &'static str,
    company: Company,
    body: Vec<u8>,
}

impl Webhook {
    /// The delivery, signed now.
    ///
    /// # Panics
    /// Never: the secret is a key.
    pub fn request(&self, now: Timestamp) -> Request {
        let sign = |message: &[u8]| signature::sign(WEBHOOK_SECRET, message).expect("a key of any length signs");
        let mut request = match self.company {
            Company::Razorpay => Request::new("POST", "/api/payments/webhook")
                .with_header("x-razorpay-event-id", self.id.as_str())
                .with_header("x-razorpay-signature", sign(&self.body)),
            Company::Stripe => {
                let at = now.millis() / 1_000;
                let signed = sign(&[at.to_string().as_bytes(), b".", &self.body].concat());
                Request::new("POST", "/api/payments/webhook/stripe")
                    .with_header("stripe-signature", format!("t={at},v1={signed}"))
            }
        };
        request.body.clone_from(&self.body);
        request.with_header("content-type", "application/json")
    }
}

#[derive(Default)]
struct State {
    razorpay: Razorpay,
    stripe: Stripe,
    /// Ids of orders, oldest first.
    orders: Vec<String>,
    made: u64,
    webhooks: Vec<Webhook>,
    /// Requests on their way, with the instant when they were sent.
    late: Vec<(Timestamp, Request)>,
    faults: Faults,
}

pub struct Provider {
    stage: Rc<Stage>,
    state: RefCell<State>,
}

/// The way to the providers.
pub struct Line(pub Rc<Provider>);

impl Provider {
    pub fn new(stage: Rc<Stage>) -> Rc<Self> {
        Rc::new(Self { stage, state: RefCell::default() })
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state.borrow_mut().faults = faults;
    }

    pub fn payments(&self) -> Vec<Paid> {
        let state = self.state.borrow();
        state.razorpay.payments().chain(state.stripe.payments()).collect()
    }

    /// What a company has of ours, in paise.
    pub fn holds(&self, company: Company) -> i64 {
        let state = self.state.borrow();
        let of: Vec<_> = match company {
            Company::Razorpay => state.razorpay.payments().collect(),
            Company::Stripe => state.stripe.payments().collect(),
        };
        of.iter().filter(|paid| paid.captured).map(|paid| paid.amount - self.refunded(&paid.id)).sum()
    }

    /// Ids of orders, oldest first.
    pub fn orders(&self) -> Vec<String> {
        self.state.borrow().orders.clone()
    }

    /// Ids of refunds that are on their way.
    pub fn pending_refunds(&self) -> Vec<String> {
        let state = self.state.borrow();
        state.razorpay.pending_refunds().chain(state.stripe.pending_refunds()).collect()
    }

    /// What was given back of a payment, and did not come back.
    pub fn refunded(&self, payment_id: &str) -> i64 {
        let state = self.state.borrow();
        state.razorpay.refunded(payment_id) + state.stripe.refunded(payment_id)
    }

    pub fn webhooks(&self) -> usize {
        self.state.borrow().webhooks.len()
    }

    /// One of the waiting deliveries, any.
    pub fn webhook(&self) -> Option<Webhook> {
        let state = self.state.borrow();
        state.webhooks.get(self.stage.below(state.webhooks.len())).cloned()
    }

    /// A delivery was answered; it may be repeated all the same.
    pub fn taken(&self, id: &str) {
        let mut state = self.state.borrow_mut();
        if !self.stage.hits(state.faults.webhook_twice) {
            state.webhooks.retain(|webhook| webhook.id != id);
        }
    }

    /// A waiting delivery never arrives.
    pub fn lose(&self, id: &str) {
        self.state.borrow_mut().webhooks.retain(|webhook| webhook.id != id);
    }

    /// A customer tries to pay. Answers the payment's id.
    pub fn pay(&self, order_id: &str, attempt: Attempt) -> Option<String> {
        let (mut state, now) = (self.state.borrow_mut(), self.seconds());
        if state.stripe.has_order(order_id) {
            let id = state.id("ch_");
            let events = state.stripe.pay(order_id, attempt.outcome, &id, now)?;
            state.announce_stripe(&self.stage, events);
            return Some(id);
        }
        let id = state.id("pay_");
        let events = state.razorpay.pay(order_id, attempt, id.clone(), now).ok()?;
        state.announce(&self.stage, events);
        Some(id)
    }

    /// What happens to a payment by itself: it is authorised, captured, or fails.
    pub fn move_on(&self, payment_id: &str, outcome: Outcome) -> bool {
        let mut state = self.state.borrow_mut();
        if let Some(events) = state.stripe.move_on(payment_id, outcome) {
            state.announce_stripe(&self.stage, events);
            return true;
        }
        let ledger = &mut state.razorpay.ledger;
        let moved = match outcome {
            Outcome::Authorized => ledger.authorize_late(payment_id),
            Outcome::Failed => ledger.fail_late(payment_id),
            Outcome::Captured | Outcome::Created => ledger.capture(payment_id, None),
        };
        let Ok(events) = moved else { return false };
        state.announce(&self.stage, events);
        true
    }

    /// Staff give money back in the provider's dashboard.
    pub fn refund_by_hand(&self, payment_id: &str, amount: i64) -> bool {
        let (mut state, now) = (self.state.borrow_mut(), self.seconds());
        let id = state.id("re_");
        if let Some(events) = state.stripe.refund(payment_id, amount, id, now) {
            state.announce_stripe(&self.stage, events);
            return true;
        }
        let ask = NewRefund { amount: Some(amount), ..NewRefund::default() };
        let id = state.id("rfnd_");
        let made = state.razorpay.ledger.refund_create(payment_id, ask, RefundCourse::Processed, id, now);
        let Ok((_, events)) = made else { return false };
        state.announce(&self.stage, events);
        true
    }

    /// A refund on its way arrives or fails.
    pub fn settle_refund(&self, id: &str, arrives: bool) {
        let mut state = self.state.borrow_mut();
        if let Some(events) = state.stripe.settle_refund(id, arrives) {
            return state.announce_stripe(&self.stage, events);
        }
        let status = if arrives { RefundStatus::Processed } else { RefundStatus::Failed };
        if let Ok(events) = state.razorpay.ledger.refund_settle(id, status) {
            state.announce(&self.stage, events);
        }
    }

    fn seconds(&self) -> i64 {
        self.stage.now().millis() / 1_000
    }

    fn answer(&self, request: &Request) -> Response {
        let (mut state, now) = (self.state.borrow_mut(), self.seconds());
        let faults = state.faults;
        let makes = request.method == "POST" && request.path().contains("refund");
        let course = match () {
            () if makes && self.stage.hits(faults.refund_fails) => Course::Fails,
            () if makes && self.stage.hits(faults.refund_pending) => Course::Waits,
            () => Course::Arrives,
        };
        let State { razorpay, stripe, made, orders, .. } = &mut *state;
        let mut id = |prefix: &str| {
            let id = next_id(made, prefix);
            if matches!(prefix, "order_" | "pi_") {
                orders.push(id.clone());
            }
            id
        };
        let to = |url| request.path().strip_prefix(url);
        match (to(RAZORPAY_URL), to(STRIPE_URL)) {
            (Some(path), _) => {
                let (response, events) = razorpay.answer(path, request, (course, now), &mut id);
                state.announce(&self.stage, events);
                response
            }
            (None, Some(path)) => {
                let (response, events) = stripe.answer(path, request, (course, now), &mut id);
                state.announce_stripe(&self.stage, events);
                response
            }
            (None, None) => Response::empty(404),
        }
    }

    /// What was late is there now, or never.
    pub fn arrive_late(&self) {
        let late = std::mem::take(&mut self.state.borrow_mut().late);
        for (sent, request) in late {
            if self.stage.now().since(sent) <= LATE_MAX {
                self.stage.note(format!("    {} {} arrives late", request.method, request.target));
                self.answer(&request);
            }
        }
    }
}

/// What Razorpay's checkout says of a payment; of Stripe's the order's name is enough.
///
/// # Panics
/// Never: the secret is a key.
pub fn receipt(order_id: &str, payment_id: &str) -> serde_json::Value {
    if order_id.starts_with("pi_") {
        return json!({ "payment_intent": order_id });
    }
    let signed = signature::sign(KEY_SECRET, format!("{order_id}|{payment_id}").as_bytes());
    json!({
        "razorpay_order_id": order_id, "razorpay_payment_id": payment_id,
        "razorpay_signature": signed.expect("a key of any length signs"),
    })
}

#[async_trait(?Send)]
impl Transport for Line {
    async fn send(&self, request: Request) -> Result<Response, String> {
        let Provider { stage, state, .. } = &*self.0;
        let faults = state.borrow().faults;
        let what = format!("{} {}", request.method, request.target.trim_start_matches("http://"));
        stage.step().await;
        if stage.hits(faults.lost) {
            stage.fail(&format!("provider: {what} is lost"));
            return Err("connection refused".into());
        }
        if stage.hits(faults.late) {
            stage.fail(&format!("provider: {what} is late"));
            state.borrow_mut().late.push((stage.now(), request));
            return Err("no answer in time".into());
        }
        if stage.hits(faults.error) {
            stage.fail(&format!("provider: {what} is answered 500"));
            return Ok(Response::json(500, &json!({ "error": { "code": "SERVER_ERROR" } })));
        }
        let answer = self.0.answer(&request);
        stage.note(format!("    provider: {what} is answered {}", answer.status));
        if stage.hits(faults.slow) {
            let wait = stage.between(SECOND, SLOW_MAX).unsigned_abs();
            cairn_shared::time::sleep(wait).await;
        }
        stage.step().await;
        if stage.hits(faults.lost_answer) {
            stage.fail(&format!("provider: the answer to {what} is lost"));
            return Err("connection reset".into());
        }
        Ok(answer)
    }
}

fn next_id(made: &mut u64, prefix: &str) -> String {
    *made += 1;
    format!("{prefix}{made:08}")
}

impl State {
    fn id(&mut self, prefix: &str) -> String {
        next_id(&mut self.made, prefix)
    }

    fn announce(&mut self, stage: &Stage, events: Vec<Event>) {
        for event in events {
            let body = json!({
                "entity": "event", "account_id": "acc_simulation", "event": event.name, "contains": event.contains,
                "payload": event.payload, "created_at": stage.now().millis() / 1_000,
            });
            let id = self.id("evt_");
            self.tell(
                stage,
                Webhook { id, name: event.name, company: Company::Razorpay, body: body.to_string().into() },
            );
        }
    }

    fn announce_stripe(&mut self, stage: &Stage, events: Vec<cairn_tests::doubles::stripe::Event>) {
        for (name, object) in events {
            let id = self.id("evt_");
            let body = json!({
                "id": id, "object": "event", "type": name, "created": stage.now().millis() / 1_000,
                "data": { "object": object },
            });
            self.tell(stage, Webhook { id, name, company: Company::Stripe, body: body.to_string().into() });
        }
    }

    fn tell(&mut self, stage: &Stage, webhook: Webhook) {
        match stage.hits(self.faults.webhook_lost) {
            true => stage.note(format!("    provider: {} {} is lost", webhook.id, webhook.name)),
            false => self.webhooks.push(webhook),
        }
    }
}
