//! Mails that staff have sent.

use cairn_shared::{Id, time::MINUTE};

use super::{App, BookingError, mails::MailIntent, noting::Deed};
use crate::domain::{Booking, Refusal, Status};

/// What staff have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    TripReminder,
    BalanceReminder,
    Confirmation,
    Invoice,
    DetailsReminder,
}

impl App {
    /// Has a mail sent about a booking. Asked for again within the minute it is the same
    /// mail: people press buttons twice.
    ///
    /// # Errors
    /// [`BookingError`] says why there is nothing to send.
    pub async fn send_letter(&self, id: Id, letter: Letter) -> Result<Booking, BookingError> {
        let now = self.now();
        let occasion = format!("desk-{}", now.millis().div_euclid(MINUTE));
        let booking = self
            .db
            .transaction(async |tx| {
                let mut booking = self.visible(tx, id).await?;
                match letter {
                    Letter::TripReminder => self.queue(tx, &booking, &MailIntent::TripReminder, &occasion).await?,
                    Letter::Invoice => self.queue(tx, &booking, &MailIntent::Invoice, &occasion).await?,
                    Letter::Confirmation => self.queue_confirmations_for(tx, &booking, &occasion).await?,
                    Letter::DetailsReminder => {
                        if !booking.participants.is_empty() {
                            return Err(BookingError::Refused(Refusal::DetailsKnown));
                        }
                        self.queue(tx, &booking, &MailIntent::DetailsReminder, &occasion).await?;
                    }
                    Letter::BalanceReminder => {
                        if booking.status != Status::PaymentConfirmedPartial {
                            return Err(Refusal::NotPartial.into());
                        }
                        let partial = booking.partial.as_mut().ok_or(Refusal::NoInstalments)?;
                        if partial.reminder_sent_at.replace(now).is_some() {
                            return Err(Refusal::Reminded.into());
                        }
                        self.save_as(tx, &mut booking, None, Deed::of("remind")).await?;
                        self.queue(tx, &booking, &MailIntent::BalanceReminder, &occasion).await?;
                    }
                }
                Ok::<_, BookingError>(booking)
            })
            .await?;
        self.wake().await;
        Ok(booking)
    }
}
