//! The application manifest: `spin.toml`, version 2, and our own settings under `tool.cairn`.
//!
//! [`load`] reports every mistake in the file at once, each with its line and
//! column, what is wrong and what to do about it. What Spin knows and this host
//! does not do is refused by name, never ignored: an application that loads
//! here runs as its manifest says. The module reads no file but the manifest,
//! until [`Application::check_files`] is asked to look at the others, and it
//! knows no value of any variable.

mod allowed_host;
mod component;
mod files;
mod problem;
mod section;
mod source;
mod spin;
mod template;
#[cfg(test)]
mod tests;
mod trigger;
pub(crate) mod units;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use allowed_host::{AllowedHost, AllowedHostError};
pub use files::MountedFile;
pub use problem::{Position, Problem, Problems};
pub use source::{Remote, Source};
pub use template::{Template, TemplateError};

/// Size of a manifest, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Reads and validates the manifest at `path`.
///
/// # Errors
///
/// Every mistake in the file, in its order; or one problem without a position
/// where the file cannot be read.
pub fn load(path: &Path) -> Result<Application, Problems> {
    let file = path.display().to_string();
    let text = read_bounded(path).map_err(|message| Problems::unreadable(&file, message))?;
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    spin::read(&text, &file, dir)
}

/// Validates the text of a manifest whose relative paths start at `dir`.
///
/// # Errors
///
/// As [`load`]; the file is called `spin.toml`.
pub fn parse(text: &str, dir: &Path) -> Result<Application, Problems> {
    spin::read(text, "spin.toml", dir)
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if metadata.len() > MANIFEST_BYTES_MAX {
        return Err(format!("is larger than {MANIFEST_BYTES_MAX} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

/// A validated application.
#[derive(Debug, Clone, Default)]
pub struct Application {
    /// Never empty.
    pub name: String,
    /// Empty where the manifest has none.
    pub version: String,
    /// Folder of the manifest; relative paths in it start here.
    pub dir: PathBuf,
    /// Every variable that a template may name.
    pub variables: BTreeMap<String, Variable>,
    /// In the order of the file. No two public ones take the same paths.
    pub triggers: Vec<Trigger>,
    /// In the order of the file. Every trigger names one of them.
    pub components: Vec<Component>,
    /// Labels of key-value stores that are kept in memory and lost at a restart
    /// (`[application.tool.cairn]`, `memory_stores`).
    pub memory_stores: Vec<String>,
    /// The manifest as problems name it, such as `spin.toml`.
    pub file: String,
}

impl Application {
    /// The component called `id`.
    #[must_use]
    pub fn component(&self, id: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.id == id)
    }
}

/// An application variable: what operators may set.
#[derive(Debug, Clone, Default)]
pub struct Variable {
    /// Its value unless an operator sets another.
    pub default: Option<String>,
    /// It has no default, and the application cannot start without a value.
    pub required: bool,
    /// Never logged, and never in an error.
    pub secret: bool,
}

/// What an outside request is answered by.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The paths.
    pub route: Route,
    /// What serves them.
    pub target: Target,
}

/// What serves the paths of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The component with this id.
    Component(String),
    /// The host itself, always the same.
    Response(Arc<StaticResponse>),
}

/// An answer that the manifest spells out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticResponse {
    pub status: http::StatusCode,
    pub headers: http::HeaderMap,
    pub body: String,
}

/// Which request paths a trigger takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A pattern as Spin has it: literal segments, `:name` segments, and a final `/...`.
    Public(String),
    /// Reached only from inside: by its id, by other components and by the scheduler.
    Private,
}

/// One component: its code and everything it is granted.
#[derive(Debug, Clone, Default)]
pub struct Component {
    /// In kebab-case, unlike any other's.
    pub id: String,
    /// For people; may be empty.
    pub description: String,
    /// Its code: `tool.cairn.source` where given, else `source`.
    pub source: Source,
    /// Where the manifest names [`Self::source`].
    pub source_at: Position,
    /// Labels of the databases it may open (`tool.cairn.sqlite_databases` wins).
    pub sqlite_databases: Vec<String>,
    /// Labels of the key-value stores it may open (`tool.cairn.key_value_stores` wins).
    pub key_value_stores: Vec<String>,
    /// Its own variables: templates over the application's, such as `{{ jwt_secret }}`
    /// (`tool.cairn.variables`, a list of names, restricts them).
    pub variables: BTreeMap<String, String>,
    /// As Spin has it: `scheme://host:port` with wildcards; may hold `{{ variable }}` templates.
    pub allowed_outbound_hosts: Vec<String>,
    /// Environment variables that it sees.
    pub environment: BTreeMap<String, String>,
    /// Files that it sees; [`Application::mounted_files`] resolves them.
    pub files: Vec<Files>,
    /// Patterns of files that [`Self::files`] does not give it.
    pub exclude_files: Vec<String>,
    /// How to make [`Self::source`].
    pub build: Option<Build>,
    /// What it may use.
    pub limits: Limits,
    /// When the scheduler calls it.
    pub schedule: Vec<Job>,
}

/// Files of the host that a component sees, read-only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Relative to the manifest.
    pub source: PathBuf,
    /// Absolute path in the component. For a pattern: `/`, below which a file
    /// keeps its path relative to the manifest.
    pub destination: String,
    /// `source` is a path or glob pattern of single files, rather than a folder.
    pub pattern: bool,
    /// Where the manifest names it.
    pub at: Position,
}

/// How the component is built. The host never runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Commands for a shell, in order.
    pub command: Vec<String>,
    /// Relative to the manifest; where absent, its folder.
    pub workdir: Option<PathBuf>,
    /// Patterns of files whose change asks for another build.
    pub watch: Vec<String>,
}

/// What one component may use. From `tool.cairn.limits`; each has a default.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Rows that one statement may return.
    pub query_rows_max: usize,
    /// Result of one statement, in bytes.
    pub query_bytes_max: usize,
    /// HTTP requests to the outside at once, of all instances together.
    pub outbound_requests_max: usize,
    /// Raw connections to the outside that are open, of all instances together.
    pub outbound_connections_max: usize,
    /// Key in a key-value store, in bytes.
    pub key_bytes_max: usize,
    /// Value that is put into a key-value store, in bytes.
    pub value_bytes_max: usize,
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
            query_rows_max: 100_000,
            query_bytes_max: 64 << 20,
            outbound_requests_max: 64,
            outbound_connections_max: 64,
            key_bytes_max: 1 << 10,
            value_bytes_max: 1 << 20,
        }
    }
}

/// A private route that the scheduler POSTs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Five cron fields: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// Begins with `/`.
    pub path: String,
    /// Minutes to add to UTC to get the zone the cron fields are in.
    pub utc_offset_minutes: i32,
}
