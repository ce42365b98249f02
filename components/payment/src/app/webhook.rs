//! What a provider tells by itself: at least once, in any order.

use cairn_shared::Tx;

use super::{App, Source};
use crate::{
    domain::{PaymentError, Provider},
    provider::{Delivery, DeliveryError, Event, Subject},
    store,
};

impl App {
    /// Takes a delivery. That it was taken and what it changes are one transaction, so
    /// a crash leaves it untaken and the provider repeats it; taken twice, it changes
    /// nothing. Nothing here waits for the provider, which waits for us, nor for the
    /// booking service, which is told in the background.
    ///
    /// # Errors
    /// [`PaymentError::InvalidWebhookSignature`], and the database's.
    pub async fn take_delivery(&self, provider: Provider, delivery: &Delivery<'_>) -> Result<(), PaymentError> {
        let account = self.providers.account(provider).ok_or(PaymentError::InvalidWebhookSignature)?;
        let event = account.adapter.delivery(delivery).map_err(|error| match error {
            DeliveryError::Signature => PaymentError::InvalidWebhookSignature,
            DeliveryError::Body(cause) => PaymentError::Other(cairn_shared::Error::internal(cause)),
        })?;
        let new = self.db.transaction(async |tx| self.take_event(tx, &event).await).await?;
        if new && event.subject != Subject::Nothing {
            self.env.wake_relay().await;
            self.wake_refunds().await;
        }
        Ok(())
    }

    async fn take_event(&self, tx: &Tx, event: &Event) -> Result<bool, PaymentError> {
        let about = match &event.subject {
            Subject::Payment(payment) => payment.id.as_str(),
            Subject::Refund(refund) => refund.id.as_str(),
            Subject::Nothing => "",
        };
        if !store::webhook_first_time(tx, &event.id, &event.kind, about, self.env.now()).await? {
            return Ok(false);
        }
        match &event.subject {
            Subject::Payment(payment) if payment.is_captured() => {
                self.apply_capture(tx, payment, Source::Webhook).await?;
            }
            Subject::Payment(payment) => self.note_attempt(tx, payment, Source::Webhook).await?,
            Subject::Refund(refund) => self.take_refund(tx, refund).await?,
            Subject::Nothing => {}
        }
        Ok(true)
    }
}
