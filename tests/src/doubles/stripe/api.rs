//! The API of Stripe's double: what is asked of the books and what they answer. No I/O and
//! no clock, so that a simulation can ask as well.

use serde_json::{Value, json};

use super::books::{Books, Event, Form, Refusal};

/// Items of a list unless asked otherwise, and at most.
const LIST_ITEMS: usize = 10;
const LIST_ITEMS_MAX: usize = 100;

/// A request, as far as its answer depends on it.
#[derive(Debug)]
pub struct Question<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// What comes after `/v1/`.
    pub path: &'a str,
    /// Parameters of the address.
    pub query: Form,
    /// A form.
    pub body: &'a [u8],
    /// The idempotency key.
    pub key: Option<&'a str>,
    /// Unix seconds.
    pub now: i64,
}

/// What is answered, and what is told by webhooks.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Value,
    /// Types and objects of events.
    pub events: Vec<Event>,
}

/// The fields of a form or of an address.
pub fn fields(text: &[u8]) -> Form {
    form_urlencoded::parse(text).into_owned().collect()
}

impl Books {
    /// Answers a question, the same one under a key once. New refunds get `refund_status`;
    /// `id` makes an id with a prefix.
    pub fn answer(
        &mut self,
        question: &Question<'_>,
        refund_status: &str,
        id: &mut dyn FnMut(&str) -> String,
    ) -> Answer {
        let key = question.key.filter(|_| question.method == "POST");
        let asked = format!("{} {}", question.path, String::from_utf8_lossy(question.body));
        if let Some((status, body)) = key.and_then(|key| self.repeated(key, &asked, question.now)) {
            return Answer { status, body, events: Vec::new() };
        }
        let (status, body, events) = match self.act(question, refund_status, id) {
            Ok((body, events)) => (200, body, events),
            Err(refusal) => (refusal.status, json!({ "error": refusal.error }), Vec::new()),
        };
        if let Some(key) = key {
            self.remember(key, &asked, question.now, (status, body.clone()));
        }
        Answer { status, body, events }
    }

    fn act(
        &mut self,
        question: &Question<'_>,
        refund_status: &str,
        id: &mut dyn FnMut(&str) -> String,
    ) -> Result<(Value, Vec<Event>), Refusal> {
        let (form, now) = (fields(question.body), question.now);
        let quiet = |body: Value| Ok((body, Vec::new()));
        let segments: Vec<_> = question.path.split('/').collect();
        match (question.method, segments.as_slice()) {
            ("POST", ["payment_intents"]) => quiet(self.intent_make(&form, id("pi_"), now)?),
            ("GET", ["payment_intents", intent]) => quiet(self.intent(intent)?),
            ("POST", ["payment_intents", intent, "capture"]) => self.capture(intent),
            ("POST", ["payment_intents", intent, "cancel"]) => self.cancel(intent),
            ("GET", ["charges"]) => quiet(list(&question.query, &self.charges, "payment_intent")),
            ("GET", ["charges", charge]) => quiet(self.charge(charge)?),
            ("POST", ["refunds"]) => self.refund_make(&form, id("re_"), refund_status, now),
            ("GET", ["refunds"]) => quiet(list(&question.query, &self.refunds, "charge")),
            ("GET", ["refunds", refund]) => quiet(self.refund(refund)?),
            _ => Err(unknown(question)),
        }
    }
}

fn unknown(question: &Question<'_>) -> Refusal {
    let message = format!("Unrecognized request URL ({}: /v1/{}).", question.method, question.path);
    Refusal { status: 404, error: json!({ "type": "invalid_request_error", "message": message }) }
}

/// A page of objects, newest first, of one parent if the query names it.
fn list(query: &Form, objects: &[Value], parent: &str) -> Value {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<i64>().ok());
    let (from, until) = (number("created[gte]").unwrap_or(i64::MIN), number("created[lt]").unwrap_or(i64::MAX));
    let limit = query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(LIST_ITEMS).clamp(1, LIST_ITEMS_MAX);
    let wanted = |object: &&Value| {
        let created = object["created"].as_i64().unwrap_or_default();
        query.get(parent).is_none_or(|id| object[parent] == id.as_str()) && (from..until).contains(&created)
    };
    let after = query.get("starting_after");
    let all: Vec<_> = objects.iter().rev().filter(wanted).collect();
    let skip = after.and_then(|id| all.iter().position(|object| object["id"] == id.as_str())).map_or(0, |at| at + 1);
    let page: Vec<_> = all.iter().skip(skip).take(limit).collect();
    json!({ "object": "list", "has_more": all.len() > skip + page.len(), "data": page })
}
