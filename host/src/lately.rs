//! What has been counted lately, by a tally that only grows.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::tally::{Sample, Tally};

/// Time between two marks. What came lately came within once to twice this time.
const MARK_INTERVAL: Duration = Duration::from_secs(60);

/// Marks in the past of a tally.
#[derive(Debug, Default)]
pub struct Lately(Mutex<Marks>);

#[derive(Debug, Default)]
struct Marks {
    /// The count at the last mark, and when that was.
    last: Option<(Instant, Sample)>,
    /// The count at the mark before; nothing while all is lately.
    before: Option<Sample>,
}

impl Lately {
    /// Sets a mark where the last one is old enough. To be called now and then.
    pub fn mark(&self, now: Instant, tally: &Tally) {
        let mut marks = self.lock();
        let old = marks.last.as_ref().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= MARK_INTERVAL);
        if old {
            marks.before = marks.last.take().map(|(_, sample)| sample);
            marks.last = Some((now, tally.sample()));
        }
    }

    /// What `tally` has counted since the mark before the last one.
    #[must_use]
    pub fn of(&self, tally: &Tally) -> Sample {
        let sample = tally.sample();
        match &self.lock().before {
            Some(before) => sample.since(before),
            None => sample,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Ending;

    #[test]
    fn what_is_older_than_two_marks_is_forgotten() {
        let (tally, lately, began) = (Tally::default(), Lately::default(), Instant::now());
        let add = || tally.add(Ending::Answered, Duration::from_millis(1));
        let seen = || lately.of(&tally).requests();
        add();
        assert_eq!(seen(), 1);
        for (seconds, expected) in [(0, 2), (10, 3), (60, 3), (70, 4), (119, 5), (120, 4), (180, 2)] {
            lately.mark(began + Duration::from_secs(seconds), &tally);
            add();
            assert_eq!(seen(), expected, "after {seconds} s");
        }
    }
}
