//! Seats that go to another person.

use cairn_shared::{Id, Timestamp};

use super::{Booking, Participant, Refusal, Trigger, Who, days_until};

/// The last day, in days before the start, on which an owner may give a seat to somebody
/// else. Staff may until the trip begins.
pub const TRANSFER_DAYS_MIN: i64 = 3;

/// Gives the seat of one participant to another person. The price stays, and so does the
/// seat's place in it; everything that is known of the one who does not come goes.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn transfer(
    booking: &Booking,
    id: Id,
    newcomer: Participant,
    who: Who,
    now: Timestamp,
) -> Result<Booking, Refusal> {
    let at = booking.participants.iter().position(|participant| participant.id == id);
    let at = at.ok_or(Refusal::NoSuchParticipant)?;
    let status = booking.next(Trigger::Transfer, who).ok_or(Refusal::NotTransferable)?;
    if booking.has_started(now) {
        return Err(Refusal::TransferStarted);
    }
    let is_late = !booking.custom && days_until(booking.batch_start, now) < TRANSFER_DAYS_MIN;
    if who == Who::Owner && is_late {
        return Err(Refusal::TransferTooLate(TRANSFER_DAYS_MIN));
    }
    let (mut transferred, comes) = (booking.clone(), newcomer.id);
    match transferred.participants.get_mut(at) {
        Some(seat) if !seat.is_cancelled => *seat = newcomer,
        _ => return Err(Refusal::ParticipantCancelled),
    }
    transferred.pass_share_on(id, comes);
    transferred.status = status;
    Ok(transferred)
}
