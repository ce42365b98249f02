//! Payments and refunds of bookings.

use cairn_shared::{DbError, Id, Row, Sql, Tx, params};

use crate::domain::{Kind, Payment, Refund, RefundStatus};

fn payment(row: &Row) -> Result<Payment, DbError> {
    let kind: String = row.get("kind")?;
    let kind = Kind::parse(&kind).ok_or_else(|| DbError::Column { column: "kind".into(), problem: kind })?;
    Ok(Payment {
        id: row.get("id")?,
        order_id: row.get("order_id")?,
        kind,
        amount: row.get("amount")?,
        method: row.get("method")?,
        captured_at: row.get("captured_at")?,
        share: row.get("share_id")?,
    })
}

pub async fn payment_insert(tx: &Tx, booking_id: Id, payment: &Payment) -> Result<(), DbError> {
    let insert = "INSERT INTO payments (id, booking_id, order_id, kind, amount, method, captured_at, share_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let kind = payment.kind.as_str();
    tx.execute(
        insert,
        params![
            &payment.id,
            booking_id,
            &payment.order_id,
            kind,
            payment.amount,
            &payment.method,
            payment.captured_at,
            payment.share
        ],
    )
    .await
}

pub async fn payment_fetch(sql: &impl Sql, id: &str) -> Result<Option<Payment>, DbError> {
    let select = "SELECT id, order_id, kind, amount, method, captured_at, share_id FROM payments WHERE id = $1";
    sql.query_opt(select, params![id]).await?.as_ref().map(payment).transpose()
}

/// Payments of a booking, oldest first.
pub async fn payment_list(sql: &impl Sql, booking_id: Id) -> Result<Vec<Payment>, DbError> {
    let select = "SELECT id, order_id, kind, amount, method, captured_at, share_id FROM payments WHERE booking_id = $1 ORDER BY captured_at, id";
    sql.query(select, params![booking_id]).await?.iter().map(payment).collect()
}

fn status_text(status: RefundStatus) -> &'static str {
    match status {
        RefundStatus::Pending => "pending",
        RefundStatus::Processing => "processing",
        RefundStatus::Success => "success",
        RefundStatus::Failed => "failed",
        RefundStatus::NotApplicable => "not_applicable",
    }
}

fn refund(row: &Row) -> Result<Refund, DbError> {
    let status = match row.get::<String>("status")?.as_str() {
        "success" => RefundStatus::Success,
        "failed" => RefundStatus::Failed,
        "pending" => RefundStatus::Pending,
        _ => RefundStatus::Processing,
    };
    Ok(Refund {
        id: row.get("id")?,
        payment_id: row.get("payment_id")?,
        key: row.get("request_key")?,
        amount: row.get("amount")?,
        status,
        at: row.get("at")?,
    })
}

/// Stores what was heard of a refund. News that is older than the outcome changes nothing.
pub async fn refund_upsert(tx: &Tx, booking_id: Id, refund: &Refund) -> Result<(), DbError> {
    let upsert = "INSERT INTO refunds (id, booking_id, payment_id, request_key, amount, status, at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                  ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, status = excluded.status, at = excluded.at \
                  WHERE refunds.status <> 'success' AND (excluded.status <> 'processing' OR excluded.at > refunds.at)";
    let status = status_text(refund.status);
    let key = refund.key.as_deref();
    tx.execute(upsert, params![&refund.id, booking_id, &refund.payment_id, key, refund.amount, status, refund.at]).await
}

pub async fn refund_list(sql: &impl Sql, booking_id: Id) -> Result<Vec<Refund>, DbError> {
    let select =
        "SELECT id, payment_id, request_key, amount, status, at FROM refunds WHERE booking_id = $1 ORDER BY at, id";
    sql.query(select, params![booking_id]).await?.iter().map(refund).collect()
}
