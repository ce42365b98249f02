//! Whether a canary does as well as what it is to replace.
//!
//! Pure: it compares counts of the same time and gives a verdict.

use std::{fmt, time::Duration};

use crate::tally::Sample;

/// How often a canary is looked at.
pub const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Errors of a canary that are put up with, whatever their share.
const ERRORS_TOLERATED: u64 = 4;
/// Traps of a canary that are put up with, whatever their share.
const TRAPS_TOLERATED: u64 = 2;
/// By how much the share of errors or traps may be above that of the current version,
/// in percentage points.
const EXCESS_PERCENT_MAX: f64 = 1.0;
/// Requests that both must have answered before their times are compared.
const TIMED_REQUESTS_MIN: u64 = 100;
/// The percentile of their times that is compared.
const PERCENTILE: u64 = 90;
/// How many times as long as the current version's the canary's percentile may be…
const SLOWER_MAX: f64 = 2.0;
/// …and by how much it must be longer in any case to count.
const SLOWER_MIN: Duration = Duration::from_millis(20);

/// Why a canary is rolled back.
#[derive(Debug, Clone, PartialEq)]
pub enum Objection {
    Errors { canary: Share, current: Share },
    Traps { canary: Share, current: Share },
    Slow { canary: Duration, current: Duration },
}

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub count: u64,
    pub of: u64,
}

impl Share {
    #[expect(clippy::cast_precision_loss, reason = "a share to about fifteen digits")]
    fn percent(self) -> f64 {
        if self.of == 0 { 0.0 } else { 100.0 * self.count as f64 / self.of as f64 }
    }

    fn is_more_than(self, other: Self, tolerated: u64) -> bool {
        self.count > tolerated && self.percent() > other.percent() + EXCESS_PERCENT_MAX
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} % ({} of {})", self.percent(), self.count, self.of)
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { canary, current } => write!(f, "errors: {canary}, where the current version has {current}"),
            Self::Traps { canary, current } => write!(f, "traps: {canary}, where the current version has {current}"),
            Self::Slow { canary, current } => write!(
                f,
                "slow: {PERCENTILE} % answered within {canary:.1?}, where the current version takes {current:.1?}"
            ),
        }
    }
}

/// What speaks against a canary that did `canary` while the current version did `current`.
#[must_use]
pub fn judge(canary: &Sample, current: &Sample) -> Option<Objection> {
    let share = |count: u64, sample: &Sample| Share { count, of: sample.requests() };
    let (traps, traps_now) = (share(canary.traps, canary), share(current.traps, current));
    if traps.is_more_than(traps_now, TRAPS_TOLERATED) {
        return Some(Objection::Traps { canary: traps, current: traps_now });
    }
    let (errors, errors_now) = (share(canary.errors, canary), share(current.errors, current));
    if errors.is_more_than(errors_now, ERRORS_TOLERATED) {
        return Some(Objection::Errors { canary: errors, current: errors_now });
    }
    if canary.requests().min(current.requests()) < TIMED_REQUESTS_MIN {
        return None;
    }
    let (slow, usual) = (canary.percentile(PERCENTILE)?, current.percentile(PERCENTILE)?);
    let too_slow = slow > usual.mul_f64(SLOWER_MAX) && slow > usual + SLOWER_MIN;
    too_slow.then_some(Objection::Slow { canary: slow, current: usual })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::{Ending, Tally};

    fn sample(answered: u64, errors: u64, traps: u64, millis: u64) -> Sample {
        let tally = Tally::default();
        for (ending, count) in [(Ending::Answered, answered), (Ending::Error, errors), (Ending::Trap, traps)] {
            for _ in 0..count {
                tally.add(ending, Duration::from_millis(millis));
            }
        }
        tally.sample()
    }

    fn verdict(canary: Sample, current: Sample) -> Option<String> {
        judge(&canary, &current).map(|objection| objection.to_string())
    }

    #[test]
    fn a_canary_that_does_as_well_holds() {
        assert_eq!(verdict(sample(0, 0, 0, 1), sample(0, 0, 0, 1)), None);
        assert_eq!(verdict(sample(1000, 0, 0, 5), sample(9000, 0, 0, 5)), None);
        assert_eq!(verdict(sample(900, 100, 0, 5), sample(9000, 1000, 0, 5)), None, "both have as many errors");
    }

    #[test]
    fn errors_and_traps_beyond_the_current_version_s_end_it() {
        assert_eq!(
            verdict(sample(95, 5, 0, 5), sample(1000, 0, 0, 5)).unwrap(),
            "errors: 5.0 % (5 of 100), where the current version has 0.0 % (0 of 1000)"
        );
        assert_eq!(
            verdict(sample(0, 0, 3, 5), sample(10, 0, 0, 5)).unwrap(),
            "traps: 100.0 % (3 of 3), where the current version has 0.0 % (0 of 10)"
        );
    }

    #[test]
    fn a_few_errors_prove_nothing() {
        assert_eq!(verdict(sample(0, ERRORS_TOLERATED, 0, 5), sample(1000, 0, 0, 5)), None);
        assert_eq!(verdict(sample(0, 0, TRAPS_TOLERATED, 5), sample(1000, 0, 0, 5)), None);
        assert_eq!(verdict(sample(9990, 10, 0, 5), sample(90_000, 0, 0, 5)), None, "one in a thousand");
    }

    #[test]
    fn a_canary_that_takes_twice_as_long_ends() {
        assert_eq!(
            verdict(sample(100, 0, 0, 100), sample(100, 0, 0, 10)).unwrap(),
            "slow: 90 % answered within 114.7ms, where the current version takes 10.2ms"
        );
        assert_eq!(verdict(sample(99, 0, 0, 100), sample(100, 0, 0, 10)), None, "too few to tell");
        assert_eq!(verdict(sample(100, 0, 0, 9), sample(100, 0, 0, 1)), None, "too short to matter");
    }
}
