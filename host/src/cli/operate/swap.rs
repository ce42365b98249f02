//! Replacing components and going back, on one host or on several, one after the other.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{Canary, Command, id, show, write};
use crate::cli::{
    client::{Operator, Place, Problem},
    table,
};

/// What is sent to each host.
struct Request {
    target: String,
    body: Bytes,
    canary: bool,
}

impl Request {
    fn new(files: &[(String, PathBuf)], canary: Option<Canary>) -> Result<Self, Problem> {
        let mut body = Vec::new();
        for (component, file) in files {
            let bytes = read_file(file)?;
            let head = json!({ "component": component, "bytes": bytes.len() });
            body.extend_from_slice(format!("{head}\n").as_bytes());
            body.extend_from_slice(&bytes);
        }
        let target = match canary {
            Some(Canary { percent, hold }) => format!("/swap?canary_percent={percent}&hold_seconds={}", hold.as_secs()),
            None => "/swap".to_owned(),
        };
        Ok(Self { target, body: body.into(), canary: canary.is_some() })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| Problem::Refused(format!("{} cannot be read: {error}", path.display())))
}

/// Replaces components on each host in turn. Where one refuses, or the canary there does
/// not hold, those before it go back.
pub(super) async fn swap(
    command: &Command,
    hosts: &[Operator],
    files: &[(String, PathBuf)],
    canary: Option<Canary>,
) -> Result<(), Problem> {
    let request = Request::new(files, canary)?;
    if let [host] = hosts {
        return send(host, &request, &|event| tell(command, event, None)).await.map(drop);
    }
    // Nothing is replaced anywhere unless all of them answer.
    for host in hosts {
        host.json(Method::GET, "/status", "").await?;
    }
    let mut done = Vec::new();
    for host in hosts {
        announce(command, host.place());
        let told = |event: &Value| Ok(tell(command, event, Some(host.place())).unwrap_or_default());
        match send(host, &request, &told).await {
            Ok(swapped) => done.push((host, swapped)),
            Err(problem) => return Err(undone(problem, host, &done).await),
        }
    }
    Ok(())
}

/// Goes back on each host. One that cannot does not keep the others from it.
pub(super) async fn roll_back(command: &Command, hosts: &[Operator], component: &str) -> Result<(), Problem> {
    let component = id(component)?;
    if let [host] = hosts {
        return tell(command, &go_back(host, component).await?, None);
    }
    let mut problems = Vec::new();
    for host in hosts {
        announce(command, host.place());
        match go_back(host, component).await {
            Ok(swapped) => tell(command, &swapped, Some(host.place())).unwrap_or_default(),
            Err(problem) => problems.push(format!("{}: {}", host.place(), words(problem))),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Problem::Refused(problems.join("\n"))) }
}

async fn go_back(host: &Operator, component: &str) -> Result<Value, Problem> {
    host.json(Method::POST, &format!("/components/{component}/rollback"), "").await
}

/// Replaces components on one host, and gives what was replaced by what.
async fn send(
    host: &Operator,
    request: &Request,
    told: &dyn Fn(&Value) -> Result<(), Problem>,
) -> Result<Value, Problem> {
    // With a canary the host tells first that it is under way, and then how it ended.
    let success = if request.canary { "promoted" } else { "swapped" };
    let mut end = None;
    let each = |line: &str| {
        let event: Value = serde_json::from_str(line).map_err(Problem::refused)?;
        told(&event)?;
        if [success, "refused", "rolledBack"].iter().any(|name| event["event"] == *name) {
            end = Some(event);
        }
        Ok(())
    };
    host.lines(Method::POST, &request.target, request.body.clone(), each).await?;
    let end =
        end.ok_or_else(|| Problem::Unreachable("the host went away before the end; see `cairn versions`".to_owned()))?;
    match end["event"].as_str() {
        Some("refused") => Err(Problem::Refused(table::text(&end["message"]))),
        Some("rolledBack") => Err(Problem::Refused(format!("rolled back: {}", table::text(&end["reason"])))),
        _ => Ok(end["swapped"].clone()),
    }
}

/// The problem of one host, after those that were done before it have gone back.
async fn undone(problem: Problem, host: &Operator, done: &[(&Operator, Value)]) -> Problem {
    let mut told = format!("{}: {}", host.place(), words(problem));
    for (host, swapped) in done.iter().rev() {
        told += &match undo(host, swapped).await {
            Ok(()) => format!("\n{}: as it was before", host.place()),
            Err(problem) => format!("\n{}: not gone back: {}", host.place(), words(problem)),
        };
    }
    Problem::Refused(told)
}

/// Takes back what one swap did, which one rollback does: it goes back in one step too.
async fn undo(host: &Operator, swapped: &Value) -> Result<(), Problem> {
    // A host that ran these versions already has nothing to take back.
    let Some(first) = swapped.get(0) else { return Ok(()) };
    let component = id(first["component"].as_str().unwrap_or_default())?;
    let versions = host.json(Method::GET, &format!("/components/{component}/versions"), "").await?;
    let current = versions.as_array().into_iter().flatten().find(|version| version["state"] == "current");
    if current.is_none_or(|current| current["version"] != first["to"]) {
        return Err(Problem::Refused(format!("somebody has replaced {component} there since")));
    }
    go_back(host, component).await.map(drop)
}

fn words(problem: Problem) -> String {
    match problem {
        Problem::Refused(words) | Problem::Unreachable(words) => words,
        Problem::OutputClosed => "nobody reads what it says".to_owned(),
    }
}

/// Tells people whose turn it is. With several hosts, it matters less whether anybody
/// reads than that all of them are done.
fn announce(command: &Command, place: &Place) {
    if !command.json {
        write(&format!("{place}:\n")).unwrap_or_default();
    }
}

/// Tells a step, or what was replaced.
fn tell(command: &Command, event: &Value, place: Option<&Place>) -> Result<(), Problem> {
    if command.json {
        let mut event = event.clone();
        if let Some(place) = place {
            event["host"] = place.to_string().into();
        }
        return write(&format!("{event}\n"));
    }
    match event["event"].as_str() {
        // Refusals go where errors go, in the gate's own words.
        Some("refused" | "rolledBack") => Ok(()),
        Some(_) => write(&show::step(event)),
        None => write(&show::swapped(event)),
    }
}
