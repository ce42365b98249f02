//! What schedules have done, and which reminders went out.

use cairn_shared::{DbError, Id, Sql, Timestamp, Tx, params};

use super::booking::bookings;
use crate::domain::{Booking, Status};

/// One day's runs of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDay {
    pub job: String,
    /// Midnight of the business day.
    pub day: Timestamp,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub runs: i64,
    /// What was done on that day, and what the last run with something to do left alone.
    pub report: serde_json::Value,
}

/// Notes that a job runs. Whether this is the first day on which it ever did.
pub async fn job_begin(tx: &Tx, job: &str, day: Timestamp, now: Timestamp) -> Result<bool, DbError> {
    let insert = "INSERT INTO job_days (job, day, first_at, last_at, runs, report) VALUES ($1, $2, $3, $4, 1, 'null') \
                  ON CONFLICT (job, day) DO UPDATE SET last_at = excluded.last_at, runs = job_days.runs + 1";
    tx.execute(insert, params![job, day, now, now]).await?;
    let select = "SELECT MIN(day) AS first FROM job_days WHERE job = $1";
    Ok(tx.query_one(select, params![job]).await?.get::<Timestamp>("first")? == day)
}

/// Keeps what a run did.
pub async fn job_report(sql: &impl Sql, job: &str, day: Timestamp, report: &serde_json::Value) -> Result<(), DbError> {
    let update = "UPDATE job_days SET report = $1 WHERE job = $2 AND day = $3";
    sql.execute(update, params![report.to_string(), job, day]).await
}

/// What was kept of a job's runs on a day; null when none had anything to do.
pub async fn job_report_fetch(sql: &impl Sql, job: &str, day: Timestamp) -> Result<serde_json::Value, DbError> {
    let select = "SELECT report FROM job_days WHERE job = $1 AND day = $2";
    sql.query_one(select, params![job, day]).await?.json("report")
}

/// The last days of all jobs, newest first.
pub async fn job_list(sql: &impl Sql, limit: i64) -> Result<Vec<JobDay>, DbError> {
    let select = "SELECT job, day, first_at, last_at, runs, report FROM job_days ORDER BY day DESC, job LIMIT $1";
    let rows = sql.query(select, params![limit]).await?;
    let day = |row: &cairn_shared::Row| {
        Ok(JobDay {
            job: row.get("job")?,
            day: row.get("day")?,
            first_at: row.get("first_at")?,
            last_at: row.get("last_at")?,
            runs: row.get("runs")?,
            report: row.json("report")?,
        })
    };
    rows.iter().map(day).collect()
}

/// Notes a reminder. False: it went out before.
pub async fn reminder_insert(
    tx: &Tx,
    booking_id: Id,
    kind: &str,
    about: Timestamp,
    now: Timestamp,
) -> Result<bool, DbError> {
    let insert = "INSERT INTO reminders (booking_id, kind, about, sent_at) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (booking_id, kind, about) DO NOTHING";
    Ok(tx.affected(insert, params![booking_id, kind, about, now]).await? == 1)
}

/// Whether a reminder went out.
pub async fn reminder_is_sent(sql: &impl Sql, booking_id: Id, kind: &str, about: Timestamp) -> Result<bool, DbError> {
    let select = "SELECT booking_id FROM reminders WHERE booking_id = $1 AND kind = $2 AND about = $3";
    Ok(sql.query_opt(select, params![booking_id, kind, about]).await?.is_some())
}

/// Bookings in a state whose batch starts in a span, by id, after one.
pub async fn booking_list_starting(
    sql: &impl Sql,
    status: Status,
    from: Timestamp,
    before: Timestamp,
    after: Option<Id>,
    limit: i64,
) -> Result<Vec<Booking>, DbError> {
    let select = "SELECT document, version FROM bookings WHERE status = $1 AND batch_start >= $2 AND batch_start < $3 AND id > $4 \
                  ORDER BY id LIMIT $5";
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    bookings(&sql.query(select, params![status.as_str(), from, before, after, limit]).await?)
}
