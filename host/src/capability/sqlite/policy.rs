//! What a guest's SQL may touch besides its own tables.
//!
//! Guest connections share the host's connections, so whatever outlives a
//! statement (a setting, a temporary table, an attached file) would leak from
//! one guest connection to the next, and settings of durability would break
//! what the output gate promises. All of that is refused.

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
};

/// Pragmas that only tell something.
const READABLE: &[&str] = &[
    "application_id",
    "auto_vacuum",
    "collation_list",
    "compile_options",
    "data_version",
    "defer_foreign_keys",
    "encoding",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "journal_mode",
    "page_count",
    "page_size",
    "schema_version",
    "synchronous",
    "table_list",
    "user_version",
];

/// Pragmas whose value is an argument: the name of a table, a number of findings.
const READABLE_WITH_ARGUMENT: &[&str] = &[
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Values kept in the file, and a setting that ends with the transaction.
const WRITABLE: &[&str] = &["application_id", "defer_foreign_keys", "user_version"];

/// Tuning of a connection that the host does itself. Portable applications set
/// them out of habit, so they are accepted and change nothing.
const WITHOUT_EFFECT: &[&str] = &["busy_timeout", "cache_size", "mmap_size", "temp_store"];

/// Which of the two kinds of connection asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Reader,
    Writer,
}

pub(super) fn install(connection: &Connection, role: Role) {
    connection.authorizer(Some(move |context: AuthContext<'_>| authorize(&context.action, role)));
}

fn authorize(action: &AuthAction<'_>, role: Role) -> Authorization {
    match action {
        AuthAction::Pragma { pragma_name, pragma_value } => pragma(pragma_name, *pragma_value),
        AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::Unknown { .. } => Authorization::Deny,
        AuthAction::Function { function_name }
            if ["load_extension", "fts3_tokenizer"].iter().any(|name| function_name.eq_ignore_ascii_case(name)) =>
        {
            Authorization::Deny
        }
        // A transaction on a reader would pin an old snapshot and leak to the
        // next guest on this thread.
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } if role == Role::Reader => Authorization::Deny,
        _ => Authorization::Allow,
    }
}

fn pragma(name: &str, value: Option<&str>) -> Authorization {
    let among = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    match value {
        _ if among(READABLE_WITH_ARGUMENT) => Authorization::Allow,
        None if among(READABLE) => Authorization::Allow,
        Some(_) if among(WRITABLE) => Authorization::Allow,
        _ if among(WITHOUT_EFFECT) => Authorization::Ignore,
        // Foreign keys are always enforced; saying so again is fine.
        Some(value) if name.eq_ignore_ascii_case("foreign_keys") && is_on(value) => Authorization::Ignore,
        _ => Authorization::Deny,
    }
}

fn is_on(value: &str) -> bool {
    ["on", "true", "yes", "1"].iter().any(|on| value.eq_ignore_ascii_case(on))
}
