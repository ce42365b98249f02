//! Mails about bookings: noted with the change they tell of, sent in the background.
//!
//! A note says what to tell whom; the mail is made when it is sent, from the booking as
//! it is then. Notification keeps one mail for each key, so sending twice is harmless.

use cairn_shared::{
    Id, Paise, Timestamp, Tx, log,
    time::{HOUR, MINUTE},
};
use serde::{Deserialize, Serialize};

use super::{App, BookingError};
use crate::{
    domain::{Booking, Contact},
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
    Cancelled,
    Invoice,
}

impl MailIntent {
    fn label(&self) -> String {
        match self {
            Self::PaymentReceived { .. } => "payment".into(),
            Self::Confirmed => "confirmed".into(),
            Self::ConfirmedParticipant { email, .. } => format!("confirmed/{email}"),
            Self::Cancelled => "cancelled".into(),
            Self::Invoice => "invoice".into(),
        }
    }
}

/// A trip as mails name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    pub booking_id: Id,
    pub booking_code: String,
    pub trek_name: String,
    pub start: Timestamp,
    pub end: Timestamp,
    pub participants: Vec<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    PaymentReceived {
        trip: Trip,
        amount: Paise,
        remaining: Paise,
        due: Option<Timestamp>,
        method: String,
        payment_id: String,
    },
    BookingConfirmed {
        trip: Trip,
        total: Option<Paise>,
        requests: String,
    },
    BookingCancelled {
        trip: Trip,
        refund: Paise,
        reason: String,
    },
    Invoice(Trip),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub file_name: String,
    pub content_type: &'static str,
    pub content: Vec<u8>,
}

/// A mail as notification takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same key is queued once.
    pub key: String,
    pub name: String,
    pub email: String,
    pub message: Message,
    pub attachments: Vec<Attachment>,
}

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailError {
    /// It never will be.
    Invalid(String),
    Unavailable(String),
}

fn trip(booking: &Booking) -> Trip {
    let named = booking.participants.iter().filter(|participant| !participant.is_cancelled);
    Trip {
        booking_id: booking.id,
        booking_code: booking.code(),
        trek_name: booking.trek_name.clone(),
        start: booking.batch_start,
        end: booking.batch_end,
        participants: named.map(|participant| participant.name.clone()).collect(),
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

    /// Notes the confirmation for the booker and for every participant with another address.
    pub(super) async fn queue_confirmations(&self, tx: &Tx, booking: &Booking) -> Result<(), BookingError> {
        let occasion = booking.version.to_string();
        self.queue(tx, booking, &MailIntent::Confirmed, &occasion).await?;
        for participant in booking.participants.iter().filter(|participant| !participant.is_cancelled) {
            if participant.email.eq_ignore_ascii_case(&booking.contact.email) {
                continue;
            }
            let intent =
                MailIntent::ConfirmedParticipant { name: participant.name.clone(), email: participant.email.clone() };
            self.queue(tx, booking, &intent, &occasion).await?;
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
            let sent = match self.mail(&due.key, due.booking_id, &due.mail).await? {
                Some(mail) => self.peers.mail(&mail).await,
                None => Ok(()),
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

    /// The mail that a note stands for; none when there is nothing to tell any more.
    async fn mail(&self, key: &str, booking_id: Id, intent: &MailIntent) -> Result<Option<Mail>, BookingError> {
        let Some(booking) = store::booking_fetch(&self.db, booking_id).await? else { return Ok(None) };
        let Contact { name, email, .. } = booking.contact.clone();
        let to_booker = |message, attachments| Some(Mail { key: key.to_owned(), name, email, message, attachments });
        Ok(match intent {
            MailIntent::PaymentReceived { payment_id } => {
                let Some(payment) = store::payment_fetch(&self.db, payment_id).await? else { return Ok(None) };
                let partial = booking.partial.as_ref().filter(|partial| partial.remaining > Paise::ZERO);
                let message = Message::PaymentReceived {
                    trip: trip(&booking),
                    amount: payment.amount,
                    remaining: partial.map_or(Paise::ZERO, |partial| partial.remaining),
                    due: partial.map(|partial| partial.due),
                    method: payment.method,
                    payment_id: payment.id,
                };
                to_booker(message, self.invoice_attachment(&booking).await?)
            }
            MailIntent::Confirmed => {
                let requests = booking.additional_requests.clone().unwrap_or_default();
                let message =
                    Message::BookingConfirmed { trip: trip(&booking), total: Some(booking.price.total), requests };
                to_booker(message, Vec::new())
            }
            MailIntent::ConfirmedParticipant { name, email } => Some(Mail {
                key: key.to_owned(),
                name: name.clone(),
                email: email.clone(),
                message: Message::BookingConfirmed { trip: trip(&booking), total: None, requests: String::new() },
                attachments: Vec::new(),
            }),
            MailIntent::Cancelled => {
                let (refund, reason) = (booking.refund_amount, booking.cancellation_reason.clone());
                to_booker(Message::BookingCancelled { trip: trip(&booking), refund, reason }, Vec::new())
            }
            MailIntent::Invoice => {
                to_booker(Message::Invoice(trip(&booking)), self.invoice_attachment(&booking).await?)
            }
        })
    }

    async fn invoice_attachment(&self, booking: &Booking) -> Result<Vec<Attachment>, BookingError> {
        let content = self.invoice_of(booking).await?;
        Ok(vec![Attachment {
            file_name: format!("Invoice-{}.pdf", booking.id),
            content_type: "application/pdf",
            content,
        }])
    }
}
