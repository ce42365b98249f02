//! Mails that notification does not have yet.

use cairn_shared::{DbError, Id, Sql, Timestamp, Tx, params};
use serde::Serialize;

/// A mail whose time has come.
#[derive(Debug, Clone)]
pub struct Due<M> {
    pub key: String,
    pub booking_id: Id,
    pub mail: M,
    pub attempts: i64,
}

/// Notes a mail in the transaction of what it tells; the same key once.
pub async fn mail_insert(
    tx: &Tx,
    key: &str,
    booking_id: Id,
    mail: &impl Serialize,
    now: Timestamp,
) -> Result<(), DbError> {
    let text = serde_json::to_string(mail).map_err(|error| DbError::Other(error.to_string()))?;
    let insert = "INSERT INTO mails (key, booking_id, mail, next_attempt_at, created_at) VALUES ($1, $2, $3, $4, $5) \
                  ON CONFLICT (key) DO NOTHING";
    tx.execute(insert, params![key, booking_id, text, now, now]).await
}

pub async fn mail_list_due<M: serde::de::DeserializeOwned>(
    sql: &impl Sql,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Due<M>>, DbError> {
    let select = "SELECT key, booking_id, mail, attempts FROM mails WHERE next_attempt_at <= $1 ORDER BY next_attempt_at, key LIMIT $2";
    let rows = sql.query(select, params![now, limit]).await?;
    let due = |row: &cairn_shared::Row| {
        Ok(Due {
            key: row.get("key")?,
            booking_id: row.get("booking_id")?,
            mail: row.json("mail")?,
            attempts: row.get("attempts")?,
        })
    };
    rows.iter().map(due).collect()
}

pub async fn mail_delete(sql: &impl Sql, key: &str) -> Result<(), DbError> {
    sql.execute("DELETE FROM mails WHERE key = $1", params![key]).await
}

pub async fn mail_postpone(sql: &impl Sql, key: &str, until: Timestamp) -> Result<(), DbError> {
    sql.execute("UPDATE mails SET attempts = attempts + 1, next_attempt_at = $1 WHERE key = $2", params![until, key])
        .await
}
