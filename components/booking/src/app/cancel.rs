//! Cancelling bookings and participants, what that gives back, and removing bookings.

use cairn_shared::{Id, Paise, Timestamp, identity::Caller};

use super::{
    Actor, App, BookingError,
    commands::{Command, Decision},
    mails::{MailIntent, confirmations, has_own_address},
};
use crate::{
    domain::{
        Booking, Cancellation, RefundChoice, Refusal, Scope, Status, Tier, Trigger, Who, cancel, days_until,
        is_overdue, refund_parts,
    },
    store::CommandKind,
};

/// Whoever may manage bookings.
pub const MANAGE_BOOKINGS: &str = "actions.manageBookings";

/// Why an overdue booking is cancelled.
const UNPAID_BALANCE: &str = "Auto-cancelled due to non-payment of remaining balance";

/// A cancellation as staff ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    pub scope: Scope,
    pub choice: RefundChoice,
    pub reason: Option<String>,
}

/// What a cancellation would give back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundPreview {
    pub total: Paise,
    pub tier: Tier,
    pub days: i64,
}

impl App {
    /// Cancels a booking or some of its participants. See [`App::run`] for the steps; the
    /// refunds are in the changed row, and payment is asked for them afterwards until it
    /// has taken them over. Twice: the second request finds nothing left to cancel.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn cancel(&self, caller: &Caller, id: Id, wanted: &CancelRequest) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        let start = self.start_for_refund(&found, wanted.choice).await?;
        let kind = match wanted.scope {
            Scope::Entire => CommandKind::Cancel,
            Scope::Participants(_) => CommandKind::CancelParticipants,
        };
        let command = self.new_command(kind, Actor::of(caller, Who::Admin));
        let cancellation = self.cancellation(&command, wanted, start);
        self.run(id, &command, &|booking: &Booking| self.cancelled(booking, &cancellation)).await
    }

    /// Cancels one participant, for the owner by the policy and nothing else.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn cancel_participant(
        &self,
        caller: &Caller,
        id: Id,
        participant: Id,
        choice: RefundChoice,
        reason: Option<String>,
    ) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        if found.user.id != caller.id && !caller.is_admin() {
            return Err(BookingError::NotYours);
        }
        let choice = if caller.is_admin() { choice } else { RefundChoice::Auto };
        let start = self.start_for_refund(&found, choice).await?;
        let command = self.new_command(CommandKind::CancelParticipants, Actor::of(caller, Who::Owner));
        let wanted = CancelRequest { scope: Scope::Participants(vec![participant]), choice, reason };
        let cancellation = self.cancellation(&command, &wanted, start);
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            check_participant(booking, participant, choice, self.now())?;
            self.cancelled(booking, &cancellation)
        };
        self.run(id, &command, &decide).await
    }

    /// Cancels a booking whose balance is overdue, without a refund. Whether the trek
    /// wants that, and whether the customer is about to pay, is the caller's to know.
    ///
    /// # Errors
    /// [`Refusal::NotOverdue`] when there is nothing to cancel; then nothing has changed.
    pub async fn auto_cancel(&self, id: Id) -> Result<Booking, BookingError> {
        let command = self.new_command(CommandKind::AutoCancel, Actor::SYSTEM);
        let wanted =
            CancelRequest { scope: Scope::Entire, choice: RefundChoice::Nothing, reason: Some(UNPAID_BALANCE.into()) };
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            if !is_overdue(booking, self.now()) {
                return Err(Refusal::NotOverdue.into());
            }
            let mut decision = self.cancelled(booking, &self.cancellation(&command, &wanted, booking.batch_start))?;
            if let (Some(mail), Some(partial)) = (decision.mails.first_mut(), &booking.partial) {
                *mail = MailIntent::UnpaidCancelled { balance_paise: partial.remaining.0, due: partial.due };
            }
            Ok(decision)
        };
        self.run(id, &command, &decide).await
    }

    /// What a cancellation would give back now.
    ///
    /// # Errors
    /// [`BookingError`]: not for strangers, no batch, a custom amount above what there is.
    pub async fn refund_preview(
        &self,
        caller: &Caller,
        id: Id,
        scope: &Scope,
        choice: RefundChoice,
    ) -> Result<RefundPreview, BookingError> {
        let booking = self.visible(&self.db, id).await?;
        if booking.user.id != caller.id && !caller.may(MANAGE_BOOKINGS) {
            return Err(BookingError::Forbidden("Not authorized to view this booking"));
        }
        let batch = self.peers.batch(booking.batch_id).await?.ok_or(Refusal::BatchNotFound)?;
        let days = days_until(batch.start, self.now());
        let tier = booking.policy.tier(days).ok_or(Refusal::NotCancellable)?.clone();
        if !booking.status.holds_seats() {
            return Ok(RefundPreview { total: Paise::ZERO, tier, days });
        }
        let parts = refund_parts(&booking, scope, choice, &tier);
        let parts = parts.map_err(|above| Refusal::CustomAbove { asked: above.asked, available: above.available })?;
        Ok(RefundPreview { total: parts.iter().map(|part| part.refund).sum(), tier, days })
    }

    /// Marks a trek as done.
    ///
    /// # Errors
    /// [`Refusal::NotConfirmed`], and that the booking does not exist.
    pub async fn complete(&self, actor: Actor, id: Id) -> Result<Booking, BookingError> {
        let command = self.new_command(CommandKind::Complete, actor);
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            let status = booking.next(Trigger::CompleteTrek, actor.who).ok_or(Refusal::NotConfirmed)?;
            Ok(Booking { status, ..booking.clone() }.into())
        };
        self.run(id, &command, &decide).await
    }

    /// Removes a booking for which nothing was ever captured, with its seats and its
    /// checkout. The row is marked first and goes last, so that a crash in between
    /// leaves something that says what is to be given back.
    ///
    /// # Errors
    /// [`Refusal::Paid`], and that the booking does not exist.
    pub async fn delete(&self, caller: &Caller, id: Id) -> Result<(), BookingError> {
        let command = self.new_command(CommandKind::Delete, Actor::of(caller, Who::Admin));
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            if booking.paid > Paise::ZERO || booking.first_payment.is_some() {
                return Err(Refusal::Paid.into());
            }
            let status = booking.next(Trigger::Delete, command.actor.who).ok_or(BookingError::NotFound)?;
            Ok(Booking { status, ..booking.clone() }.into())
        };
        self.run(id, &command, &decide).await.map(drop)
    }

    pub(super) fn cancellation(&self, command: &Command, wanted: &CancelRequest, start: Timestamp) -> Cancellation {
        Cancellation {
            scope: wanted.scope.clone(),
            choice: wanted.choice,
            reason: wanted.reason.clone(),
            who: command.actor.who,
            actor: command.actor.id,
            start,
            command: command.id,
        }
    }

    /// The decision to cancel, with its mails: to the booker, and to everybody who was
    /// cancelled and has an address.
    pub(super) fn cancelled(&self, booking: &Booking, wanted: &Cancellation) -> Result<Decision, BookingError> {
        let cancelled = cancel(booking, wanted, self.now())?;
        let came = |id: Id| booking.participants.iter().any(|before| before.id == id && !before.is_cancelled);
        let gone: Vec<_> = cancelled.participants.iter().filter(|p| p.is_cancelled && came(p.id)).collect();
        let to_booker = match wanted.scope {
            Scope::Entire => MailIntent::Cancelled,
            Scope::Participants(_) => MailIntent::ParticipantsCancelled {
                participants: gone.iter().map(|participant| participant.id).collect(),
            },
        };
        let elsewhere = gone.iter().filter(|participant| has_own_address(&cancelled, participant));
        let to_others = elsewhere.map(|participant| MailIntent::SeatCancelled {
            name: participant.name.clone(),
            email: participant.email.clone(),
            reason: participant.cancellation_reason.clone(),
        });
        let confirmed = cancelled.status == Status::Confirmed && booking.status != Status::Confirmed;
        let now_certain = if confirmed { confirmations(&cancelled) } else { Vec::new() };
        let mails = std::iter::once(to_booker).chain(to_others).chain(now_certain).collect();
        Ok(Decision { booking: cancelled, mails })
    }

    /// When the batch starts, as far as a refund depends on it: from the batch itself,
    /// which staff may have moved.
    async fn start_for_refund(&self, booking: &Booking, choice: RefundChoice) -> Result<Timestamp, BookingError> {
        match choice {
            RefundChoice::Auto => Ok(self.peers.batch(booking.batch_id).await?.ok_or(Refusal::BatchNotFound)?.start),
            RefundChoice::Full | RefundChoice::Custom(_) | RefundChoice::Nothing => Ok(booking.batch_start),
        }
    }
}

fn check_participant(booking: &Booking, id: Id, choice: RefundChoice, now: Timestamp) -> Result<(), Refusal> {
    let found = booking.participants.iter().enumerate().find(|(_, participant)| participant.id == id);
    let (at, participant) = found.ok_or(Refusal::NoSuchParticipant)?;
    if participant.is_cancelled {
        return Err(Refusal::ParticipantCancelled);
    }
    if booking.has_started(now) {
        return Err(Refusal::Started);
    }
    match choice {
        RefundChoice::Custom(asked) if asked > booking.share(at) => {
            Err(Refusal::AboveShare { asked, share: booking.share(at) })
        }
        _ => Ok(()),
    }
}
