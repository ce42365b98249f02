//! All SQL of the batch service.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, params};

use crate::domain::{Batch, Change, Hold};

/// Columns of a batch. Holds that have expired are not among the taken seats,
/// whether or not somebody has swept them. `$1` is now.
const BATCH: &str = "b.id, b.trek_id, b.trek_name, b.start_date, b.end_date, b.price, b.max_participants, b.reserved_slots, \
     b.cancelled, b.version, b.taken - COALESCE((SELECT SUM(h.seats) FROM holds h \
     WHERE h.batch_id = b.id AND h.counted = 1 AND h.expires_at IS NOT NULL AND h.expires_at <= $1), 0) AS taken";

fn batch(row: &Row) -> Result<Batch, DbError> {
    Ok(Batch {
        id: row.get("id")?,
        trek_id: row.get("trek_id")?,
        trek_name: row.get("trek_name")?,
        start_date: row.get("start_date")?,
        end_date: row.get("end_date")?,
        price: row.get("price")?,
        max_participants: row.get("max_participants")?,
        reserved_slots: row.get("reserved_slots")?,
        taken: row.get("taken")?,
        cancelled: row.get("cancelled")?,
        version: row.get("version")?,
    })
}

pub async fn batch_fetch(sql: &impl Sql, id: Id, now: Timestamp) -> Result<Option<Batch>, DbError> {
    let select = ["SELECT ", BATCH, " FROM batches b WHERE b.id = $2"].concat();
    sql.query_opt(&select, params![now, id]).await?.as_ref().map(batch).transpose()
}

/// Batches by id, in no order.
pub async fn batch_list_by_ids(sql: &impl Sql, ids: &[Id], now: Timestamp) -> Result<Vec<Batch>, DbError> {
    list(sql, "b.id", ids, now).await
}

/// Batches of treks by start date.
pub async fn batch_list_by_treks(sql: &impl Sql, trek_ids: &[Id], now: Timestamp) -> Result<Vec<Batch>, DbError> {
    list(sql, "b.trek_id", trek_ids, now).await
}

async fn list(sql: &impl Sql, column: &str, ids: &[Id], now: Timestamp) -> Result<Vec<Batch>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<_> = (2..ids.len() + 2).map(|n| format!("${n}")).collect();
    let select = [
        "SELECT ",
        BATCH,
        " FROM batches b WHERE ",
        column,
        " IN (",
        &places.join(", "),
        ") ORDER BY b.start_date, b.id",
    ];
    let mut values = params![now];
    values.extend(ids.iter().map(Into::into));
    sql.query(&select.concat(), values).await?.iter().map(batch).collect()
}

pub async fn batch_insert(tx: &Tx, batch: &Batch, now: Timestamp) -> Result<(), DbError> {
    let insert = "INSERT INTO batches (id, trek_id, trek_name, start_date, end_date, price, max_participants, reserved_slots, cancelled, created_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    tx.execute(
        insert,
        params![
            batch.id,
            batch.trek_id,
            &batch.trek_name,
            batch.start_date,
            batch.end_date,
            batch.price,
            batch.max_participants,
            batch.reserved_slots,
            batch.cancelled,
            now
        ],
    )
    .await
}

/// Cancels a batch; false where it is not there, or was cancelled before.
pub async fn batch_cancel(tx: &Tx, id: Id) -> Result<bool, DbError> {
    let update = "UPDATE batches SET cancelled = 1, version = version + 1 WHERE id = $1 AND cancelled = 0";
    Ok(tx.affected(update, params![id]).await? == 1)
}

pub async fn batch_count(sql: &impl Sql) -> Result<i64, DbError> {
    sql.query_one("SELECT COUNT(*) AS n FROM batches", params![]).await?.get("n")
}

/// Adds to the batch's counter if the seats are there and it is not cancelled, and answers
/// the batch as it is then. This one statement decides who gets the last seat. Giving back
/// always works. Expired holds count in the answer until they are swept.
pub async fn batch_take(tx: &Tx, change: &Change) -> Result<Option<Batch>, DbError> {
    let update = "UPDATE batches SET taken = taken + $1 WHERE id = $2 AND (CAST($3 AS BIGINT) <= 0 OR (cancelled = 0 \
                  AND taken + $4 <= max_participants - CASE WHEN CAST($5 AS BIGINT) = 1 THEN 0 ELSE reserved_slots END)) \
                  RETURNING id, trek_id, trek_name, start_date, end_date, price, max_participants, reserved_slots, taken, cancelled, version";
    let (delta, hold) = (change.delta, &change.hold);
    let values = params![delta, hold.batch_id, delta, delta, hold.use_reserved];
    tx.query_opt(update, values).await?.as_ref().map(batch).transpose()
}

/// Takes expired holds of a batch out of its counter.
pub async fn holds_sweep(tx: &Tx, batch_id: Id, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE holds SET counted = 0 WHERE batch_id = $1 AND counted = 1 AND expires_at IS NOT NULL AND expires_at <= $2 RETURNING seats";
    let swept: Result<Vec<i64>, _> =
        tx.query(update, params![batch_id, now]).await?.iter().map(|row| row.get("seats")).collect();
    match swept?.iter().sum::<i64>() {
        0 => Ok(()),
        seats => tx.execute("UPDATE batches SET taken = taken - $1 WHERE id = $2", params![seats, batch_id]).await,
    }
}

pub async fn hold_fetch(sql: &impl Sql, key: &str) -> Result<Option<Hold>, DbError> {
    let select = "SELECT hold_key, batch_id, seats, expires_at, counted, use_reserved FROM holds WHERE hold_key = $1";
    let row = sql.query_opt(select, params![key]).await?;
    row.map(|row| {
        Ok(Hold {
            key: row.get("hold_key")?,
            batch_id: row.get("batch_id")?,
            seats: row.get("seats")?,
            expires_at: row.get("expires_at")?,
            counted: row.get("counted")?,
            use_reserved: row.get("use_reserved")?,
        })
    })
    .transpose()
}

pub async fn hold_save(tx: &Tx, hold: &Hold, now: Timestamp) -> Result<(), DbError> {
    let upsert = "INSERT INTO holds (hold_key, batch_id, seats, expires_at, counted, use_reserved, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                  ON CONFLICT (hold_key) DO UPDATE SET batch_id = excluded.batch_id, seats = excluded.seats, \
                  expires_at = excluded.expires_at, counted = excluded.counted, use_reserved = excluded.use_reserved";
    tx.execute(
        upsert,
        params![&hold.key, hold.batch_id, hold.seats, hold.expires_at, hold.counted, hold.use_reserved, now],
    )
    .await
}

pub async fn hold_delete(tx: &Tx, key: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM holds WHERE hold_key = $1", params![key]).await
}

/// Renames a trek's batches unless a newer name was heard of.
pub async fn trek_rename(tx: &Tx, trek_id: Id, name: &str, version: i64) -> Result<(), DbError> {
    let upsert = "INSERT INTO trek_names (trek_id, version) VALUES ($1, $2) \
                  ON CONFLICT (trek_id) DO UPDATE SET version = excluded.version WHERE trek_names.version < excluded.version RETURNING trek_id";
    if tx.query_opt(upsert, params![trek_id, version]).await?.is_some() {
        tx.execute("UPDATE batches SET trek_name = $1 WHERE trek_id = $2", params![name, trek_id]).await?;
    }
    Ok(())
}
