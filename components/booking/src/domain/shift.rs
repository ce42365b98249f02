//! Another batch for a booking, and what its owner asks staff for.

use cairn_shared::{Id, Timestamp, time::DAY};

use super::{Batch, BatchStatus, Booking, CancellationRequest, Refusal, Status, Trigger, Who};

/// Shortest time that a customer gets to pay the balance after a shift, in ms.
const BALANCE_TIME_MIN: i64 = DAY;

/// A batch that a booking goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub batch: Batch,
    /// Days before its start on which a balance is due; none when the trek offers no
    /// instalments any more: then as many as were left before.
    pub due_days: Option<u32>,
}

/// A batch as a target for a booking, seats aside.
///
/// # Errors
/// [`Refusal`] says why it is none.
pub fn target(booking: &Booking, batch: &Batch, now: Timestamp) -> Result<(), Refusal> {
    match () {
        () if batch.id == booking.batch_id => Err(Refusal::SameBatch),
        () if batch.status == BatchStatus::Cancelled => Err(Refusal::BatchClosed),
        () if !booking.custom && (batch.start <= now || batch.status != BatchStatus::Upcoming) => {
            Err(Refusal::ShiftStarted)
        }
        () => Ok(()),
    }
}

/// The booking on another batch, at the same price. Its seats come first.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn shift(booking: &Booking, to: &Target, who: Who, now: Timestamp) -> Result<Booking, Refusal> {
    booking.next(Trigger::Shift, who).ok_or(Refusal::NotShiftable)?;
    target(booking, &to.batch, now)?;
    let mut shifted = booking.clone();
    if let Some(partial) = &mut shifted.partial {
        let before_start = match to.due_days {
            Some(days) => i64::from(days) * DAY,
            None => booking.batch_start.since(partial.due),
        };
        // Nobody is cancelled tomorrow for a shift made today.
        let due = to.batch.start.plus(-before_start).max(now.plus(BALANCE_TIME_MIN));
        partial.due = due.min(to.batch.start);
        partial.reminder_sent_at = None;
    }
    if let (Some(split), Some(partial)) = (&mut shifted.split, &mut shifted.partial) {
        split.deadline = split.deadline.min(to.batch.start);
        partial.due = split.deadline;
    }
    shifted.batch_id = to.batch.id;
    shifted.batch_start = to.batch.start;
    shifted.batch_end = to.batch.end;
    Ok(shifted)
}

/// What a customer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    Cancellation,
    Reschedule,
}

impl RequestKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancellation => "cancellation",
            Self::Reschedule => "reschedule",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Cancellation, Self::Reschedule].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What an owner asks for, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    pub kind: RequestKind,
    pub reason: String,
    pub preferred_batch: Option<Id>,
}

/// The booking with its owner's request, which waits for an answer. `batches` are those
/// of the trek.
///
/// # Errors
/// [`Refusal`] says why it is none.
pub fn ask(booking: &Booking, new: &NewRequest, batches: &[Batch], now: Timestamp) -> Result<Booking, Refusal> {
    if booking.status == Status::Cancelled {
        return Err(Refusal::RequestCancelled);
    }
    if booking.cancellation_request.is_pending() {
        return Err(Refusal::RequestPending);
    }
    booking.next(Trigger::Request, Who::Owner).ok_or(Refusal::RequestUnpaid)?;
    let preferred_batch = match new.kind {
        RequestKind::Cancellation => None,
        RequestKind::Reschedule => Some(preferred(booking, new, batches, now)?),
    };
    let request = CancellationRequest {
        kind: Some(new.kind.as_str().into()),
        reason: new.reason.clone(),
        preferred_batch,
        requested_at: Some(now),
        status: Some("pending".into()),
        admin_response: String::new(),
        responded_at: None,
    };
    Ok(Booking { cancellation_request: request, ..booking.clone() })
}

fn preferred(booking: &Booking, new: &NewRequest, batches: &[Batch], now: Timestamp) -> Result<Id, Refusal> {
    let wanted = new.preferred_batch.ok_or(Refusal::NoPreferredBatch)?;
    if batches.is_empty() {
        return Err(Refusal::NoBatches);
    }
    let batch = batches.iter().find(|batch| batch.id == wanted).ok_or(Refusal::ForeignBatch)?;
    target(booking, batch, now).map_err(|refusal| match refusal {
        Refusal::SameBatch => Refusal::PreferredSame,
        other => other,
    })?;
    // A request takes no seats; staff decide whether it gets reserved ones.
    if batch.free() < booking.seats() {
        return Err(Refusal::PreferredFull);
    }
    Ok(wanted)
}

/// The booking with staff's answer to its pending request. What the answer grants is
/// another matter.
///
/// # Errors
/// [`Refusal::NoRequest`] when nothing waits for an answer.
pub fn answer(booking: &Booking, approved: bool, words: &str, now: Timestamp) -> Result<Booking, Refusal> {
    if !booking.cancellation_request.is_pending() {
        return Err(Refusal::NoRequest);
    }
    let mut answered = booking.clone();
    let request = &mut answered.cancellation_request;
    request.status = Some(if approved { "approved" } else { "rejected" }.into());
    request.admin_response = words.to_owned();
    request.responded_at = Some(now);
    Ok(answered)
}
