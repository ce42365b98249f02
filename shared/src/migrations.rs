//! Schema changes of a component, applied by the component itself.
//!
//! A migration that was applied never changes. Each runs in a transaction of its
//! own together with the note that it ran, so a crash repeats it or has done it. Of
//! several hosts that start at once, one applies it and the others wait and find it done.
//!
//! The files are portable SQL. Two types are not, and are put differently on Postgres in
//! `CREATE TABLE` and `ALTER TABLE`: `BLOB` is `BYTEA`, and `TEXT` gets the collation
//! `"C"`, which compares and sorts as SQLite does, whatever the server's language is.

use std::{borrow::Cow, collections::HashMap};

use crate::{Db, DbError, Sql, Timestamp, db::Engine, id::Id, params};

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

/// Tables of this crate: events out and in, answers to repeated requests, the audit.
const SHARED: &[Migration] = &[
    Migration { name: "0000_shared", sql: include_str!("0000_shared.sql") },
    Migration { name: "0000_shared_claims", sql: include_str!("0000_shared_claims.sql") },
    Migration { name: "0000_shared_audit", sql: include_str!("0000_shared_audit.sql") },
];

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
    db.make_journal().await.map_err(failed("schema_migrations"))?;
    let applied = applied(db).await.map_err(failed("schema_migrations"))?;
    for migration in SHARED.iter().chain(migrations) {
        let checksum = match applied.get(migration.name) {
            Some(checksum) => checksum.clone(),
            None => {
                db.transaction_alone(async |tx| apply_one(tx, migration).await).await.map_err(failed(migration.name))?
            }
        };
        if checksum != migration.checksum() {
            return Err(MigrationError::Changed(migration.name));
        }
    }
    Ok(())
}

impl Migration {
    fn checksum(&self) -> String {
        Id::derive(&[self.sql]).to_string()
    }
}

/// Checksums of what was applied, by name.
async fn applied(db: &Db) -> Result<HashMap<String, String>, DbError> {
    let rows = db.query("SELECT name, checksum FROM schema_migrations", params![]).await?;
    rows.iter().map(|row| Ok((row.get("name")?, row.get("checksum")?))).collect()
}

/// Applies a migration unless somebody else just has, and answers the checksum of what
/// is applied now.
async fn apply_one(tx: &crate::Tx, migration: &Migration) -> Result<String, DbError> {
    let select = "SELECT checksum FROM schema_migrations WHERE name = $1";
    if let Some(row) = tx.query_opt(select, params![migration.name]).await? {
        return row.get("checksum");
    }
    for statement in statements(migration.sql) {
        tx.execute(&dialect(statement, tx.engine()), params![]).await?;
    }
    let insert = "INSERT INTO schema_migrations (name, checksum, applied_at) VALUES ($1, $2, $3)";
    tx.execute(insert, params![migration.name, migration.checksum(), Timestamp::now()]).await?;
    Ok(migration.checksum())
}

/// The statements of a file. A statement ends with a semicolon at the end of a line.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n").map(str::trim).filter(|statement| {
        statement.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}

/// The statement as the engine wants it; see the module's description.
fn dialect(statement: &str, engine: Engine) -> Cow<'_, str> {
    let code = || statement.lines().map(|line| line.split("--").next().unwrap_or_default().trim_end());
    let defines = code().find(|line| !line.is_empty()).is_some_and(|line| {
        line.trim_start().starts_with("CREATE TABLE") || line.trim_start().starts_with("ALTER TABLE")
    });
    if engine == Engine::Sqlite || !defines {
        return Cow::Borrowed(statement);
    }
    let word = |word: &str| match word {
        "TEXT" => "TEXT COLLATE \"C\"".to_owned(),
        "TEXT," => "TEXT COLLATE \"C\",".to_owned(),
        other => other.replace("BLOB", "BYTEA"),
    };
    let lines = code().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" "));
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration =
        Migration { name: "0001_a", sql: "CREATE TABLE a (x BIGINT);\n-- why\nCREATE TABLE b (x BIGINT);\n" };

    #[tokio::test]
    async fn migrations_apply_once() {
        let db = Db::for_test().await.unwrap();
        apply(&db, &[FIRST]).await.unwrap();
        apply(&db, &[FIRST]).await.unwrap();
        assert!(db.query("SELECT x FROM b", params![]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_migration_that_changed_is_refused() {
        let db = Db::for_test().await.unwrap();
        apply(&db, &[FIRST]).await.unwrap();
        let changed = Migration { sql: "CREATE TABLE c (x BIGINT)", ..FIRST };
        assert!(matches!(apply(&db, &[changed]).await, Err(MigrationError::Changed("0001_a"))));
    }

    #[tokio::test]
    async fn a_migration_that_fails_leaves_nothing() {
        let db = Db::for_test().await.unwrap();
        let broken = Migration { name: "0001_a", sql: "CREATE TABLE a (x BIGINT);\nCREATE TABEL b (x BIGINT);\n" };
        assert!(apply(&db, &[broken]).await.is_err());
        apply(&db, &[FIRST]).await.unwrap();
    }
}
