//! The book of money: accounts, and transfers between them.
//!
//! A transfer has both of its sides in one value, so the book cannot be out of balance.

use cairn_shared::{Id, Paise};

use super::{Payment, Provider, Refund, RefundStatus, text_enum};

text_enum! {
    /// Accounts of the book; the migration says what each is.
    Account {
        Razorpay = "provider:razorpay",
        Stripe = "provider:stripe",
        Cash = "cash",
        Bank = "bank",
        Offline = "offline",
        Unearned = "unearned",
        Customer = "customer",
        Refunds = "refunds",
        Vouchers = "vouchers",
        Tax = "tax",
        Revenue = "revenue",
        Goodwill = "goodwill",
    }
}

text_enum! {
    /// How money comes in and goes out without a provider. The text is the method of the payment.
    OfflineMethod {
        Cash = "cash",
        BankTransfer = "bank transfer",
        Other = "offline",
    }
}

impl OfflineMethod {
    pub fn account(self) -> Account {
        match self {
            Self::Cash => Account::Cash,
            Self::BankTransfer => Account::Bank,
            Self::Other => Account::Offline,
        }
    }
}

/// An amount that moves from the credited account to the debited one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Posted again under the same id, it changes nothing.
    pub id: String,
    pub debit: Account,
    pub credit: Account,
    /// More than 0.
    pub amount: Paise,
    pub booking_id: Option<Id>,
    pub payment_id: Option<String>,
    pub refund_id: Option<Id>,
    /// The voucher whose credit it moves.
    pub voucher_id: Option<Id>,
}

/// Where the money of a payment is.
pub fn held_in(payment: &Payment) -> Account {
    match payment.provider {
        Provider::Razorpay => Account::Razorpay,
        Provider::Stripe => Account::Stripe,
        Provider::Offline => OfflineMethod::parse(&payment.method).unwrap_or(OfflineMethod::Other).account(),
        Provider::Voucher => Account::Vouchers,
    }
}

/// Money came in: somebody holds it for us, and somebody is owed a trip or the money.
pub fn capture_transfers(payment: &Payment) -> Vec<Transfer> {
    let owed = if payment.problem.is_some() { Account::Customer } else { Account::Unearned };
    let parts = [("", owed, payment.counted()), (":surplus", Account::Customer, payment.surplus)];
    let transfer = |(suffix, credit, amount): (&str, Account, Paise)| Transfer {
        id: format!("capture:{}{suffix}", payment.id),
        debit: held_in(payment),
        credit,
        amount,
        booking_id: payment.booking_id,
        payment_id: Some(payment.id.clone()),
        refund_id: None,
        voucher_id: payment.voucher_id,
    };
    parts.into_iter().filter(|(_, _, amount)| *amount > Paise::ZERO).map(transfer).collect()
}

/// What brings the book from the status of a refund that it shows to the one that the
/// refund has; nothing if it shows that already.
pub fn refund_transfer(payment: &Payment, refund: &Refund) -> Option<Transfer> {
    let owed = if payment.problem.is_some() || refund.surplus { Account::Customer } else { Account::Unearned };
    let paid_from = match refund.voucher_id {
        Some(_) => Account::Vouchers,
        None => refund.paid_out.map_or_else(|| held_in(payment), OfflineMethod::account),
    };
    let (debit, credit) = match (refund.booked, refund.status) {
        (None | Some(RefundStatus::Failed), RefundStatus::Processing) => (owed, Account::Refunds),
        (None | Some(RefundStatus::Failed), RefundStatus::Success) => (owed, paid_from),
        (Some(RefundStatus::Processing), RefundStatus::Success) => (Account::Refunds, paid_from),
        (Some(RefundStatus::Processing), RefundStatus::Failed) => (Account::Refunds, owed),
        (None | Some(RefundStatus::Failed), RefundStatus::Failed)
        | (Some(RefundStatus::Processing), RefundStatus::Processing)
        | (Some(RefundStatus::Success), _) => return None,
    };
    Some(Transfer {
        id: format!("refund:{}:{}:{}", refund.id, refund.status.as_str(), refund.retries),
        debit,
        credit,
        amount: refund.amount,
        booking_id: payment.booking_id,
        payment_id: Some(payment.id.clone()),
        refund_id: Some(refund.id),
        voucher_id: refund.voucher_id,
    })
}

/// What the book shows of a booking whose trip takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earning {
    /// Paid and not earned yet; negative where more has gone back since.
    pub unearned: Paise,
    /// Tax that is booked already.
    pub taxed: Paise,
    /// Earned besides.
    pub revenue: Paise,
    /// Transfers of earlier calls.
    pub transfers: i64,
}

/// What has been paid is earned: first the tax (of the whole booking), then the revenue.
pub fn earn_transfers(booking_id: Id, earning: Earning, tax: Paise) -> Vec<Transfer> {
    let tax = (tax - earning.taxed).max(Paise::ZERO).min(earning.unearned.max(Paise::ZERO));
    let revenue = earning.unearned - tax;
    let mut transfers = moves(
        booking_id,
        earning,
        &[(Account::Unearned, Account::Tax, tax), (Account::Unearned, Account::Revenue, revenue)],
    );
    transfers.extend(unearn_transfers(booking_id, earning));
    transfers
}

/// What went back after it was earned is taken out of the revenue, and then out of the tax:
/// of what is kept, the tax comes first. Where nothing is earned the account is below zero
/// for a moment alone: a refund that somebody made at the provider leaves nothing for one
/// that is on its way, which therefore fails.
pub fn unearn_transfers(booking_id: Id, earning: Earning) -> Vec<Transfer> {
    let gone = (Paise::ZERO - earning.unearned).max(Paise::ZERO);
    let revenue = gone.min(earning.revenue);
    let tax = (gone - revenue).min(earning.taxed);
    let parts = [(Account::Revenue, Account::Unearned, revenue), (Account::Tax, Account::Unearned, tax)];
    moves(booking_id, earning, &parts)
}

/// What was earned is owed again.
pub fn defer_transfers(booking_id: Id, earning: Earning) -> Vec<Transfer> {
    let parts =
        [(Account::Tax, Account::Unearned, earning.taxed), (Account::Revenue, Account::Unearned, earning.revenue)];
    moves(booking_id, earning, &parts)
}

fn moves(booking_id: Id, earning: Earning, parts: &[(Account, Account, Paise)]) -> Vec<Transfer> {
    let moved = parts.iter().filter(|(_, _, amount)| *amount > Paise::ZERO);
    let transfer = |(nth, &(debit, credit, amount)): (i64, &(Account, Account, Paise))| Transfer {
        id: format!("earned:{booking_id}:{}", earning.transfers + nth),
        debit,
        credit,
        amount,
        booking_id: Some(booking_id),
        payment_id: None,
        refund_id: None,
        voucher_id: None,
    };
    (0_i64..).zip(moved).map(transfer).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cairn_shared::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{CURRENCY, Kind, Problem};

    fn payment(amount: i64, surplus: i64, orphan: bool) -> Payment {
        Payment {
            id: "pay_1".into(),
            order_id: "order_1".into(),
            booking_id: None,
            provider: Provider::Razorpay,
            kind: Some(Kind::Full),
            amount: Paise(amount),
            surplus: Paise(surplus),
            currency: CURRENCY.into(),
            method: "upi".into(),
            problem: orphan.then_some(Problem::PaidTwice),
            captured_at: Timestamp::from_millis(0),
            refunded: Paise::ZERO,
            surplus_refunded: Paise::ZERO,
            voucher_id: None,
            share_id: None,
        }
    }

    fn refund(amount: i64) -> Refund {
        Refund {
            id: Id::derive(&["refund"]),
            payment_id: "pay_1".into(),
            booking_id: None,
            provider: Provider::Razorpay,
            provider_id: None,
            amount: Paise(amount),
            status: RefundStatus::Processing,
            reason: String::new(),
            attempts: 0,
            request_key: None,
            surplus: false,
            retries: 0,
            paid_out: None,
            voucher_id: None,
            booked: None,
        }
    }

    fn balances(transfers: &[Transfer]) -> BTreeMap<&'static str, i64> {
        let mut balances = BTreeMap::new();
        for transfer in transfers {
            *balances.entry(transfer.debit.as_str()).or_default() += transfer.amount.0;
            *balances.entry(transfer.credit.as_str()).or_default() -= transfer.amount.0;
        }
        balances.retain(|_, balance| *balance != 0);
        balances
    }

    #[test]
    fn a_surplus_is_the_payers_and_the_rest_the_bookings() {
        let book = balances(&capture_transfers(&payment(1_000, 200, false)));
        assert_eq!(book, BTreeMap::from([("provider:razorpay", 1_000), ("unearned", -800), ("customer", -200)]));
        let book = balances(&capture_transfers(&payment(1_000, 0, true)));
        assert_eq!(book, BTreeMap::from([("provider:razorpay", 1_000), ("customer", -1_000)]));
    }

    #[test]
    fn a_refund_that_is_paid_out_by_hand_leaves_the_provider_alone() {
        let payment = payment(1_000, 0, false);
        let mut book = capture_transfers(&payment);
        let paid_out = Some(OfflineMethod::BankTransfer);
        book.extend(refund_transfer(&payment, &Refund { paid_out, status: RefundStatus::Success, ..refund(1_000) }));
        assert_eq!(balances(&book), BTreeMap::from([("provider:razorpay", 1_000), ("bank", -1_000)]));
    }

    #[test]
    fn what_is_earned_is_tax_first_and_moves_once() {
        let id = Id::derive(&["booking"]);
        let earn = |unearned, taxed, tax| {
            let earning =
                Earning { unearned: Paise(unearned), taxed: Paise(taxed), revenue: Paise(taxed * 19), transfers: 0 };
            balances(&earn_transfers(id, earning, Paise(tax)))
        };
        assert_eq!(earn(1_050, 0, 50), BTreeMap::from([("unearned", 1_050), ("tax", -50), ("revenue", -1_000)]));
        assert_eq!(earn(0, 50, 50), BTreeMap::new());
        assert_eq!(earn(30, 0, 50), BTreeMap::from([("unearned", 30), ("tax", -30)]));
        assert_eq!(earn(200, 50, 50), BTreeMap::from([("unearned", 200), ("revenue", -200)]));
        assert_eq!(earn(-300, 50, 50), BTreeMap::from([("unearned", -300), ("revenue", 300)]));
        assert_eq!(earn(-980, 50, 50), BTreeMap::from([("unearned", -980), ("revenue", 950), ("tax", 30)]));
        assert_eq!(earn(-300, 0, 50), BTreeMap::new(), "nothing is earned that could be taken back");
        let earned = Earning { unearned: Paise(7), taxed: Paise(50), revenue: Paise(950), transfers: 2 };
        let deferred = balances(&defer_transfers(id, earned));
        assert_eq!(deferred, BTreeMap::from([("unearned", -1_000), ("tax", 50), ("revenue", 950)]));
    }

    proptest! {
        #[test]
        fn the_book_shows_where_a_refund_stands_however_it_came_there(steps in proptest::collection::vec(0_u8..3, 1..8)) {
            let payment = payment(1_000, 0, false);
            let mut refund = refund(400);
            let mut book = capture_transfers(&payment);
            for step in steps {
                let status = [RefundStatus::Processing, RefundStatus::Success, RefundStatus::Failed][usize::from(step)];
                if refund.status == RefundStatus::Success {
                    break;
                }
                refund.retries += i64::from(refund.status == RefundStatus::Failed);
                refund.status = status;
                book.extend(refund_transfer(&payment, &refund));
                refund.booked = refund_transfer(&payment, &refund).map(|_| refund.status).or(refund.booked);
                let on_its_way = if refund.status == RefundStatus::Processing { 400 } else { 0 };
                let gone = if refund.status == RefundStatus::Success { 400 } else { 0 };
                let found = balances(&book);
                prop_assert_eq!(found.get("refunds").copied().unwrap_or_default(), -on_its_way);
                prop_assert_eq!(found["provider:razorpay"], 1_000 - gone);
                prop_assert_eq!(found.get("unearned").copied().unwrap_or_default(), -(1_000 - on_its_way - gone));
            }
            let ids: std::collections::BTreeSet<_> = book.iter().map(|transfer| &transfer.id).collect();
            prop_assert_eq!(ids.len(), book.len(), "no two transfers share an id");
        }
    }
}
