//! The other services, as far as booking needs them.

use cairn_shared::{Id, Paise, Timestamp, async_trait};

use super::{Mail, MailError};
use crate::domain::{
    Batch, CreateError, Gift, IssuedVoucher, Offer, OfflineDue, Payable, Payment, Quote, RefundRequest, Tender, Terms,
    TrekSummary, VoucherTerms,
};

/// A service did not answer. Whether it did something is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// Seats to hold under a booking's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRequest {
    pub booking_id: Id,
    pub batch_id: Id,
    pub seats: u32,
    pub expires_at: Timestamp,
    /// Staff may also sell reserved seats.
    pub use_reserved: bool,
}

/// Seats that are kept for a booking under a key of their own until it moves there.
/// Staff sell them, reserved ones too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub key: String,
    pub batch_id: Id,
    pub seats: u32,
}

/// Why a refund is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundError {
    /// There is not that much to give back, or the request makes no sense: it never will be.
    Refused(String),
    Unavailable(String),
}

/// Why seats are not had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeatsError {
    BatchNotFound,
    SoldOut,
    Closed,
    NoHold,
    Unavailable(String),
}

/// An account as staff see it who book for a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub id: Id,
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    pub address: Option<String>,
    pub city: Option<String>,
    pub state: Option<String>,
    pub zip_code: Option<String>,
    pub country: Option<String>,
    /// Made by staff, not by the customer.
    pub created_by_staff: bool,
}

/// An account to be made for a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCustomer {
    pub name: String,
    pub email: String,
    pub phone: String,
    pub address: Option<String>,
    pub city: Option<String>,
    pub state: Option<String>,
    pub zip_code: Option<String>,
    pub country: Option<String>,
}

/// Why no account was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerError {
    /// The address or the number has one already.
    Taken,
    /// For people.
    Invalid(String),
    Unavailable(String),
}

/// Why money that staff received is not booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfflineError {
    /// It never will be.
    Refused(String),
    Unavailable(String),
}

/// What other services do for booking. Every call may be repeated.
#[async_trait(?Send)]
pub trait Peers {
    async fn fill_phone(&self, user_id: Id, phone: &str) -> Result<(), Unavailable>;
    async fn customer(&self, id: Id) -> Result<Option<Customer>, Unavailable>;
    async fn customer_by_phone(&self, phone: &str) -> Result<Option<Customer>, Unavailable>;
    async fn customer_create(&self, new: &NewCustomer) -> Result<Customer, CustomerError>;

    async fn trek_terms(&self, id: Id) -> Result<Option<Terms>, Unavailable>;
    async fn trek_summaries(&self, ids: &[Id]) -> Result<Vec<TrekSummary>, Unavailable>;

    async fn batch(&self, id: Id) -> Result<Option<Batch>, Unavailable>;
    async fn batches(&self, ids: &[Id]) -> Result<Vec<Batch>, Unavailable>;
    async fn batches_of_treks(&self, trek_ids: &[Id]) -> Result<Vec<Batch>, Unavailable>;

    /// Cancels a batch: nobody gets seats on it any more.
    async fn close_batch(&self, id: Id) -> Result<(), SeatsError>;

    async fn hold(&self, request: &HoldRequest) -> Result<(), SeatsError>;
    async fn extend(&self, booking_id: Id, expires_at: Timestamp) -> Result<(), SeatsError>;
    async fn confirm(&self, booking_id: Id) -> Result<(), SeatsError>;
    async fn release(&self, booking_id: Id) -> Result<(), SeatsError>;

    /// Makes the booking's seats so many, where they are. Staff may use reserved ones.
    async fn resize(&self, booking_id: Id, seats: u32) -> Result<(), SeatsError>;
    /// Keeps a place, for good.
    async fn reserve(&self, place: &Place) -> Result<(), SeatsError>;
    /// Gives a place back that was kept, or none.
    async fn unreserve(&self, key: &str) -> Result<(), SeatsError>;
    /// Moves the booking's seats to a place that was kept for them. It cannot be refused.
    async fn move_to(&self, booking_id: Id, place: &Place) -> Result<(), SeatsError>;

    /// A promo code on an order value before tax, for a booking that may hold a use already.
    async fn quote(
        &self,
        code: &str,
        trek_id: Id,
        order_value: Paise,
        booking_id: Option<Id>,
    ) -> Result<Quote, CreateError>;
    /// Opens what is owed, and has its voucher kept for it.
    async fn open(&self, payable: &Payable) -> Result<(), CreateError>;
    /// What a code pays of an amount, for a booking that may have some of it reserved.
    async fn voucher_offer(&self, code: &str, owed: Paise, booking_id: Option<Id>) -> Result<Offer, CreateError>;
    /// Has a voucher pay all that is owed.
    async fn redeem(&self, payable: &Payable, tender: &Tender) -> Result<Payment, CreateError>;
    async fn close(&self, booking_id: Id) -> Result<(), Unavailable>;
    async fn refund_all(&self, booking_id: Id, reason: &str) -> Result<(), Unavailable>;
    /// Has a refund made, once for its key. Payment tells what becomes of it.
    async fn refund(&self, booking_id: Id, request: &RefundRequest) -> Result<(), RefundError>;

    /// As [`Peers::refund`], and the money becomes a voucher in this customer's list.
    async fn credit(
        &self,
        booking_id: Id,
        owner: Id,
        request: &RefundRequest,
        terms: &VoucherTerms,
    ) -> Result<(), RefundError>;
    /// Makes what was paid for a gift its voucher.
    async fn gift(&self, gift: &Gift) -> Result<(), RefundError>;
    /// Gives the money of a gift back of which nothing was spent.
    async fn gift_return(&self, gift: &Gift) -> Result<(), RefundError>;
    /// The voucher that a refund, or a gift, became.
    async fn voucher(&self, key: &str) -> Result<IssuedVoucher, RefundError>;
    /// Books money that staff received for a booking of this customer.
    async fn record_offline(&self, booking_id: Id, user_id: Id, due: &OfflineDue) -> Result<Payment, OfflineError>;
    /// What payment has for a booking: captured less given back.
    async fn captured(&self, booking_id: Id) -> Result<Paise, Unavailable>;

    /// The trip is over, one way or the other: what was paid for it is earned, so much of it is tax.
    async fn earn(&self, booking_id: Id, tax: Paise) -> Result<(), Unavailable>;
    /// The trip is to take place after all.
    async fn defer(&self, booking_id: Id) -> Result<(), Unavailable>;

    async fn mail(&self, mail: &Mail) -> Result<(), MailError>;
}

/// Where nobody can be reached: every call answers that.
pub struct NoPeers;

fn nobody() -> String {
    "there are no other services here".to_owned()
}

#[async_trait(?Send)]
impl Peers for NoPeers {
    async fn fill_phone(&self, _: Id, _: &str) -> Result<(), Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn customer(&self, _: Id) -> Result<Option<Customer>, Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn customer_by_phone(&self, _: &str) -> Result<Option<Customer>, Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn customer_create(&self, _: &NewCustomer) -> Result<Customer, CustomerError> {
        Err(CustomerError::Unavailable(nobody()))
    }

    async fn trek_terms(&self, _: Id) -> Result<Option<Terms>, Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn trek_summaries(&self, _: &[Id]) -> Result<Vec<TrekSummary>, Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn batch(&self, _: Id) -> Result<Option<Batch>, Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn batches(&self, _: &[Id]) -> Result<Vec<Batch>, Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn batches_of_treks(&self, _: &[Id]) -> Result<Vec<Batch>, Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn close_batch(&self, _: Id) -> Result<(), SeatsError> {
        Err(SeatsError::Unavailable(nobody()))
    }

    async fn hold(&self, _: &HoldRequest) -> Result<(), SeatsError> {
        Err(SeatsError::Unavailable(nobody()))
    }

    async fn extend(&self, _: Id, _: Timestamp) -> Result<(), SeatsError> {
        Err(SeatsError::Unavailable(nobody()))
    }

    async fn confirm(&self, _: Id) -> Result<(), SeatsError> {
        Err(SeatsError::Unavailable(nobody()))
    }

    async fn release(&self, _: Id) -> Result<(), SeatsError> {
        Err(SeatsError::Unavailable(nobody()))
    }

    async fn resize(&self, _: Id, _: u32) -> Result<(), SeatsError> {
        Err(SeatsError::Unavailable(nobody()))
    }

    async fn reserve(&self, _: &Place) -> Result<(), SeatsError> {
        Err(SeatsError::Unavailable(nobody()))
    }

    async fn unreserve(&self, _: &str) -> Result<(), SeatsError> {
        Err(SeatsError::Unavailable(nobody()))
    }

    async fn move_to(&self, _: Id, _: &Place) -> Result<(), SeatsError> {
        Err(SeatsError::Unavailable(nobody()))
    }

    async fn quote(&self, _: &str, _: Id, _: Paise, _: Option<Id>) -> Result<Quote, CreateError> {
        Err(CreateError::Unavailable(nobody()))
    }

    async fn open(&self, _: &Payable) -> Result<(), CreateError> {
        Err(CreateError::Unavailable(nobody()))
    }

    async fn voucher_offer(&self, _: &str, _: Paise, _: Option<Id>) -> Result<Offer, CreateError> {
        Err(CreateError::Unavailable(nobody()))
    }

    async fn redeem(&self, _: &Payable, _: &Tender) -> Result<Payment, CreateError> {
        Err(CreateError::Unavailable(nobody()))
    }

    async fn close(&self, _: Id) -> Result<(), Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn refund_all(&self, _: Id, _: &str) -> Result<(), Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn refund(&self, _: Id, _: &RefundRequest) -> Result<(), RefundError> {
        Err(RefundError::Unavailable(nobody()))
    }

    async fn credit(&self, _: Id, _: Id, _: &RefundRequest, _: &VoucherTerms) -> Result<(), RefundError> {
        Err(RefundError::Unavailable(nobody()))
    }

    async fn gift(&self, _: &Gift) -> Result<(), RefundError> {
        Err(RefundError::Unavailable(nobody()))
    }

    async fn gift_return(&self, _: &Gift) -> Result<(), RefundError> {
        Err(RefundError::Unavailable(nobody()))
    }

    async fn voucher(&self, _: &str) -> Result<IssuedVoucher, RefundError> {
        Err(RefundError::Unavailable(nobody()))
    }

    async fn record_offline(&self, _: Id, _: Id, _: &OfflineDue) -> Result<Payment, OfflineError> {
        Err(OfflineError::Unavailable(nobody()))
    }

    async fn captured(&self, _: Id) -> Result<Paise, Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn earn(&self, _: Id, _: Paise) -> Result<(), Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn defer(&self, _: Id) -> Result<(), Unavailable> {
        Err(Unavailable(nobody()))
    }

    async fn mail(&self, _: &Mail) -> Result<(), MailError> {
        Err(MailError::Unavailable(nobody()))
    }
}
