//! Vouchers. What is left of one is what the book says.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, params};

use crate::domain::{Voided, Voucher, VoucherCode, VoucherState};

const VOUCHER: &str = "SELECT v.id, v.code, v.kind, v.issue_key, v.amount, v.bonus, v.owner_id, v.booking_id, v.reason, v.issued_by, v.issued_at, \
     v.expires_at, v.voided_at, v.voided_by, v.void_reason, \
     CAST(COALESCE((SELECT SUM(CASE WHEN t.credit = 'vouchers' THEN t.amount ELSE -t.amount END) FROM ledger_transfers t WHERE t.voucher_id = v.id), 0) AS BIGINT) AS balance, \
     CAST(COALESCE((SELECT SUM(o.voucher_amount) FROM payables o WHERE o.voucher_id = v.id AND o.status = 'open' AND o.booking_id <> $1), 0) AS BIGINT) AS reserved \
     FROM vouchers v";

fn voucher(row: &Row) -> Result<Voucher, DbError> {
    let voided = |at| {
        Ok::<_, DbError>(Voided {
            at,
            by: row.get::<Option<String>>("voided_by")?.unwrap_or_default(),
            reason: row.get::<Option<String>>("void_reason")?.unwrap_or_default(),
        })
    };
    Ok(Voucher {
        id: row.get("id")?,
        code: row.get("code")?,
        kind: row.get("kind")?,
        issue_key: row.get("issue_key")?,
        amount: row.get("amount")?,
        bonus: row.get("bonus")?,
        owner_id: row.get("owner_id")?,
        booking_id: row.get("booking_id")?,
        reason: row.get("reason")?,
        issued_by: row.get("issued_by")?,
        issued_at: row.get("issued_at")?,
        expires_at: row.get("expires_at")?,
        voided: row.get::<Option<Timestamp>>("voided_at")?.map(voided).transpose()?,
        balance: row.get("balance")?,
        reserved: row.get("reserved")?,
    })
}

/// Whose own reservation does not count; without one, everybody's counts.
fn own(booking_id: Option<Id>) -> String {
    booking_id.map(|id| id.to_string()).unwrap_or_default()
}

/// Waits until it is this transaction's turn with a voucher: what it reads of it after
/// this, nobody else changes before it ends.
pub async fn voucher_turn(tx: &Tx, id: Id) -> Result<(), DbError> {
    tx.execute("UPDATE vouchers SET turns = turns + 1 WHERE id = $1", params![id]).await
}

/// A voucher as it stands for a booking, whose own reservation does not count.
pub async fn voucher_fetch(sql: &impl Sql, id: Id, booking_id: Option<Id>) -> Result<Option<Voucher>, DbError> {
    let select = [VOUCHER, " WHERE v.id = $2"].concat();
    sql.query_opt(&select, params![own(booking_id), id]).await?.as_ref().map(voucher).transpose()
}

pub async fn voucher_fetch_by_code(
    sql: &impl Sql,
    code: &VoucherCode,
    booking_id: Option<Id>,
) -> Result<Option<Voucher>, DbError> {
    let select = [VOUCHER, " WHERE v.code = $2"].concat();
    sql.query_opt(&select, params![own(booking_id), code.as_str()]).await?.as_ref().map(voucher).transpose()
}

/// By the key that it was issued for.
pub async fn voucher_fetch_by_key(sql: &impl Sql, key: &str) -> Result<Option<Voucher>, DbError> {
    let select = [VOUCHER, " WHERE v.issue_key = $2"].concat();
    sql.query_opt(&select, params![own(None), key]).await?.as_ref().map(voucher).transpose()
}

/// Vouchers in somebody's list, newest first.
pub async fn voucher_list_of_owner(sql: &impl Sql, owner_id: Id, limit: i64) -> Result<Vec<Voucher>, DbError> {
    let select = [VOUCHER, " WHERE v.owner_id = $2 ORDER BY v.issued_at DESC, v.id DESC LIMIT $3"].concat();
    sql.query(&select, params![own(None), owner_id, limit]).await?.iter().map(voucher).collect()
}

/// Holds for vouchers in a state, or for all where it is empty. Spent ones count as valid.
const IN_STATE: &str = " WHERE CAST($1 AS TEXT) IN ('', CASE WHEN v.voided_at IS NOT NULL THEN 'void' WHEN v.expires_at <= $2 THEN 'expired' ELSE 'valid' END)";

/// Vouchers in a state (`valid`, `expired`, `void`), or all, newest first, and how many
/// there are.
pub async fn voucher_page(
    sql: &impl Sql,
    state: Option<VoucherState>,
    now: Timestamp,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Voucher>, i64), DbError> {
    let state = state.map_or("", VoucherState::as_str);
    let count = ["SELECT COUNT(*) AS n FROM vouchers v", IN_STATE].concat();
    let total = sql.query_one(&count, params![state, now]).await?.get("n")?;
    let ids = ["SELECT v.id FROM vouchers v", IN_STATE, " ORDER BY v.issued_at DESC, v.id DESC LIMIT $3 OFFSET $4"];
    let mut page = Vec::new();
    for row in sql.query(&ids.concat(), params![state, now, limit, offset]).await? {
        page.extend(voucher_fetch(sql, row.get("id")?, None).await?);
    }
    Ok((page, total))
}

/// Adds a voucher; false where its key has one already.
pub async fn voucher_insert(tx: &Tx, voucher: &Voucher) -> Result<bool, DbError> {
    let insert = "INSERT INTO vouchers (id, code, kind, issue_key, amount, bonus, owner_id, booking_id, reason, issued_by, issued_at, expires_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (issue_key) DO NOTHING RETURNING id";
    let inserted = tx.query_opt(
        insert,
        params![
            voucher.id,
            voucher.code.as_str(),
            voucher.kind,
            &voucher.issue_key,
            voucher.amount,
            voucher.bonus,
            voucher.owner_id,
            voucher.booking_id,
            &voucher.reason,
            &voucher.issued_by,
            voucher.issued_at,
            voucher.expires_at
        ],
    );
    Ok(inserted.await?.is_some())
}

/// Makes a voucher valid until at least then. One that had expired lives again.
pub async fn voucher_renew(tx: &Tx, id: Id, until: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE vouchers SET expires_at = CASE WHEN expires_at < $1 THEN $2 ELSE expires_at END, expired_at = NULL WHERE id = $3";
    tx.execute(update, params![until, until, id]).await
}

/// Withdraws a voucher, unless that was done before.
pub async fn voucher_void(tx: &Tx, id: Id, voided: &Voided) -> Result<(), DbError> {
    let update =
        "UPDATE vouchers SET voided_at = $1, voided_by = $2, void_reason = $3 WHERE id = $4 AND voided_at IS NULL";
    tx.execute(update, params![voided.at, &voided.by, &voided.reason, id]).await
}

/// Vouchers that nobody can use any more and whose rest is not booked yet. While some of
/// it is reserved, it waits.
pub async fn voucher_ids_over(sql: &impl Sql, now: Timestamp, limit: i64) -> Result<Vec<Id>, DbError> {
    let select = "SELECT v.id FROM vouchers v WHERE v.expired_at IS NULL AND v.expires_at <= $1 \
                  AND NOT EXISTS (SELECT 1 FROM payables o WHERE o.voucher_id = v.id AND o.status = 'open') ORDER BY v.expires_at, v.id LIMIT $2";
    sql.query(select, params![now, limit]).await?.iter().map(|row| row.get("id")).collect()
}

/// Notes that what was left of a voucher is booked as earned.
pub async fn voucher_expire(tx: &Tx, id: Id, now: Timestamp) -> Result<(), DbError> {
    tx.execute("UPDATE vouchers SET expired_at = $1 WHERE id = $2", params![now, id]).await
}

/// How often a voucher's rest was booked as earned.
pub async fn voucher_breakages(sql: &impl Sql, id: Id) -> Result<i64, DbError> {
    let select = "SELECT COUNT(*) AS n FROM ledger_transfers WHERE voucher_id = $1 AND debit = 'vouchers' AND credit = 'revenue'";
    sql.query_one(select, params![id]).await?.get("n")
}
