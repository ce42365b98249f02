//! Forms of treks, version by version, and what people declared.

use std::collections::BTreeMap;

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, page::Page, params};
use serde_json::Value;

use crate::domain::{DeclarationForm, DeclarationState, Question};

/// What somebody declared, and what staff made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    pub id: Id,
    pub booking_id: Id,
    pub participant_id: Id,
    /// The participant's name at that time.
    pub name: String,
    pub form_version: u32,
    pub answers: BTreeMap<String, Value>,
    pub state: DeclarationState,
    pub submitted_by: Id,
    pub submitted_at: Timestamp,
    pub decided_by: Option<Id>,
    pub decided_at: Option<Timestamp>,
    pub note: Option<String>,
}

const SELECT: &str = "SELECT id, booking_id, participant_id, name, form_version, answers, state, submitted_by, submitted_at, \
     decided_by, decided_at, note FROM declarations ";

fn declaration(row: &Row) -> Result<Declaration, DbError> {
    let state: String = row.get("state")?;
    Ok(Declaration {
        id: row.get("id")?,
        booking_id: row.get("booking_id")?,
        participant_id: row.get("participant_id")?,
        name: row.get("name")?,
        form_version: row.get("form_version")?,
        answers: row.json("answers")?,
        state: DeclarationState::parse(&state)
            .ok_or_else(|| DbError::Column { column: "state".into(), problem: state })?,
        submitted_by: row.get("submitted_by")?,
        submitted_at: row.get("submitted_at")?,
        decided_by: row.get("decided_by")?,
        decided_at: row.get("decided_at")?,
        note: row.get("note")?,
    })
}

/// The form that a trek's next booking is made under; none when nothing is asked.
pub async fn declaration_form_fetch(sql: &impl Sql, trek_id: Id) -> Result<Option<DeclarationForm>, DbError> {
    let select = "SELECT version, questions FROM declaration_forms WHERE trek_id = $1 ORDER BY version DESC LIMIT 1";
    let row = sql.query_opt(select, params![trek_id]).await?;
    row.map(|row| Ok(DeclarationForm { version: row.get("version")?, questions: row.json("questions")? })).transpose()
}

/// Stores the next version of a trek's form.
pub async fn declaration_form_insert(
    tx: &Tx,
    trek_id: Id,
    questions: &[Question],
    created_by: Id,
    now: Timestamp,
) -> Result<DeclarationForm, DbError> {
    let before = declaration_form_fetch(tx, trek_id).await?.map_or(0, |form| form.version);
    let form = DeclarationForm { version: before + 1, questions: questions.to_vec() };
    let text = serde_json::to_string(questions).map_err(|error| DbError::Other(error.to_string()))?;
    let insert = "INSERT INTO declaration_forms (trek_id, version, questions, created_by, created_at) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(insert, params![trek_id, form.version, text, created_by, now]).await?;
    Ok(form)
}

pub async fn declaration_insert(tx: &Tx, new: &Declaration) -> Result<(), DbError> {
    let insert = "INSERT INTO declarations (id, booking_id, participant_id, name, form_version, answers, state, submitted_by, submitted_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let answers = serde_json::to_string(&new.answers).map_err(|error| DbError::Other(error.to_string()))?;
    let values = params![
        new.id,
        new.booking_id,
        new.participant_id,
        &new.name,
        new.form_version,
        answers,
        new.state.as_str(),
        new.submitted_by,
        new.submitted_at,
    ];
    tx.execute(insert, values).await
}

/// The newest declaration of each participant of a booking.
pub async fn declaration_list(sql: &impl Sql, booking_id: Id) -> Result<BTreeMap<Id, Declaration>, DbError> {
    let select = [SELECT, "WHERE booking_id = $1 ORDER BY submitted_at, id"].concat();
    let rows = sql.query(&select, params![booking_id]).await?;
    rows.iter().map(|row| declaration(row).map(|found| (found.participant_id, found))).collect()
}

/// Declarations in a state, oldest first, and how many there are.
pub async fn declaration_page(
    sql: &impl Sql,
    state: DeclarationState,
    page: Page,
) -> Result<(Vec<Declaration>, i64), DbError> {
    let count = "SELECT COUNT(*) AS total FROM declarations WHERE state = $1";
    let total = sql.query_one(count, params![state.as_str()]).await?.get("total")?;
    let select = [SELECT, "WHERE state = $1 ORDER BY submitted_at, id LIMIT $2 OFFSET $3"].concat();
    let rows = sql.query(&select, params![state.as_str(), page.limit, page.offset()]).await?;
    let found: Result<_, _> = rows.iter().map(declaration).collect();
    Ok((found?, total))
}

/// Notes what staff decided.
pub async fn declaration_decide(
    tx: &Tx,
    id: Id,
    state: DeclarationState,
    by: Id,
    note: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let update = "UPDATE declarations SET state = $1, decided_by = $2, decided_at = $3, note = $4 WHERE id = $5";
    tx.execute(update, params![state.as_str(), by, now, note, id]).await
}
