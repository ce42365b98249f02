//! What Stripe's double remembers, and the rules by which it changes. No I/O and no clock.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The smallest amount of a PaymentIntent, in paise.
const AMOUNT_MIN: i64 = 50;

/// How long an idempotency key is known, in seconds; the real one forgets it at some time
/// after that.
const KEY_TIME: i64 = 24 * 60 * 60;

/// Fields of a form, by name.
pub type Form = BTreeMap<String, String>;

/// An answer other than success: its status and the `error` object.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `type`, `code` and `message`.
    pub error: Value,
}

impl Refusal {
    fn invalid(code: &str, message: &str) -> Self {
        Self { status: 400, error: json!({ "type": "invalid_request_error", "code": code, "message": message }) }
    }

    fn missing(kind: &str, id: &str) -> Self {
        let message = format!("No such {kind}: '{id}'");
        Self {
            status: 404,
            error: json!({ "type": "invalid_request_error", "code": "resource_missing", "message": message }),
        }
    }
}

/// How a customer's attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The money is taken.
    Succeeds,
    /// The bank reserves the money, and nobody takes it yet.
    Authorises,
    /// The bank declines.
    Fails,
}

/// Something that happened, to be told by webhook: the event's type and object.
pub type Event = (&'static str, Value);

/// What was answered first under an idempotency key.
#[derive(Debug)]
struct Answered {
    question: String,
    /// Unix seconds.
    at: i64,
    status: u16,
    body: Value,
}

/// Objects in the order in which they were made.
#[derive(Debug, Default)]
pub struct Books {
    /// PaymentIntents.
    pub intents: Vec<Value>,
    /// Attempts to pay them.
    pub charges: Vec<Value>,
    /// Money that goes back.
    pub refunds: Vec<Value>,
    answered: BTreeMap<String, Answered>,
}

fn find<'a>(objects: &'a mut [Value], kind: &str, id: &str) -> Result<&'a mut Value, Refusal> {
    objects.iter_mut().find(|object| object["id"] == id).ok_or_else(|| Refusal::missing(kind, id))
}

fn integer(form: &Form, name: &str) -> Result<i64, Refusal> {
    let missing = || Refusal::invalid("parameter_missing", &format!("Missing required param: {name}."));
    form.get(name).ok_or_else(missing)?.parse().map_err(|_| Refusal::invalid("parameter_invalid_integer", name))
}

fn metadata(form: &Form) -> Map<String, Value> {
    let named = |name: &str| name.strip_prefix("metadata[")?.strip_suffix(']').map(str::to_owned);
    form.iter().filter_map(|(name, value)| Some((named(name)?, json!(value)))).collect()
}

impl Books {
    /// What was answered under this key, if anything: the same again, or a refusal for
    /// another question.
    pub(super) fn repeated(&self, key: &str, question: &str, now: i64) -> Option<(u16, Value)> {
        let first = self.answered.get(key).filter(|first| now - first.at < KEY_TIME)?;
        if first.question == question {
            return Some((first.status, first.body.clone()));
        }
        let message =
            "Keys for idempotent requests can only be used with the same parameters they were first used with.";
        Some((400, json!({ "error": { "type": "idempotency_error", "message": message } })))
    }

    /// Remembers the first answer under a key, of refusals too.
    pub(super) fn remember(&mut self, key: &str, question: &str, now: i64, (status, body): (u16, Value)) {
        let answered = Answered { question: question.to_owned(), at: now, status, body };
        self.answered.insert(key.to_owned(), answered);
    }

    pub(super) fn intent_make(&mut self, form: &Form, id: String, now: i64) -> Result<Value, Refusal> {
        let amount = integer(form, "amount")?;
        if amount < AMOUNT_MIN {
            return Err(Refusal::invalid("amount_too_small", "Amount must be at least 50 paise."));
        }
        let currency = form.get("currency").filter(|text| text.len() == 3 && **text == text.to_lowercase());
        let currency = currency.ok_or_else(|| Refusal::invalid("parameter_missing", "currency"))?;
        let intent = json!({
            "id": id, "object": "payment_intent", "amount": amount, "amount_received": 0, "amount_capturable": 0,
            "capture_method": form.get("capture_method").map_or("automatic", String::as_str), "currency": currency,
            "client_secret": format!("{id}_secret_double"), "created": now, "last_payment_error": null,
            "latest_charge": null, "metadata": metadata(form), "payment_method_types": ["card"],
            "status": "requires_payment_method",
        });
        self.intents.push(intent.clone());
        Ok(intent)
    }

    pub(super) fn intent(&mut self, id: &str) -> Result<Value, Refusal> {
        find(&mut self.intents, "payment_intent", id).cloned()
    }

    /// A customer tries to pay.
    ///
    /// # Errors
    /// Unknown intent, or one that is paid or canceled.
    pub fn pay(&mut self, intent_id: &str, outcome: Outcome, charge_id: &str, now: i64) -> Result<Vec<Event>, Refusal> {
        let intent = find(&mut self.intents, "payment_intent", intent_id)?;
        if intent["status"] != "requires_payment_method" {
            let message = format!("The PaymentIntent is {}.", intent["status"]);
            return Err(Refusal::invalid("payment_intent_unexpected_state", &message));
        }
        let amount = intent["amount"].as_i64().unwrap_or_default();
        let captured = outcome == Outcome::Succeeds;
        let failed = outcome == Outcome::Fails;
        let taken = if captured { amount } else { 0 };
        intent["latest_charge"] = json!(charge_id);
        intent["amount_received"] = json!(taken);
        intent["amount_capturable"] = json!(if outcome == Outcome::Authorises { amount } else { 0 });
        intent["status"] = json!(match outcome {
            Outcome::Succeeds => "succeeded",
            Outcome::Authorises => "requires_capture",
            Outcome::Fails => "requires_payment_method",
        });
        intent["last_payment_error"] = match failed {
            true => json!({ "code": "card_declined", "message": "Your card was declined.", "charge": charge_id }),
            false => Value::Null,
        };
        let charge = json!({
            "id": charge_id, "object": "charge", "payment_intent": intent_id, "amount": amount,
            "amount_captured": taken, "amount_refunded": 0, "captured": captured, "created": now,
            "currency": intent["currency"], "failure_code": failed.then_some("card_declined"),
            "failure_message": failed.then_some("Your card was declined."), "refunded": false,
            "payment_method_details": { "type": "card" }, "status": if failed { "failed" } else { "succeeded" },
        });
        let (of_intent, of_charge) = match outcome {
            Outcome::Succeeds => ("payment_intent.succeeded", "charge.succeeded"),
            Outcome::Authorises => ("payment_intent.amount_capturable_updated", "charge.succeeded"),
            Outcome::Fails => ("payment_intent.payment_failed", "charge.failed"),
        };
        let events = vec![(of_charge, charge.clone()), (of_intent, intent.clone())];
        self.charges.push(charge);
        Ok(events)
    }

    /// Takes what is authorised.
    ///
    /// # Errors
    /// Unknown intent, or one of which nothing is authorised.
    pub fn capture(&mut self, id: &str) -> Result<(Value, Vec<Event>), Refusal> {
        let intent = find(&mut self.intents, "payment_intent", id)?;
        if intent["status"] != "requires_capture" {
            return Err(Refusal::invalid("payment_intent_unexpected_state", "It cannot be captured."));
        }
        intent["status"] = json!("succeeded");
        intent["amount_received"] = intent["amount"].clone();
        intent["amount_capturable"] = json!(0);
        let charge = intent["latest_charge"].as_str().unwrap_or_default().to_owned();
        let charge = find(&mut self.charges, "charge", &charge)?;
        charge["captured"] = json!(true);
        charge["amount_captured"] = charge["amount"].clone();
        let events = vec![("charge.captured", charge.clone()), ("payment_intent.succeeded", intent.clone())];
        Ok((intent.clone(), events))
    }

    /// Lets go what is authorised, and has nobody pay any more.
    ///
    /// # Errors
    /// Unknown intent, or one that is paid or canceled.
    pub fn cancel(&mut self, id: &str) -> Result<(Value, Vec<Event>), Refusal> {
        let intent = find(&mut self.intents, "payment_intent", id)?;
        if intent["status"] == "succeeded" || intent["status"] == "canceled" {
            return Err(Refusal::invalid("payment_intent_unexpected_state", "It cannot be canceled."));
        }
        if intent["status"] == "requires_capture" {
            let charge = intent["latest_charge"].as_str().unwrap_or_default().to_owned();
            find(&mut self.charges, "charge", &charge)?["refunded"] = json!(true);
        }
        intent["status"] = json!("canceled");
        intent["amount_capturable"] = json!(0);
        Ok((intent.clone(), vec![("payment_intent.canceled", intent.clone())]))
    }

    /// A refund in this status: `pending`, `succeeded` or `failed`. One that fails holds no money.
    ///
    /// # Errors
    /// Unknown charge, and more than was taken and is left of it.
    pub fn refund_make(
        &mut self,
        form: &Form,
        id: String,
        status: &str,
        now: i64,
    ) -> Result<(Value, Vec<Event>), Refusal> {
        let charge_id = form.get("charge").ok_or_else(|| Refusal::invalid("parameter_missing", "charge"))?;
        let charge = find(&mut self.charges, "charge", charge_id)?;
        let number = |object: &Value, field: &str| object[field].as_i64().unwrap_or_default();
        let (captured, before) = (number(charge, "amount_captured"), number(charge, "amount_refunded"));
        let amount = if form.contains_key("amount") { integer(form, "amount")? } else { captured - before };
        if amount <= 0 || before + amount > captured {
            return Err(Refusal::invalid(
                "charge_already_refunded",
                "Refund amount is greater than unrefunded amount.",
            ));
        }
        let refund = json!({
            "id": id, "object": "refund", "amount": amount, "charge": charge_id, "created": now,
            "currency": charge["currency"], "metadata": metadata(form), "payment_intent": charge["payment_intent"],
            "status": status,
        });
        if status != "failed" {
            charge["amount_refunded"] = json!(before + amount);
            charge["refunded"] = json!(before + amount == captured);
        }
        self.refunds.push(refund.clone());
        let kind = if status == "failed" { "refund.failed" } else { "refund.created" };
        Ok((refund.clone(), vec![(kind, refund)]))
    }

    /// A pending refund arrives or fails.
    ///
    /// # Errors
    /// Unknown refund, or one that is settled.
    pub fn refund_settle(&mut self, id: &str, arrives: bool) -> Result<(Value, Vec<Event>), Refusal> {
        let refund = find(&mut self.refunds, "refund", id)?;
        if refund["status"] != "pending" {
            return Err(Refusal::invalid("refund_unexpected_state", "It is settled already."));
        }
        refund["status"] = json!(if arrives { "succeeded" } else { "failed" });
        let refund = refund.clone();
        if !arrives {
            let charge = find(&mut self.charges, "charge", refund["charge"].as_str().unwrap_or_default())?;
            let left =
                charge["amount_refunded"].as_i64().unwrap_or_default() - refund["amount"].as_i64().unwrap_or_default();
            charge["amount_refunded"] = json!(left);
            charge["refunded"] = json!(false);
        }
        let kind = if arrives { "refund.updated" } else { "refund.failed" };
        Ok((refund.clone(), vec![(kind, refund)]))
    }

    pub(super) fn refund(&mut self, id: &str) -> Result<Value, Refusal> {
        find(&mut self.refunds, "refund", id).cloned()
    }

    pub(super) fn charge(&mut self, id: &str) -> Result<Value, Refusal> {
        find(&mut self.charges, "charge", id).cloned()
    }
}
