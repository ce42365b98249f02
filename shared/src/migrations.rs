//! Schema changes of a component, applied by the component itself.
//!
//! A migration that was applied never changes. Each runs in a transaction of its
//! own together with the note that it ran, so a crash repeats it or has done it.

use crate::{Db, DbError, Sql, Timestamp, params};

/// One numbered file of SQL.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// As `0001_records`.
    pub name: &'static str,
    pub sql: &'static str,
}

/// The migrations of a component in order: `migrations!["0001_accounts", "0002_groups"]`
/// embeds `migrations/0001_accounts.sql` and so on.
#[macro_export]
macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        &[$($crate::migrations::Migration {
            name: $name,
            sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $name, ".sql")),
        }),*]
    };
}

/// Tables of this crate: events out and in, answers to repeated requests.
const SHARED: &[Migration] = &[Migration { name: "0000_shared", sql: include_str!("0000_shared.sql") }];

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("migration {name}: {cause}")]
    Failed { name: &'static str, cause: DbError },
    #[error("migration {0} was changed after it had been applied: write a new one instead")]
    Changed(&'static str),
}

/// Applies what has not been applied yet.
///
/// # Errors
/// The first migration that fails; those before it stay.
pub async fn apply(db: &Db, migrations: &[Migration]) -> Result<(), MigrationError> {
    let failed = |name| move |cause| MigrationError::Failed { name, cause };
    let journal = "CREATE TABLE IF NOT EXISTS schema_migrations \
                   (name TEXT PRIMARY KEY, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";
    db.execute(journal, params![]).await.map_err(failed("schema_migrations"))?;
    for migration in SHARED.iter().chain(migrations) {
        let outcome = db.transaction(async |tx| apply_one(tx, migration).await).await;
        if !outcome.map_err(failed(migration.name))? {
            return Err(MigrationError::Changed(migration.name));
        }
    }
    Ok(())
}

/// Whether the migration is applied as it stands; false when it was another one that was.
async fn apply_one(tx: &crate::Tx, migration: &Migration) -> Result<bool, DbError> {
    let checksum = crate::id::Id::derive(&[migration.sql]).to_string();
    let select = "SELECT checksum FROM schema_migrations WHERE name = $1";
    if let Some(row) = tx.query_opt(select, params![migration.name]).await? {
        return Ok(row.get::<String>("checksum")? == checksum);
    }
    for statement in statements(migration.sql) {
        tx.execute(statement, params![]).await?;
    }
    let insert = "INSERT INTO schema_migrations (name, checksum, applied_at) VALUES ($1, $2, $3)";
    tx.execute(insert, params![migration.name, checksum, Timestamp::now()]).await?;
    Ok(true)
}

/// The statements of a file. A statement ends with a semicolon at the end of a line.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n").map(str::trim).filter(|statement| {
        statement.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration =
        Migration { name: "0001_a", sql: "CREATE TABLE a (x BIGINT);\n-- why\nCREATE TABLE b (x BIGINT);\n" };

    #[tokio::test]
    async fn migrations_apply_once() {
        let db = Db::open_memory().await.unwrap();
        apply(&db, &[FIRST]).await.unwrap();
        apply(&db, &[FIRST]).await.unwrap();
        assert!(db.query("SELECT x FROM b", params![]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_migration_that_changed_is_refused() {
        let db = Db::open_memory().await.unwrap();
        apply(&db, &[FIRST]).await.unwrap();
        let changed = Migration { sql: "CREATE TABLE c (x BIGINT)", ..FIRST };
        assert!(matches!(apply(&db, &[changed]).await, Err(MigrationError::Changed("0001_a"))));
    }

    #[tokio::test]
    async fn a_migration_that_fails_leaves_nothing() {
        let db = Db::open_memory().await.unwrap();
        let broken = Migration { name: "0001_a", sql: "CREATE TABLE a (x BIGINT);\nCREATE TABEL b (x BIGINT);\n" };
        assert!(apply(&db, &[broken]).await.is_err());
        apply(&db, &[FIRST]).await.unwrap();
    }
}
