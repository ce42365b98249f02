//! What is owed, paid and given back, and the rules of it.

mod ledger;
mod money;
mod promo;
mod refund;
mod report;
mod share;
mod voucher;

use cairn_shared::{
    DbError, Id, Paise, Timestamp,
    time::{DAY, HOUR, MINUTE},
};

pub use ledger::{
    Account, Earning, OfflineMethod, Transfer, capture_transfers, defer_transfers, earn_transfers, held_in,
    refund_transfer, unearn_transfers,
};
pub use money::{Capture, Payment, Problem, Provider, capture_decide};
pub use promo::{Change, DiscountType, Promo, PromoProblem, Use, day};
pub use refund::{
    REASON_CHARS_MAX, Refund, RefundError, RefundKind, RefundRequest, RefundStatus, RequestedRefund, TEXT_CHARS_MAX,
    check_text, refund_split, request_status, retry_at,
};
pub use report::{GivenBack, Mismatch, MismatchKind, Report, Theirs, compare};
pub use share::{KeyDigest, SHARES_MAX, Share, StoredShare, check_shares};
pub use voucher::{
    CreditRequest, Tender, VOUCHER_CODE_BYTES, VOUCHER_RENEWAL, VOUCHER_VALIDITY, Voided, Voucher, VoucherCode,
    VoucherKind, VoucherProblem, VoucherState, bonus_transfer, breakage_transfer, check_amount, check_expiry,
    take_back_transfer, tender_of, voucher_payment,
};

/// The only currency there is.
pub const CURRENCY: &str = "INR";

/// The provider takes no smaller amount.
pub const AMOUNT_MIN: Paise = Paise::rupees(1);

/// A session is prolonged to this long from the making of an order.
pub const SESSION_EXTENSION: i64 = 30 * MINUTE;

/// No session is prolonged past this long after it began.
pub const SESSION_MAX: i64 = 2 * HOUR;

/// Nobody needs more attempts to pay for one booking.
pub const ORDERS_PER_BOOKING_MAX: i64 = 50;

/// The first look at an order that nobody told of.
pub const ORDER_FIRST_CHECK: i64 = 10 * MINUTE;

/// An authorised payment is taken by the provider itself, as a rule; we look after this.
pub const AUTHORISED_CHECK: i64 = 2 * MINUTE;

/// A payment can be authorised late for three days; a day more for its capture.
const ORDER_WATCH: i64 = 4 * DAY;

/// Defines an enum that is stored and sent as lower-case text.
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$note:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$note])* $variant),* }

        impl $name {
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The value with this text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl cairn_shared::db::FromValue for $name {
            fn from_value(value: &cairn_shared::db::Value) -> Result<Self, String> {
                let text = String::from_value(value)?;
                Self::parse(&text).ok_or_else(|| format!("{text} is no {}", stringify!($name)))
            }
        }

        impl From<$name> for cairn_shared::db::Value {
            fn from(value: $name) -> Self { Self::Text(value.as_str().to_owned()) }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
use text_enum;

text_enum! {
    /// What a payment is for.
    Kind {
        Full = "full",
        Initial = "initial",
        Balance = "balance",
    }
}

text_enum! {
    PayableStatus {
        Open = "open",
        Paid = "paid",
        Closed = "closed",
    }
}

text_enum! {
    OrderStatus {
        /// The provider is being asked, or was asked and the outcome is unknown.
        Intent = "intent",
        Open = "open",
        Paid = "paid",
        /// Replaced by one for another amount. What is still paid on it goes back.
        Void = "void",
    }
}

/// What a booking is to pay next, as the booking service says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payable {
    pub booking_id: Id,
    pub user_id: Id,
    pub trek_id: Id,
    pub trek_name: String,
    pub kind: Kind,
    pub amount: Paise,
    /// Base price before tax, for the checks of a promo code.
    pub order_value: Paise,
    /// No order is made after it; none: no limit.
    pub expires_at: Option<Timestamp>,
}

/// A payable as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPayable {
    pub payable: Payable,
    pub promo_id: Option<Id>,
    /// What a voucher pays of it.
    pub tender: Option<Tender>,
    pub status: PayableStatus,
    /// When this session began.
    pub opened_at: Timestamp,
}

/// An order at the provider, ours to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: Id,
    pub receipt: String,
    pub provider: Provider,
    /// The provider's id, once it is known.
    pub provider_id: Option<String>,
    pub booking_id: Id,
    pub user_id: Id,
    /// The share that it pays; none: all that its booking owes.
    pub share_id: Option<Id>,
    pub kind: Kind,
    pub amount: Paise,
    pub status: OrderStatus,
    /// How often the provider was asked to make it.
    pub attempts: i64,
    /// The order as the provider gave it, JSON.
    pub snapshot: Option<String>,
    pub created_at: Timestamp,
}

/// Why a payment cannot go on.
#[derive(Debug)]
pub enum PaymentError {
    NotConfigured,
    BookingIdMissing,
    UnknownBooking,
    NotOwner,
    NotAwaitingPayment,
    SessionExpired,
    NotEligibleForBalance,
    NothingRemaining,
    TooManyOrders,
    /// The booking was changed while its order was being made.
    Changed,
    InvalidSignature,
    Mismatch,
    /// The provider says that the payment failed.
    NotPaid,
    InvalidWebhookSignature,
    /// The provider does not answer; seats are held so long.
    ProviderDown {
        held_until: Option<Timestamp>,
        cause: String,
    },
    /// The provider does not answer whether a payment was made; we ask again by ourselves.
    ReportPending(String),
    /// The provider refuses what we ask: a fault of ours.
    ProviderRefused(String),
    Other(cairn_shared::Error),
}

impl From<DbError> for PaymentError {
    fn from(error: DbError) -> Self {
        Self::Other(error.into())
    }
}

impl From<cairn_shared::Error> for PaymentError {
    fn from(error: cairn_shared::Error) -> Self {
        Self::Other(error)
    }
}

/// Why a payable is not opened.
#[derive(Debug)]
pub enum OpenError {
    Promo(PromoProblem),
    Voucher(VoucherProblem),
    Invalid(String),
    Unavailable(String),
}

impl From<DbError> for OpenError {
    fn from(error: DbError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Payable {
    /// # Errors
    /// [`OpenError::Invalid`] for what the provider would never take.
    pub fn validate(&self) -> Result<(), OpenError> {
        if self.amount < AMOUNT_MIN {
            return Err(OpenError::Invalid(format!("the smallest amount is {AMOUNT_MIN} rupee")));
        }
        if self.order_value < Paise::ZERO {
            return Err(OpenError::Invalid("the order value is negative".into()));
        }
        Ok(())
    }

    /// Whether a captured payment of this kind settles the payable for good.
    pub fn is_settled_by(&self, kind: Kind) -> bool {
        (self.kind == Kind::Balance) == (kind == Kind::Balance)
    }
}

impl StoredPayable {
    /// What is to be paid at the provider; zero where a voucher pays all of it.
    pub fn online(&self) -> Paise {
        self.payable.amount - self.tender.map_or(Paise::ZERO, |tender| tender.amount)
    }

    /// Whether an order may be made for the whole or the first instalment.
    ///
    /// # Errors
    /// Why not.
    pub fn check_first(&self, caller: Id, now: Timestamp) -> Result<(), PaymentError> {
        self.check_owner(caller)?;
        if self.status != PayableStatus::Open || self.payable.kind == Kind::Balance || self.online() == Paise::ZERO {
            return Err(PaymentError::NotAwaitingPayment);
        }
        self.check_session(now)
    }

    /// Whether an order may be made for the balance.
    ///
    /// # Errors
    /// Why not.
    pub fn check_balance(&self, caller: Id, now: Timestamp) -> Result<(), PaymentError> {
        self.check_owner(caller)?;
        match (self.payable.kind, self.status) {
            (Kind::Full | Kind::Initial, _) | (Kind::Balance, PayableStatus::Closed) => {
                Err(PaymentError::NotEligibleForBalance)
            }
            (Kind::Balance, PayableStatus::Paid) => Err(PaymentError::NothingRemaining),
            (Kind::Balance, PayableStatus::Open) if self.online() == Paise::ZERO => Err(PaymentError::NothingRemaining),
            (Kind::Balance, PayableStatus::Open) => self.check_session(now),
        }
    }

    fn check_owner(&self, caller: Id) -> Result<(), PaymentError> {
        if self.payable.user_id == caller { Ok(()) } else { Err(PaymentError::NotOwner) }
    }

    fn check_session(&self, now: Timestamp) -> Result<(), PaymentError> {
        if self.is_expired(now) { Err(PaymentError::SessionExpired) } else { Ok(()) }
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.payable.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// The end of the session once an order has been made now; it never moves back.
    pub fn session_extended(&self, now: Timestamp) -> Option<Timestamp> {
        let limit = now.plus(SESSION_EXTENSION).min(self.opened_at.plus(SESSION_MAX));
        self.payable.expires_at.map(|current| current.max(limit))
    }

    /// When the session of a payable that replaces this one began: a live session
    /// goes on, so that opening it again and again does not hold seats for ever.
    pub fn session_start(&self, next: &Payable, now: Timestamp) -> Timestamp {
        let goes_on =
            self.status == PayableStatus::Open && !self.is_expired(now) && self.payable.is_settled_by(next.kind);
        if goes_on { self.opened_at } else { now }
    }
}

/// The receipt of a booking's order, at most 40 characters. `nth` counts the
/// booking's orders from 0, `taken` says whether the plain form is somebody else's.
pub fn receipt(booking_id: Id, kind: Kind, nth: i64, taken: bool) -> String {
    match kind {
        Kind::Full | Kind::Initial if nth == 0 && !taken => format!("booking_{booking_id}"),
        Kind::Full | Kind::Initial => format!("booking_{booking_id}_{nth}"),
        Kind::Balance if !taken => format!("rb_{}", &booking_id.to_string()[16..]),
        Kind::Balance => format!("rb_{booking_id}_{nth}"),
    }
}

/// When to ask the provider about an order next: ever more rarely, in the end never.
pub fn order_check_at(created_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let age = now.since(created_at);
    (age < ORDER_WATCH).then(|| now.plus(age.clamp(ORDER_FIRST_CHECK, 6 * HOUR)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(kind: Kind, status: PayableStatus, expires_at: Option<i64>, opened_at: i64) -> StoredPayable {
        let id = Id::derive(&["x"]);
        StoredPayable {
            payable: Payable {
                booking_id: id,
                user_id: id,
                trek_id: id,
                trek_name: "Ridge".into(),
                kind,
                amount: Paise(254_200),
                order_value: Paise(880_000),
                expires_at: expires_at.map(Timestamp::from_millis),
            },
            promo_id: None,
            tender: None,
            status,
            opened_at: Timestamp::from_millis(opened_at),
        }
    }

    #[test]
    fn receipts_fit_the_provider_and_differ() {
        let id = Id::derive(&["booking"]);
        let mut seen = std::collections::BTreeSet::new();
        for kind in [Kind::Full, Kind::Balance] {
            for (nth, taken) in [(0, false), (1, true), (ORDERS_PER_BOOKING_MAX, true)] {
                let receipt = receipt(id, kind, nth, taken);
                assert!(receipt.len() <= 40, "{receipt}");
                assert!(seen.insert(receipt));
            }
        }
    }

    #[test]
    fn orders_are_watched_for_four_days() {
        let made = Timestamp::from_millis(0);
        assert_eq!(order_check_at(made, made), Some(Timestamp::from_millis(ORDER_FIRST_CHECK)));
        let (mut now, mut checks) = (made, 0);
        while let Some(next) = order_check_at(made, now) {
            assert!(next > now);
            (now, checks) = (next, checks + 1);
        }
        assert!(now.since(made) >= ORDER_WATCH && checks < 40, "{checks}");
    }

    proptest! {
        #[test]
        fn a_session_never_moves_back_and_never_past_its_longest(
            opened in 0_i64..1_000_000, length in 0_i64..SESSION_EXTENSION + 1, later in 0_i64..10_000_000
        ) {
            let payable = stored(Kind::Full, PayableStatus::Open, Some(opened + length), opened);
            let end = payable.session_extended(Timestamp::from_millis(opened + later)).unwrap();
            prop_assert!(end >= payable.payable.expires_at.unwrap());
            prop_assert!(end <= payable.opened_at.plus(SESSION_MAX));
        }
    }

    #[test]
    fn a_session_that_is_opened_again_began_when_it_began() {
        let now = Timestamp::from_millis(100);
        let live = stored(Kind::Full, PayableStatus::Open, Some(500), 1);
        let initial = stored(Kind::Initial, PayableStatus::Open, Some(500), 1).payable;
        let balance = stored(Kind::Balance, PayableStatus::Open, None, 1).payable;
        assert_eq!(live.session_start(&initial, now).millis(), 1);
        assert_eq!(live.session_start(&balance, now), now);
        let dead = [(PayableStatus::Open, 50), (PayableStatus::Closed, 500), (PayableStatus::Paid, 500)];
        for (status, end) in dead {
            assert_eq!(stored(Kind::Full, status, Some(end), 1).session_start(&initial, now), now);
        }
    }
}
