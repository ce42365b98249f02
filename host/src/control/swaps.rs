//! Replacing components by request, and telling how it goes.
//!
//! The body of `POST /swap` is, for each component, a line of JSON with its id and
//! the bytes of its file, and then the file. The answer is a line of JSON for each
//! step, and one for the end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::stream::{self, Lines};
use crate::{
    host::swap::{Canary, Replacement, Rollback, Step, SwapError, Swapped, Swapper, VersionInfo, VersionState},
    precompiled::COMPONENT_BYTES_MAX,
};

/// All files of one request, in bytes.
pub(super) const SWAP_BYTES_MAX: usize = 256 << 20;
/// How long a canary holds unless it is said.
pub const HOLD_TIME: Duration = Duration::from_secs(60);
/// How often a canary is looked at, for who waits for its end.
const CANARY_LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long a canary may hold.
const HOLD_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What stands before a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    component: String,
    bytes: usize,
}

/// The files of a request.
pub(super) fn parse(mut body: Bytes) -> Result<Vec<Replacement>, String> {
    let mut replacements: Vec<Replacement> = Vec::new();
    while !body.is_empty() {
        let end = body.iter().position(|byte| *byte == b'\n').ok_or("a head has no end of line")?;
        let head = body.split_to(end + 1);
        let Head { component, bytes } =
            serde_json::from_slice(&head).map_err(|error| format!("a head is not as it should be: {error}"))?;
        if bytes > COMPONENT_BYTES_MAX {
            return Err(format!("{component}: {bytes} bytes; at most {COMPONENT_BYTES_MAX} are accepted"));
        }
        if bytes > body.len() {
            return Err(format!("{component}: the body ends within its file"));
        }
        if replacements.iter().any(|other| other.component == component) {
            return Err(format!("{component} is named twice"));
        }
        replacements.push(Replacement { component, bytes: body.split_to(bytes).into() });
    }
    if replacements.is_empty() { Err("the body has no file".to_owned()) } else { Ok(replacements) }
}

/// The canary that a query asks for: `canary_percent=10&hold_seconds=60`.
pub(super) fn canary(percent: Option<&str>, hold_seconds: Option<&str>) -> Result<Option<Canary>, &'static str> {
    let Some(percent) = percent else {
        let alone = "hold_seconds goes with canary_percent";
        return if hold_seconds.is_none() { Ok(None) } else { Err(alone) };
    };
    let share_percent = percent.parse().ok().filter(|percent| (1..=99).contains(percent));
    let share_percent = share_percent.ok_or("canary_percent is a number from 1 to 99")?;
    let hold = match hold_seconds {
        None => HOLD_TIME,
        Some(seconds) => {
            let hold = seconds.parse().ok().map(Duration::from_secs);
            let fits = |hold: &Duration| !hold.is_zero() && *hold <= HOLD_TIME_MAX;
            hold.filter(fits).ok_or("hold_seconds is a number of seconds, from 1 to a day's")?
        }
    };
    Ok(Some(Canary { share_percent, hold }))
}

/// Replaces components and tells each step. It goes on to its end even if nobody
/// listens any more.
pub(super) fn start(swapper: Arc<Swapper>, replacements: Vec<Replacement>, canary: Option<Canary>) -> Lines {
    // One line a step: nothing that could pile up.
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let steps = sender.clone();
        let progress = move |step: Step| drop(steps.send(event(&step)));
        let outcome = swapper.swap(replacements, canary, &progress).await;
        drop(sender.send(end(&outcome)));
        if let (Ok(swapped), Some(_)) = (&outcome, canary) {
            tokio::select! {
                () = sender.closed() => {}
                event = canary_end(&swapper, swapped) => drop(sender.send(event)),
            }
        }
    });
    stream::of(receiver)
}

/// Waits until a canary is promoted or ended.
async fn canary_end(swapper: &Swapper, swapped: &[Swapped]) -> Value {
    let Some(Swapped { component, to, .. }) = swapped.first() else {
        return json!({ "event": "promoted", "swapped": [] });
    };
    loop {
        tokio::time::sleep(CANARY_LOOK_INTERVAL).await;
        let versions = swapper.versions(component).unwrap_or_default();
        let Some(version) = versions.iter().find(|version| version.hash == *to) else {
            let reason = "the version is not kept any more";
            return json!({ "event": "rolledBack", "reason": reason, "swapped": list(swapped) });
        };
        match version.state {
            VersionState::Canary { .. } => {}
            VersionState::Current => return json!({ "event": "promoted", "swapped": list(swapped) }),
            VersionState::Previous | VersionState::Kept => {
                return json!({ "event": "rolledBack", "reason": version.rolled_back, "swapped": list(swapped) });
            }
        }
    }
}

fn event(step: &Step) -> Value {
    match step {
        Step::Storing => json!({ "event": "storing" }),
        Step::Compiling { component } => json!({ "event": "compiling", "component": component }),
        Step::Checking => json!({ "event": "checking" }),
        Step::Preparing { component } => json!({ "event": "preparing", "component": component }),
        Step::Probing { component } => json!({ "event": "probing", "component": component }),
        Step::Switching => json!({ "event": "switching" }),
        Step::Canary { share_percent, hold } => {
            json!({ "event": "canary", "sharePercent": share_percent, "holdSeconds": hold.as_secs() })
        }
    }
}

fn end(outcome: &Result<Vec<Swapped>, SwapError>) -> Value {
    match outcome {
        Ok(swapped) => json!({ "event": "swapped", "swapped": list(swapped) }),
        Err(error) => json!({ "event": "refused", "message": error.to_string(), "problems": problems(error) }),
    }
}

/// The answer to what needs no steps.
pub(super) fn answer(outcome: &Result<Vec<Swapped>, SwapError>) -> (StatusCode, Value) {
    match outcome {
        Ok(swapped) => (StatusCode::OK, json!({ "swapped": list(swapped) })),
        Err(error) => {
            let status = match error {
                SwapError::NoComponent(_) => StatusCode::NOT_FOUND,
                SwapError::Refused(_) | SwapError::NoPrevious(_) | SwapError::CanaryUnderWay(_) => StatusCode::CONFLICT,
                SwapError::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, json!({ "message": error.to_string(), "problems": problems(error) }))
        }
    }
}

fn problems(error: &SwapError) -> Vec<String> {
    match error {
        SwapError::Refused(problems) => problems.clone(),
        other => vec![other.to_string()],
    }
}

pub(super) fn list(swapped: &[Swapped]) -> Value {
    let one = |Swapped { component, from, to }: &Swapped| json!({ "component": component, "from": from, "to": to });
    swapped.iter().map(one).collect()
}

pub(super) fn version(info: &VersionInfo) -> Value {
    let (state, share_percent) = match info.state {
        VersionState::Current => ("current", None),
        VersionState::Canary { share_percent } => ("canary", Some(share_percent)),
        VersionState::Previous => ("previous", None),
        VersionState::Kept => ("kept", None),
    };
    json!({
        "version": info.hash,
        "state": state,
        "sharePercent": share_percent,
        "sinceMs": info.since_ms,
        "rolledBack": info.rolled_back,
    })
}

pub(super) fn rollback(rollback: &Rollback) -> Value {
    json!({
        "component": rollback.component,
        "version": rollback.hash,
        "reason": rollback.reason,
        "atMs": rollback.at_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &'static str) -> Result<Vec<(String, Vec<u8>)>, String> {
        let pair = |replacement: Replacement| (replacement.component, replacement.bytes);
        parse(Bytes::from_static(body.as_bytes())).map(|all| all.into_iter().map(pair).collect())
    }

    #[test]
    fn files_stand_behind_their_heads() {
        let body = "{\"component\":\"a\",\"bytes\":3}\nx\ny{\"component\":\"b\",\"bytes\":0}\n";
        assert_eq!(parsed(body).unwrap(), [("a".to_owned(), b"x\ny".to_vec()), ("b".to_owned(), Vec::new())]);
    }

    #[test]
    fn a_body_that_is_not_as_it_should_be_is_refused_with_why() {
        for (body, problem) in [
            ("", "the body has no file"),
            ("{\"component\":\"a\",\"bytes\":3}", "a head has no end of line"),
            ("{\"component\":\"a\",\"bytes\":3}\nxy", "a: the body ends within its file"),
            ("{\"component\":\"a\",\"bytes\":99999999999}\n", "a: 99999999999 bytes; at most 67108864 are accepted"),
            ("{\"component\":\"a\",\"bytes\":0}\n{\"component\":\"a\",\"bytes\":0}\n", "a is named twice"),
        ] {
            assert_eq!(parsed(body).unwrap_err(), problem);
        }
        for body in ["\0asm\n", "{\"component\":\"a\"}\n", "{\"component\":\"a\",\"bytes\":-1}\n", "[]\n"] {
            let problem = parsed(body).unwrap_err();
            assert!(problem.starts_with("a head is not as it should be: "), "{problem}");
        }
    }

    #[test]
    fn a_canary_has_a_share_and_a_time() {
        let asked =
            |percent, hold| canary(percent, hold).map(|canary| canary.map(|c| (c.share_percent, c.hold.as_secs())));
        assert_eq!(asked(None, None), Ok(None));
        assert_eq!(asked(Some("10"), None), Ok(Some((10, 60))));
        assert_eq!(asked(Some("99"), Some("5")), Ok(Some((99, 5))));
        for (percent, hold) in [("0", "5"), ("100", "5"), ("ten", "5"), ("10", "0"), ("10", "-1"), ("10", "99999999")] {
            assert!(asked(Some(percent), Some(hold)).is_err(), "{percent} {hold}");
        }
        assert!(asked(None, Some("5")).is_err());
    }
}
