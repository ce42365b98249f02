//! A database of a system's own on the Postgres that the tests were given.
//!
//! It stays behind: the server is one that is thrown away after the tests.

use anyhow::{Context, Result, anyhow};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Names an administrator's URL of the Postgres to use instead of SQLite.
const SERVER: &str = "CAIRN_TEST_POSTGRES";

/// The URL of a new, empty database; none where tests run on SQLite.
///
/// # Errors
/// The server is not reached, or refuses to make it.
pub async fn database() -> Result<Option<String>> {
    match std::env::var(SERVER) {
        Ok(server) => database_on(&server).await.map(Some),
        Err(_) => Ok(None),
    }
}

/// The URL of a new, empty database on the server that an administrator's URL names.
///
/// # Errors
/// As [`database`].
pub async fn database_on(server: &str) -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("there are no random numbers: {error}"))?;
    let name = format!("test_{:016x}", u64::from_be_bytes(bytes));
    let (address, settings) = server.split_at(server.find('?').unwrap_or(server.len()));
    let (place, _) = address.rsplit_once('/').context("the URL of the test server names no database")?;
    let mut connection = PgConnection::connect(server).await.context("the test server does not answer")?;
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
    connection.close().await?;
    Ok(format!("{place}/{name}{settings}"))
}
