//! A database that a backup is restored into.
//!
//! From its beginning to its end a mark stands there, a schema, with which no host
//! starts and no other restore begins: what was restored belongs to the administrator
//! at first, and only at the end to the roles of this database.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{Database, DatabaseError, Location, check, connect, setup};

const MARK: &str = "CREATE SCHEMA \"cairn restoring\"";
const UNMARK: &str = "DROP SCHEMA \"cairn restoring\"";

/// What in a schema does not belong to its role, as the statements that change it.
/// Sequences of a column follow their table.
const FOREIGN: &str = "\
    WITH role AS (SELECT oid, rolname FROM pg_roles WHERE rolname = $1), \
    place AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = $2) \
    SELECT format('ALTER %s %I.%I OWNER TO %I', \
        CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
            WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, nspname, relname, rolname) \
    FROM pg_class, place, role \
    WHERE relnamespace = place.oid AND relowner <> role.oid AND relkind IN ('r', 'p', 'v', 'm', 'c', 'S') \
        AND NOT (relkind = 'S' AND EXISTS (SELECT 1 FROM pg_depend \
            WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype IN ('a', 'i'))) \
    UNION ALL \
    SELECT format('ALTER ROUTINE %s OWNER TO %I', pg_proc.oid::regprocedure, rolname) \
    FROM pg_proc, place, role WHERE pronamespace = place.oid AND proowner <> role.oid \
    UNION ALL \
    SELECT format('ALTER TYPE %I.%I OWNER TO %I', nspname, typname, rolname) \
    FROM pg_type, place, role \
    WHERE typnamespace = place.oid AND typowner <> role.oid AND typtype IN ('e', 'd', 'r')";

/// A restore that goes on.
pub(crate) struct Restoring {
    connection: PgConnection,
    location: Location,
}

impl Restoring {
    /// Marks a database that has nothing of an application.
    ///
    /// # Errors
    /// It has something, or the administrator may not do it.
    pub(crate) async fn begin(location: &Location) -> Result<Self, DatabaseError> {
        let mut connection = connect(&location.options()?).await?;
        check(&mut connection).await?;
        refuse_unfinished(&mut connection).await?;
        let used: Option<String> =
            sqlx::query_scalar("SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, 'cairn_') LIMIT 1")
                .fetch_optional(&mut connection)
                .await?;
        if let Some(schema) = used {
            return Err(DatabaseError::new(format!(
                "it is not empty, it has the schema {schema}; restore into a new database"
            )));
        }
        sqlx::query(MARK).execute(&mut connection).await?;
        Ok(Self { connection, location: location.clone() })
    }

    /// Takes the mark away; nothing was restored.
    pub(crate) async fn abandon(mut self) -> Result<(), DatabaseError> {
        sqlx::query(UNMARK).execute(&mut self.connection).await?;
        Ok(self.connection.close().await?)
    }

    /// Makes the roles, with new passwords, gives them what was restored, and takes the
    /// mark away. Gives the number of labels.
    pub(crate) async fn finish(mut self) -> Result<usize, DatabaseError> {
        let database = Database::open(&self.location).await?;
        let labels: Vec<String> =
            sqlx::query_scalar("DELETE FROM cairn_host.login RETURNING label").fetch_all(&mut self.connection).await?;
        let logins = setup::labels(database.host(), labels.iter()).await?;
        database.close().await;
        let mut transaction = self.connection.begin().await?;
        for login in &logins {
            let statements: Vec<String> =
                sqlx::query_scalar(FOREIGN).bind(&login.role).bind(&login.schema).fetch_all(&mut *transaction).await?;
            for statement in statements {
                // Postgres quoted the names in it.
                sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
            }
        }
        sqlx::query(UNMARK).execute(&mut *transaction).await?;
        transaction.commit().await?;
        self.connection.close().await?;
        Ok(logins.len())
    }
}

/// Refuses a database into which a restore began and did not come to its end.
pub(super) async fn refuse_unfinished(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    let unfinished: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'cairn restoring')")
            .fetch_one(connection)
            .await?;
    if unfinished {
        return Err(DatabaseError::new(
            "a backup is being restored into it, or was and did not arrive; \
             if no restore runs, drop the database, create it anew and restore again",
        ));
    }
    Ok(())
}
