//! Bookings in the order of exports, one page after the other.

use cairn_shared::{DbError, Id, Sql, Timestamp, params};

use super::{
    booking::bookings,
    failed::{COLUMNS, FailedBooking, FailedFilter, SHOWN, failed_booking},
    list::Filter,
};
use crate::domain::Booking;

/// The last row of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub at: Timestamp,
    pub id: Id,
}

/// Past every row, newest first.
const BEGINNING: (i64, &str) = (i64::MAX, "~");

fn place(after: Option<Cursor>) -> (i64, String) {
    after.map_or((BEGINNING.0, BEGINNING.1.to_owned()), |cursor| (cursor.at.millis(), cursor.id.to_string()))
}

/// The next bookings that a filter lets through, newest first.
pub async fn booking_list_after(
    sql: &impl Sql,
    filter: &Filter,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Vec<Booking>, DbError> {
    let (condition, mut values) = filter.condition();
    let (at, id) = place(after);
    let n = values.len();
    // The first condition alone lets the index of the age find the place.
    let order = format!(
        " AND created_at <= ${} AND (created_at < ${} OR id < ${}) ORDER BY created_at DESC, id DESC LIMIT ${}",
        n + 1,
        n + 2,
        n + 3,
        n + 4
    );
    values.extend(params![at, at, id, limit]);
    bookings(&sql.query(&["SELECT document, version FROM bookings WHERE ", &condition, &order].concat(), values).await?)
}

/// The next failed bookings that a filter lets through, newest first.
pub async fn failed_booking_list_after(
    sql: &impl Sql,
    filter: &FailedFilter,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Vec<FailedBooking>, DbError> {
    let order = " AND archived_at <= $5 AND (archived_at < $6 OR id < $7) ORDER BY archived_at DESC, id DESC LIMIT $8";
    let select = ["SELECT ", COLUMNS, " FROM failed_bookings WHERE ", SHOWN, order].concat();
    let (at, id) = place(after);
    let mut values = filter.values();
    values.extend(params![at, at, id, limit]);
    sql.query(&select, values).await?.iter().map(failed_booking).collect()
}

/// Paid bookings of a batch, oldest first.
pub async fn booking_list_paid_of_batch(
    sql: &impl Sql,
    trek_id: Id,
    batch_id: Id,
    limit: u32,
) -> Result<Vec<Booking>, DbError> {
    let select = "SELECT document, version FROM bookings WHERE batch_id = $1 AND trek_id = $2 \
                  AND status IN ('payment_completed', 'payment_confirmed_partial', 'confirmed', 'trek_completed') \
                  ORDER BY created_at, id LIMIT $3";
    bookings(&sql.query(select, params![batch_id, trek_id, limit]).await?)
}
