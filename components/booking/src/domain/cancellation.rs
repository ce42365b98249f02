//! Cancelling bookings and participants, and taking that back.

use cairn_shared::{Id, Paise, Timestamp};

use super::{
    Booking, CancelledBy, RefundChoice, RefundPart, RefundRequest, RefundStatus, RefundType, Refusal, Scope, Status,
    Trigger, Who, days_until, refund_parts,
};

/// A cancellation as somebody wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    pub scope: Scope,
    pub choice: RefundChoice,
    /// None: the reason of the owner's pending request, else a general one.
    pub reason: Option<String>,
    pub who: Who,
    /// The account behind it; none: the system.
    pub actor: Option<Id>,
    /// Start of the batch, as it stands now.
    pub start: Timestamp,
    /// Names the command: its refunds have their keys from it.
    pub command: Id,
}

impl Cancellation {
    fn by(&self) -> CancelledBy {
        match self.who {
            Who::Owner => CancelledBy::User,
            Who::Staff | Who::Admin => CancelledBy::Admin,
            Who::Provider | Who::System => CancelledBy::System,
        }
    }

    fn reason(&self, booking: &Booking) -> String {
        let request = &booking.cancellation_request;
        let asked = Some(&request.reason).filter(|reason| request.is_pending() && !reason.is_empty());
        self.reason.as_ref().or(asked).cloned().unwrap_or_else(|| self.default_reason().to_owned())
    }

    fn default_reason(&self) -> &'static str {
        match self.by() {
            CancelledBy::User => "Cancelled by customer",
            CancelledBy::Admin => "Admin cancelled",
            CancelledBy::System => "Cancelled automatically",
        }
    }

    fn request(&self, part: &RefundPart, reason: &str, now: Timestamp) -> RefundRequest {
        let key = match part.participant {
            Some(participant) => format!("{}/{participant}", self.command),
            None => [self.command.to_string()].into_iter().chain(part.payment.clone()).collect::<Vec<_>>().join("/"),
        };
        RefundRequest {
            key,
            participant: part.participant,
            payment: part.payment.clone(),
            amount: part.refund,
            kind: self.choice.kind(),
            reason: reason.to_owned(),
            requested_by: self.actor,
            requested_at: now,
            voucher: None,
            asked: false,
            status: RefundStatus::Processing,
            settled_at: None,
        }
    }
}

/// Cancels what the cancellation names, and notes the refunds it comes with.
///
/// # Errors
/// [`Refusal`] says why; the booking is then as it was.
pub fn cancel(booking: &Booking, wanted: &Cancellation, now: Timestamp) -> Result<Booking, Refusal> {
    let trigger = match (&wanted.scope, wanted.who) {
        (Scope::Entire, Who::System) => Trigger::AutoCancel,
        (Scope::Entire, _) => Trigger::Cancel,
        (Scope::Participants(_), _) => Trigger::CancelParticipant,
    };
    if booking.status == Status::Cancelled && wanted.scope == Scope::Entire {
        return Err(Refusal::AlreadyCancelled);
    }
    let parts = parts(booking, wanted, now)?;
    booking.next(trigger, wanted.who).ok_or(Refusal::NotCancellable)?;
    let reason = wanted.reason(booking);
    let mut cancelled = booking.clone();
    match &wanted.scope {
        Scope::Entire => {
            cancelled.cancel(wanted.by(), &reason, now);
            cancelled.refund_type = wanted.choice.kind();
        }
        Scope::Participants(_) => sever(&mut cancelled, &parts, wanted, &reason, now),
    }
    for part in parts.iter().filter(|part| part.refund > Paise::ZERO) {
        cancelled.request_refund(wanted.request(part, &reason, now));
    }
    Ok(cancelled)
}

fn parts(booking: &Booking, wanted: &Cancellation, now: Timestamp) -> Result<Vec<RefundPart>, Refusal> {
    let days = days_until(wanted.start, now);
    let tier = booking.policy.tier(days).ok_or(Refusal::NotCancellable)?;
    let parts = refund_parts(booking, &wanted.scope, wanted.choice, tier);
    let parts = parts.map_err(|above| Refusal::RefundAbove { asked: above.asked, available: above.available })?;
    if parts.is_empty() { Err(Refusal::NobodyToCancel) } else { Ok(parts) }
}

/// Cancels participants one by one; the last one takes the booking along.
fn sever(booking: &mut Booking, parts: &[RefundPart], wanted: &Cancellation, reason: &str, now: Timestamp) {
    for part in parts {
        for participant in booking.participants.iter_mut().filter(|p| Some(p.id) == part.participant) {
            participant.cancel(reason, now);
            participant.severance = Some(part.severance);
            participant.refund_type = wanted.choice.kind();
            // What an earlier cancellation, which was taken back, showed here.
            participant.refund_status = RefundStatus::NotApplicable;
            participant.refund_amount = Paise::ZERO;
            participant.refund_date = None;
        }
    }
    booking.owe_the_rest();
    if booking.seats() == 0 {
        booking.cancel(wanted.by(), reason, now);
    } else if booking.is_paid_off() {
        booking.status = booking.status_when_paid();
    }
}

/// A cancelled booking lives again, with everybody on it. Its seats come first.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn restore(booking: &Booking, who: Who, now: Timestamp) -> Result<Booking, Refusal> {
    booking.next(Trigger::Restore, who).ok_or(Refusal::NotCancelled)?;
    if booking.has_refunds() {
        return Err(Refusal::Refunded);
    }
    if booking.has_started(now) {
        return Err(Refusal::BatchClosed);
    }
    let mut restored = booking.clone();
    restored.restore();
    restored.give_time(now);
    restored.refund_type = RefundType::Auto;
    Ok(restored)
}

/// A participant who was cancelled comes along again. A booking that was cancelled
/// with its last participant lives again.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn restore_participant(booking: &Booking, id: Id, who: Who, now: Timestamp) -> Result<Booking, Refusal> {
    let found = booking.participants.iter().find(|participant| participant.id == id);
    let participant = found.ok_or(Refusal::NoSuchParticipant)?;
    if !participant.is_cancelled {
        return Err(Refusal::ParticipantNotCancelled);
    }
    if participant.refund_status != RefundStatus::NotApplicable {
        return Err(Refusal::ParticipantRefunded);
    }
    if booking.has_started(now) {
        return Err(Refusal::BatchClosed);
    }
    let mut restored = booking.clone();
    if booking.status == Status::Cancelled {
        if booking.participants.iter().any(|participant| participant.severance.is_none()) {
            return Err(Refusal::CancelledAsAWhole);
        }
        restored.cancelled_at = None;
        restored.cancelled_by = None;
        restored.cancellation_reason.clear();
    }
    for participant in restored.participants.iter_mut().filter(|participant| participant.id == id) {
        participant.restore();
        participant.refund_type = RefundType::Auto;
    }
    restored.owe_the_rest();
    restored.give_time(now);
    restored.status = restored.next(Trigger::RestoreParticipant, who).ok_or(Refusal::ParticipantNotCancelled)?;
    Ok(restored)
}
