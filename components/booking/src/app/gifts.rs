//! Vouchers that are bought for somebody: paid as a booking is, then made a voucher, then
//! mailed on their day.
//!
//! A gift's state says what is to be done next, and the job does it: each step is one call
//! of another service that may be repeated, and the move to the next state. So whoever dies
//! in between leaves a step that is done once more.

use cairn_shared::{
    Id, Tx,
    events::{self, Event},
    identity::Caller,
    log,
    page::Page,
};
use serde_json::{Value, json};

use super::{App, BookingError, Mail, MailError, Message, RefundError};
use crate::{
    domain::{Gift, GiftStatus, NewGift, Payment, Refusal, gift},
    store,
};

/// Makes vouchers of gifts that were paid, mails them, gives money back.
pub const GIFTS_PATH: &str = "/_jobs/gifts";

/// Gifts that one run of the job takes on.
const RUN_GIFTS_MAX: i64 = 100;

/// Gifts in somebody's list.
const LIST_MAX: i64 = 200;

impl App {
    /// Makes a gift that waits to be paid, as a booking does: by an order for its id.
    ///
    /// # Errors
    /// What is wrong with it, and a payment service that does not answer; then the gift is
    /// over after an hour.
    pub async fn gift_create(&self, caller: &Caller, new: &NewGift) -> Result<Gift, BookingError> {
        let made = gift(new, caller.id, self.env.id(), self.now()).map_err(BookingError::Invalid)?;
        self.db
            .transaction(async |tx| {
                store::gift_insert(tx, &made).await?;
                self.note_gift(tx, "gift.create", &made, None).await
            })
            .await?;
        self.peers.open(&made.payable()).await.map_err(BookingError::Sale)?;
        Ok(made)
    }

    async fn note_gift(
        &self,
        tx: &Tx,
        action: &str,
        gift: &Gift,
        before: Option<GiftStatus>,
    ) -> Result<(), BookingError> {
        let before = before.map_or(Value::Null, |status| json!({ "status": status.as_str() }));
        let after = json!({ "status": gift.status.as_str(), "amount": gift.amount, "buyer": gift.buyer_id });
        self.note_record(tx, action, gift.id, before, after).await
    }

    /// The caller's gifts, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn gifts_of(&self, buyer: Id) -> Result<Vec<Gift>, BookingError> {
        Ok(store::gift_list_of_buyer(&self.db, buyer, LIST_MAX).await?)
    }

    /// All gifts, newest first, and how many there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn gift_page(&self, page: Page) -> Result<(Vec<Gift>, i64), BookingError> {
        Ok(store::gift_page(&self.db, page).await?)
    }

    /// Whether captured money is for a gift: then it is noted. The voucher is made by the
    /// job: payment waits for this answer, and calling it from here could have both wait.
    pub(super) async fn take_gift(&self, event: &Event, id: Id, payment: &Payment) -> Result<bool, BookingError> {
        let taken = self.db.transaction(async |tx| {
            let Some(gift) = store::gift_fetch(tx, id).await? else { return Ok(false) };
            if events::first_time(tx, event, self.now()).await? && store::gift_pay(tx, id, &payment.id).await? {
                let paid = Gift { status: GiftStatus::Paid, ..gift.clone() };
                self.note_gift(tx, "gift.pay", &paid, Some(gift.status)).await?;
            }
            Ok::<_, BookingError>(true)
        });
        let taken = taken.await?;
        if taken {
            self.env.upstream.wake(self.env.service, GIFTS_PATH).await;
        }
        Ok(taken)
    }

    /// Gives the money of a gift back of which nothing was spent. Its voucher is void then.
    ///
    /// # Errors
    /// [`BookingError`] says why not; then nothing has changed, unless it is that payment
    /// does not answer: then the job goes on with it.
    pub async fn gift_return(&self, caller: &Caller, id: Id) -> Result<Gift, BookingError> {
        let found = store::gift_fetch(&self.db, id).await?;
        let found = found.filter(|gift| gift.buyer_id == caller.id || caller.is_admin());
        let found = found.ok_or(Refusal::GiftNotFound)?;
        match found.status {
            GiftStatus::Returned => return Ok(found),
            GiftStatus::Issued | GiftStatus::Returning => {}
            GiftStatus::Paid => return Err(BookingError::Busy),
            GiftStatus::Open | GiftStatus::Expired => return Err(Refusal::GiftUnpaid.into()),
        }
        self.db
            .transaction(async |tx| {
                let returning = Gift { status: GiftStatus::Returning, ..found.clone() };
                match store::gift_move(tx, id, GiftStatus::Issued, GiftStatus::Returning).await? {
                    true => self.note_gift(tx, "gift.return", &returning, Some(found.status)).await,
                    false => Ok(()),
                }
            })
            .await?;
        self.gift_step(&Gift { status: GiftStatus::Returning, ..found }).await?;
        let gift = store::gift_fetch(&self.db, id).await?.ok_or(Refusal::GiftNotFound)?;
        match gift.status {
            GiftStatus::Issued => Err(Refusal::GiftSpent.into()),
            _ => Ok(gift),
        }
    }

    /// The job. Answers how many gifts are left for the next run.
    ///
    /// # Errors
    /// The database's.
    pub async fn gifts_run(&self) -> Result<usize, BookingError> {
        let mut left = 0;
        for gift in store::gift_list_due(&self.db, self.now(), RUN_GIFTS_MAX).await? {
            if let Err(error) = self.gift_step(&gift).await {
                log::warn("a gift is left for later", &[("gift", &gift.id), ("cause", &format!("{error:?}"))]);
                left += 1;
            }
        }
        Ok(left)
    }

    /// Does what a gift's state asks for.
    async fn gift_step(&self, gift: &Gift) -> Result<(), BookingError> {
        let moved = async |to| store::gift_move(&self.db, gift.id, gift.status, to).await.map(drop);
        match gift.status {
            GiftStatus::Open => {
                self.peers.close(gift.id).await?;
                moved(GiftStatus::Expired).await?;
            }
            GiftStatus::Paid => match self.peers.gift(gift).await {
                Ok(()) => {
                    moved(GiftStatus::Issued).await?;
                    if gift.deliver_at <= self.now() {
                        self.gift_mail(&Gift { status: GiftStatus::Issued, ..gift.clone() }).await?;
                    }
                }
                Err(RefundError::Refused(problem)) => {
                    let fields: [(&str, &dyn std::fmt::Display); 2] = [("gift", &gift.id), ("problem", &problem)];
                    log::error("a gift that was paid became no voucher: its money goes back", &fields);
                    self.peers.refund_all(gift.id, "It could not be made a voucher").await?;
                    moved(GiftStatus::Returned).await?;
                }
                Err(RefundError::Unavailable(cause)) => return Err(BookingError::Unavailable(cause)),
            },
            GiftStatus::Issued => self.gift_mail(gift).await?,
            GiftStatus::Returning => match self.peers.gift_return(gift).await {
                Ok(()) => moved(GiftStatus::Returned).await?,
                // Some of it was spent.
                Err(RefundError::Refused(_)) => moved(GiftStatus::Issued).await?,
                Err(RefundError::Unavailable(cause)) => return Err(BookingError::Unavailable(cause)),
            },
            GiftStatus::Returned | GiftStatus::Expired => {}
        }
        Ok(())
    }

    /// Mails the code; notification keeps one mail of a key.
    async fn gift_mail(&self, gift: &Gift) -> Result<(), BookingError> {
        if gift.mailed_at.is_some() {
            return Ok(());
        }
        let issued = match self.peers.voucher(&gift.key()).await {
            Ok(issued) => issued,
            Err(RefundError::Unavailable(cause) | RefundError::Refused(cause)) => {
                return Err(BookingError::Unavailable(cause));
            }
        };
        let mail = Mail {
            key: gift.key(),
            name: gift.card.to.clone(),
            email: gift.card.email.clone(),
            message: Message::Gift {
                from: gift.card.from.clone(),
                words: gift.card.words.clone(),
                code: issued.code,
                amount: issued.amount,
                expires_at: issued.expires_at,
            },
            attachments: Vec::new(),
        };
        match self.peers.mail(&mail).await {
            Ok(()) => {}
            Err(MailError::Unavailable(cause)) => return Err(BookingError::Unavailable(cause)),
            Err(MailError::Invalid(problem)) => {
                log::error(
                    "a gift cannot be mailed: its buyer has the code",
                    &[("gift", &gift.id), ("problem", &problem)],
                );
            }
        }
        Ok(store::gift_mailed(&self.db, gift.id, self.now()).await?)
    }
}
