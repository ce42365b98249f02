//! Bringing seats, checkout and refunds in line with a booking.

use cairn_shared::{Id, Paise, log};

use super::{
    App, BookingError, RefundError, SeatsError,
    commands::{is_seated, place},
    mails::MailIntent,
    noting::Deed,
};
use crate::{
    domain::{Booking, CreateError, RefundRequest, Status, payable},
    store::{self, CommandKind, CommandRow, CommandState, Lease},
};

impl App {
    /// As [`App::settle`], for those who have an answer already: what fails here is left
    /// to the job.
    pub(super) async fn settle_now(&self, id: Id, lease: &Lease) {
        if let Err(error) = self.settle(id, lease).await {
            log::warn("a booking is left for the job to settle", &[("booking", &id), ("cause", &format!("{error:?}"))]);
        }
    }

    /// Makes seats, checkout and refunds what the row says, then ends the lease and the
    /// commands under it. Every step may be repeated; a failure leaves the lease to run out.
    ///
    /// # Errors
    /// A service that does not answer.
    pub(super) async fn settle(&self, id: Id, lease: &Lease) -> Result<(), BookingError> {
        let Some(mut booking) = store::booking_fetch(&self.db, id).await? else {
            // Somebody took an unfinished booking away while its maker was still at it.
            self.peers.release(id).await?;
            return Ok(self.peers.close(id).await?);
        };
        let open = store::command_list_open(&self.db, id).await?;
        self.settle_seats(&booking, &open).await?;
        if booking.offline_due.is_some() {
            booking = self.receive_offline(booking, lease).await?;
        }
        if booking.is_covered() && !booking.session_over(self.now()) {
            booking = self.redeem(booking, lease).await?;
        }
        if booking.status == Status::PendingPayment && !booking.session_over(self.now()) {
            match self.reopen(&booking, lease).await {
                Ok(()) => return self.settled(id, lease).await,
                Err(CreateError::Unavailable(cause)) => {
                    // It may be paid, and payment about to tell so: that must not wait for this lease.
                    store::lease_lapse(&self.db, id, lease, self.now()).await?;
                    return Err(BookingError::Unavailable(cause));
                }
                // Its seats or its promo use are gone, so it can no longer be paid.
                Err(refused) => {
                    log::warn("an unpaid booking could not be kept", &[("booking", &id), ("cause", &refused)]);
                    self.mark_expired(&mut booking, lease, None).await?;
                }
            }
        }
        // After its session a booking keeps no seats: a change that died may have held others.
        let holds = booking.status.holds_seats() && booking.status != Status::Creating;
        if !holds || booking.session_over(self.now()) {
            self.peers.release(id).await?;
        }
        match payable(&booking).filter(|_| booking.status.is_paid()) {
            Some(balance) => {
                self.open_owed(&balance, lease).await.map_err(|error| BookingError::Unavailable(error.to_string()))?
            }
            None if booking.status == Status::PendingPayment => {}
            None => self.peers.close(id).await?,
        }
        self.settle_refunds(&booking, lease).await?;
        self.settle_earnings(&booking, &open).await?;
        match booking.status {
            Status::Creating | Status::Deleted => {
                self.db
                    .transaction(async |tx| {
                        store::booking_delete(tx, id, lease).await?;
                        store::commands_end(tx, id, self.now()).await
                    })
                    .await?;
                Ok(())
            }
            _ => self.settled(id, lease).await,
        }
    }

    /// Ends the lease, and with it the commands: everybody agrees with the row.
    async fn settled(&self, id: Id, lease: &Lease) -> Result<(), BookingError> {
        self.db
            .transaction(async |tx| {
                if store::lease_end(tx, id, lease).await? {
                    store::commands_end(tx, id, self.now()).await?;
                }
                Ok(())
            })
            .await
    }

    /// What open commands left to do about seats: the move to the place that the last
    /// shift kept, places that nobody moves to any more, and the number. Without open
    /// commands the seats are right already.
    async fn settle_seats(&self, booking: &Booking, open: &[CommandRow]) -> Result<(), BookingError> {
        let shifts = || open.iter().filter(|command| command.kind == CommandKind::Shift);
        let last = shifts().find(|command| command.state == CommandState::Committed);
        let moves_to = last.filter(|_| booking.status.holds_seats());
        if let Some(shift) = moves_to {
            let moved = self.peers.move_to(booking.id, &place(booking, shift.id)).await;
            seats_are_there(booking, moved)?;
        } else if is_seated(booking.status) && open.iter().any(changes_seats) {
            seats_are_there(booking, self.peers.resize(booking.id, booking.seats()).await)?;
        }
        for abandoned in shifts().filter(|shift| moves_to.is_none_or(|kept| kept.id != shift.id)) {
            self.peers.unreserve(&place(booking, abandoned.id).key).await?;
        }
        Ok(())
    }

    /// Asks payment for the refunds that it has not taken over yet. What it refuses for
    /// good is shown as failed.
    async fn settle_refunds(&self, booking: &Booking, lease: &Lease) -> Result<(), BookingError> {
        let id = booking.id;
        if let Some(reason) = &booking.refund_due {
            self.peers.refund_all(id, reason).await?;
            self.note(id, lease, |booking| booking.refund_due = None).await?;
        }
        // What names its payment comes first: the others take what is left.
        let unasked = |named: bool| {
            booking.refund_requests.iter().filter(move |one| !one.asked && one.payment.is_some() == named)
        };
        for request in unasked(true).chain(unasked(false)) {
            let asked = match &request.voucher {
                Some(terms) => self.peers.credit(id, booking.user.id, request, terms).await,
                None => self.peers.refund(id, request).await,
            };
            match asked {
                Ok(()) => self.note_asked(id, lease, request).await?,
                Err(RefundError::Refused(problem)) => {
                    let fields: [(&str, &dyn std::fmt::Display); 3] =
                        [("booking", &id), ("refund", &request.key), ("problem", &problem)];
                    log::error("a refund was refused: staff have to look at it", &fields);
                    self.note(id, lease, |booking| booking.refund_refused(&request.key)).await?;
                }
                Err(RefundError::Unavailable(cause)) => return Err(BookingError::Unavailable(cause)),
            }
        }
        Ok(())
    }

    /// When a trip is over or called off, what was paid and is kept is earned; when a
    /// booking lives again, it is owed again.
    async fn settle_earnings(&self, booking: &Booking, open: &[CommandRow]) -> Result<(), BookingError> {
        match booking.status {
            // What is kept for an owner's choice is still owed.
            _ if booking.paid == Paise::ZERO || booking.awaits_choice() => {}
            Status::TrekCompleted | Status::Cancelled => self.peers.earn(booking.id, booking.tax_on_kept()).await?,
            _ => {
                let revives = |kind| matches!(kind, CommandKind::Restore | CommandKind::RestoreParticipant);
                if open.iter().any(|command| revives(command.kind)) {
                    self.peers.defer(booking.id).await?;
                }
            }
        }
        Ok(())
    }

    /// Payment has a refund in hand. Of a voucher its owner is told.
    async fn note_asked(&self, id: Id, lease: &Lease, request: &RefundRequest) -> Result<(), BookingError> {
        self.db
            .transaction(async |tx| {
                let Some(mut booking) = store::booking_fetch(tx, id).await? else { return Ok(()) };
                booking.refund_asked(&request.key);
                self.save(tx, &mut booking, Some(lease)).await?;
                if request.voucher.is_none() {
                    return Ok(());
                }
                let mail = MailIntent::VoucherIssued { key: request.key.clone() };
                self.queue(tx, &booking, &mail, &request.key).await
            })
            .await
    }

    /// Changes the booking as it is by now: others may have heard of its refunds meanwhile.
    pub(super) async fn note(&self, id: Id, lease: &Lease, change: impl Fn(&mut Booking)) -> Result<(), BookingError> {
        self.db
            .transaction(async |tx| {
                let Some(mut booking) = store::booking_fetch(tx, id).await? else { return Ok(()) };
                change(&mut booking);
                self.save_as(tx, &mut booking, Some(lease), Deed::of("refund")).await
            })
            .await
    }

    /// Seats and checkout of a booking that waits for its payment.
    async fn reopen(&self, booking: &Booking, lease: &Lease) -> Result<(), CreateError> {
        self.hold(booking).await?;
        match payable(booking) {
            Some(owed) => self.open_owed(&owed, lease).await,
            None => Ok(()),
        }
    }
}

/// Whether an open command may have left another number of seats than the row has.
fn changes_seats(command: &CommandRow) -> bool {
    match command.kind {
        CommandKind::CancelParticipants
        | CommandKind::Restore
        | CommandKind::RestoreParticipant
        | CommandKind::Rebook
        | CommandKind::Resize
        | CommandKind::Shift => true,
        CommandKind::Cancel
        | CommandKind::Transfer
        | CommandKind::Request
        | CommandKind::Answer
        | CommandKind::Complete
        | CommandKind::Confirm
        | CommandKind::ReceiveOffline
        | CommandKind::AutoCancel
        | CommandKind::Expire
        | CommandKind::CallOff
        | CommandKind::Choose
        | CommandKind::Tender
        | CommandKind::Split
        | CommandKind::Delete => false,
    }
}

/// Seats that the row has were taken before it was committed, so they are there. If
/// batch does not agree, waiting mends nothing: somebody has to look.
fn seats_are_there(booking: &Booking, outcome: Result<(), SeatsError>) -> Result<(), BookingError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(SeatsError::Unavailable(cause)) => Err(BookingError::Unavailable(cause)),
        Err(refused) => {
            let fields: [(&str, &dyn std::fmt::Display); 3] =
                [("booking", &booking.id), ("batch", &booking.batch_id), ("cause", &format!("{refused:?}"))];
            log::error("a booking does not have its seats: staff have to look at it", &fields);
            Ok(())
        }
    }
}
