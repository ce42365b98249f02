//! A circuit breaker: who fails again and again is left alone for a while.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures in a row that open the circuit.
const FAILURES_MAX: u32 = 5;
/// How long it stays open before one call may try.
const OPEN_TIME: Duration = Duration::from_secs(30);

/// The circuit of one version of a component.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Circuit>);

#[derive(Debug)]
enum Circuit {
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call tries whether the service is well again; it is given up at `until`.
    HalfOpen {
        until: Instant,
    },
}

impl Default for Circuit {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether a call may be made at `now`; if not, for how long not.
    ///
    /// # Errors
    /// The time until a call may try again.
    pub fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut circuit = self.lock();
        match *circuit {
            Circuit::Closed { .. } => Ok(()),
            Circuit::Open { until } | Circuit::HalfOpen { until } if now < until => Err(until - now),
            Circuit::Open { .. } | Circuit::HalfOpen { .. } => {
                *circuit = Circuit::HalfOpen { until: now + OPEN_TIME };
                Ok(())
            }
        }
    }

    /// An admitted call was answered.
    pub fn succeeded(&self) {
        let mut circuit = self.lock();
        if !matches!(*circuit, Circuit::Closed { failures: 0 }) {
            *circuit = Circuit::default();
        }
    }

    /// An admitted call failed at `now` by fault of the service.
    pub fn failed(&self, now: Instant) {
        let mut circuit = self.lock();
        *circuit = match *circuit {
            Circuit::Closed { failures } if failures + 1 < FAILURES_MAX => Circuit::Closed { failures: failures + 1 },
            Circuit::Closed { .. } | Circuit::HalfOpen { .. } => Circuit::Open { until: now + OPEN_TIME },
            // A call admitted before the circuit opened: that it opened is known.
            Circuit::Open { until } => Circuit::Open { until },
        };
    }

    /// Forgets the failures: they say little by the time a version is in force again.
    pub fn reset(&self) {
        *self.lock() = Circuit::default();
    }

    /// Whether calls are refused at `now`.
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        match *self.lock() {
            Circuit::Closed { .. } => false,
            Circuit::Open { until } | Circuit::HalfOpen { until } => now < until,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        // Every write replaces the whole value, so a panic elsewhere leaves it sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            breaker.admit(now).unwrap();
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn the_circuit_opens_only_after_failures_in_a_row() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES_MAX - 1 {
            breaker.failed(now);
        }
        breaker.succeeded();
        for _ in 0..FAILURES_MAX - 1 {
            breaker.failed(now);
        }
        assert_eq!(breaker.admit(now), Ok(()));
        breaker.failed(now);
        assert_eq!(breaker.admit(now), Err(OPEN_TIME));
    }

    #[test]
    fn after_its_time_one_call_tries_and_decides() {
        let now = Instant::now();
        let later = now + OPEN_TIME;
        let breaker = opened(now);
        assert_eq!(breaker.admit(later), Ok(()));
        assert!(breaker.admit(later).is_err(), "only one call tries");
        breaker.failed(later);
        assert!(breaker.is_open(later + OPEN_TIME / 2));
        assert_eq!(breaker.admit(later + OPEN_TIME), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.admit(later + OPEN_TIME), Ok(()));
        assert!(!breaker.is_open(later + OPEN_TIME));
    }
}
