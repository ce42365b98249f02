//! The connections to one database under one role.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    Error,
    counters::{Counters, Snapshot},
};

/// How long a statement waits for a connection, opening one included.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Time without use after which a connection is asked whether it still works.
pub(super) const TRUSTED_FOR: Duration = Duration::from_millis(100);
/// Time without use after which a connection is closed.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Age at which a connection is replaced.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 60);
/// Prepared statements that one connection keeps.
const STATEMENT_CACHE_MAX: usize = 256;
/// Sets a connection back to what it was when it was opened, but for its statements.
const RESET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
                     SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// How long a guest's connection keeps one to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// For a statement or a transaction. What a statement sets on its connection ends
    /// with it, and any number of guests share few connections.
    Transaction,
    /// As long as the guest keeps its own, with all that it sets, as in Spin.
    Session,
}

/// Connections to one database under one role, shared by instances.
pub struct Pool {
    /// What metrics call it.
    name: String,
    connections: PgPool,
    connections_max: u32,
    keeping: Keeping,
    counters: Counters,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pool {
    /// Opens no connection yet. Must be called inside a tokio runtime.
    #[must_use]
    pub fn new(name: String, options: PgConnectOptions, connections_max: u32, keeping: Keeping) -> Arc<Self> {
        let connections = pool_options(connections_max)
            .connect_lazy_with(options.statement_cache_capacity(STATEMENT_CACHE_MAX).disable_statement_logging());
        Arc::new(Self { name, connections, connections_max, keeping, counters: Counters::default() })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn counters(&self) -> Snapshot {
        Snapshot {
            connections: self.connections.size().into(),
            connections_idle: self.connections.num_idle() as u64,
            ..self.counters.snapshot()
        }
    }

    /// Closes all connections, when those in use are returned.
    pub async fn close(&self) {
        self.connections.close().await;
    }

    pub(super) fn keeping(&self) -> Keeping {
        self.keeping
    }

    pub(super) fn count(&self) -> &Counters {
        &self.counters
    }

    pub(super) async fn acquire(self: &Arc<Self>) -> Result<Held, Error> {
        let began = Instant::now();
        let acquired = self.connections.acquire().await;
        self.counters.wait_ns.add_time(began.elapsed());
        match acquired {
            Ok(connection) => Ok(Held {
                pool: Arc::clone(self),
                connection: Some(connection),
                in_transaction: false,
                failed_in_transaction: false,
                session_marked: false,
                used_at: Instant::now(),
            }),
            Err(error) => {
                self.counters.waits_in_vain.add(1);
                Err(Error::connecting(error, WAIT_MAX, self.connections_max))
            }
        }
    }
}

fn pool_options(connections_max: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(WAIT_MAX)
        .idle_timeout(IDLE_MAX)
        .max_lifetime(LIFETIME_MAX)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            async move {
                // After a restart of the server all of its connections are dead.
                if meta.idle_for > TRUSTED_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            }
            .boxed()
        })
}

/// A connection to the server while somebody uses it. When it is dropped, what is
/// unfinished on it is undone before anybody else gets it.
pub(super) struct Held {
    pool: Arc<Pool>,
    /// Absent only while a statement runs, so that one whose statement was abandoned
    /// is closed instead of being returned, and after it was closed.
    pub(super) connection: Option<PoolConnection<Postgres>>,
    pub(super) in_transaction: bool,
    /// A statement failed, so that the transaction can only be rolled back.
    pub(super) failed_in_transaction: bool,
    pub(super) session_marked: bool,
    pub(super) used_at: Instant,
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let in_transaction = self.in_transaction;
        let marked = self.session_marked || self.pool.keeping == Keeping::Session;
        if in_transaction {
            self.pool.counters.rollbacks_on_drop.add(1);
        }
        if !in_transaction && !marked {
            return;
        }
        let pool = Arc::clone(&self.pool);
        let cleaning = async move {
            let cleaned = clean(&mut connection, in_transaction, marked).await;
            if let Err(error) = cleaned {
                tracing::warn!(pool = pool.name, %error, "a connection could not be reset and was closed");
                close(connection, &pool);
            }
        };
        // A runtime that has gone took the connections with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(cleaning);
        }
    }
}

async fn clean(
    connection: &mut PoolConnection<Postgres>,
    in_transaction: bool,
    marked: bool,
) -> Result<(), sqlx::Error> {
    if in_transaction {
        connection.execute(sqlx::raw_sql("ROLLBACK")).await?;
    }
    if marked {
        connection.execute(sqlx::raw_sql(RESET)).await?;
    }
    Ok(())
}

/// Takes a connection out of its pool; the server ends what runs on it.
pub(super) fn close(connection: PoolConnection<Postgres>, pool: &Pool) {
    pool.counters.connections_lost.add(1);
    drop(connection.detach());
}
