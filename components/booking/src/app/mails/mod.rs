//! Mails about bookings: noted with the change they tell of, sent in the background.
//!
//! A note says what to tell whom; the mail is made when it is sent, from the booking as
//! it is then. Notification keeps one mail for each key, so sending twice is harmless.

mod compose;
mod message;

use cairn_shared::{
    Id, Timestamp, Tx, log,
    time::{HOUR, MINUTE},
};
use serde::{Deserialize, Serialize};

pub use message::{Attachment, Mail, MailError, Message, News, Person, RefundNews, Trip};

use super::{App, BookingError};
use crate::{
    domain::{Booking, Participant, Payment, RequestKind},
    store,
};

/// Mails of one run; the next run sends the rest.
const RUN_MAILS_MAX: i64 = 50;

/// Longest wait between two attempts, in ms.
const BACKOFF_MAX: i64 = HOUR;

/// What a mail is to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(super) enum MailIntent {
    PaymentReceived {
        payment_id: String,
    },
    /// To the booker.
    Confirmed,
    /// To a participant, who is not told the price.
    ConfirmedParticipant {
        name: String,
        email: String,
    },
    /// All of the booking; to the booker.
    Cancelled,
    /// Some of the participants; to the booker.
    ParticipantsCancelled {
        participants: Vec<Id>,
    },
    /// To a participant.
    SeatCancelled {
        name: String,
        email: String,
        reason: String,
    },
    /// A seat went from one person to another.
    SeatTransferred {
        /// Name and address; none: the booker.
        to: Option<(String, String)>,
        old_name: String,
        new_name: String,
    },
    /// To the booker: who comes has to be declared fit.
    DeclarationWanted,
    /// To staff.
    DeclarationReceived {
        name: String,
    },
    DeclarationApproved {
        name: String,
    },
    DeclarationRefused {
        name: String,
    },
    DatesChanged {
        old_start: Timestamp,
        old_end: Timestamp,
        /// What staff answered to a request for it.
        answer: Option<String>,
    },
    RequestDeclined {
        request: RequestKind,
        answer: String,
    },
    /// To staff.
    RequestReceived {
        request: RequestKind,
        reason: String,
        wanted_start: Option<Timestamp>,
    },
    /// A booking was cancelled because its balance was not paid in time.
    UnpaidCancelled {
        balance_paise: i64,
        due: Timestamp,
    },
    BalanceReminder,
    /// To who is to pay a share.
    ShareAsked {
        share: Id,
    },
    /// To who has paid a share, by the payment.
    SharePaid {
        payment_id: String,
    },
    DetailsReminder,
    TripReminder,
    Invoice,
    /// The batch is called off, and the booker can choose what becomes of the money.
    CalledOff,
    /// Money became a voucher, by the key of the refund.
    VoucherIssued {
        key: String,
    },
}

impl MailIntent {
    /// The part of a mail's key that tells it from the others of its booking and occasion.
    fn label(&self) -> String {
        // Addresses may be longer than a key; the derived id of one is not.
        let addressed = |label: &str, email: &str| format!("{label}/{}", Id::derive(&[email]));
        match self {
            Self::PaymentReceived { .. } => "payment".into(),
            Self::Confirmed => "confirmed".into(),
            Self::ConfirmedParticipant { email, .. } => addressed("confirmed", email),
            Self::Cancelled => "cancelled".into(),
            Self::ParticipantsCancelled { .. } => "participants-cancelled".into(),
            Self::SeatCancelled { email, .. } => addressed("seat-cancelled", email),
            Self::SeatTransferred { to: None, .. } => "seat-transferred".into(),
            Self::SeatTransferred { to: Some((_, email)), .. } => addressed("seat-transferred", email),
            Self::DeclarationWanted => "declaration-wanted".into(),
            Self::DeclarationReceived { .. } => "declaration-received".into(),
            Self::DeclarationApproved { .. } => "declaration-approved".into(),
            Self::DeclarationRefused { .. } => "declaration-refused".into(),
            Self::DatesChanged { .. } => "dates-changed".into(),
            Self::RequestDeclined { .. } => "request-declined".into(),
            Self::RequestReceived { .. } => "request-received".into(),
            Self::UnpaidCancelled { .. } => "unpaid-cancelled".into(),
            Self::BalanceReminder => "balance-reminder".into(),
            Self::ShareAsked { share } => format!("share-asked/{share}"),
            Self::SharePaid { .. } => "share-paid".into(),
            Self::DetailsReminder => "details-reminder".into(),
            Self::TripReminder => "trip-reminder".into(),
            Self::Invoice => "invoice".into(),
            Self::CalledOff => "called-off".into(),
            Self::VoucherIssued { .. } => "voucher".into(),
        }
    }
}

impl App {
    /// Notes a mail, once for each `occasion`.
    pub(super) async fn queue(
        &self,
        tx: &Tx,
        booking: &Booking,
        intent: &MailIntent,
        occasion: &str,
    ) -> Result<(), BookingError> {
        let key = format!("booking/{}/{}/{occasion}", booking.id, intent.label());
        Ok(store::mail_insert(tx, &key, booking.id, intent, self.now()).await?)
    }

    /// Notes the mails about shares that follow from a payment: its receipt, or once the
    /// owner has paid, the links to everybody else.
    pub(super) async fn queue_shares(&self, tx: &Tx, booking: &Booking, payment: &Payment) -> Result<(), BookingError> {
        match payment.share {
            Some(_) => {
                let receipt = MailIntent::SharePaid { payment_id: payment.id.clone() };
                self.queue(tx, booking, &receipt, &payment.id).await
            }
            None => self.queue_share_requests(tx, booking, &payment.id).await,
        }
    }

    /// Notes that everybody whose share is open is to be asked for it.
    pub(super) async fn queue_share_requests(
        &self,
        tx: &Tx,
        booking: &Booking,
        occasion: &str,
    ) -> Result<(), BookingError> {
        for (share, _) in booking.open_shares() {
            self.queue(tx, booking, &MailIntent::ShareAsked { share: share.id }, occasion).await?;
        }
        Ok(())
    }

    /// Notes the confirmation for the booker and for every participant with another address.
    pub(super) async fn queue_confirmations(&self, tx: &Tx, booking: &Booking) -> Result<(), BookingError> {
        self.queue_confirmations_for(tx, booking, &booking.version.to_string()).await
    }

    /// As [`App::queue_confirmations`], once more for each `occasion`.
    pub(super) async fn queue_confirmations_for(
        &self,
        tx: &Tx,
        booking: &Booking,
        occasion: &str,
    ) -> Result<(), BookingError> {
        for intent in confirmations(booking) {
            self.queue(tx, booking, &intent, occasion).await?;
        }
        Ok(())
    }

    /// Hands due mails to notification. Answers how many it did not take.
    ///
    /// A crash after a mail was taken and before its note is deleted sends it again
    /// under the same key, which notification keeps once.
    ///
    /// # Errors
    /// The database's.
    pub async fn send_mails(&self) -> Result<usize, BookingError> {
        let mut left = 0;
        for due in store::mail_list_due::<MailIntent>(&self.db, self.now(), RUN_MAILS_MAX).await? {
            let sent = match self.mail(&due.key, due.booking_id, &due.mail).await {
                Ok(Some(mail)) => self.peers.mail(&mail).await,
                Ok(None) => Ok(()),
                Err(BookingError::Unavailable(cause)) => Err(MailError::Unavailable(cause)),
                Err(error) => return Err(error),
            };
            match sent {
                Ok(()) => store::mail_delete(&self.db, &due.key).await?,
                Err(MailError::Invalid(problem)) => {
                    log::error("a mail cannot be sent and is given up", &[("key", &due.key), ("problem", &problem)]);
                    store::mail_delete(&self.db, &due.key).await?;
                }
                Err(MailError::Unavailable(cause)) => {
                    log::warn("a mail was not taken and is kept", &[("key", &due.key), ("cause", &cause)]);
                    let wait = MINUTE.saturating_mul(1 << due.attempts.clamp(0, 16)).min(BACKOFF_MAX);
                    store::mail_postpone(&self.db, &due.key, self.now().plus(wait)).await?;
                    left += 1;
                }
            }
        }
        Ok(left)
    }
}

/// The confirmation for the booker and for every participant with another address.
pub(super) fn confirmations(booking: &Booking) -> Vec<MailIntent> {
    let others = elsewhere(booking).filter(|participant| !participant.is_cancelled);
    let others = others.map(|participant| MailIntent::ConfirmedParticipant {
        name: participant.name.clone(),
        email: participant.email.clone(),
    });
    std::iter::once(MailIntent::Confirmed).chain(others).collect()
}

/// Participants with an address of their own.
fn elsewhere(booking: &Booking) -> impl Iterator<Item = &Participant> {
    booking.participants.iter().filter(|participant| has_own_address(booking, participant))
}

/// Whether a participant is reached elsewhere than the booker.
pub(super) fn has_own_address(booking: &Booking, participant: &Participant) -> bool {
    !participant.email.is_empty() && !participant.email.eq_ignore_ascii_case(&booking.contact.email)
}
