//! Stripe's protocol. A PaymentIntent is what the rest of this service calls an order,
//! its charges are the payments on it.

use cairn_shared::{
    Timestamp,
    http::{Request, Response},
    time::SECOND,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Adapter, Call, Delivery, DeliveryError, Event, Order, OrderCreate, PAGE_ITEMS_MAX, Page, Payment, PaymentStatus,
    ProviderError, Refund, RefundCreate, RefundStatus, Report, Subject, Window, read_json, segment,
};
use crate::{domain::Provider, signature};

/// The version of the interface that this is written for.
const VERSION: &str = "2024-06-20";

/// A delivery that was signed longer ago, or so far in the future, is not taken.
const SIGNATURE_AGE_MAX: i64 = 300 * SECOND;

/// Signatures of one delivery that are looked at.
const SIGNATURES_MAX: usize = 8;

/// Stripe, spoken to with one key.
pub struct Stripe {
    /// As `https://api.stripe.com/v1`.
    base_url: String,
    publishable_key: String,
    secret_key: String,
    /// The current secret first, then the one before.
    webhook_secrets: Vec<String>,
}

/// A payment that is being made, or has been.
#[derive(Deserialize)]
struct Intent {
    id: String,
    amount: i64,
    #[serde(default)]
    amount_received: i64,
    #[serde(default)]
    amount_capturable: i64,
    currency: String,
    status: String,
    client_secret: Option<String>,
    #[serde(default)]
    created: i64,
    #[serde(default)]
    metadata: serde_json::Value,
    #[serde(default)]
    payment_method_types: Vec<String>,
    latest_charge: Option<String>,
    last_payment_error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    code: Option<String>,
    message: Option<String>,
    charge: Option<String>,
}

/// One attempt to pay.
#[derive(Deserialize)]
struct Charge {
    id: String,
    payment_intent: Option<String>,
    amount: i64,
    #[serde(default)]
    amount_captured: i64,
    #[serde(default)]
    amount_refunded: i64,
    currency: String,
    status: String,
    #[serde(default)]
    captured: bool,
    #[serde(default)]
    refunded: bool,
    failure_code: Option<String>,
    failure_message: Option<String>,
    payment_method_details: Option<Method>,
}

#[derive(Deserialize)]
struct Method {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct GivenBack {
    id: String,
    charge: Option<String>,
    amount: i64,
    status: String,
    #[serde(default)]
    metadata: serde_json::Value,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Failure {
    error: FailureDetail,
}

#[derive(Deserialize)]
struct FailureDetail {
    #[serde(rename = "type", default)]
    kind: String,
    code: Option<String>,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Told {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: ToldData,
}

#[derive(Deserialize)]
struct ToldData {
    object: serde_json::Value,
}

impl Stripe {
    pub fn new(base_url: &str, publishable_key: String, secret_key: String, webhook_secrets: Vec<String>) -> Self {
        Self { base_url: base_url.trim_end_matches('/').to_owned(), publishable_key, secret_key, webhook_secrets }
    }

    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, &format!("{}{path}", self.base_url))
            .with_header("authorization", format!("Bearer {}", self.secret_key))
            .with_header("stripe-version", VERSION)
    }

    fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// A form, and the key under which the same question has the same answer.
    fn post(&self, path: &str, fields: &[(String, String)], idempotency_key: &str) -> Request {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self
            .request("POST", path)
            .with_header("content-type", "application/x-www-form-urlencoded")
            .with_header("idempotency-key", idempotency_key);
        request.body = body.into_bytes();
        request
    }

    fn page<W: DeserializeOwned + Named + 'static, A: 'static>(
        &self,
        what: &str,
        window: Window,
        after: Option<&str>,
        value: fn(W) -> Option<A>,
    ) -> Call<Page<A>> {
        let seconds = |at: Timestamp| at.millis().div_euclid(1_000).to_string();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("created[gte]", &seconds(window.from)).append_pair("created[lt]", &seconds(window.until));
        query.append_pair("limit", &PAGE_ITEMS_MAX.to_string());
        if let Some(after) = after {
            query.append_pair("starting_after", after);
        }
        let read = move |response: &Response| {
            let list: List<W> = read(response)?;
            let next = list.data.last().filter(|_| list.has_more).map(|last| last.name().to_owned());
            Ok(Page { items: list.data.into_iter().filter_map(value).collect(), next })
        };
        Call { request: self.get(&format!("/{what}?{}", query.finish())), read: Box::new(read) }
    }
}

/// What a list can be continued after.
trait Named {
    fn name(&self) -> &str;
}

impl Named for Charge {
    fn name(&self) -> &str {
        &self.id
    }
}

impl Named for GivenBack {
    fn name(&self) -> &str {
        &self.id
    }
}

fn read<A: DeserializeOwned>(response: &Response) -> Result<A, ProviderError> {
    read_json(response, |body| {
        let error = serde_json::from_slice::<Failure>(body).ok()?.error;
        Some(format!("{} {} {}", error.kind, error.code.unwrap_or_default(), error.message))
    })
}

/// Notes as `metadata[name]` fields.
fn metadata(notes: &serde_json::Value) -> impl Iterator<Item = (String, String)> {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    notes.as_object().into_iter().flatten().map(move |(name, value)| (format!("metadata[{name}]"), text(value)))
}

impl From<Intent> for Order {
    fn from(intent: Intent) -> Self {
        let status = match intent.status.as_str() {
            "succeeded" => "paid",
            "requires_payment_method" | "requires_confirmation" | "requires_action" => "created",
            _ => "attempted",
        };
        Self {
            id: intent.id,
            entity: "order".into(),
            amount: intent.amount,
            amount_paid: intent.amount_received,
            amount_due: intent.amount - intent.amount_received,
            currency: intent.currency.to_uppercase(),
            receipt: intent.metadata.get("receipt").and_then(|text| text.as_str()).map(str::to_owned),
            offer_id: None,
            status: status.into(),
            attempts: 0,
            notes: intent.metadata,
            created_at: intent.created,
            client_secret: intent.client_secret,
        }
    }
}

impl Intent {
    /// The payment that an intent tells of; none where nothing was tried yet.
    fn payment(self) -> Option<Payment> {
        let (status, amount) = match self.status.as_str() {
            "succeeded" => (PaymentStatus::Captured, self.amount_received),
            "requires_capture" => (PaymentStatus::Authorized, self.amount_capturable),
            "processing" => (PaymentStatus::Created, self.amount),
            _ if self.last_payment_error.is_some() => (PaymentStatus::Failed, self.amount),
            _ => return None,
        };
        let problem = self.last_payment_error.filter(|_| status == PaymentStatus::Failed);
        let (charge, code, message) = problem.map_or((None, None, None), |p| (p.charge, p.code, p.message));
        Some(Payment {
            id: charge.or(self.latest_charge)?,
            provider: Provider::Stripe,
            order_id: Some(self.id),
            amount,
            currency: self.currency.to_uppercase(),
            status,
            method: self.payment_method_types.into_iter().next().unwrap_or_default(),
            amount_refunded: 0,
            error_code: code,
            error_description: message,
        })
    }
}

impl From<Charge> for Payment {
    fn from(charge: Charge) -> Self {
        let status = match (charge.status.as_str(), charge.captured, charge.refunded) {
            ("succeeded", true, false) => PaymentStatus::Captured,
            ("succeeded", true, true) => PaymentStatus::Refunded,
            ("succeeded", false, false) => PaymentStatus::Authorized,
            ("pending", _, _) => PaymentStatus::Created,
            // Not taken and let go again, or failed.
            _ => PaymentStatus::Failed,
        };
        Self {
            id: charge.id,
            provider: Provider::Stripe,
            order_id: charge.payment_intent,
            amount: if charge.captured { charge.amount_captured } else { charge.amount },
            currency: charge.currency.to_uppercase(),
            status,
            method: charge.payment_method_details.map(|method| method.kind).unwrap_or_default(),
            amount_refunded: charge.amount_refunded,
            error_code: charge.failure_code,
            error_description: charge.failure_message,
        }
    }
}

impl GivenBack {
    /// None for a refund of something that is no charge.
    fn refund(self) -> Option<Refund> {
        let status = match self.status.as_str() {
            "succeeded" => RefundStatus::Processed,
            "failed" | "canceled" => RefundStatus::Failed,
            _ => RefundStatus::Pending,
        };
        Some(Refund {
            id: self.id,
            provider: Provider::Stripe,
            payment_id: self.charge?,
            amount: self.amount,
            status,
            notes: self.metadata,
        })
    }
}

fn read_refund(response: &Response) -> Result<Refund, ProviderError> {
    read::<GivenBack>(response)?.refund().ok_or_else(|| ProviderError::Unknown("a refund of no charge".into()))
}

impl Adapter for Stripe {
    fn provider(&self) -> Provider {
        Provider::Stripe
    }

    fn public_key(&self) -> &str {
        &self.publishable_key
    }

    fn order_create(&self, order: &OrderCreate) -> Call<Order> {
        let mut fields = vec![
            ("amount".to_owned(), order.amount.to_string()),
            ("currency".into(), order.currency.to_lowercase()),
            ("automatic_payment_methods[enabled]".into(), "true".into()),
            ("capture_method".into(), "automatic".into()),
            ("metadata[receipt]".into(), order.receipt.clone()),
        ];
        fields.extend(metadata(&order.notes));
        let request = self.post("/payment_intents", &fields, &format!("order_{}", order.receipt));
        Call { request, read: Box::new(|response| Ok(read::<Intent>(response)?.into())) }
    }

    /// The receipt is the idempotency key. After the day for which the key is known, an
    /// intent that nobody was told of is never paid.
    fn order_by_receipt(&self, _: &str) -> Option<Call<Option<Order>>> {
        None
    }

    fn order_payments(&self, order_id: &str) -> Result<Call<Vec<Payment>>, ProviderError> {
        let request = self.get(&format!("/charges?payment_intent={}&limit={PAGE_ITEMS_MAX}", segment(order_id)?));
        let read = |response: &Response| Ok(read::<List<Charge>>(response)?.data.into_iter().map(Into::into).collect());
        Ok(Call { request, read: Box::new(read) })
    }

    fn payment_fetch(&self, payment_id: &str) -> Result<Call<Payment>, ProviderError> {
        let request = self.get(&format!("/charges/{}", segment(payment_id)?));
        Ok(Call { request, read: Box::new(|response| Ok(read::<Charge>(response)?.into())) })
    }

    fn payment_capture(&self, payment: &Payment) -> Result<Call<Payment>, ProviderError> {
        let order_id = segment(payment.order_id.as_deref().unwrap_or_default())?;
        let fields = [("amount_to_capture".to_owned(), payment.amount.to_string())];
        let request =
            self.post(&format!("/payment_intents/{order_id}/capture"), &fields, &format!("capture_{order_id}"));
        let read = |response: &Response| {
            let unclear = || ProviderError::Unknown("a capture without a charge".into());
            read::<Intent>(response)?.payment().ok_or_else(unclear)
        };
        Ok(Call { request, read: Box::new(read) })
    }

    fn payment_void(&self, payment: &Payment) -> Result<Option<Call<()>>, ProviderError> {
        let order_id = segment(payment.order_id.as_deref().unwrap_or_default())?;
        let request = self.post(&format!("/payment_intents/{order_id}/cancel"), &[], &format!("cancel_{order_id}"));
        Ok(Some(Call { request, read: Box::new(|response| read::<Intent>(response).map(drop)) }))
    }

    fn payment_refunds(&self, payment_id: &str) -> Result<Call<Vec<Refund>>, ProviderError> {
        let request = self.get(&format!("/refunds?charge={}&limit={PAGE_ITEMS_MAX}", segment(payment_id)?));
        let read = |response: &Response| {
            Ok(read::<List<GivenBack>>(response)?.data.into_iter().filter_map(GivenBack::refund).collect())
        };
        Ok(Call { request, read: Box::new(read) })
    }

    fn refund_create(&self, refund: &RefundCreate) -> Result<Call<Refund>, ProviderError> {
        let mut fields = vec![
            ("charge".to_owned(), segment(&refund.payment_id)?.to_owned()),
            ("amount".into(), refund.amount.0.to_string()),
        ];
        fields.extend(metadata(&refund.notes));
        let request = self.post("/refunds", &fields, &refund.idempotency_key);
        Ok(Call { request, read: Box::new(read_refund) })
    }

    fn refund_fetch(&self, refund_id: &str) -> Result<Call<Refund>, ProviderError> {
        let request = self.get(&format!("/refunds/{}", segment(refund_id)?));
        Ok(Call { request, read: Box::new(read_refund) })
    }

    fn payments_between(&self, window: Window, after: Option<&str>) -> Call<Page<Payment>> {
        self.page::<Charge, _>("charges", window, after, |charge| Some(charge.into()))
    }

    fn refunds_between(&self, window: Window, after: Option<&str>) -> Call<Page<Refund>> {
        self.page("refunds", window, after, GivenBack::refund)
    }

    /// Stripe signs nothing for the client: what was paid is asked of Stripe alone.
    fn report_is_signed(&self, report: &Report<'_>) -> bool {
        report.payment_id.is_none() && report.signature.is_none()
    }

    fn delivery(&self, delivery: &Delivery<'_>) -> Result<Event, DeliveryError> {
        let header = delivery.headers.get("stripe-signature").unwrap_or_default();
        if !self.is_signed(header, delivery.body, delivery.now) {
            return Err(DeliveryError::Signature);
        }
        let told: Told =
            serde_json::from_slice(delivery.body).map_err(|error| DeliveryError::Body(error.to_string()))?;
        let id = format!("stripe:{}", told.id);
        Ok(Event { id, subject: subject(&told.kind, told.data.object)?, kind: told.kind })
    }
}

impl Stripe {
    fn is_signed(&self, header: &str, body: &[u8], now: Timestamp) -> bool {
        let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
        let Some((_, time)) = parts().find(|(name, _)| *name == "t") else { return false };
        let Ok(signed_at) = time.parse::<i64>() else { return false };
        let age = now.millis().saturating_sub(signed_at.saturating_mul(SECOND));
        if !(-SIGNATURE_AGE_MAX..=SIGNATURE_AGE_MAX).contains(&age) {
            return false;
        }
        let message = [time.as_bytes(), b".", body].concat();
        let signatures: Vec<_> =
            parts().filter(|(name, _)| *name == "v1").map(|(_, value)| value).take(SIGNATURES_MAX).collect();
        let pairs = self.webhook_secrets.iter().flat_map(|secret| signatures.iter().map(move |s| (secret, *s)));
        // Not `any`: that would tell by its time which secret is the right one.
        pairs.fold(false, |valid, (secret, signature)| signature::is_valid(secret, &message, signature) | valid)
    }
}

/// The payment or refund of the kinds of event that change something here.
fn subject(kind: &str, object: serde_json::Value) -> Result<Subject, DeliveryError> {
    fn shaped<T: DeserializeOwned>(object: serde_json::Value) -> Result<T, DeliveryError> {
        serde_json::from_value(object).map_err(|error| DeliveryError::Body(error.to_string()))
    }
    let subject = match kind {
        "payment_intent.succeeded" | "payment_intent.payment_failed" | "payment_intent.amount_capturable_updated" => {
            shaped::<Intent>(object)?.payment().map(Subject::Payment)
        }
        "charge.succeeded" | "charge.captured" | "charge.failed" => {
            Some(Subject::Payment(shaped::<Charge>(object)?.into()))
        }
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            shaped::<GivenBack>(object)?.refund().map(Subject::Refund)
        }
        _ => None,
    };
    Ok(subject.unwrap_or(Subject::Nothing))
}

#[cfg(test)]
mod tests {
    use cairn_shared::http::Header;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_760_600_000_000);

    fn stripe() -> Stripe {
        let secrets = vec!["whsec_new".into(), "whsec_old".into()];
        Stripe::new("http://stripe/v1/", "pk_1".into(), "sk_1".into(), secrets)
    }

    fn deliver(signed_at: i64, secret: &str, body: &[u8], extra: &str) -> Result<Event, DeliveryError> {
        let message = [signed_at.to_string().as_bytes(), b".", body].concat();
        let signature = signature::sign(secret, &message).unwrap();
        let headers = Header(vec![("stripe-signature".into(), format!("t={signed_at},{extra}v1={signature}"))]);
        stripe().delivery(&Delivery { headers: &headers, body, now: NOW })
    }

    #[test]
    fn a_delivery_is_signed_lately_with_one_of_the_secrets() {
        let body = json!({ "id": "evt_1", "type": "ping", "data": { "object": {} } }).to_string();
        let now = NOW.millis() / 1_000;
        let event = Event { id: "stripe:evt_1".into(), kind: "ping".into(), subject: Subject::Nothing };
        for (signed_at, secret, extra, expected) in [
            (now, "whsec_new", "", Ok(event.clone())),
            (now, "whsec_old", "v1=00,v0=11,", Ok(event.clone())),
            (now - 300, "whsec_new", "", Ok(event.clone())),
            (now - 301, "whsec_new", "", Err(DeliveryError::Signature)),
            (now + 301, "whsec_new", "", Err(DeliveryError::Signature)),
            (i64::MIN, "whsec_new", "", Err(DeliveryError::Signature)),
            (now, "whsec_other", "", Err(DeliveryError::Signature)),
        ] {
            assert_eq!(deliver(signed_at, secret, body.as_bytes(), extra), expected, "{signed_at} {secret} {extra}");
        }
        for header in ["", "t=,v1=", "v1=aa", "t=1760600000", "nonsense"] {
            let headers = Header(vec![("stripe-signature".into(), header.into())]);
            let delivery = Delivery { headers: &headers, body: body.as_bytes(), now: NOW };
            assert_eq!(stripe().delivery(&delivery), Err(DeliveryError::Signature), "{header}");
        }
        assert!(matches!(deliver(now, "whsec_new", b"{}", ""), Err(DeliveryError::Body(_))));
    }

    #[test]
    fn an_intent_tells_of_the_payment_that_was_tried() {
        let intent = |status: &str, error: serde_json::Value| {
            let object = json!({
                "id": "pi_1", "amount": 500, "amount_received": if status == "succeeded" { 500 } else { 0 },
                "amount_capturable": if status == "requires_capture" { 500 } else { 0 }, "currency": "inr",
                "status": status, "latest_charge": "ch_1", "last_payment_error": error, "payment_method_types": ["card"],
            });
            serde_json::from_value::<Intent>(object).unwrap().payment().map(|p| (p.id, p.status, p.amount, p.currency))
        };
        let found = |id: &str, status| Some((id.to_owned(), status, 500, "INR".to_owned()));
        assert_eq!(intent("succeeded", json!(null)), found("ch_1", PaymentStatus::Captured));
        assert_eq!(intent("requires_capture", json!(null)), found("ch_1", PaymentStatus::Authorized));
        let declined = json!({ "code": "card_declined", "message": "no", "charge": "ch_0" });
        assert_eq!(intent("requires_payment_method", declined), found("ch_0", PaymentStatus::Failed));
        assert_eq!(intent("requires_payment_method", json!(null)), None);
        assert_eq!(intent("canceled", json!(null)), None);
    }

    #[test]
    fn a_charge_is_captured_only_when_it_says_so() {
        let status = |status: &str, captured: bool, refunded: bool| {
            let charge = json!({ "id": "ch_1", "amount": 5, "amount_captured": 4, "currency": "inr", "status": status,
                                 "captured": captured, "refunded": refunded });
            let payment = Payment::from(serde_json::from_value::<Charge>(charge).unwrap());
            (payment.status, payment.amount)
        };
        assert_eq!(status("succeeded", true, false), (PaymentStatus::Captured, 4));
        assert_eq!(status("succeeded", true, true), (PaymentStatus::Refunded, 4));
        assert_eq!(status("succeeded", false, false), (PaymentStatus::Authorized, 5));
        assert_eq!(status("succeeded", false, true), (PaymentStatus::Failed, 5));
        assert_eq!(status("pending", false, false), (PaymentStatus::Created, 5));
        assert_eq!(status("failed", false, false), (PaymentStatus::Failed, 5));
    }

    #[test]
    fn an_order_is_made_once_for_its_receipt() {
        let order = OrderCreate {
            amount: 254_200,
            currency: "INR",
            receipt: "booking_1".into(),
            notes: json!({ "bookingId": "b & 1" }),
        };
        let call = stripe().order_create(&order);
        assert_eq!(call.request.target, "http://stripe/v1/payment_intents");
        assert_eq!(call.request.header("idempotency-key"), Some("order_booking_1"));
        assert_eq!(call.request.header("authorization"), Some("Bearer sk_1"));
        let fields: Vec<_> = form_urlencoded::parse(&call.request.body).into_owned().collect();
        assert!(fields.contains(&("currency".into(), "inr".into())));
        assert!(fields.contains(&("metadata[bookingId]".into(), "b & 1".into())));
        let answer = |status, body: serde_json::Value| (call.read)(&Response::json(status, &body));
        let intent = json!({ "id": "pi_1", "amount": 254_200, "currency": "inr", "status": "requires_payment_method",
                             "client_secret": "pi_1_secret_x", "metadata": { "receipt": "booking_1" } });
        let made = answer(200, intent).unwrap();
        assert_eq!((made.currency.as_str(), made.amount_due, made.status.as_str()), ("INR", 254_200, "created"));
        assert_eq!(
            (made.client_secret.as_deref(), made.receipt.as_deref()),
            (Some("pi_1_secret_x"), Some("booking_1"))
        );
        let refusal = json!({ "error": { "type": "idempotency_error", "message": "other parameters" } });
        assert!(matches!(answer(400, refusal), Err(ProviderError::Refused(_))));
        for status in [409, 429, 500, 503] {
            assert!(matches!(answer(status, json!({})), Err(ProviderError::Unknown(_))), "{status}");
        }
    }

    #[test]
    fn what_is_no_id_is_asked_of_nobody() {
        for id in ["", "a/b", "../x", "ch_1?expand", &"x".repeat(65)] {
            assert!(matches!(stripe().payment_fetch(id).map(drop), Err(ProviderError::Refused(_))), "{id}");
        }
    }
}
