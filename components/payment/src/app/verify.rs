//! The client's report that it has paid.

use cairn_shared::{Id, Paise, Timestamp};

use super::{App, Captured, Source};
use crate::{
    domain::{Order, Payment, PaymentError},
    provider::{self, PaymentStatus, ProviderError, Report},
    store,
};

/// What a client reports after the checkout.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    pub order_id: String,
    /// None: the one that has paid the order.
    pub payment_id: Option<String>,
    pub signature: Option<String>,
    /// The booking that the client means, if it says so.
    pub booking_id: Option<String>,
}

/// Who reports that something has been paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer<'a> {
    Account(Id),
    /// Whoever has this key of a share.
    ShareKey(&'a str),
}

/// A payment as the client may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub payment_id: String,
    pub order_id: String,
    pub amount: Paise,
    pub currency: String,
    pub method: String,
    pub status: &'static str,
    pub at: Timestamp,
}

impl App {
    /// Takes a client's report that it has paid.
    ///
    /// The signature, where the provider gives one, proves that its checkout ended well for
    /// this order and payment; what was paid is asked of the provider. A crash at any point, or a
    /// provider that does not answer, loses nothing: webhook and reconciliation apply
    /// the same capture, whichever comes first. A repetition answers from our own row.
    ///
    /// # Errors
    /// Why the report is not accepted, and [`PaymentError::ReportPending`].
    pub async fn verify(&self, request: &VerifyRequest, payer: Payer<'_>) -> Result<Verified, PaymentError> {
        if self.providers.current().is_none() {
            return Err(PaymentError::NotConfigured);
        }
        let (order_id, payment_id) = (request.order_id.as_str(), request.payment_id.as_deref());
        let report = Report { order_id, payment_id, signature: request.signature.as_deref() };
        if !self.providers.all().any(|adapter| adapter.report_is_signed(&report)) {
            return Err(PaymentError::InvalidSignature);
        }
        let order = store::order_fetch_by_provider_id(&self.db, order_id).await?.ok_or(PaymentError::UnknownBooking)?;
        let signed = self.providers.account(order.provider).is_some_and(|a| a.adapter.report_is_signed(&report));
        if !signed {
            return Err(PaymentError::InvalidSignature);
        }
        if !self.is_payer(&order, payer).await? {
            return Err(PaymentError::NotOwner);
        }
        let booking_id = order.booking_id.to_string();
        let means_another = |given: &String| !given.is_empty() && !given.eq_ignore_ascii_case(&booking_id);
        if request.booking_id.as_ref().is_some_and(means_another) {
            return Err(PaymentError::Mismatch);
        }
        if let Some(known) = self.known_payment(order_id, payment_id).await? {
            return self.verified_known(known, order.booking_id).await;
        }
        let payment = self.reported_payment(&order, payment_id).await.map_err(|error| match error {
            ProviderError::Unknown(cause) => PaymentError::ReportPending(cause),
            ProviderError::Refused(cause) => PaymentError::ProviderRefused(cause),
        })?;
        let payment = payment.ok_or(PaymentError::NotPaid)?;
        let is_reported = payment_id.is_none_or(|id| id == payment.id);
        if payment.order_id.as_deref() != Some(order_id) || !is_reported {
            return Err(PaymentError::Mismatch);
        }
        self.take_report(&payment, order.booking_id).await
    }

    /// Whether an order was made for whoever reports.
    async fn is_payer(&self, order: &Order, payer: Payer<'_>) -> Result<bool, PaymentError> {
        match payer {
            Payer::Account(caller) => Ok(order.user_id == caller),
            Payer::ShareKey(key) => Ok(order.share_id == Some(self.share_of_key(key).await?.share.id)),
        }
    }

    /// The payment that is reported, as far as we know it already. Without an id it is
    /// the one that has paid the order.
    async fn known_payment(&self, order_id: &str, payment_id: Option<&str>) -> Result<Option<Payment>, PaymentError> {
        Ok(match payment_id {
            Some(payment_id) => store::payment_fetch(&self.db, payment_id).await?,
            None => store::payment_fetch_of_order(&self.db, order_id).await?,
        })
    }

    async fn reported_payment(
        &self,
        order: &Order,
        payment_id: Option<&str>,
    ) -> Result<Option<provider::Payment>, ProviderError> {
        if let Some(payment_id) = payment_id {
            return self.providers.ask(order.provider, |adapter| adapter.payment_fetch(payment_id)).await.map(Some);
        }
        let order_id = order.provider_id.as_deref().unwrap_or_default();
        let tried = self.providers.ask(order.provider, |adapter| adapter.order_payments(order_id)).await?;
        // The one that went furthest.
        Ok(tried.into_iter().max_by_key(|payment| match payment.status {
            PaymentStatus::Captured | PaymentStatus::Refunded => 3,
            PaymentStatus::Authorized => 2,
            PaymentStatus::Created => 1,
            PaymentStatus::Failed => 0,
        }))
    }

    async fn verified_known(&self, known: Payment, booking_id: Id) -> Result<Verified, PaymentError> {
        if known.problem.is_some() {
            return Err(PaymentError::Mismatch);
        }
        self.relay_to_booking(booking_id).await;
        Ok(Verified {
            payment_id: known.id,
            order_id: known.order_id,
            amount: known.amount,
            currency: known.currency,
            method: known.method,
            status: "captured",
            at: self.env.now(),
        })
    }

    async fn take_report(&self, payment: &provider::Payment, booking_id: Id) -> Result<Verified, PaymentError> {
        let status = match payment.status {
            PaymentStatus::Captured | PaymentStatus::Refunded => {
                let outcome =
                    self.db.transaction(async |tx| self.apply_capture(tx, payment, Source::Verify).await).await?;
                self.wake_refunds().await;
                self.relay_to_booking(booking_id).await;
                if let Captured::Orphaned(_) = outcome {
                    return Err(PaymentError::Mismatch);
                }
                "captured"
            }
            PaymentStatus::Created | PaymentStatus::Authorized => {
                self.db.transaction(async |tx| self.note_attempt(tx, payment, Source::Verify).await).await?;
                "authorized"
            }
            PaymentStatus::Failed => {
                self.db.transaction(async |tx| self.note_attempt(tx, payment, Source::Verify).await).await?;
                self.relay_to_booking(booking_id).await;
                return Err(PaymentError::NotPaid);
            }
        };
        Ok(Verified {
            payment_id: payment.id.clone(),
            order_id: payment.order_id.clone().unwrap_or_default(),
            amount: Paise(payment.amount),
            currency: payment.currency.clone(),
            method: payment.method.clone(),
            status,
            at: self.env.now(),
        })
    }
}
