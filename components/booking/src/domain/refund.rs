//! What a cancellation gives back, and how far that has come.
//!
//! A booking's price is shared out among its participants once and for all: each has the
//! frozen total divided by their number, and what does not divide evenly goes in single
//! paise to the first ones. A cancellation charges its percentage on those shares, and
//! gives back what was paid for them less the charge.

use std::collections::BTreeMap;

use cairn_shared::{BasisPoints, Id, Paise, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Booking, PaidBy, Participant, Refund, RefundStatus, RefundType, Status, VoucherTerms, in_proportion};

/// Most tiers of a policy.
pub const TIERS_MAX: usize = 20;

/// Longest description or colour of a tier, in characters.
const TIER_TEXT_CHARS_MAX: usize = 200;

/// What is given back from so many days before the start. The words and the colour are
/// shown as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// Fewest days before the start; none: however few they are.
    pub min_days: Option<u32>,
    /// As a percentage on the wire.
    pub percent: BasisPoints,
    pub description: String,
    pub color: String,
}

/// The refund table that a booking was sold under. It is frozen into the booking: later
/// versions count for later bookings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundPolicy {
    /// `default`, or the trek whose policy it is.
    pub id: String,
    pub version: u32,
    /// By falling days; the last one is for however few they are.
    pub tiers: Vec<Tier>,
}

impl Default for RefundPolicy {
    fn default() -> Self {
        let tier = |min_days, percent: i64, description: &str, color: &str| Tier {
            min_days,
            percent: BasisPoints(percent * 100),
            description: description.into(),
            color: color.into(),
        };
        Self {
            id: "default".into(),
            version: 1,
            tiers: vec![
                tier(Some(22), 100, "Free cancellation (100% refund)", "text-green-600"),
                tier(Some(15), 75, "75% refund (25% cancellation charge)", "text-yellow-600"),
                tier(Some(8), 50, "50% refund (50% cancellation charge)", "text-orange-600"),
                tier(None, 0, "No refund (within 7 days of trek)", "text-red-600"),
            ],
        }
    }
}

impl RefundPolicy {
    /// Checks tiers that somebody wrote.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub fn check(tiers: &[Tier]) -> Result<(), &'static str> {
        let Some((last, earlier)) = tiers.split_last() else { return Err("A policy has at least one tier") };
        let texts = tiers.iter().flat_map(|tier| [&tier.description, &tier.color]);
        match () {
            () if tiers.len() > TIERS_MAX => Err("A policy has at most 20 tiers"),
            () if last.min_days.is_some() => Err("The last tier has no minDays: it is for however few days are left"),
            () if earlier.iter().any(|tier| tier.min_days.is_none()) => Err("Only the last tier has no minDays"),
            () if earlier.windows(2).any(|two| two[0].min_days <= two[1].min_days) => {
                Err("Tiers go from many days to few")
            }
            () if tiers.windows(2).any(|two| two[0].percent < two[1].percent) => {
                Err("A later cancellation cannot give back more than an earlier one")
            }
            () if tiers.iter().any(|tier| !(0..=10_000).contains(&tier.percent.0)) => {
                Err("A tier gives back from 0 to 100 percent")
            }
            () if texts.clone().any(|text| text.chars().count() > TIER_TEXT_CHARS_MAX) => {
                Err("The description and color of a tier have at most 200 characters")
            }
            () => Ok(()),
        }
    }

    /// The tier for so many days before the start.
    pub fn tier(&self, days: i64) -> Option<&Tier> {
        self.tiers.iter().find(|tier| tier.min_days.is_none_or(|least| days >= i64::from(least)))
    }
}

impl Tier {
    /// What this tier gives back of an amount: all of it, or whole rupees.
    pub fn of(&self, amount: Paise) -> Paise {
        if self.percent >= BasisPoints(10_000) {
            amount
        } else {
            amount.share(self.percent).round_to_rupee().min(amount)
        }
    }
}

/// The part of an amount that falls to the person `at` this place among `count`. The
/// parts of all of them come to the amount exactly.
pub fn part(amount: Paise, count: u32, at: usize) -> Paise {
    let (count, amount) = (i64::from(count.max(1)), amount.0.max(0));
    let extra = i64::try_from(at).is_ok_and(|at| at < amount % count);
    Paise(amount / count + i64::from(extra))
}

/// What a participant's place in the booking's money was when it was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Severance {
    /// Of what had been paid, what was for this participant.
    pub paid: Paise,
    /// Of its share, what had not been paid and now need not be.
    pub waived: Paise,
}

/// Who is cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everybody who is left.
    Entire,
    /// These participants; unknown and cancelled ones are passed over.
    Participants(Vec<Id>),
}

/// How a refund is to be reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundChoice {
    /// By the policy.
    Auto,
    /// All that was paid for it, whatever the date.
    Full,
    /// So much; for several participants, shared out among them.
    Custom(Paise),
    Nothing,
}

impl RefundChoice {
    pub fn kind(self) -> RefundType {
        match self {
            Self::Auto | Self::Nothing => RefundType::Auto,
            Self::Full => RefundType::Full,
            Self::Custom(_) => RefundType::Custom,
        }
    }
}

/// What goes back for one participant, or for the whole booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundPart {
    pub participant: Option<Id>,
    /// Out of which payment; none: the owner's.
    pub payment: Option<String>,
    /// Share of the frozen total.
    pub share: Paise,
    pub severance: Severance,
    pub refund: Paise,
}

/// A refund that is more than there is to give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch {
    pub asked: Paise,
    pub available: Paise,
}

/// What a cancellation gives back, part by part.
///
/// # Errors
/// [`TooMuch`] for a custom amount above what is captured and not given back.
pub fn refund_parts(
    booking: &Booking,
    scope: &Scope,
    choice: RefundChoice,
    tier: &Tier,
) -> Result<Vec<RefundPart>, TooMuch> {
    let mut parts = match scope {
        Scope::Entire if booking.split.is_some() => payers(booking),
        Scope::Entire => vec![whole(booking)],
        Scope::Participants(ids) => each(booking, ids),
    };
    let mut left = booking.refundable();
    let sharers = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let paid: Vec<_> = parts.iter().map(|part| part.severance.paid).collect();
    if let RefundChoice::Custom(asked) = choice
        && !parts.is_empty()
        && (asked > left || asked < Paise::ZERO)
    {
        return Err(TooMuch { asked, available: left });
    }
    for (at, part) in parts.iter_mut().enumerate() {
        let wanted = match choice {
            RefundChoice::Auto => part.severance.paid - (part.share - tier.of(part.share)),
            RefundChoice::Full => part.severance.paid,
            RefundChoice::Custom(asked) => match scope {
                // Several have paid for the booking.
                Scope::Entire if sharers > 1 => in_proportion(asked, &paid).get(at).copied().unwrap_or_default(),
                Scope::Entire | Scope::Participants(_) => self::part(asked, sharers, at),
            },
            RefundChoice::Nothing => Paise::ZERO,
        };
        part.refund = wanted.clamp(Paise::ZERO, left);
        left = left - part.refund;
    }
    Ok(parts)
}

/// The booking as far as nobody was cancelled yet.
fn whole(booking: &Booking) -> RefundPart {
    let gone: Paise = booking.cancelled().map(|(at, _)| booking.share(at)).sum();
    let share = booking.agreed_total() - gone;
    let paid = booking.paid_by_active();
    let severance = Severance { paid, waived: (share - paid).max(Paise::ZERO) };
    RefundPart { participant: None, payment: None, share, severance, refund: Paise::ZERO }
}

/// The booking by who has paid for it, so that each gets back of their own: a charge is
/// taken of what was paid, and nobody bears that of somebody who has not.
fn payers(booking: &Booking) -> Vec<RefundPart> {
    let mut shares: BTreeMap<PaidBy, Paise> = BTreeMap::new();
    for (at, participant) in booking.participants.iter().enumerate().filter(|(_, p)| !p.is_cancelled) {
        *shares.entry(booking.paid_by(participant.id)).or_default() += booking.share(at);
    }
    let parts = shares.into_iter().filter_map(|(payer, share)| {
        let payment = match payer {
            PaidBy::Owner => None,
            PaidBy::Share(payment) => Some(payment),
            PaidBy::Nobody => return None,
        };
        let severance = Severance { paid: share, waived: Paise::ZERO };
        Some(RefundPart { participant: None, payment, share, severance, refund: Paise::ZERO })
    });
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { vec![whole(booking)] } else { parts }
}

fn each(booking: &Booking, ids: &[Id]) -> Vec<RefundPart> {
    let (paid, active) = (booking.paid_by_active(), booking.seats());
    let places = booking.participants.iter().enumerate().filter(|(_, participant)| !participant.is_cancelled);
    let chosen = places.enumerate().filter(|(_, (_, participant))| ids.contains(&participant.id));
    let parts = chosen.map(|(among_active, (at, participant))| {
        let share = booking.share(at);
        let payer = booking.split.as_ref().map(|_| booking.paid_by(participant.id));
        let paid = match payer {
            None => part(paid, active, among_active).min(share),
            Some(PaidBy::Nobody) => Paise::ZERO,
            Some(PaidBy::Owner | PaidBy::Share(_)) => share,
        };
        let payment = match payer {
            Some(PaidBy::Share(payment)) => Some(payment),
            Some(PaidBy::Owner | PaidBy::Nobody) | None => None,
        };
        RefundPart {
            participant: Some(participant.id),
            payment,
            share,
            severance: Severance { paid, waived: share - paid },
            refund: Paise::ZERO,
        }
    });
    parts.collect()
}

/// A refund that was decided, until payment and the provider are done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundRequest {
    /// Payment makes one refund of a key, however often it is asked.
    pub key: String,
    /// None: for the booking itself.
    pub participant: Option<Id>,
    /// The payment it has to come out of; none: whichever payment has it.
    pub payment: Option<String>,
    pub amount: Paise,
    pub kind: RefundType,
    pub reason: String,
    /// The account that decided it; none: the system.
    pub requested_by: Option<Id>,
    pub requested_at: Timestamp,
    /// It becomes a voucher instead of going back.
    #[serde(default)]
    pub voucher: Option<VoucherTerms>,
    /// Whether payment has taken it over.
    pub asked: bool,
    pub status: RefundStatus,
    /// When the money was back.
    pub settled_at: Option<Timestamp>,
}

impl Booking {
    /// The frozen total, less what was taken off it afterwards.
    pub fn agreed_total(&self) -> Paise {
        self.price.total - self.reduction
    }

    /// What of that total falls to the participant at this place.
    pub fn share(&self, at: usize) -> Paise {
        part(self.agreed_total(), self.count(), at)
    }

    /// Participants that were cancelled, with their places.
    fn cancelled(&self) -> impl Iterator<Item = (usize, &Participant)> {
        self.participants.iter().enumerate().filter(|(_, participant)| participant.is_cancelled)
    }

    /// What is to be paid in all: the frozen total, less what cancelled participants
    /// need no longer pay.
    pub fn due_total(&self) -> Paise {
        let severed = self.cancelled().filter_map(|(_, participant)| participant.severance);
        self.agreed_total() - severed.map(|severance| severance.waived).sum::<Paise>()
    }

    /// Of what was paid, what is for those who are not cancelled. Money above the price
    /// is for nobody: it is payment's to give back.
    fn paid_by_active(&self) -> Paise {
        let severed = self.cancelled().filter_map(|(_, participant)| participant.severance);
        let gone: Paise = severed.map(|severance| severance.paid).sum();
        (self.paid.min(self.due_total()) - gone).max(Paise::ZERO)
    }

    /// Captured, and neither given back nor on its way back.
    pub fn refundable(&self) -> Paise {
        (self.paid - self.refunded).max(Paise::ZERO)
    }

    /// Tax on what was paid for the trip and is kept, rounded half up to a paisa.
    pub fn tax_on_kept(&self) -> Paise {
        let total = i128::from(self.price.total.0.max(1));
        let tax = i128::from((self.price.gst + self.price.gst_included).0);
        let kept = i128::from(self.refundable().0).min(total);
        Paise(i64::try_from((2 * tax * kept + total) / (2 * total)).unwrap_or(i64::MAX))
    }

    /// An amount that goes back, by who has paid: none of nothing.
    pub fn by_payer(&self, amount: Paise) -> Vec<(Option<String>, Paise)> {
        let payers = if self.has_paid_shares() { payers(self) } else { vec![whole(self)] };
        let shares: Vec<_> = payers.iter().map(|payer| payer.share).collect();
        let parts = payers.into_iter().map(|payer| payer.payment).zip(in_proportion(amount, &shares));
        parts.filter(|(_, part)| *part > Paise::ZERO).collect()
    }

    /// Whether money went back, is going back, or should have.
    pub fn has_refunds(&self) -> bool {
        let any = |status| status != RefundStatus::NotApplicable;
        self.refunded > Paise::ZERO
            || any(self.refund_status)
            || self.participants.iter().any(|participant| any(participant.refund_status))
    }

    /// Notes a refund that is to be made: the booking asks payment for it until payment
    /// has taken it over.
    pub fn request_refund(&mut self, request: RefundRequest) {
        self.refunded += request.amount;
        self.refund_requests.push(request);
        self.show_refunds(&[]);
    }

    /// Payment has a refund in hand.
    pub fn refund_asked(&mut self, key: &str) {
        if let Some(request) = self.refund_requests.iter_mut().find(|request| request.key == key) {
            request.asked = true;
        }
    }

    /// Payment refused a refund for good: staff have to look.
    pub fn refund_refused(&mut self, key: &str) {
        let Some(request) = self.refund_requests.iter_mut().find(|request| request.key == key && !request.asked) else {
            return;
        };
        request.asked = true;
        request.status = RefundStatus::Failed;
        self.refunded = self.refunded - request.amount;
        self.show_refunds(&[]);
    }

    /// Brings everything about refunds to what was heard of them. `heard` are all
    /// refunds of the booking that are known.
    pub fn hear_refunds(&mut self, heard: &[Refund]) {
        for request in &mut self.refund_requests {
            let own = || heard.iter().filter(|refund| refund.key.as_deref() == Some(request.key.as_str()));
            if own().next().is_none() {
                continue;
            }
            let done: Paise = own().filter(|refund| refund.status == RefundStatus::Success).map(|r| r.amount).sum();
            request.asked = true;
            request.status = match () {
                () if own().any(|refund| refund.status == RefundStatus::Failed) => RefundStatus::Failed,
                () if done >= request.amount => RefundStatus::Success,
                () => RefundStatus::Processing,
            };
            let last = own().map(|refund| refund.at).max();
            request.settled_at = last.filter(|_| request.status == RefundStatus::Success);
        }
        let lives = |refund: &&Refund| refund.status != RefundStatus::Failed;
        let of_requests: Paise = self
            .refund_requests
            .iter()
            .map(|request| match request.status {
                RefundStatus::Failed => heard
                    .iter()
                    .filter(|r| r.key.as_deref() == Some(request.key.as_str()))
                    .filter(lives)
                    .map(|r| r.amount)
                    .sum(),
                _ => request.amount,
            })
            .sum();
        let others: Vec<Refund> = heard.iter().filter(|refund| !self.asked_for(refund)).cloned().collect();
        self.refunded = of_requests + others.iter().filter(lives).map(|refund| refund.amount).sum::<Paise>();
        self.show_refunds(&others);
    }

    fn asked_for(&self, refund: &Refund) -> bool {
        self.refund_requests.iter().any(|request| refund.key.as_deref() == Some(request.key.as_str()))
    }

    /// Sets what clients read about refunds. Money is shown in one place only: with the
    /// participant it is for, or with the booking. `others` are refunds that the booking
    /// did not ask for; a cancelled booking shows them too.
    fn show_refunds(&mut self, others: &[Refund]) {
        let summary = |participant: Option<Id>| {
            let of = self.refund_requests.iter().filter(move |request| request.participant == participant);
            of.map(|request| (request.status, request.amount, request.settled_at)).collect::<Vec<_>>()
        };
        let mut own = summary(None);
        if self.status == Status::Cancelled {
            let amount = |refund: &Refund| {
                if refund.status == RefundStatus::Failed { Paise::ZERO } else { refund.amount }
            };
            own.extend(others.iter().map(|refund| (refund.status, amount(refund), Some(refund.at))));
        }
        let of_participants: Vec<_> =
            self.participants.iter().map(|participant| summary(Some(participant.id))).collect();
        if !own.is_empty() {
            (self.refund_status, self.refund_amount, self.refund_date) = shown(&own);
        }
        for (participant, own) in self.participants.iter_mut().zip(of_participants) {
            if !own.is_empty() {
                (participant.refund_status, participant.refund_amount, participant.refund_date) = shown(&own);
            }
        }
    }
}

/// The state of several refunds in one: failed if one failed, done when all are.
fn shown(refunds: &[(RefundStatus, Paise, Option<Timestamp>)]) -> (RefundStatus, Paise, Option<Timestamp>) {
    let any = |status| refunds.iter().any(|(one, ..)| *one == status);
    let status = match () {
        () if any(RefundStatus::Failed) => RefundStatus::Failed,
        () if any(RefundStatus::Processing) || any(RefundStatus::Pending) => RefundStatus::Processing,
        () if any(RefundStatus::Success) => RefundStatus::Success,
        () => RefundStatus::NotApplicable,
    };
    let date = refunds.iter().filter_map(|(.., at)| *at).max().filter(|_| status == RefundStatus::Success);
    (status, refunds.iter().map(|(_, amount, _)| *amount).sum(), date)
}

#[cfg(test)]
pub(super) mod tests;
