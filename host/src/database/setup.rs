//! Schemas and roles: made at start, by whichever host comes first.

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};

use super::DatabaseError;

/// Held while schemas and roles are made, so that hosts that start at once wait for
/// each other.
const SETUP_LOCK: i64 = 0x6361_6972_6e00_0001;
/// Length of a name in Postgres, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// Bytes of randomness in a password.
const PASSWORD_BYTES: usize = 32;

/// What of the host itself several hosts share.
const HOST_TABLES: [&str; 5] = [
    "CREATE SCHEMA IF NOT EXISTS cairn_host",
    "CREATE TABLE IF NOT EXISTS cairn_host.login (label TEXT PRIMARY KEY, password TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS cairn_host.entry (\
         store TEXT NOT NULL, key BYTEA NOT NULL, value BYTEA NOT NULL, PRIMARY KEY (store, key))",
    "CREATE TABLE IF NOT EXISTS cairn_host.job (\
         component TEXT NOT NULL, path TEXT NOT NULL, due_ms BIGINT NOT NULL, owner TEXT, \
         lease_until TIMESTAMPTZ, PRIMARY KEY (component, path))",
    "CREATE TABLE IF NOT EXISTS cairn_host.move (\
         id BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (id), started_at TIMESTAMPTZ NOT NULL)",
];

/// As whom the components of a label log in, and where their tables are.
pub(super) struct Login {
    pub(super) label: String,
    pub(super) schema: String,
    pub(super) role: String,
    pub(super) password: String,
}

/// Makes the host's own schema. Nobody but the administrator has rights on it.
pub(super) async fn host_schema(pool: &PgPool) -> Result<(), DatabaseError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction).await?;
    for statement in HOST_TABLES {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Makes a schema and a role for each label, all of them or none.
pub(super) async fn labels<'a>(
    pool: &PgPool,
    labels: impl Iterator<Item = &'a String>,
) -> Result<Vec<Login>, DatabaseError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction).await?;
    let (database, admin, superuser) = who(&mut transaction).await?;
    // What everybody may do in a new database would let one component see another's.
    for statement in [
        format!("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", quoted(&database)),
        "REVOKE ALL ON SCHEMA public FROM PUBLIC".to_owned(),
    ] {
        run(&mut transaction, statement).await?;
    }
    let mut logins = Vec::new();
    for label in labels {
        let login = login(&mut transaction, &database, label).await?;
        make(&mut transaction, &login, &database, (!superuser).then_some(&admin)).await?;
        logins.push(login);
    }
    transaction.commit().await?;
    Ok(logins)
}

/// The schema of a label.
pub(super) fn schema_of(label: &str) -> String {
    shortened(format!("cairn_{label}"))
}

/// A name as SQL has it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn lock(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    sqlx::query("SET LOCAL lock_timeout = '60s'").execute(&mut *connection).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(SETUP_LOCK).execute(connection).await?;
    Ok(())
}

async fn who(connection: &mut PgConnection) -> Result<(String, String, bool), DatabaseError> {
    let row = sqlx::query(
        "SELECT current_database()::text, rolname::text, rolsuper FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(connection)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// Runs a statement that names what cannot be a parameter; the names are quoted.
async fn run(connection: &mut PgConnection, statement: String) -> Result<(), DatabaseError> {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

/// The login of a label. Every host uses the same, which the first one makes up.
async fn login(connection: &mut PgConnection, database: &str, label: &str) -> Result<Login, DatabaseError> {
    sqlx::query("INSERT INTO cairn_host.login (label, password) VALUES ($1, $2) ON CONFLICT (label) DO NOTHING")
        .bind(label)
        .bind(password()?)
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("SELECT password FROM cairn_host.login WHERE label = $1").bind(label);
    Ok(Login {
        label: label.to_owned(),
        schema: schema_of(label),
        // Roles belong to the whole server, so the name of the database is in theirs.
        role: shortened(format!("cairn_{database}_{label}")),
        password: row.fetch_one(connection).await?.try_get(0)?,
    })
}

async fn make(
    connection: &mut PgConnection,
    login: &Login,
    database: &str,
    member: Option<&String>,
) -> Result<(), DatabaseError> {
    let (role, schema) = (quoted(&login.role), quoted(&login.schema));
    let known: Option<bool> = sqlx::query_scalar("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = $1")
        .bind(&login.role)
        .fetch_optional(&mut *connection)
        .await?;
    if known == Some(true) {
        return Err(DatabaseError::new(format!(
            "the role {role} is an administrator, and must not be what a component logs in as; rename it"
        )));
    }
    let verb = if known.is_some() { "ALTER" } else { "CREATE" };
    // The password is of hexadecimal digits.
    run(connection, format!("{verb} ROLE {role} LOGIN NOINHERIT PASSWORD '{}'", login.password)).await?;
    if let Some(member) = member {
        // Only who belongs to a role may give something to it.
        run(connection, format!("GRANT {role} TO {}", quoted(member))).await?;
    }
    for statement in [
        format!("CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}"),
        format!("ALTER SCHEMA {schema} OWNER TO {role}"),
        format!("GRANT CONNECT ON DATABASE {} TO {role}", quoted(database)),
        format!("ALTER ROLE {role} IN DATABASE {} SET search_path = {schema}", quoted(database)),
    ] {
        run(connection, statement).await?;
    }
    Ok(())
}

fn password() -> Result<String, DatabaseError> {
    let mut bytes = [0; PASSWORD_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| DatabaseError::new(format!("no random numbers: {error}")))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name that fits; a long one ends with a hash of all of it.
fn shortened(name: String) -> String {
    const HASH_BYTES: usize = 8;
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let hash = hex(&Sha256::digest(&name)[..HASH_BYTES]);
    let mut end = NAME_BYTES_MAX - hash.len() - 1;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{hash}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_fit() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(schema_of("shop-one"), "cairn_shop-one");
        let long = shortened("x".repeat(100));
        assert_eq!(long.len(), NAME_BYTES_MAX);
        assert_ne!(long, shortened("x".repeat(101)));
        assert!(shortened("é".repeat(60)).len() <= NAME_BYTES_MAX);
    }
}
