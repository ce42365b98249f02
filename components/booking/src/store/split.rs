//! What signs the links of shares, and whose time is over.

use cairn_shared::{DbError, Id, Sql, Timestamp, params};

/// The secret of a booking's links; none where its price was never shared.
pub async fn split_secret_fetch(sql: &impl Sql, booking_id: Id) -> Result<Option<String>, DbError> {
    let select = "SELECT secret FROM split_secrets WHERE booking_id = $1";
    sql.query_opt(select, params![booking_id]).await?.map(|row| row.get("secret")).transpose()
}

/// Keeps a secret, unless the booking has one: links that went out stay valid.
pub async fn split_secret_insert(sql: &impl Sql, booking_id: Id, secret: &str) -> Result<(), DbError> {
    let insert = "INSERT INTO split_secrets (booking_id, secret) VALUES ($1, $2) ON CONFLICT (booking_id) DO NOTHING";
    sql.execute(insert, params![booking_id, secret]).await
}

/// Bookings of which shares were not paid in time.
pub async fn booking_ids_lapsed(sql: &impl Sql, now: Timestamp, limit: i64) -> Result<Vec<Id>, DbError> {
    let select = "SELECT id FROM bookings WHERE shares_due <= $1 ORDER BY shares_due LIMIT $2";
    sql.query(select, params![now, limit]).await?.iter().map(|row| row.get("id")).collect()
}
