//! What a booking costs, in paise, reckoned on the server alone.

use cairn_shared::{BasisPoints, Paise, Timestamp, time::DAY};
use serde::{Deserialize, Serialize};

use super::{AddOn, GatewayType, GstType, InitialAmount, PartialTerms, Terms, days_until};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscountType {
    Percentage,
    Fixed,
}

/// The price of a booking, frozen when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breakdown {
    pub count: u32,
    /// Per participant, without add-ons.
    pub unit: Paise,
    /// Trek and add-ons for all participants.
    pub base: Paise,
    pub discount: Paise,
    /// Base less discount: what tax and charges are reckoned on.
    pub net: Paise,
    pub gst_rate: BasisPoints,
    pub gst_type: GstType,
    /// Added on top; zero when the price contains it.
    pub gst: Paise,
    /// Contained in `net`, for the invoice.
    pub gst_included: Paise,
    pub gateway_rate: BasisPoints,
    pub gateway_type: GatewayType,
    pub gateway: Paise,
    pub total: Paise,
}

impl Breakdown {
    /// A price that somebody agreed on: neither tax nor charges are added.
    pub fn agreed(unit: Paise, count: u32) -> Self {
        let total = unit.times(count);
        Self {
            count,
            unit,
            base: total,
            discount: Paise::ZERO,
            net: total,
            gst_rate: BasisPoints(0),
            gst_type: GstType::Excluded,
            gst: Paise::ZERO,
            gst_included: Paise::ZERO,
            gateway_rate: BasisPoints(0),
            gateway_type: GatewayType::Own,
            gateway: Paise::ZERO,
            total,
        }
    }
}

impl Breakdown {
    /// As [`Breakdown::agreed`], for all participants together; the unit is then rounded down.
    pub fn agreed_total(total: Paise, count: u32) -> Self {
        let unit = Paise(total.0 / i64::from(count.max(1)));
        Self { unit, base: total, net: total, total, ..Self::agreed(Paise::ZERO, count) }
    }
}

/// Add-ons are charged for each participant.
pub fn add_ons_total(add_ons: &[AddOn], count: u32) -> Paise {
    add_ons.iter().map(|add_on| add_on.price.times(count)).sum()
}

/// The price of `count` participants at `unit` each with these add-ons, less `discount`.
pub fn price(terms: &Terms, unit: Paise, count: u32, add_ons: &[AddOn], discount: Paise) -> Breakdown {
    let base = unit.times(count) + add_ons_total(add_ons, count);
    let discount = discount.clamp(Paise::ZERO, base);
    let net = base - discount;
    let gst = match terms.gst_type {
        GstType::Excluded => net.share(terms.gst),
        GstType::Included => Paise::ZERO,
    };
    let gst_included = match terms.gst_type {
        GstType::Excluded => Paise::ZERO,
        GstType::Included => contained(net, terms.gst),
    };
    let gateway = match terms.gateway_type {
        GatewayType::Customer => net.share(terms.gateway),
        GatewayType::Own => Paise::ZERO,
    };
    Breakdown {
        count,
        unit,
        base,
        discount,
        net,
        gst_rate: terms.gst,
        gst_type: terms.gst_type,
        gst,
        gst_included,
        gateway_rate: terms.gateway,
        gateway_type: terms.gateway_type,
        gateway,
        total: net + gst + gateway,
    }
}

/// Tax of this rate that an amount contains, rounded half up to a paisa.
fn contained(amount: Paise, rate: BasisPoints) -> Paise {
    let (amount, rate) = (i128::from(amount.0), i128::from(rate.0));
    let divisor = 10_000 + rate;
    let tax = (2 * amount * rate + divisor).div_euclid(2 * divisor);
    Paise(i64::try_from(tax).unwrap_or(i64::MAX))
}

/// A total in two payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instalments {
    pub initial: Paise,
    pub remaining: Paise,
    pub due: Timestamp,
}

/// Splits a total for a trek that starts at `start`; none when it is too late for that.
pub fn instalments(
    terms: &PartialTerms,
    total: Paise,
    count: u32,
    start: Timestamp,
    now: Timestamp,
) -> Option<Instalments> {
    if days_until(start, now) <= i64::from(terms.due_days) {
        return None;
    }
    let initial = match terms.initial {
        InitialAmount::Percentage(share) => total.share(share).round_to_rupee(),
        InitialAmount::Fixed(amount) => amount.times(count),
    };
    let initial = initial.clamp(Paise::ZERO, total);
    Some(Instalments { initial, remaining: total - initial, due: start.plus(-i64::from(terms.due_days) * DAY) })
}

#[cfg(test)]
mod tests {
    use cairn_shared::Id;
    use proptest::prelude::*;

    use super::*;

    fn terms(gst: i64, gst_type: GstType, gateway: i64, gateway_type: GatewayType) -> Terms {
        Terms {
            id: Id::derive(&["trek"]),
            name: "Kodachadri".into(),
            enabled: true,
            custom: false,
            custom_link_expiry: None,
            display_price: Paise::ZERO,
            add_ons: vec![],
            gst: BasisPoints(gst),
            gst_type,
            gateway: BasisPoints(gateway),
            gateway_type,
            partial: partial(InitialAmount::Percentage(BasisPoints(3_000))),
            custom_fields: vec![],
        }
    }

    fn partial(initial: InitialAmount) -> PartialTerms {
        PartialTerms { enabled: true, initial, due_days: 5, auto_cancel: true }
    }

    fn tent() -> AddOn {
        AddOn { name: "Rental tent".into(), price: Paise::rupees(400), enabled: true }
    }

    #[test]
    fn the_contracts_example_comes_out() {
        let terms = terms(500, GstType::Excluded, 200, GatewayType::Customer);
        let price = price(&terms, Paise::rupees(4_000), 2, &[tent()], Paise::rupees(880));
        assert_eq!(price.base, Paise::rupees(8_800));
        assert_eq!((price.net, price.gst, price.gateway), (Paise::rupees(7_920), Paise::rupees(396), Paise(15_840)));
        assert_eq!(price.total, Paise(847_440));
        let now = Timestamp::from_millis(0);
        let split = instalments(&terms.partial, price.total, 2, now.plus(30 * DAY), now).unwrap();
        assert_eq!((split.initial, split.remaining), (Paise::rupees(2_542), Paise(593_240)));
        assert_eq!(split.due, now.plus(25 * DAY));
    }

    #[test]
    fn tax_that_the_price_contains_is_not_added() {
        let price =
            price(&terms(500, GstType::Included, 200, GatewayType::Own), Paise::rupees(105), 1, &[], Paise::ZERO);
        assert_eq!((price.total, price.gst, price.gateway), (Paise::rupees(105), Paise::ZERO, Paise::ZERO));
        assert_eq!(price.gst_included, Paise::rupees(5));
    }

    #[test]
    fn instalments_end_on_the_day_the_balance_would_be_due() {
        let (start, total) = (Timestamp::from_millis(100 * DAY), Paise::rupees(100));
        let at = |now| instalments(&partial(InitialAmount::Fixed(Paise::rupees(10))), total, 2, start, now);
        assert!(at(start.plus(-5 * DAY)).is_none());
        assert!(at(start.plus(-5 * DAY - 1)).is_some_and(|split| split.initial == Paise::rupees(20)));
    }

    proptest! {
        #[test]
        fn a_price_is_the_sum_of_its_parts(
            unit in 0_i64..10_000_000, add_on in 0_i64..1_000_000, count in 1_u32..=50, discount in 0_i64..600_000_000,
            gst in 0_i64..=10_000, gateway in 0_i64..=10_000, included: bool, own: bool,
        ) {
            let gst_type = if included { GstType::Included } else { GstType::Excluded };
            let gateway_type = if own { GatewayType::Own } else { GatewayType::Customer };
            let add_ons = [AddOn { name: "x".into(), price: Paise(add_on), enabled: true }];
            let p = price(&terms(gst, gst_type, gateway, gateway_type), Paise(unit), count, &add_ons, Paise(discount));
            prop_assert_eq!(p.base.0, (unit + add_on) * i64::from(count));
            prop_assert_eq!(p.net, p.base - p.discount);
            prop_assert!(p.net >= Paise::ZERO && p.discount.0 <= discount);
            prop_assert_eq!(p.total, p.net + p.gst + p.gateway);
            prop_assert!(!included || p.gst == Paise::ZERO);
            prop_assert!(!own || p.gateway == Paise::ZERO);
            prop_assert!(p.gst_included <= p.net);
            // Rounded half up: never further from the exact value than half a paisa.
            prop_assert!(included || (2 * (p.gst.0 * 10_000 - p.net.0 * gst)).abs() <= 10_000);
        }

        #[test]
        fn instalments_add_up_to_the_total(
            total in 0_i64..10_000_000_000, count in 1_u32..=50, share in 0_i64..=10_000, fixed in 0_i64..10_000_000, by_share: bool,
        ) {
            let initial = if by_share { InitialAmount::Percentage(BasisPoints(share)) } else { InitialAmount::Fixed(Paise(fixed)) };
            let start = Timestamp::from_millis(100 * DAY);
            let split = instalments(&partial(initial), Paise(total), count, start, Timestamp::from_millis(0)).unwrap();
            prop_assert_eq!(split.initial + split.remaining, Paise(total));
            prop_assert!(split.initial >= Paise::ZERO && split.remaining >= Paise::ZERO);
        }

        #[test]
        fn contained_tax_is_what_adding_it_would_give(net in 0_i64..1_000_000_000, rate in 0_i64..=10_000) {
            let gross = Paise(net) + Paise(net).share(BasisPoints(rate));
            let tax = contained(gross, BasisPoints(rate));
            prop_assert!((gross.0 - tax.0 - net).abs() <= 1);
        }
    }
}
