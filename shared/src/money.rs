//! Amounts of money as integers. On the wire they are JSON numbers of rupees.

use std::{fmt, iter::Sum, ops};

use serde::{Deserialize, Serialize};

/// An amount in paise, a hundredth of a rupee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Paise(pub i64);

/// A share in hundredths of a percent: 500 is 5 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct BasisPoints(pub i64);

impl Paise {
    pub const ZERO: Self = Self(0);

    /// Whole rupees.
    pub const fn rupees(rupees: i64) -> Self {
        Self(rupees * 100)
    }

    /// The nearest paise to a wire number of rupees; none if it is no amount of money.
    pub fn from_rupees(rupees: f64) -> Option<Self> {
        let paise = (rupees * 100.0).round();
        // Past 2^53 a float no longer tells one paisa from the next.
        (paise.is_finite() && paise.abs() < 9_007_199_254_740_992.0).then_some(Self(paise as i64))
    }

    /// This share of the amount, rounded half up to a paisa.
    pub fn share(self, share: BasisPoints) -> Self {
        Self(round_half_up(i128::from(self.0) * i128::from(share.0), 10_000))
    }

    /// Rounded half up to whole rupees.
    pub fn round_to_rupee(self) -> Self {
        Self(round_half_up(i128::from(self.0), 100) * 100)
    }

    /// The amount times a count; saturates at the largest amount.
    pub fn times(self, count: u32) -> Self {
        Self(self.0.saturating_mul(i64::from(count)))
    }
}

fn round_half_up(value: i128, divisor: i128) -> i64 {
    let rounded = (2 * value + divisor).div_euclid(2 * divisor);
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

impl ops::Add for Paise {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl ops::Sub for Paise {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl ops::AddAssign for Paise {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Paise {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, ops::Add::add)
    }
}

/// Rupees with as many decimals as there are paise: `3200`, `8474.40`.
impl fmt::Display for Paise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (rupees, paise) = (self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100);
        match paise {
            0 => write!(f, "{sign}{rupees}"),
            _ => write!(f, "{sign}{rupees}.{paise:02}"),
        }
    }
}

impl Serialize for Paise {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_hundredths(self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Paise {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rupees = f64::deserialize(deserializer)?;
        Self::from_rupees(rupees).ok_or_else(|| serde::de::Error::custom("not an amount of money"))
    }
}

/// On the wire: a percentage.
impl Serialize for BasisPoints {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_hundredths(self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for BasisPoints {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Paise::deserialize(deserializer)?.0))
    }
}

fn serialize_hundredths<S: serde::Serializer>(value: i64, serializer: S) -> Result<S::Ok, S::Error> {
    match value % 100 {
        0 => serializer.serialize_i64(value / 100),
        _ => serializer.serialize_f64(value as f64 / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_round_half_up() {
        assert_eq!(Paise(1).share(BasisPoints(5_000)), Paise(1));
        assert_eq!(Paise(792_000).share(BasisPoints(200)), Paise(15_840));
        assert_eq!(Paise(254_232).round_to_rupee(), Paise(254_200));
        assert_eq!(Paise(254_250).round_to_rupee(), Paise(254_300));
    }

    #[test]
    fn amounts_are_written_as_rupees() {
        assert_eq!(serde_json::to_string(&Paise(847_440)).unwrap(), "8474.4");
        assert_eq!(serde_json::to_string(&Paise(320_000)).unwrap(), "3200");
        assert_eq!(Paise(847_440).to_string(), "8474.40");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["1e300", "\"12\"", "null"] {
            assert!(serde_json::from_str::<Paise>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_survives_the_wire(paise in -1_000_000_000_000_i64..1_000_000_000_000) {
            let text = serde_json::to_string(&Paise(paise)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Paise>(&text).unwrap(), Paise(paise));
        }

        #[test]
        fn a_share_and_its_rest_never_differ_from_the_whole_by_more_than_a_paisa(
            paise in 0_i64..1_000_000_000_000, share in 0_i64..=10_000
        ) {
            let parts = Paise(paise).share(BasisPoints(share)) + Paise(paise).share(BasisPoints(10_000 - share));
            prop_assert!((parts.0 - paise).abs() <= 1);
        }
    }
}
