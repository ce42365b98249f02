//! Money on its way back: what was asked for, and how it is carried out.

use std::collections::BTreeSet;

use cairn_shared::{
    Id, Paise, Timestamp,
    time::{HOUR, MINUTE},
};

use super::{Kind, OfflineMethod, Payment, Provider, text_enum};

/// Room for a key, a proof, or the name of who asked.
pub const TEXT_CHARS_MAX: usize = 200;

/// Room for a reason; what is longer is cut.
pub const REASON_CHARS_MAX: usize = 500;

text_enum! {
    RefundStatus {
        Processing = "processing",
        Success = "success",
        Failed = "failed",
    }
}

text_enum! {
    /// How the amount came about.
    RefundKind {
        Auto = "auto",
        Full = "full",
        Custom = "custom",
    }
}

/// A refund out of one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    pub id: Id,
    pub payment_id: String,
    pub booking_id: Option<Id>,
    pub provider: Provider,
    /// The provider's id, once it is known.
    pub provider_id: Option<String>,
    pub amount: Paise,
    pub status: RefundStatus,
    pub reason: String,
    /// How often the provider was asked since the last retry.
    pub attempts: i64,
    /// The request that it carries out; none: nobody asked for it by a key.
    pub request_key: Option<String>,
    /// It gives back what was captured beyond the order's amount.
    pub surplus: bool,
    /// How often it was tried again after it had failed.
    pub retries: i64,
    /// Paid out by hand instead of by the provider.
    pub paid_out: Option<OfflineMethod>,
    /// The voucher that it went to instead of the provider.
    pub voucher_id: Option<Id>,
    /// The status that the book shows; none: the book does not know it.
    pub booked: Option<RefundStatus>,
}

/// What is to go back of a booking's money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    pub key: String,
    pub booking_id: Id,
    pub participant_id: Option<Id>,
    /// Only out of this payment.
    pub payment_id: Option<String>,
    pub amount: Paise,
    pub kind: RefundKind,
    pub reason: String,
    pub requested_by: String,
}

/// A request and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedRefund {
    pub request: RefundRequest,
    pub requested_at: Timestamp,
    pub status: RefundStatus,
    pub succeeded: Paise,
    pub settled_at: Option<Timestamp>,
}

/// Why a refund is not made.
#[derive(Debug)]
pub enum RefundError {
    Invalid(String),
    /// More than this is not there.
    Exceeds(Paise),
    KeyReused,
    Unknown,
    /// It is in no state for this; says which.
    State(RefundStatus),
    Other(cairn_shared::Error),
}

impl From<cairn_shared::DbError> for RefundError {
    fn from(error: cairn_shared::DbError) -> Self {
        Self::Other(error.into())
    }
}

impl From<cairn_shared::Error> for RefundError {
    fn from(error: cairn_shared::Error) -> Self {
        Self::Other(error)
    }
}

impl From<super::PaymentError> for RefundError {
    fn from(error: super::PaymentError) -> Self {
        match error {
            super::PaymentError::Other(other) => Self::Other(other),
            other => Self::Other(cairn_shared::Error::internal(format!("{other:?}"))),
        }
    }
}

/// Whether a text is there and fits.
///
/// # Errors
/// What is wrong with it, for people.
pub fn check_text(name: &str, text: &str) -> Result<(), String> {
    let count = text.chars().count();
    if (1..=TEXT_CHARS_MAX).contains(&count) {
        return Ok(());
    }
    Err(format!("{name} has to have 1 to {TEXT_CHARS_MAX} characters"))
}

impl RefundRequest {
    /// # Errors
    /// [`RefundError::Invalid`] for what could never be carried out.
    pub fn validate(&self) -> Result<(), RefundError> {
        check_text("key", &self.key).map_err(RefundError::Invalid)?;
        check_text("requested-by", &self.requested_by).map_err(RefundError::Invalid)?;
        if self.amount <= Paise::ZERO {
            return Err(RefundError::Invalid("the amount has to be more than 0".into()));
        }
        Ok(())
    }

    /// Whether another request under the same key means the same money. The words may differ.
    pub fn is_same(&self, other: &Self) -> bool {
        let money =
            |request: &Self| (request.booking_id, request.participant_id, request.payment_id.clone(), request.amount);
        money(self) == money(other)
    }
}

/// How much of a booking's payments can go back, and what of each for this amount: what its
/// owner paid before what others paid for a share; money before credit, of money the balance
/// first, then the newest. Of payments that booking has not heard of comes only what the
/// others do not have: it will give those back itself, or keep them, and did not mean them.
///
/// # Errors
/// What is there, where it is less than the amount.
pub fn refund_split<'p>(
    payments: &'p [Payment],
    only: Option<&str>,
    unheard: &BTreeSet<String>,
    amount: Paise,
) -> Result<Vec<(&'p Payment, Paise)>, Paise> {
    let mut usable: Vec<_> = payments
        .iter()
        .filter(|payment| only.is_none_or(|id| id == payment.id) && payment.refundable() > Paise::ZERO)
        .collect();
    usable.sort_by_key(|payment| {
        let is_credit = payment.provider == Provider::Voucher;
        (
            unheard.contains(&payment.id),
            payment.share_id.is_some(),
            is_credit,
            payment.kind != Some(Kind::Balance),
            std::cmp::Reverse(payment.captured_at),
        )
    });
    let available: Paise = usable.iter().map(|payment| payment.refundable()).sum();
    if amount > available {
        return Err(available);
    }
    let mut rest = amount;
    let take = |payment: &'p Payment| {
        let part = payment.refundable().min(rest);
        rest = rest - part;
        (payment, part)
    };
    Ok(usable.into_iter().map(take).filter(|(_, part)| *part > Paise::ZERO).collect())
}

/// What has become of a request, by the status and amount of its parts.
pub fn request_status(parts: &[(RefundStatus, Paise)]) -> RefundStatus {
    let any = |status| parts.iter().any(|(found, _)| *found == status);
    match () {
        () if any(RefundStatus::Failed) => RefundStatus::Failed,
        () if any(RefundStatus::Processing) => RefundStatus::Processing,
        () => RefundStatus::Success,
    }
}

impl RefundStatus {
    /// The status after the provider said `heard`. Success is final, a failure gives
    /// way to success alone, so the order in which things are heard does not matter.
    pub fn after(self, heard: Self) -> Self {
        match (self, heard) {
            (Self::Success, _) | (_, Self::Success) => Self::Success,
            (Self::Failed, _) | (_, Self::Failed) => Self::Failed,
            (Self::Processing, Self::Processing) => Self::Processing,
        }
    }
}

/// When to ask the provider again after so many attempts.
pub fn retry_at(attempts: i64, now: Timestamp) -> Timestamp {
    let wait = MINUTE.saturating_mul(1 << attempts.clamp(0, 12));
    now.plus(wait.min(6 * HOUR))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::CURRENCY;

    fn payment(id: &str, kind: Kind, amount: i64, refunded: i64, at: i64) -> Payment {
        Payment {
            id: id.into(),
            order_id: "order".into(),
            booking_id: None,
            provider: Provider::Razorpay,
            kind: Some(kind),
            amount: Paise(amount),
            surplus: Paise::ZERO,
            currency: CURRENCY.into(),
            method: "upi".into(),
            problem: None,
            captured_at: Timestamp::from_millis(at),
            refunded: Paise(refunded),
            surplus_refunded: Paise::ZERO,
            voucher_id: None,
            share_id: None,
        }
    }

    fn split(payments: &[Payment], only: Option<&str>, amount: i64) -> Result<Vec<(String, i64)>, i64> {
        let parts = refund_split(payments, only, &BTreeSet::new(), Paise(amount)).map_err(|available| available.0)?;
        Ok(parts.into_iter().map(|(payment, part)| (payment.id.clone(), part.0)).collect())
    }

    #[test]
    fn money_goes_back_out_of_the_balance_first() {
        let payments = [
            payment("initial", Kind::Initial, 100, 30, 1),
            payment("balance", Kind::Balance, 200, 0, 2),
            payment("gone", Kind::Full, 50, 50, 3),
        ];
        assert_eq!(split(&payments, None, 270), Ok(vec![("balance".into(), 200), ("initial".into(), 70)]));
        assert_eq!(split(&payments, None, 150), Ok(vec![("balance".into(), 150)]));
        assert_eq!(split(&payments, None, 271), Err(270));
        let credit = Payment { provider: Provider::Voucher, ..payment("credit", Kind::Balance, 100, 0, 4) };
        let mixed = [credit, payments[0].clone()];
        assert_eq!(split(&mixed, None, 90), Ok(vec![("initial".into(), 70), ("credit".into(), 20)]));
        let share = Payment { share_id: Some(Id::derive(&["share"])), ..payment("share", Kind::Balance, 100, 0, 5) };
        let shared = [share, mixed[0].clone(), mixed[1].clone()];
        let parts = vec![("initial".into(), 70), ("credit".into(), 100), ("share".into(), 10)];
        assert_eq!(split(&shared, None, 180), Ok(parts));
        let unheard = BTreeSet::from(["balance".to_owned()]);
        let parts = refund_split(&payments, None, &unheard, Paise(90)).unwrap();
        let parts: Vec<_> = parts.iter().map(|(payment, part)| (payment.id.as_str(), part.0)).collect();
        assert_eq!(parts, [("initial", 70), ("balance", 20)], "booking did not mean what it has not heard of");
        assert_eq!(split(&payments, Some("initial"), 70), Ok(vec![("initial".into(), 70)]));
        assert_eq!(split(&payments, Some("initial"), 71), Err(70));
        assert_eq!(split(&payments, Some("unknown"), 1), Err(0));
    }

    proptest! {
        #[test]
        fn a_split_is_exactly_the_amount_and_never_more_than_is_there(
            amounts in proptest::collection::vec((1_i64..1_000, 0_i64..1_000), 0..6), amount in 1_i64..4_000
        ) {
            let payments: Vec<_> = amounts.iter().enumerate()
                .map(|(nth, (paid, gone))| payment(&nth.to_string(), Kind::Full, *paid, (*gone).min(*paid), nth as i64))
                .collect();
            match refund_split(&payments, None, &BTreeSet::new(), Paise(amount)) {
                Ok(parts) => {
                    prop_assert_eq!(parts.iter().map(|(_, part)| *part).sum::<Paise>(), Paise(amount));
                    prop_assert!(parts.iter().all(|(payment, part)| *part <= payment.refundable()));
                }
                Err(available) => prop_assert!(available < Paise(amount)),
            }
        }

        #[test]
        fn what_is_heard_of_a_refund_may_come_in_any_order(mut heard in proptest::collection::vec(0_u8..3, 1..6)) {
            let status = |n: &u8| [RefundStatus::Processing, RefundStatus::Success, RefundStatus::Failed][usize::from(*n)];
            let end = |heard: &[u8]| heard.iter().map(status).fold(RefundStatus::Processing, RefundStatus::after);
            let one = end(&heard);
            heard.reverse();
            prop_assert_eq!(one, end(&heard));
        }
    }
}
