//! Promo codes and their uses.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, params};

use crate::domain::Promo;

const PROMO: &str = "SELECT p.id, p.code, p.discount_type, p.discount_value, p.max_uses, p.max_uses_per_user, p.valid_from, p.valid_until, \
     p.min_order_value, p.applicable_treks, p.is_active, p.created_by, p.created_by_name, p.created_at, \
     p.used_before + (SELECT COUNT(*) FROM promo_uses u WHERE u.promo_id = p.id AND u.paid = 1) AS used FROM promos p";

fn promo(row: &Row) -> Result<Promo, DbError> {
    Ok(Promo {
        id: row.get("id")?,
        code: row.get("code")?,
        discount_type: row.get("discount_type")?,
        discount_value: row.get("discount_value")?,
        max_uses: row.get("max_uses")?,
        max_uses_per_user: row.get("max_uses_per_user")?,
        used: row.get("used")?,
        valid_from: row.get("valid_from")?,
        valid_until: row.get("valid_until")?,
        min_order_value: row.get("min_order_value")?,
        applicable_treks: row.json("applicable_treks")?,
        is_active: row.get("is_active")?,
        created_by: row.get("created_by")?,
        created_by_name: row.get("created_by_name")?,
        created_at: row.get("created_at")?,
    })
}

fn treks(promo: &Promo) -> serde_json::Value {
    promo.applicable_treks.iter().map(ToString::to_string).collect()
}

/// Newest first.
pub async fn promo_list(sql: &impl Sql) -> Result<Vec<Promo>, DbError> {
    let select = [PROMO, " WHERE p.deleted_at IS NULL ORDER BY p.created_at DESC, p.id DESC"].concat();
    sql.query(&select, params![]).await?.iter().map(promo).collect()
}

pub async fn promo_fetch(sql: &impl Sql, id: Id) -> Result<Option<Promo>, DbError> {
    let select = [PROMO, " WHERE p.id = $1 AND p.deleted_at IS NULL"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map(promo).transpose()
}

/// By its upper-case code.
pub async fn promo_fetch_by_code(sql: &impl Sql, code: &str) -> Result<Option<Promo>, DbError> {
    let select = [PROMO, " WHERE p.code = $1 AND p.deleted_at IS NULL"].concat();
    sql.query_opt(&select, params![code]).await?.as_ref().map(promo).transpose()
}

/// Adds a promo. Its `used` becomes the count of earlier uses.
///
/// # Errors
/// [`DbError::Unique`] on `promos.code`.
pub async fn promo_insert(tx: &Tx, promo: &Promo) -> Result<(), DbError> {
    let insert = "INSERT INTO promos (id, code, discount_type, discount_value, max_uses, max_uses_per_user, used_before, valid_from, \
                  valid_until, min_order_value, applicable_treks, is_active, created_by, created_by_name, created_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    tx.execute(
        insert,
        params![
            promo.id,
            &promo.code,
            promo.discount_type,
            promo.discount_value,
            promo.max_uses,
            promo.max_uses_per_user,
            promo.used,
            promo.valid_from,
            promo.valid_until,
            promo.min_order_value,
            treks(promo),
            promo.is_active,
            promo.created_by,
            &promo.created_by_name,
            promo.created_at
        ],
    )
    .await
}

pub async fn promo_update(tx: &Tx, promo: &Promo) -> Result<(), DbError> {
    let update = "UPDATE promos SET discount_type = $1, discount_value = $2, max_uses = $3, max_uses_per_user = $4, valid_from = $5, \
                  valid_until = $6, min_order_value = $7, applicable_treks = $8, is_active = $9 WHERE id = $10";
    tx.execute(
        update,
        params![
            promo.discount_type,
            promo.discount_value,
            promo.max_uses,
            promo.max_uses_per_user,
            promo.valid_from,
            promo.valid_until,
            promo.min_order_value,
            treks(promo),
            promo.is_active,
            promo.id
        ],
    )
    .await
}

/// Hides a promo from everybody; bookings that hold or paid a use keep it.
pub async fn promo_delete(tx: &Tx, id: Id, now: Timestamp) -> Result<(), DbError> {
    tx.execute("UPDATE promos SET deleted_at = $1 WHERE id = $2 AND deleted_at IS NULL", params![now, id]).await
}

pub async fn promo_count(sql: &impl Sql) -> Result<i64, DbError> {
    sql.query_one("SELECT COUNT(*) AS n FROM promos", params![]).await?.get("n")
}

/// Waits until it is this transaction's turn with a promo: how often it is used, nobody
/// else changes before it ends.
pub async fn promo_turn(tx: &Tx, id: Id) -> Result<(), DbError> {
    tx.execute("UPDATE promos SET used_before = used_before WHERE id = $1", params![id]).await
}

/// Paid and reserved uses of a promo by one person, but for this booking's.
pub async fn promo_taken_by_user(sql: &impl Sql, id: Id, user_id: Id, except_booking: Id) -> Result<i64, DbError> {
    let select = "SELECT COUNT(*) AS n FROM promo_uses u JOIN payables o ON o.booking_id = u.booking_id \
                  WHERE u.promo_id = $1 AND o.user_id = $2 AND u.booking_id <> $3";
    sql.query_one(select, params![id, user_id, except_booking]).await?.get("n")
}

/// Uses of a promo that one person has paid.
pub async fn promo_paid_by_user(sql: &impl Sql, id: Id, user_id: Id) -> Result<i64, DbError> {
    let select = "SELECT COUNT(*) AS n FROM promo_uses u JOIN payables o ON o.booking_id = u.booking_id \
                  WHERE u.promo_id = $1 AND o.user_id = $2 AND u.paid = 1";
    sql.query_one(select, params![id, user_id]).await?.get("n")
}

/// Paid and reserved uses of a promo, but for this booking's.
pub async fn promo_taken(sql: &impl Sql, id: Id, except_booking: Option<Id>) -> Result<i64, DbError> {
    let select = "SELECT p.used_before + (SELECT COUNT(*) FROM promo_uses u WHERE u.promo_id = p.id AND u.booking_id <> $1) AS n \
                  FROM promos p WHERE p.id = $2";
    let except = except_booking.map_or_else(String::new, |id| id.to_string());
    sql.query_one(select, params![except, id]).await?.get("n")
}

/// As [`promo_taken`], but for what this person has reserved.
pub async fn promo_taken_by_others(sql: &impl Sql, id: Id, user_id: Id) -> Result<i64, DbError> {
    let select = "SELECT p.used_before + (SELECT COUNT(*) FROM promo_uses u WHERE u.promo_id = p.id AND (u.paid = 1 OR NOT EXISTS \
                  (SELECT 1 FROM payables o WHERE o.booking_id = u.booking_id AND o.user_id = $1))) AS n FROM promos p WHERE p.id = $2";
    sql.query_one(select, params![user_id, id]).await?.get("n")
}

/// The promo of a booking's use, and whether it is paid.
pub async fn promo_use_fetch(sql: &impl Sql, booking_id: Id) -> Result<Option<(Id, bool)>, DbError> {
    let select = "SELECT promo_id, paid FROM promo_uses WHERE booking_id = $1";
    let row = sql.query_opt(select, params![booking_id]).await?;
    row.map(|row| Ok((row.get("promo_id")?, row.get("paid")?))).transpose()
}

/// Reserves the booking's one use; a paid use stays what it is.
pub async fn promo_use_reserve(tx: &Tx, booking_id: Id, promo_id: Id, now: Timestamp) -> Result<(), DbError> {
    let upsert = "INSERT INTO promo_uses (booking_id, promo_id, created_at) VALUES ($1, $2, $3) \
                  ON CONFLICT (booking_id) DO UPDATE SET promo_id = excluded.promo_id WHERE promo_uses.paid = 0";
    tx.execute(upsert, params![booking_id, promo_id, now]).await
}

/// Counts the booking's use, once however often it is said.
pub async fn promo_use_pay(tx: &Tx, booking_id: Id, promo_id: Id, now: Timestamp) -> Result<(), DbError> {
    let upsert = "INSERT INTO promo_uses (booking_id, promo_id, paid, created_at) VALUES ($1, $2, 1, $3) \
                  ON CONFLICT (booking_id) DO UPDATE SET paid = 1";
    tx.execute(upsert, params![booking_id, promo_id, now]).await
}

/// Gives the booking's use back unless it is paid.
pub async fn promo_use_release(tx: &Tx, booking_id: Id) -> Result<(), DbError> {
    tx.execute("DELETE FROM promo_uses WHERE booking_id = $1 AND paid = 0", params![booking_id]).await
}

/// Gives the booking's paid use back once all that was paid for it has gone back.
pub async fn promo_use_return(tx: &Tx, booking_id: Id) -> Result<(), DbError> {
    let delete = "DELETE FROM promo_uses WHERE booking_id = $1 AND paid = 1 AND NOT EXISTS \
                  (SELECT 1 FROM payments p WHERE p.booking_id = $2 AND p.problem IS NULL AND p.amount - p.surplus > \
                  COALESCE((SELECT SUM(r.amount) FROM refunds r WHERE r.payment_id = p.id AND r.surplus = 0 AND r.status = 'success'), 0))";
    tx.execute(delete, params![booking_id, booking_id]).await
}
