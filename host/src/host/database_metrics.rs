//! The counters of all databases, as metrics.
//!
//! | Metric | Labels |
//! |---|---|
//! | `cairn_sqlite_statements_total`, `…_statements_failed_total`, `…_rows_total` | database |
//! | `cairn_sqlite_commits_total`, `…_syncs_total`, `…_checkpoints_total` | database |
//! | `cairn_sqlite_rollbacks_on_drop_total` | database |
//! | `cairn_sqlite_writer_waits_total`, `…_writer_timeouts_total` | database |
//! | `cairn_sqlite_writer_wait_seconds_total`, `…_gate_wait_seconds_total` | database |
//! | `cairn_postgres_statements_total`, `…_statements_failed_total`, `…_rows_total` | database |
//! | `cairn_postgres_rollbacks_on_drop_total`, `…_connections_lost_total` | database |
//! | `cairn_postgres_waits_in_vain_total`, `…_wait_seconds_total` | database |
//! | `cairn_postgres_connections`, `…_connections_idle` | database |

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use crate::capability::{
    key_value::Stores,
    postgres,
    sqlite::{Databases, Snapshot},
};

/// Reads the counters when the metrics are asked for.
#[derive(Debug)]
pub(super) struct DatabaseMetrics {
    pub databases: Arc<Databases>,
    pub stores: Arc<Stores>,
}

impl DatabaseMetrics {
    fn snapshots(&self) -> Vec<(String, Snapshot)> {
        let mut snapshots = self.databases.counters();
        snapshots.extend(self.stores.counters().map(|snapshot| ("(key-value)".to_owned(), snapshot)));
        snapshots
    }
}

/// Name, meaning and value of a counter.
type Count = (&'static str, &'static str, fn(&Snapshot) -> u64);
/// Name, meaning and value of a counter of seconds.
type Seconds = (&'static str, &'static str, fn(&Snapshot) -> f64);

const COUNTS: [Count; 9] = [
    ("statements", "SQLite statements run", |s| s.statements.run),
    ("statements_failed", "SQLite statements that failed", |s| s.statements.failed),
    ("rows", "Rows returned to components", |s| s.statements.rows),
    ("commits", "Transactions committed", |s| s.commits),
    ("rollbacks_on_drop", "Transactions rolled back because their connection was dropped", |s| s.rollbacks_on_drop),
    ("syncs", "Times a write-ahead log was forced to disk", |s| s.syncs),
    ("checkpoints", "Checkpoints of a write-ahead log", |s| s.checkpoints),
    ("writer_waits", "Times the writer was not free at once", |s| s.writer_waits),
    ("writer_timeouts", "Waits for the writer that ended in vain", |s| s.writer_timeouts),
];

const TIMES: [Seconds; 2] = [
    ("writer_wait", "Time waited for the writer", |s| s.writer_wait.as_secs_f64()),
    ("gate_wait", "Time that commits waited for the disk", |s| s.gate_wait.as_secs_f64()),
];

impl Collector for DatabaseMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshots = self.snapshots();
        for (name, help, value) in COUNTS {
            let name = format!("cairn_sqlite_{name}");
            let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            for (database, snapshot) in &snapshots {
                let labels = [("database", database.as_str())];
                ConstCounter::new(value(snapshot)).encode(metric.encode_family(&labels)?)?;
            }
        }
        for (name, help, value) in TIMES {
            let name = format!("cairn_sqlite_{name}");
            let mut metric = encoder.encode_descriptor(&name, help, Some(&Unit::Seconds), MetricType::Counter)?;
            for (database, snapshot) in &snapshots {
                let labels = [("database", database.as_str())];
                ConstCounter::new(value(snapshot)).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// Reads the counters of all Postgres pools when the metrics are asked for.
#[derive(Debug)]
pub(super) struct PoolMetrics {
    pub databases: Arc<postgres::Databases>,
}

/// Name, meaning and value of a counter or gauge of a pool.
type PoolCount = (&'static str, &'static str, fn(&postgres::Snapshot) -> u64);

const POOL_COUNTS: [PoolCount; 6] = [
    ("statements", "Postgres statements run", |s| s.statements.run),
    ("statements_failed", "Postgres statements that failed", |s| s.statements.failed),
    ("rows", "Rows returned to components", |s| s.statements.rows),
    ("rollbacks_on_drop", "Transactions rolled back because their connection was dropped", |s| s.rollbacks_on_drop),
    ("connections_lost", "Connections closed because they could no longer be used", |s| s.connections_lost),
    ("waits_in_vain", "Waits for a connection that ended without one", |s| s.waits_in_vain),
];

const POOL_GAUGES: [PoolCount; 2] = [
    ("connections", "Open connections", |s| s.connections),
    ("connections_idle", "Open connections that nobody uses", |s| s.connections_idle),
];

impl Collector for PoolMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let pools = self.databases.counters();
        for (name, help, value) in POOL_COUNTS {
            let name = format!("cairn_postgres_{name}");
            let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            for (database, snapshot) in &pools {
                let labels = [("database", database.as_str())];
                ConstCounter::new(value(snapshot)).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "Time waited for a connection";
        let mut metric =
            encoder.encode_descriptor("cairn_postgres_wait", help, Some(&Unit::Seconds), MetricType::Counter)?;
        for (database, snapshot) in &pools {
            let labels = [("database", database.as_str())];
            ConstCounter::new(snapshot.wait.as_secs_f64()).encode(metric.encode_family(&labels)?)?;
        }
        for (name, help, value) in POOL_GAUGES {
            let name = format!("cairn_postgres_{name}");
            let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
            for (database, snapshot) in &pools {
                let labels = [("database", database.as_str())];
                let value = i64::try_from(value(snapshot)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
