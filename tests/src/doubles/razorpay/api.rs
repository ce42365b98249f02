//! The provider's REST API under `/v1`: authentication, request bodies, answers and the faults
//! of calls. It decides nothing about money, the ledger does.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use super::Shared;
use super::account::{Account, Prepared};
use super::ledger::{NewOrder, NewRefund, Refusal};
use crate::doubles::http::{Answer, Call, json as respond};
use crate::doubles::{now_ms, random_id};

/// Items of a page unless asked otherwise.
const PAGE_ITEMS: usize = 10;
/// Items of a page at most.
const PAGE_ITEMS_MAX: usize = 100;

/// Names a refund request, so that a repeated one is not a second refund.
const IDEMPOTENCY_HEADER: &str = "x-refund-idempotency";

type Outcome = Result<(Value, Vec<Prepared>), Refusal>;

/// Answers a call under `/v1`; `segments` is the path behind it.
pub(super) async fn answer(shared: &Arc<Shared>, call: &Call, segments: &[&str]) -> Answer {
    let faults = {
        let mut account = shared.account();
        let before = account.faults.clone();
        if before.down {
            return Answer::Hangup;
        }
        if account.faults.fail_with.calls.strike() {
            return Answer::Send(server_error(before.fail_with.status));
        }
        before
    };
    let response = if authenticated(&shared.account(), call) {
        act(shared, call, segments)
    } else {
        respond(
            StatusCode::UNAUTHORIZED,
            &json!({ "error": {
                "code": "BAD_REQUEST_ERROR", "description": "Authentication failed",
            }}),
        )
    };
    if faults.slow_ms > 0 {
        let _flight = (response.status() == StatusCode::OK).then(|| KeyFlight::start(shared, call));
        tokio::time::sleep(Duration::from_millis(faults.slow_ms)).await;
    }
    if shared.account().faults.drop_connection_after_acting.strike() {
        return Answer::Hangup;
    }
    Answer::Send(response)
}

/// While a slow answer is under way its idempotency key is in flight; also if the client gives
/// up and the answer is dropped.
struct KeyFlight<'a> {
    shared: &'a Shared,
    key: Option<&'a str>,
}

impl<'a> KeyFlight<'a> {
    fn start(shared: &'a Shared, call: &'a Call) -> Self {
        let key = call.header(IDEMPOTENCY_HEADER);
        if let Some(key) = key {
            shared.account().key_flight_start(key);
        }
        Self { shared, key }
    }
}

impl Drop for KeyFlight<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.account().key_flight_end(key);
        }
    }
}

fn authenticated(account: &Account, call: &Call) -> bool {
    let Some(given) = call.header("authorization").and_then(|value| value.strip_prefix("Basic ")) else {
        return false;
    };
    let expected = format!("{}:{}", account.settings.key_id, account.settings.key_secret);
    given.trim() == BASE64.encode(expected)
}

fn act(shared: &Shared, call: &Call, segments: &[&str]) -> Response<Full<Bytes>> {
    let outcome = {
        let mut account = shared.account();
        route(&mut account, call, segments)
    };
    match outcome {
        None => respond(
            StatusCode::NOT_FOUND,
            &json!({ "error": {
                "code": "BAD_REQUEST_ERROR",
                "description": "The requested URL was not found on the server.",
            }}),
        ),
        Some(Ok((body, webhooks))) => {
            shared.send(webhooks);
            respond(StatusCode::OK, &body)
        }
        Some(Err(refusal)) => refused(&refusal),
    }
}

/// `None` for an unknown URL.
fn route(account: &mut Account, call: &Call, segments: &[&str]) -> Option<Outcome> {
    let quiet = |body: Value| Ok((body, Vec::new()));
    let ledger = &account.ledger;
    Some(match (&call.method, segments) {
        (&Method::POST, ["orders"]) => order_create(account, call),
        (&Method::GET, ["orders"]) => {
            let receipt = call.query("receipt");
            let wanted = |order: &&super::entity::Order| receipt.is_none() || order.receipt.as_deref() == receipt;
            quiet(page(call, ledger.orders().iter().filter(wanted)))
        }
        (&Method::GET, ["orders", id]) => ledger.order(id).map(|order| (json!(order), Vec::new())),
        (&Method::GET, ["orders", id, "payments"]) => ledger.order(id).map(|order| {
            let payments = ledger.payments().iter().filter(|payment| payment.order_id == order.id);
            (collection(payments.rev()), Vec::new())
        }),
        (&Method::GET, ["payments"]) => quiet(page(call, ledger.payments().iter())),
        (&Method::GET, ["payments", id]) => ledger.payment(id).map(|payment| (json!(payment), Vec::new())),
        (&Method::POST, ["payments", id, "capture"]) => payment_capture(account, call, id),
        (&Method::POST, ["payments", id, "refund"]) => payment_refund(account, call, id),
        (&Method::GET, ["payments", id, "refunds"]) => ledger.payment(id).map(|payment| {
            let refunds = ledger.refunds().iter().filter(|refund| refund.payment_id == payment.id);
            (collection(refunds.rev()), Vec::new())
        }),
        (&Method::GET, ["refunds"]) => quiet(page(call, ledger.refunds().iter())),
        (&Method::GET, ["refunds", id]) => ledger.refund(id).map(|refund| (json!(refund), Vec::new())),
        _ => return None,
    })
}

fn order_create(account: &mut Account, call: &Call) -> Outcome {
    let mut fields = Fields::parse(call)?;
    let ask = NewOrder {
        amount: fields.integer("amount")?.ok_or_else(|| required("amount"))?,
        currency: fields.text("currency")?.ok_or_else(|| required("currency"))?,
        receipt: fields.text("receipt")?,
        notes: fields.notes()?,
        auto_capture: fields.flag("payment_capture")?.unwrap_or(true),
    };
    if fields.flag("partial_payment")?.unwrap_or(false) {
        return Err(Refusal::field("partial_payment", "Partial payments are not enabled for this account."));
    }
    fields.finish()?;
    let order = account.ledger.order_create(ask, random_id("order_", 14), now_ms() / 1000)?;
    Ok((json!(order), Vec::new()))
}

fn payment_capture(account: &mut Account, call: &Call, id: &str) -> Outcome {
    let mut fields = Fields::parse(call)?;
    let amount = fields.integer("amount")?.ok_or_else(|| required("amount"))?;
    let currency = fields.text("currency")?.unwrap_or_else(|| "INR".to_owned());
    fields.finish()?;
    let events = account.ledger.capture(id, Some((amount, &currency)))?;
    let webhooks = account.announce(events, now_ms() / 1000);
    Ok((json!(account.ledger.payment(id)?), webhooks))
}

fn payment_refund(account: &mut Account, call: &Call, id: &str) -> Outcome {
    let mut fields = Fields::parse(call)?;
    let body = Value::Object(fields.0.clone());
    let ask = NewRefund {
        amount: fields.integer("amount")?,
        speed: fields.text("speed")?,
        notes: fields.notes()?,
        receipt: fields.text("receipt")?,
    };
    fields.finish()?;
    account.refund(id, call.header(IDEMPOTENCY_HEADER), body, ask, now_ms() / 1000)
}

fn required(name: &'static str) -> Refusal {
    Refusal::field(name, format!("The {name} field is required."))
}

/// The fields of a JSON body, taken one by one; what is left over is refused.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub fn parse(call: &Call) -> Result<Self, Refusal> {
        if call.body.is_empty() {
            return Ok(Self(Map::new()));
        }
        serde_json::from_slice(&call.body)
            .map(Self)
            .map_err(|_| Refusal::invalid("The request body is not a JSON object"))
    }

    pub fn integer(&mut self, name: &'static str) -> Result<Option<i64>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                value.as_i64().map(Some).ok_or_else(|| Refusal::field(name, format!("The {name} must be an integer.")))
            }
        }
    }

    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::field(name, format!("The {name} must be a string."))),
        }
    }

    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(value) if value == json!(0) => Ok(Some(false)),
            Some(value) if value == json!(1) => Ok(Some(true)),
            Some(_) => Err(Refusal::field(name, format!("The {name} field must be true or false."))),
        }
    }

    fn notes(&mut self) -> Result<Map<String, Value>, Refusal> {
        match self.0.remove("notes") {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(notes)) => Ok(notes),
            Some(Value::Array(notes)) if notes.is_empty() => Ok(Map::new()),
            Some(_) => Err(Refusal::field("notes", "The notes must be an object.")),
        }
    }

    pub fn finish(self) -> Result<(), Refusal> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::invalid(format!("{name} is/are not required and should not be sent"))),
        }
    }
}

fn page<'a, T: serde::Serialize + 'a>(call: &Call, items: impl DoubleEndedIterator<Item = &'a T>) -> Value {
    let number = |name| call.query(name).and_then(|value| value.parse::<usize>().ok());
    let count = number("count").unwrap_or(PAGE_ITEMS).min(PAGE_ITEMS_MAX);
    collection(items.rev().skip(number("skip").unwrap_or(0)).take(count))
}

fn collection<'a, T: serde::Serialize + 'a>(items: impl Iterator<Item = &'a T>) -> Value {
    let items: Vec<Value> = items.map(|item| json!(item)).collect();
    json!({ "entity": "collection", "count": items.len(), "items": items })
}

/// The error body of a refusal.
pub(super) fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let (status, field, description) = match refusal {
        Refusal::Invalid { field, description } => (StatusCode::BAD_REQUEST, *field, description.as_str()),
        Refusal::UnknownId => (StatusCode::BAD_REQUEST, None, "The id provided does not exist"),
        Refusal::Conflict(description) => (StatusCode::CONFLICT, None, *description),
        Refusal::Full => (StatusCode::TOO_MANY_REQUESTS, None, "Too many requests"),
    };
    let mut error = json!({
        "code": "BAD_REQUEST_ERROR",
        "description": description,
        "source": "business",
        "step": "payment_initiation",
        "reason": "input_validation_failed",
        "metadata": {},
    });
    if let Some(field) = field {
        error["field"] = json!(field);
    }
    respond(status, &json!({ "error": error }))
}

fn server_error(status: u16) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(
        status,
        &json!({ "error": {
            "code": "SERVER_ERROR",
            "description": "The server encountered an error. Please try again after some time.",
            "source": "internal", "step": "payment_initiation", "reason": "server_error", "metadata": {},
        }}),
    )
}
