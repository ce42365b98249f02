//! Payment providers as this service sees them: plain values in and out.
//!
//! Nothing here decides anything. An [`Adapter`] knows a protocol and does no I/O; a
//! [`Transport`] does the I/O and knows no protocol. An error tells two cases apart,
//! because they call for opposite reactions: the provider refused and did nothing, or
//! nobody knows. The JSON of the values is Razorpay's, which clients know.

#[cfg(target_family = "wasm")]
mod guest;
mod razorpay;
mod stripe;

use async_trait::async_trait;
use cairn_shared::{
    Paise, Timestamp,
    http::{Header, Request, Response},
};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

#[cfg(target_family = "wasm")]
pub use guest::Http;
pub use razorpay::Razorpay;
pub use stripe::Stripe;

use crate::domain::Provider;

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

/// An order to be made, whose payments are captured without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderCreate {
    /// Paise.
    pub amount: i64,
    pub currency: &'static str,
    /// Unique, at most 40 characters.
    pub receipt: String,
    /// Texts by name.
    pub notes: serde_json::Value,
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
    /// What Stripe's checkout needs besides the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
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
    #[serde(skip, default = "razorpay")]
    pub provider: Provider,
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
    #[serde(skip, default = "razorpay")]
    pub provider: Provider,
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

/// The provider of values that are read from JSON.
fn razorpay() -> Provider {
    Provider::Razorpay
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

/// A request to a provider, and how its answer is read.
pub struct Call<A> {
    /// To an absolute URL.
    pub request: Request,
    pub read: Box<dyn Fn(&Response) -> Result<A, ProviderError>>,
}

/// A part of a list, and how to ask for the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// Instants in ms from which, and before which, something was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// What a client says that it has paid.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    pub order_id: &'a str,
    pub payment_id: Option<&'a str>,
    pub signature: Option<&'a str>,
}

/// What a provider tells by itself, as it came.
pub struct Delivery<'a> {
    pub headers: &'a Header,
    /// It is these bytes that are signed.
    pub body: &'a [u8],
    pub now: Timestamp,
}

/// A delivery that is signed, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same for each repetition.
    pub id: String,
    pub kind: String,
    pub subject: Subject,
}

/// What an event is about, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Payment(Payment),
    Refund(Refund),
    Nothing,
}

/// Why a delivery is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryError {
    /// It is not the provider's, or too old.
    Signature,
    /// It is the provider's and has another shape than it should.
    Body(String),
}

/// The protocol of a payment provider: turns what is wanted into requests and answers
/// into values. It does no I/O and keeps nothing.
///
/// An `Err` of these functions is [`ProviderError::Refused`]: an id that can be none of
/// the provider's is asked of nobody.
pub trait Adapter {
    fn provider(&self) -> Provider;

    /// The key that the client's checkout needs.
    fn public_key(&self) -> &str;

    /// Makes an order.
    fn order_create(&self, order: &OrderCreate) -> Call<Order>;

    /// The order with this receipt, if it was made. None where that need not be asked,
    /// because making an order twice with one receipt makes one.
    fn order_by_receipt(&self, receipt: &str) -> Option<Call<Option<Order>>>;

    /// All payments that were tried on an order.
    fn order_payments(&self, order_id: &str) -> Result<Call<Vec<Payment>>, ProviderError>;

    fn payment_fetch(&self, payment_id: &str) -> Result<Call<Payment>, ProviderError>;

    /// Takes the money of an authorised payment.
    fn payment_capture(&self, payment: &Payment) -> Result<Call<Payment>, ProviderError>;

    /// Lets the money of an authorised payment go. None where it goes by itself.
    fn payment_void(&self, payment: &Payment) -> Result<Option<Call<()>>, ProviderError>;

    fn payment_refunds(&self, payment_id: &str) -> Result<Call<Vec<Refund>>, ProviderError>;

    /// Idempotent by its key.
    fn refund_create(&self, refund: &RefundCreate) -> Result<Call<Refund>, ProviderError>;

    fn refund_fetch(&self, refund_id: &str) -> Result<Call<Refund>, ProviderError>;

    /// Payments that were made in a window. `after`: what [`Page::next`] said.
    fn payments_between(&self, window: Window, after: Option<&str>) -> Call<Page<Payment>>;

    /// Refunds that were made in a window.
    fn refunds_between(&self, window: Window, after: Option<&str>) -> Call<Page<Refund>>;

    /// Whether a client's report is signed as far as this provider signs any.
    fn report_is_signed(&self, report: &Report<'_>) -> bool;

    /// Reads a delivery.
    ///
    /// # Errors
    /// [`DeliveryError`] tells why it is not taken.
    fn delivery(&self, delivery: &Delivery<'_>) -> Result<Event, DeliveryError>;
}

/// The provider's ids go into addresses, so anything else is refused.
const ID_CHARS_MAX: usize = 64;

/// Items of a page: as many as both providers give.
const PAGE_ITEMS_MAX: usize = 100;

fn segment(id: &str) -> Result<&str, ProviderError> {
    let fits = !id.is_empty() && id.len() <= ID_CHARS_MAX && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits { Ok(id) } else { Err(ProviderError::Refused("not an id of the provider's".into())) }
}

/// Reads an answer in JSON. `described` finds the words of a refusal.
fn read_json<A: DeserializeOwned>(
    response: &Response,
    described: fn(&[u8]) -> Option<String>,
) -> Result<A, ProviderError> {
    match response.status {
        200..300 => serde_json::from_slice(&response.body)
            .map_err(|error| ProviderError::Unknown(format!("an answer of another shape: {error}"))),
        // In flight, too many at once, timed out: the same request may work later.
        status @ (408 | 409 | 425 | 429) => Err(ProviderError::Unknown(format!("answered {status}"))),
        status @ 400..500 => {
            let words = described(&response.body).unwrap_or_else(|| "without a description".into());
            Err(ProviderError::Refused(format!("{status} {words}")))
        }
        status => Err(ProviderError::Unknown(format!("answered {status}"))),
    }
}

/// Sends an HTTP request to an absolute URL, with a deadline and a limit on the answer.
#[async_trait(?Send)]
pub trait Transport {
    /// # Errors
    /// Why there is no answer; the request may have had its effect.
    async fn send(&self, request: Request) -> Result<Response, String>;
}

/// What to do with money on an order that we never made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownOrders {
    /// Give it back.
    Refund,
    /// Keep it for staff to look at: for the time in which another system takes
    /// payments under the same account.
    Hold,
}

/// An account at a provider.
pub struct Account {
    pub adapter: Box<dyn Adapter>,
    pub unknown_orders: UnknownOrders,
}

/// The accounts, and the way to them.
pub struct Providers {
    /// The first one makes new orders; what the others hold is still followed up.
    accounts: Vec<Account>,
    transport: Box<dyn Transport>,
}

impl Providers {
    pub fn new(accounts: Vec<Account>, transport: Box<dyn Transport>) -> Self {
        Self { accounts, transport }
    }

    /// The one that makes new orders; none where payments are not configured.
    pub fn current(&self) -> Option<&dyn Adapter> {
        self.accounts.first().map(|account| &*account.adapter)
    }

    pub fn account(&self, provider: Provider) -> Option<&Account> {
        self.accounts.iter().find(|account| account.adapter.provider() == provider)
    }

    /// All that are configured.
    pub fn all(&self) -> impl Iterator<Item = &dyn Adapter> {
        self.accounts.iter().map(|account| &*account.adapter)
    }

    /// Asks a provider.
    ///
    /// # Errors
    /// [`ProviderError`]; one that is not configured is as good as one that does not answer.
    pub async fn ask<A>(
        &self,
        provider: Provider,
        call: impl FnOnce(&dyn Adapter) -> Result<Call<A>, ProviderError>,
    ) -> Result<A, ProviderError> {
        let account = self.account(provider);
        let account = account.ok_or_else(|| ProviderError::Unknown(format!("{} is not set up", provider.as_str())))?;
        let call = call(&*account.adapter)?;
        let response = self.transport.send(call.request).await.map_err(ProviderError::Unknown)?;
        (call.read)(&response)
    }
}
