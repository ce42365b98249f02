//! Refunds at the provider: asked for, followed up, heard of.

use cairn_shared::{Id, Paise, Tx};
use serde_json::json;

use super::App;
use crate::{
    domain::{self, PaymentError, Refund, RefundStatus},
    provider::{self, ProviderError, RefundCreate},
    store,
};

/// Refunds of one run of the job.
const REFUNDS_PER_RUN_MAX: i64 = 50;

/// The provider's name for the refund in its notes, where ours stands.
const NOTE: &str = "refundId";

impl App {
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
        let (mut done, mut silent) = (0, Vec::new());
        for refund in due {
            // While a provider does not answer, one question is enough.
            if silent.contains(&refund.provider) {
                continue;
            }
            let next = domain::retry_at(refund.attempts, self.env.now());
            if !store::refund_claim(&self.db, &refund, next).await? {
                continue;
            }
            let mut others = Vec::new();
            let answer = match &refund.provider_id {
                Some(provider_id) => self.ask_about_refund(&refund, provider_id).await,
                None => self.ask_for_refund(&refund, &mut others).await,
            };
            done += 1;
            // What somebody made in the dashboard may be why there was nothing left for ours:
            // staff must not pay that out by hand once more.
            for other in &others {
                self.db.transaction(async |tx| self.take_refund(tx, other).await).await?;
            }
            match answer {
                Ok(made) => self.take_answer(&refund, &made).await?,
                Err(error) => {
                    if let ProviderError::Unknown(_) = error {
                        silent.push(refund.provider);
                    }
                    self.refund_unanswered(refund, error).await?;
                }
            }
        }
        self.env.wake_relay().await;
        Ok(done)
    }

    async fn ask_about_refund(&self, refund: &Refund, provider_id: &str) -> Result<provider::Refund, ProviderError> {
        self.providers.ask(refund.provider, |adapter| adapter.refund_fetch(provider_id)).await
    }

    /// Has a refund made. `others` gets what else the provider made of the same payment,
    /// where it had to be asked for that.
    async fn ask_for_refund(
        &self,
        refund: &Refund,
        others: &mut Vec<provider::Refund>,
    ) -> Result<provider::Refund, ProviderError> {
        // Asked before: it may have worked although nobody said so, and a provider does not
        // remember keys for ever.
        if (refund.retries > 0 || refund.attempts > 0)
            && let Some(made) = self.made_refund(refund, others).await?
        {
            return Ok(made);
        }
        let create = refund_create(refund);
        let refused = match self.providers.ask(refund.provider, |adapter| adapter.refund_create(&create)).await {
            Err(ProviderError::Refused(cause)) => cause,
            answer => return answer,
        };
        // An earlier attempt may have worked, and its key been forgotten.
        self.made_refund(refund, others).await?.ok_or(ProviderError::Refused(refused))
    }

    /// What the provider has made for this row, unless it failed.
    async fn made_refund(
        &self,
        refund: &Refund,
        others: &mut Vec<provider::Refund>,
    ) -> Result<Option<provider::Refund>, ProviderError> {
        let made = self.providers.ask(refund.provider, |adapter| adapter.payment_refunds(&refund.payment_id)).await?;
        let (ours, theirs): (Vec<_>, Vec<_>) = made.into_iter().partition(|made| made.notes.get(NOTE).is_some());
        *others = theirs;
        Ok(ours.into_iter().find(|made| is_ours(made, refund) && made.status != provider::RefundStatus::Failed))
    }

    async fn take_answer(&self, refund: &Refund, made: &provider::Refund) -> Result<(), PaymentError> {
        self.db
            .transaction(async |tx| {
                let Some(stored) = self.refund_in_turn(tx, refund.id).await? else { return Ok(()) };
                if stored.retries == refund.retries {
                    return self.hear_refund(tx, stored, made).await;
                }
                // An answer to a question before the last retry is as good as a delivery.
                self.take_refund(tx, made).await
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
                let fail = async |tx: &Tx| match self.refund_in_turn(tx, refund.id).await? {
                    Some(stored) if stored.retries == refund.retries => {
                        self.settle_refund(tx, stored, RefundStatus::Failed).await
                    }
                    _ => Ok(()),
                };
                self.db.transaction(fail).await
            }
        }
    }

    /// Takes what the provider tells of a refund, ours or one made in its dashboard.
    pub(super) async fn take_refund(&self, tx: &Tx, told: &provider::Refund) -> Result<(), PaymentError> {
        let payment = store::payment_fetch(tx, &told.payment_id).await?;
        let booking_id = payment.and_then(|payment| payment.booking_id);
        if let Some(booking_id) = booking_id {
            store::booking_turn(tx, booking_id).await?;
        }
        if let Some(known) = self.known_refund(tx, told).await? {
            return self.hear_refund(tx, known, told).await;
        }
        // Told again of one that failed and is being tried again.
        let failed = store::refund_fetch_by_failure(tx, &told.id).await?.is_some();
        if told.amount <= 0 || (failed && told.status != provider::RefundStatus::Processed) {
            return Ok(());
        }
        let refund = Refund {
            id: Id::derive(&["provider's refund", &told.id]),
            payment_id: told.payment_id.clone(),
            booking_id,
            provider: told.provider,
            provider_id: Some(told.id.clone()),
            amount: Paise(told.amount),
            status: told.status.into(),
            reason: "made at the provider".into(),
            attempts: 0,
            request_key: None,
            surplus: false,
            retries: 0,
            paid_out: None,
            voucher_id: None,
            booked: None,
        };
        let now = self.env.now();
        store::refund_insert(tx, &refund, Some(domain::retry_at(0, now)), now).await?;
        self.note_refund(tx, refund).await
    }

    /// Our row that the provider tells of: by its id, or by our note where its making was
    /// not answered, or where it failed and has worked after all.
    async fn known_refund(&self, tx: &Tx, told: &provider::Refund) -> Result<Option<Refund>, PaymentError> {
        if let Some(known) = store::refund_fetch_by_provider_id(tx, &told.id).await? {
            return Ok(Some(known));
        }
        let id = told.notes.get(NOTE).and_then(|id| id.as_str()).and_then(|id| id.parse().ok());
        let Some(id) = id else { return Ok(None) };
        let late = store::refund_fetch_by_failure(tx, &told.id).await?.is_some();
        if late && told.status != provider::RefundStatus::Processed {
            return Ok(None);
        }
        let found = store::refund_fetch(tx, id).await?;
        let is_open = |refund: &Refund| refund.provider_id.is_none() && refund.paid_out.is_none();
        Ok(found.filter(|refund| is_open(refund) && is_ours(told, refund)))
    }

    async fn hear_refund(&self, tx: &Tx, mut refund: Refund, told: &provider::Refund) -> Result<(), PaymentError> {
        refund.provider_id = Some(told.id.clone());
        self.settle_refund(tx, refund, told.status.into()).await
    }

    /// Brings a refund to what was heard of it, and the book with it.
    async fn settle_refund(&self, tx: &Tx, mut refund: Refund, heard: RefundStatus) -> Result<(), PaymentError> {
        refund.status = refund.status.after(heard);
        self.note_refund(tx, refund).await
    }
}

fn is_ours(made: &provider::Refund, refund: &Refund) -> bool {
    let noted = made.notes.get(NOTE).and_then(|id| id.as_str());
    noted == Some(refund.id.to_string().as_str())
        && made.payment_id == refund.payment_id
        && made.amount == refund.amount.0
}

/// A retry is another refund to the provider, so it has another key.
fn refund_create(refund: &Refund) -> RefundCreate {
    let key = match refund.retries {
        0 => format!("refund_{}", refund.id),
        retries => format!("refund_{}_{retries}", refund.id),
    };
    RefundCreate {
        payment_id: refund.payment_id.clone(),
        amount: refund.amount,
        idempotency_key: key,
        notes: json!({ NOTE: refund.id, "reason": refund.reason }),
    }
}
