//! Bringing seats and checkout in line with a booking, and ending sessions.

use cairn_shared::{Id, log};

use super::{App, BookingError, SeatsError, Unavailable};
use crate::{
    domain::{Booking, CreateError, Status, payable},
    store::{self, Lease},
};

/// Bookings that one run of the job takes on; the next run takes the rest.
const RUN_BOOKINGS_MAX: i64 = 200;

impl From<SeatsError> for BookingError {
    fn from(error: SeatsError) -> Self {
        match error {
            SeatsError::BatchNotFound | SeatsError::Closed => Self::BatchClosed,
            SeatsError::SoldOut | SeatsError::NoHold => Self::BatchFull,
            SeatsError::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl App {
    /// The job: ends sessions that are over, and settles bookings on which work died.
    /// Answers how many could not be done and are left for the next run.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire(&self) -> Result<usize, BookingError> {
        let mut left = 0;
        for id in store::booking_ids_overdue(&self.db, self.now(), RUN_BOOKINGS_MAX).await? {
            left += usize::from(!self.done(id, self.retire(id).await));
        }
        Ok(left + self.settle_left().await?)
    }

    /// Settles bookings on which work stopped, or was left to the job. Answers how many
    /// could not be settled.
    ///
    /// # Errors
    /// The database's.
    pub async fn settle_left(&self) -> Result<usize, BookingError> {
        let mut left = 0;
        for id in store::booking_ids_unsettled(&self.db, self.now(), RUN_BOOKINGS_MAX).await? {
            let lease = self.new_lease();
            let outcome = async {
                self.lease(id, &lease).await?;
                self.settle(id, &lease).await
            };
            left += usize::from(!self.done(id, outcome.await));
        }
        Ok(left)
    }

    fn done(&self, id: Id, outcome: Result<(), BookingError>) -> bool {
        match outcome {
            Ok(()) | Err(BookingError::NotFound | BookingError::Busy) => true,
            Err(error) => {
                log::warn(
                    "a booking could not be settled and is left for later",
                    &[("booking", &id), ("cause", &format!("{error:?}"))],
                );
                false
            }
        }
    }

    /// Ends an unpaid booking whose session is over, or one that was never finished.
    ///
    /// The row expires first, in one transaction with its archive record; then seats
    /// and checkout are released. A crash in between leaves the lease, and the job
    /// releases. A booking paid or renewed meanwhile stays as it is.
    ///
    /// # Errors
    /// [`BookingError::Busy`] while somebody else works on it.
    pub(super) async fn retire(&self, id: Id) -> Result<(), BookingError> {
        let lease = self.new_lease();
        let mut booking = self.lease(id, &lease).await?;
        if booking.session_over(self.now()) {
            self.mark_expired(&mut booking, &lease).await?;
        }
        self.settle(id, &lease).await?;
        Ok(())
    }

    async fn mark_expired(&self, booking: &mut Booking, lease: &Lease) -> Result<(), BookingError> {
        booking.status = Status::Expired;
        self.db
            .transaction(async |tx| {
                store::failed_booking_insert(tx, self.env.id(), booking, "system", self.now()).await?;
                self.save(tx, booking, Some(lease)).await
            })
            .await
    }

    /// As [`App::settle`], for those who have an error to answer already: what fails
    /// here is left to the job.
    pub(super) async fn settle_now(&self, id: Id, lease: &Lease) {
        if let Err(error) = self.settle(id, lease).await {
            log::warn("a booking is left for the job to settle", &[("booking", &id), ("cause", &format!("{error:?}"))]);
        }
    }

    /// Makes seats and checkout what the row says, then ends the lease. Every step may
    /// be repeated; a failure leaves the lease to run out.
    ///
    /// # Errors
    /// A service that does not answer.
    pub(super) async fn settle(&self, id: Id, lease: &Lease) -> Result<(), BookingError> {
        let Some(mut booking) = store::booking_fetch(&self.db, id).await? else {
            // Somebody took an unfinished booking away while its maker was still at it.
            self.peers.release(id).await?;
            return Ok(self.peers.close(id).await?);
        };
        if booking.status == Status::PendingPayment && !booking.session_over(self.now()) {
            match self.reopen(&booking).await {
                Ok(()) => return Ok(store::lease_end(&self.db, id, lease).await?),
                Err(CreateError::Unavailable(cause)) => {
                    // It may be paid, and payment about to tell so: that must not wait for this lease.
                    store::lease_lapse(&self.db, id, lease, self.now()).await?;
                    return Err(BookingError::Unavailable(cause));
                }
                // Its seats or its promo use are gone, so it can no longer be paid.
                Err(refused) => {
                    log::warn("an unpaid booking could not be kept", &[("booking", &id), ("cause", &refused)]);
                    self.mark_expired(&mut booking, lease).await?;
                }
            }
        }
        if !booking.status.holds_seats() || booking.status == Status::Creating {
            self.peers.release(id).await?;
        }
        match payable(&booking).filter(|_| booking.status.is_paid()) {
            Some(balance) => {
                self.peers.open(&balance).await.map_err(|error| BookingError::Unavailable(error.to_string()))?
            }
            None if booking.status == Status::PendingPayment => {}
            None => self.peers.close(id).await?,
        }
        if let Some(reason) = booking.refund_due.take() {
            self.peers.refund_all(id, &reason).await?;
            self.db.transaction(async |tx| self.save(tx, &mut booking, Some(lease)).await).await?;
        }
        if booking.status == Status::Creating {
            return Ok(self.db.transaction(async |tx| store::booking_delete(tx, id, lease).await).await?);
        }
        Ok(store::lease_end(&self.db, id, lease).await?)
    }

    /// Seats and checkout of a booking that waits for its payment.
    async fn reopen(&self, booking: &Booking) -> Result<(), CreateError> {
        self.hold(booking).await?;
        match payable(booking) {
            Some(payable) => self.peers.open(&payable).await,
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
