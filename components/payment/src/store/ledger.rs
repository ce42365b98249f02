//! The book of money. It is only ever added to.

use cairn_shared::{DbError, Id, Paise, Row, Sql, Timestamp, Tx, params};

use crate::domain::{Account, Earning, Transfer};

/// Posts a transfer; posted before, it changes nothing.
pub async fn ledger_post(tx: &Tx, transfer: &Transfer, now: Timestamp) -> Result<(), DbError> {
    let insert = "INSERT INTO ledger_transfers (id, debit, credit, amount, booking_id, payment_id, refund_id, posted_at, voucher_id) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING";
    tx.execute(
        insert,
        params![
            &transfer.id,
            transfer.debit,
            transfer.credit,
            transfer.amount,
            transfer.booking_id,
            transfer.payment_id.as_deref(),
            transfer.refund_id,
            now,
            transfer.voucher_id
        ],
    )
    .await
}

/// An account and what is in it: debits less credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    pub account: Account,
    /// `asset`, `liability` or `income`.
    pub kind: String,
    pub meaning: String,
    pub debits: Paise,
    pub credits: Paise,
}

/// All accounts as they stood at an instant, which counts.
pub async fn ledger_balances(sql: &impl Sql, at: Timestamp) -> Result<Vec<Balance>, DbError> {
    let select = "SELECT a.name, a.kind, a.meaning, \
         CAST(COALESCE((SELECT SUM(t.amount) FROM ledger_transfers t WHERE t.debit = a.name AND t.posted_at <= $1), 0) AS BIGINT) AS debits, \
         CAST(COALESCE((SELECT SUM(t.amount) FROM ledger_transfers t WHERE t.credit = a.name AND t.posted_at <= $2), 0) AS BIGINT) AS credits \
         FROM ledger_accounts a ORDER BY a.kind, a.name";
    let balance = |row: &Row| {
        Ok(Balance {
            account: row.get("name")?,
            kind: row.get("kind")?,
            meaning: row.get("meaning")?,
            debits: row.get("debits")?,
            credits: row.get("credits")?,
        })
    };
    sql.query(select, params![at, at]).await?.iter().map(balance).collect()
}

/// A transfer as it was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    pub transfer: Transfer,
    pub at: Timestamp,
}

const POSTED: &str =
    "SELECT id, debit, credit, amount, booking_id, payment_id, refund_id, voucher_id, posted_at FROM ledger_transfers";

fn posted(row: &Row) -> Result<Posted, DbError> {
    Ok(Posted {
        transfer: Transfer {
            id: row.get("id")?,
            debit: row.get("debit")?,
            credit: row.get("credit")?,
            amount: row.get("amount")?,
            booking_id: row.get("booking_id")?,
            payment_id: row.get("payment_id")?,
            refund_id: row.get("refund_id")?,
            voucher_id: row.get("voucher_id")?,
        },
        at: row.get("posted_at")?,
    })
}

/// Transfers of a booking, oldest first.
pub async fn ledger_list(sql: &impl Sql, booking_id: Id, limit: i64) -> Result<Vec<Posted>, DbError> {
    let select = [POSTED, " WHERE booking_id = $1 ORDER BY posted_at, id LIMIT $2"].concat();
    sql.query(&select, params![booking_id, limit]).await?.iter().map(posted).collect()
}

/// Transfers of a voucher's credit, oldest first.
pub async fn ledger_list_of_voucher(sql: &impl Sql, voucher_id: Id, limit: i64) -> Result<Vec<Posted>, DbError> {
    let select = [POSTED, " WHERE voucher_id = $1 ORDER BY posted_at, id LIMIT $2"].concat();
    sql.query(&select, params![voucher_id, limit]).await?.iter().map(posted).collect()
}

/// What a booking has paid and earned by the book.
pub async fn ledger_earning(sql: &impl Sql, booking_id: Id) -> Result<Earning, DbError> {
    let select = "SELECT CAST(COALESCE(SUM(CASE WHEN credit = 'unearned' THEN amount WHEN debit = 'unearned' THEN -amount ELSE 0 END), 0) AS BIGINT) AS unearned, \
         CAST(COALESCE(SUM(CASE WHEN credit = 'tax' THEN amount WHEN debit = 'tax' THEN -amount ELSE 0 END), 0) AS BIGINT) AS taxed, \
         CAST(COALESCE(SUM(CASE WHEN credit = 'revenue' THEN amount WHEN debit = 'revenue' THEN -amount ELSE 0 END), 0) AS BIGINT) AS revenue, \
         CAST(COALESCE(SUM(CASE WHEN id LIKE 'earned:%' THEN 1 ELSE 0 END), 0) AS BIGINT) AS transfers \
         FROM ledger_transfers WHERE booking_id = $1";
    let row = sql.query_one(select, params![booking_id]).await?;
    Ok(Earning {
        unearned: row.get("unearned")?,
        taxed: row.get("taxed")?,
        revenue: row.get("revenue")?,
        transfers: row.get("transfers")?,
    })
}

/// A payment whose money the book has elsewhere than its own row and its refunds say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbooked {
    pub payment_id: String,
    pub booking_id: Option<Id>,
    /// Captured less refunded, by the payment and its refunds.
    pub recorded: Paise,
    /// The same by the book.
    pub booked: Paise,
}

/// Payments of which the book shows another amount than the records do. Their money is
/// what a debit brought in less what a credit took out of the accounts that hold money;
/// a voucher holds what it pays and what goes back to it.
pub async fn ledger_differences(sql: &impl Sql, limit: i64) -> Result<Vec<Unbooked>, DbError> {
    let select = "SELECT id, booking_id, recorded, booked FROM (SELECT p.id AS id, p.booking_id AS booking_id, \
         CAST(p.amount - COALESCE((SELECT SUM(r.amount) FROM refunds r WHERE r.payment_id = p.id AND r.status = 'success'), 0) AS BIGINT) AS recorded, \
         CAST(COALESCE((SELECT SUM(CASE WHEN d.kind = 'asset' OR d.name = 'vouchers' THEN t.amount ELSE 0 END - CASE WHEN c.kind = 'asset' OR c.name = 'vouchers' THEN t.amount ELSE 0 END) \
           FROM ledger_transfers t JOIN ledger_accounts d ON d.name = t.debit JOIN ledger_accounts c ON c.name = t.credit \
           WHERE t.payment_id = p.id), 0) AS BIGINT) AS booked FROM payments p) x WHERE recorded <> booked ORDER BY id LIMIT $1";
    let unbooked = |row: &Row| {
        Ok(Unbooked {
            payment_id: row.get("id")?,
            booking_id: row.get("booking_id")?,
            recorded: row.get("recorded")?,
            booked: row.get("booked")?,
        })
    };
    sql.query(select, params![limit]).await?.iter().map(unbooked).collect()
}
