//! The last lines of the log, for whoever looks at a running host.
//!
//! Lines are numbered from 1. Whoever follows asks for what came after the last one
//! they saw, so that slow readers cost nothing and see what they missed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::json::{JsonLayer, Sink};

/// Lines kept.
pub const LINES_MAX: usize = 2_000;
/// Bytes of all lines kept.
const BYTES_MAX: usize = 4 << 20;

/// The last lines of the log. Clones share them.
#[derive(Clone)]
pub struct Logs(Arc<Shared>);

struct Shared {
    ring: Mutex<Ring>,
    /// The number of the last line.
    last: watch::Sender<u64>,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
    last: u64,
}

/// One line.
#[derive(Debug)]
pub struct Line {
    /// The component that it is about.
    pub component: Option<String>,
    /// A JSON object, without an end of line.
    pub json: String,
}

impl Default for Logs {
    fn default() -> Self {
        Self(Arc::new(Shared { ring: Mutex::default(), last: watch::Sender::new(0) }))
    }
}

impl Logs {
    /// A layer that keeps what is logged.
    pub(super) fn layer(&self) -> JsonLayer<Self> {
        JsonLayer::into_sink(self.clone())
    }

    /// The lines kept that came after the one of that number, how many were lost
    /// between, and the number of the last one.
    #[must_use]
    pub fn after(&self, number: u64) -> (Vec<Arc<Line>>, u64, u64) {
        let ring = self.lock();
        let kept = ring.lines.len() as u64;
        let first = ring.last - kept + 1;
        let lost = first.saturating_sub(number + 1);
        let skipped = usize::try_from((number + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        (ring.lines.iter().skip(skipped).cloned().collect(), lost, ring.last)
    }

    /// Tells the number of the last line, as often as that changes.
    #[must_use]
    pub fn last(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }

    fn push(&self, line: Line) {
        let mut ring = self.lock();
        ring.bytes += line.json.len();
        ring.last += 1;
        ring.lines.push_back(Arc::new(line));
        while ring.lines.len() > LINES_MAX || ring.bytes > BYTES_MAX {
            let Some(oldest) = ring.lines.pop_front() else { break };
            ring.bytes -= oldest.json.len();
        }
        // Inside of the lock, so that numbers never go back.
        self.0.last.send_replace(ring.last);
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Logs {
    fn line(&self, line: Map<String, Value>) {
        let component = line.get("component").and_then(Value::as_str).map(str::to_owned);
        self.push(Line { component, json: Value::Object(line).to_string() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(logs: &Logs, text: &str) {
        logs.push(Line { component: None, json: text.to_owned() });
    }

    fn texts(lines: &[Arc<Line>]) -> Vec<&str> {
        lines.iter().map(|line| line.json.as_str()).collect()
    }

    #[test]
    fn whoever_follows_sees_each_line_once_and_learns_what_was_lost() {
        let logs = Logs::default();
        assert_eq!(logs.after(0).1, 0);
        push(&logs, "a");
        push(&logs, "b");
        let (lines, lost, last) = logs.after(0);
        assert_eq!((texts(&lines), lost, last), (vec!["a", "b"], 0, 2));
        push(&logs, "c");
        let (lines, lost, last) = logs.after(last);
        assert_eq!((texts(&lines), lost, last), (vec!["c"], 0, 3));
        assert!(logs.after(last).0.is_empty());
        for _ in 0..LINES_MAX + 5 {
            push(&logs, "d");
        }
        let (lines, lost, _) = logs.after(last);
        assert_eq!((lines.len(), lost), (LINES_MAX, 5));
    }

    #[test]
    fn long_lines_do_not_fill_the_memory() {
        let logs = Logs::default();
        let long = "x".repeat(BYTES_MAX / 4);
        for _ in 0..10 {
            push(&logs, &long);
        }
        let (lines, lost, last) = logs.after(0);
        assert_eq!((lines.len(), lost, last), (4, 6, 10));
    }
}
