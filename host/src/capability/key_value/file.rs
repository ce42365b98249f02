//! Entries in one SQLite file, opened when it is first used.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::OnceCell;

use super::{Error, Settings};
use crate::capability::sqlite::{self, Database, Value};

/// The file, in the folder of the stores.
pub(crate) const FILE: &str = "key_value.db";
const LABEL: &str = "key_value";

/// Makes the table of all stores.
pub(crate) const CREATE_ENTRIES: &str = "CREATE TABLE IF NOT EXISTS entry(\
     store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(store, key))";

#[derive(Debug)]
pub(super) struct FileEntries {
    path: PathBuf,
    settings: sqlite::Settings,
    operation_time_max: Duration,
    database: OnceCell<Arc<Database>>,
}

impl FileEntries {
    /// Prepares the folder. Blocks.
    pub(super) fn open(dir: PathBuf, settings: &Settings) -> Result<Self, Error> {
        sqlite::create_folder(&dir)?;
        Ok(Self {
            path: dir.join(FILE),
            settings: settings.database.clone(),
            operation_time_max: settings.operation_time_max,
            database: OnceCell::new(),
        })
    }

    pub(super) fn opened(&self) -> Option<&Arc<Database>> {
        self.database.get()
    }

    /// The file; nothing if there never was one.
    pub(super) async fn existing(&self) -> Result<Option<Arc<Database>>, Error> {
        if self.database.get().is_none() && !self.path.exists() {
            return Ok(None);
        }
        self.database().await.map(|database| Some(database.clone()))
    }

    /// Writes an entry if it is as it was `seen`; tells whether it was.
    pub(super) async fn swap(
        &self,
        store: &str,
        key: &str,
        seen: Option<&[u8]>,
        value: Vec<u8>,
    ) -> Result<bool, Error> {
        let changed = match seen {
            Some(seen) => {
                self.execute(
                    "UPDATE entry SET value = ?1 WHERE store = ?2 AND key = ?3 AND value = ?4 RETURNING 1",
                    &[Value::Blob(value), text(store), text(key), Value::Blob(seen.to_vec())],
                )
                .await?
            }
            None => {
                self.execute(
                    "INSERT INTO entry(store, key, value) VALUES(?1, ?2, ?3) \
                     ON CONFLICT(store, key) DO NOTHING RETURNING 1",
                    &[text(store), text(key), Value::Blob(value)],
                )
                .await?
            }
        };
        Ok(!changed.is_empty())
    }

    pub(super) async fn get(&self, store: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let rows =
            self.execute("SELECT value FROM entry WHERE store = ?1 AND key = ?2", &[text(store), text(key)]).await?;
        match rows.into_iter().next() {
            Some(Value::Blob(value)) => Ok(Some(value)),
            Some(_) => Err(Error::Corrupt),
            None => Ok(None),
        }
    }

    pub(super) async fn exists(&self, store: &str, key: &str) -> Result<bool, Error> {
        let rows = self.execute("SELECT 1 FROM entry WHERE store = ?1 AND key = ?2", &[text(store), text(key)]).await?;
        Ok(!rows.is_empty())
    }

    pub(super) async fn set(&self, store: &str, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.execute(
            "INSERT INTO entry(store, key, value) VALUES(?1, ?2, ?3) \
             ON CONFLICT(store, key) DO UPDATE SET value = excluded.value",
            &[text(store), Value::Text(key), Value::Blob(value)],
        )
        .await?;
        Ok(())
    }

    pub(super) async fn delete(&self, store: &str, key: &str) -> Result<(), Error> {
        self.execute("DELETE FROM entry WHERE store = ?1 AND key = ?2", &[text(store), text(key)]).await?;
        Ok(())
    }

    pub(super) async fn keys(&self, store: &str) -> Result<Vec<String>, Error> {
        self.execute("SELECT key FROM entry WHERE store = ?1 ORDER BY key", &[text(store)])
            .await?
            .into_iter()
            .map(|key| match key {
                Value::Text(key) => Ok(key),
                _ => Err(Error::Corrupt),
            })
            .collect()
    }

    /// The first column of what a statement returns.
    async fn execute(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Value>, Error> {
        let result = self.database().await?.connect(self.operation_time_max).execute(sql, parameters).await?;
        Ok(result.rows.into_iter().filter_map(|row| row.values.into_iter().next()).collect())
    }

    async fn database(&self) -> Result<&Arc<Database>, Error> {
        self.database
            .get_or_try_init(|| async {
                let path = self.path.clone();
                let settings = self.settings.clone();
                let database = tokio::task::spawn_blocking(move || Database::open(&path, LABEL, settings))
                    .await
                    .map_err(|error| sqlite::Error::Internal(format!("opening did not finish: {error}")))??;
                database.connect(self.operation_time_max).execute(CREATE_ENTRIES, &[]).await?;
                Ok(database)
            })
            .await
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
