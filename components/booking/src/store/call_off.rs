//! Batches that are called off, and what became of their bookings.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, params};

use super::booking::bookings;
use crate::domain::{Booking, CallOff};

const CALL_OFF: &str = "SELECT id, batch_id, trek_id, reason, bonus, deadline, secret, actor, created_at, closed_at, finished_at FROM call_offs";

fn call_off(row: &Row) -> Result<CallOff, DbError> {
    Ok(CallOff {
        id: row.get("id")?,
        batch_id: row.get("batch_id")?,
        trek_id: row.get("trek_id")?,
        reason: row.get("reason")?,
        bonus: cairn_shared::BasisPoints(row.get("bonus")?),
        deadline: row.get("deadline")?,
        secret: row.get("secret")?,
        actor: row.get("actor")?,
        created_at: row.get("created_at")?,
        closed_at: row.get("closed_at")?,
        finished_at: row.get("finished_at")?,
    })
}

/// Notes that a batch is called off, unless it is already.
pub async fn call_off_insert(tx: &Tx, new: &CallOff) -> Result<(), DbError> {
    let insert = "INSERT INTO call_offs (id, batch_id, trek_id, reason, bonus, deadline, secret, actor, created_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (batch_id) DO NOTHING";
    let values = params![
        new.id,
        new.batch_id,
        new.trek_id,
        &new.reason,
        new.bonus.0,
        new.deadline,
        &new.secret,
        new.actor,
        new.created_at
    ];
    tx.execute(insert, values).await
}

pub async fn call_off_fetch(sql: &impl Sql, id: Id) -> Result<Option<CallOff>, DbError> {
    let select = [CALL_OFF, " WHERE id = $1"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map(call_off).transpose()
}

pub async fn call_off_fetch_of_batch(sql: &impl Sql, batch_id: Id) -> Result<Option<CallOff>, DbError> {
    let select = [CALL_OFF, " WHERE batch_id = $1"].concat();
    sql.query_opt(&select, params![batch_id]).await?.as_ref().map(call_off).transpose()
}

/// Call-offs that are not over, oldest first.
pub async fn call_off_list_open(sql: &impl Sql, limit: i64) -> Result<Vec<CallOff>, DbError> {
    let select = [CALL_OFF, " WHERE finished_at IS NULL ORDER BY created_at, id LIMIT $1"].concat();
    sql.query(&select, params![limit]).await?.iter().map(call_off).collect()
}

/// The newest call-offs.
pub async fn call_off_list(sql: &impl Sql, limit: i64) -> Result<Vec<CallOff>, DbError> {
    let select = [CALL_OFF, " ORDER BY created_at DESC, id DESC LIMIT $1"].concat();
    sql.query(&select, params![limit]).await?.iter().map(call_off).collect()
}

/// Notes that nobody can buy seats of the batch any more.
pub async fn call_off_close(sql: &impl Sql, id: Id, now: Timestamp) -> Result<(), DbError> {
    sql.execute("UPDATE call_offs SET closed_at = $1 WHERE id = $2 AND closed_at IS NULL", params![now, id]).await
}

/// Notes that nothing is left to do.
pub async fn call_off_finish(sql: &impl Sql, id: Id, now: Timestamp) -> Result<(), DbError> {
    sql.execute("UPDATE call_offs SET finished_at = $1 WHERE id = $2", params![now, id]).await
}

/// Keeps how a booking stands with the call-off of its batch, in the transaction of its change.
pub async fn call_off_note(tx: &Tx, booking: &Booking) -> Result<(), DbError> {
    let Some((call_off_id, state)) = booking.call_off_state() else { return Ok(()) };
    let upsert = "INSERT INTO call_off_bookings (call_off_id, booking_id, state) VALUES ($1, $2, $3) \
                  ON CONFLICT (call_off_id, booking_id) DO UPDATE SET state = excluded.state";
    tx.execute(upsert, params![call_off_id, booking.id, state]).await
}

/// Bookings that were called off, by id.
pub async fn call_off_bookings(sql: &impl Sql, id: Id, limit: i64) -> Result<Vec<Booking>, DbError> {
    let select = "SELECT b.document, b.version FROM call_off_bookings c JOIN bookings b ON b.id = c.booking_id \
                  WHERE c.call_off_id = $1 ORDER BY b.id LIMIT $2";
    bookings(&sql.query(select, params![id, limit]).await?)
}

/// Bookings whose owners have not chosen.
pub async fn call_off_ids_waiting(sql: &impl Sql, id: Id, limit: i64) -> Result<Vec<Id>, DbError> {
    let select = "SELECT booking_id FROM call_off_bookings WHERE call_off_id = $1 AND state = 'waiting' ORDER BY booking_id LIMIT $2";
    sql.query(select, params![id, limit]).await?.iter().map(|row| row.get("booking_id")).collect()
}

/// Bookings of a batch that still have seats on it, or are about to, by id.
pub async fn booking_list_of_batch(sql: &impl Sql, batch_id: Id, limit: i64) -> Result<Vec<Booking>, DbError> {
    let select = "SELECT document, version FROM bookings WHERE batch_id = $1 AND status IN \
                  ('pending', 'pending_payment', 'payment_completed', 'payment_confirmed_partial', 'confirmed') ORDER BY id LIMIT $2";
    bookings(&sql.query(select, params![batch_id, limit]).await?)
}
