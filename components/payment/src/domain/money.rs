//! Captured money, refunds, and the book of both.

use cairn_shared::{
    Id, Paise, Timestamp,
    time::{HOUR, MINUTE},
};

use super::{CURRENCY, Kind, Order, OrderStatus, text_enum};

text_enum! {
    /// Why captured money belongs to no booking.
    Problem {
        UnknownOrder = "unknown_order",
        WrongAmount = "wrong_amount",
        WrongCurrency = "wrong_currency",
        /// The booking asked for another amount meanwhile.
        VoidOrder = "void_order",
        /// Another payment has paid the order.
        PaidTwice = "paid_twice",
    }
}

text_enum! {
    RefundStatus {
        Processing = "processing",
        Success = "success",
        Failed = "failed",
    }
}

text_enum! {
    /// Accounts of the ledger; see the migration.
    Account {
        Provider = "provider",
        Unearned = "unearned",
        Customer = "customer",
    }
}

/// A captured payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: String,
    pub order_id: String,
    /// None where the order is unknown.
    pub booking_id: Option<Id>,
    pub kind: Option<Kind>,
    pub amount: Paise,
    pub currency: String,
    pub method: String,
    pub problem: Option<Problem>,
    pub captured_at: Timestamp,
    /// Given back, or on its way back.
    pub refunded: Paise,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    pub id: Id,
    pub payment_id: String,
    pub booking_id: Option<Id>,
    pub provider_id: Option<String>,
    pub amount: Paise,
    pub status: RefundStatus,
    pub reason: String,
    /// How often the provider was asked.
    pub attempts: i64,
}

/// A line of a ledger transaction: a debit is positive, a credit negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub account: Account,
    pub amount: Paise,
}

/// Whether captured money pays the order, or why not.
pub fn capture_decide(order: Option<&Order>, amount: Paise, currency: &str) -> Option<Problem> {
    let Some(order) = order else { return Some(Problem::UnknownOrder) };
    match order.status {
        _ if currency != CURRENCY => Some(Problem::WrongCurrency),
        _ if amount != order.amount => Some(Problem::WrongAmount),
        OrderStatus::Void => Some(Problem::VoidOrder),
        OrderStatus::Paid => Some(Problem::PaidTwice),
        OrderStatus::Intent | OrderStatus::Open => None,
    }
}

fn owed_in(problem: Option<Problem>) -> Account {
    if problem.is_some() { Account::Customer } else { Account::Unearned }
}

/// Money came in: the provider holds it, and somebody is owed a trip or the money.
pub fn capture_entries(payment: &Payment) -> [Entry; 2] {
    transfer(Account::Provider, owed_in(payment.problem), payment.amount)
}

/// Money went back.
pub fn refund_entries(payment: &Payment, amount: Paise) -> [Entry; 2] {
    transfer(owed_in(payment.problem), Account::Provider, amount)
}

fn transfer(debit: Account, credit: Account, amount: Paise) -> [Entry; 2] {
    [Entry { account: debit, amount }, Entry { account: credit, amount: Paise::ZERO - amount }]
}

impl Payment {
    /// What can still be given back.
    pub fn refundable(&self) -> Paise {
        (self.amount - self.refunded).max(Paise::ZERO)
    }
}

/// What to give back of each payment so that everything goes back: the balance
/// first, then the newest.
pub fn refund_plan(payments: &[Payment]) -> Vec<(&Payment, Paise)> {
    let mut plan: Vec<_> =
        payments.iter().map(|p| (p, p.refundable())).filter(|(_, rest)| *rest > Paise::ZERO).collect();
    plan.sort_by_key(|(payment, _)| (payment.kind != Some(Kind::Balance), std::cmp::Reverse(payment.captured_at)));
    plan
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

    fn payment(id: &str, kind: Kind, amount: i64, refunded: i64, at: i64) -> Payment {
        Payment {
            id: id.into(),
            order_id: "order".into(),
            booking_id: None,
            kind: Some(kind),
            amount: Paise(amount),
            currency: CURRENCY.into(),
            method: "upi".into(),
            problem: None,
            captured_at: Timestamp::from_millis(at),
            refunded: Paise(refunded),
        }
    }

    #[test]
    fn everything_goes_back_balance_first() {
        let payments = [
            payment("initial", Kind::Initial, 100, 30, 1),
            payment("balance", Kind::Balance, 200, 0, 2),
            payment("gone", Kind::Full, 50, 50, 3),
        ];
        let plan: Vec<_> = refund_plan(&payments).into_iter().map(|(p, amount)| (p.id.as_str(), amount.0)).collect();
        assert_eq!(plan, [("balance", 200), ("initial", 70)]);
    }

    proptest! {
        #[test]
        fn a_ledger_transaction_sums_to_zero(amount in 1_i64..1_000_000_000_000, orphan in any::<bool>()) {
            let mut payment = payment("p", Kind::Full, amount, 0, 0);
            payment.problem = orphan.then_some(Problem::PaidTwice);
            let sum = |entries: [Entry; 2]| entries.iter().map(|entry| entry.amount).sum::<Paise>();
            prop_assert_eq!(sum(capture_entries(&payment)), Paise::ZERO);
            prop_assert_eq!(sum(refund_entries(&payment, Paise(amount))), Paise::ZERO);
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
