//! Bookings that were never paid.

use cairn_shared::{DbError, Id, Paise, Row, Sql, Timestamp, Tx, db::Value, page::Page, params};

use super::booking::document;
use crate::domain::Booking;

/// A booking that was never paid, as it was when it failed.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedBooking {
    pub id: Id,
    pub booking: Booking,
    pub reason: String,
    pub details: String,
    pub original_created_at: Timestamp,
    pub original_expires_at: Timestamp,
    pub archived_at: Timestamp,
    pub archived_by: String,
}

/// Which failed bookings a list shows. Restored and deleted ones are never among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedFilter {
    pub reason: Option<String>,
    /// Archived at or after.
    pub from: Option<Timestamp>,
    /// Archived before.
    pub before: Option<Timestamp>,
}

/// Figures of all failed bookings that a filter lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedStats {
    pub total: i64,
    pub value: Paise,
    pub session_expired: i64,
    pub payment_failed: i64,
    pub user_cancelled: i64,
    pub system_error: i64,
}

/// A condition that is always there, so that those of the filter need no first place.
pub(super) const SHOWN: &str =
    "hidden_at IS NULL AND ($1 = '' OR reason = $2) AND archived_at >= $3 AND archived_at < $4";

impl FailedFilter {
    pub(super) fn values(&self) -> Vec<Value> {
        let reason = self.reason.clone().unwrap_or_default();
        let from = self.from.map_or(i64::MIN, Timestamp::millis);
        let before = self.before.map_or(i64::MAX, Timestamp::millis);
        params![&reason, &reason, from, before]
    }
}

pub(super) fn failed_booking(row: &Row) -> Result<FailedBooking, DbError> {
    Ok(FailedBooking {
        id: row.get("id")?,
        booking: row.json("document")?,
        reason: row.get("reason")?,
        details: row.get("details")?,
        original_created_at: row.get("original_created_at")?,
        original_expires_at: row.get("original_expires_at")?,
        archived_at: row.get("archived_at")?,
        archived_by: row.get("archived_by")?,
    })
}

pub(super) const COLUMNS: &str =
    "id, document, reason, details, original_created_at, original_expires_at, archived_at, archived_by";

/// A failed booking, unless it was restored or deleted.
pub async fn failed_booking_fetch(sql: &impl Sql, id: Id) -> Result<Option<FailedBooking>, DbError> {
    let select = ["SELECT ", COLUMNS, " FROM failed_bookings WHERE id = $1 AND hidden_at IS NULL"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map(failed_booking).transpose()
}

/// A page of failed bookings, newest first.
pub async fn failed_booking_page(
    sql: &impl Sql,
    filter: &FailedFilter,
    page: Page,
) -> Result<Vec<FailedBooking>, DbError> {
    let order = " ORDER BY archived_at DESC, id DESC LIMIT $5 OFFSET $6";
    let select = ["SELECT ", COLUMNS, " FROM failed_bookings WHERE ", SHOWN, order].concat();
    let mut values = filter.values();
    values.extend(params![page.limit, page.offset()]);
    sql.query(&select, values).await?.iter().map(failed_booking).collect()
}

pub async fn failed_booking_stats(sql: &impl Sql, filter: &FailedFilter) -> Result<FailedStats, DbError> {
    let select = "SELECT COUNT(*) AS total, CAST(COALESCE(SUM(total), 0) AS BIGINT) AS value, \
                  COALESCE(SUM(CASE WHEN reason = 'session_expired' THEN 1 ELSE 0 END), 0) AS session_expired, \
                  COALESCE(SUM(CASE WHEN reason = 'payment_failed' THEN 1 ELSE 0 END), 0) AS payment_failed, \
                  COALESCE(SUM(CASE WHEN reason = 'user_cancelled' THEN 1 ELSE 0 END), 0) AS user_cancelled, \
                  COALESCE(SUM(CASE WHEN reason = 'system_error' THEN 1 ELSE 0 END), 0) AS system_error \
                  FROM failed_bookings WHERE ";
    let row = sql.query_one(&[select, SHOWN].concat(), filter.values()).await?;
    Ok(FailedStats {
        total: row.get("total")?,
        value: row.get("value")?,
        session_expired: row.get("session_expired")?,
        payment_failed: row.get("payment_failed")?,
        user_cancelled: row.get("user_cancelled")?,
        system_error: row.get("system_error")?,
    })
}

/// Takes one failed booking off the list. Whether it was still there.
pub async fn failed_booking_remove(sql: &impl Sql, id: Id, now: Timestamp) -> Result<bool, DbError> {
    let update = "UPDATE failed_bookings SET hidden_at = $1 WHERE id = $2 AND hidden_at IS NULL";
    Ok(sql.affected(update, params![now, id]).await? == 1)
}

/// Archives a booking that has just expired.
pub async fn failed_booking_insert(
    tx: &Tx,
    id: Id,
    booking: &Booking,
    by: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let (reason, details) = match &booking.payment_error {
        Some(error) => ("payment_failed", error.description.clone()),
        None => ("session_expired", "Booking session expired without payment completion".to_owned()),
    };
    let insert = "INSERT INTO failed_bookings (id, booking_id, user_id, trek_id, reason, details, total, document, \
                  original_created_at, original_expires_at, archived_at, archived_by) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let values = params![
        id,
        booking.id,
        booking.user.id,
        booking.trek_id,
        reason,
        details,
        booking.price.total,
        document(booking)?,
        booking.created_at,
        booking.session.as_ref().map_or(now, |session| session.expires_at),
        now,
        by,
    ];
    tx.execute(insert, values).await
}

/// Takes a booking off the list of failed ones: it lives again.
pub async fn failed_booking_hide(tx: &Tx, booking_id: Id, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE failed_bookings SET hidden_at = $1 WHERE booking_id = $2 AND hidden_at IS NULL";
    tx.execute(update, params![now, booking_id]).await
}
