//! Bookings that were never paid.

use cairn_shared::{DbError, Id, Sql, Timestamp, Tx, params};

use super::booking::document;
use crate::domain::Booking;

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
