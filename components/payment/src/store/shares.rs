//! Shares of what bookings owe.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, params};

use crate::domain::{KeyDigest, Share, StoredShare};

const SHARE: &str = "SELECT s.id, s.booking_id, s.amount, s.key_digest, s.expires_at, s.status, p.user_id, \
     CAST(CASE WHEN s.status = 'open' AND p.status = 'open' AND p.kind = 'balance' THEN 1 ELSE 0 END AS BIGINT) AS is_open \
     FROM shares s JOIN payables p ON p.booking_id = s.booking_id";

fn share(row: &Row) -> Result<StoredShare, DbError> {
    Ok(StoredShare {
        share: Share {
            id: row.get("id")?,
            booking_id: row.get("booking_id")?,
            amount: row.get("amount")?,
            key_digest: row.get("key_digest")?,
            expires_at: row.get("expires_at")?,
        },
        paid: row.get::<String>("status")? == "paid",
        open: row.get::<i64>("is_open")? == 1,
        user_id: row.get("user_id")?,
    })
}

pub async fn share_fetch(sql: &impl Sql, id: Id) -> Result<Option<StoredShare>, DbError> {
    let select = [SHARE, " WHERE s.id = $1"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map(share).transpose()
}

pub async fn share_fetch_by_key(sql: &impl Sql, digest: &KeyDigest) -> Result<Option<StoredShare>, DbError> {
    let select = [SHARE, " WHERE s.key_digest = $1"].concat();
    sql.query_opt(&select, params![digest.as_str()]).await?.as_ref().map(share).transpose()
}

pub async fn share_list(sql: &impl Sql, booking_id: Id) -> Result<Vec<StoredShare>, DbError> {
    let select = [SHARE, " WHERE s.booking_id = $1 ORDER BY s.id"].concat();
    sql.query(&select, params![booking_id]).await?.iter().map(share).collect()
}

/// Opens a share, or opens it again as it is now.
pub async fn share_save(tx: &Tx, share: &Share, now: Timestamp) -> Result<(), DbError> {
    let upsert = "INSERT INTO shares (id, booking_id, amount, key_digest, expires_at, status, updated_at) \
                  VALUES ($1, $2, $3, $4, $5, 'open', $6) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, \
                  key_digest = excluded.key_digest, expires_at = excluded.expires_at, status = excluded.status, \
                  updated_at = excluded.updated_at";
    let digest = share.key_digest.as_str();
    tx.execute(upsert, params![share.id, share.booking_id, share.amount, digest, share.expires_at, now]).await
}

/// It has been paid.
pub async fn share_pay(tx: &Tx, id: Id, now: Timestamp) -> Result<(), DbError> {
    tx.execute("UPDATE shares SET status = 'paid', updated_at = $1 WHERE id = $2", params![now, id]).await
}

/// Nobody is to pay it any more.
pub async fn share_close(tx: &Tx, id: Id, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE shares SET status = 'closed', updated_at = $1 WHERE id = $2 AND status = 'open'";
    tx.execute(update, params![now, id]).await
}
