//! The Postgres database that a whole application lives on.
//!
//! The operator gives the address of an administrator. With it the host makes a schema
//! and a login role for every database label of the application, and a schema of its
//! own ([`HOST_SCHEMA`]) for key-value stores and for what several hosts that serve
//! the same application agree upon. No guest ever sees an address or a password.

mod claims;
pub mod moving;
pub(crate) mod restoring;
mod setup;

use std::{
    collections::BTreeMap,
    str::FromStr as _,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, PgConnection, PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    capability::postgres::{Keeping, Pool},
    manifest::Application,
};
pub use claims::JobClaims;
use setup::quoted;

/// Environment variable with the administrator's address.
pub const URL_VARIABLE: &str = "CAIRN_DATABASE_URL";
/// Environment variable with the connections that a component may have, per host.
pub const CONNECTIONS_VARIABLE: &str = "CAIRN_DATABASE_CONNECTIONS";
/// The schema of the host itself.
pub const HOST_SCHEMA: &str = "cairn_host";
/// What connections of hosts call themselves begins so.
pub(crate) const APPLICATION_NAME: &str = "cairn";

/// Connections that the components of one database label have, unless it is set. Nine
/// labels on two hosts then stay below the hundred that a server allows by default.
pub const CONNECTIONS_A_LABEL_DEFAULT: u32 = 5;
/// Connections of the host itself.
const HOST_CONNECTIONS_MAX: u32 = 3;
/// Versions before it lack settings that free what a dead host holds.
const VERSION_MIN: u32 = 15;
/// How long the first connection may take; the server may be starting, too.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
const HEALTH_TIME_MAX: Duration = Duration::from_secs(3);
/// A transaction that is left open and idle is rolled back after this time.
const IDLE_TRANSACTION_MAX: Duration = Duration::from_secs(60);

/// Why an application cannot run on its database. Says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("database: {0}")]
pub struct DatabaseError(String);

impl DatabaseError {
    fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

/// Where an application lives, as the operator tells it.
#[derive(Clone)]
pub struct Location {
    /// `postgres://…` of a role that may create schemas and roles.
    pub url: String,
    /// Connections that the components of one label have, per host.
    pub connections_a_label_max: u32,
    /// The application is prepared for data that is still on its way.
    pub(crate) for_move: bool,
}

impl Location {
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), connections_a_label_max: CONNECTIONS_A_LABEL_DEFAULT, for_move: false }
    }

    /// What the environment says, if it says something.
    ///
    /// # Errors
    /// The number of connections is none.
    pub fn from_environment() -> Result<Option<Self>, DatabaseError> {
        let Some(url) = std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        Self::new(url).with_connections_from_environment().map(Some)
    }

    /// Takes the number of connections from the environment, if it is there.
    ///
    /// # Errors
    /// It is no number from 1 to 1000.
    pub fn with_connections_from_environment(mut self) -> Result<Self, DatabaseError> {
        if let Ok(text) = std::env::var(CONNECTIONS_VARIABLE) {
            let count = text.parse().ok().filter(|count| (1..=1000).contains(count));
            self.connections_a_label_max = count.ok_or_else(|| {
                DatabaseError::new(format!("{CONNECTIONS_VARIABLE} is a number from 1 to 1000, not {text:?}"))
            })?;
        }
        Ok(self)
    }

    pub(crate) fn options(&self) -> Result<PgConnectOptions, DatabaseError> {
        Ok(PgConnectOptions::from_str(&self.url)
            .map_err(|error| DatabaseError::new(format!("the address is not postgres://user@host/database: {error}")))?
            .application_name(if self.for_move { moving::APPLICATION_NAME } else { APPLICATION_NAME })
            .options([("client_min_messages", "error")])
            .disable_statement_logging())
    }
}

/// The address may hold a password.
impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Location").finish_non_exhaustive()
    }
}

/// A database that the host is connected to as its administrator.
pub struct Database {
    options: PgConnectOptions,
    connections_a_label_max: u32,
    for_move: bool,
    host: PgPool,
    failure: RwLock<Option<String>>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// Connects, and makes the schema of the host if it is not there.
    ///
    /// # Errors
    /// What is wrong with the address, the server, or the role's rights.
    pub async fn open(location: &Location) -> Result<Arc<Self>, DatabaseError> {
        let options = location.options()?;
        // Tried once by itself, since a pool does not tell why it cannot connect.
        let mut connection = connect(&options).await?;
        check(&mut connection).await?;
        drop(connection);
        let host = PgPoolOptions::new()
            .max_connections(HOST_CONNECTIONS_MAX)
            .min_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options.clone());
        let database = Arc::new(Self {
            options,
            connections_a_label_max: location.connections_a_label_max,
            for_move: location.for_move,
            host,
            failure: RwLock::default(),
        });
        setup::host_schema(&database.host).await?;
        tokio::spawn(watch(Arc::downgrade(&database)));
        Ok(database)
    }

    /// Makes a schema and a role for each label, and gives a pool for each. A label
    /// comes with the wall time of its statements.
    ///
    /// # Errors
    /// The role of the administrator may not do it, or a move of data is unfinished.
    pub async fn pools(
        &self,
        labels: &BTreeMap<String, Duration>,
    ) -> Result<BTreeMap<String, Arc<Pool>>, DatabaseError> {
        if !self.for_move {
            moving::refuse_unfinished(&self.host).await?;
            restoring::refuse_unfinished(&mut *self.host.acquire().await?).await?;
        }
        let logins = setup::labels(&self.host, labels.keys()).await?;
        let pools = logins.into_iter().map(|login| {
            let time_max = labels.get(&login.label).copied().unwrap_or(HEALTH_TIME_MAX);
            let options = self.options_of(&login, time_max);
            let pool = Pool::new(login.label.clone(), options, self.connections_a_label_max, Keeping::Transaction);
            (login.label, pool)
        });
        Ok(pools.collect())
    }

    /// The host's own connections.
    pub(crate) fn host(&self) -> &PgPool {
        &self.host
    }

    /// Why the database does not work, as far as it was seen last.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the host's own connections.
    pub async fn close(&self) {
        self.host.close().await;
    }

    fn options_of(&self, login: &setup::Login, statement_time_max: Duration) -> PgConnectOptions {
        let ms = |time: Duration| time.as_millis().to_string();
        self.options
            .clone()
            .username(&login.role)
            .password(&login.password)
            .application_name(&format!("{APPLICATION_NAME} {}", login.label))
            .options([
                ("search_path", quoted(&login.schema)),
                ("statement_timeout", ms(statement_time_max)),
                ("idle_in_transaction_session_timeout", ms(IDLE_TRANSACTION_MAX)),
                // So that what a host holds is free soon after its machine is gone.
                ("client_connection_check_interval", "5s".to_owned()),
                ("tcp_keepalives_idle", "10".to_owned()),
                ("tcp_keepalives_interval", "5".to_owned()),
                ("tcp_keepalives_count", "3".to_owned()),
            ])
    }

    async fn look(&self) {
        let alive = tokio::time::timeout(HEALTH_TIME_MAX, sqlx::query("SELECT 1").execute(&self.host)).await;
        let failure = match alive {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("database: {error}")),
            Err(_elapsed) => Some(format!("database: no answer within {} s", HEALTH_TIME_MAX.as_secs())),
        };
        let before =
            std::mem::replace(&mut *self.failure.write().unwrap_or_else(PoisonError::into_inner), failure.clone());
        match (before, failure) {
            (None, Some(failure)) => tracing::error!(failure, "the database cannot be reached"),
            (Some(_), None) => tracing::info!("the database is back"),
            _ => {}
        }
    }
}

/// Connects as the administrator.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, DatabaseError> {
    let connected = tokio::time::timeout(CONNECT_TIME_MAX, options.connect()).await;
    let connected = connected.map_err(|_elapsed| "it does not answer".to_owned());
    connected.and_then(|connected| connected.map_err(|error| error.to_string())).map_err(|problem| {
        DatabaseError::new(format!(
            "cannot connect to {}:{}: {problem}; check the database URL and that the server runs",
            options.get_host(),
            options.get_port()
        ))
    })
}

/// Refuses a server, a database or a role that an application cannot live on.
async fn check(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int4 / 10000, current_setting('server_encoding'), \
         current_user::text, rolsuper OR rolcreaterole, \
         has_database_privilege(current_database(), 'CREATE'), current_database()::text \
         FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(connection)
    .await?;
    let (version, encoding): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    let (role, may_create_roles, may_create): (String, bool, bool) =
        (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    let database: String = row.try_get(5)?;
    if u32::try_from(version).unwrap_or_default() < VERSION_MIN {
        return Err(DatabaseError::new(format!("it is Postgres {version}; {VERSION_MIN} or later is needed")));
    }
    if encoding != "UTF8" {
        return Err(DatabaseError::new(format!("its encoding is {encoding}; create one with ENCODING 'UTF8'")));
    }
    if !may_create_roles || !may_create {
        return Err(DatabaseError::new(format!(
            "{role:?} may not create roles and schemas; let an administrator run: \
             ALTER ROLE {0} CREATEROLE; GRANT CREATE ON DATABASE {1} TO {0}",
            quoted(&role),
            quoted(&database)
        )));
    }
    Ok(())
}

/// The database labels of an application, with the longest time that a component of
/// theirs gives a statement.
#[must_use]
pub fn statement_times(application: &Application) -> BTreeMap<String, Duration> {
    let mut times = BTreeMap::new();
    for component in &application.components {
        for label in &component.sqlite_databases {
            let time: &mut Duration = times.entry(label.clone()).or_default();
            *time = component.limits.statement_time_max.max(*time);
        }
    }
    times
}

/// Looks after the database as long as somebody has it open.
async fn watch(database: Weak<Database>) {
    loop {
        tokio::time::sleep(HEALTH_INTERVAL).await;
        match database.upgrade() {
            Some(database) if !database.host.is_closed() => database.look().await,
            _ => return,
        }
    }
}
