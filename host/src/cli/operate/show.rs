//! Answers of the host, as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::cli::table::{age, ago, bytes, milliseconds, number, table, text, version};

fn rows<'a>(value: &'a Value, row: impl Fn(&'a Value) -> Vec<String>) -> Vec<Vec<String>> {
    value.as_array().into_iter().flatten().map(row).collect()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn status(status: &Value) -> String {
    const HEAD: [&str; 9] = ["COMPONENT", "VERSION", "AGE", "REQUESTS", "ERRORS", "P50", "P99", "MEMORY", "RUNNING"];
    let mut shown = table(&HEAD, &rows(&status["components"], component));
    let host = &status["host"];
    let ready = if host["ready"] == true { "ready" } else { "not ready" };
    let (version_, up, memory) = (text(&host["version"]), age(&host["ageSeconds"]), bytes(&host["memoryBytes"]));
    shown += &format!("\ncairn {version_}, {ready}, up {up}, {memory} in all\n");
    for problem in host["problems"].as_array().into_iter().flatten() {
        shown += &format!("- {}\n", text(problem));
    }
    for component in status["components"].as_array().into_iter().flatten() {
        if component["circuitOpen"] == true {
            shown += &format!("{}: its circuit is open, calls to it are refused for a while\n", text(&component["id"]));
        }
    }
    shown + &canary(&status["canary"]) + &rollbacks(&status["rollbacks"])
}

fn component(component: &Value) -> Vec<String> {
    vec![
        text(&component["id"]),
        version(&component["version"]),
        age(&component["ageSeconds"]),
        number(&component["requests"]),
        number(&component["errors"]),
        milliseconds(&component["p50Ms"]),
        milliseconds(&component["p99Ms"]),
        bytes(&component["memoryBytes"]),
        number(&component["running"]),
    ]
}

fn canary(canary: &Value) -> String {
    if canary.is_null() {
        return String::new();
    }
    let left = canary["endsMs"].as_u64().unwrap_or_default().saturating_sub(now_ms()) / 1_000;
    let (share, requests, errors) =
        (number(&canary["sharePercent"]), number(&canary["requests"]), number(&canary["errors"]));
    let head =
        format!("\ncanary with {share} % of the requests, {left} s left: {requests} requests, {errors} errors\n");
    head + &swapped(canary)
}

fn rollbacks(rollbacks: &Value) -> String {
    let now = now_ms();
    let one = |rollback: &Value| {
        let (component, version) = (text(&rollback["component"]), version(&rollback["version"]));
        format!("\nrolled back {}: {component} {version}: {}\n", ago(&rollback["atMs"], now), text(&rollback["reason"]))
    };
    rollbacks.as_array().into_iter().flatten().map(one).collect()
}

/// What was replaced by what.
pub(super) fn swapped(value: &Value) -> String {
    let one = |swapped: &Value| {
        format!("{}: {} → {}\n", text(&swapped["component"]), version(&swapped["from"]), version(&swapped["to"]))
    };
    match value["swapped"].as_array() {
        Some(swapped) if swapped.is_empty() => "nothing is replaced: this version runs already\n".to_owned(),
        swapped => swapped.into_iter().flatten().map(one).collect(),
    }
}

/// One step of a swap.
pub(super) fn step(event: &Value) -> String {
    let component = text(&event["component"]);
    match event["event"].as_str().unwrap_or_default() {
        "storing" => "storing…\n".to_owned(),
        "compiling" => format!("compiling {component}…\n"),
        "checking" => "checking that it fits…\n".to_owned(),
        "preparing" => format!("preparing {component}…\n"),
        "probing" => format!("trying {component}…\n"),
        "switching" => "switching…\n".to_owned(),
        "canary" => {
            format!("{} % of the requests for {} s…\n", number(&event["sharePercent"]), number(&event["holdSeconds"]))
        }
        "swapped" => swapped(event),
        "promoted" => "promoted: it has all requests\n".to_owned(),
        other => format!("{other}\n"),
    }
}

pub(super) fn versions(versions: &Value) -> String {
    let now = now_ms();
    let row = |info: &Value| {
        let state = match info["sharePercent"].as_u64() {
            Some(percent) => format!("canary {percent} %"),
            None => text(&info["state"]),
        };
        let reason = info["rolledBack"].as_str().map(|_| format!("rolled back: {}", text(&info["rolledBack"])));
        vec![version(&info["version"]), state, ago(&info["sinceMs"], now), reason.unwrap_or_default()]
    };
    table(&["VERSION", "STATE", "SINCE", ""], &rows(versions, row))
}

pub(super) fn log_levels(levels: &Value) -> String {
    let row = |level: &Value| {
        let of = if level["own"] == true { "its own" } else { "the host's" };
        vec![text(&level["component"]), text(&level["level"]), of.to_owned()]
    };
    table(&["COMPONENT", "LEVEL", ""], &rows(levels, row))
}

/// One line of the log: time, level, what it is about, message, and everything else.
pub(super) fn log_line(line: &Value) -> String {
    let Some(members) = line.as_object() else {
        return format!("{}\n", text(line));
    };
    const LEADING: [&str; 5] = ["time", "level", "target", "component", "message"];
    let member = |name: &str| members.get(name).map(text).unwrap_or_default();
    let about = if members.contains_key("component") { member("component") } else { member("target") };
    let mut shown = format!("{} {:<5} {about}: {}", member("time"), member("level"), member("message"));
    for (name, value) in members.iter().filter(|(name, _)| !LEADING.contains(&name.as_str())) {
        shown += &format!(" {name}={}", text(value));
    }
    // One line stays one line.
    shown.replace('\n', "\\n") + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_is_a_table_and_what_is_to_be_known() {
        let status = status(&json!({
            "host": { "version": "1.0.0", "ready": false, "problems": ["x: disk"], "ageSeconds": 61, "memoryBytes": 1048576 },
            "components": [{ "id": "a", "version": "0123456789abcdef", "ageSeconds": 5, "requests": 7, "errors": 1,
                "p50Ms": 0.5, "p99Ms": null, "memoryBytes": 0, "running": 2, "circuitOpen": true }],
            "canary": { "swapped": [{ "component": "a", "from": "00", "to": "11" }], "sharePercent": 10, "endsMs": 0,
                "requests": 3, "errors": 0 },
            "rollbacks": [{ "component": "a", "version": "22", "reason": "5 of 10 failed", "atMs": 0 }],
        }));
        let lines: Vec<&str> = status.lines().collect();
        assert_eq!(lines[0], "COMPONENT  VERSION       AGE  REQUESTS  ERRORS  P50      P99  MEMORY   RUNNING");
        assert_eq!(lines[1], "a          0123456789ab  5s   7         1       0.50 ms  -    0.0 MiB  2");
        for line in [
            "cairn 1.0.0, not ready, up 1m01s, 1.0 MiB in all",
            "- x: disk",
            "a: its circuit is open, calls to it are refused for a while",
            "canary with 10 % of the requests, 0 s left: 3 requests, 0 errors",
            "a: 00 → 11",
        ] {
            assert!(lines.contains(&line), "{line}\n{status}");
        }
        assert!(lines.last().unwrap().ends_with("ago: a 22: 5 of 10 failed"), "{status}");
    }

    #[test]
    fn a_log_line_stays_one_line() {
        let line =
            json!({ "time": "t", "level": "INFO", "target": "guest", "component": "a", "message": "x\ny", "n": 1 });
        assert_eq!(log_line(&line), "t INFO  a: x\\ny n=1\n");
        assert_eq!(log_line(&json!({ "level": "WARN", "target": "host", "message": "m" })), " WARN  host: m\n");
    }
}
