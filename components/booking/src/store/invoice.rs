//! Invoice numbers: one series for each prefix and financial year, without gaps.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, params};

/// The number an invoice got, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub number: String,
    pub at: Timestamp,
}

fn issued(row: &Row) -> Result<Issued, DbError> {
    Ok(Issued { number: row.get("number")?, at: row.get("issued_at")? })
}

pub async fn invoice_fetch(sql: &impl Sql, booking_id: Id, prefix: &str) -> Result<Option<Issued>, DbError> {
    let select = "SELECT number, issued_at FROM invoices WHERE booking_id = $1 AND prefix = $2";
    sql.query_opt(select, params![booking_id, prefix]).await?.as_ref().map(issued).transpose()
}

/// The number of a booking's invoice of this kind; the next of its series at the
/// first call, the same at every other. At most 16 characters, as the tax law wants.
pub async fn invoice_issue(
    tx: &Tx,
    booking_id: Id,
    prefix: &str,
    financial_year: i16,
    now: Timestamp,
) -> Result<Issued, DbError> {
    if let Some(issued) = invoice_fetch(tx, booking_id, prefix).await? {
        return Ok(issued);
    }
    let year = i64::from(financial_year);
    let next = "INSERT INTO invoice_series (prefix, financial_year, last) VALUES ($1, $2, 1) \
                ON CONFLICT (prefix, financial_year) DO UPDATE SET last = invoice_series.last + 1 RETURNING last";
    let last: i64 = tx.query_one(next, params![prefix, year]).await?.get("last")?;
    let number = format!("{prefix}-{:02}-{last:06}", year.rem_euclid(100));
    let insert = "INSERT INTO invoices (booking_id, prefix, number, issued_at) VALUES ($1, $2, $3, $4)";
    tx.execute(insert, params![booking_id, prefix, &number, now]).await?;
    Ok(Issued { number, at: now })
}
