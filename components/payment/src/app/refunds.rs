//! Money on its way back.

use cairn_shared::{Id, Paise, Tx};
use serde_json::json;

use super::{App, News};
use crate::{
    domain::{self, Payment, PaymentError, Refund, RefundStatus},
    provider::{self, ProviderError, RefundCreate},
    store,
};

/// Refunds of one run of the job.
const REFUNDS_PER_RUN_MAX: i64 = 50;

/// The provider's name for the refund in its notes, where ours stands.
const NOTE: &str = "refundId";

impl App {
    /// Queues everything of a booking that is captured and not given back. The rows are
    /// the promise; [`App::execute_refunds`] keeps it. Called again, it finds nothing
    /// left to queue, but for refunds that have failed: these are tried anew.
    ///
    /// # Errors
    /// The database's; then nothing is queued.
    pub async fn refund_all(&self, booking_id: Id, reason: &str) -> Result<(), PaymentError> {
        self.db
            .transaction(async |tx| {
                let payments = store::payment_list(tx, booking_id).await?;
                for (payment, amount) in domain::refund_plan(&payments) {
                    self.insert_refund(tx, payment, amount, reason).await?;
                }
                Ok::<_, PaymentError>(())
            })
            .await?;
        self.env.wake_relay().await;
        self.wake_refunds().await;
        Ok(())
    }

    /// Executes what is due, and asks about what the provider has in hand.
    ///
    /// A row is claimed before the provider is asked and due again later, so a crash
    /// at any point repeats the question. The question carries the row's own
    /// idempotency key, so that it makes one refund however often it is asked.
    /// Answers how many rows were dealt with.
    ///
    /// # Errors
    /// The database's.
    pub async fn execute_refunds(&self) -> Result<usize, PaymentError> {
        let due = store::refund_list_due(&self.db, self.env.now(), REFUNDS_PER_RUN_MAX).await?;
        let mut done = 0;
        for refund in due {
            let next = domain::retry_at(refund.attempts, self.env.now());
            if !store::refund_claim(&self.db, &refund, next).await? {
                continue;
            }
            let answer = match &refund.provider_id {
                Some(provider_id) => self.provider.refund_fetch(provider_id).await,
                None => self.ask_for_refund(&refund).await,
            };
            done += 1;
            match answer {
                Ok(made) => self.record_refund(&refund, &made).await?,
                Err(error) => {
                    let silent = matches!(error, ProviderError::Unknown(_));
                    self.refund_unanswered(refund, error).await?;
                    // While the provider does not answer, one question is enough.
                    if silent {
                        break;
                    }
                }
            }
        }
        self.env.wake_relay().await;
        Ok(done)
    }

    async fn ask_for_refund(&self, refund: &Refund) -> Result<provider::Refund, ProviderError> {
        let refused = match self.provider.refund_create(&refund_create(refund)).await {
            Err(ProviderError::Refused(cause)) => cause,
            answer => return answer,
        };
        // An earlier attempt may have worked, and its key been forgotten.
        let made = self.provider.payment_refunds(&refund.payment_id).await?;
        made.into_iter().find(|made| is_ours(made, refund)).ok_or(ProviderError::Refused(refused))
    }

    async fn record_refund(&self, refund: &Refund, made: &provider::Refund) -> Result<(), PaymentError> {
        self.db
            .transaction(async |tx| {
                let Some(mut stored) = store::refund_fetch(tx, refund.id).await? else { return Ok(()) };
                stored.provider_id = Some(made.id.clone());
                self.settle_refund(tx, stored, made.status.into(), false).await
            })
            .await
    }

    async fn refund_unanswered(&self, refund: Refund, error: ProviderError) -> Result<(), PaymentError> {
        store::refund_note_error(&self.db, refund.id, &error.to_string()).await?;
        let fields: [(&str, &dyn std::fmt::Display); 3] =
            [("refund", &refund.id), ("payment", &refund.payment_id), ("cause", &error)];
        match error {
            ProviderError::Unknown(_) => {
                cairn_shared::log::warn("a refund has no answer yet and is asked for again", &fields);
                Ok(())
            }
            // A refund that the provider has in hand is not undone by a failed question.
            ProviderError::Refused(_) if refund.provider_id.is_some() => {
                cairn_shared::log::error("the provider does not know a refund that it made", &fields);
                Ok(())
            }
            ProviderError::Refused(_) => {
                cairn_shared::log::error("a refund was refused: staff have to look at it", &fields);
                self.db
                    .transaction(async |tx| match store::refund_fetch(tx, refund.id).await? {
                        Some(stored) => self.settle_refund(tx, stored, RefundStatus::Failed, false).await,
                        None => Ok(()),
                    })
                    .await
            }
        }
    }

    /// Takes what the provider tells of a refund, ours or one made in its dashboard.
    pub(super) async fn take_refund(&self, tx: &Tx, told: &provider::Refund) -> Result<(), PaymentError> {
        let known = match store::refund_fetch_by_provider_id(tx, &told.id).await? {
            Some(known) => Some(known),
            None => self.own_refund(tx, told).await?,
        };
        if let Some(mut refund) = known {
            refund.provider_id = Some(told.id.clone());
            return self.settle_refund(tx, refund, told.status.into(), false).await;
        }
        if told.amount <= 0 {
            return Ok(());
        }
        let payment = store::payment_fetch(tx, &told.payment_id).await?;
        let refund = Refund {
            id: Id::derive(&["provider's refund", &told.id]),
            payment_id: told.payment_id.clone(),
            booking_id: payment.and_then(|payment| payment.booking_id),
            provider_id: Some(told.id.clone()),
            amount: Paise(told.amount),
            status: RefundStatus::Processing,
            reason: "made at the provider".into(),
            attempts: 0,
        };
        let now = self.env.now();
        store::refund_insert(tx, &refund, Some(domain::retry_at(0, now)), now).await?;
        self.settle_refund(tx, refund, told.status.into(), true).await
    }

    /// Our row whose making was not answered, when the provider tells of it first.
    async fn own_refund(&self, tx: &Tx, told: &provider::Refund) -> Result<Option<Refund>, PaymentError> {
        let id = told.notes.get(NOTE).and_then(|id| id.as_str()).and_then(|id| id.parse().ok());
        let Some(id) = id else { return Ok(None) };
        let found = store::refund_fetch(tx, id).await?;
        Ok(found.filter(|refund| refund.provider_id.is_none() && is_ours(told, refund)))
    }

    /// Brings a refund to what was heard of it, and the book with it. `anew`: tell the
    /// others even if the status is what it was.
    pub(super) async fn settle_refund(
        &self,
        tx: &Tx,
        mut refund: Refund,
        heard: RefundStatus,
        anew: bool,
    ) -> Result<(), PaymentError> {
        let (before, now) = (refund.status, self.env.now());
        refund.status = before.after(heard);
        store::refund_settle(tx, &refund, now).await?;
        // Heard of before its payment: capture posts and tells of it.
        let Some(payment) = store::payment_fetch(tx, &refund.payment_id).await? else { return Ok(()) };
        if refund.status == RefundStatus::Success {
            let entries = domain::refund_entries(&payment, refund.amount);
            store::ledger_post(tx, &format!("refund:{}", refund.id), &payment.id, &entries, now).await?;
        }
        if refund.status == before && !anew {
            return Ok(());
        }
        if refund.status == RefundStatus::Failed {
            let fields: [(&str, &dyn std::fmt::Display); 2] = [("refund", &refund.id), ("payment", &payment.id)];
            cairn_shared::log::error("a refund failed: staff have to look at it", &fields);
        }
        self.tell_refund(tx, &payment, &refund).await
    }

    /// Of money that belongs to no booking nobody is told.
    pub(super) async fn tell_refund(&self, tx: &Tx, payment: &Payment, refund: &Refund) -> Result<(), PaymentError> {
        let (None, Some(booking_id)) = (payment.problem, payment.booking_id) else { return Ok(()) };
        let news = News::Refunded {
            booking_id,
            payment_id: &payment.id,
            refund_id: refund.id,
            amount_paise: refund.amount.0,
            status: refund.status,
            at: self.env.now().millis(),
        };
        Ok(self.tell(tx, news).await?)
    }
}

fn is_ours(made: &provider::Refund, refund: &Refund) -> bool {
    let noted = made.notes.get(NOTE).and_then(|id| id.as_str());
    noted == Some(refund.id.to_string().as_str())
        && made.payment_id == refund.payment_id
        && made.amount == refund.amount.0
}

fn refund_create(refund: &Refund) -> RefundCreate {
    RefundCreate {
        payment_id: refund.payment_id.clone(),
        amount: refund.amount,
        idempotency_key: format!("refund_{}", refund.id),
        notes: json!({ NOTE: refund.id, "reason": refund.reason }),
    }
}
