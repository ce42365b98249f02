//! Entries in the host's schema of a Postgres database, shared by all hosts on it.
//!
//! Keys are kept as bytes: text of Postgres cannot hold every character.

use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::{PgPool, Row as _};

use super::{Error, Settings};

#[derive(Debug)]
pub(super) struct PostgresEntries {
    pool: PgPool,
    operation_time_max: Duration,
    /// Keys that `keys` gives at most.
    keys_max: usize,
}

impl PostgresEntries {
    pub(super) fn new(pool: PgPool, settings: &Settings) -> Self {
        Self { pool, operation_time_max: settings.operation_time_max, keys_max: settings.database.rows_max }
    }

    pub(super) async fn get(&self, store: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let select = sqlx::query_scalar("SELECT value FROM cairn_host.entry WHERE store = $1 AND key = $2");
        self.within_time(select.bind(store).bind(key.as_bytes()).fetch_optional(&self.pool)).await
    }

    pub(super) async fn exists(&self, store: &str, key: &str) -> Result<bool, Error> {
        let select = sqlx::query("SELECT 1 FROM cairn_host.entry WHERE store = $1 AND key = $2");
        let found = self.within_time(select.bind(store).bind(key.as_bytes()).fetch_optional(&self.pool)).await?;
        Ok(found.is_some())
    }

    pub(super) async fn set(&self, store: &str, key: &str, value: &[u8]) -> Result<(), Error> {
        let upsert = sqlx::query(
            "INSERT INTO cairn_host.entry (store, key, value) VALUES ($1, $2, $3) \
             ON CONFLICT (store, key) DO UPDATE SET value = excluded.value",
        );
        self.within_time(upsert.bind(store).bind(key.as_bytes()).bind(value).execute(&self.pool)).await.map(drop)
    }

    /// Writes an entry if it is as it was `seen`; tells whether it was.
    pub(super) async fn swap(&self, store: &str, key: &str, seen: Option<&[u8]>, value: &[u8]) -> Result<bool, Error> {
        let change = match seen {
            Some(seen) => {
                sqlx::query("UPDATE cairn_host.entry SET value = $3 WHERE store = $1 AND key = $2 AND value = $4")
                    .bind(store)
                    .bind(key.as_bytes())
                    .bind(value)
                    .bind(seen)
            }
            None => sqlx::query(
                "INSERT INTO cairn_host.entry (store, key, value) VALUES ($1, $2, $3) \
                 ON CONFLICT (store, key) DO NOTHING",
            )
            .bind(store)
            .bind(key.as_bytes())
            .bind(value),
        };
        Ok(self.within_time(change.execute(&self.pool)).await?.rows_affected() == 1)
    }

    pub(super) async fn delete(&self, store: &str, key: &str) -> Result<(), Error> {
        let delete = sqlx::query("DELETE FROM cairn_host.entry WHERE store = $1 AND key = $2");
        self.within_time(delete.bind(store).bind(key.as_bytes()).execute(&self.pool)).await.map(drop)
    }

    pub(super) async fn keys(&self, store: &str) -> Result<Vec<String>, Error> {
        let reading = async {
            let select = sqlx::query("SELECT key FROM cairn_host.entry WHERE store = $1 ORDER BY key").bind(store);
            let mut rows = select.fetch(&self.pool);
            let mut keys: Vec<Vec<u8>> = Vec::new();
            while let Some(row) = rows.try_next().await? {
                keys.push(row.try_get(0)?);
                if keys.len() > self.keys_max {
                    break;
                }
            }
            Ok(keys)
        };
        let keys = self.within_time(reading).await?;
        if keys.len() > self.keys_max {
            return Err(Error::TooManyKeys(self.keys_max));
        }
        keys.into_iter().map(|key| String::from_utf8(key).map_err(|_| Error::Corrupt)).collect()
    }

    async fn within_time<T>(&self, operation: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
        match tokio::time::timeout(self.operation_time_max, operation).await {
            Ok(result) => result.map_err(|error| Error::Unavailable(error.to_string())),
            Err(_elapsed) => {
                Err(Error::Unavailable(format!("no answer in {} ms", self.operation_time_max.as_millis())))
            }
        }
    }
}
