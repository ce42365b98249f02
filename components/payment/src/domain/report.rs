//! Where the provider's records, ours, the book and what bookings owe do not agree.

use cairn_shared::{Id, Paise, Timestamp};

use super::{Payment, text_enum};

text_enum! {
    /// What does not agree. `ours` and `theirs` are paise throughout.
    MismatchKind {
        /// The provider has captured money of which we had not heard.
        UnknownPayment = "unknown_payment",
        /// Captured and recorded amounts differ.
        PaymentAmount = "payment_amount",
        /// The provider does not know a payment that we recorded.
        MissingPayment = "missing_payment",
        /// The provider has given back more or less than we recorded.
        RefundedAmount = "refunded_amount",
        /// The provider has made a refund of which we had not heard.
        UnknownRefund = "unknown_refund",
        /// A refund stands otherwise at the provider than here.
        RefundStatus = "refund_status",
        /// The book shows another amount of a payment than its record.
        Book = "book",
        /// What a booking owed counts as paid, and the money is not there.
        PaidWithoutMoney = "paid_without_money",
        /// A booking has paid what does not count as paid.
        MoneyWithoutPayable = "money_without_payable",
        /// Money that belongs to no booking and is not on its way back.
        HeldPayment = "held_payment",
        /// A refund that failed and that nobody has tried again.
        FailedRefund = "failed_refund",
        /// A refund that has been on its way for more than a week.
        SlowRefund = "slow_refund",
    }
}

/// One thing that does not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub kind: MismatchKind,
    /// A payment, refund or booking by its id.
    pub subject: String,
    pub booking_id: Option<Id>,
    /// As we have it.
    pub ours: Paise,
    /// As the other side has it.
    pub theirs: Paise,
    pub detail: String,
    /// Whether this report put it right.
    pub repaired: bool,
}

/// A comparison over a window of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub id: Id,
    pub from: Timestamp,
    /// Excluded.
    pub until: Timestamp,
    /// Whether every question to the providers was answered.
    pub complete: bool,
    /// Payments and refunds of the providers that were looked at.
    pub payments: i64,
    pub refunds: i64,
    /// `schedule`, or the id of who asked for it.
    pub made_by: String,
    pub made_at: Timestamp,
    pub mismatches: Vec<Mismatch>,
}

/// A captured payment as a provider has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theirs<'a> {
    pub id: &'a str,
    pub amount: Paise,
    pub refunded: Paise,
}

/// What a provider has given back of a payment by our records: for certain, and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenBack {
    pub success: Paise,
    pub processing: Paise,
}

/// What does not agree about a payment that the provider has captured.
pub fn compare(theirs: &Theirs<'_>, ours: Option<(&Payment, GivenBack)>) -> Option<Mismatch> {
    let mismatch = |kind, booking_id, ours, theirs_amount, detail: &str| Mismatch {
        kind,
        subject: theirs.id.to_owned(),
        booking_id,
        ours,
        theirs: theirs_amount,
        detail: detail.to_owned(),
        repaired: false,
    };
    let Some((payment, back)) = ours else {
        let detail = "captured by the provider and not known here";
        return Some(mismatch(MismatchKind::UnknownPayment, None, Paise::ZERO, theirs.amount, detail));
    };
    if payment.amount != theirs.amount {
        let detail = "captured and recorded amounts differ";
        let kind = MismatchKind::PaymentAmount;
        return Some(mismatch(kind, payment.booking_id, payment.amount, theirs.amount, detail));
    }
    // What is on its way counts at some providers and not at others.
    let agrees = (back.success..=back.success + back.processing).contains(&theirs.refunded);
    let detail = "given back and recorded amounts differ";
    let kind = MismatchKind::RefundedAmount;
    (!agrees).then(|| mismatch(kind, payment.booking_id, back.success, theirs.refunded, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CURRENCY, Kind, Provider};

    #[test]
    fn a_payment_agrees_with_its_record_or_is_named() {
        let payment = Payment {
            id: "pay_1".into(),
            order_id: "order_1".into(),
            booking_id: None,
            provider: Provider::Razorpay,
            kind: Some(Kind::Full),
            amount: Paise(1_000),
            surplus: Paise::ZERO,
            currency: CURRENCY.into(),
            method: "upi".into(),
            problem: None,
            captured_at: Timestamp::from_millis(0),
            refunded: Paise(300),
            surplus_refunded: Paise::ZERO,
            voucher_id: None,
            share_id: None,
        };
        let found = |amount, refunded, success, processing| {
            let theirs = Theirs { id: "pay_1", amount: Paise(amount), refunded: Paise(refunded) };
            let back = GivenBack { success: Paise(success), processing: Paise(processing) };
            compare(&theirs, Some((&payment, back))).map(|mismatch| mismatch.kind)
        };
        assert_eq!(found(1_000, 0, 0, 0), None);
        assert_eq!(found(1_000, 300, 300, 0), None);
        assert_eq!(found(1_000, 200, 200, 100), None, "on its way: not counted");
        assert_eq!(found(1_000, 300, 200, 100), None, "on its way: counted");
        assert_eq!(found(1_000, 301, 200, 100), Some(MismatchKind::RefundedAmount));
        assert_eq!(found(1_000, 199, 200, 100), Some(MismatchKind::RefundedAmount));
        assert_eq!(found(999, 0, 0, 0), Some(MismatchKind::PaymentAmount));
        let theirs = Theirs { id: "pay_1", amount: Paise(5), refunded: Paise::ZERO };
        assert_eq!(compare(&theirs, None).map(|mismatch| mismatch.kind), Some(MismatchKind::UnknownPayment));
    }
}
