//! How something has done so far: how often it was asked, how often it failed, and
//! how long it took. Counting takes no lock.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Buckets of each doubling of the time, so that a bucket is at most a quarter wide.
const BUCKETS_PER_DOUBLING: usize = 4;
/// Doublings from one microsecond on; the last bucket takes all that lasts longer.
const DOUBLINGS: usize = 28;
const BUCKETS: usize = BUCKETS_PER_DOUBLING * DOUBLINGS;

/// Counts what was answered.
#[derive(Debug)]
pub struct Tally {
    errors: AtomicU64,
    traps: AtomicU64,
    /// Answers by how long they took; together, all answers.
    latencies: [AtomicU64; BUCKETS],
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            errors: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            latencies: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// How one request or call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Answered,
    /// An answer that says the server is at fault, or none in time.
    Error,
    /// The component trapped. It counts as an error too.
    Trap,
}

impl Tally {
    /// Something ended after `time`.
    pub fn add(&self, ending: Ending, time: Duration) {
        match ending {
            Ending::Answered => {}
            Ending::Error => drop(self.errors.fetch_add(1, Relaxed)),
            Ending::Trap => {
                self.errors.fetch_add(1, Relaxed);
                self.traps.fetch_add(1, Relaxed);
            }
        }
        if let Some(bucket) = self.latencies.get(bucket(time)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// What was counted until now.
    #[must_use]
    pub fn sample(&self) -> Sample {
        Sample {
            errors: self.errors.load(Relaxed),
            traps: self.traps.load(Relaxed),
            latencies: self.latencies.iter().map(|count| count.load(Relaxed)).collect(),
        }
    }
}

/// The counts of a [`Tally`] at one moment, or of the time between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub errors: u64,
    pub traps: u64,
    latencies: Box<[u64]>,
}

impl Sample {
    /// What ended, well or not.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.latencies.iter().sum()
    }

    /// What came since an earlier sample of the same tally.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.latencies.iter().zip(&earlier.latencies);
        Self {
            errors: self.errors.saturating_sub(earlier.errors),
            traps: self.traps.saturating_sub(earlier.traps),
            latencies: counts.map(|(now, then)| now.saturating_sub(*then)).collect(),
        }
    }

    /// The time within which so many percent were answered, to a quarter more; nothing
    /// where nothing was.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.requests() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let bucket = self.latencies.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(upper_bound(bucket))
    }
}

fn bucket(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    let doubling = micros.ilog2() as usize;
    // The two bits below the highest one.
    let quarter = if doubling >= 2 { (micros >> (doubling - 2)) & 3 } else { (micros << (2 - doubling)) & 3 };
    (doubling * BUCKETS_PER_DOUBLING + quarter as usize).min(BUCKETS - 1)
}

fn upper_bound(bucket: usize) -> Duration {
    let (doubling, quarter) = (bucket / BUCKETS_PER_DOUBLING, bucket % BUCKETS_PER_DOUBLING);
    Duration::from_nanos((1000_u64 << doubling) / 4 * (5 + quarter as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_a_quarter_above_the_truth() {
        let tally = Tally::default();
        for millis in 1..=100 {
            tally.add(Ending::Answered, Duration::from_millis(millis));
        }
        for percent in [1, 50, 90, 99, 100] {
            let (found, truth) = (tally.sample().percentile(percent).unwrap(), Duration::from_millis(percent));
            assert!(found >= truth && found <= truth + truth / 4, "{percent} %: {found:?}");
        }
    }

    #[test]
    fn every_time_has_a_bucket_that_ends_after_it() {
        for micros in (0..5_000).chain([1 << 20, (1 << 28) - 1]) {
            let time = Duration::from_micros(micros);
            assert!(upper_bound(bucket(time)) > time, "{time:?}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_difference_counts_what_came_in_between() {
        let tally = Tally::default();
        tally.add(Ending::Trap, Duration::from_secs(9));
        let before = tally.sample();
        assert_eq!((before.requests(), before.errors, before.traps), (1, 1, 1));
        tally.add(Ending::Error, Duration::from_millis(1));
        let between = tally.sample().since(&before);
        assert_eq!((between.requests(), between.errors, between.traps), (1, 1, 0));
        assert!(between.percentile(100).unwrap() < Duration::from_millis(2));
        assert_eq!(before.since(&before).percentile(50), None);
    }
}
