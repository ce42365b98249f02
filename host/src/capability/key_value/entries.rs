//! Where the entries of durable stores are, apart from what a store is.

use super::{Error, file::FileEntries, postgres::PostgresEntries};

#[derive(Debug)]
pub(super) enum Entries {
    File(FileEntries),
    Postgres(PostgresEntries),
}

impl Entries {
    pub(super) async fn get(&self, store: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::File(entries) => entries.get(store, key).await,
            Self::Postgres(entries) => entries.get(store, key).await,
        }
    }

    pub(super) async fn exists(&self, store: &str, key: &str) -> Result<bool, Error> {
        match self {
            Self::File(entries) => entries.exists(store, key).await,
            Self::Postgres(entries) => entries.exists(store, key).await,
        }
    }

    pub(super) async fn set(&self, store: &str, key: String, value: Vec<u8>) -> Result<(), Error> {
        match self {
            Self::File(entries) => entries.set(store, key, value).await,
            Self::Postgres(entries) => entries.set(store, &key, &value).await,
        }
    }

    pub(super) async fn swap(
        &self,
        store: &str,
        key: &str,
        seen: Option<&[u8]>,
        value: Vec<u8>,
    ) -> Result<bool, Error> {
        match self {
            Self::File(entries) => entries.swap(store, key, seen, value).await,
            Self::Postgres(entries) => entries.swap(store, key, seen, &value).await,
        }
    }

    pub(super) async fn delete(&self, store: &str, key: &str) -> Result<(), Error> {
        match self {
            Self::File(entries) => entries.delete(store, key).await,
            Self::Postgres(entries) => entries.delete(store, key).await,
        }
    }

    pub(super) async fn keys(&self, store: &str) -> Result<Vec<String>, Error> {
        match self {
            Self::File(entries) => entries.keys(store).await,
            Self::Postgres(entries) => entries.keys(store).await,
        }
    }
}
