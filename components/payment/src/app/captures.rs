//! Captured money: the one way in which it is applied, and the client's report of it.

use cairn_shared::{Id, Paise, Timestamp, Tx};

use super::{App, News, UnknownOrders};
use crate::{
    domain::{self, Kind, Order, OrderStatus, PayableStatus, Payment, PaymentError, Problem, Refund, RefundStatus},
    provider::{self, PaymentStatus, ProviderError},
    signature, store,
};

/// What became of captured money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// It counts for its booking, now or since before.
    Applied,
    /// It belongs to no booking and goes back, or is kept for staff.
    Orphaned(Problem),
}

/// What a client reports after the checkout.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    pub order_id: String,
    pub payment_id: String,
    pub signature: String,
    /// The booking that the client means, if it says so.
    pub booking_id: Option<String>,
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
    /// Applies captured money. Called by verify, webhook and reconciliation alike, in
    /// their transaction: all of it happens or nothing.
    ///
    /// Idempotent by payment id. The order is our own row, found by the provider's
    /// order id; notes and client-sent bookings are never looked at. What does not
    /// match is kept as an orphan and its refund queued.
    ///
    /// # Errors
    /// The database's; then nothing has changed and the caller's retry repeats it.
    pub async fn apply_capture(
        &self,
        tx: &Tx,
        captured: &provider::Payment,
        learned_from: &str,
    ) -> Result<Captured, PaymentError> {
        if let Some(known) = store::payment_fetch(tx, &captured.id).await? {
            return Ok(known.problem.map_or(Captured::Applied, Captured::Orphaned));
        }
        let order = match &captured.order_id {
            Some(order_id) => store::order_fetch_by_provider_id(tx, order_id).await?,
            None => None,
        };
        let problem = domain::capture_decide(order.as_ref(), Paise(captured.amount), &captured.currency);
        let payment = self.payment(captured, order.as_ref(), problem);
        let now = self.env.now();
        store::payment_insert(tx, &payment, learned_from).await?;
        let transaction = format!("capture:{}", payment.id);
        store::ledger_post(tx, &transaction, &payment.id, &domain::capture_entries(&payment), now).await?;
        self.adopt_refunds(tx, &payment).await?;
        match (problem, order) {
            (None, Some(order)) => {
                self.settle_order(tx, &order, &payment).await?;
                Ok(Captured::Applied)
            }
            (problem, _) => {
                let problem = problem.unwrap_or(Problem::UnknownOrder);
                self.return_orphan(tx, &payment.id, problem).await?;
                Ok(Captured::Orphaned(problem))
            }
        }
    }

    fn payment(&self, captured: &provider::Payment, order: Option<&Order>, problem: Option<Problem>) -> Payment {
        Payment {
            id: captured.id.clone(),
            order_id: captured.order_id.clone().unwrap_or_default(),
            booking_id: order.map(|order| order.booking_id),
            kind: order.map(|order| order.kind),
            amount: Paise(captured.amount),
            currency: captured.currency.clone(),
            method: captured.method.clone(),
            problem,
            captured_at: self.env.now(),
            refunded: Paise::ZERO,
        }
    }

    /// The order is paid, and with it what the booking owed; its promo use counts.
    async fn settle_order(&self, tx: &Tx, order: &Order, payment: &Payment) -> Result<(), PaymentError> {
        let now = self.env.now();
        store::order_set_status(tx, order.id, OrderStatus::Paid).await?;
        if let Some(stored) = store::payable_fetch(tx, order.booking_id).await? {
            if stored.payable.kind == order.kind {
                store::payable_set_status(tx, order.booking_id, PayableStatus::Paid, now).await?;
            }
            // Also after the use was given back: the price paid had the discount in it.
            if let Some(promo_id) = stored.promo_id.filter(|_| order.kind != Kind::Balance) {
                store::promo_use_pay(tx, order.booking_id, promo_id, now).await?;
            }
        }
        let news = News::Captured {
            booking_id: order.booking_id,
            payment_id: &payment.id,
            order_id: &payment.order_id,
            kind: order.kind,
            amount_paise: payment.amount.0,
            method: &payment.method,
            captured_at: payment.captured_at.millis(),
        };
        Ok(self.tell(tx, news).await?)
    }

    /// Refunds that were heard of before their payment.
    async fn adopt_refunds(&self, tx: &Tx, payment: &Payment) -> Result<(), PaymentError> {
        for mut refund in store::refund_list(tx, &payment.id).await? {
            refund.booking_id = payment.booking_id;
            let heard = refund.status;
            self.settle_refund(tx, refund, heard, true).await?;
        }
        Ok(())
    }

    /// Money that belongs to no booking goes back by itself; staff read of it in the log.
    async fn return_orphan(&self, tx: &Tx, payment_id: &str, problem: Problem) -> Result<(), PaymentError> {
        let held = self.account.as_ref().is_some_and(|account| account.unknown_orders == UnknownOrders::Hold);
        let held = held && problem == Problem::UnknownOrder;
        let outcome = if held { "it is kept for staff to look at" } else { "it is being refunded" };
        cairn_shared::log::error(
            "captured money belongs to no booking",
            &[("payment", &payment_id), ("problem", &problem.as_str()), ("outcome", &outcome)],
        );
        let Some(payment) = store::payment_fetch(tx, payment_id).await?.filter(|_| !held) else { return Ok(()) };
        if payment.refundable() > Paise::ZERO {
            self.insert_refund(tx, &payment, payment.refundable(), problem.as_str()).await?;
        }
        Ok(())
    }

    /// Takes a client's report that it has paid.
    ///
    /// The signature proves that the provider's checkout ended well for this order and
    /// payment; what was paid is asked of the provider. A crash at any point, or a
    /// provider that does not answer, loses nothing: webhook and reconciliation apply
    /// the same capture, whichever comes first. A repetition answers from our own row.
    ///
    /// # Errors
    /// Why the report is not accepted, and [`PaymentError::ReportPending`].
    pub async fn verify(&self, request: &VerifyRequest, caller: Id) -> Result<Verified, PaymentError> {
        let account = self.account.as_ref().ok_or(PaymentError::NotConfigured)?;
        let message = format!("{}|{}", request.order_id, request.payment_id);
        if !signature::is_valid(&account.key_secret, message.as_bytes(), &request.signature) {
            return Err(PaymentError::InvalidSignature);
        }
        let order = store::order_fetch_by_provider_id(&self.db, &request.order_id)
            .await?
            .ok_or(PaymentError::UnknownBooking)?;
        if order.user_id != caller {
            return Err(PaymentError::NotOwner);
        }
        let booking_id = order.booking_id.to_string();
        if request
            .booking_id
            .as_ref()
            .is_some_and(|given| !given.is_empty() && !given.eq_ignore_ascii_case(&booking_id))
        {
            return Err(PaymentError::Mismatch);
        }
        if let Some(known) = store::payment_fetch(&self.db, &request.payment_id).await? {
            return self.verified_known(known, order.booking_id).await;
        }
        let payment = self.provider.payment_fetch(&request.payment_id).await.map_err(|error| match error {
            ProviderError::Unknown(cause) => PaymentError::ReportPending(cause),
            ProviderError::Refused(cause) => PaymentError::ProviderRefused(cause),
        })?;
        if payment.order_id.as_deref() != Some(request.order_id.as_str()) || payment.id != request.payment_id {
            return Err(PaymentError::Mismatch);
        }
        self.take_report(&payment, order.booking_id).await
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
                let outcome = self.db.transaction(async |tx| self.apply_capture(tx, payment, "verify").await).await?;
                self.wake_refunds().await;
                self.relay_to_booking(booking_id).await;
                if let Captured::Orphaned(_) = outcome {
                    return Err(PaymentError::Mismatch);
                }
                "captured"
            }
            PaymentStatus::Created | PaymentStatus::Authorized => {
                self.db.transaction(async |tx| self.note_attempt(tx, payment).await).await?;
                "authorized"
            }
            PaymentStatus::Failed => {
                self.db.transaction(async |tx| self.note_attempt(tx, payment).await).await?;
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

    /// Notes a payment that failed or was authorised. It changes nothing about what is
    /// owed; booking is told of a failure while nothing has been paid.
    pub(super) async fn note_attempt(&self, tx: &Tx, payment: &provider::Payment) -> Result<(), PaymentError> {
        let now = self.env.now();
        let Some(order_id) = payment.order_id.as_deref() else { return Ok(()) };
        let failed = payment.status == PaymentStatus::Failed;
        let attempt = store::Attempt {
            payment_id: &payment.id,
            order_id,
            failed,
            code: payment.error_code.as_deref().filter(|_| failed),
            description: payment.error_description.as_deref().filter(|_| failed),
        };
        if !store::attempt_save(tx, &attempt, now).await? || !failed {
            return Ok(());
        }
        let order = store::order_fetch_by_provider_id(tx, order_id).await?;
        let unpaid = matches!(order, Some(Order { status: OrderStatus::Open, .. }));
        let (Some(order), true) = (order, unpaid) else { return Ok(()) };
        let news = News::Failed {
            booking_id: order.booking_id,
            order_id,
            code: attempt.code.unwrap_or("UNKNOWN"),
            description: attempt.description.unwrap_or("The payment failed"),
            failed_at: now.millis(),
        };
        Ok(self.tell(tx, news).await?)
    }

    /// A refund that waits to be executed.
    pub(super) async fn insert_refund(
        &self,
        tx: &Tx,
        payment: &Payment,
        amount: Paise,
        reason: &str,
    ) -> Result<(), PaymentError> {
        let now = self.env.now();
        let nth = store::refund_list(tx, &payment.id).await?.len().to_string();
        let refund = Refund {
            id: Id::derive(&["refund", &payment.id, &nth]),
            payment_id: payment.id.clone(),
            booking_id: payment.booking_id,
            provider_id: None,
            amount,
            status: RefundStatus::Processing,
            reason: reason.to_owned(),
            attempts: 0,
        };
        store::refund_insert(tx, &refund, Some(now), now).await?;
        self.tell_refund(tx, payment, &refund).await
    }
}
