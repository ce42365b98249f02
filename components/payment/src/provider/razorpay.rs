//! Razorpay's protocol.

use base64::{Engine, engine::general_purpose::STANDARD};
use cairn_shared::{
    Id, Timestamp,
    http::{Request, Response},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::{
    Adapter, Call, Delivery, DeliveryError, Event, Order, OrderCreate, PAGE_ITEMS_MAX, Page, Payment, ProviderError,
    Refund, RefundCreate, Report, Subject, Window, read_json, segment,
};
use crate::{domain::Provider, signature};

/// Room for the provider's event id.
const EVENT_ID_CHARS_MAX: usize = 255;

/// Razorpay, spoken to with one key.
pub struct Razorpay {
    /// As `https://api.razorpay.com/v1`.
    base_url: String,
    key_id: String,
    key_secret: String,
    /// The current secret first, then the one that old deliveries still carry.
    webhook_secrets: Vec<String>,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Failure {
    error: FailureDetail,
}

#[derive(Deserialize)]
struct FailureDetail {
    #[serde(default)]
    code: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Told {
    event: String,
    #[serde(default)]
    payload: serde_json::Value,
}

impl Razorpay {
    pub fn new(base_url: &str, key_id: String, key_secret: String, webhook_secrets: Vec<String>) -> Self {
        Self { base_url: base_url.trim_end_matches('/').to_owned(), key_id, key_secret, webhook_secrets }
    }

    fn request(&self, mut request: Request) -> Request {
        let credentials = STANDARD.encode(format!("{}:{}", self.key_id, self.key_secret));
        request.target = format!("{}{}", self.base_url, request.target);
        request.with_header("authorization", format!("Basic {credentials}"))
    }

    fn call<A: DeserializeOwned + 'static>(&self, request: Request) -> Call<A> {
        Call { request: self.request(request), read: Box::new(read) }
    }

    fn get<A: DeserializeOwned + 'static>(&self, path: &str) -> Call<A> {
        self.call(Request::new("GET", path))
    }

    fn items<A: DeserializeOwned + 'static>(&self, path: &str) -> Call<Vec<A>> {
        let request = self.request(Request::new("GET", path));
        Call { request, read: Box::new(|response| Ok(read::<Items<A>>(response)?.items)) }
    }

    fn page<A: DeserializeOwned + 'static>(&self, what: &str, window: Window, after: Option<&str>) -> Call<Page<A>> {
        // It names how many to leave out, not where to go on.
        let skip: usize = after.and_then(|skip| skip.parse().ok()).unwrap_or_default();
        let (from, to) = (seconds(window.from), seconds(window.until) - 1);
        let path = format!("/{what}?from={from}&to={to}&count={PAGE_ITEMS_MAX}&skip={skip}");
        let read = move |response: &Response| {
            let items = read::<Items<A>>(response)?.items;
            let next = (items.len() >= PAGE_ITEMS_MAX).then(|| (skip + items.len()).to_string());
            Ok(Page { items, next })
        };
        Call { request: self.request(Request::new("GET", &path)), read: Box::new(read) }
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.millis().div_euclid(1_000)
}

fn read<A: DeserializeOwned>(response: &Response) -> Result<A, ProviderError> {
    read_json(response, |body| {
        let failure = serde_json::from_slice::<Failure>(body).ok()?;
        Some(format!("{} {}", failure.error.code, failure.error.description))
    })
}

impl Adapter for Razorpay {
    fn provider(&self) -> Provider {
        Provider::Razorpay
    }

    fn public_key(&self) -> &str {
        &self.key_id
    }

    fn order_create(&self, order: &OrderCreate) -> Call<Order> {
        let body = json!({
            "amount": order.amount,
            "currency": order.currency,
            "receipt": order.receipt,
            "notes": order.notes,
            "payment_capture": 1,
        });
        self.call(Request::json("POST", "/orders", &body))
    }

    fn order_by_receipt(&self, receipt: &str) -> Option<Call<Option<Order>>> {
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("receipt", receipt).finish();
        let receipt = receipt.to_owned();
        let read = move |response: &Response| {
            let found = read::<Items<Order>>(response)?.items;
            Ok(found.into_iter().find(|order| order.receipt.as_deref() == Some(receipt.as_str())))
        };
        let request = self.request(Request::new("GET", &format!("/orders?{query}")));
        Some(Call { request, read: Box::new(read) })
    }

    fn order_payments(&self, order_id: &str) -> Result<Call<Vec<Payment>>, ProviderError> {
        Ok(self.items(&format!("/orders/{}/payments", segment(order_id)?)))
    }

    fn payment_fetch(&self, payment_id: &str) -> Result<Call<Payment>, ProviderError> {
        Ok(self.get(&format!("/payments/{}", segment(payment_id)?)))
    }

    fn payment_capture(&self, payment: &Payment) -> Result<Call<Payment>, ProviderError> {
        let body = json!({ "amount": payment.amount, "currency": payment.currency });
        Ok(self.call(Request::json("POST", &format!("/payments/{}/capture", segment(&payment.id)?), &body)))
    }

    /// What is not captured goes back after three days.
    fn payment_void(&self, _: &Payment) -> Result<Option<Call<()>>, ProviderError> {
        Ok(None)
    }

    fn payment_refunds(&self, payment_id: &str) -> Result<Call<Vec<Refund>>, ProviderError> {
        Ok(self.items(&format!("/payments/{}/refunds?count={PAGE_ITEMS_MAX}", segment(payment_id)?)))
    }

    fn refund_create(&self, refund: &RefundCreate) -> Result<Call<Refund>, ProviderError> {
        let body = json!({ "amount": refund.amount.0, "speed": "normal", "notes": refund.notes });
        let request = Request::json("POST", &format!("/payments/{}/refund", segment(&refund.payment_id)?), &body);
        Ok(self.call(request.with_header("x-refund-idempotency", refund.idempotency_key.as_str())))
    }

    fn refund_fetch(&self, refund_id: &str) -> Result<Call<Refund>, ProviderError> {
        Ok(self.get(&format!("/refunds/{}", segment(refund_id)?)))
    }

    fn payments_between(&self, window: Window, after: Option<&str>) -> Call<Page<Payment>> {
        self.page("payments", window, after)
    }

    fn refunds_between(&self, window: Window, after: Option<&str>) -> Call<Page<Refund>> {
        self.page("refunds", window, after)
    }

    fn report_is_signed(&self, report: &Report<'_>) -> bool {
        let (Some(payment_id), Some(signature)) = (report.payment_id, report.signature) else { return false };
        signature::is_valid(&self.key_secret, format!("{}|{payment_id}", report.order_id).as_bytes(), signature)
    }

    fn delivery(&self, delivery: &Delivery<'_>) -> Result<Event, DeliveryError> {
        let signature = delivery.headers.get("x-razorpay-signature").unwrap_or_default();
        // Not `any`: that would tell by its time which secret is the right one.
        let valid = self
            .webhook_secrets
            .iter()
            .fold(false, |valid, secret| signature::is_valid(secret, delivery.body, signature) | valid);
        if !valid {
            return Err(DeliveryError::Signature);
        }
        let told: Told =
            serde_json::from_slice(delivery.body).map_err(|error| DeliveryError::Body(error.to_string()))?;
        let id = match delivery.headers.get("x-razorpay-event-id") {
            Some(id) if !id.is_empty() && id.len() <= EVENT_ID_CHARS_MAX => id.to_owned(),
            // Known by its body, then.
            _ => Id::derive(&["delivery", &String::from_utf8_lossy(delivery.body)]).to_string(),
        };
        Ok(Event { id, subject: subject(&told)?, kind: told.event })
    }
}

/// The payment or refund of the kinds of event that change something here.
fn subject(told: &Told) -> Result<Subject, DeliveryError> {
    let entity = |name: &str| told.payload.get(name).and_then(|part| part.get("entity")).cloned().unwrap_or_default();
    let shape = |error: serde_json::Error| DeliveryError::Body(error.to_string());
    match told.event.as_str() {
        "payment.authorized" | "payment.captured" | "payment.failed" | "order.paid" => {
            serde_json::from_value(entity("payment")).map(Subject::Payment).map_err(shape)
        }
        "refund.created" | "refund.processed" | "refund.failed" => {
            serde_json::from_value(entity("refund")).map(Subject::Refund).map_err(shape)
        }
        _ => Ok(Subject::Nothing),
    }
}
