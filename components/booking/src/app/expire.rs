//! Ending sessions, and settling what was left.

use cairn_shared::{Id, log};

use super::{Actor, App, BookingError, SeatsError, Unavailable, commands::Command, noting::Deed};
use crate::{
    domain::{Booking, Refusal, Status},
    store::{self, CommandKind, Lease},
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
    /// The job: ends sessions that are over, takes off who has not paid a share, and settles bookings on which work died.
    /// Answers how many could not be done and are left for the next run.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire(&self) -> Result<usize, BookingError> {
        let mut left = 0;
        for id in store::booking_ids_overdue(&self.db, self.now(), RUN_BOOKINGS_MAX).await? {
            left += usize::from(!self.done(id, self.retire(id).await));
        }
        for id in store::booking_ids_lapsed(&self.db, self.now(), RUN_BOOKINGS_MAX).await? {
            left += usize::from(!self.done(id, self.lapse(id).await));
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
            // Somebody has paid, or is about to.
            Err(BookingError::Refused(Refusal::NotOverdue)) => true,
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
        let command = self.new_command(CommandKind::Expire, Actor::SYSTEM);
        let mut booking = self.lease_for(id, &lease, Some(&command)).await?.booking;
        if booking.session_over(self.now()) {
            self.mark_expired(&mut booking, &lease, Some(&command)).await?;
        }
        self.settle(id, &lease).await?;
        Ok(())
    }

    pub(super) async fn mark_expired(
        &self,
        booking: &mut Booking,
        lease: &Lease,
        command: Option<&Command>,
    ) -> Result<(), BookingError> {
        booking.status = Status::Expired;
        let stored = self.db.transaction(async |tx| {
            let mut stored = booking.clone();
            store::failed_booking_insert(tx, self.env.id(), &stored, "system", self.now()).await?;
            if let Some(command) = command {
                store::command_commit(tx, command.id, stored.status).await?;
            }
            let deed = Deed { actor: Some(Actor::SYSTEM), ..Deed::of(CommandKind::Expire.as_str()) };
            self.save_as(tx, &mut stored, Some(lease), deed).await?;
            Ok::<_, BookingError>(stored)
        });
        *booking = stored.await?;
        Ok(())
    }
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
