//! Who changed what, when, from where, before and after.
//!
//! [`note`] adds an entry in the transaction of the change: one insert, which waits for
//! nobody. Entries are never changed or deleted. [`seal`], a job, chains them: each seal is
//! a hash of its entry and of the seal before it, so that [`check`] finds an entry that was
//! changed or taken away afterwards. The newest seal is written to the log, where whoever
//! can change the database does not reach it.
//!
//! An entry is not protected before it is sealed, which takes a minute or two.

mod chain;
mod change;
mod routes;

pub use chain::{Check, Flaw, check, seal};
pub use change::Change;
pub(crate) use routes::routes;
pub use routes::{Access, SEAL_PATH};

use serde_json::Value;

use crate::{DbError, Env, Id, Row, Sql, Timestamp, Tx, db, origin, page::Page, params};

/// Columns of an entry.
const COLUMNS: &str = "a.id, a.at, a.actor, a.actor_name, a.address, a.agent, a.request, a.action, a.subject, \
     a.before_change, a.after_change";

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: Id,
    pub at: Timestamp,
    pub actor: String,
    pub name: Option<String>,
    pub address: Option<String>,
    pub agent: Option<String>,
    pub request: Option<String>,
    pub action: String,
    pub subject: String,
    /// JSON as it is stored, which is what is sealed.
    pub before: Option<String>,
    pub after: Option<String>,
}

fn entry(row: &Row) -> Result<Entry, DbError> {
    Ok(Entry {
        id: row.get("id")?,
        at: row.get("at")?,
        actor: row.get("actor")?,
        name: row.get("actor_name")?,
        address: row.get("address")?,
        agent: row.get("agent")?,
        request: row.get("request")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        before: row.get("before_change")?,
        after: row.get("after_change")?,
    })
}

/// Notes a change, in its transaction. What changes nothing is not noted.
///
/// # Errors
/// The database's.
pub async fn note(tx: &Tx, env: &Env, change: Change) -> Result<(), DbError> {
    let Some((before, after)) = change.differing() else { return Ok(()) };
    let origin = origin::current();
    let person = change.actor.as_ref().is_none_or(|actor| *actor == origin.actor);
    let insert = "INSERT INTO audit (id, at, actor, actor_name, address, agent, request, action, subject, before_change, after_change) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let text = |value: Value| (!value.is_null()).then(|| value.to_string());
    let values = params![
        env.id(),
        env.now(),
        change.actor.as_ref().unwrap_or(&origin.actor),
        origin.name.clone().filter(|_| person),
        origin.address.clone(),
        origin.agent.clone(),
        origin.request.clone(),
        change.action,
        change.subject,
        text(before),
        text(after),
    ];
    tx.execute(insert, values).await
}

/// Which entries a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub subject: Option<String>,
    pub actor: Option<String>,
    pub action: Option<String>,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub before: Option<Timestamp>,
}

impl Filter {
    /// The condition in SQL, with its values; placeholders count from 1.
    fn condition(&self) -> (String, Vec<db::Value>) {
        let (mut parts, mut values) = (vec!["1 = 1".to_owned()], Vec::new());
        let mut add = |condition: &str, value: Option<db::Value>| {
            if let Some(value) = value {
                values.push(value);
                parts.push(format!("{condition} ${}", values.len()));
            }
        };
        add("a.subject =", self.subject.as_ref().map(Into::into));
        add("a.actor =", self.actor.as_ref().map(Into::into));
        add("a.action =", self.action.as_ref().map(Into::into));
        add("a.at >=", self.from.map(Into::into));
        add("a.at <", self.before.map(Into::into));
        (parts.join(" AND "), values)
    }
}

/// A page of entries with their seals, newest first, and how many there are.
///
/// # Errors
/// The database's.
pub async fn page(sql: &impl Sql, filter: &Filter, page: Page) -> Result<(Vec<(Entry, Option<i64>)>, i64), DbError> {
    let (condition, mut values) = filter.condition();
    let count = ["SELECT COUNT(*) AS total FROM audit a WHERE ", &condition].concat();
    let total = sql.query_one(&count, values.clone()).await?.get("total")?;
    let order = format!(" ORDER BY a.at DESC, a.id DESC LIMIT ${} OFFSET ${}", values.len() + 1, values.len() + 2);
    values.extend(params![page.limit, page.offset()]);
    let from = ", c.nth FROM audit a LEFT JOIN audit_chain c ON c.entry_id = a.id WHERE ";
    let rows = sql.query(&["SELECT ", COLUMNS, from, &condition, &order].concat(), values).await?;
    let found: Result<_, DbError> = rows.iter().map(|row| Ok((entry(row)?, row.get("nth")?))).collect();
    Ok((found?, total))
}

#[cfg(test)]
mod tests;
