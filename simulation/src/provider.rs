//! The payment provider: the books of Razorpay's double, and everything that goes wrong on
//! the way there and back.
//!
//! A request may be lost, be answered by an error, arrive late, or be carried out and its
//! answer be lost. Deliveries may be lost, repeated, and come in any order.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use cairn_payment::{provider::Transport, signature};
use cairn_shared::{
    async_trait,
    http::{Request, Response},
    time::SECOND,
};
use cairn_tests::doubles::razorpay::{
    Attempt, Event, Ledger, NewOrder, NewRefund, Outcome, Payment, RefundCourse, RefundStatus, Refusal,
};
use serde_json::{Map, Value, json};

use crate::stage::Stage;

pub const KEY_ID: &str = "rzp_test_simulation";
pub const KEY_SECRET: &str = "a-key-secret";
pub const WEBHOOK_SECRET: &str = "a-webhook-secret";
pub const URL: &str = "http://provider/v1";

/// The longest that a slow answer takes, in ms.
const SLOW_MAX: i64 = 9 * SECOND;

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

/// Something that the provider tells until it is answered.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub id: String,
    pub name: &'static str,
    pub body: Vec<u8>,
}

impl Webhook {
    /// # Panics
    /// Never: the secret is a key.
    pub fn request(&self) -> Request {
        let mut request = Request::new("POST", "/api/payments/webhook")
            .with_header("content-type", "application/json")
            .with_header("x-razorpay-event-id", self.id.as_str());
        request.body.clone_from(&self.body);
        let signature = signature::sign(WEBHOOK_SECRET, &request.body).expect("a key of any length signs");
        request.with_header("x-razorpay-signature", signature)
    }
}

/// What the checkout hands to the client.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub order_id: String,
    pub payment_id: String,
    pub signature: String,
}

#[derive(Default)]
struct State {
    ledger: Ledger,
    /// Refunds by the key that they were asked for with.
    keys: BTreeMap<String, (String, Value, Value)>,
    made: u64,
    webhooks: Vec<Webhook>,
    late: Vec<Request>,
    faults: Faults,
}

pub struct Provider {
    stage: Rc<Stage>,
    state: RefCell<State>,
}

/// The way to the provider.
pub struct Line(pub Rc<Provider>);

type Answer = Result<Value, Refusal>;

impl Provider {
    pub fn new(stage: Rc<Stage>) -> Rc<Self> {
        Rc::new(Self { stage, state: RefCell::default() })
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state.borrow_mut().faults = faults;
    }

    pub fn payments(&self) -> Vec<Payment> {
        self.state.borrow().ledger.payments().to_vec()
    }

    /// Ids of orders, oldest first.
    pub fn orders(&self) -> Vec<String> {
        self.state.borrow().ledger.orders().iter().map(|order| order.id.clone()).collect()
    }

    /// Ids of refunds that are on their way.
    pub fn pending_refunds(&self) -> Vec<String> {
        let state = self.state.borrow();
        let pending = state.ledger.refunds().iter().filter(|refund| refund.status == RefundStatus::Pending);
        pending.map(|refund| refund.id.clone()).collect()
    }

    /// What was given back, and did not come back.
    pub fn refunded(&self, payment_id: &str) -> i64 {
        let state = self.state.borrow();
        let refunds = state.ledger.refunds().iter();
        let made = refunds.filter(|refund| refund.payment_id == payment_id && refund.status != RefundStatus::Failed);
        made.map(|refund| refund.amount).sum()
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

    /// A customer tries to pay.
    pub fn pay(&self, order_id: &str, attempt: Attempt) -> Option<Receipt> {
        let mut state = self.state.borrow_mut();
        let payment_id = state.id("pay");
        let paid = state.ledger.pay(order_id, attempt, payment_id.clone(), self.seconds());
        let events = paid.ok()?;
        state.announce(&self.stage, events);
        Some(receipt(order_id, &payment_id))
    }

    /// What happens to a payment by itself: it is authorised, captured, or fails.
    pub fn move_on(&self, payment_id: &str, outcome: Outcome) -> bool {
        let mut state = self.state.borrow_mut();
        let moved = match outcome {
            Outcome::Authorized => state.ledger.authorize_late(payment_id),
            Outcome::Failed => state.ledger.fail_late(payment_id),
            Outcome::Captured | Outcome::Created => state.ledger.capture(payment_id, None),
        };
        let Ok(events) = moved else { return false };
        state.announce(&self.stage, events);
        true
    }

    /// Staff give money back in the provider's dashboard.
    pub fn refund_by_hand(&self, payment_id: &str, amount: i64) -> bool {
        let mut state = self.state.borrow_mut();
        let ask = NewRefund { amount: Some(amount), ..NewRefund::default() };
        let id = state.id("rfnd");
        let made = state.ledger.refund_create(payment_id, ask, RefundCourse::Processed, id, self.seconds());
        let Ok((_, events)) = made else { return false };
        state.announce(&self.stage, events);
        true
    }

    /// A refund on its way arrives or fails.
    pub fn settle_refund(&self, id: &str, status: RefundStatus) {
        let mut state = self.state.borrow_mut();
        if let Ok(events) = state.ledger.refund_settle(id, status) {
            state.announce(&self.stage, events);
        }
    }

    fn seconds(&self) -> i64 {
        self.stage.now().millis() / 1_000
    }

    fn answer(&self, request: &Request) -> Response {
        let mut state = self.state.borrow_mut();
        match state.act(&self.stage, request, self.seconds()) {
            Ok(answer) => Response::json(200, &answer),
            Err(refusal) => {
                let (status, description) = match refusal {
                    Refusal::Invalid { description, .. } => (400, description),
                    Refusal::UnknownId => (400, "The id provided does not exist".into()),
                    Refusal::Conflict(description) => (409, description.into()),
                    Refusal::Full => (429, "Too many requests".into()),
                };
                Response::json(status, &json!({ "error": { "code": "BAD_REQUEST_ERROR", "description": description } }))
            }
        }
    }

    /// What was late is there now.
    pub fn arrive_late(&self) {
        let late = std::mem::take(&mut self.state.borrow_mut().late);
        for request in late {
            self.stage.note(format!("    {} {} arrives late", request.method, request.target));
            self.answer(&request);
        }
    }
}

/// What the checkout says of a payment.
///
/// # Panics
/// Never: the secret is a key.
pub fn receipt(order_id: &str, payment_id: &str) -> Receipt {
    let signature = signature::sign(KEY_SECRET, format!("{order_id}|{payment_id}").as_bytes());
    Receipt {
        order_id: order_id.to_owned(),
        payment_id: payment_id.to_owned(),
        signature: signature.expect("a key of any length signs"),
    }
}

#[async_trait(?Send)]
impl Transport for Line {
    async fn send(&self, request: Request) -> Result<Response, String> {
        let Provider { stage, state, .. } = &*self.0;
        let faults = state.borrow().faults;
        let what = format!("{} {}", request.method, request.target.trim_start_matches(URL));
        stage.step().await;
        if stage.hits(faults.lost) {
            stage.fail(&format!("provider: {what} is lost"));
            return Err("connection refused".into());
        }
        if stage.hits(faults.late) {
            stage.fail(&format!("provider: {what} is late"));
            state.borrow_mut().late.push(request);
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

impl State {
    fn id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}_{:08}", self.made)
    }

    fn announce(&mut self, stage: &Stage, events: Vec<Event>) {
        for event in events {
            let id = self.id("evt");
            if stage.hits(self.faults.webhook_lost) {
                stage.note(format!("    provider: {} {} is lost", id, event.name));
                continue;
            }
            let body = json!({
                "entity": "event", "account_id": "acc_simulation", "event": event.name, "contains": event.contains,
                "payload": event.payload, "created_at": stage.now().millis() / 1_000,
            });
            self.webhooks.push(Webhook { id, name: event.name, body: body.to_string().into_bytes() });
        }
    }

    fn act(&mut self, stage: &Stage, request: &Request, now: i64) -> Answer {
        let path = request.path().trim_start_matches(URL).trim_start_matches('/').to_owned();
        let body: Map<String, Value> = serde_json::from_slice(&request.body).unwrap_or_default();
        let parts: Vec<_> = path.split('/').collect();
        let items = |items: Vec<Value>| Ok(json!({ "items": items }));
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["orders"]) => {
                let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
                let ask = NewOrder {
                    amount: body.get("amount").and_then(Value::as_i64).unwrap_or_default(),
                    currency: text("currency").unwrap_or_default(),
                    receipt: text("receipt"),
                    notes: body.get("notes").and_then(Value::as_object).cloned().unwrap_or_default(),
                    auto_capture: true,
                };
                let id = self.id("order");
                Ok(json!(self.ledger.order_create(ask, id, now)?))
            }
            ("GET", ["orders"]) => {
                let receipt = request.query().trim_start_matches("receipt=");
                let orders = self.ledger.orders().iter();
                items(orders.filter(|o| o.receipt.as_deref() == Some(receipt)).map(|order| json!(order)).collect())
            }
            ("GET", ["orders", id, "payments"]) => {
                let payments = self.ledger.payments().iter();
                items(payments.filter(|payment| payment.order_id == *id).map(|payment| json!(payment)).collect())
            }
            ("GET", ["payments", id]) => Ok(json!(self.ledger.payment(id)?)),
            ("GET", ["payments", id, "refunds"]) => {
                let refunds = self.ledger.refunds().iter();
                items(refunds.filter(|refund| refund.payment_id == *id).map(|refund| json!(refund)).collect())
            }
            ("GET", ["refunds", id]) => Ok(json!(self.ledger.refund(id)?)),
            ("GET", ["payments"]) => items(self.page(request, |ledger| {
                ledger.payments().iter().map(|payment| (payment.created_at, json!(payment))).collect()
            })),
            ("GET", ["refunds"]) => items(self.page(request, |ledger| {
                ledger.refunds().iter().map(|refund| (refund.created_at, json!(refund))).collect()
            })),
            ("POST", ["payments", id, "capture"]) => {
                let amount = body.get("amount").and_then(Value::as_i64).unwrap_or_default();
                let currency = body.get("currency").and_then(Value::as_str).unwrap_or("INR");
                let events = self.ledger.capture(id, Some((amount, currency)))?;
                self.announce(stage, events);
                Ok(json!(self.ledger.payment(id)?))
            }
            ("POST", ["payments", id, "refund"]) => self.refund(stage, id, request, Value::Object(body), now),
            _ => Err(Refusal::Invalid { field: None, description: format!("there is no {path}") }),
        }
    }

    /// What a window of seconds contains.
    fn page(&self, request: &Request, all: impl Fn(&Ledger) -> Vec<(i64, Value)>) -> Vec<Value> {
        let number = |name: &str| {
            let pairs = request.query().split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse::<i64>().ok())
        };
        let (from, to) = (number("from").unwrap_or(0), number("to").unwrap_or(i64::MAX));
        let skip = usize::try_from(number("skip").unwrap_or(0)).unwrap_or_default();
        let count = usize::try_from(number("count").unwrap_or(10)).unwrap_or(10);
        let found = all(&self.ledger).into_iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, item)| item);
        found.skip(skip).take(count).collect()
    }

    fn refund(&mut self, stage: &Stage, id: &str, request: &Request, body: Value, now: i64) -> Answer {
        let key = request.header("x-refund-idempotency").map(str::to_owned);
        if let Some((of, asked, answer)) = key.as_ref().and_then(|key| self.keys.get(key)) {
            if of != id || *asked != body {
                return Err(Refusal::Conflict("Different request with the same idempotency key."));
            }
            return Ok(answer.clone());
        }
        let course = match () {
            () if stage.hits(self.faults.refund_fails) => RefundCourse::Failed,
            () if stage.hits(self.faults.refund_pending) => RefundCourse::Pending,
            () => RefundCourse::Processed,
        };
        let ask = NewRefund {
            amount: body["amount"].as_i64(),
            notes: body["notes"].as_object().cloned().unwrap_or_default(),
            ..NewRefund::default()
        };
        let refund_id = self.id("rfnd");
        let (refund, events) = self.ledger.refund_create(id, ask, course, refund_id, now)?;
        let answer = json!(refund);
        if let Some(key) = key {
            self.keys.insert(key, (id.to_owned(), body, answer.clone()));
        }
        self.announce(stage, events);
        Ok(answer)
    }
}
