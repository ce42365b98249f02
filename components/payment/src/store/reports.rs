//! Reports, and what they are made of.

use cairn_shared::{DbError, Id, Paise, Row, Sql, Timestamp, Tx, params};

use crate::domain::{GivenBack, Mismatch, MismatchKind, Provider, Report};

pub async fn report_insert(tx: &Tx, report: &Report) -> Result<(), DbError> {
    let insert = "INSERT INTO reports (id, from_at, to_at, complete, payments, refunds, made_by, made_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    tx.execute(
        insert,
        params![
            report.id,
            report.from,
            report.until,
            report.complete,
            report.payments,
            report.refunds,
            &report.made_by,
            report.made_at
        ],
    )
    .await?;
    let insert = "INSERT INTO mismatches (report_id, nth, kind, subject, booking_id, ours, theirs, detail, repaired) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    for (nth, m) in (0_i64..).zip(&report.mismatches) {
        let values = params![report.id, nth, m.kind, &m.subject, m.booking_id, m.ours, m.theirs, &m.detail, m.repaired];
        tx.execute(insert, values).await?;
    }
    Ok(())
}

/// A report without its mismatches, and how many it has.
fn report(row: &Row) -> Result<(Report, i64), DbError> {
    let report = Report {
        id: row.get("id")?,
        from: row.get("from_at")?,
        until: row.get("to_at")?,
        complete: row.get("complete")?,
        payments: row.get("payments")?,
        refunds: row.get("refunds")?,
        made_by: row.get("made_by")?,
        made_at: row.get("made_at")?,
        mismatches: Vec::new(),
    };
    Ok((report, row.get("found")?))
}

const REPORT: &str = "SELECT r.id, r.from_at, r.to_at, r.complete, r.payments, r.refunds, r.made_by, r.made_at, \
     (SELECT COUNT(*) FROM mismatches m WHERE m.report_id = r.id) AS found FROM reports r";

/// Reports without their mismatches, newest first, with the number of those; and how
/// many reports there are.
pub async fn report_page(sql: &impl Sql, limit: i64, offset: i64) -> Result<(Vec<(Report, i64)>, i64), DbError> {
    let select = [REPORT, " ORDER BY r.made_at DESC, r.id DESC LIMIT $1 OFFSET $2"].concat();
    let page: Result<Vec<_>, DbError> = sql.query(&select, params![limit, offset]).await?.iter().map(report).collect();
    Ok((page?, sql.query_one("SELECT COUNT(*) AS n FROM reports", params![]).await?.get("n")?))
}

/// Up to when scheduled reports have asked everything; without one, when the first order was
/// made.
pub async fn report_covered(sql: &impl Sql) -> Result<Option<Timestamp>, DbError> {
    let select = "SELECT COALESCE((SELECT MAX(to_at) FROM reports WHERE complete = 1 AND made_by = 'schedule'), \
                  (SELECT MIN(created_at) FROM orders)) AS covered";
    sql.query_one(select, params![]).await?.get("covered")
}

pub async fn report_fetch(sql: &impl Sql, id: Id) -> Result<Option<Report>, DbError> {
    let select = [REPORT, " WHERE r.id = $1"].concat();
    let Some(row) = sql.query_opt(&select, params![id]).await? else { return Ok(None) };
    let (mut report, _) = report(&row)?;
    let select = "SELECT kind, subject, booking_id, ours, theirs, detail, repaired FROM mismatches WHERE report_id = $1 ORDER BY nth";
    let mismatches: Result<Vec<_>, DbError> = sql.query(select, params![id]).await?.iter().map(mismatch).collect();
    report.mismatches = mismatches?;
    Ok(Some(report))
}

fn mismatch(row: &Row) -> Result<Mismatch, DbError> {
    Ok(Mismatch {
        kind: row.get("kind")?,
        subject: row.get("subject")?,
        booking_id: row.get("booking_id")?,
        ours: row.get("ours")?,
        theirs: row.get("theirs")?,
        detail: row.get("detail")?,
        repaired: row.get("repaired")?,
    })
}

/// What we know that a provider has given back of a payment, and what it is giving back.
pub async fn given_back(sql: &impl Sql, payment_id: &str) -> Result<GivenBack, DbError> {
    let select = "SELECT CAST(COALESCE(SUM(CASE WHEN status = 'success' THEN amount ELSE 0 END), 0) AS BIGINT) AS success, \
                  CAST(COALESCE(SUM(CASE WHEN status = 'processing' THEN amount ELSE 0 END), 0) AS BIGINT) AS processing \
                  FROM refunds WHERE payment_id = $1 AND paid_out IS NULL AND voucher_id IS NULL";
    let row = sql.query_one(select, params![payment_id]).await?;
    Ok(GivenBack { success: row.get("success")?, processing: row.get("processing")? })
}

/// Payments of a provider that were recorded in a window, oldest first.
pub async fn payment_ids_between(
    sql: &impl Sql,
    provider: Provider,
    (from, until): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<String>, DbError> {
    let select = "SELECT id FROM payments WHERE provider = $1 AND captured_at >= $2 AND captured_at < $3 ORDER BY captured_at, id LIMIT $4";
    let rows = sql.query(select, params![provider, from, until, limit]).await?;
    rows.iter().map(|row| row.get("id")).collect()
}

/// Rows that have the columns of a mismatch without its kind and words.
async fn found(
    sql: &impl Sql,
    select: &str,
    values: Vec<cairn_shared::db::Value>,
    kind: MismatchKind,
    detail: &str,
) -> Result<Vec<Mismatch>, DbError> {
    let mismatch = |row: &Row| {
        Ok(Mismatch {
            kind,
            subject: row.get("subject")?,
            booking_id: row.get("booking_id")?,
            ours: row.get::<Paise>("ours")?,
            theirs: row.get::<Paise>("theirs")?,
            detail: detail.to_owned(),
            repaired: false,
        })
    };
    sql.query(select, values).await?.iter().map(mismatch).collect()
}

/// What bookings owe against what they have paid. Money younger than `settled` may
/// still be on its way to being counted.
pub async fn payable_mismatches(sql: &impl Sql, settled: Timestamp, limit: i64) -> Result<Vec<Mismatch>, DbError> {
    let paid = "SELECT booking_id AS subject, booking_id, ours, theirs FROM (SELECT o.booking_id AS booking_id, o.amount AS theirs, \
         CAST(COALESCE((SELECT SUM(p.amount - p.surplus) FROM payments p WHERE p.booking_id = o.booking_id AND p.problem IS NULL AND p.kind = o.kind), 0) AS BIGINT) AS ours \
         FROM payables o WHERE o.status = 'paid') x WHERE ours < theirs ORDER BY booking_id LIMIT $1";
    let detail = "counts as paid, and less was captured";
    let mut mismatches = found(sql, paid, params![limit], MismatchKind::PaidWithoutMoney, detail).await?;
    let unpaid = "SELECT booking_id AS subject, booking_id, ours, theirs FROM (SELECT o.booking_id AS booking_id, o.amount AS theirs, \
         CAST(COALESCE((SELECT SUM(p.amount - p.surplus) FROM payments p WHERE p.booking_id = o.booking_id AND p.problem IS NULL AND p.kind = o.kind AND p.captured_at < $1), 0) \
         - COALESCE((SELECT SUM(r.amount) FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE p.booking_id = o.booking_id AND p.problem IS NULL AND p.kind = o.kind \
           AND r.surplus = 0 AND r.status <> 'failed'), 0) AS BIGINT) AS ours \
         FROM payables o WHERE o.status <> 'paid') x WHERE ours > 0 ORDER BY booking_id LIMIT $2";
    let detail = "has paid, and what it owes does not count as paid";
    let kind = MismatchKind::MoneyWithoutPayable;
    mismatches.extend(found(sql, unpaid, params![settled, limit], kind, detail).await?);
    Ok(mismatches)
}

/// Refunds that wait for staff: failed ones, and those on their way since before `slow`.
pub async fn refund_mismatches(sql: &impl Sql, slow: Timestamp, limit: i64) -> Result<Vec<Mismatch>, DbError> {
    let failed = "SELECT id AS subject, booking_id, amount AS ours, 0 AS theirs FROM refunds WHERE status = 'failed' ORDER BY requested_at, id LIMIT $1";
    let detail = "failed and was not tried again";
    let mut mismatches = found(sql, failed, params![limit], MismatchKind::FailedRefund, detail).await?;
    let late = "SELECT id AS subject, booking_id, amount AS ours, 0 AS theirs FROM refunds \
                WHERE status = 'processing' AND requested_at < $1 ORDER BY requested_at, id LIMIT $2";
    let detail = "has been on its way for more than a week";
    mismatches.extend(found(sql, late, params![slow, limit], MismatchKind::SlowRefund, detail).await?);
    Ok(mismatches)
}

/// Money that belongs to no booking and that nobody is giving back.
pub async fn held_payments(sql: &impl Sql, settled: Timestamp, limit: i64) -> Result<Vec<Mismatch>, DbError> {
    let select = "SELECT id AS subject, booking_id, ours, 0 AS theirs FROM (SELECT p.id AS id, p.booking_id AS booking_id, \
         CAST(p.amount - COALESCE((SELECT SUM(r.amount) FROM refunds r WHERE r.payment_id = p.id AND r.status <> 'failed'), 0) AS BIGINT) AS ours \
         FROM payments p WHERE p.problem IS NOT NULL AND p.captured_at < $1) x WHERE ours > 0 ORDER BY id LIMIT $2";
    let detail = "belongs to no booking and is kept";
    found(sql, select, params![settled, limit], MismatchKind::HeldPayment, detail).await
}
