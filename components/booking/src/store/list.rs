//! The staff's list of bookings.

use cairn_shared::{DbError, Paise, Sql, Timestamp, db::Value, page::Page, params};

use super::booking::bookings;
use crate::domain::{Booking, Status};

/// Which bookings a list shows. Bookings that wait for payment are never among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub status: Option<Status>,
    pub trek_id: Option<String>,
    pub batch_id: Option<String>,
    /// Made at or after.
    pub from: Option<Timestamp>,
    /// Made before.
    pub before: Option<Timestamp>,
    /// Literal text, in any case.
    pub search: Option<String>,
}

/// Figures of all bookings that a filter lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub total: i64,
    pub confirmed: i64,
    pub cancelled: i64,
    /// Captured less given back.
    pub revenue: Paise,
}

impl Filter {
    /// The condition in SQL, with its values; placeholders count from 1.
    pub(super) fn condition(&self) -> (String, Vec<Value>) {
        let mut parts = vec!["status NOT IN ('creating', 'pending_payment', 'expired', 'deleted')".to_owned()];
        let mut values = Vec::new();
        let mut add = |condition: &str, value: Value| {
            values.push(value);
            parts.push(condition.replace('?', &format!("${}", values.len())));
        };
        if let Some(status) = self.status {
            add("status = ?", status.as_str().into());
        }
        if let Some(trek_id) = &self.trek_id {
            add("trek_id = ?", trek_id.into());
        }
        if let Some(batch_id) = &self.batch_id {
            add("batch_id = ?", batch_id.into());
        }
        if let Some(from) = self.from {
            add("created_at >= ?", from.into());
        }
        if let Some(before) = self.before {
            add("created_at < ?", before.into());
        }
        if let Some(search) = &self.search {
            add("search_text LIKE ? ESCAPE '\\'", pattern(search).into());
        }
        (parts.join(" AND "), values)
    }
}

/// A LIKE pattern for literal text: what LIKE would interpret is escaped.
fn pattern(search: &str) -> String {
    let escaped = search.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

pub async fn booking_count(sql: &impl Sql, filter: &Filter) -> Result<i64, DbError> {
    let (condition, values) = filter.condition();
    sql.query_one(&["SELECT COUNT(*) AS total FROM bookings WHERE ", &condition].concat(), values).await?.get("total")
}

/// A page of bookings, newest first.
pub async fn booking_page(sql: &impl Sql, filter: &Filter, page: Page) -> Result<Vec<Booking>, DbError> {
    let (condition, mut values) = filter.condition();
    let places = (values.len() + 1, values.len() + 2);
    let order = format!(" ORDER BY created_at DESC, id DESC LIMIT ${} OFFSET ${}", places.0, places.1);
    values.extend(params![page.limit, page.offset()]);
    bookings(&sql.query(&["SELECT document, version FROM bookings WHERE ", &condition, &order].concat(), values).await?)
}

pub async fn booking_stats(sql: &impl Sql, filter: &Filter) -> Result<Stats, DbError> {
    let (condition, values) = filter.condition();
    let select = "SELECT COUNT(*) AS total, COALESCE(SUM(CASE WHEN status = 'confirmed' THEN 1 ELSE 0 END), 0) AS confirmed, \
                  COALESCE(SUM(CASE WHEN status = 'cancelled' THEN 1 ELSE 0 END), 0) AS cancelled, \
                  CAST(COALESCE(SUM(paid - refunded), 0) AS BIGINT) AS revenue FROM bookings WHERE ";
    let row = sql.query_one(&[select, &condition].concat(), values).await?;
    Ok(Stats {
        total: row.get("total")?,
        confirmed: row.get("confirmed")?,
        cancelled: row.get("cancelled")?,
        revenue: row.get("revenue")?,
    })
}

/// People on bookings that were made since then and paid, at least in part.
pub async fn participants_since(sql: &impl Sql, since: Timestamp) -> Result<i64, DbError> {
    let select = "SELECT CAST(COALESCE(SUM(CASE WHEN status = 'confirmed' THEN seats ELSE participants END), 0) AS BIGINT) AS people \
                  FROM bookings WHERE created_at >= $1 AND status IN ('confirmed', 'payment_confirmed_partial', 'payment_completed')";
    sql.query_one(select, params![since]).await?.get("people")
}
