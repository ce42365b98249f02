//! What a pool did, as counters that telemetry reads. Nothing is ever reset.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counters of one pool.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) statements: AtomicU64,
    pub(super) statements_failed: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) rollbacks_on_drop: AtomicU64,
    pub(super) waits_in_vain: AtomicU64,
    pub(super) connections_lost: AtomicU64,
    pub(super) wait_ns: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Statements run, whether they succeeded or not.
    pub statements: u64,
    pub statements_failed: u64,
    /// Rows returned to components.
    pub rows: u64,
    /// Transactions that were rolled back because their connection was dropped.
    pub rollbacks_on_drop: u64,
    /// Waits for a connection that ended without one.
    pub waits_in_vain: u64,
    /// Connections closed because they were no longer in step with the server.
    pub connections_lost: u64,
    /// Time waited for a connection, summed over all that were handed out.
    pub wait: Duration,
    /// Connections that are open now.
    pub connections: u64,
    /// Those of them that nobody uses.
    pub connections_idle: u64,
}

impl Counters {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            statements: self.statements.load(Relaxed),
            statements_failed: self.statements_failed.load(Relaxed),
            rows: self.rows.load(Relaxed),
            rollbacks_on_drop: self.rollbacks_on_drop.load(Relaxed),
            waits_in_vain: self.waits_in_vain.load(Relaxed),
            connections_lost: self.connections_lost.load(Relaxed),
            wait: Duration::from_nanos(self.wait_ns.load(Relaxed)),
            connections: 0,
            connections_idle: 0,
        }
    }
}

pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}
