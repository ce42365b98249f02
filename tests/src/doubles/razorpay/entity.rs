//! The provider's objects as they look on the wire. Amounts are paise, instants Unix seconds.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Free text a merchant attaches to an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notes(pub Map<String, Value>);

impl Serialize for Notes {
    /// The provider writes missing notes as an empty array, which trips up careless readers.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return <[Value; 0]>::default().serialize(serializer);
        }
        self.0.serialize(serializer)
    }
}

/// created → attempted → paid; paid is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Nobody has tried to pay.
    Created,
    /// Somebody has tried.
    Attempted,
    /// A payment was captured; stays so after refunds.
    Paid,
}

/// An order: what a merchant wants to be paid.
#[derive(Debug, Clone, Serialize)]
pub struct Order {
    /// `order_` and 14 characters.
    pub id: String,
    /// Always `order`.
    pub entity: &'static str,
    /// What is to be paid.
    pub amount: i64,
    /// What was captured.
    pub amount_paid: i64,
    /// What is left.
    pub amount_due: i64,
    /// ISO 4217.
    pub currency: String,
    /// The merchant's own reference.
    pub receipt: Option<String>,
    /// Always null: offers are not modelled.
    pub offer_id: Option<String>,
    /// Where the order stands.
    pub status: OrderStatus,
    /// Payments tried.
    pub attempts: u32,
    /// The merchant's notes.
    pub notes: Notes,
    /// Creation.
    pub created_at: i64,
    /// Whether an authorised payment is captured without the merchant asking.
    #[serde(skip)]
    pub auto_capture: bool,
}

/// created → authorized → captured → refunded, or failed, which may still become authorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PaymentStatus {
    /// The customer has begun and not ended.
    Created,
    /// The bank holds the money.
    Authorized,
    /// The merchant has the money.
    Captured,
    /// The merchant has given all of it back.
    Refunded,
    /// The attempt failed.
    Failed,
}

/// How much of a payment was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RefundExtent {
    /// A part.
    Partial,
    /// All.
    Full,
}

/// One attempt of a customer to pay an order.
#[derive(Debug, Clone, Serialize)]
pub struct Payment {
    /// `pay_` and 14 characters.
    pub id: String,
    /// Always `payment`.
    pub entity: &'static str,
    /// What the customer pays.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// Where the payment stands.
    pub status: PaymentStatus,
    /// The order it pays.
    pub order_id: String,
    /// Always null: invoices are not modelled.
    pub invoice_id: Option<String>,
    /// Always false.
    pub international: bool,
    /// `upi`, `card`, `netbanking`, `wallet`.
    pub method: String,
    /// Sum of the refunds that did not fail.
    pub amount_refunded: i64,
    /// Null without refunds.
    pub refund_status: Option<RefundExtent>,
    /// Whether it ever was captured.
    pub captured: bool,
    /// Shown to the customer.
    pub description: Option<String>,
    /// Always null.
    pub card_id: Option<String>,
    /// Always null.
    pub bank: Option<String>,
    /// Always null.
    pub wallet: Option<String>,
    /// The UPI address, if paid that way.
    pub vpa: Option<String>,
    /// The customer.
    pub email: String,
    /// The customer.
    pub contact: String,
    /// The order's notes, which the checkout passes on.
    pub notes: Notes,
    /// The provider's charge, known after capture.
    pub fee: Option<i64>,
    /// The tax within the charge.
    pub tax: Option<i64>,
    /// Why the attempt failed.
    #[serde(flatten)]
    pub failure: Failure,
    /// References of the bank.
    pub acquirer_data: Value,
    /// Creation.
    pub created_at: i64,
}

/// The error fields of a payment; all null unless it failed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Failure {
    /// A machine-readable class.
    pub error_code: Option<&'static str>,
    /// For people.
    pub error_description: Option<&'static str>,
    /// Whose fault it is.
    pub error_source: Option<&'static str>,
    /// Where it happened.
    pub error_step: Option<&'static str>,
    /// What happened.
    pub error_reason: Option<&'static str>,
}

/// pending → processed or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RefundStatus {
    /// On its way.
    Pending,
    /// The customer has the money.
    Processed,
    /// It did not arrive; the merchant has the money again.
    Failed,
}

/// Money given back.
#[derive(Debug, Clone, Serialize)]
pub struct Refund {
    /// `rfnd_` and 14 characters.
    pub id: String,
    /// Always `refund`.
    pub entity: &'static str,
    /// What goes back.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// The payment it goes back from.
    pub payment_id: String,
    /// The merchant's notes.
    pub notes: Notes,
    /// The merchant's own reference.
    pub receipt: Option<String>,
    /// References of the bank.
    pub acquirer_data: Value,
    /// Creation.
    pub created_at: i64,
    /// Always null.
    pub batch_id: Option<String>,
    /// Where the refund stands.
    pub status: RefundStatus,
    /// `normal`.
    pub speed_processed: &'static str,
    /// `normal` or `optimum`.
    pub speed_requested: String,
}
