//! Registrations in waiting, codes, reset links, and how often something was tried.

use cairn_shared::{DbError, Id, Sql, Timestamp, Tx, params};

use crate::domain::{
    Registration,
    code::{ATTEMPTS_MAX, Purpose, RESEND_AFTER},
};

pub async fn registration_fetch(sql: &impl Sql, email: &str, now: Timestamp) -> Result<Option<Registration>, DbError> {
    let select = "SELECT email, name, username, password_hash, phone FROM pending_registrations WHERE email = $1 AND expires_at > $2";
    let row = sql.query_opt(select, params![email, now]).await?;
    row.map(|row| {
        Ok(Registration {
            email: row.get("email")?,
            name: row.get("name")?,
            username: row.get("username")?,
            password_hash: row.get("password_hash")?,
            phone: row.get("phone")?,
        })
    })
    .transpose()
}

/// Keeps a registration until `expires_at`, in place of an earlier one.
pub async fn registration_save(
    tx: &Tx,
    registration: &Registration,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute("DELETE FROM pending_registrations WHERE expires_at <= $1", params![now]).await?;
    let upsert = "INSERT INTO pending_registrations (email, name, username, password_hash, phone, expires_at) VALUES ($1, $2, $3, $4, $5, $6) \
                  ON CONFLICT (email) DO UPDATE SET name = excluded.name, username = excluded.username, \
                  password_hash = excluded.password_hash, phone = excluded.phone, expires_at = excluded.expires_at";
    tx.execute(
        upsert,
        params![
            &registration.email,
            &registration.name,
            &registration.username,
            &registration.password_hash,
            registration.phone.as_ref(),
            expires_at
        ],
    )
    .await
}

pub async fn registration_extend(tx: &Tx, email: &str, expires_at: Timestamp) -> Result<(), DbError> {
    tx.execute("UPDATE pending_registrations SET expires_at = $1 WHERE email = $2", params![expires_at, email]).await
}

pub async fn registration_delete(tx: &Tx, email: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM pending_registrations WHERE email = $1", params![email]).await
}

/// A code as it is stored.
#[derive(Debug, Clone)]
pub struct StoredCode {
    pub digest: String,
    pub issued_at: Timestamp,
    pub sends: i64,
}

fn stored(row: &cairn_shared::Row) -> Result<StoredCode, DbError> {
    Ok(StoredCode { digest: row.get("digest")?, issued_at: row.get("issued_at")?, sends: row.get("sends")? })
}

/// The code that waits to be typed, whether or not it is void by wrong tries.
pub async fn code_fetch(
    sql: &impl Sql,
    purpose: Purpose,
    subject: &str,
    now: Timestamp,
) -> Result<Option<StoredCode>, DbError> {
    let select = "SELECT digest, issued_at, sends FROM codes WHERE purpose = $1 AND subject = $2 AND expires_at > $3";
    sql.query_opt(select, params![purpose.as_str(), subject, now]).await?.as_ref().map(stored).transpose()
}

/// Keeps a code in place of an earlier one.
pub async fn code_save(
    tx: &Tx,
    purpose: Purpose,
    subject: &str,
    code: &StoredCode,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    tx.execute("DELETE FROM codes WHERE expires_at <= $1", params![code.issued_at]).await?;
    let upsert = "INSERT INTO codes (purpose, subject, digest, issued_at, expires_at, attempts, sends) VALUES ($1, $2, $3, $4, $5, 0, $6) \
                  ON CONFLICT (purpose, subject) DO UPDATE SET digest = excluded.digest, issued_at = excluded.issued_at, \
                  expires_at = excluded.expires_at, attempts = 0, sends = excluded.sends";
    tx.execute(upsert, params![purpose.as_str(), subject, &code.digest, code.issued_at, expires_at, code.sends]).await
}

/// Takes one of the few tries at a code, before anybody looks whether it is right:
/// tries that come at once cannot be more than those that come in turn.
pub async fn code_try(
    sql: &impl Sql,
    purpose: Purpose,
    subject: &str,
    now: Timestamp,
) -> Result<Option<StoredCode>, DbError> {
    let update = "UPDATE codes SET attempts = attempts + 1 WHERE purpose = $1 AND subject = $2 AND attempts < $3 AND expires_at > $4 \
                  RETURNING digest, issued_at, sends";
    let values = params![purpose.as_str(), subject, ATTEMPTS_MAX, now];
    sql.query_opt(update, values).await?.as_ref().map(stored).transpose()
}

/// Uses a code up. Whether it was still there: of two who come at once one has it.
pub async fn code_use(tx: &Tx, purpose: Purpose, subject: &str, digest: &str) -> Result<bool, DbError> {
    let delete = "DELETE FROM codes WHERE purpose = $1 AND subject = $2 AND digest = $3 RETURNING subject";
    Ok(tx.query_opt(delete, params![purpose.as_str(), subject, digest]).await?.is_some())
}

/// Notes that something is mailed now. None if it may be; else when the last mail went.
pub async fn mail_mark(tx: &Tx, scope: &str, now: Timestamp) -> Result<Option<Timestamp>, DbError> {
    tx.execute("DELETE FROM mail_marks WHERE sent_at <= $1", params![now.plus(-RESEND_AFTER)]).await?;
    let insert =
        "INSERT INTO mail_marks (scope, sent_at) VALUES ($1, $2) ON CONFLICT (scope) DO NOTHING RETURNING scope";
    if tx.query_opt(insert, params![scope, now]).await?.is_some() {
        return Ok(None);
    }
    let select = "SELECT sent_at FROM mail_marks WHERE scope = $1";
    tx.query_one(select, params![scope]).await?.get("sent_at").map(Some)
}

pub async fn mail_mark_delete(tx: &Tx, scope: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM mail_marks WHERE scope = $1", params![scope]).await
}

/// Wrong passwords since when, within the window.
pub async fn failures_fetch(
    sql: &impl Sql,
    email: &str,
    after: Timestamp,
) -> Result<Option<(i64, Timestamp)>, DbError> {
    let select = "SELECT failures, since FROM login_failures WHERE email = $1 AND since > $2";
    let row = sql.query_opt(select, params![email, after]).await?;
    row.map(|row| Ok((row.get("failures")?, row.get("since")?))).transpose()
}

/// Counts a wrong password, and forgets those of windows that have ended.
pub async fn failures_note(tx: &Tx, email: &str, after: Timestamp, now: Timestamp) -> Result<(), DbError> {
    tx.execute("DELETE FROM login_failures WHERE since <= $1", params![after]).await?;
    let upsert = "INSERT INTO login_failures (email, failures, since) VALUES ($1, 1, $2) \
                  ON CONFLICT (email) DO UPDATE SET failures = login_failures.failures + 1";
    tx.execute(upsert, params![email, now]).await
}

pub async fn failures_forget(sql: &impl Sql, email: &str) -> Result<(), DbError> {
    sql.execute("DELETE FROM login_failures WHERE email = $1", params![email]).await
}

/// Keeps a reset link in place of an earlier one.
pub async fn reset_save(tx: &Tx, account: Id, token_hash: &str, expires_at: Timestamp) -> Result<(), DbError> {
    let upsert = "INSERT INTO password_resets (user_id, token_hash, expires_at) VALUES ($1, $2, $3) \
                  ON CONFLICT (user_id) DO UPDATE SET token_hash = excluded.token_hash, expires_at = excluded.expires_at";
    tx.execute(upsert, params![account, token_hash, expires_at]).await
}

/// Whose reset link it is, if it is good.
pub async fn reset_fetch(sql: &impl Sql, token_hash: &str, now: Timestamp) -> Result<Option<Id>, DbError> {
    let select = "SELECT user_id FROM password_resets WHERE token_hash = $1 AND expires_at > $2";
    sql.query_opt(select, params![token_hash, now]).await?.map(|row| row.get("user_id")).transpose()
}

/// Uses a reset link up. Whether it was still there.
pub async fn reset_use(tx: &Tx, token_hash: &str) -> Result<bool, DbError> {
    let delete = "DELETE FROM password_resets WHERE token_hash = $1 RETURNING user_id";
    Ok(tx.query_opt(delete, params![token_hash]).await?.is_some())
}
