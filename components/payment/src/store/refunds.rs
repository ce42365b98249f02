//! Refunds: as they were asked for, and as they are carried out.

use cairn_shared::{DbError, Id, Paise, Row, Sql, Timestamp, Tx, params};

use crate::domain::{Refund, RefundRequest, RefundStatus, RequestedRefund, request_status};

const REFUND: &str = "SELECT id, payment_id, booking_id, provider, provider_id, amount, status, reason, attempts, request_key, \
     surplus, retries, paid_out, voucher_id, booked FROM refunds";

fn refund(row: &Row) -> Result<Refund, DbError> {
    Ok(Refund {
        id: row.get("id")?,
        payment_id: row.get("payment_id")?,
        booking_id: row.get("booking_id")?,
        provider: row.get("provider")?,
        provider_id: row.get("provider_id")?,
        amount: row.get("amount")?,
        status: row.get("status")?,
        reason: row.get("reason")?,
        attempts: row.get("attempts")?,
        request_key: row.get("request_key")?,
        surplus: row.get("surplus")?,
        retries: row.get("retries")?,
        paid_out: row.get("paid_out")?,
        voucher_id: row.get("voucher_id")?,
        booked: row.get("booked")?,
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

/// Refunds that failed and were not tried again, of a booking, oldest first.
pub async fn refund_list_failed(sql: &impl Sql, booking_id: Id) -> Result<Vec<Refund>, DbError> {
    let select = [REFUND, " WHERE booking_id = $1 AND status = 'failed' ORDER BY requested_at, id"].concat();
    sql.query(&select, params![booking_id]).await?.iter().map(refund).collect()
}

/// The parts of a requested refund, oldest first.
pub async fn refund_list_of_request(sql: &impl Sql, key: &str) -> Result<Vec<Refund>, DbError> {
    let select = [REFUND, " WHERE request_key = $1 ORDER BY requested_at, id"].concat();
    sql.query(&select, params![key]).await?.iter().map(refund).collect()
}

/// Adds a refund. `next_attempt_at`: when the provider is to be asked; none: never.
pub async fn refund_insert(
    tx: &Tx,
    refund: &Refund,
    next_attempt_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), DbError> {
    let insert = "INSERT INTO refunds (id, payment_id, booking_id, provider, provider_id, amount, status, reason, request_key, \
                  surplus, requested_at, next_attempt_at, voucher_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    tx.execute(
        insert,
        params![
            refund.id,
            &refund.payment_id,
            refund.booking_id,
            refund.provider,
            refund.provider_id.as_deref(),
            refund.amount,
            refund.status,
            &refund.reason,
            refund.request_key.as_deref(),
            refund.surplus,
            now,
            next_attempt_at,
            refund.voucher_id
        ],
    )
    .await
}

/// Records where a refund stands. One that is settled is not asked about again.
pub async fn refund_settle(tx: &Tx, refund: &Refund, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE refunds SET provider_id = $1, status = $2, booking_id = $3, booked = $4, paid_out = $5, \
                  settled_at = CASE WHEN $6 = 'processing' THEN NULL ELSE COALESCE(settled_at, $7) END, \
                  next_attempt_at = CASE WHEN $8 = 'processing' THEN next_attempt_at ELSE NULL END WHERE id = $9";
    tx.execute(
        update,
        params![
            refund.provider_id.as_deref(),
            refund.status,
            refund.booking_id,
            refund.booked,
            refund.paid_out,
            refund.status,
            now,
            refund.status,
            refund.id
        ],
    )
    .await
}

/// Makes a failed refund one that is to be tried again. The refund that failed at the
/// provider is remembered: it may be heard of again.
pub async fn refund_retry(tx: &Tx, refund: &Refund, now: Timestamp) -> Result<(), DbError> {
    if let Some(provider_id) = &refund.provider_id {
        let insert = "INSERT INTO refund_failures (provider_id, refund_id, failed_at) VALUES ($1, $2, $3) \
                      ON CONFLICT (provider_id) DO NOTHING";
        tx.execute(insert, params![provider_id, refund.id, now]).await?;
    }
    let update = "UPDATE refunds SET provider_id = NULL, status = 'processing', retries = retries + 1, attempts = 0, \
                  settled_at = NULL, last_error = NULL, next_attempt_at = $1 WHERE id = $2 AND status = 'failed'";
    tx.execute(update, params![now, refund.id]).await
}

/// Has a refund that went to a voucher go elsewhere: to another voucher, or to where it is
/// to be asked for.
pub async fn refund_redirect(
    tx: &Tx,
    id: Id,
    voucher_id: Option<Id>,
    next_attempt_at: Option<Timestamp>,
) -> Result<(), DbError> {
    let update = "UPDATE refunds SET voucher_id = $1, status = 'processing', retries = retries + 1, attempts = 0,                   settled_at = NULL, next_attempt_at = $2 WHERE id = $3";
    tx.execute(update, params![voucher_id, next_attempt_at, id]).await
}

/// The refund that this one of the provider's carried out in vain.
pub async fn refund_fetch_by_failure(sql: &impl Sql, provider_id: &str) -> Result<Option<Refund>, DbError> {
    let select = [REFUND, " WHERE id = (SELECT refund_id FROM refund_failures WHERE provider_id = $1)"].concat();
    sql.query_opt(&select, params![provider_id]).await?.as_ref().map(refund).transpose()
}

/// Notes what proves that a refund was paid out by hand, and who did it.
pub async fn refund_note_proof(tx: &Tx, id: Id, reference: &str, by: Id) -> Result<(), DbError> {
    tx.execute("UPDATE refunds SET reference = $1, paid_out_by = $2 WHERE id = $3", params![reference, by, id]).await
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
                  WHERE id = $2 AND attempts = $3 AND retries = $4 AND status = 'processing' RETURNING id";
    let values = params![next_attempt_at, refund.id, refund.attempts, refund.retries];
    Ok(sql.query_opt(update, values).await?.is_some())
}

pub async fn refund_note_error(sql: &impl Sql, id: Id, error: &str) -> Result<(), DbError> {
    sql.execute("UPDATE refunds SET last_error = $1 WHERE id = $2", params![error, id]).await
}

const REQUEST: &str = "SELECT request_key, booking_id, participant_id, payment_id, amount, kind, reason, requested_by, requested_at \
     FROM refund_requests";

pub async fn request_insert(tx: &Tx, request: &RefundRequest, now: Timestamp) -> Result<(), DbError> {
    let insert = "INSERT INTO refund_requests (request_key, booking_id, participant_id, payment_id, amount, kind, reason, \
                  requested_by, requested_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    tx.execute(
        insert,
        params![
            &request.key,
            request.booking_id,
            request.participant_id,
            request.payment_id.as_deref(),
            request.amount,
            request.kind,
            &request.reason,
            &request.requested_by,
            now
        ],
    )
    .await
}

async fn request(sql: &impl Sql, row: &Row) -> Result<RequestedRefund, DbError> {
    let request = RefundRequest {
        key: row.get("request_key")?,
        booking_id: row.get("booking_id")?,
        participant_id: row.get("participant_id")?,
        payment_id: row.get("payment_id")?,
        amount: row.get("amount")?,
        kind: row.get("kind")?,
        reason: row.get("reason")?,
        requested_by: row.get("requested_by")?,
    };
    let select = "SELECT status, amount, settled_at FROM refunds WHERE request_key = $1";
    let (mut parts, mut settled_at) = (Vec::new(), None);
    for part in sql.query(select, params![&request.key]).await? {
        parts.push((part.get::<RefundStatus>("status")?, part.get::<Paise>("amount")?));
        settled_at = settled_at.max(part.get::<Option<Timestamp>>("settled_at")?);
    }
    let is_settled = parts.iter().all(|(status, _)| *status != RefundStatus::Processing);
    let succeeded = parts.iter().filter(|(status, _)| *status == RefundStatus::Success).map(|(_, amount)| *amount);
    Ok(RequestedRefund {
        requested_at: row.get("requested_at")?,
        status: request_status(&parts),
        succeeded: succeeded.sum(),
        settled_at: settled_at.filter(|_| is_settled),
        request,
    })
}

pub async fn request_fetch(sql: &impl Sql, key: &str) -> Result<Option<RequestedRefund>, DbError> {
    let select = [REQUEST, " WHERE request_key = $1"].concat();
    match sql.query_opt(&select, params![key]).await? {
        Some(row) => request(sql, &row).await.map(Some),
        None => Ok(None),
    }
}

/// Refunds that were asked for of a booking, oldest first.
pub async fn request_list(sql: &impl Sql, booking_id: Id) -> Result<Vec<RequestedRefund>, DbError> {
    let select = [REQUEST, " WHERE booking_id = $1 ORDER BY requested_at, request_key"].concat();
    let mut requests = Vec::new();
    for row in sql.query(&select, params![booking_id]).await? {
        requests.push(request(sql, &row).await?);
    }
    Ok(requests)
}

/// A refund as staff see it in a list.
#[derive(Debug, Clone)]
pub struct ListedRefund {
    pub refund: Refund,
    pub last_error: Option<String>,
    pub reference: Option<String>,
    pub requested_at: Timestamp,
    pub settled_at: Option<Timestamp>,
}

/// Refunds in a status, the newest first, and how many there are. Of offline payments
/// alone, or of all.
pub async fn refund_page(
    sql: &impl Sql,
    status: RefundStatus,
    by_hand: bool,
    limit: i64,
    offset: i64,
) -> Result<(Vec<ListedRefund>, i64), DbError> {
    let provider = if by_hand { "offline" } else { "%" };
    let select = "SELECT id, payment_id, booking_id, provider, provider_id, amount, status, reason, attempts, request_key, \
                  surplus, retries, paid_out, voucher_id, booked, last_error, reference, requested_at, settled_at FROM refunds \
                  WHERE status = $1 AND provider LIKE $2 ORDER BY requested_at DESC, id DESC LIMIT $3 OFFSET $4";
    let rows = sql.query(select, params![status, provider, limit, offset]).await?;
    let listed = |row: &Row| {
        Ok(ListedRefund {
            refund: refund(row)?,
            last_error: row.get("last_error")?,
            reference: row.get("reference")?,
            requested_at: row.get("requested_at")?,
            settled_at: row.get("settled_at")?,
        })
    };
    let page: Result<Vec<_>, DbError> = rows.iter().map(listed).collect();
    let count = "SELECT COUNT(*) AS n FROM refunds WHERE status = $1 AND provider LIKE $2";
    Ok((page?, sql.query_one(count, params![status, provider]).await?.get("n")?))
}
