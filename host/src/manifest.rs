//! The application manifest: `spin.toml`, version 2, and our own settings under `tool.cairn`.
//!
//! [`load`] reports every mistake in the file at once, each with its line.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// A validated application.
#[derive(Debug, Clone)]
pub struct Application {
    pub name: String,
    pub version: String,
    /// Folder of the manifest; relative paths in it start here.
    pub dir: PathBuf,
    pub variables: BTreeMap<String, Variable>,
    pub triggers: Vec<Trigger>,
    /// In the order of the file. Every trigger names one of them.
    pub components: Vec<Component>,
}

/// An application variable: what operators may set.
#[derive(Debug, Clone, Default)]
pub struct Variable {
    pub default: Option<String>,
    pub required: bool,
    /// Never logged, and never in an error.
    pub secret: bool,
}

#[derive(Debug, Clone)]
pub struct Trigger {
    pub route: Route,
    pub component: String,
}

/// Which request paths a trigger takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A pattern as Spin has it: literal segments, `:name` segments, and a final `/...`.
    Public(String),
    /// Reached only from inside: by its id, by other components and by the scheduler.
    Private,
}

#[derive(Debug, Clone)]
pub struct Component {
    pub id: String,
    /// Path of the `.wasm` file: `tool.cairn.source` where given, else `source`.
    pub source: PathBuf,
    /// Labels of the databases it may open (`tool.cairn.sqlite_databases` wins).
    pub sqlite_databases: Vec<String>,
    pub key_value_stores: Vec<String>,
    /// Its own variables: templates over the application's, such as `{{ jwt_secret }}`
    /// (`tool.cairn.variables`, a list of names, restricts them).
    pub variables: BTreeMap<String, String>,
    /// As Spin has it: `scheme://host:port` with wildcards; may hold `{{ variable }}` templates.
    pub allowed_outbound_hosts: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub files: Vec<Files>,
    pub build: Option<Build>,
    pub limits: Limits,
    pub schedule: Vec<Job>,
}

/// Files of the host that a component sees, read-only.
#[derive(Debug, Clone)]
pub struct Files {
    pub source: PathBuf,
    /// Absolute path in the component.
    pub destination: String,
}

#[derive(Debug, Clone)]
pub struct Build {
    pub command: Vec<String>,
    pub workdir: Option<PathBuf>,
    pub watch: Vec<String>,
}

/// What one component may use. From `tool.cairn.limits`; each has a default.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Linear memory of one instance, in bytes.
    pub memory_bytes_max: usize,
    /// Requests and calls at once; also the number of instances.
    pub concurrency_max: usize,
    /// Requests and calls that may wait for a free instance.
    pub queue_max: usize,
    /// Wall time of one request or call.
    pub request_time_max: Duration,
    /// Time one request or call may compute.
    pub cpu_time_max: Duration,
    /// Requests after which an instance is replaced.
    pub instance_requests_max: u64,
    /// Request body, in bytes.
    pub body_bytes_max: usize,
    /// Wall time of one database statement.
    pub statement_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 64 << 20,
            concurrency_max: 64,
            queue_max: 1024,
            request_time_max: Duration::from_secs(30),
            cpu_time_max: Duration::from_secs(5),
            instance_requests_max: 10_000,
            body_bytes_max: 10 << 20,
            statement_time_max: Duration::from_secs(5),
        }
    }
}

/// A private route that the scheduler POSTs to.
#[derive(Debug, Clone)]
pub struct Job {
    /// Five cron fields: minute, hour, day of month, month, day of week.
    pub cron: String,
    pub path: String,
    /// Minutes to add to UTC to get the zone the cron fields are in.
    pub utc_offset_minutes: i32,
}
