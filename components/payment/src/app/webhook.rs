//! What the provider tells by itself: at least once, in any order.

use cairn_shared::{Id, Tx};
use serde::Deserialize;

use super::App;
use crate::{domain::PaymentError, provider, signature, store};

/// Room for the provider's event id.
const EVENT_ID_CHARS_MAX: usize = 255;

/// A delivery of the provider's.
pub struct Delivery<'a> {
    pub signature: &'a str,
    /// Names the event; a delivery without is known by its body.
    pub event_id: Option<&'a str>,
    /// As it came: it is what is signed.
    pub body: &'a [u8],
}

#[derive(Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    payload: serde_json::Value,
}

/// What an event is about, as far as it matters.
enum Subject {
    Payment(provider::Payment),
    Refund(provider::Refund),
    Nothing,
}

impl App {
    /// Takes a delivery. That it was taken and what it changes are one transaction, so
    /// a crash leaves it untaken and the provider repeats it; taken twice, it changes
    /// nothing. Nothing here waits for the provider, which waits for us.
    ///
    /// # Errors
    /// [`PaymentError::InvalidWebhookSignature`], and the database's.
    pub async fn take_delivery(&self, delivery: &Delivery<'_>) -> Result<(), PaymentError> {
        let secrets = self.account.as_ref().map(|account| account.webhook_secrets.as_slice()).unwrap_or_default();
        // Not `any`: that would tell by its time which secret is the right one.
        let valid = secrets
            .iter()
            .fold(false, |valid, secret| signature::is_valid(secret, delivery.body, delivery.signature) | valid);
        if !valid {
            return Err(PaymentError::InvalidWebhookSignature);
        }
        let event: Event = serde_json::from_slice(delivery.body).map_err(cairn_shared::Error::internal)?;
        let subject = subject(&event)?;
        let event_id = event_id(delivery);
        let new = self.db.transaction(async |tx| self.take_event(tx, &event_id, &event.event, &subject).await).await?;
        if new && !matches!(subject, Subject::Nothing) {
            self.wake_refunds().await;
            match self.booking_of(&subject).await? {
                Some(booking_id) => self.relay_to_booking(booking_id).await,
                None => self.env.wake_relay().await,
            }
        }
        Ok(())
    }

    /// The booking that a payment is for; refunds are told of in the background.
    async fn booking_of(&self, subject: &Subject) -> Result<Option<Id>, PaymentError> {
        let Subject::Payment(provider::Payment { order_id: Some(order_id), .. }) = subject else { return Ok(None) };
        Ok(store::order_fetch_by_provider_id(&self.db, order_id).await?.map(|order| order.booking_id))
    }

    async fn take_event(&self, tx: &Tx, event_id: &str, kind: &str, subject: &Subject) -> Result<bool, PaymentError> {
        let about = match subject {
            Subject::Payment(payment) => payment.id.as_str(),
            Subject::Refund(refund) => refund.id.as_str(),
            Subject::Nothing => "",
        };
        if !store::webhook_first_time(tx, event_id, kind, about, self.env.now()).await? {
            return Ok(false);
        }
        match subject {
            Subject::Payment(payment) if payment.is_captured() => {
                self.apply_capture(tx, payment, "webhook").await?;
            }
            Subject::Payment(payment) => self.note_attempt(tx, payment).await?,
            Subject::Refund(refund) => self.take_refund(tx, refund).await?,
            Subject::Nothing => {}
        }
        Ok(true)
    }
}

/// The payment or refund of the kinds of event that change something here.
fn subject(event: &Event) -> Result<Subject, PaymentError> {
    let entity = |name: &str| event.payload.get(name).and_then(|part| part.get("entity")).cloned().unwrap_or_default();
    match event.event.as_str() {
        "payment.authorized" | "payment.captured" | "payment.failed" | "order.paid" => {
            let payment = serde_json::from_value(entity("payment")).map_err(cairn_shared::Error::internal)?;
            Ok(Subject::Payment(payment))
        }
        "refund.created" | "refund.processed" | "refund.failed" => {
            let refund = serde_json::from_value(entity("refund")).map_err(cairn_shared::Error::internal)?;
            Ok(Subject::Refund(refund))
        }
        _ => Ok(Subject::Nothing),
    }
}

fn event_id(delivery: &Delivery<'_>) -> String {
    match delivery.event_id {
        Some(id) if !id.is_empty() && id.len() <= EVENT_ID_CHARS_MAX => id.to_owned(),
        _ => Id::derive(&["delivery", &String::from_utf8_lossy(delivery.body)]).to_string(),
    }
}
