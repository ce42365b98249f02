//! Tax documents and their numbers: one series for each prefix and financial year,
//! without gaps.

use cairn_shared::{DbError, Id, Paise, Row, Sql, Timestamp, Tx, params};

use crate::{domain::DocumentKind, invoice::Content};

/// A document as it was issued.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub number: String,
    pub booking_id: Id,
    pub kind: DocumentKind,
    pub amount: Paise,
    pub issued_at: Timestamp,
    /// Proves to whom it is shown that the document is genuine.
    pub code: String,
    /// The command or event that called for it.
    pub occasion: Option<String>,
    pub content: Content,
}

/// An invoice of which only the number was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BareInvoice {
    pub prefix: String,
    pub number: String,
    pub at: Timestamp,
}

const COLUMNS: &str = "number, booking_id, kind, amount, issued_at, code, occasion, content";

fn document(row: &Row) -> Result<Document, DbError> {
    let kind: String = row.get("kind")?;
    let kind = DocumentKind::parse(&kind).ok_or_else(|| DbError::Column { column: "kind".into(), problem: kind })?;
    Ok(Document {
        number: row.get("number")?,
        booking_id: row.get("booking_id")?,
        kind,
        amount: row.get("amount")?,
        issued_at: row.get("issued_at")?,
        code: row.get("code")?,
        occasion: row.get("occasion")?,
        content: row.json("content")?,
    })
}

/// Documents of a booking, oldest first.
pub async fn document_list(sql: &impl Sql, booking_id: Id) -> Result<Vec<Document>, DbError> {
    let select = ["SELECT ", COLUMNS, " FROM documents WHERE booking_id = $1 ORDER BY issued_at, number"].concat();
    sql.query(&select, params![booking_id]).await?.iter().map(document).collect()
}

pub async fn document_fetch_by_code(sql: &impl Sql, code: &str) -> Result<Option<Document>, DbError> {
    let select = ["SELECT ", COLUMNS, " FROM documents WHERE code = $1"].concat();
    sql.query_opt(&select, params![code]).await?.as_ref().map(document).transpose()
}

/// Invoices of a booking of which there is no document: an earlier version of this
/// service, which may still be running beside this one, kept their numbers alone.
pub async fn invoice_list_bare(sql: &impl Sql, booking_id: Id) -> Result<Vec<BareInvoice>, DbError> {
    let select = "SELECT prefix, number, issued_at FROM invoices WHERE booking_id = $1 \
                  AND NOT EXISTS (SELECT 1 FROM documents WHERE documents.number = invoices.number) ORDER BY issued_at, number";
    let bare = |row: &Row| {
        Ok(BareInvoice { prefix: row.get("prefix")?, number: row.get("number")?, at: row.get("issued_at")? })
    };
    sql.query(select, params![booking_id]).await?.iter().map(bare).collect()
}

/// The next number of a series, in the transaction that stores its document: if that
/// fails, the number is the next one's. At most 16 characters, as the tax law wants.
pub async fn number_take(tx: &Tx, prefix: &str, financial_year: i16) -> Result<String, DbError> {
    let year = i64::from(financial_year);
    let next = "INSERT INTO invoice_series (prefix, financial_year, last) VALUES ($1, $2, 1) \
                ON CONFLICT (prefix, financial_year) DO UPDATE SET last = invoice_series.last + 1 RETURNING last";
    let last: i64 = tx.query_one(next, params![prefix, year]).await?.get("last")?;
    Ok(number_text(prefix, year, last))
}

/// From a million on there is no room for the second dash.
fn number_text(prefix: &str, year: i64, last: i64) -> String {
    let dash = if last < 1_000_000 { "-" } else { "" };
    format!("{prefix}-{:02}{dash}{last:06}", year.rem_euclid(100))
}

/// Stores a document. An invoice and a receipt are noted where an earlier version of this
/// service looks as well, so that it would not number them again.
pub async fn document_insert(tx: &Tx, prefix: &str, document: &Document) -> Result<(), DbError> {
    let content = serde_json::to_string(&document.content).map_err(|error| DbError::Other(error.to_string()))?;
    let insert = "INSERT INTO documents (number, booking_id, kind, amount, issued_at, code, occasion, content) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = params![
        &document.number,
        document.booking_id,
        document.kind.as_str(),
        document.amount,
        document.issued_at,
        &document.code,
        document.occasion.as_deref(),
        content,
    ];
    tx.execute(insert, values).await?;
    if document.kind.is_correction() {
        return Ok(());
    }
    let note = "INSERT INTO invoices (booking_id, prefix, number, issued_at) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (booking_id, prefix) DO NOTHING";
    tx.execute(note, params![document.booking_id, prefix, &document.number, document.issued_at]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_at_most_sixteen_characters() {
        for (prefix, last, text) in [
            ("INV", 1, "INV-26-000001"),
            ("PP-INV", 999_999, "PP-INV-26-999999"),
            ("PP-INV", 1_000_000, "PP-INV-261000000"),
        ] {
            let number = number_text(prefix, 2026, last);
            assert!(number == text && number.len() <= 16, "{number}");
        }
    }
}
