//! What can go wrong with a statement, in the same words for both engines.

/// Why a statement did not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// A unique constraint; names the columns, as `users.email`.
    #[error("unique constraint on {0}")]
    Unique(String),
    /// Any other constraint.
    #[error("constraint: {0}")]
    Constraint(String),
    /// Somebody else kept the database locked for too long. Nothing was done.
    #[error("the database is locked")]
    Busy,
    /// Changes of others came in between. Nothing was done, and doing it again may work.
    #[error("changes of others came in between")]
    Conflict,
    /// A text or a key that the database cannot hold.
    #[error("a value that cannot be stored: {0}")]
    Value(String),
    /// A column that is missing or of another type than asked for.
    #[error("column {column}: {problem}")]
    Column { column: String, problem: String },
    #[error("database: {0}")]
    Other(String),
}

impl DbError {
    /// Whether it is the unique constraint on this column, such as `users.email`.
    pub fn is_unique(&self, column: &str) -> bool {
        matches!(self, Self::Unique(columns) if columns.split(", ").any(|c| c == column))
    }

    pub(super) fn of_sqlite(message: &str) -> Self {
        const UNIQUE: &str = "UNIQUE constraint failed: ";
        if let Some(at) = message.find(UNIQUE) {
            let columns = message[at + UNIQUE.len()..].trim();
            return Self::Unique(columns.split(['\n', '(']).next().unwrap_or_default().trim().to_owned());
        }
        if message.contains("constraint failed") {
            return Self::Constraint(message.to_owned());
        }
        if message.contains("database is locked") || message.contains("database table is locked") {
            return Self::Busy;
        }
        Self::Other(message.to_owned())
    }

    /// What Postgres reports, by its SQLSTATE.
    pub(super) fn of_postgres(code: &str, message: &str, table: Option<&str>, detail: Option<&str>) -> Self {
        match code {
            "23505" => Self::Unique(unique_columns(table.unwrap_or_default(), detail.unwrap_or_default())),
            // Serialization failure, deadlock.
            "40001" | "40P01" => Self::Conflict,
            // Lock not available in time, statement cancelled for its time, too many
            // connections, and a server that starts or stops.
            "55P03" | "57014" | "53300" | "57P01" | "57P03" => Self::Busy,
            // Text outside of the encoding, a string or an index entry that is too long.
            "22021" | "22001" | "54000" => Self::Value(message.to_owned()),
            code if code.starts_with("23") => Self::Constraint(message.to_owned()),
            code => Self::Other(format!("{message} ({code})")),
        }
    }
}

/// `Key (a, b)=(1, 2) already exists.`, in any language, as `table.a, table.b`.
fn unique_columns(table: &str, detail: &str) -> String {
    let columns =
        detail.split_once('(').and_then(|(_, rest)| rest.split_once(")=(")).map_or("", |(columns, _)| columns);
    let named = columns.split(", ").map(|column| [table, column.trim_matches('"')].join("."));
    named.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_name_the_columns_of_a_unique_constraint_alike() {
        let sqlite = DbError::of_sqlite("UNIQUE constraint failed: users.email, users.name");
        let detail = "Key (email, name)=(a@b.c, (d)=(e)) already exists.";
        let postgres = DbError::of_postgres("23505", "duplicate key", Some("users"), Some(detail));
        for error in [sqlite, postgres] {
            assert!(error.is_unique("users.email") && error.is_unique("users.name"), "{error}");
            assert!(!error.is_unique("users.id"));
        }
    }
}
