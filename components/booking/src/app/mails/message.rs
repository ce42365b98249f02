//! Mails as notification takes them.

use cairn_shared::{Id, Paise, Timestamp};

use crate::domain::{RefundStatus, RefundType, RequestKind};

/// A trip as mails name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    pub booking_id: Id,
    pub booking_code: String,
    pub trek_name: String,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Who comes.
    pub participants: Vec<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    PaymentReceived {
        trip: Trip,
        amount: Paise,
        remaining: Paise,
        due: Option<Timestamp>,
        method: String,
        payment_id: String,
    },
    Invoice(Trip),
    /// A voucher that somebody has bought for the reader.
    Gift {
        from: String,
        words: String,
        code: String,
        amount: Paise,
        expires_at: Timestamp,
    },
    Notice(Trip, News),
}

/// What people are told about a booked trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The total is for the booker alone.
    Confirmed {
        people: Vec<Person>,
        total: Option<Paise>,
        requests: String,
    },
    BalanceReceived {
        amount: Paise,
        total: Paise,
        method: String,
        payment_id: String,
    },
    Cancelled {
        entire: bool,
        names: Vec<String>,
        reason: String,
        refund: Option<RefundNews>,
    },
    SeatCancelled {
        reason: String,
    },
    SeatTransferred {
        old_name: String,
        new_name: String,
    },
    DeclarationWanted {
        /// Who is not cleared yet.
        names: Vec<String>,
    },
    /// To staff.
    DeclarationReceived {
        name: String,
    },
    DeclarationDecided {
        name: String,
        approved: bool,
    },
    DatesChanged {
        old_start: Timestamp,
        old_end: Timestamp,
        answer: Option<String>,
    },
    RequestDeclined {
        kind: RequestKind,
        answer: String,
    },
    /// To staff.
    RequestReceived {
        kind: RequestKind,
        reason: String,
        customer: String,
        phone: String,
        wanted_start: Option<Timestamp>,
    },
    UnpaidCancelled {
        balance: Paise,
        due: Timestamp,
    },
    BalanceReminder {
        balance: Paise,
        due: Timestamp,
    },
    /// To who is to pay a share.
    ShareAsked {
        /// Who booked.
        by: String,
        amount: Paise,
        due: Timestamp,
        /// Where it is paid.
        link: String,
    },
    /// To who has paid a share.
    SharePaid {
        amount: Paise,
        method: String,
        payment_id: String,
    },
    DetailsReminder,
    TripReminder,
    CalledOff {
        reason: String,
        /// What was paid and not given back.
        refund: Paise,
        voucher: Paise,
        deadline: Timestamp,
        /// Where the booker chooses.
        link: String,
    },
    VoucherIssued {
        code: String,
        amount: Paise,
        expires_at: Timestamp,
    },
}

/// Somebody who comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub age: Option<u32>,
    pub gender: Option<String>,
}

/// What goes back, and how far that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundNews {
    pub kind: RefundType,
    pub amount: Paise,
    pub status: RefundStatus,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub file_name: String,
    pub content_type: &'static str,
    pub content: Vec<u8>,
}

/// A mail to one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same key is queued once.
    pub key: String,
    pub name: String,
    pub email: String,
    pub message: Message,
    pub attachments: Vec<Attachment>,
}

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailError {
    /// It never will be.
    Invalid(String),
    Unavailable(String),
}
