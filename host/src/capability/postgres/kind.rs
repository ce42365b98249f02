//! What the words of a statement say of its session and transaction.
//!
//! A call runs exactly one statement, so that this is enough to know whether a
//! connection is inside a transaction, and whether anything of the statement could
//! outlive it on the connection.

/// What a statement does to the transaction that it runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Begin,
    Commit,
    Rollback,
    RollbackTo,
}

/// What is known of a statement before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) effect: Effect,
    /// It may set, create or lock something that lasts as long as the connection.
    pub(super) marks_session: bool,
    /// It wants to exchange data besides rows.
    pub(super) copies: bool,
}

/// Statements that leave nothing on a connection, unless they call for it by one of
/// [`SESSION_WORDS`].
const SESSIONLESS: [&str; 25] = [
    "select",
    "insert",
    "update",
    "delete",
    "with",
    "values",
    "table",
    "merge",
    "explain",
    "create",
    "alter",
    "drop",
    "truncate",
    "comment",
    "analyze",
    "reindex",
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "lock",
    "release",
];

/// Functions and kinds of objects that belong to a connection.
const SESSION_WORDS: [&str; 5] = ["set_config", "advisory_lock", "temp", "setseed", "dblink"];

impl Kind {
    pub(super) fn of(sql: &str) -> Self {
        let mut words = words(sql);
        let first = words.next().unwrap_or_default();
        let second = words.next().unwrap_or_default();
        let rest = [second.clone()].into_iter().chain(words).collect::<Vec<_>>();
        let has = |word: &str| rest.iter().any(|found| found == word);
        let chained = has("chain") && !has("no");
        let effect = match first.as_str() {
            "begin" | "start" => Effect::Begin,
            "commit" | "end" | "rollback" | "abort" if second == "prepared" || chained => Effect::None,
            "commit" | "end" => Effect::Commit,
            "rollback" | "abort" if has("to") => Effect::RollbackTo,
            "rollback" | "abort" => Effect::Rollback,
            _ => Effect::None,
        };
        let sessionless = SESSIONLESS.contains(&first.as_str());
        let lower = sql.to_ascii_lowercase();
        let marks_session = !sessionless || SESSION_WORDS.iter().any(|word| lower.contains(word));
        Self { effect, marks_session, copies: first == "copy" }
    }
}

/// The first words of a statement in lower case, without comments.
fn words(sql: &str) -> impl Iterator<Item = String> {
    const WORDS_MAX: usize = 6;
    let mut rest = skip_blank(sql);
    std::iter::from_fn(move || {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = skip_blank(after);
        (!word.is_empty()).then(|| word.to_ascii_lowercase())
    })
    .take(WORDS_MAX)
}

/// Skips white space, opening brackets and comments.
fn skip_blank(mut sql: &str) -> &str {
    loop {
        sql = sql.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '(' || c == ';');
        if let Some(comment) = sql.strip_prefix("--") {
            sql = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = sql.strip_prefix("/*") {
            sql = after_comment(comment);
        } else {
            return sql;
        }
    }
}

/// Comments nest in Postgres.
fn after_comment(mut sql: &str) -> &str {
    let mut depth = 1;
    while depth > 0 {
        let (open, close) = (sql.find("/*"), sql.find("*/"));
        sql = match (open, close) {
            (Some(open), Some(close)) if open < close => {
                depth += 1;
                sql.get(open + 2..).unwrap_or_default()
            }
            (_, Some(close)) => {
                depth -= 1;
                sql.get(close + 2..).unwrap_or_default()
            }
            (_, None) => return "",
        };
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_followed() {
        for (sql, effect) in [
            ("BEGIN", Effect::Begin),
            (" /* a /* b */ c */ begin isolation level serializable", Effect::Begin),
            ("-- why\nSTART TRANSACTION READ ONLY", Effect::Begin),
            ("COMMIT", Effect::Commit),
            ("end transaction", Effect::Commit),
            ("COMMIT AND CHAIN", Effect::None),
            ("COMMIT AND NO CHAIN", Effect::Commit),
            ("COMMIT PREPARED 'x'", Effect::None),
            ("ROLLBACK", Effect::Rollback),
            ("ABORT WORK", Effect::Rollback),
            ("ROLLBACK TO SAVEPOINT a", Effect::RollbackTo),
            ("rollback work to a", Effect::RollbackTo),
            ("SELECT 'begin'", Effect::None),
            ("", Effect::None),
            ("/* unended", Effect::None),
        ] {
            assert_eq!(Kind::of(sql).effect, effect, "{sql}");
        }
    }

    #[test]
    fn what_outlives_a_statement_is_seen() {
        for sql in [
            "SET search_path = a",
            "LISTEN x",
            "PREPARE p AS SELECT 1",
            "SELECT pg_advisory_lock(1)",
            "CREATE TEMP TABLE t (x int)",
            "select set_config('a.b', 'c', false)",
            "DO $$ BEGIN END $$",
        ] {
            assert!(Kind::of(sql).marks_session, "{sql}");
        }
        for sql in ["SELECT pg_advisory_xact_lock(1)", "LOCK TABLE t IN EXCLUSIVE MODE"] {
            assert!(!Kind::of(sql).marks_session, "{sql}: it ends with its transaction");
        }
        for sql in ["SELECT 1", "(SELECT 1)", "INSERT INTO t VALUES ($1)", "BEGIN", "CREATE TABLE t (x BIGINT)"] {
            assert!(!Kind::of(sql).marks_session, "{sql}");
        }
        assert!(Kind::of("COPY t FROM STDIN").copies);
    }
}
