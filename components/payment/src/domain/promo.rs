//! Promo codes: when one applies, and what it takes off.

use cairn_shared::{BasisPoints, Id, Paise, Timestamp, Zone, time::DAY};

use super::text_enum;

text_enum! {
    DiscountType {
        Percentage = "percentage",
        Fixed = "fixed",
    }
}

/// A promo code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promo {
    pub id: Id,
    /// Trimmed, upper-case.
    pub code: String,
    pub discount_type: DiscountType,
    /// Basis points or paise, by type.
    pub discount_value: i64,
    /// None: as often as anybody likes.
    pub max_uses: Option<u32>,
    /// None: as often as the promo lasts.
    pub max_uses_per_user: Option<u32>,
    /// Paid uses.
    pub used: i64,
    /// First day: its midnight in UTC.
    pub valid_from: Timestamp,
    /// Last day, which counts: its midnight in UTC.
    pub valid_until: Timestamp,
    pub min_order_value: Paise,
    /// Empty: all treks.
    pub applicable_treks: Vec<Id>,
    pub is_active: bool,
    pub created_by: Id,
    pub created_by_name: String,
    pub created_at: Timestamp,
}

/// Why a code does not apply, in the order in which it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromoProblem {
    InvalidCode,
    Expired,
    UsedUp,
    /// This person has used it as often as one may.
    UsedByUser,
    BelowMinimum(Paise),
    NotApplicable,
}

/// What a code is to be used for. What is not given is not checked.
#[derive(Debug, Clone, Default)]
pub struct Use {
    pub trek_id: Option<Id>,
    /// Base price before tax.
    pub order_value: Option<Paise>,
    /// Uses by others, paid and reserved.
    pub taken: i64,
    /// Uses by the same person for other bookings.
    pub taken_by_user: i64,
}

/// Midnight UTC of the day that the first ten characters of an instant name.
pub fn day(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().div_euclid(DAY) * DAY)
}

impl Promo {
    /// # Errors
    /// The first reason why it does not apply.
    pub fn check(&self, usage: &Use, now: Timestamp, zone: Zone) -> Result<(), PromoProblem> {
        if !self.is_active {
            return Err(PromoProblem::InvalidCode);
        }
        let (from, until) = (zone.start_of_day(self.valid_from), zone.start_of_day(self.valid_until).plus(DAY));
        if now < from || now >= until {
            return Err(PromoProblem::Expired);
        }
        if self.max_uses.is_some_and(|max| usage.taken >= i64::from(max)) {
            return Err(PromoProblem::UsedUp);
        }
        if self.max_uses_per_user.is_some_and(|max| usage.taken_by_user >= i64::from(max)) {
            return Err(PromoProblem::UsedByUser);
        }
        if usage.order_value.is_some_and(|value| value < self.min_order_value) {
            return Err(PromoProblem::BelowMinimum(self.min_order_value));
        }
        let applies = |trek_id| self.applicable_treks.is_empty() || self.applicable_treks.contains(&trek_id);
        if usage.trek_id.is_some_and(|trek_id| !applies(trek_id)) {
            return Err(PromoProblem::NotApplicable);
        }
        Ok(())
    }

    /// What it takes off an order of this value, never more than the value.
    pub fn discount(&self, order_value: Paise) -> Paise {
        match self.discount_type {
            DiscountType::Percentage => order_value.share(BasisPoints(self.discount_value)),
            DiscountType::Fixed => Paise(self.discount_value),
        }
        .min(order_value)
    }

    /// The promo with these changes.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn changed(mut self, change: Change) -> Result<Self, &'static str> {
        self.discount_type = change.discount_type.unwrap_or(self.discount_type);
        self.discount_value = change.discount_value.unwrap_or(self.discount_value);
        self.max_uses = change.max_uses.unwrap_or(self.max_uses);
        self.max_uses_per_user = change.max_uses_per_user.unwrap_or(self.max_uses_per_user);
        self.valid_from = change.valid_from.map_or(self.valid_from, day);
        self.valid_until = change.valid_until.map_or(self.valid_until, day);
        self.min_order_value = change.min_order_value.unwrap_or(self.min_order_value);
        self.applicable_treks = change.applicable_treks.unwrap_or(self.applicable_treks);
        self.is_active = change.is_active.unwrap_or(self.is_active);
        self.validate().map(|()| self)
    }

    /// # Errors
    /// What is wrong with it, for people.
    pub fn validate(&self) -> Result<(), &'static str> {
        match () {
            () if self.discount_value <= 0 => Err("discountValue has to be more than 0"),
            () if self.discount_type == DiscountType::Percentage && self.discount_value > 10_000 => {
                Err("A percentage cannot be more than 100")
            }
            () if self.valid_until < self.valid_from => Err("validUntil cannot be before validFrom"),
            () if self.min_order_value < Paise::ZERO => Err("minOrderValue cannot be negative"),
            () => Ok(()),
        }
    }
}

/// What staff change of a promo; none: stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub discount_type: Option<DiscountType>,
    pub discount_value: Option<i64>,
    pub max_uses: Option<Option<u32>>,
    pub max_uses_per_user: Option<Option<u32>>,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
    pub min_order_value: Option<Paise>,
    pub applicable_treks: Option<Vec<Id>>,
    pub is_active: Option<bool>,
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn promo(code: &str) -> Promo {
        let id = Id::derive(&["promo", code]);
        Promo {
            id,
            code: code.into(),
            discount_type: DiscountType::Percentage,
            discount_value: 1_000,
            max_uses: None,
            max_uses_per_user: None,
            used: 0,
            valid_from: "2026-03-01".parse().unwrap(),
            valid_until: "2026-03-31".parse().unwrap(),
            min_order_value: Paise::ZERO,
            applicable_treks: Vec::new(),
            is_active: true,
            created_by: id,
            created_by_name: "Desk".into(),
            created_at: "2026-02-01".parse().unwrap(),
        }
    }

    fn check(promo: &Promo, usage: Use, now: &str) -> Result<(), PromoProblem> {
        promo.check(&usage, now.parse().unwrap(), Zone::INDIA)
    }

    #[test]
    fn a_code_is_valid_from_the_first_midnight_to_the_last_in_india() {
        let promo = promo("X");
        for (now, valid) in [
            ("2026-02-28T18:29:59.999Z", false),
            ("2026-02-28T18:30:00Z", true),
            ("2026-03-31T18:29:59.999Z", true),
            ("2026-03-31T18:30:00Z", false),
        ] {
            assert_eq!(check(&promo, Use::default(), now).is_ok(), valid, "{now}");
        }
    }

    #[test]
    fn the_first_problem_is_the_one_that_is_told() {
        let now = "2026-03-10";
        let trek = Id::derive(&["trek"]);
        let usage = Use { trek_id: Some(trek), order_value: Some(Paise(1)), taken: 5, taken_by_user: 2 };
        let mut bad = Promo {
            is_active: false,
            max_uses: Some(5),
            max_uses_per_user: Some(2),
            valid_until: "2026-03-02".parse().unwrap(),
            min_order_value: Paise(2),
            applicable_treks: vec![Id::derive(&["another"])],
            ..promo("X")
        };
        assert_eq!(check(&bad, usage.clone(), now), Err(PromoProblem::InvalidCode));
        bad.is_active = true;
        assert_eq!(check(&bad, usage.clone(), now), Err(PromoProblem::Expired));
        bad.valid_until = "2026-03-31".parse().unwrap();
        assert_eq!(check(&bad, usage.clone(), now), Err(PromoProblem::UsedUp));
        bad.max_uses = Some(6);
        assert_eq!(check(&bad, usage.clone(), now), Err(PromoProblem::UsedByUser));
        bad.max_uses_per_user = Some(3);
        assert_eq!(check(&bad, usage.clone(), now), Err(PromoProblem::BelowMinimum(Paise(2))));
        bad.min_order_value = Paise(1);
        assert_eq!(check(&bad, usage.clone(), now), Err(PromoProblem::NotApplicable));
        bad.applicable_treks.push(trek);
        assert_eq!(check(&bad, usage, now), Ok(()));
    }

    proptest! {
        #[test]
        fn a_discount_is_never_more_than_the_order(value in 0_i64..100_000_000, off in 1_i64..10_001, fixed in any::<bool>()) {
            let discount_type = if fixed { DiscountType::Fixed } else { DiscountType::Percentage };
            let promo = Promo { discount_type, discount_value: off, ..promo("X") };
            let discount = promo.discount(Paise(value));
            prop_assert!(discount >= Paise::ZERO && discount <= Paise(value));
        }
    }
}
