//! The rules of booking: no async, no I/O, no clock. `now` and ids are arguments.

mod agreed;
mod booking;
mod call_off;
mod cancellation;
mod creation;
mod declaration;
mod documents;
mod gift;
mod gst;
mod office;
mod offline;
mod participant;
mod payment;
mod price;
mod refund;
mod refusal;
mod reprice;
mod schedule;
mod shift;
mod split;
mod status;
mod tender;
mod transfer;

pub use agreed::{CustomBooking, ManualBooking, custom_booking, custom_sale, manual_booking, manual_sale};
pub use booking::{
    AddOnLine, Booking, CancellationRequest, CancelledBy, Contact, EmergencyContact, PartialPayment, PaymentError,
    PaymentMode, PromoUse, RefundStatus, RefundType, Remark, Session, User,
};
pub use call_off::{
    CHOICE_DAYS, CHOICE_DAYS_MAX, CREDIT_VALIDITY, CallOff, CalledOff, Choice, Worth, call_off, cheaper_by,
    choose_batch, choose_money, coming, token_parts, worth,
};
pub use cancellation::{Cancellation, cancel, restore, restore_participant};
pub use creation::{
    CreateError, Displayed, Draft, NewBooking, Quote, Sale, chosen, draft, participants_max, priced, renewed, sellable,
    sellable_by_staff,
};
pub use declaration::{AnswerKind, Clearance, Cleared, DeclarationForm, DeclarationState, Question, decide, declare};
pub use documents::{DocumentKind, Documented, DueDocument, Figures, document_due, figures, series};
pub use gift::{Card, GIFT_MAX, GIFT_MIN, Gift, GiftStatus, NewGift, gift};
pub use gst::{Billing, Gstin, InvalidGstin, InvalidState, State, Supply, supply};
pub use office::{OfficeMove, OfficeRefusal, office_move};
pub use offline::{OfflineDue, OfflineMethod, PaidStatus, Proof};
pub use participant::{
    EditedBy, Participant, ParticipantInput, ParticipantsError, edit_participants, merge_participants, newcomer, roster,
};
pub use payment::{CaptureOutcome, Kind, Payable, Payment, Refund, apply_capture, payable};
pub use price::{Breakdown, DiscountType, Instalments, add_ons_total, instalments, price};
pub use refund::{
    RefundChoice, RefundPart, RefundPolicy, RefundRequest, Scope, Severance, TIERS_MAX, Tier, TooMuch, part,
    refund_parts,
};
pub use refusal::Refusal;
pub use reprice::{Resale, may_be_resold, resold};
pub use schedule::{is_about_to_pay, is_finished, is_overdue, needs_balance_reminder, trip_reminder_span};
pub use shift::{NewRequest, RequestKind, Target, answer, ask, shift, target};
pub use split::{
    NewShare, NewSplit, OpenShare, PaidBy, SPLIT_HOURS_MAX, Share, SharePayment, ShareState, Split, in_proportion,
    readdress, share_of_token, share_token, split,
};
pub use status::{Next, StaffMove, Status, Trigger, Who, days_until, next, staff_move};
pub use tender::{IssuedVoucher, Offer, Tender, VoucherTerms};
pub use transfer::{TRANSFER_DAYS_MIN, transfer};

use cairn_shared::{BasisPoints, Id, Paise, Timestamp};

/// How the sale of a trek is taxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GstType {
    /// Contained in the price.
    Included,
    /// Added to the price.
    Excluded,
}

/// Who bears the payment provider's charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GatewayType {
    Customer,
    /// The operator.
    Own,
}

/// An optional service offered with a trek.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddOn {
    pub name: String,
    /// Per participant.
    pub price: Paise,
    pub enabled: bool,
}

/// How the first instalment is reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialAmount {
    /// Per participant.
    Fixed(Paise),
    /// Of the total.
    Percentage(BasisPoints),
}

/// The offer to pay in two instalments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialTerms {
    pub enabled: bool,
    pub initial: InitialAmount,
    /// Days before the start on which the balance is due.
    pub due_days: u32,
    pub auto_cancel: bool,
}

/// A question that a trek asks of every participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomField {
    pub name: String,
    pub required: bool,
}

/// What the sale of a trek depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub id: Id,
    pub name: String,
    pub enabled: bool,
    /// Sold only through a link of its own.
    pub custom: bool,
    /// When that link is void.
    pub custom_link_expiry: Option<Timestamp>,
    /// Per participant; what a custom trek costs.
    pub display_price: Paise,
    pub add_ons: Vec<AddOn>,
    pub gst: BasisPoints,
    pub gst_type: GstType,
    pub gateway: BasisPoints,
    pub gateway_type: GatewayType,
    pub partial: PartialTerms,
    pub custom_fields: Vec<CustomField>,
}

/// A trek as lists name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrekSummary {
    pub id: Id,
    pub name: String,
    pub image: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchStatus {
    Upcoming,
    Ongoing,
    Completed,
    Cancelled,
}

impl BatchStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upcoming => "upcoming",
            Self::Ongoing => "ongoing",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Dates on which a trek runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub id: Id,
    pub trek_id: Id,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Per participant.
    pub price: Paise,
    pub max_participants: u32,
    /// Seats that only staff may sell.
    pub reserved_slots: u32,
    pub taken: u32,
    pub status: BatchStatus,
}

impl Batch {
    /// Seats the public may still book.
    pub fn free(&self) -> u32 {
        self.max_participants.saturating_sub(self.reserved_slots).saturating_sub(self.taken)
    }
}
