//! What is owed, and the orders at the provider to pay it.

use cairn_shared::{DbError, Id, Paise, Row, Sql, Timestamp, Tx, params};

use crate::domain::{Kind, Order, OrderStatus, Payable, StoredPayable, Tender};

fn payable(row: &Row) -> Result<StoredPayable, DbError> {
    let (voucher_id, amount) = (row.get::<Option<Id>>("voucher_id")?, row.get("voucher_amount")?);
    Ok(StoredPayable {
        payable: Payable {
            booking_id: row.get("booking_id")?,
            user_id: row.get("user_id")?,
            trek_id: row.get("trek_id")?,
            trek_name: row.get("trek_name")?,
            kind: row.get("kind")?,
            amount: row.get("amount")?,
            order_value: row.get("order_value")?,
            expires_at: row.get("expires_at")?,
        },
        promo_id: row.get("promo_id")?,
        tender: voucher_id.map(|voucher_id| Tender { voucher_id, amount }),
        status: row.get("status")?,
        opened_at: row.get("opened_at")?,
    })
}

pub async fn payable_fetch(sql: &impl Sql, booking_id: Id) -> Result<Option<StoredPayable>, DbError> {
    let select = "SELECT booking_id, user_id, trek_id, trek_name, kind, amount, order_value, promo_id, expires_at, status, opened_at, voucher_id, voucher_amount \
                  FROM payables WHERE booking_id = $1";
    sql.query_opt(select, params![booking_id]).await?.as_ref().map(payable).transpose()
}

pub async fn payable_save(tx: &Tx, stored: &StoredPayable, now: Timestamp) -> Result<(), DbError> {
    let upsert = "INSERT INTO payables (booking_id, user_id, trek_id, trek_name, kind, amount, order_value, promo_id, expires_at, status, opened_at, updated_at, voucher_id, voucher_amount) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
                  ON CONFLICT (booking_id) DO UPDATE SET user_id = excluded.user_id, trek_id = excluded.trek_id, trek_name = excluded.trek_name, \
                  kind = excluded.kind, amount = excluded.amount, order_value = excluded.order_value, promo_id = excluded.promo_id, \
                  expires_at = excluded.expires_at, status = excluded.status, opened_at = excluded.opened_at, updated_at = excluded.updated_at, \
                  voucher_id = excluded.voucher_id, voucher_amount = excluded.voucher_amount";
    let p = &stored.payable;
    tx.execute(
        upsert,
        params![
            p.booking_id,
            p.user_id,
            p.trek_id,
            &p.trek_name,
            p.kind,
            p.amount,
            p.order_value,
            stored.promo_id,
            p.expires_at,
            stored.status,
            stored.opened_at,
            now,
            stored.tender.map(|tender| tender.voucher_id),
            stored.tender.map_or(Paise::ZERO, |tender| tender.amount)
        ],
    )
    .await
}

/// Closes what a booking owes, unless it has been paid.
pub async fn payable_close(tx: &Tx, booking_id: Id, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE payables SET status = 'closed', updated_at = $1 WHERE booking_id = $2 AND status = 'open'";
    tx.execute(update, params![now, booking_id]).await
}

/// Notes that what a booking owed has been paid, also where it was closed meanwhile.
pub async fn payable_pay(tx: &Tx, booking_id: Id, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE payables SET status = 'paid', updated_at = $1 WHERE booking_id = $2";
    tx.execute(update, params![now, booking_id]).await
}

/// A part of what a booking owes has been paid by somebody else.
pub async fn payable_lessen(tx: &Tx, booking_id: Id, amount: Paise, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE payables SET amount = amount - $1, updated_at = $2 WHERE booking_id = $3";
    tx.execute(update, params![amount, now, booking_id]).await
}

pub async fn payable_set_expiry(tx: &Tx, booking_id: Id, expires_at: Timestamp, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE payables SET expires_at = $1, updated_at = $2 WHERE booking_id = $3";
    tx.execute(update, params![expires_at, now, booking_id]).await
}

const ORDER: &str = "SELECT id, receipt, provider, provider_id, booking_id, user_id, share_id, kind, amount, status, attempts, snapshot, created_at FROM orders";

fn order(row: &Row) -> Result<Order, DbError> {
    Ok(Order {
        id: row.get("id")?,
        receipt: row.get("receipt")?,
        provider: row.get("provider")?,
        provider_id: row.get("provider_id")?,
        booking_id: row.get("booking_id")?,
        user_id: row.get("user_id")?,
        share_id: row.get("share_id")?,
        kind: row.get("kind")?,
        amount: row.get("amount")?,
        status: row.get("status")?,
        attempts: row.get("attempts")?,
        snapshot: row.get("snapshot")?,
        created_at: row.get("created_at")?,
    })
}

pub async fn order_fetch(sql: &impl Sql, id: Id) -> Result<Option<Order>, DbError> {
    let select = [ORDER, " WHERE id = $1"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map(order).transpose()
}

/// By the provider's id.
pub async fn order_fetch_by_provider_id(sql: &impl Sql, provider_id: &str) -> Result<Option<Order>, DbError> {
    let select = [ORDER, " WHERE provider_id = $1"].concat();
    sql.query_opt(&select, params![provider_id]).await?.as_ref().map(order).transpose()
}

/// The order that can still be paid for exactly this.
pub async fn order_fetch_live(
    sql: &impl Sql,
    booking_id: Id,
    kind: Kind,
    amount: Paise,
) -> Result<Option<Order>, DbError> {
    let live =
        " WHERE booking_id = $1 AND kind = $2 AND amount = $3 AND share_id IS NULL AND status IN ('intent', 'open')";
    let select = [ORDER, live].concat();
    sql.query_opt(&select, params![booking_id, kind, amount]).await?.as_ref().map(order).transpose()
}

/// The order that can still be paid for a share.
pub async fn order_fetch_live_of_share(sql: &impl Sql, share_id: Id) -> Result<Option<Order>, DbError> {
    let select = [ORDER, " WHERE share_id = $1 AND status IN ('intent', 'open')"].concat();
    sql.query_opt(&select, params![share_id]).await?.as_ref().map(order).transpose()
}

pub async fn order_count(sql: &impl Sql, booking_id: Id) -> Result<i64, DbError> {
    sql.query_one("SELECT COUNT(*) AS n FROM orders WHERE booking_id = $1", params![booking_id]).await?.get("n")
}

/// Orders for a share of a booking's, or without one, for all of it.
pub async fn order_count_for(sql: &impl Sql, booking_id: Id, share_id: Option<Id>) -> Result<i64, DbError> {
    let count = "SELECT COUNT(*) AS n FROM orders WHERE booking_id = $1 AND share_id IS NOT DISTINCT FROM $2";
    sql.query_one(count, params![booking_id, share_id]).await?.get("n")
}

pub async fn receipt_is_taken(sql: &impl Sql, receipt: &str) -> Result<bool, DbError> {
    Ok(sql.query_opt("SELECT id FROM orders WHERE receipt = $1", params![receipt]).await?.is_some())
}

pub async fn order_insert(tx: &Tx, order: &Order) -> Result<(), DbError> {
    let insert = "INSERT INTO orders (id, receipt, provider, booking_id, user_id, share_id, kind, amount, status, attempts, created_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    tx.execute(
        insert,
        params![
            order.id,
            &order.receipt,
            order.provider,
            order.booking_id,
            order.user_id,
            order.share_id,
            order.kind,
            order.amount,
            order.status,
            order.attempts,
            order.created_at
        ],
    )
    .await
}

/// Notes, before it happens, that the provider is asked once more.
pub async fn order_note_attempt(tx: &Tx, id: Id) -> Result<(), DbError> {
    tx.execute("UPDATE orders SET attempts = attempts + 1 WHERE id = $1", params![id]).await
}

/// Records what the provider made, unless somebody recorded another one before.
/// An order that became void meanwhile stays void.
pub async fn order_record(
    tx: &Tx,
    id: Id,
    provider_id: &str,
    snapshot: &str,
    next_check_at: Option<Timestamp>,
) -> Result<(), DbError> {
    let update = "UPDATE orders SET provider_id = $1, snapshot = $2, next_check_at = $3, last_error = NULL, \
                  status = CASE WHEN status = 'intent' THEN 'open' ELSE status END WHERE id = $4 AND provider_id IS NULL";
    tx.execute(update, params![provider_id, snapshot, next_check_at, id]).await
}

pub async fn order_note_error(sql: &impl Sql, id: Id, error: &str) -> Result<(), DbError> {
    sql.execute("UPDATE orders SET last_error = $1 WHERE id = $2", params![error, id]).await
}

pub async fn order_set_status(tx: &Tx, id: Id, status: OrderStatus) -> Result<(), DbError> {
    let update = "UPDATE orders SET status = $1, next_check_at = CASE WHEN $2 = 'paid' THEN NULL ELSE next_check_at END WHERE id = $3";
    tx.execute(update, params![status, status, id]).await
}

/// Voids the unpaid orders for a share.
pub async fn orders_void_of_share(tx: &Tx, share_id: Id) -> Result<(), DbError> {
    let update = "UPDATE orders SET status = 'void' WHERE share_id = $1 AND status IN ('intent', 'open')";
    tx.execute(update, params![share_id]).await
}

/// Voids all of a booking's unpaid orders.
pub async fn orders_void(tx: &Tx, booking_id: Id) -> Result<(), DbError> {
    let update = "UPDATE orders SET status = 'void' WHERE booking_id = $1 AND status IN ('intent', 'open')";
    tx.execute(update, params![booking_id]).await
}

/// Voids a booking's unpaid orders for anything but this. Those for shares are another matter.
pub async fn orders_void_others(tx: &Tx, booking_id: Id, kind: Kind, amount: Paise) -> Result<(), DbError> {
    let update = "UPDATE orders SET status = 'void' WHERE booking_id = $1 AND share_id IS NULL AND status IN ('intent', 'open') AND NOT (kind = $2 AND amount = $3)";
    tx.execute(update, params![booking_id, kind, amount]).await
}

/// Orders that the provider is to be asked about now.
pub async fn order_list_due(sql: &impl Sql, now: Timestamp, limit: i64) -> Result<Vec<Order>, DbError> {
    let select =
        [ORDER, " WHERE next_check_at IS NOT NULL AND next_check_at <= $1 ORDER BY next_check_at LIMIT $2"].concat();
    sql.query(&select, params![now, limit]).await?.iter().map(order).collect()
}

pub async fn order_set_check(sql: &impl Sql, id: Id, next_check_at: Option<Timestamp>) -> Result<(), DbError> {
    let update = "UPDATE orders SET next_check_at = $1 WHERE id = $2 AND status <> 'paid'";
    sql.execute(update, params![next_check_at, id]).await
}

/// Has the provider asked about an unpaid order no later than this.
pub async fn order_check_soon(tx: &Tx, id: Id, at: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE orders SET next_check_at = $1 WHERE id = $2 AND status <> 'paid' AND (next_check_at IS NULL OR next_check_at > $3)";
    tx.execute(update, params![at, id, at]).await
}
