//! What operators see: log lines, metrics and the ids that tie them together.
//!
//! The module owns how things are told, and decides nothing. Log lines go to
//! standard error. Nothing here knows a secret: whoever logs leaves them out.

pub mod guest;
mod json;
pub mod levels;
pub mod logs;
pub mod metrics;
pub mod trace;

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt};

pub use guest::{LINE_BYTES_MAX, LineBuffer, guest_line};
pub use json::now;
pub use levels::LogLevels;
pub use logs::Logs;
pub use metrics::Metrics;
pub use trace::{CorrelationId, TraceContext};

/// Environment variable with the levels to log: `info`, or by target as in
/// `warn,host=debug,guest=info`.
pub const LOG_VARIABLE: &str = "CAIRN_LOG";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, in colour on a terminal.
    Human,
    /// One JSON object a line, for machines.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("{LOG_VARIABLE} cannot be read: {0}; write a level such as `info`, or `warn,host=debug`")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("logging is set up already")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// What an operator may do with the log of a running host.
#[derive(Clone)]
pub struct Logging {
    pub levels: LogLevels,
    pub logs: Logs,
}

/// Sends what is logged from now on to standard error, and keeps the last lines.
/// `filter` is as in [`LOG_VARIABLE`]; `None` means `info`.
///
/// # Errors
///
/// If `filter` cannot be read, or logging is set up already.
pub fn init(format: Format, filter: Option<&str>) -> Result<Logging, LoggingError> {
    let (levels, logs) = (LogLevels::new(filter.unwrap_or("info"))?, Logs::default());
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Human => {
            let human = fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal());
            human.with_filter(levels.clone()).boxed()
        }
        Format::Json => json::JsonLayer::new(stderr).with_filter(levels.clone()).boxed(),
    };
    let kept = logs.layer().with_filter(levels.clone());
    tracing_subscriber::registry().with(layer).with(kept).try_init()?;
    Ok(Logging { levels, logs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_with_how_to_write_one() {
        let error = init(Format::Json, Some("host=loud")).err().unwrap().to_string();
        assert!(error.starts_with("CAIRN_LOG cannot be read: "), "{error}");
        assert!(error.ends_with("write a level such as `info`, or `warn,host=debug`"), "{error}");
    }
}
