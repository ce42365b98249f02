//! What staff decide about a booking.

use cairn_shared::{Id, Paise};

use super::{App, BookingError, mails::MailIntent};
use crate::{
    domain::{Booking, CancelledBy, RefundStatus, StaffMove, Status, staff_move},
    store::{self, Lease},
};

/// Why a booking is cancelled when staff give no reason.
const ADMIN_CANCELLED: &str = "Admin cancelled";

impl App {
    /// Moves a booking to a state that staff chose, where the state table has such a row.
    ///
    /// Under the lease: a booking that lives again gets its seats first; then the state
    /// is committed with the money received and the mails; then seats and checkout are
    /// settled. A crash before the commit leaves the old state, and the job gives back
    /// what was taken; after it, the job settles the new one. Twice: the second request
    /// finds the new state, from which the table has no such row.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn set_status(&self, id: Id, status: Status) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        staff_move(found.status, status, !found.participants.is_empty()).ok_or(BookingError::InvalidStatus)?;
        let lease = self.new_lease();
        let booking = self.lease(id, &lease).await?;
        let outcome = self.moved(booking, status, &lease).await;
        self.settle_now(id, &lease).await;
        let booking = outcome?;
        self.wake().await;
        // Settling may have changed the row once more.
        Ok(store::booking_fetch(&self.db, id).await?.unwrap_or(booking))
    }

    async fn moved(&self, mut booking: Booking, status: Status, lease: &Lease) -> Result<Booking, BookingError> {
        let now = self.now();
        let step =
            staff_move(booking.status, status, !booking.participants.is_empty()).ok_or(BookingError::InvalidStatus)?;
        let mut payment = None;
        match step {
            StaffMove::Paid(next) => {
                payment = self.offline_payment(&booking);
                if let Some(payment) = &payment {
                    booking.accept(payment, next);
                }
                booking.status = next;
            }
            StaffMove::Confirm => booking.status = Status::Confirmed,
            StaffMove::CompleteTrek => booking.status = Status::TrekCompleted,
            StaffMove::Cancel => {
                booking.cancel(CancelledBy::Admin, ADMIN_CANCELLED, now);
                booking.refund_status = RefundStatus::NotApplicable;
            }
            StaffMove::Restore => {
                if booking.refund_status != RefundStatus::NotApplicable || booking.refunded > Paise::ZERO {
                    return Err(BookingError::Refunded);
                }
                if booking.batch_start <= now {
                    return Err(BookingError::BatchClosed);
                }
                let mut staff_seats = booking.clone();
                staff_seats.admin_created = true;
                self.seat(&staff_seats).await?;
                booking.restore();
            }
        }
        self.db
            .transaction(async |tx| {
                let mut booking = booking.clone();
                if let Some(payment) = &payment {
                    store::payment_insert(tx, booking.id, payment).await?;
                }
                if booking.status.is_paid() && booking.paid > Paise::ZERO {
                    let year = self.env.zone.financial_year(now);
                    store::invoice_issue(tx, booking.id, super::invoices::prefix(&booking), year, now).await?;
                }
                self.save(tx, &mut booking, Some(lease)).await?;
                match booking.status {
                    Status::Confirmed => {
                        self.queue(tx, &booking, &MailIntent::Invoice, &booking.version.to_string()).await?;
                    }
                    _ => {}
                }
                Ok(booking)
            })
            .await
    }
}
