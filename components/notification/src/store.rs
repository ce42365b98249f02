//! All SQL of the notification service.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, params};

use crate::domain::{Attachment, Mail};

fn mail(row: &Row) -> Result<Mail, DbError> {
    Ok(Mail {
        id: row.get("id")?,
        key: row.get("mail_key")?,
        kind: row.get("kind")?,
        recipient_name: row.get("recipient_name")?,
        recipient: row.get("recipient")?,
        subject: row.get("subject")?,
        text: row.get("text_body")?,
        html: row.get("html_body")?,
        secret: row.get("secret")?,
        attempts: row.get("attempts")?,
        give_up_at: row.get("give_up_at")?,
        created_at: row.get("created_at")?,
    })
}

/// Queues a mail, due at once; false if there is one of that key.
pub async fn mail_insert(tx: &Tx, mail: &Mail) -> Result<bool, DbError> {
    let insert = "INSERT INTO mails (id, mail_key, kind, recipient_name, recipient, subject, text_body, html_body, secret, status, \
                  next_attempt_at, give_up_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'queued', $10, $11, $12) \
                  ON CONFLICT (mail_key) DO NOTHING RETURNING id";
    let values = params![
        mail.id,
        &mail.key,
        &mail.kind,
        &mail.recipient_name,
        &mail.recipient,
        &mail.subject,
        &mail.text,
        &mail.html,
        mail.secret,
        mail.created_at,
        mail.give_up_at,
        mail.created_at
    ];
    Ok(tx.query_opt(insert, values).await?.is_some())
}

pub async fn attachment_insert(tx: &Tx, mail_id: Id, position: i64, file: &Attachment) -> Result<(), DbError> {
    let insert = "INSERT INTO mail_attachments (mail_id, position, file_name, content_type, content) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(insert, params![mail_id, position, &file.file_name, &file.content_type, file.content.clone()]).await
}

pub async fn attachment_list(sql: &impl Sql, mail_id: Id) -> Result<Vec<Attachment>, DbError> {
    let select = "SELECT file_name, content_type, content FROM mail_attachments WHERE mail_id = $1 ORDER BY position";
    let rows = sql.query(select, params![mail_id]).await?;
    let file = |row: &Row| {
        Ok(Attachment {
            file_name: row.get("file_name")?,
            content_type: row.get("content_type")?,
            content: row.get("content")?,
        })
    };
    rows.iter().map(file).collect()
}

/// Claims the mail that is due longest until `claimed_until`. This one statement
/// decides who sends it; a claim that has run out is due again. The outer condition
/// repeats the inner one for databases that let two runs look at the same row.
pub async fn mail_claim(sql: &impl Sql, now: Timestamp, claimed_until: Timestamp) -> Result<Option<Mail>, DbError> {
    let update = "UPDATE mails SET status = 'sending', attempts = attempts + 1, next_attempt_at = $1 WHERE id = (SELECT id FROM mails \
                  WHERE status IN ('queued', 'sending') AND next_attempt_at <= $2 ORDER BY next_attempt_at, id LIMIT 1) \
                  AND status IN ('queued', 'sending') AND next_attempt_at <= $3 RETURNING *";
    sql.query_opt(update, params![claimed_until, now, now]).await?.as_ref().map(mail).transpose()
}

/// Notes that a mail was sent, and forgets its bodies if they carry a code.
pub async fn mail_sent(sql: &impl Sql, mail: &Mail, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE mails SET status = 'sent', finished_at = $1, last_error = NULL, \
                  text_body = CASE WHEN secret = 1 THEN '' ELSE text_body END, html_body = CASE WHEN secret = 1 THEN '' ELSE html_body END \
                  WHERE id = $2";
    sql.execute(update, params![now, mail.id]).await
}

/// Puts a mail back for a later attempt, if the claim is still this one.
pub async fn mail_postpone(
    sql: &impl Sql,
    mail: &Mail,
    next_attempt_at: Timestamp,
    error: &str,
) -> Result<(), DbError> {
    let update = "UPDATE mails SET status = 'queued', next_attempt_at = $1, last_error = $2 \
                  WHERE id = $3 AND status = 'sending' AND attempts = $4";
    sql.execute(update, params![next_attempt_at, error, mail.id, mail.attempts]).await
}

/// Gives a mail up, if the claim is still this one.
pub async fn mail_fail(sql: &impl Sql, mail: &Mail, now: Timestamp, error: &str) -> Result<(), DbError> {
    let update = "UPDATE mails SET status = 'failed', finished_at = $1, last_error = $2, \
                  text_body = CASE WHEN secret = 1 THEN '' ELSE text_body END, html_body = CASE WHEN secret = 1 THEN '' ELSE html_body END \
                  WHERE id = $3 AND status = 'sending' AND attempts = $4";
    sql.execute(update, params![now, error, mail.id, mail.attempts]).await
}

pub async fn mail_is_due(sql: &impl Sql, now: Timestamp) -> Result<bool, DbError> {
    let select = "SELECT 1 AS one FROM mails WHERE status IN ('queued', 'sending') AND next_attempt_at <= $1 LIMIT 1";
    Ok(sql.query_opt(select, params![now]).await?.is_some())
}

/// Forgets mails that were finished before an instant; tells how many.
pub async fn mail_purge(tx: &Tx, finished_before: Timestamp) -> Result<u64, DbError> {
    let files = "DELETE FROM mail_attachments WHERE mail_id IN (SELECT id FROM mails WHERE finished_at < $1)";
    tx.execute(files, params![finished_before]).await?;
    tx.affected("DELETE FROM mails WHERE finished_at < $1", params![finished_before]).await
}
