//! What a cancellation gives back.

use cairn_shared::{BasisPoints, Paise};

/// A tier of the refund table. The words and the colour are shown as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundPolicy {
    pub share: BasisPoints,
    pub description: &'static str,
    pub color: &'static str,
}

/// The tier for so many days before the start.
pub fn refund_policy(days: i64) -> RefundPolicy {
    let (percent, description, color) = match days {
        22.. => (100, "Free cancellation (100% refund)", "text-green-600"),
        15..=21 => (75, "75% refund (25% cancellation charge)", "text-yellow-600"),
        8..=14 => (50, "50% refund (50% cancellation charge)", "text-orange-600"),
        _ => (0, "No refund (within 7 days of trek)", "text-red-600"),
    };
    RefundPolicy { share: BasisPoints(percent * 100), description, color }
}

impl RefundPolicy {
    /// What this tier gives back of an amount: all of it, or whole rupees.
    pub fn of(&self, amount: Paise) -> Paise {
        if self.share == BasisPoints(10_000) { amount } else { amount.share(self.share).round_to_rupee() }
    }
}

/// The automatic refund for shares worth `price`, of which `paid` was paid, when
/// `refundable` was captured and not given back: what was paid, less the
/// cancellation charge on the price.
pub fn refund_for_shares(policy: &RefundPolicy, price: Paise, paid: Paise, refundable: Paise) -> Paise {
    let charge = price - policy.of(price);
    (paid - charge).min(refundable).max(Paise::ZERO)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tiers_change_at_their_days() {
        let percent = |days| refund_policy(days).share.0 / 100;
        assert_eq!([22, 21, 15, 14, 8, 7, 0, -3].map(percent), [100, 75, 75, 50, 50, 0, 0, 0]);
        assert_eq!(refund_policy(18).color, "text-yellow-600");
    }

    #[test]
    fn a_reduced_refund_is_whole_rupees_and_a_full_one_is_not_rounded() {
        assert_eq!(refund_policy(18).of(Paise(847_440)), Paise::rupees(6_356));
        assert_eq!(refund_policy(30).of(Paise(847_440)), Paise(847_440));
    }

    #[test]
    fn a_charge_on_the_whole_price_may_use_up_a_first_instalment() {
        let (price, paid) = (Paise::rupees(1_000), Paise::rupees(300));
        assert_eq!(refund_for_shares(&refund_policy(10), price, paid, paid), Paise::ZERO);
        assert_eq!(refund_for_shares(&refund_policy(18), price, paid, paid), Paise::rupees(50));
        assert_eq!(refund_for_shares(&refund_policy(30), price, paid, paid), paid);
    }

    proptest! {
        #[test]
        fn a_refund_never_exceeds_what_was_paid_and_is_left(
            days in -10_i64..40, price in 0_i64..1_000_000_000, paid in 0_i64..1_000_000_000, left in 0_i64..1_000_000_000,
        ) {
            let refund = refund_for_shares(&refund_policy(days), Paise(price), Paise(paid), Paise(left));
            prop_assert!(refund >= Paise::ZERO && refund.0 <= paid && refund.0 <= left);
        }

        #[test]
        fn for_a_paid_booking_the_refund_is_the_tables(days in -10_i64..40, price in 0_i64..1_000_000_000) {
            let policy = refund_policy(days);
            prop_assert_eq!(refund_for_shares(&policy, Paise(price), Paise(price), Paise(price)), policy.of(Paise(price)).min(Paise(price)));
        }

        #[test]
        fn later_is_never_better(days in -10_i64..40, price in 0_i64..1_000_000_000) {
            prop_assert!(refund_policy(days).of(Paise(price)) <= refund_policy(days + 1).of(Paise(price)) + Paise(50));
        }
    }
}
