//! Seals of entries, one after the other.

use sha2::{Digest, Sha256};

use super::{COLUMNS, Entry, entry};
use crate::{Db, DbError, Sql, Timestamp, Tx, log, params, time::HOUR};

/// Entries that are sealed in one transaction.
const STEP_ENTRIES_MAX: usize = 200;

/// Steps of one run of the job; the next run goes on.
const RUN_STEPS_MAX: usize = 20;

/// How far back a run looks for entries whose transactions ended after the run before it:
/// longer than any transaction takes, and than the clocks of hosts differ.
const LOOK_BACK: i64 = HOUR;

/// Entries that one check looks at.
const CHECK_ENTRIES_MAX: i64 = 5_000;

/// The newest seal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// 0: there is none.
    pub nth: i64,
    /// Of the first entry's predecessor: empty.
    pub hash: String,
    pub sealed_at: i64,
}

/// What is wrong with the chain at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    pub nth: i64,
    pub problem: &'static str,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub checked: i64,
    pub flaws: Vec<Flaw>,
    /// Where the next check has to go on; none at the end of the chain.
    pub next: Option<i64>,
    /// Entries that are no part of the chain yet.
    pub unsealed: i64,
    pub head: Head,
}

/// The seal of an entry that comes after another one. Every field has its length before
/// it, so that none can be taken for a part of the next.
fn hash(nth: i64, before: &str, entry: &Entry) -> String {
    let mut hash = Sha256::new();
    let mut field = |text: Option<&str>| {
        hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
        hash.update(text.unwrap_or_default());
    };
    field(Some(before));
    field(Some(&nth.to_string()));
    field(Some(&entry.id.to_string()));
    field(Some(&entry.at.millis().to_string()));
    field(Some(&entry.actor));
    for optional in [&entry.name, &entry.address, &entry.agent, &entry.request] {
        field(optional.as_deref());
    }
    field(Some(&entry.action));
    field(Some(&entry.subject));
    field(entry.before.as_deref());
    field(entry.after.as_deref());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn head(sql: &impl Sql) -> Result<Head, DbError> {
    let select = "SELECT nth, hash, sealed_at FROM audit_chain ORDER BY nth DESC LIMIT 1";
    let row = sql.query_opt(select, params![]).await?;
    row.map_or(Ok(Head::default()), |row| {
        Ok(Head { nth: row.get("nth")?, hash: row.get("hash")?, sealed_at: row.get("sealed_at")? })
    })
}

/// Seals entries that are not sealed yet. Answers how many.
///
/// What is to be sealed is looked for outside of transactions, so that nobody who writes
/// entries meets it. Two at once: the second finds another newest seal and leaves the rest
/// to the next run. A crash leaves whole seals.
///
/// # Errors
/// The database's.
pub async fn seal(db: &Db, now: Timestamp) -> Result<usize, DbError> {
    let mut sealed = 0;
    for _ in 0..RUN_STEPS_MAX {
        let last = head(db).await?;
        let pending = pending(db, &last).await?;
        if pending.is_empty() || !seal_step(db, &last, &pending, now).await? {
            break;
        }
        sealed += pending.len();
        if pending.len() < STEP_ENTRIES_MAX {
            break;
        }
    }
    if sealed > 0 {
        let Head { nth, hash, .. } = head(db).await?;
        log::info("the audit is sealed up to here", &[("nth", &nth), ("hash", &hash)]);
    }
    Ok(sealed)
}

async fn pending(db: &Db, last: &Head) -> Result<Vec<Entry>, DbError> {
    let from = " FROM audit a WHERE a.at >= $1 AND NOT EXISTS (SELECT 1 FROM audit_chain c WHERE c.entry_id = a.id) \
                ORDER BY a.at, a.id LIMIT $2";
    let since = last.sealed_at.saturating_sub(LOOK_BACK);
    let limit = i64::try_from(STEP_ENTRIES_MAX).unwrap_or(i64::MAX);
    db.query(&["SELECT ", COLUMNS, from].concat(), params![since, limit]).await?.iter().map(entry).collect()
}

/// Whether it was done: nobody else has sealed meanwhile.
async fn seal_step(db: &Db, last: &Head, pending: &[Entry], now: Timestamp) -> Result<bool, DbError> {
    let work = async |tx: &Tx| {
        if head(tx).await? != *last {
            return Ok(false);
        }
        let (mut nth, mut before) = (last.nth, last.hash.clone());
        for entry in pending {
            nth += 1;
            before = hash(nth, &before, entry);
            let insert = "INSERT INTO audit_chain (nth, entry_id, hash, sealed_at) VALUES ($1, $2, $3, $4)";
            tx.execute(insert, params![nth, entry.id, before.as_str(), now]).await?;
        }
        Ok(true)
    };
    match db.transaction(work).await {
        Err(DbError::Unique(_)) => Ok(false),
        outcome => outcome,
    }
}

/// Compares seals with entries, from the one after `after` on.
///
/// # Errors
/// The database's.
pub async fn check(db: &Db, after: i64) -> Result<Check, DbError> {
    let from = ", c.nth, c.hash FROM audit_chain c LEFT JOIN audit a ON a.id = c.entry_id WHERE c.nth > $1 \
                ORDER BY c.nth LIMIT $2";
    let rows = db.query(&["SELECT ", COLUMNS, from].concat(), params![after, CHECK_ENTRIES_MAX]).await?;
    let select = "SELECT hash FROM audit_chain WHERE nth = $1";
    let first = db.query_opt(select, params![after]).await?;
    let mut before: String = first.map_or(Ok(String::new()), |row| row.get("hash"))?;
    let (mut last, mut flaws) = (after, Vec::new());
    for row in &rows {
        let (nth, stored): (i64, String) = (row.get("nth")?, row.get("hash")?);
        if nth != last + 1 {
            flaws.push(Flaw { nth: last + 1, problem: "the seal is missing" });
        }
        let problem = match row.get::<Option<crate::Id>>("id")? {
            None => Some("the entry is missing"),
            Some(_) if hash(nth, &before, &entry(row)?) != stored => Some("the entry or its seal was changed"),
            Some(_) => None,
        };
        flaws.extend(problem.map(|problem| Flaw { nth, problem }));
        (last, before) = (nth, stored);
    }
    let head = head(db).await?;
    let unsealed = "SELECT COUNT(*) AS n FROM audit a WHERE NOT EXISTS \
                    (SELECT 1 FROM audit_chain c WHERE c.entry_id = a.id)";
    Ok(Check {
        checked: i64::try_from(rows.len()).unwrap_or(i64::MAX),
        flaws,
        next: (last < head.nth).then_some(last),
        unsealed: db.query_one(unsealed, params![]).await?.get("n")?,
        head,
    })
}
