//! The log of the running host, by request.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde_json::json;
use tokio::sync::watch;

use super::stream::Lines;
use crate::telemetry::{
    Logs,
    logs::{LINES_MAX, Line},
};

/// Lines that are shown unless it is said how many.
const LINES: usize = 100;

/// What a request wants to see.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Lines about this component alone.
    component: Option<String>,
    /// How many of the past.
    lines: usize,
    /// Whether to go on with those to come.
    follow: bool,
}

impl Wanted {
    pub(super) fn new(
        component: Option<&str>,
        lines: Option<&str>,
        follow: Option<&str>,
    ) -> Result<Self, &'static str> {
        let lines = match lines {
            None => LINES,
            Some(lines) => {
                lines.parse().ok().filter(|lines| *lines <= LINES_MAX).ok_or("lines is a number up to 2000")?
            }
        };
        let follow = match follow {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err("follow is true or false"),
        };
        Ok(Self { component: component.map(str::to_owned), lines, follow })
    }

    fn wants(&self, line: &Line) -> bool {
        self.component.is_none() || self.component == line.component
    }

    /// These lines as the answer has them, after one that tells of those lost.
    fn text(&self, lines: &[Arc<Line>], lost: u64) -> Bytes {
        let mut text = String::new();
        if lost > 0 {
            let message = format!("{lost} lines came too fast and are not shown");
            text += &json!({ "level": "WARN", "target": "host::control", "message": message }).to_string();
            text.push('\n');
        }
        for line in lines.iter().filter(|line| self.wants(line)) {
            text += &line.json;
            text.push('\n');
        }
        text.into()
    }
}

/// The lines that are wanted.
pub(super) fn show(logs: &Logs, wanted: Wanted) -> Lines {
    // Before the lines are read, so that none comes in between unseen.
    let changes = logs.last();
    let (past, _, last) = logs.after(0);
    let past: Vec<_> = past.into_iter().filter(|line| wanted.wants(line)).collect();
    let shown = past.get(past.len().saturating_sub(wanted.lines)..).unwrap_or_default();
    let first = stream::iter([wanted.text(shown, 0)]);
    if !wanted.follow {
        return Box::pin(first);
    }
    let following = Following { logs: logs.clone(), changes, seen: last, wanted };
    Box::pin(
        first.chain(stream::unfold(following, Following::next)).filter(|text| std::future::ready(!text.is_empty())),
    )
}

struct Following {
    logs: Logs,
    changes: watch::Receiver<u64>,
    /// Number of the last line that was looked at.
    seen: u64,
    wanted: Wanted,
}

impl Following {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        self.changes.wait_for(|last| *last > self.seen).await.ok()?;
        let (lines, lost, last) = self.logs.after(self.seen);
        self.seen = last;
        Some((self.wanted.text(&lines, lost), self))
    }
}
