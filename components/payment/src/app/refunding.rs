//! What is to go back: asked for by key, split over payments, tried again, paid out by hand.

use std::collections::BTreeSet;

use cairn_shared::{DbError, Id, Paise, Tx, events};

use super::{App, News};
use crate::{
    domain::{
        self, OfflineMethod, Payment, PaymentError, Provider, REASON_CHARS_MAX, Refund, RefundError, RefundKind,
        RefundRequest, RefundStatus, RequestedRefund,
    },
    store,
};

/// What a refund out of a payment is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub reason: &'a str,
    pub request_key: Option<&'a str>,
    /// It gives back what was paid beyond the order's amount.
    pub surplus: bool,
    /// It goes to this voucher, and not back to where it came from.
    pub voucher_id: Option<Id>,
}

impl App {
    /// Queues a refund. The rows are the promise; [`App::execute_refunds`] keeps it.
    /// Asked for again under the same key, it changes nothing. Two at once take turns,
    /// so that together they never ask for more than is there.
    ///
    /// # Errors
    /// [`RefundError`]; then nothing is queued.
    pub async fn refund(&self, mut request: RefundRequest) -> Result<RequestedRefund, RefundError> {
        request.validate()?;
        if request.reason.chars().count() > REASON_CHARS_MAX {
            request.reason = request.reason.chars().take(REASON_CHARS_MAX).collect();
        }
        let queued = self.db.transaction(async |tx| self.queue_refund(tx, &request).await).await?;
        self.env.wake_relay().await;
        self.wake_refunds().await;
        Ok(queued)
    }

    async fn queue_refund(&self, tx: &Tx, request: &RefundRequest) -> Result<RequestedRefund, RefundError> {
        store::booking_turn(tx, request.booking_id).await?;
        if let Some(known) = store::request_fetch(tx, &request.key).await? {
            return if known.request.is_same(request) { Ok(known) } else { Err(RefundError::KeyReused) };
        }
        let payments = store::payment_list(tx, request.booking_id).await?;
        let unheard = unheard(tx, request.booking_id, &payments).await?;
        let parts = domain::refund_split(&payments, request.payment_id.as_deref(), &unheard, request.amount)
            .map_err(RefundError::Exceeds)?;
        store::request_insert(tx, request, self.env.now()).await?;
        let purpose =
            Purpose { reason: &request.reason, request_key: Some(&request.key), surplus: false, voucher_id: None };
        for (payment, amount) in parts {
            self.insert_refund(tx, payment, amount, purpose).await?;
        }
        store::request_fetch(tx, &request.key).await?.ok_or(RefundError::Unknown)
    }

    /// Tries again what failed of a requested refund.
    ///
    /// # Errors
    /// [`RefundError::Unknown`], and [`RefundError::Exceeds`] where the money has gone
    /// back by another refund meanwhile.
    pub async fn retry_request(&self, key: &str) -> Result<RequestedRefund, RefundError> {
        let retried = self.db.transaction(async |tx| {
            let requested = store::request_fetch(tx, key).await?.ok_or(RefundError::Unknown)?;
            store::booking_turn(tx, requested.request.booking_id).await?;
            for refund in store::refund_list_of_request(tx, key).await? {
                if refund.status == RefundStatus::Failed {
                    self.retry_refund(tx, refund).await?;
                }
            }
            store::request_fetch(tx, key).await?.ok_or(RefundError::Unknown)
        });
        let retried = retried.await?;
        self.env.wake_relay().await;
        self.wake_refunds().await;
        Ok(retried)
    }

    /// Tries a failed refund again, whoever asked for it.
    ///
    /// # Errors
    /// [`RefundError::Unknown`], [`RefundError::State`] for one that has not failed, and
    /// [`RefundError::Exceeds`].
    pub async fn retry(&self, id: Id) -> Result<Refund, RefundError> {
        let retried = self.db.transaction(async |tx| {
            let refund = self.refund_in_turn(tx, id).await?.ok_or(RefundError::Unknown)?;
            self.retry_refund(tx, refund).await?;
            store::refund_fetch(tx, id).await?.ok_or(RefundError::Unknown)
        });
        let retried = retried.await?;
        self.env.wake_relay().await;
        self.wake_refunds().await;
        Ok(retried)
    }

    async fn retry_refund(&self, tx: &Tx, mut refund: Refund) -> Result<(), RefundError> {
        if refund.status != RefundStatus::Failed {
            return Err(RefundError::State(refund.status));
        }
        self.check_left(tx, &refund).await?;
        store::refund_retry(tx, &refund, self.env.now()).await?;
        refund.status = RefundStatus::Processing;
        refund.provider_id = None;
        refund.retries += 1;
        Ok(self.note_refund(tx, refund).await?)
    }

    /// A refund that has failed holds no money, so that money may be gone.
    async fn check_left(&self, tx: &Tx, refund: &Refund) -> Result<(), RefundError> {
        let payment = store::payment_fetch(tx, &refund.payment_id).await?.ok_or(RefundError::Unknown)?;
        let left = if refund.surplus { payment.surplus_left() } else { payment.refundable() };
        if refund.amount > left { Err(RefundError::Exceeds(left)) } else { Ok(()) }
    }

    /// Notes that staff paid a refund out by hand: one of an offline payment, or one that
    /// the provider could not make.
    ///
    /// # Errors
    /// [`RefundError::Unknown`], [`RefundError::State`] for one that the provider has in
    /// hand or has made, [`RefundError::Exceeds`], and [`RefundError::Invalid`].
    pub async fn pay_out(
        &self,
        id: Id,
        method: OfflineMethod,
        reference: &str,
        actor: Id,
    ) -> Result<Refund, RefundError> {
        domain::check_text("reference", reference).map_err(RefundError::Invalid)?;
        let paid = self.db.transaction(async |tx| {
            let mut refund = self.refund_in_turn(tx, id).await?.ok_or(RefundError::Unknown)?;
            match (refund.status, refund.provider) {
                (RefundStatus::Success, _) if refund.paid_out == Some(method) => return Ok(refund),
                (RefundStatus::Processing, Provider::Offline) => {}
                (RefundStatus::Failed, _) => self.check_left(tx, &refund).await?,
                (status, _) => return Err(RefundError::State(status)),
            }
            refund.paid_out = Some(method);
            refund.status = RefundStatus::Success;
            store::refund_note_proof(tx, id, reference, actor).await?;
            self.note_refund(tx, refund).await?;
            store::refund_fetch(tx, id).await?.ok_or(RefundError::Unknown)
        });
        let paid = paid.await?;
        self.env.wake_relay().await;
        Ok(paid)
    }

    /// Gives everything of a booking back that is captured and not given back: what has
    /// failed is tried again, the rest queued. Called again, it finds nothing left.
    ///
    /// # Errors
    /// The database's; then nothing is queued.
    pub async fn refund_all(&self, booking_id: Id, reason: &str) -> Result<(), RefundError> {
        self.db
            .transaction(async |tx| {
                store::booking_turn(tx, booking_id).await?;
                for refund in store::refund_list_failed(tx, booking_id).await? {
                    match self.retry_refund(tx, refund).await {
                        // The money has gone back by another one.
                        Ok(()) | Err(RefundError::Exceeds(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                let payments = store::payment_list(tx, booking_id).await?;
                let amount: Paise = payments.iter().map(Payment::refundable).sum();
                if amount == Paise::ZERO {
                    return Ok(());
                }
                let nth = store::request_list(tx, booking_id).await?.len();
                let request = RefundRequest {
                    key: format!("all:{booking_id}:{nth}"),
                    booking_id,
                    participant_id: None,
                    payment_id: None,
                    amount,
                    kind: RefundKind::Full,
                    reason: reason.chars().take(REASON_CHARS_MAX).collect(),
                    requested_by: "system".into(),
                };
                self.queue_refund(tx, &request).await.map(drop)
            })
            .await?;
        self.env.wake_relay().await;
        self.wake_refunds().await;
        Ok(())
    }

    /// Refunds that were asked for of a booking, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn requested_refunds(&self, booking_id: Id) -> Result<Vec<RequestedRefund>, RefundError> {
        Ok(store::request_list(&self.db, booking_id).await?)
    }

    /// A refund that waits to be executed; one of an offline payment waits for staff, one
    /// that goes to a voucher has arrived with this.
    pub(super) async fn insert_refund(
        &self,
        tx: &Tx,
        payment: &Payment,
        amount: Paise,
        purpose: Purpose<'_>,
    ) -> Result<(), PaymentError> {
        let now = self.env.now();
        let nth = store::refund_list(tx, &payment.id).await?.len().to_string();
        let voucher_id = purpose.voucher_id.or(payment.voucher_id);
        let refund = Refund {
            id: Id::derive(&["refund", &payment.id, &nth]),
            payment_id: payment.id.clone(),
            booking_id: payment.booking_id,
            provider: payment.provider,
            provider_id: None,
            amount,
            status: if voucher_id.is_some() { RefundStatus::Success } else { RefundStatus::Processing },
            reason: purpose.reason.to_owned(),
            attempts: 0,
            request_key: purpose.request_key.map(str::to_owned),
            surplus: purpose.surplus,
            retries: 0,
            paid_out: None,
            voucher_id,
            booked: None,
        };
        let asks_provider = voucher_id.is_none() && payment.provider != Provider::Offline;
        store::refund_insert(tx, &refund, asks_provider.then_some(now), now).await?;
        self.note_refund(tx, refund).await?;
        match voucher_id {
            Some(id) => self.renew_voucher(tx, id).await,
            None => Ok(()),
        }
    }

    /// A refund, when it is this transaction's turn with its booking's money.
    pub(super) async fn refund_in_turn(&self, tx: &Tx, id: Id) -> Result<Option<Refund>, PaymentError> {
        let Some(refund) = store::refund_fetch(tx, id).await? else { return Ok(None) };
        if let Some(booking_id) = refund.booking_id {
            store::booking_turn(tx, booking_id).await?;
        }
        Ok(store::refund_fetch(tx, id).await?)
    }

    /// Stores where a refund stands, brings the book to it, and tells the others of what
    /// the book did not show yet.
    pub(super) async fn note_refund(&self, tx: &Tx, mut refund: Refund) -> Result<(), PaymentError> {
        let now = self.env.now();
        let before = refund.booked;
        let news = before != Some(refund.status);
        let payment = store::payment_fetch(tx, &refund.payment_id).await?;
        if let Some(payment) = &payment {
            if let Some(transfer) = domain::refund_transfer(payment, &refund) {
                store::ledger_post(tx, &transfer, now).await?;
                if let Some(booking_id) = payment.booking_id {
                    self.unearn(tx, booking_id).await?;
                }
            }
            refund.booked = Some(refund.status);
        }
        store::refund_settle(tx, &refund, now).await?;
        if let (RefundStatus::Success, Some(booking_id)) = (refund.status, refund.booking_id) {
            store::promo_use_return(tx, booking_id).await?;
        }
        // Heard of before its payment: capture posts and tells of it.
        let Some(payment) = payment.filter(|_| news) else { return Ok(()) };
        let requested = match &refund.request_key {
            Some(key) => store::request_fetch(tx, key).await?.map(|requested| requested.request),
            None => None,
        };
        let asked_by = requested.as_ref().filter(|_| before.is_none()).map(|request| request.requested_by.clone());
        self.note_refund_change(tx, &refund, before, asked_by).await?;
        self.tell_refund(tx, &payment, &refund, requested.as_ref()).await
    }

    /// What goes back after it was earned is taken out of the revenue.
    async fn unearn(&self, tx: &Tx, booking_id: Id) -> Result<(), PaymentError> {
        let earning = store::ledger_earning(tx, booking_id).await?;
        for transfer in domain::unearn_transfers(booking_id, earning) {
            store::ledger_post(tx, &transfer, self.env.now()).await?;
        }
        Ok(())
    }

    /// Of money that belongs to no booking nobody is told.
    async fn tell_refund(
        &self,
        tx: &Tx,
        payment: &Payment,
        refund: &Refund,
        requested: Option<&RefundRequest>,
    ) -> Result<(), PaymentError> {
        if refund.status == RefundStatus::Failed {
            let fields: [(&str, &dyn std::fmt::Display); 2] = [("refund", &refund.id), ("payment", &payment.id)];
            cairn_shared::log::error("a refund failed: staff have to look at it", &fields);
        }
        let (None, Some(booking_id), false) = (payment.problem, payment.booking_id, refund.surplus) else {
            return Ok(());
        };
        let news = News::Refunded {
            booking_id,
            payment_id: &payment.id,
            refund_id: refund.id,
            amount_paise: refund.amount.0,
            status: refund.status,
            at: self.env.now().millis(),
            key: requested.map(|request| request.key.as_str()),
            participant_id: requested.and_then(|request| request.participant_id),
            kind: requested.map(|request| request.kind),
        };
        Ok(self.tell(tx, news, false).await?)
    }
}

/// Payments of which booking has yet to hear.
pub(super) async fn unheard(tx: &Tx, booking_id: Id, payments: &[Payment]) -> Result<BTreeSet<String>, DbError> {
    let mut unheard = BTreeSet::new();
    for payment in payments {
        if events::waits(tx, "booking", booking_id, &payment.id).await? {
            unheard.insert(payment.id.clone());
        }
    }
    Ok(unheard)
}
