//! Counters that telemetry reads. Nothing is ever reset, so that rates can be made of them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    call::CurrentCall,
    telemetry::{Recording, metrics::LimitReached},
};

/// A number that grows; of events, or of nanoseconds.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, by: u64) {
        self.0.fetch_add(by, Relaxed);
    }

    pub(super) fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_nanos(self.get())
    }
}

/// Counters of the statements of one database.
#[derive(Debug, Default)]
pub struct Statements {
    run: Counter,
    failed: Counter,
    rows: Counter,
}

/// These counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatementCounts {
    /// Statements run, whether they succeeded or not.
    pub run: u64,
    pub failed: u64,
    /// Rows returned to components.
    pub rows: u64,
}

impl Statements {
    /// Counts a statement that returned so many rows, or failed, perhaps at a limit of
    /// the component that runs it, and ends its span.
    pub(super) fn end(
        &self,
        current: Option<&CurrentCall>,
        span: Option<Recording>,
        outcome: Result<usize, Option<LimitReached>>,
    ) {
        self.run.add(1);
        let limit = match outcome {
            Ok(rows) => return self.rows.add(rows as u64),
            Err(limit) => limit,
        };
        self.failed.add(1);
        if let Some(mut span) = span {
            // The words of a database may hold values of the row.
            span.fail("the statement failed");
        }
        if let (Some(current), Some(limit)) = (current, limit) {
            current.reached(limit);
        }
    }

    pub(super) fn counts(&self) -> StatementCounts {
        StatementCounts { run: self.run.get(), failed: self.failed.get(), rows: self.rows.get() }
    }
}
