//! The payment provider as this service sees it: plain values in and out.
//!
//! Nothing here decides anything. An error tells two cases apart, because they call
//! for opposite reactions: the provider refused and did nothing, or nobody knows.

#[cfg(target_family = "wasm")]
mod guest;
mod razorpay;

use async_trait::async_trait;
use cairn_shared::{
    Paise,
    http::{Request, Response},
};
use serde::{Deserialize, Deserializer, Serialize};

#[cfg(target_family = "wasm")]
pub use guest::Http;
pub use razorpay::Razorpay;

/// Why the provider did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It refused, and nothing happened.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer, or one that does not say: it may have happened.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// An order to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderCreate {
    /// Paise.
    pub amount: i64,
    pub currency: &'static str,
    /// Unique, at most 40 characters.
    pub receipt: String,
    pub notes: serde_json::Value,
    /// 1: payments are captured without being asked.
    pub payment_capture: u8,
}

/// An order as the provider has it; passed on to the client's checkout as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    #[serde(default)]
    pub entity: String,
    /// Paise.
    pub amount: i64,
    #[serde(default)]
    pub amount_paid: i64,
    #[serde(default)]
    pub amount_due: i64,
    pub currency: String,
    pub receipt: Option<String>,
    pub offer_id: Option<String>,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub attempts: i64,
    #[serde(default)]
    pub notes: serde_json::Value,
    /// Seconds since 1970.
    #[serde(default)]
    pub created_at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaymentStatus {
    Created,
    Authorized,
    Captured,
    /// Captured, and given back in full.
    Refunded,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub id: String,
    pub order_id: Option<String>,
    /// Paise.
    pub amount: i64,
    pub currency: String,
    pub status: PaymentStatus,
    #[serde(default, deserialize_with = "or_empty")]
    pub method: String,
    #[serde(default, deserialize_with = "or_zero")]
    pub amount_refunded: i64,
    pub error_code: Option<String>,
    pub error_description: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefundStatus {
    #[serde(alias = "created")]
    Pending,
    Processed,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub id: String,
    pub payment_id: String,
    /// Paise.
    pub amount: i64,
    pub status: RefundStatus,
    #[serde(default)]
    pub notes: serde_json::Value,
}

/// A refund to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundCreate {
    pub payment_id: String,
    pub amount: Paise,
    /// The same key makes the same refund, however often it is sent.
    pub idempotency_key: String,
    pub notes: serde_json::Value,
}

fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl From<RefundStatus> for crate::domain::RefundStatus {
    fn from(status: RefundStatus) -> Self {
        match status {
            RefundStatus::Pending => Self::Processing,
            RefundStatus::Processed => Self::Success,
            RefundStatus::Failed => Self::Failed,
        }
    }
}

impl Payment {
    /// Whether the money has been taken, whatever became of it.
    pub fn is_captured(&self) -> bool {
        match self.status {
            PaymentStatus::Captured | PaymentStatus::Refunded => true,
            PaymentStatus::Created | PaymentStatus::Authorized | PaymentStatus::Failed => false,
        }
    }
}

/// A payment provider.
#[async_trait(?Send)]
pub trait Provider {
    /// Makes an order. Not idempotent: see [`Provider::order_by_receipt`].
    async fn order_create(&self, order: &OrderCreate) -> Result<Order, ProviderError>;

    /// The order with this receipt, if it was made.
    async fn order_by_receipt(&self, receipt: &str) -> Result<Option<Order>, ProviderError>;

    /// All payments that were tried on an order.
    async fn order_payments(&self, order_id: &str) -> Result<Vec<Payment>, ProviderError>;

    async fn payment_fetch(&self, payment_id: &str) -> Result<Payment, ProviderError>;

    async fn payment_refunds(&self, payment_id: &str) -> Result<Vec<Refund>, ProviderError>;

    /// Idempotent by its key.
    async fn refund_create(&self, refund: &RefundCreate) -> Result<Refund, ProviderError>;

    async fn refund_fetch(&self, refund_id: &str) -> Result<Refund, ProviderError>;
}

/// Sends an HTTP request to an absolute URL, with a deadline and a limit on the answer.
#[async_trait(?Send)]
pub trait Transport {
    /// # Errors
    /// Why there is no answer; the request may have had its effect.
    async fn send(&self, request: Request) -> Result<Response, String>;
}
