//! Razorpay's REST protocol over any [`Transport`].

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use cairn_shared::http::Request;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::{Order, OrderCreate, Payment, Provider, ProviderError, Refund, RefundCreate, Transport};

/// The provider's ids go into addresses, so anything else is refused.
const ID_CHARS_MAX: usize = 64;

/// Payments of an order, refunds of a payment: more are not looked at.
const ITEMS_MAX: u32 = 100;

/// Razorpay, spoken to with one key.
pub struct Razorpay<T> {
    transport: T,
    base_url: String,
    authorization: String,
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

impl<T: Transport> Razorpay<T> {
    /// `base_url` as `https://api.razorpay.com/v1`.
    pub fn new(transport: T, base_url: &str, key_id: &str, key_secret: &str) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{key_id}:{key_secret}")));
        Self { transport, base_url: base_url.trim_end_matches('/').to_owned(), authorization }
    }

    async fn ask<A: DeserializeOwned>(&self, mut request: Request) -> Result<A, ProviderError> {
        request.target = format!("{}{}", self.base_url, request.target);
        let request = request.with_header("authorization", self.authorization.as_str());
        let response = self.transport.send(request).await.map_err(ProviderError::Unknown)?;
        match response.status {
            200..300 => serde_json::from_slice(&response.body)
                .map_err(|error| ProviderError::Unknown(format!("an answer of another shape: {error}"))),
            // In flight, too many at once, timed out: the same request may work later.
            status @ (408 | 409 | 425 | 429) => Err(ProviderError::Unknown(format!("answered {status}"))),
            status @ 400..500 => Err(ProviderError::Refused(format!("{status} {}", described(&response.body)))),
            status => Err(ProviderError::Unknown(format!("answered {status}"))),
        }
    }

    async fn get<A: DeserializeOwned>(&self, path: String) -> Result<A, ProviderError> {
        self.ask(Request::new("GET", &path)).await
    }
}

fn described(body: &[u8]) -> String {
    serde_json::from_slice::<Failure>(body).map_or_else(
        |_| "without a description".into(),
        |failure| format!("{} {}", failure.error.code, failure.error.description),
    )
}

fn segment(id: &str) -> Result<&str, ProviderError> {
    let fits = !id.is_empty() && id.len() <= ID_CHARS_MAX && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits { Ok(id) } else { Err(ProviderError::Refused("not an id of the provider's".into())) }
}

#[async_trait(?Send)]
impl<T: Transport> Provider for Razorpay<T> {
    async fn order_create(&self, order: &OrderCreate) -> Result<Order, ProviderError> {
        self.ask(Request::json("POST", "/orders", order)).await
    }

    async fn order_by_receipt(&self, receipt: &str) -> Result<Option<Order>, ProviderError> {
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("receipt", receipt).finish();
        let found: Items<Order> = self.get(format!("/orders?{query}")).await?;
        Ok(found.items.into_iter().find(|order| order.receipt.as_deref() == Some(receipt)))
    }

    async fn order_payments(&self, order_id: &str) -> Result<Vec<Payment>, ProviderError> {
        let found: Items<Payment> = self.get(format!("/orders/{}/payments", segment(order_id)?)).await?;
        Ok(found.items)
    }

    async fn payment_fetch(&self, payment_id: &str) -> Result<Payment, ProviderError> {
        self.get(format!("/payments/{}", segment(payment_id)?)).await
    }

    async fn payment_refunds(&self, payment_id: &str) -> Result<Vec<Refund>, ProviderError> {
        let path = format!("/payments/{}/refunds?count={ITEMS_MAX}", segment(payment_id)?);
        let found: Items<Refund> = self.get(path).await?;
        Ok(found.items)
    }

    async fn refund_create(&self, refund: &RefundCreate) -> Result<Refund, ProviderError> {
        let body = json!({ "amount": refund.amount.0, "speed": "normal", "notes": refund.notes });
        let request = Request::json("POST", &format!("/payments/{}/refund", segment(&refund.payment_id)?), &body);
        self.ask(request.with_header("x-refund-idempotency", refund.idempotency_key.as_str())).await
    }

    async fn refund_fetch(&self, refund_id: &str) -> Result<Refund, ProviderError> {
        self.get(format!("/refunds/{}", segment(refund_id)?)).await
    }
}
