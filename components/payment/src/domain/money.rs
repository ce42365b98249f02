//! Captured money, and whether it pays for what it was to pay for.

use cairn_shared::{Id, Paise, Timestamp};

use super::{CURRENCY, Kind, Order, OrderStatus, text_enum};

text_enum! {
    /// Who made an order and holds its money.
    Provider {
        Razorpay = "razorpay",
        Stripe = "stripe",
        /// Nobody: staff received it.
        Offline = "offline",
        /// Nobody: it was paid for before, as a voucher.
        Voucher = "voucher",
    }
}

text_enum! {
    /// Why captured money belongs to no booking.
    Problem {
        UnknownOrder = "unknown_order",
        /// Less than the order's amount.
        WrongAmount = "wrong_amount",
        WrongCurrency = "wrong_currency",
        /// The booking asked for another amount meanwhile.
        VoidOrder = "void_order",
        /// Another payment has paid the order.
        PaidTwice = "paid_twice",
        /// It was given back in full before we heard of it.
        Returned = "returned",
    }
}

/// A captured payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: String,
    /// Empty for a payment that was made offline or by voucher.
    pub order_id: String,
    /// None where the order is unknown.
    pub booking_id: Option<Id>,
    pub provider: Provider,
    pub kind: Option<Kind>,
    /// All that was captured.
    pub amount: Paise,
    /// What was captured beyond the order's amount; it goes back.
    pub surplus: Paise,
    pub currency: String,
    pub method: String,
    pub problem: Option<Problem>,
    pub captured_at: Timestamp,
    /// Given back, or on its way back; without the surplus.
    pub refunded: Paise,
    /// Of the surplus: given back, or on its way back.
    pub surplus_refunded: Paise,
    /// The voucher that it was made with.
    pub voucher_id: Option<Id>,
    /// The share of its booking's balance that it paid.
    pub share_id: Option<Id>,
}

/// What captured money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// It pays the order; so much of it was too much.
    Pays { surplus: Paise },
    /// It belongs to no booking.
    Orphan(Problem),
}

/// Whether captured money pays the order, or why not.
pub fn capture_decide(order: Option<&Order>, amount: Paise, currency: &str, returned: bool) -> Capture {
    let Some(order) = order else { return Capture::Orphan(Problem::UnknownOrder) };
    match order.status {
        _ if currency != CURRENCY => Capture::Orphan(Problem::WrongCurrency),
        _ if returned => Capture::Orphan(Problem::Returned),
        _ if amount < order.amount => Capture::Orphan(Problem::WrongAmount),
        OrderStatus::Void => Capture::Orphan(Problem::VoidOrder),
        OrderStatus::Paid => Capture::Orphan(Problem::PaidTwice),
        OrderStatus::Intent | OrderStatus::Open => Capture::Pays { surplus: amount - order.amount },
    }
}

impl Problem {
    /// The nearest word that the first version of the table knows.
    pub fn as_first_known(self) -> Self {
        if self == Self::Returned { Self::VoidOrder } else { self }
    }
}

impl Payment {
    /// What counts for its booking.
    pub fn counted(&self) -> Paise {
        self.amount - self.surplus
    }

    /// What can still be given back of it, without the surplus.
    pub fn refundable(&self) -> Paise {
        (self.counted() - self.refunded).max(Paise::ZERO)
    }

    /// What of the surplus is still to be given back.
    pub fn surplus_left(&self) -> Paise {
        (self.surplus - self.surplus_refunded).max(Paise::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_pays_an_open_order_of_at_most_its_amount() {
        let id = Id::derive(&["x"]);
        let order = |status| Order {
            id,
            receipt: "r".into(),
            provider: Provider::Razorpay,
            provider_id: Some("order_1".into()),
            booking_id: id,
            user_id: id,
            share_id: None,
            kind: Kind::Full,
            amount: Paise(1_000),
            status,
            attempts: 1,
            snapshot: None,
            created_at: Timestamp::from_millis(0),
        };
        let decide = |status, amount| capture_decide(Some(&order(status)), Paise(amount), CURRENCY, false);
        for open in [OrderStatus::Open, OrderStatus::Intent] {
            assert_eq!(decide(open, 1_000), Capture::Pays { surplus: Paise::ZERO });
            assert_eq!(decide(open, 1_250), Capture::Pays { surplus: Paise(250) });
            assert_eq!(decide(open, 999), Capture::Orphan(Problem::WrongAmount));
        }
        assert_eq!(decide(OrderStatus::Void, 1_000), Capture::Orphan(Problem::VoidOrder));
        assert_eq!(decide(OrderStatus::Paid, 1_000), Capture::Orphan(Problem::PaidTwice));
        let open = order(OrderStatus::Open);
        let capture = |currency, returned| capture_decide(Some(&open), Paise(1_000), currency, returned);
        assert_eq!(capture("USD", false), Capture::Orphan(Problem::WrongCurrency));
        assert_eq!(capture(CURRENCY, true), Capture::Orphan(Problem::Returned));
        assert_eq!(capture_decide(None, Paise(1_000), CURRENCY, false), Capture::Orphan(Problem::UnknownOrder));
    }
}
