//! What a notice about a booking tells.

use cairn_shared::{Paise, Timestamp};

use super::{PARTICIPANTS_MAX, Trip};

/// Something that people are told about a booked trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub trip: Trip,
    pub news: News,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    Confirmed(Confirmation),
    BalanceReceived(Settlement),
    Cancelled(Cancellation),
    /// To a participant, with the reason.
    SeatCancelled(String),
    SeatTransferred(Transfer),
    /// Names of those whose declaration is not approved yet.
    DeclarationWanted(Vec<String>),
    /// To staff, with the name of who declared.
    DeclarationReceived(String),
    DeclarationDecided(Clearance),
    DatesChanged(Move),
    RequestDeclined(Refusal),
    /// To staff.
    RequestReceived(Request),
    UnpaidCancelled(Balance),
    BalanceReminder(Balance),
    ShareAsked(ShareRequest),
    SharePaid(ShareReceipt),
    DetailsReminder,
    TripReminder,
    CalledOff(CallOff),
    VoucherIssued(Credit),
}

/// Somebody who comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub age: Option<u32>,
    pub gender: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    pub people: Vec<Person>,
    /// None for participants, who are not told the price.
    pub total: Option<Paise>,
    pub requests: String,
}

/// The last instalment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub amount: Paise,
    pub total: Paise,
    pub method: String,
    pub payment_id: String,
}

/// How a refund was reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundKind {
    Auto,
    Full,
    Custom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundState {
    Processing,
    Paid,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refund {
    pub kind: RefundKind,
    pub amount: Paise,
    pub state: RefundState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// Whether nobody of the booking comes any more.
    pub entire: bool,
    pub names: Vec<String>,
    pub reason: String,
    /// None: nothing goes back.
    pub refund: Option<Refund>,
}

/// A seat that went to another person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub old_name: String,
    pub new_name: String,
}

/// What staff decided about somebody's health and fitness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearance {
    pub name: String,
    pub approved: bool,
}

/// A move to the dates that the trip has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub old_start: Timestamp,
    pub old_end: Timestamp,
    /// What staff answered to the booker's request; none: nobody had asked.
    pub answer: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    Cancellation,
    Reschedule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: RequestKind,
    pub answer: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub kind: RequestKind,
    pub reason: String,
    pub customer: String,
    pub phone: String,
    /// The wished start of a reschedule.
    pub wanted_start: Option<Timestamp>,
}

/// Money still due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    pub amount: Paise,
    pub due: Timestamp,
}

/// A part of the price that somebody else than the booker pays.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareRequest {
    /// Who booked.
    pub by: String,
    pub amount: Paise,
    pub due: Timestamp,
    /// A secret: whoever has it can pay.
    pub link: String,
}

impl std::fmt::Debug for ShareRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShareRequest").field("amount", &self.amount).field("due", &self.due).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareReceipt {
    pub amount: Paise,
    pub method: String,
    pub payment_id: String,
}

/// A trip that the operator has called off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOff {
    pub reason: String,
    /// What can go back, and what a voucher would have; zero: no voucher.
    pub refund: Paise,
    pub voucher: Paise,
    pub deadline: Timestamp,
    /// Where the booker chooses.
    pub link: String,
}

/// Money that became a voucher.
#[derive(Clone, PartialEq, Eq)]
pub struct Credit {
    /// A secret: with it anybody can pay.
    pub code: String,
    pub amount: Paise,
    pub expires: Timestamp,
}

impl std::fmt::Debug for Credit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credit").field("amount", &self.amount).field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl News {
    /// The name of the kind, for the log and the table.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Confirmed(_) => "booking-confirmed",
            Self::BalanceReceived(_) => "balance-received",
            Self::Cancelled(_) => "booking-cancelled",
            Self::SeatCancelled(_) => "seat-cancelled",
            Self::SeatTransferred(_) => "seat-transferred",
            Self::DeclarationWanted(_) => "declaration-wanted",
            Self::DeclarationReceived(_) => "declaration-received",
            Self::DeclarationDecided(_) => "declaration-decided",
            Self::DatesChanged(_) => "dates-changed",
            Self::RequestDeclined(_) => "request-declined",
            Self::RequestReceived(_) => "request-received",
            Self::UnpaidCancelled(_) => "unpaid-cancelled",
            Self::BalanceReminder(_) => "balance-reminder",
            Self::ShareAsked(_) => "share-asked",
            Self::SharePaid(_) => "share-paid",
            Self::DetailsReminder => "details-reminder",
            Self::TripReminder => "trip-reminder",
            Self::CalledOff(_) => "called-off",
            Self::VoucherIssued(_) => "voucher-issued",
        }
    }

    /// Whether it names more people than one mail may.
    pub(super) fn is_too_long(&self) -> bool {
        match self {
            Self::Confirmed(confirmation) => confirmation.people.len() > PARTICIPANTS_MAX,
            Self::Cancelled(cancellation) => cancellation.names.len() > PARTICIPANTS_MAX,
            Self::DeclarationWanted(names) => names.len() > PARTICIPANTS_MAX,
            _ => false,
        }
    }
}
