//! Orders, payments and refunds and the steps they may take: the provider's state machine,
//! without I/O or clock. Each step returns the events it causes, in their natural order.
//! It does not know HTTP, signatures or faults.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::entity::{Failure, Notes, Order, OrderStatus, Payment, PaymentStatus, Refund, RefundExtent, RefundStatus};

/// The smallest order and refund.
pub const AMOUNT_PAISE_MIN: i64 = 100;
/// The largest order: far above any real one, far below where sums could overflow.
pub const AMOUNT_PAISE_MAX: i64 = 1_000_000_000_000;
/// Characters of a receipt.
pub const RECEIPT_CHARS_MAX: usize = 40;
/// Notes of an object.
pub const NOTES_MAX: usize = 15;
/// Characters of a note.
pub const NOTE_CHARS_MAX: usize = 256;
/// Objects of each kind that are kept.
pub const OBJECTS_MAX: usize = 100_000;

/// Why the provider does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request is wrong.
    Invalid {
        /// The field at fault, if it is one.
        field: Option<&'static str>,
        /// For people.
        description: String,
    },
    /// No object with that id.
    UnknownId,
    /// The idempotency key was used with another body, or its first request is in flight.
    Conflict(&'static str),
    /// The provider keeps no further object of this kind.
    Full,
}

impl Refusal {
    pub(super) fn invalid(description: impl Into<String>) -> Self {
        Self::Invalid { field: None, description: description.into() }
    }

    pub(super) fn field(field: &'static str, description: impl Into<String>) -> Self {
        Self::Invalid { field: Some(field), description: description.into() }
    }
}

/// Something a merchant is told of by webhook.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `payment.captured` and so on.
    pub name: &'static str,
    /// Names of the objects within.
    pub contains: Vec<&'static str>,
    /// The objects as they were when it happened.
    pub payload: Value,
}

/// What a merchant asks for in a new order; checked by [`Ledger::order_create`].
#[derive(Debug, Clone, Default)]
pub struct NewOrder {
    /// Paise.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// The merchant's own reference. It should be unique, but like the real provider this one
    /// does not insist.
    pub receipt: Option<String>,
    /// Free text.
    pub notes: Map<String, Value>,
    /// Whether authorised payments are captured at once.
    pub auto_capture: bool,
}

/// How a customer's attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Paid and captured.
    Captured,
    /// Paid, waiting for a capture.
    Authorized,
    /// Not paid.
    Failed,
    /// Begun and not ended.
    Created,
}

/// A customer's attempt to pay.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// How it ends. `Captured` ends as authorised for an order without automatic capture.
    pub outcome: Outcome,
    /// Paise, if not the order's amount.
    pub amount: Option<i64>,
    /// ISO 4217, if not the order's currency.
    pub currency: Option<String>,
    /// `upi`, `card` and so on.
    pub method: String,
    /// Lets a second payment through on a paid order, as happens when two attempts overlap.
    pub again: bool,
}

impl Attempt {
    /// An attempt over the order's amount by UPI.
    #[must_use]
    pub fn new(outcome: Outcome) -> Self {
        Self { outcome, amount: None, currency: None, method: "upi".to_owned(), again: false }
    }
}

/// What becomes of a new refund.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RefundCourse {
    /// Processed in the answer already.
    #[default]
    Processed,
    /// Pending until somebody settles it.
    Pending,
    /// Pending in the answer, then failed.
    Failed,
}

/// What a merchant asks for in a refund.
#[derive(Debug, Clone, Default)]
pub struct NewRefund {
    /// Paise; all that is left if absent.
    pub amount: Option<i64>,
    /// `normal` or `optimum`.
    pub speed: Option<String>,
    /// Free text.
    pub notes: Map<String, Value>,
    /// The merchant's own reference.
    pub receipt: Option<String>,
}

/// All objects of the account, oldest first.
#[derive(Debug, Default)]
pub struct Ledger {
    orders: Shelf<Order>,
    payments: Shelf<Payment>,
    refunds: Shelf<Refund>,
}

/// Objects by id that remember the order they came in.
#[derive(Debug)]
struct Shelf<T> {
    objects: Vec<T>,
    index: BTreeMap<String, usize>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { objects: Vec::new(), index: BTreeMap::new() }
    }
}

impl<T> Shelf<T> {
    fn get(&self, id: &str) -> Result<&T, Refusal> {
        self.index.get(id).and_then(|at| self.objects.get(*at)).ok_or(Refusal::UnknownId)
    }

    fn get_mut(&mut self, id: &str) -> Result<&mut T, Refusal> {
        self.index.get(id).and_then(|at| self.objects.get_mut(*at)).ok_or(Refusal::UnknownId)
    }

    fn room(&self) -> Result<(), Refusal> {
        if self.objects.len() < OBJECTS_MAX { Ok(()) } else { Err(Refusal::Full) }
    }

    fn push(&mut self, id: &str, object: T) {
        self.index.insert(id.to_owned(), self.objects.len());
        self.objects.push(object);
    }
}

impl Ledger {
    /// All orders, oldest first.
    pub fn orders(&self) -> &[Order] {
        &self.orders.objects
    }

    /// All payments, oldest first.
    pub fn payments(&self) -> &[Payment] {
        &self.payments.objects
    }

    /// All refunds, oldest first.
    pub fn refunds(&self) -> &[Refund] {
        &self.refunds.objects
    }

    /// # Errors
    /// [`Refusal::UnknownId`].
    pub fn order(&self, id: &str) -> Result<&Order, Refusal> {
        self.orders.get(id)
    }

    /// # Errors
    /// [`Refusal::UnknownId`].
    pub fn payment(&self, id: &str) -> Result<&Payment, Refusal> {
        self.payments.get(id)
    }

    /// # Errors
    /// [`Refusal::UnknownId`].
    pub fn refund(&self, id: &str) -> Result<&Refund, Refusal> {
        self.refunds.get(id)
    }

    /// A new order.
    ///
    /// # Errors
    /// A field out of its limits.
    pub fn order_create(&mut self, ask: NewOrder, id: String, now: i64) -> Result<Order, Refusal> {
        self.orders.room()?;
        if ask.amount < AMOUNT_PAISE_MIN {
            return Err(Refusal::field("amount", "Order amount less than minimum amount allowed"));
        }
        if ask.amount > AMOUNT_PAISE_MAX {
            return Err(Refusal::field("amount", "Amount exceeds maximum amount allowed."));
        }
        if ask.currency.len() != 3 || !ask.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(Refusal::field("currency", "Currency is not supported"));
        }
        receipt_check(ask.receipt.as_deref())?;
        let order = Order {
            id: id.clone(),
            entity: "order",
            amount: ask.amount,
            amount_paid: 0,
            amount_due: ask.amount,
            currency: ask.currency,
            receipt: ask.receipt,
            offer_id: None,
            status: OrderStatus::Created,
            attempts: 0,
            notes: notes_check(ask.notes)?,
            created_at: now,
            auto_capture: ask.auto_capture,
        };
        self.orders.push(&id, order.clone());
        Ok(order)
    }

    /// A customer tries to pay an order.
    ///
    /// # Errors
    /// Unknown order, an order that is paid already, or a senseless amount.
    pub fn pay(&mut self, order_id: &str, attempt: Attempt, id: String, now: i64) -> Result<Vec<Event>, Refusal> {
        self.payments.room()?;
        let order = self.orders.get_mut(order_id)?;
        if order.status == OrderStatus::Paid && !attempt.again {
            return Err(Refusal::invalid("Your payment has already been completed for this order."));
        }
        let amount = attempt.amount.unwrap_or(order.amount);
        if !(1..=AMOUNT_PAISE_MAX).contains(&amount) {
            return Err(Refusal::field("amount", "The amount is out of range."));
        }
        let auto_capture = order.auto_capture;
        let payment = payment_new(order, &attempt, amount, &id, now);
        order.attempts += 1;
        if order.status == OrderStatus::Created {
            order.status = OrderStatus::Attempted;
        }
        self.payments.push(&id, payment);
        match attempt.outcome {
            Outcome::Created => Ok(Vec::new()),
            Outcome::Failed => Ok(vec![self.payment_event("payment.failed", &id)?]),
            Outcome::Captured if auto_capture => {
                let mut events = vec![self.payment_event("payment.authorized", &id)?];
                events.extend(self.capture_unchecked(&id)?);
                Ok(events)
            }
            Outcome::Captured | Outcome::Authorized => Ok(vec![self.payment_event("payment.authorized", &id)?]),
        }
    }

    /// The bank authorises a payment that was begun, or a failed one after all.
    ///
    /// # Errors
    /// Unknown payment, or one in another state.
    pub fn authorize_late(&mut self, id: &str) -> Result<Vec<Event>, Refusal> {
        let payment = self.payments.get_mut(id)?;
        if !matches!(payment.status, PaymentStatus::Created | PaymentStatus::Failed) {
            return Err(Refusal::invalid("Only a created or failed payment can be authorized late"));
        }
        payment.status = PaymentStatus::Authorized;
        payment.failure = Failure::default();
        Ok(vec![self.payment_event("payment.authorized", id)?])
    }

    /// The customer gives up a payment that was begun.
    ///
    /// # Errors
    /// Unknown payment, or one in another state.
    pub fn fail_late(&mut self, id: &str) -> Result<Vec<Event>, Refusal> {
        let payment = self.payments.get_mut(id)?;
        if payment.status != PaymentStatus::Created {
            return Err(Refusal::invalid("Only a created payment can fail"));
        }
        payment.status = PaymentStatus::Failed;
        payment.failure = failure_by_customer();
        Ok(vec![self.payment_event("payment.failed", id)?])
    }

    /// Captures an authorised payment. `amount` is what a merchant states; `None` captures
    /// without the check, as the provider itself does.
    ///
    /// # Errors
    /// Unknown payment, another amount or currency, or a payment not in authorized state.
    pub fn capture(&mut self, id: &str, stated: Option<(i64, &str)>) -> Result<Vec<Event>, Refusal> {
        let payment = self.payments.get(id)?;
        match payment.status {
            PaymentStatus::Authorized => {}
            PaymentStatus::Captured | PaymentStatus::Refunded => {
                return Err(Refusal::invalid("This payment has already been captured"));
            }
            PaymentStatus::Created | PaymentStatus::Failed => {
                return Err(Refusal::invalid(
                    "Only payments which have been authorized and not yet captured can be captured",
                ));
            }
        }
        if let Some((amount, currency)) = stated {
            if amount != payment.amount {
                return Err(Refusal::field("amount", "Capture amount must be equal to the amount authorized"));
            }
            if currency != payment.currency {
                return Err(Refusal::field(
                    "currency",
                    "Capture currency must be equal to the currency of the payment",
                ));
            }
            if self.orders.get(&payment.order_id)?.status == OrderStatus::Paid {
                return Err(Refusal::invalid("Payment cannot be captured, its order is paid already"));
            }
        }
        self.capture_unchecked(id)
    }

    fn capture_unchecked(&mut self, id: &str) -> Result<Vec<Event>, Refusal> {
        let payment = self.payments.get_mut(id)?;
        payment.status = PaymentStatus::Captured;
        payment.captured = true;
        // Two per cent and the tax on it: close enough to a real charge to be told apart from 0.
        let fee = payment.amount / 50;
        payment.tax = Some(fee * 18 / 100);
        payment.fee = Some(fee + fee * 18 / 100);
        let (order_id, amount) = (payment.order_id.clone(), payment.amount);
        let order = self.orders.get_mut(&order_id)?;
        let was_paid = order.status == OrderStatus::Paid;
        order.amount_paid += amount;
        order.amount_due = (order.amount - order.amount_paid).max(0);
        if order.amount_due == 0 {
            order.status = OrderStatus::Paid;
        }
        let paid_now = !was_paid && order.status == OrderStatus::Paid;
        let mut events = vec![self.payment_event("payment.captured", id)?];
        if paid_now {
            let payload = json!({
                "payment": { "entity": self.payments.get(id)? },
                "order": { "entity": self.orders.get(&order_id)? },
            });
            events.push(Event { name: "order.paid", contains: vec!["payment", "order"], payload });
        }
        Ok(events)
    }

    /// Gives money of a captured payment back.
    ///
    /// # Errors
    /// Unknown payment, one without captured money, or an amount above what is left.
    pub fn refund_create(
        &mut self,
        payment_id: &str,
        ask: NewRefund,
        course: RefundCourse,
        id: String,
        now: i64,
    ) -> Result<(Refund, Vec<Event>), Refusal> {
        self.refunds.room()?;
        receipt_check(ask.receipt.as_deref())?;
        let speed = ask.speed.unwrap_or_else(|| "normal".to_owned());
        if !matches!(speed.as_str(), "normal" | "optimum") {
            return Err(Refusal::field("speed", "The selected speed is invalid."));
        }
        let payment = self.payments.get_mut(payment_id)?;
        let amount = refund_amount(payment, ask.amount)?;
        let refund = Refund {
            id: id.clone(),
            entity: "refund",
            amount,
            currency: payment.currency.clone(),
            payment_id: payment_id.to_owned(),
            notes: notes_check(ask.notes)?,
            receipt: ask.receipt,
            acquirer_data: json!({ "arn": null }),
            created_at: now,
            batch_id: None,
            status: RefundStatus::Pending,
            speed_processed: "normal",
            speed_requested: speed,
        };
        refunded_add(payment, amount);
        self.refunds.push(&id, refund.clone());
        let mut events = vec![self.refund_event("refund.created", &id)?];
        let answered = match course {
            RefundCourse::Pending => refund,
            RefundCourse::Processed => {
                events.extend(self.refund_settle(&id, RefundStatus::Processed)?);
                self.refunds.get(&id)?.clone()
            }
            RefundCourse::Failed => {
                events.extend(self.refund_settle(&id, RefundStatus::Failed)?);
                refund
            }
        };
        Ok((answered, events))
    }

    /// A pending refund arrives or fails; a failed one gives the money back to the merchant.
    ///
    /// # Errors
    /// Unknown refund, or one that is settled already.
    pub fn refund_settle(&mut self, id: &str, status: RefundStatus) -> Result<Vec<Event>, Refusal> {
        let refund = self.refunds.get_mut(id)?;
        if refund.status != RefundStatus::Pending || status == RefundStatus::Pending {
            return Err(Refusal::invalid("Only a pending refund can be settled, as processed or failed"));
        }
        refund.status = status;
        let (payment_id, amount) = (refund.payment_id.clone(), refund.amount);
        if status == RefundStatus::Processed {
            return Ok(vec![self.refund_event("refund.processed", id)?]);
        }
        refunded_add(self.payments.get_mut(&payment_id)?, -amount);
        Ok(vec![self.refund_event("refund.failed", id)?])
    }

    fn payment_event(&self, name: &'static str, id: &str) -> Result<Event, Refusal> {
        let payload = json!({ "payment": { "entity": self.payments.get(id)? } });
        Ok(Event { name, contains: vec!["payment"], payload })
    }

    fn refund_event(&self, name: &'static str, id: &str) -> Result<Event, Refusal> {
        let refund = self.refunds.get(id)?;
        let payment = self.payments.get(&refund.payment_id)?;
        let payload = json!({ "refund": { "entity": refund }, "payment": { "entity": payment } });
        Ok(Event { name, contains: vec!["refund", "payment"], payload })
    }
}

fn payment_new(order: &Order, attempt: &Attempt, amount: i64, id: &str, now: i64) -> Payment {
    let failed = attempt.outcome == Outcome::Failed;
    Payment {
        id: id.to_owned(),
        entity: "payment",
        amount,
        currency: attempt.currency.clone().unwrap_or_else(|| order.currency.clone()),
        status: match attempt.outcome {
            Outcome::Created => PaymentStatus::Created,
            Outcome::Failed => PaymentStatus::Failed,
            Outcome::Authorized | Outcome::Captured => PaymentStatus::Authorized,
        },
        order_id: order.id.clone(),
        invoice_id: None,
        international: false,
        method: attempt.method.clone(),
        amount_refunded: 0,
        refund_status: None,
        captured: false,
        description: None,
        card_id: None,
        bank: None,
        wallet: None,
        vpa: (attempt.method == "upi").then(|| "customer@upi".to_owned()),
        email: "customer@example.org".to_owned(),
        contact: "+919800000001".to_owned(),
        notes: order.notes.clone(),
        fee: None,
        tax: None,
        failure: if failed { failure_by_customer() } else { Failure::default() },
        acquirer_data: json!({ "rrn": null }),
        created_at: now,
    }
}

fn failure_by_customer() -> Failure {
    Failure {
        error_code: Some("BAD_REQUEST_ERROR"),
        error_description: Some("Payment was not completed by the customer."),
        error_source: Some("customer"),
        error_step: Some("payment_authentication"),
        error_reason: Some("payment_cancelled"),
    }
}

fn refund_amount(payment: &Payment, asked: Option<i64>) -> Result<i64, Refusal> {
    match payment.status {
        PaymentStatus::Captured => {}
        PaymentStatus::Refunded => {
            return Err(Refusal::invalid("The payment has been fully refunded already"));
        }
        PaymentStatus::Created | PaymentStatus::Authorized | PaymentStatus::Failed => {
            return Err(Refusal::invalid("The payment status should be captured for action to be taken"));
        }
    }
    let left = payment.amount - payment.amount_refunded;
    let amount = asked.unwrap_or(left);
    if amount > left {
        let description = "The refund amount provided is greater than amount captured";
        return Err(Refusal::field("amount", description));
    }
    if amount < AMOUNT_PAISE_MIN.min(left) {
        return Err(Refusal::field("amount", "The amount must be at least INR 1.00"));
    }
    Ok(amount)
}

/// Adds a refund to its payment, or takes a failed one off again (negative).
fn refunded_add(payment: &mut Payment, amount: i64) {
    payment.amount_refunded += amount;
    let full = payment.amount_refunded == payment.amount;
    payment.status = if full { PaymentStatus::Refunded } else { PaymentStatus::Captured };
    payment.refund_status = match payment.amount_refunded {
        0 => None,
        _ if full => Some(RefundExtent::Full),
        _ => Some(RefundExtent::Partial),
    };
}

fn receipt_check(receipt: Option<&str>) -> Result<(), Refusal> {
    match receipt {
        Some(text) if text.chars().count() > RECEIPT_CHARS_MAX => {
            Err(Refusal::field("receipt", "The receipt may not be greater than 40 characters."))
        }
        _ => Ok(()),
    }
}

fn notes_check(notes: Map<String, Value>) -> Result<Notes, Refusal> {
    if notes.len() > NOTES_MAX {
        return Err(Refusal::field("notes", "Number of fields in notes should be less than or equal to 15"));
    }
    for (key, value) in &notes {
        let chars = match value {
            Value::Object(_) | Value::Array(_) => {
                return Err(Refusal::field("notes", "notes values themselves should not be an array"));
            }
            Value::String(text) => text.chars().count(),
            other => other.to_string().chars().count(),
        };
        if chars > NOTE_CHARS_MAX || key.chars().count() > NOTE_CHARS_MAX {
            return Err(Refusal::field("notes", "notes field should be less than or equal to 256 characters"));
        }
    }
    Ok(Notes(notes))
}
