//! Razorpay: what is asked of the books of its double, and what they answer.

use std::collections::BTreeMap;

use cairn_shared::http::{Request, Response};
use cairn_tests::doubles::razorpay::{
    Attempt, Event, Ledger, NewOrder, NewRefund, Payment, PaymentStatus, RefundCourse, RefundStatus, Refusal,
};
use serde_json::{Map, Value, json};

use super::{Course, KEY_TIME, Paid};

/// What was answered for the key that a refund was asked for with.
struct Answered {
    /// Unix seconds.
    at: i64,
    payment_id: String,
    question: Value,
    answer: Value,
}

#[derive(Default)]
pub struct Razorpay {
    pub ledger: Ledger,
    keys: BTreeMap<String, Answered>,
}

type Answer = Result<(Value, Vec<Event>), Refusal>;

fn quiet(answer: Value) -> Answer {
    Ok((answer, Vec::new()))
}

fn paid(payment: &Payment) -> Paid {
    Paid {
        id: payment.id.clone(),
        order_id: payment.order_id.clone(),
        amount: payment.amount,
        refunded: payment.amount_refunded,
        captured: payment.captured,
        may_move: matches!(payment.status, PaymentStatus::Created | PaymentStatus::Authorized | PaymentStatus::Failed),
        begun_at: payment.created_at,
    }
}

impl Razorpay {
    pub fn payments(&self) -> impl Iterator<Item = Paid> {
        self.ledger.payments().iter().map(paid)
    }

    /// What was given back of a payment, and did not come back.
    pub fn refunded(&self, payment_id: &str) -> i64 {
        let refunds = self.ledger.refunds().iter();
        let made = refunds.filter(|refund| refund.payment_id == payment_id && refund.status != RefundStatus::Failed);
        made.map(|refund| refund.amount).sum()
    }

    pub fn pending_refunds(&self) -> impl Iterator<Item = String> {
        let pending = self.ledger.refunds().iter().filter(|refund| refund.status == RefundStatus::Pending);
        pending.map(|refund| refund.id.clone())
    }

    pub fn pay(&mut self, order_id: &str, attempt: Attempt, id: String, now: i64) -> Result<Vec<Event>, Refusal> {
        self.ledger.pay(order_id, attempt, id, now)
    }

    /// Answers a request to a path after the API's address.
    pub fn answer(
        &mut self,
        path: &str,
        request: &Request,
        (course, now): (Course, i64),
        id: &mut dyn FnMut(&str) -> String,
    ) -> (Response, Vec<Event>) {
        match self.act(path, request, (course, now), id) {
            Ok((answer, events)) => (Response::json(200, &answer), events),
            Err(refusal) => {
                let (status, description) = match refusal {
                    Refusal::Invalid { description, .. } => (400, description),
                    Refusal::UnknownId => (400, "The id provided does not exist".into()),
                    Refusal::Conflict(description) => (409, description.into()),
                    Refusal::Full => (429, "Too many requests".into()),
                };
                let error = json!({ "code": "BAD_REQUEST_ERROR", "description": description });
                (Response::json(status, &json!({ "error": error })), Vec::new())
            }
        }
    }

    fn act(
        &mut self,
        path: &str,
        request: &Request,
        (course, now): (Course, i64),
        id: &mut dyn FnMut(&str) -> String,
    ) -> Answer {
        let body: Map<String, Value> = serde_json::from_slice(&request.body).unwrap_or_default();
        let parts: Vec<_> = path.split('/').collect();
        let items = |items: Vec<Value>| quiet(json!({ "items": items }));
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
                quiet(json!(self.ledger.order_create(ask, id("order_"), now)?))
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
            ("GET", ["payments", id]) => quiet(json!(self.ledger.payment(id)?)),
            ("GET", ["payments", id, "refunds"]) => {
                let refunds = self.ledger.refunds().iter();
                items(refunds.filter(|refund| refund.payment_id == *id).map(|refund| json!(refund)).collect())
            }
            ("GET", ["refunds", id]) => quiet(json!(self.ledger.refund(id)?)),
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
                Ok((json!(self.ledger.payment(id)?), events))
            }
            ("POST", ["payments", payment_id, "refund"]) => {
                let key = request.header("x-refund-idempotency").map(str::to_owned);
                self.refund(payment_id, key, Value::Object(body), (course, now), id)
            }
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

    fn refund(
        &mut self,
        payment_id: &str,
        key: Option<String>,
        question: Value,
        (course, now): (Course, i64),
        id: &mut dyn FnMut(&str) -> String,
    ) -> Answer {
        let known = key.as_ref().and_then(|key| self.keys.get(key)).filter(|known| now - known.at < KEY_TIME);
        if let Some(known) = known {
            if known.payment_id != payment_id || known.question != question {
                return Err(Refusal::Conflict("Different request with the same idempotency key."));
            }
            return quiet(known.answer.clone());
        }
        let ask = NewRefund {
            amount: question["amount"].as_i64(),
            notes: question["notes"].as_object().cloned().unwrap_or_default(),
            ..NewRefund::default()
        };
        let course = match course {
            Course::Arrives => RefundCourse::Processed,
            Course::Waits => RefundCourse::Pending,
            Course::Fails => RefundCourse::Failed,
        };
        let (refund, events) = self.ledger.refund_create(payment_id, ask, course, id("rfnd_"), now)?;
        let answer = json!(refund);
        if let Some(key) = key {
            let payment_id = payment_id.to_owned();
            self.keys.insert(key, Answered { at: now, payment_id, question, answer: answer.clone() });
        }
        Ok((answer, events))
    }
}
