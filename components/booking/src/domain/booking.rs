//! A booking and its parts.

use cairn_shared::{BasisPoints, Id, Paise, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Billing, Breakdown, CalledOff, Clearance, DiscountType, Next, OfflineDue, Participant, Payment, RefundPolicy,
    RefundRequest, Split, Status, Tender, Trigger, Who, next,
};

/// The account a booking belongs to, as it was when the booking was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: Id,
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
}

/// Whom to reach about a booking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    pub name: String,
    pub email: String,
    pub phone: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyContact {
    pub name: String,
    pub phone: String,
    pub relation: String,
}

/// An add-on that was bought, at the trek's price for each participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddOnLine {
    pub id: Id,
    pub name: String,
    pub price: Paise,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaymentMode {
    Full,
    Partial,
}

impl PaymentMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
        }
    }
}

/// A payment in two instalments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartialPayment {
    pub initial: Paise,
    /// Still to be paid after the first instalment.
    pub remaining: Paise,
    pub due: Timestamp,
    pub reminder_sent_at: Option<Timestamp>,
    pub initial_paid_at: Option<Timestamp>,
    pub final_paid_at: Option<Timestamp>,
}

/// The time in which a booking can be paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    pub id: String,
    pub expires_at: Timestamp,
    /// How often the customer came to pay.
    pub attempts: u32,
    pub last_attempt: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CancelledBy {
    User,
    Admin,
    System,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    Pending,
    Processing,
    Success,
    Failed,
    NotApplicable,
}

/// How a refund was reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefundType {
    Auto,
    Custom,
    Full,
}

/// The promo code a price was reckoned with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromoUse {
    pub id: Id,
    pub code: String,
    pub discount_type: DiscountType,
    /// Basis points or paise, by type.
    pub discount_value: i64,
    pub discount: Paise,
    /// Before discount and tax.
    pub original_price: Paise,
}

impl PromoUse {
    /// The value as clients read it: percent or rupees.
    pub fn value_on_wire(&self) -> serde_json::Value {
        match self.discount_type {
            DiscountType::Percentage => serde_json::json!(BasisPoints(self.discount_value)),
            DiscountType::Fixed => serde_json::json!(Paise(self.discount_value)),
        }
    }
}

/// An internal note. Customers never see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remark {
    #[serde(rename = "_id")]
    pub id: Id,
    pub remarks: String,
    pub added_by: Id,
    pub added_by_username: String,
    pub added_by_email: String,
    pub added_at: Timestamp,
}

/// What the owner asked staff for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancellationRequest {
    /// `cancellation` or `reschedule`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub reason: String,
    pub preferred_batch: Option<Id>,
    pub requested_at: Option<Timestamp>,
    /// `pending`, `approved` or `rejected`.
    pub status: Option<String>,
    pub admin_response: String,
    pub responded_at: Option<Timestamp>,
}

impl CancellationRequest {
    /// Whether it waits for an answer.
    pub fn is_pending(&self) -> bool {
        self.status.as_deref() == Some("pending")
    }
}

/// Why the last attempt to pay failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentError {
    pub code: String,
    pub description: String,
    pub timestamp: Timestamp,
}

/// A booking with everything that was agreed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Booking {
    pub id: Id,
    /// Rises with every change; 0 while it is being made.
    pub version: i64,
    pub user: User,
    pub trek_id: Id,
    pub trek_name: String,
    pub batch_id: Id,
    pub batch_start: Timestamp,
    pub batch_end: Timestamp,
    pub add_ons: Vec<AddOnLine>,
    pub contact: Contact,
    /// Whom documents name instead, and where that is.
    #[serde(default)]
    pub billing: Option<Billing>,
    pub emergency: Option<EmergencyContact>,
    pub price: Breakdown,
    pub promo: Option<PromoUse>,
    pub status: Status,
    pub mode: PaymentMode,
    pub partial: Option<PartialPayment>,
    pub session: Option<Session>,
    pub participants: Vec<Participant>,
    pub additional_requests: Option<String>,
    pub special_requirements: Option<String>,
    pub admin_remarks: String,
    pub remarks: Vec<Remark>,
    pub admin_created: bool,
    /// Staff gave it seats that only they may sell.
    #[serde(default)]
    pub staff_seats: bool,
    /// Of a custom trek, whose dates mean nothing.
    #[serde(default)]
    pub custom: bool,
    /// What the price list said where staff agreed on another price.
    #[serde(default)]
    pub list_total: Option<Paise>,
    pub cancellation_request: CancellationRequest,
    pub cancelled_at: Option<Timestamp>,
    pub cancelled_by: Option<CancelledBy>,
    pub cancellation_reason: String,
    pub refund_status: RefundStatus,
    pub refund_amount: Paise,
    pub refund_date: Option<Timestamp>,
    pub refund_type: RefundType,
    /// What a cancellation gives back, as it was agreed when the booking was made.
    #[serde(default)]
    pub policy: RefundPolicy,
    /// What has to be declared before it is confirmed, as it was when the booking was made.
    #[serde(default)]
    pub clearance: Option<Clearance>,
    /// Refunds that were decided, oldest first.
    #[serde(default)]
    pub refund_requests: Vec<RefundRequest>,
    /// The first captured payment.
    pub first_payment: Option<Payment>,
    pub payment_error: Option<PaymentError>,
    /// Captured, online and offline.
    pub paid: Paise,
    /// Given back, or on its way back.
    pub refunded: Paise,
    /// Money that staff have received and payment has not booked yet.
    #[serde(default)]
    pub offline_due: Option<OfflineDue>,
    /// What was taken off the price afterwards, because other dates cost less.
    #[serde(default)]
    pub reduction: Paise,
    /// Its batch was called off, and what its owner chose.
    #[serde(default)]
    pub called_off: Option<CalledOff>,
    /// What a voucher is to pay of what is owed now.
    #[serde(default)]
    pub tender: Option<Tender>,
    /// Others pay shares of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// When somebody last asked to pay the balance, or a share of it.
    #[serde(default)]
    pub balance_order_at: Option<Timestamp>,
    /// Why everything captured has to go back, until payment has taken that over. Set by
    /// an earlier version of this service alone.
    pub refund_due: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Booking {
    /// False while what is stored of it is its maker's intent, which nobody else sees.
    pub fn is_made(&self) -> bool {
        self.version > 0
    }

    /// The code people read out on the phone.
    pub fn code(&self) -> String {
        format!("BT{}", self.id.short_code())
    }

    /// How far it is paid, in a word.
    pub fn payment_status(&self) -> &'static str {
        match self.paid {
            Paise::ZERO => "Unpaid",
            paid if self.refunded >= paid => "Refunded",
            paid if paid >= self.due_total() => "Paid",
            _ => "Partially paid",
        }
    }

    /// All participants that were paid for, cancelled ones included.
    pub fn count(&self) -> u32 {
        self.price.count
    }

    /// Seats in use: cancelled participants have given theirs back.
    pub fn seats(&self) -> u32 {
        let cancelled = self.participants.iter().filter(|participant| participant.is_cancelled).count();
        self.count().saturating_sub(u32::try_from(cancelled).unwrap_or(u32::MAX))
    }

    /// Whether it may have seats that only staff may sell.
    pub fn may_use_reserved(&self) -> bool {
        self.admin_created || self.staff_seats
    }

    /// Whether the booking waits for a payment that may no longer come.
    pub fn session_over(&self, now: Timestamp) -> bool {
        self.status == Status::PendingPayment && self.session.as_ref().is_none_or(|session| session.expires_at <= now)
    }

    /// Whether anybody outside may know of it. An unpaid booking whose session is
    /// over is gone, whether or not a job has noticed.
    pub fn is_visible(&self, now: Timestamp) -> bool {
        self.status.is_public() && !self.session_over(now)
    }

    /// The state of a booking that is paid in full.
    pub fn status_when_paid(&self) -> Status {
        if self.is_ready() { Status::Confirmed } else { Status::PaymentCompleted }
    }

    /// The state that follows from what is paid.
    fn status_as_paid(&self) -> Status {
        match self.paid {
            _ if self.custom => Status::Confirmed,
            paid if paid >= self.due_total() => self.status_when_paid(),
            Paise::ZERO if self.status == Status::Cancelled => Status::Pending,
            Paise::ZERO => self.status,
            _ => Status::PaymentConfirmedPartial,
        }
    }

    /// Whether the rest that it waited for is no longer owed.
    pub fn is_paid_off(&self) -> bool {
        self.status == Status::PaymentConfirmedPartial && self.paid >= self.due_total()
    }

    /// Where a trigger by somebody leads this booking; none where it may not happen.
    pub fn next(&self, trigger: Trigger, who: Who) -> Option<Status> {
        Some(match next(self.status, trigger, who)? {
            Next::Same => self.status,
            Next::Becomes(status) => status,
            Next::AsPaid => self.status_as_paid(),
            Next::SameOrCancelled if self.seats() == 0 => Status::Cancelled,
            // Who did not come to pay is gone, and everybody else has paid.
            Next::SameOrCancelled if self.is_paid_off() => self.status_when_paid(),
            Next::SameOrCancelled => self.status,
            // What staff say was paid decides, where the booking is made.
            Next::OneOf(_) => return None,
        })
    }

    /// Whether the trip has begun. A custom trek's dates say nothing about that.
    pub fn has_started(&self, now: Timestamp) -> bool {
        !self.custom && self.batch_start <= now
    }

    /// Cancels the booking and everybody on it. Refunds are another decision.
    pub fn cancel(&mut self, by: CancelledBy, reason: &str, now: Timestamp) {
        self.status = Status::Cancelled;
        self.cancelled_at = Some(now);
        self.cancelled_by = Some(by);
        self.tender = None;
        reason.clone_into(&mut self.cancellation_reason);
        for participant in self.participants.iter_mut().filter(|participant| !participant.is_cancelled) {
            participant.cancel(reason, now);
        }
    }

    /// Undoes [`Booking::cancel`]; what was paid decides the state.
    pub fn restore(&mut self) {
        self.cancelled_at = None;
        self.cancelled_by = None;
        self.cancellation_reason.clear();
        self.participants.iter_mut().for_each(Participant::restore);
        self.status = self.status_as_paid();
        self.owe_the_rest();
    }

    /// What is left of two instalments follows from what is due and what is paid.
    pub fn owe_the_rest(&mut self) {
        let rest = (self.due_total() - self.paid).max(Paise::ZERO);
        if let Some(partial) = self.partial.as_mut().filter(|_| self.paid > Paise::ZERO) {
            partial.remaining = rest;
        }
    }
}
