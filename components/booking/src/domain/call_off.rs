//! Batches that the operator calls off, and what the owners of their bookings choose.
//!
//! A booking is cancelled at once, with its money kept, so that its seats are free. What
//! becomes of the money its owner chooses: a voucher of all that was paid, another batch of
//! the trek at no higher price, or all of it back, whatever the policy would keep.

use cairn_shared::{BasisPoints, Id, Paise, Timestamp, time::DAY};
use serde::{Deserialize, Serialize};

use super::{
    Booking, Cancellation, GatewayType, GstType, RefundRequest, RefundStatus, RefundType, Refusal, Status, Target,
    Trigger, VoucherTerms, Who, cancel, shift,
};

/// How long owners have to choose where staff do not say.
pub const CHOICE_DAYS: u32 = 7;

/// The longest time that they can be given.
pub const CHOICE_DAYS_MAX: u32 = 60;

/// How long the voucher is valid.
pub const CREDIT_VALIDITY: i64 = 365 * DAY;

/// There is no smaller voucher.
const CREDIT_MIN: Paise = Paise::rupees(1);

/// What an owner chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    Voucher,
    /// Another batch of the trek.
    Batch,
    Refund,
}

impl Choice {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voucher => "voucher",
            Self::Batch => "batch",
            Self::Refund => "refund",
        }
    }
}

/// A batch that is called off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOff {
    pub id: Id,
    pub batch_id: Id,
    pub trek_id: Id,
    pub reason: String,
    /// On top of a voucher.
    pub bonus: BasisPoints,
    pub deadline: Timestamp,
    /// Signs the links in mails.
    pub secret: String,
    pub actor: Id,
    pub created_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl CallOff {
    /// What signs a booking's link. Who does not know the secret cannot make it.
    fn signature(&self, booking_id: Id) -> Id {
        Id::derive(&["call-off", &self.secret, &self.id.to_string(), &booking_id.to_string()])
    }

    /// The last part of the link with which a booking's owner chooses.
    pub fn token(&self, booking_id: Id) -> String {
        format!("{booking_id}{}", self.signature(booking_id))
    }

    /// Whether a token is this call-off's for its booking.
    pub fn has_signed(&self, booking_id: Id, signature: Id) -> bool {
        self.signature(booking_id) == signature
    }
}

/// The booking and the signature of a token.
pub fn token_parts(token: &str) -> Option<(Id, Id)> {
    let (booking, signature) = token.split_at_checked(24)?;
    Some((booking.parse().ok()?, signature.parse().ok()?))
}

/// What a booking knows of its batch being called off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalledOff {
    pub call_off: Id,
    pub reason: String,
    pub bonus: BasisPoints,
    pub deadline: Timestamp,
    pub choice: Option<Choice>,
    /// None: the system, after the deadline, or whoever has the link.
    pub chosen_by: Option<Id>,
    pub chosen_at: Option<Timestamp>,
}

impl CalledOff {
    pub fn of(call_off: &CallOff) -> Self {
        Self {
            call_off: call_off.id,
            reason: call_off.reason.clone(),
            bonus: call_off.bonus,
            deadline: call_off.deadline,
            choice: None,
            chosen_by: None,
            chosen_at: None,
        }
    }

    fn chosen(&self, choice: Choice, by: Option<Id>, now: Timestamp) -> Self {
        Self { choice: Some(choice), chosen_by: by, chosen_at: Some(now), ..self.clone() }
    }
}

/// What an owner gets for each choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worth {
    pub refund: Paise,
    pub voucher: Paise,
}

/// What is kept of a booking, as money and as a voucher with this bonus.
pub fn worth(booking: &Booking, bonus: BasisPoints) -> Worth {
    let refund = booking.refundable();
    // What others paid is not the owner's to have as a voucher.
    let voucher =
        if refund >= CREDIT_MIN && !booking.has_paid_shares() { refund + refund.share(bonus) } else { Paise::ZERO };
    Worth { refund, voucher }
}

impl Booking {
    /// Whether its owner has something to choose and has not chosen.
    pub fn awaits_choice(&self) -> bool {
        self.status == Status::Cancelled
            && self.called_off.as_ref().is_some_and(|called_off| called_off.choice.is_none())
            && self.refundable() > Paise::ZERO
    }

    /// How it stands with the call-off of its batch, in a word for lists.
    pub fn call_off_state(&self) -> Option<(Id, &'static str)> {
        let called_off = self.called_off.as_ref()?;
        let state = match called_off.choice {
            Some(choice) => choice.as_str(),
            None if self.awaits_choice() => "waiting",
            None => "nothing",
        };
        Some((called_off.call_off, state))
    }

    /// What is offered, if the choice is still to be made. The same choice again is none.
    fn offered(&self, choice: Choice) -> Result<Option<&CalledOff>, Refusal> {
        let called_off = self.called_off.as_ref().ok_or(Refusal::NotCalledOff)?;
        match called_off.choice {
            Some(made) if made == choice => Ok(None),
            Some(_) => Err(Refusal::AlreadyChosen),
            None if self.awaits_choice() => Ok(Some(called_off)),
            None => Err(Refusal::NothingToChoose),
        }
    }
}

/// The booking of a batch that is called off: cancelled, its money kept until its owner
/// has chosen.
///
/// # Errors
/// [`Refusal`] says why not; then it is as it was.
pub fn call_off(
    booking: &Booking,
    cancellation: &Cancellation,
    called_off: CalledOff,
    now: Timestamp,
) -> Result<Booking, Refusal> {
    let mut cancelled = cancel(booking, cancellation, now)?;
    cancelled.called_off = Some(called_off);
    if cancelled.awaits_choice() {
        cancelled.refund_status = RefundStatus::Pending;
    }
    Ok(cancelled)
}

/// All of the money goes back, or becomes a voucher. `command` names the refund.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn choose_money(
    booking: &Booking,
    choice: Choice,
    by: Option<Id>,
    command: Id,
    now: Timestamp,
) -> Result<Booking, Refusal> {
    let Some(called_off) = booking.offered(choice)? else { return Ok(booking.clone()) };
    let worth = worth(booking, called_off.bonus);
    let voucher = match choice {
        Choice::Voucher if booking.has_paid_shares() => return Err(Refusal::PaidByOthers),
        Choice::Voucher if worth.voucher == Paise::ZERO => return Err(Refusal::NothingToChoose),
        Choice::Voucher => {
            Some(VoucherTerms { bonus: worth.voucher - worth.refund, expires_at: now.plus(CREDIT_VALIDITY) })
        }
        Choice::Refund | Choice::Batch => None,
    };
    let mut chosen = booking.clone();
    chosen.refund_type = RefundType::Full;
    chosen.called_off = Some(called_off.chosen(choice, by, now));
    chosen.request_refund(RefundRequest {
        key: command.to_string(),
        participant: None,
        payment: None,
        amount: worth.refund,
        kind: RefundType::Full,
        reason: called_off.reason.clone(),
        requested_by: by,
        requested_at: now,
        voucher,
        asked: false,
        status: RefundStatus::Processing,
        settled_at: None,
    });
    Ok(chosen)
}

/// What another batch costs less for those who come, by the frozen price: nobody pays more
/// for a batch that costs more. Where staff agreed on a price, no list says what is less.
pub fn cheaper_by(booking: &Booking, unit: Paise) -> Paise {
    let less = booking.price.unit - unit;
    if less <= Paise::ZERO || booking.list_total.is_some() || booking.custom {
        return Paise::ZERO;
    }
    let net = less.times(coming(booking));
    let tax = match booking.price.gst_type {
        GstType::Excluded => net.share(booking.price.gst_rate),
        GstType::Included => Paise::ZERO,
    };
    let charge = match booking.price.gateway_type {
        GatewayType::Customer => net.share(booking.price.gateway_rate),
        GatewayType::Own => Paise::ZERO,
    };
    (net + tax + charge).min(booking.due_total())
}

/// Who came before the batch was called off: others had been cancelled one by one.
pub fn coming(booking: &Booking) -> u32 {
    let gone = booking.participants.iter().filter(|participant| participant.severance.is_some()).count();
    booking.count().saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX))
}

/// The booking on another batch, with everybody who came, at no higher price: what it
/// costs less goes back, or lessens the balance. Its seats come first.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn choose_batch(
    booking: &Booking,
    to: &Target,
    by: Option<Id>,
    command: Id,
    now: Timestamp,
) -> Result<Booking, Refusal> {
    let Some(called_off) = booking.offered(Choice::Batch)? else {
        return if booking.batch_id == to.batch.id { Ok(booking.clone()) } else { Err(Refusal::AlreadyChosen) };
    };
    let called_off = called_off.chosen(Choice::Batch, by, now);
    let reason = called_off.reason.clone();
    let mut live = booking.clone();
    live.cancelled_at = None;
    live.cancelled_by = None;
    live.cancellation_reason.clear();
    live.refund_status = RefundStatus::NotApplicable;
    live.called_off = Some(called_off);
    for participant in live.participants.iter_mut().filter(|participant| participant.severance.is_none()) {
        participant.restore();
    }
    live.reduction += cheaper_by(booking, to.batch.price);
    // Staff have offered it to its owner.
    live.status = live.next(Trigger::Restore, Who::Staff).ok_or(Refusal::NotCancelled)?;
    live.owe_the_rest();
    live.give_time(now);
    let mut moved = shift(&live, to, Who::Staff, now)?;
    let above = (moved.paid - moved.due_total()).clamp(Paise::ZERO, moved.refundable());
    for (payment, amount) in moved.by_payer(above) {
        moved.request_refund(RefundRequest {
            key: [Some(command.to_string()), payment.clone()].into_iter().flatten().collect::<Vec<_>>().join("/"),
            participant: None,
            payment,
            amount,
            kind: RefundType::Custom,
            reason: reason.clone(),
            requested_by: by,
            requested_at: now,
            voucher: None,
            asked: false,
            status: RefundStatus::Processing,
            settled_at: None,
        });
    }
    Ok(moved)
}
