//! Captured payments, refunds, the ledger, and the provider's deliveries.

use cairn_shared::{DbError, Id, Paise, Row, Sql, Timestamp, Tx, params};

use crate::domain::{Entry, Payment, Refund};

const PAYMENT: &str = "SELECT p.id, p.order_id, p.booking_id, p.kind, p.amount, p.currency, p.method, p.problem, p.captured_at, \
     CAST(COALESCE((SELECT SUM(r.amount) FROM refunds r WHERE r.payment_id = p.id AND r.status IN ('processing', 'success')), 0) AS BIGINT) AS refunded \
     FROM payments p";

fn payment(row: &Row) -> Result<Payment, DbError> {
    Ok(Payment {
        id: row.get("id")?,
        order_id: row.get("order_id")?,
        booking_id: row.get("booking_id")?,
        kind: row.get("kind")?,
        amount: row.get("amount")?,
        currency: row.get("currency")?,
        method: row.get("method")?,
        problem: row.get("problem")?,
        captured_at: row.get("captured_at")?,
        refunded: row.get("refunded")?,
    })
}

pub async fn payment_fetch(sql: &impl Sql, id: &str) -> Result<Option<Payment>, DbError> {
    let select = [PAYMENT, " WHERE p.id = $1"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map(payment).transpose()
}

/// Payments that count for a booking, oldest first.
pub async fn payment_list(sql: &impl Sql, booking_id: Id) -> Result<Vec<Payment>, DbError> {
    let select = [PAYMENT, " WHERE p.booking_id = $1 AND p.problem IS NULL ORDER BY p.captured_at, p.id"].concat();
    sql.query(&select, params![booking_id]).await?.iter().map(payment).collect()
}

pub async fn payment_insert(tx: &Tx, payment: &Payment, learned_from: &str) -> Result<(), DbError> {
    let insert = "INSERT INTO payments (id, order_id, booking_id, kind, amount, currency, method, problem, captured_at, learned_from) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    tx.execute(
        insert,
        params![
            &payment.id,
            &payment.order_id,
            payment.booking_id,
            payment.kind,
            payment.amount,
            &payment.currency,
            &payment.method,
            payment.problem,
            payment.captured_at,
            learned_from
        ],
    )
    .await
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

/// A payment that has captured nothing (yet).
pub struct Attempt<'a> {
    pub payment_id: &'a str,
    pub order_id: &'a str,
    /// Otherwise authorised.
    pub failed: bool,
    pub code: Option<&'a str>,
    pub description: Option<&'a str>,
}

const REFUND: &str = "SELECT id, payment_id, booking_id, provider_id, amount, status, reason, attempts FROM refunds";

fn refund(row: &Row) -> Result<Refund, DbError> {
    Ok(Refund {
        id: row.get("id")?,
        payment_id: row.get("payment_id")?,
        booking_id: row.get("booking_id")?,
        provider_id: row.get("provider_id")?,
        amount: row.get("amount")?,
        status: row.get("status")?,
        reason: row.get("reason")?,
        attempts: row.get("attempts")?,
    })
}

pub async fn refund_fetch(sql: &impl Sql, id: Id) -> Result<Option<Refund>, DbError> {
    let select = [REFUND, " WHERE id = $1"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map(refund).transpose()
}

/// By the provider's id.
pub async fn refund_fetch_by_provider_id(sql: &impl Sql, provider_id: &str) -> Result<Option<Refund>, DbError> {
    let select = [REFUND, " WHERE provider_id = $1"].concat();
    sql.query_opt(&select, params![provider_id]).await?.as_ref().map(refund).transpose()
}

/// Refunds of a payment, oldest first.
pub async fn refund_list(sql: &impl Sql, payment_id: &str) -> Result<Vec<Refund>, DbError> {
    let select = [REFUND, " WHERE payment_id = $1 ORDER BY requested_at, id"].concat();
    sql.query(&select, params![payment_id]).await?.iter().map(refund).collect()
}

/// Adds a refund. `next_attempt_at`: when the provider is to be asked; none: never.
pub async fn refund_insert(
    tx: &Tx,
    refund: &Refund,
    next_attempt_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), DbError> {
    let insert = "INSERT INTO refunds (id, payment_id, booking_id, provider_id, amount, status, reason, requested_at, next_attempt_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    tx.execute(
        insert,
        params![
            refund.id,
            &refund.payment_id,
            refund.booking_id,
            refund.provider_id.as_deref(),
            refund.amount,
            refund.status,
            &refund.reason,
            now,
            next_attempt_at
        ],
    )
    .await
}

/// Records what the provider said. A refund that is settled is not asked about again.
pub async fn refund_settle(tx: &Tx, refund: &Refund, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE refunds SET provider_id = $1, status = $2, booking_id = $3, \
                  settled_at = CASE WHEN $4 = 'processing' THEN NULL ELSE COALESCE(settled_at, $5) END, \
                  next_attempt_at = CASE WHEN $6 = 'processing' THEN next_attempt_at ELSE NULL END WHERE id = $7";
    tx.execute(
        update,
        params![
            refund.provider_id.as_deref(),
            refund.status,
            refund.booking_id,
            refund.status,
            now,
            refund.status,
            refund.id
        ],
    )
    .await
}

/// Refunds that the provider is to be asked for, or about, now.
pub async fn refund_list_due(sql: &impl Sql, now: Timestamp, limit: i64) -> Result<Vec<Refund>, DbError> {
    let select = [
        REFUND,
        " WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= $1 ORDER BY next_attempt_at, requested_at LIMIT $2",
    ]
    .concat();
    sql.query(&select, params![now, limit]).await?.iter().map(refund).collect()
}

/// Takes a due refund for one attempt; false where somebody else has it.
pub async fn refund_claim(sql: &impl Sql, refund: &Refund, next_attempt_at: Timestamp) -> Result<bool, DbError> {
    let update = "UPDATE refunds SET attempts = attempts + 1, next_attempt_at = $1 \
                  WHERE id = $2 AND attempts = $3 AND status = 'processing' RETURNING id";
    Ok(sql.query_opt(update, params![next_attempt_at, refund.id, refund.attempts]).await?.is_some())
}

pub async fn refund_note_error(sql: &impl Sql, id: Id, error: &str) -> Result<(), DbError> {
    sql.execute("UPDATE refunds SET last_error = $1 WHERE id = $2", params![error, id]).await
}

/// Posts a transaction to the ledger; posted before, it changes nothing.
pub async fn ledger_post(
    tx: &Tx,
    transaction: &str,
    payment_id: &str,
    entries: &[Entry],
    now: Timestamp,
) -> Result<(), DbError> {
    let insert = "INSERT INTO ledger_entries (transaction_id, account, amount, payment_id, posted_at) VALUES ($1, $2, $3, $4, $5) \
                  ON CONFLICT (transaction_id, account) DO NOTHING";
    for entry in entries {
        tx.execute(insert, params![transaction, entry.account, entry.amount, payment_id, now]).await?;
    }
    Ok(())
}

/// What is wrong with the book; nothing, if all is well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerCheck {
    /// Transactions whose entries do not sum to zero.
    pub unbalanced: i64,
    /// Captured less refunded, less what the book says the provider holds.
    pub difference: Paise,
}

pub async fn ledger_check(sql: &impl Sql) -> Result<LedgerCheck, DbError> {
    let unbalanced = "SELECT COUNT(*) AS n FROM (SELECT transaction_id FROM ledger_entries GROUP BY transaction_id HAVING SUM(amount) <> 0) t";
    let difference = "SELECT CAST(COALESCE((SELECT SUM(amount) FROM payments), 0) \
         - COALESCE((SELECT SUM(r.amount) FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE r.status = 'success'), 0) \
         - COALESCE((SELECT SUM(amount) FROM ledger_entries WHERE account = 'provider'), 0) AS BIGINT) AS n";
    Ok(LedgerCheck {
        unbalanced: sql.query_one(unbalanced, params![]).await?.get("n")?,
        difference: sql.query_one(difference, params![]).await?.get("n")?,
    })
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
