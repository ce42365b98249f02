//! Captured payments, what was tried, and the provider's deliveries.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, params};

use crate::domain::{Payment, Problem};

const PAYMENT: &str = "SELECT p.id, p.order_id, p.booking_id, p.provider, p.kind, p.amount, p.surplus, p.currency, p.method, \
     COALESCE(p.orphan_reason, p.problem) AS problem, p.captured_at, \
     CAST(COALESCE((SELECT SUM(r.amount) FROM refunds r WHERE r.payment_id = p.id AND r.surplus = 0 AND r.status IN ('processing', 'success')), 0) AS BIGINT) AS refunded, \
     CAST(COALESCE((SELECT SUM(r.amount) FROM refunds r WHERE r.payment_id = p.id AND r.surplus = 1 AND r.status IN ('processing', 'success')), 0) AS BIGINT) AS surplus_refunded, p.voucher_id, p.share_id \
     FROM payments p";

fn payment(row: &Row) -> Result<Payment, DbError> {
    Ok(Payment {
        id: row.get("id")?,
        order_id: row.get("order_id")?,
        booking_id: row.get("booking_id")?,
        provider: row.get("provider")?,
        kind: row.get("kind")?,
        amount: row.get("amount")?,
        surplus: row.get("surplus")?,
        currency: row.get("currency")?,
        method: row.get("method")?,
        problem: row.get("problem")?,
        captured_at: row.get("captured_at")?,
        refunded: row.get("refunded")?,
        surplus_refunded: row.get("surplus_refunded")?,
        voucher_id: row.get("voucher_id")?,
        share_id: row.get("share_id")?,
    })
}

/// Waits until it is this transaction's turn with the money of a booking: what it reads
/// of it after this, nobody else changes before it ends.
pub async fn booking_turn(tx: &Tx, booking_id: Id) -> Result<(), DbError> {
    let upsert = "INSERT INTO booking_turns (booking_id, turns) VALUES ($1, 1) \
                  ON CONFLICT (booking_id) DO UPDATE SET turns = booking_turns.turns + 1";
    tx.execute(upsert, params![booking_id]).await
}

pub async fn payment_fetch(sql: &impl Sql, id: &str) -> Result<Option<Payment>, DbError> {
    let select = [PAYMENT, " WHERE p.id = $1"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map(payment).transpose()
}

/// The payment that has paid an order, by the provider's id of the order.
pub async fn payment_fetch_of_order(sql: &impl Sql, order_id: &str) -> Result<Option<Payment>, DbError> {
    let select = [PAYMENT, " WHERE p.order_id = $1 AND p.problem IS NULL"].concat();
    sql.query_opt(&select, params![order_id]).await?.as_ref().map(payment).transpose()
}

/// Payments that count for a booking, oldest first.
pub async fn payment_list(sql: &impl Sql, booking_id: Id) -> Result<Vec<Payment>, DbError> {
    let select = [PAYMENT, " WHERE p.booking_id = $1 AND p.problem IS NULL ORDER BY p.captured_at, p.id"].concat();
    sql.query(&select, params![booking_id]).await?.iter().map(payment).collect()
}

/// How a payment became known: `verify`, `webhook`, `reconciliation`, `offline`, `voucher`. What
/// proves an offline one and who received it.
pub struct Origin<'a> {
    pub learned_from: &'a str,
    pub reference: Option<&'a str>,
    pub received_by: Option<&'a str>,
}

/// Adds a payment; false where it is there already.
pub async fn payment_insert(tx: &Tx, payment: &Payment, origin: &Origin<'_>) -> Result<bool, DbError> {
    let insert = "INSERT INTO payments (id, order_id, booking_id, provider, kind, amount, surplus, currency, method, problem, \
                  orphan_reason, captured_at, learned_from, reference, received_by, voucher_id, share_id) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT (id) DO NOTHING RETURNING id";
    let inserted = tx.query_opt(
        insert,
        params![
            &payment.id,
            &payment.order_id,
            payment.booking_id,
            payment.provider,
            payment.kind,
            payment.amount,
            payment.surplus,
            &payment.currency,
            &payment.method,
            payment.problem.map(Problem::as_first_known),
            payment.problem,
            payment.captured_at,
            origin.learned_from,
            origin.reference,
            origin.received_by,
            payment.voucher_id,
            payment.share_id
        ],
    );
    Ok(inserted.await?.is_some())
}

/// A payment that has captured nothing (yet).
pub struct Attempt<'a> {
    pub payment_id: &'a str,
    pub order_id: &'a str,
    /// Otherwise authorised.
    pub failed: bool,
    pub code: Option<&'a str>,
    pub description: Option<&'a str>,
}

/// Notes that a payment was authorised, or failed. Either may be heard first.
pub async fn attempt_save(tx: &Tx, attempt: &Attempt<'_>, now: Timestamp) -> Result<bool, DbError> {
    let known = "SELECT failed_at, authorized_at FROM attempts WHERE payment_id = $1";
    let before = tx.query_opt(known, params![attempt.payment_id]).await?;
    let column = if attempt.failed { "failed_at" } else { "authorized_at" };
    if before.as_ref().map(|row| row.get::<Option<Timestamp>>(column)).transpose()?.flatten().is_some() {
        return Ok(false);
    }
    let upsert = "INSERT INTO attempts (payment_id, order_id, authorized_at, failed_at, error_code, error_description) \
                  VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (payment_id) DO UPDATE SET \
                  authorized_at = COALESCE(attempts.authorized_at, excluded.authorized_at), \
                  failed_at = COALESCE(attempts.failed_at, excluded.failed_at), \
                  error_code = COALESCE(attempts.error_code, excluded.error_code), \
                  error_description = COALESCE(attempts.error_description, excluded.error_description)";
    let (authorized_at, failed_at) = if attempt.failed { (None, Some(now)) } else { (Some(now), None) };
    let values =
        params![attempt.payment_id, attempt.order_id, authorized_at, failed_at, attempt.code, attempt.description];
    tx.execute(upsert, values).await?;
    Ok(true)
}

/// Whether a delivery of the provider's is new; it counts as taken if the transaction commits.
pub async fn webhook_first_time(
    tx: &Tx,
    event_id: &str,
    kind: &str,
    subject: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let insert = "INSERT INTO webhook_events (event_id, kind, subject, received_at) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (event_id) DO NOTHING RETURNING event_id";
    Ok(tx.query_opt(insert, params![event_id, kind, subject, now]).await?.is_some())
}

pub async fn webhook_forget(sql: &impl Sql, before: Timestamp) -> Result<(), DbError> {
    sql.execute("DELETE FROM webhook_events WHERE received_at < $1", params![before]).await
}
