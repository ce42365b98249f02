//! Several hosts of one application agree on who runs a job that is due.

use std::time::Duration;

use futures::future::BoxFuture;

/// What became of the wish to run a job for one of its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// This host runs it.
    Mine,
    /// It has been run for this time, or a later one.
    Done,
    /// Another host runs it, and has to say so again before this time is over.
    Taken { until: Duration },
}

/// Where claims are kept. A job is known by its component and path, a time of it by
/// when it was due: UTC in milliseconds since 1970, the same on every host.
pub trait Claims: Send + Sync {
    /// Claims a job for a time. A claim counts for [`Self::lease`].
    fn claim<'a>(&'a self, component: &'a str, path: &'a str, due_ms: i64) -> BoxFuture<'a, anyhow::Result<Claim>>;

    /// How long a claim counts unless it is renewed.
    fn lease(&self) -> Duration;

    /// Lets a claim count anew. False if it is lost.
    fn renew<'a>(&'a self, component: &'a str, path: &'a str, due_ms: i64) -> BoxFuture<'a, anyhow::Result<bool>>;

    /// Notes that the job has been run for the time. False if the claim is lost.
    fn finish<'a>(&'a self, component: &'a str, path: &'a str, due_ms: i64) -> BoxFuture<'a, anyhow::Result<bool>>;
}
