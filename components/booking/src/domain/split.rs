//! A booking whose price several people pay, each a share, by a link of their own.
//!
//! A share is for participants, and is what their places in the price come to; so shares
//! and the owner's own part are the total, to the paisa. The owner pays first, which makes
//! the booking; what the shares come to is a balance then, and whoever pays one lessens it.
//! The owner can pay all that is left at any time. Who has not paid at the deadline does
//! not come along: the others keep their seats, and are owed nothing for it and owe nothing.

use cairn_shared::{
    Id, Paise, Timestamp, Zone,
    time::{DAY, HOUR},
    validate::Email,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Booking, PartialPayment, Participant, Payment, PaymentMode, Refusal, Status, is_about_to_pay};

/// How long others have to pay where the owner does not say, in hours: until that day ends.
const HOURS: u32 = 48;

/// The longest time that they can be given, in hours.
pub const SPLIT_HOURS_MAX: u32 = 7 * 24;

/// A time in which nobody could pay, in ms.
const TIME_MIN: i64 = HOUR;

/// Providers take no payment below one rupee.
const SHARE_MIN: Paise = Paise::rupees(1);

/// Others than the owner who pay.
const SHARES_MAX: usize = 50;

const NAME_CHARS_MAX: usize = 100;

/// How the price of a booking is shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// The end of a day, as people read it.
    pub deadline: Timestamp,
    pub shares: Vec<Share>,
    /// How it was to be paid before, should it be again.
    mode_before: PaymentMode,
    partial_before: Option<PartialPayment>,
}

/// What somebody else than the owner pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    pub id: Id,
    /// For whom; at least one.
    pub participants: Vec<Id>,
    /// Who pays.
    pub name: String,
    pub email: String,
    /// SHA-256 of the link's token, in hex: the token itself is not here.
    pub digest: String,
    pub payment: Option<SharePayment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharePayment {
    pub id: String,
    pub amount: Paise,
    pub at: Timestamp,
}

/// A share as the owner wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewShare {
    pub participants: Vec<Id>,
    /// None: as the first of the participants.
    pub name: Option<String>,
    pub email: Option<String>,
}

/// How the owner wants to share the price.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewSplit {
    pub hours: Option<u32>,
    /// None: everybody with an address of their own pays for themselves.
    pub shares: Option<Vec<NewShare>>,
}

/// A share that can be paid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenShare {
    pub id: Id,
    pub amount: Paise,
    pub digest: String,
    pub expires_at: Timestamp,
}

/// How a share stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareState {
    /// The owner has not paid yet, so nobody else can.
    Waiting,
    Open,
    Paid,
    /// The owner paid it, or those it is for do not come.
    Closed,
}

impl ShareState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Closed => "closed",
        }
    }
}

/// Who has paid for a participant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaidBy {
    Owner,
    /// By this payment.
    Share(String),
    Nobody,
}

/// The last part of a share's link. Who does not know the booking's secret cannot make it.
pub fn share_token(booking: Id, share: Id, secret: &str) -> String {
    let signature = Id::derive(&["share", secret, &booking.to_string(), &share.to_string()]);
    format!("{booking}{share}{signature}")
}

/// The booking and the share that a token names, whoever has made it.
pub fn share_of_token(token: &str) -> Option<(Id, Id)> {
    let (booking, rest) = token.split_at_checked(24)?;
    let (share, signature) = rest.split_at_checked(24)?;
    signature.parse::<Id>().ok()?;
    Some((booking.parse().ok()?, share.parse().ok()?))
}

fn digest(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Share {
    /// Whether a token is that of this share.
    pub fn is_opened_by(&self, token: &str) -> bool {
        self.digest == digest(token)
    }
}

/// The booking with its price shared. `secret` signs the links.
///
/// # Errors
/// [`Refusal`] says why it cannot be.
pub fn split(
    booking: &Booking,
    new: &NewSplit,
    secret: &str,
    ids: &mut dyn FnMut() -> Id,
    zone: Zone,
    now: Timestamp,
) -> Result<Booking, Refusal> {
    if booking.status != Status::PendingPayment || booking.session_over(now) || booking.custom {
        return Err(Refusal::SplitUnpaidOnly);
    }
    let mut shared = booking.unsplit();
    if shared.participants.len() != usize::try_from(shared.count()).unwrap_or(usize::MAX) {
        return Err(Refusal::SplitNeedsDetails);
    }
    let wanted = new.shares.clone().unwrap_or_else(|| for_themselves(&shared));
    let shares: Result<Vec<_>, _> = wanted.iter().map(|share| checked(&shared, share, secret, ids())).collect();
    let shares = shares?;
    let mut paid_for: Vec<_> = shares.iter().flat_map(|share| share.participants.iter().copied()).collect();
    paid_for.sort_unstable();
    let all = paid_for.len();
    paid_for.dedup();
    if shares.is_empty() || shares.len() > SHARES_MAX || paid_for.len() != all || all >= shared.participants.len() {
        return Err(Refusal::SplitShares(SHARES_MAX));
    }
    let remaining: Paise = shares.iter().map(|share| shared.price_for(&share.participants)).sum();
    let initial = shared.agreed_total() - remaining;
    let too_small = |share: &Share| shared.price_for(&share.participants) < SHARE_MIN;
    if initial < SHARE_MIN || shares.iter().any(too_small) {
        return Err(Refusal::SplitTooSmall);
    }
    let deadline = deadline(&shared, new.hours.unwrap_or(HOURS), zone, now)?;
    let (mode_before, partial_before) = (shared.mode, shared.partial.take());
    shared.mode = PaymentMode::Partial;
    shared.partial = Some(PartialPayment {
        initial,
        remaining,
        due: deadline,
        reminder_sent_at: None,
        initial_paid_at: None,
        final_paid_at: None,
    });
    shared.split = Some(Split { deadline, shares, mode_before, partial_before });
    Ok(shared)
}

/// The end of a day, and before the day of the start.
fn deadline(booking: &Booking, hours: u32, zone: Zone, now: Timestamp) -> Result<Timestamp, Refusal> {
    if !(1..=SPLIT_HOURS_MAX).contains(&hours) {
        return Err(Refusal::SplitHours(SPLIT_HOURS_MAX));
    }
    let day = zone.start_of_day(now.plus(i64::from(hours) * HOUR)).plus(DAY);
    let end = day.min(zone.start_of_day(booking.batch_start)).plus(-1);
    if end < now.plus(TIME_MIN) { Err(Refusal::SplitTooLate) } else { Ok(end) }
}

fn for_themselves(booking: &Booking) -> Vec<NewShare> {
    let is_owner = |participant: &Participant| participant.email.eq_ignore_ascii_case(&booking.contact.email);
    // Where nobody is known by the owner's address, the owner is the first.
    let unnamed = usize::from(!booking.participants.iter().any(is_owner));
    let others = booking.participants.iter().skip(unnamed);
    let others = others.filter(|participant| !participant.email.is_empty() && !is_owner(participant));
    others.map(|participant| NewShare { participants: vec![participant.id], name: None, email: None }).collect()
}

fn checked(booking: &Booking, new: &NewShare, secret: &str, id: Id) -> Result<Share, Refusal> {
    let known = |id: &Id| booking.participants.iter().find(|participant| participant.id == *id);
    let people: Option<Vec<&Participant>> = new.participants.iter().map(known).collect();
    let people = people.ok_or(Refusal::NoSuchParticipant)?;
    let first = people.first().ok_or(Refusal::SplitShares(SHARES_MAX))?;
    let name = new.name.as_ref().unwrap_or(&first.name).trim().to_owned();
    let email = new.email.as_ref().unwrap_or(&first.email);
    let (name, email) = payer(&name, email)?;
    Ok(Share {
        id,
        participants: new.participants.clone(),
        name,
        email,
        digest: digest(&share_token(booking.id, id, secret)),
        payment: None,
    })
}

fn payer(name: &str, email: &str) -> Result<(String, String), Refusal> {
    let named = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    let email = Email::parse(email).ok().filter(|_| named).ok_or(Refusal::SharePayer(NAME_CHARS_MAX))?;
    Ok((name.to_owned(), email.to_string()))
}

/// The booking with another payer for a share that is not paid: the link before is void.
/// `id` and `secret` make the new one.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn readdress(
    booking: &Booking,
    share: Id,
    (name, email): (&str, &str),
    secret: &str,
    id: Id,
) -> Result<Booking, Refusal> {
    let mut changed = booking.clone();
    match booking.share_state(share).ok_or(Refusal::NoSuchShare)? {
        ShareState::Waiting | ShareState::Open => {}
        ShareState::Paid | ShareState::Closed => return Err(Refusal::ShareOver),
    }
    let (name, email) = payer(name.trim(), email)?;
    let shares = changed.split.as_mut().map(|split| split.shares.iter_mut()).into_iter().flatten();
    for found in shares.filter(|found| found.id == share) {
        found.id = id;
        found.digest = digest(&share_token(booking.id, id, secret));
        (found.name, found.email) = (name.clone(), email.clone());
    }
    Ok(changed)
}

impl Booking {
    /// As it was before its price was shared; itself if it is not.
    pub fn unsplit(&self) -> Self {
        let mut alone = self.clone();
        if let Some(split) = alone.split.take() {
            (alone.mode, alone.partial) = (split.mode_before, split.partial_before);
        }
        alone
    }

    /// The share with this id, however it stands.
    pub fn share_with(&self, id: Id) -> Option<&Share> {
        self.split.as_ref()?.shares.iter().find(|share| share.id == id)
    }

    pub fn share_state(&self, id: Id) -> Option<ShareState> {
        let share = self.share_with(id)?;
        Some(match self.status {
            _ if share.payment.is_some() => ShareState::Paid,
            _ if self.price_for(&share.participants) == Paise::ZERO => ShareState::Closed,
            Status::PendingPayment | Status::Creating => ShareState::Waiting,
            Status::PaymentConfirmedPartial => ShareState::Open,
            _ => ShareState::Closed,
        })
    }

    /// What the places of these participants come to, as far as they come.
    pub fn price_for(&self, participants: &[Id]) -> Paise {
        let coming = self.participants.iter().enumerate().filter(|(_, participant)| !participant.is_cancelled);
        let among = coming.filter(|(_, participant)| participants.contains(&participant.id));
        among.map(|(at, _)| self.share(at)).sum()
    }

    /// Shares that wait to be paid, with what each comes to.
    pub fn open_shares(&self) -> impl Iterator<Item = (&Share, Paise)> {
        let shares = self.split.iter().flat_map(|split| &split.shares);
        let open = shares.filter(|share| self.share_state(share.id) == Some(ShareState::Open));
        open.map(|share| (share, self.price_for(&share.participants)))
    }

    /// What others can pay of what is owed now: never more than that.
    pub fn shares_of(&self, owed: Paise) -> Vec<OpenShare> {
        let Some(split) = &self.split else { return Vec::new() };
        let mut left = owed;
        let mut open = Vec::new();
        for (share, amount) in self.open_shares() {
            let amount = amount.min(left);
            if amount >= SHARE_MIN {
                left = left - amount;
                open.push(OpenShare { id: share.id, amount, digest: share.digest.clone(), expires_at: split.deadline });
            }
        }
        open
    }

    /// When those who have not paid their share lose their seats; none where all have.
    pub fn shares_due(&self) -> Option<Timestamp> {
        let split = self.split.as_ref()?;
        self.open_shares().next().map(|_| split.deadline)
    }

    /// Who lost their seats by now: those for whom nobody has paid.
    pub fn lapsed(&self, now: Timestamp) -> Vec<Id> {
        if self.shares_due().is_none_or(|due| due > now) || is_about_to_pay(self, now) {
            return Vec::new();
        }
        let coming = self.participants.iter().filter(|participant| !participant.is_cancelled);
        let unpaid = coming.filter(|participant| self.paid_by(participant.id) == PaidBy::Nobody);
        unpaid.map(|participant| participant.id).collect()
    }

    /// Who has paid for a participant of a booking whose price is shared.
    pub fn paid_by(&self, participant: Id) -> PaidBy {
        let shares = || self.split.iter().flat_map(|split| &split.shares);
        match shares().find(|share| share.participants.contains(&participant)) {
            None => PaidBy::Owner,
            Some(Share { payment: Some(payment), .. }) => PaidBy::Share(payment.id.clone()),
            Some(_) if self.paid >= self.due_total() => PaidBy::Owner,
            Some(_) => PaidBy::Nobody,
        }
    }

    /// Notes that somebody has paid a share.
    pub(super) fn record_share(&mut self, payment: &Payment) {
        let shares = self.split.as_mut().map(|split| split.shares.iter_mut()).into_iter().flatten();
        for share in shares.filter(|share| Some(share.id) == payment.share) {
            let (id, amount, at) = (payment.id.clone(), payment.amount, payment.captured_at);
            share.payment = Some(SharePayment { id, amount, at });
        }
    }

    /// A seat went to another person: whoever pays for it still does.
    pub(super) fn pass_share_on(&mut self, from: Id, to: Id) {
        let shares = self.split.as_mut().map(|split| split.shares.iter_mut()).into_iter().flatten();
        for participant in shares.flat_map(|share| &mut share.participants).filter(|id| **id == from) {
            *participant = to;
        }
    }

    /// A booking that lives again gives those who owe a share time to pay it.
    pub(super) fn give_time(&mut self, now: Timestamp) {
        let (start, wanted) = (self.batch_start, now.plus(i64::from(HOURS) * HOUR));
        let Some(split) = &mut self.split else { return };
        // By whole days, so that it stays the end of one.
        while split.deadline < wanted && split.deadline.plus(DAY) < start {
            split.deadline = split.deadline.plus(DAY);
        }
        split.deadline = split.deadline.max(now.plus(TIME_MIN));
        if let Some(partial) = &mut self.partial {
            partial.due = split.deadline;
            partial.reminder_sent_at = None;
        }
    }

    /// Whether others than its owner have paid for it.
    pub fn has_paid_shares(&self) -> bool {
        self.split.as_ref().is_some_and(|split| split.shares.iter().any(|share| share.payment.is_some()))
    }
}

/// Divides an amount in proportion to some weights: to the paisa, and nobody gets more than
/// a paisa beyond their part.
pub fn in_proportion(amount: Paise, weights: &[Paise]) -> Vec<Paise> {
    let all: i128 = weights.iter().map(|weight| i128::from(weight.0)).sum();
    let (mut seen, mut given) = (0_i128, 0_i128);
    let part = |weight: &Paise| {
        seen += i128::from(weight.0);
        let until = if all == 0 { 0 } else { i128::from(amount.0) * seen / all };
        let part = until - given;
        given = until;
        Paise(i64::try_from(part).unwrap_or_default())
    };
    weights.iter().map(part).collect()
}

#[cfg(test)]
mod tests;
