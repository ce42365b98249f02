//! Stripe: what is asked of the books of its double, and what they answer.

use cairn_shared::http::{Request, Response};
use cairn_tests::doubles::{
    razorpay::Outcome,
    stripe::{Books, Event, Form, Outcome as Ending, Question, fields},
};
use serde_json::Value;

use super::{Course, Paid};

#[derive(Default)]
pub struct Stripe {
    books: Books,
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

fn number(object: &Value, field: &str) -> i64 {
    object[field].as_i64().unwrap_or_default()
}

fn paid(charge: &Value) -> Paid {
    let captured = charge["captured"] == true;
    Paid {
        id: text(charge, "id"),
        order_id: text(charge, "payment_intent"),
        amount: number(charge, if captured { "amount_captured" } else { "amount" }),
        refunded: number(charge, "amount_refunded"),
        captured,
        may_move: !captured && charge["status"] == "succeeded" && charge["refunded"] == false,
        begun_at: number(charge, "created"),
    }
}

impl Stripe {
    pub fn has_order(&self, id: &str) -> bool {
        self.books.intents.iter().any(|intent| intent["id"] == id)
    }

    pub fn payments(&self) -> impl Iterator<Item = Paid> {
        self.books.charges.iter().map(paid)
    }

    /// What was given back of a payment, and did not come back.
    pub fn refunded(&self, payment_id: &str) -> i64 {
        let made = self.books.refunds.iter().filter(|refund| refund["charge"] == payment_id);
        made.filter(|refund| refund["status"] != "failed").map(|refund| number(refund, "amount")).sum()
    }

    pub fn pending_refunds(&self) -> impl Iterator<Item = String> {
        self.books.refunds.iter().filter(|refund| refund["status"] == "pending").map(|refund| text(refund, "id"))
    }

    /// A customer tries to pay. None where the intent is over, or the attempt is not ended.
    pub fn pay(&mut self, intent: &str, outcome: Outcome, id: &str, now: i64) -> Option<Vec<Event>> {
        let ending = match outcome {
            Outcome::Captured => Ending::Succeeds,
            Outcome::Authorized => Ending::Authorises,
            Outcome::Failed => Ending::Fails,
            Outcome::Created => return None,
        };
        self.books.pay(intent, ending, id, now).ok()
    }

    /// Staff take in the dashboard what is authorised, or let it go.
    pub fn move_on(&mut self, charge: &str, outcome: Outcome) -> Option<Vec<Event>> {
        let charge = self.books.charges.iter().find(|found| found["id"] == charge)?;
        let intent = text(charge, "payment_intent");
        let moved = match outcome {
            Outcome::Captured => self.books.capture(&intent),
            Outcome::Failed => self.books.cancel(&intent),
            Outcome::Authorized | Outcome::Created => return None,
        };
        moved.ok().map(|(_, events)| events)
    }

    /// Staff give money back in the dashboard.
    pub fn refund(&mut self, charge: &str, amount: i64, id: String, now: i64) -> Option<Vec<Event>> {
        let form = [("charge".to_owned(), charge.to_owned()), ("amount".to_owned(), amount.to_string())];
        let made = self.books.refund_make(&Form::from(form), id, "succeeded", now);
        made.ok().map(|(_, events)| events)
    }

    pub fn settle_refund(&mut self, id: &str, arrives: bool) -> Option<Vec<Event>> {
        self.books.refund_settle(id, arrives).ok().map(|(_, events)| events)
    }

    /// Answers a request to a path after the API's address.
    pub fn answer(
        &mut self,
        path: &str,
        request: &Request,
        (course, now): (Course, i64),
        id: &mut dyn FnMut(&str) -> String,
    ) -> (Response, Vec<Event>) {
        let question = Question {
            method: &request.method,
            path,
            query: fields(request.query().as_bytes()),
            body: &request.body,
            key: request.header("idempotency-key"),
            now,
        };
        let refund_status = match course {
            Course::Arrives => "succeeded",
            Course::Waits => "pending",
            Course::Fails => "failed",
        };
        let told = self.books.answer(&question, refund_status, id);
        (Response::json(told.status, &told.body), told.events)
    }
}
