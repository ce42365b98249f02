//! Which host runs a job that is due: claims as rows with a lease.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use sqlx::{PgPool, Row as _};

use crate::scheduler::{Claim, Claims};

/// Time after which a host that has not been heard of loses what it claimed.
const LEASE: Duration = Duration::from_secs(30);

/// The claims of one host.
pub struct JobClaims {
    host: PgPool,
    /// Tells this host from others, and from itself before a restart.
    owner: String,
}

impl super::Database {
    /// Claims of a host that just started.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn claims(&self) -> Result<JobClaims, super::DatabaseError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| super::DatabaseError::new(format!("no random numbers: {error}")))?;
        let owner = id.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(JobClaims { host: self.host.clone(), owner })
    }
}

/// Takes a time that nobody took, or that somebody took and let go of by dying. Who
/// comes at the same moment waits for the row, and then finds it taken.
const CLAIM: &str = "INSERT INTO cairn_host.job AS job (component, path, due_ms, owner, lease_until) \
     VALUES ($1, $2, $3, $4, now() + $5::float8 * interval '1 ms') \
     ON CONFLICT (component, path) DO UPDATE \
     SET due_ms = excluded.due_ms, owner = excluded.owner, lease_until = excluded.lease_until \
     WHERE (job.lease_until IS NULL AND job.due_ms < excluded.due_ms) \
        OR (job.lease_until <= now() AND job.due_ms <= excluded.due_ms) \
     RETURNING TRUE";

const LOOK: &str = "SELECT due_ms, (extract(epoch FROM lease_until - now()) * 1000)::float8 \
     FROM cairn_host.job WHERE component = $1 AND path = $2";

const RENEW: &str = "UPDATE cairn_host.job SET lease_until = now() + $5::float8 * interval '1 ms' \
     WHERE component = $1 AND path = $2 AND due_ms = $3 AND owner = $4 AND lease_until > now()";

const FINISH: &str = "UPDATE cairn_host.job SET lease_until = NULL \
     WHERE component = $1 AND path = $2 AND due_ms = $3 AND owner = $4";

impl JobClaims {
    async fn try_claim(&self, component: &str, path: &str, due_ms: i64) -> Result<Claim, sqlx::Error> {
        let claimed = sqlx::query(CLAIM)
            .bind(component)
            .bind(path)
            .bind(due_ms)
            .bind(&self.owner)
            .bind(lease_ms())
            .fetch_optional(&self.host)
            .await?;
        if claimed.is_some() {
            return Ok(Claim::Mine);
        }
        let row = sqlx::query(LOOK).bind(component).bind(path).fetch_optional(&self.host).await?;
        let Some(row) = row else {
            return Ok(Claim::Taken { until: Duration::ZERO });
        };
        let (claimed_ms, lease_ms): (i64, Option<f64>) = (row.try_get(0)?, row.try_get(1)?);
        Ok(match lease_ms {
            // An earlier time is still running elsewhere, or this one is.
            Some(lease_ms) => Claim::Taken { until: Duration::from_secs_f64(lease_ms.max(0.0) / 1000.0) },
            None if claimed_ms >= due_ms => Claim::Done,
            // It ended between the two statements.
            None => Claim::Taken { until: Duration::ZERO },
        })
    }

    async fn try_renew(&self, component: &str, path: &str, due_ms: i64) -> Result<bool, sqlx::Error> {
        let renew = sqlx::query(RENEW).bind(component).bind(path).bind(due_ms).bind(&self.owner).bind(lease_ms());
        Ok(renew.execute(&self.host).await?.rows_affected() == 1)
    }

    async fn try_finish(&self, component: &str, path: &str, due_ms: i64) -> Result<bool, sqlx::Error> {
        let finish = sqlx::query(FINISH).bind(component).bind(path).bind(due_ms).bind(&self.owner);
        Ok(finish.execute(&self.host).await?.rows_affected() == 1)
    }
}

fn lease_ms() -> f64 {
    LEASE.as_secs_f64() * 1000.0
}

impl Claims for JobClaims {
    fn claim<'a>(&'a self, component: &'a str, path: &'a str, due_ms: i64) -> BoxFuture<'a, anyhow::Result<Claim>> {
        async move { Ok(self.try_claim(component, path, due_ms).await?) }.boxed()
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    fn renew<'a>(&'a self, component: &'a str, path: &'a str, due_ms: i64) -> BoxFuture<'a, anyhow::Result<bool>> {
        async move { Ok(self.try_renew(component, path, due_ms).await?) }.boxed()
    }

    fn finish<'a>(&'a self, component: &'a str, path: &'a str, due_ms: i64) -> BoxFuture<'a, anyhow::Result<bool>> {
        async move { Ok(self.try_finish(component, path, due_ms).await?) }.boxed()
    }
}
