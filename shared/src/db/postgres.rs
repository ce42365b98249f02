//! What Postgres has to be told so that it behaves as components expect.
//!
//! A component's transactions are written as if there were no others, which SQLite
//! gives them for free. Here they are serializable, and one that others got in the way
//! of is done again, then alone: the gate is the lock on a table that every database
//! has. So it is tried twice, rarely more often, however many compete.

use super::Turn;

/// Applied migrations, and the table of the gate. Everybody passes it in a mode that lets others pass; who has
/// to be alone takes it in one that does not. Locking a table, unlike an advisory
/// lock, comes before the transaction's snapshot.
pub(super) const JOURNAL: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
    (name TEXT PRIMARY KEY, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// Held while the journal is made, since `IF NOT EXISTS` is no guard against another
/// who makes it at the same time. The number is arbitrary.
pub(super) const JOURNAL_LOCK: &str = "SELECT CAST(pg_advisory_xact_lock(7205759403792793600) AS TEXT)";

pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";

pub(super) fn gate(turn: Turn) -> &'static str {
    match turn {
        Turn::Shared => "LOCK TABLE schema_migrations IN ROW SHARE MODE",
        Turn::Alone => "LOCK TABLE schema_migrations IN EXCLUSIVE MODE",
    }
}

/// Whether a statement by itself only reads, and so needs no transaction.
pub(super) fn only_reads(statement: &str) -> bool {
    statement.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("SELECT"))
}
