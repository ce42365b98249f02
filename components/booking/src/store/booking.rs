//! Bookings and the leases on them.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, params};

use crate::domain::{Booking, Status};

/// The right to change a booking together with other services, until it runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub token: String,
    pub until: Timestamp,
}

/// Whether a change was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Saved {
    Yes,
    /// Somebody else changed the booking in between; nothing was stored.
    Outdated,
}

fn booking(row: &Row) -> Result<Booking, DbError> {
    let mut booking: Booking = row.json("document")?;
    booking.version = row.get("version")?;
    Ok(booking)
}

pub(super) fn bookings(rows: &[Row]) -> Result<Vec<Booking>, DbError> {
    rows.iter().map(booking).collect()
}

pub(super) fn document(booking: &Booking) -> Result<String, DbError> {
    serde_json::to_string(booking).map_err(|error| DbError::Other(error.to_string()))
}

/// What the staff's search looks at.
fn search_text(booking: &Booking) -> String {
    let parts = [
        &booking.contact.name,
        &booking.contact.email,
        booking.status.as_str(),
        &booking.id.to_string(),
        &booking.code(),
        &booking.trek_id.to_string(),
        &booking.trek_name,
    ];
    parts.join("\n").to_lowercase()
}

pub async fn booking_fetch(sql: &impl Sql, id: Id) -> Result<Option<Booking>, DbError> {
    let select = "SELECT document, version FROM bookings WHERE id = $1";
    sql.query_opt(select, params![id]).await?.as_ref().map(booking).transpose()
}

/// The booking of this code, if there is exactly one. `code` has no `BT`.
pub async fn booking_id_by_code(sql: &impl Sql, code: &str) -> Result<Option<Id>, DbError> {
    let rows = sql.query("SELECT id FROM bookings WHERE code = $1 LIMIT 2", params![code.to_uppercase()]).await?;
    match rows.as_slice() {
        [row] => row.get("id").map(Some),
        _ => Ok(None),
    }
}

/// The one booking of a customer and batch that is not paid yet.
pub async fn booking_fetch_live(
    sql: &impl Sql,
    user_id: Id,
    trek_id: Id,
    batch_id: Id,
) -> Result<Option<Booking>, DbError> {
    let select = "SELECT document, version FROM bookings WHERE user_id = $1 AND trek_id = $2 AND batch_id = $3 \
                  AND by_staff = 0 AND (status = 'creating' OR status = 'pending_payment')";
    sql.query_opt(select, params![user_id, trek_id, batch_id]).await?.as_ref().map(booking).transpose()
}

/// A customer's bookings, newest first, without those that wait for payment.
pub async fn booking_list_of_user(sql: &impl Sql, user_id: Id) -> Result<Vec<Booking>, DbError> {
    let select = "SELECT document, version FROM bookings WHERE user_id = $1 \
                  AND status NOT IN ('creating', 'pending_payment', 'expired', 'deleted') ORDER BY created_at DESC, id DESC LIMIT 1000";
    bookings(&sql.query(select, params![user_id]).await?)
}

/// Bookings whose session is over and which nobody is working on.
pub async fn booking_ids_overdue(sql: &impl Sql, now: Timestamp, limit: i64) -> Result<Vec<Id>, DbError> {
    let select = "SELECT id FROM bookings WHERE status = 'pending_payment' AND session_expires_at <= $1 \
                  AND (lease IS NULL OR lease_until <= $2) ORDER BY session_expires_at LIMIT $3";
    sql.query(select, params![now, now, limit]).await?.iter().map(|row| row.get("id")).collect()
}

/// Bookings on which work died half-way.
pub async fn booking_ids_unsettled(sql: &impl Sql, now: Timestamp, limit: i64) -> Result<Vec<Id>, DbError> {
    let select = "SELECT id FROM bookings WHERE lease IS NOT NULL AND lease_until <= $1 ORDER BY lease_until LIMIT $2";
    sql.query(select, params![now, limit]).await?.iter().map(|row| row.get("id")).collect()
}

/// Stores a new booking, leased if work on it goes on.
pub async fn booking_insert(sql: &impl Sql, booking: &Booking, lease: Option<&Lease>) -> Result<(), DbError> {
    let insert = "INSERT INTO bookings (id, code, user_id, trek_id, batch_id, status, participants, seats, total, paid, refunded, \
                  session_expires_at, batch_start, search_text, document, version, created_at, lease, lease_until, by_staff, shares_due) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";
    let values = params![
        booking.id,
        booking.id.short_code(),
        booking.user.id,
        booking.trek_id,
        booking.batch_id,
        booking.status.as_str(),
        booking.count(),
        booking.seats(),
        booking.price.total,
        booking.paid,
        booking.refunded,
        booking.session.as_ref().map(|session| session.expires_at),
        booking.batch_start,
        search_text(booking),
        document(booking)?,
        booking.version,
        booking.created_at,
        lease.map(|lease| &lease.token),
        lease.map(|lease| lease.until),
        booking.admin_created,
        booking.shares_due(),
    ];
    sql.execute(insert, values).await
}

/// Stores a change of the booking as it was loaded, and raises its version. With a
/// lease: only while it is still held. For where it goes see [`booking_place`].
pub async fn booking_save(
    tx: &Tx,
    booking: &mut Booking,
    lease: Option<&Lease>,
    now: Timestamp,
) -> Result<Saved, DbError> {
    let before = booking.version;
    booking.version += 1;
    booking.updated_at = now;
    let update = "UPDATE bookings SET status = $1, participants = $2, seats = $3, total = $4, paid = $5, refunded = $6, \
                  session_expires_at = $7, batch_start = $8, search_text = $9, document = $10, version = $11, shares_due = $12 \
                  WHERE id = $13 AND version = $14 AND COALESCE($15, lease, '') = COALESCE(lease, '')";
    let values = params![
        booking.status.as_str(),
        booking.count(),
        booking.seats(),
        booking.price.total,
        booking.paid,
        booking.refunded,
        booking.session.as_ref().map(|session| session.expires_at),
        booking.batch_start,
        search_text(booking),
        document(booking)?,
        booking.version,
        booking.shares_due(),
        booking.id,
        before,
        lease.map(|lease| &lease.token),
    ];
    Ok(if tx.affected(update, values).await? == 1 { Saved::Yes } else { Saved::Outdated })
}

/// Stores where a booking goes, in the transaction that changes it: apart from its other
/// changes, for each of which the indexes would be written anew as well.
pub async fn booking_place(tx: &Tx, booking: &Booking) -> Result<(), DbError> {
    let update = "UPDATE bookings SET trek_id = $1, batch_id = $2 WHERE id = $3";
    tx.execute(update, params![booking.trek_id, booking.batch_id, booking.id]).await
}

/// Removes a booking that never came to be, or that staff removed.
pub async fn booking_delete(tx: &Tx, id: Id, lease: &Lease) -> Result<(), DbError> {
    let delete = "DELETE FROM bookings WHERE id = $1 AND lease = $2 AND (status = $3 OR status = $4)";
    tx.execute(delete, params![id, &lease.token, Status::Creating.as_str(), Status::Deleted.as_str()]).await
}

/// A booking whose lease was taken.
pub struct Taken {
    pub booking: Booking,
    /// The lease of somebody before had run out without an end: what they have done with
    /// other services may not be what the row says.
    pub left_open: bool,
}

/// Takes the lease on a booking; none while somebody else has it, or without booking.
pub async fn lease_take(tx: &Tx, id: Id, lease: &Lease, now: Timestamp) -> Result<Option<Taken>, DbError> {
    let select = "SELECT id FROM bookings WHERE id = $1 AND lease IS NOT NULL";
    let left_open = tx.query_opt(select, params![id]).await?.is_some();
    let update = "UPDATE bookings SET lease = $1, lease_until = $2 WHERE id = $3 AND (lease IS NULL OR lease_until <= $4) \
                  RETURNING document, version";
    let row = tx.query_opt(update, params![&lease.token, lease.until, id, now]).await?;
    row.as_ref().map(|row| Ok(Taken { booking: booking(row)?, left_open })).transpose()
}

/// Lets a lease that is still held run out now: the job is to settle the booking.
pub async fn lease_lapse(sql: &impl Sql, id: Id, lease: &Lease, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE bookings SET lease_until = $1 WHERE id = $2 AND lease = $3";
    sql.execute(update, params![now, id, &lease.token]).await
}

/// Ends a lease that is still held: the other services agree with the row. Answers
/// whether it was.
pub async fn lease_end(sql: &impl Sql, id: Id, lease: &Lease) -> Result<bool, DbError> {
    let update = "UPDATE bookings SET lease = NULL, lease_until = NULL WHERE id = $1 AND lease = $2";
    Ok(sql.affected(update, params![id, &lease.token]).await? == 1)
}
