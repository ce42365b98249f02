//! Commands to a running application.

mod show;
mod swap;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};

use super::{
    arguments::{Argument, Arguments, too_many},
    client::{Operator, Place, Problem},
    up::SOCKET,
};
use crate::{
    control::{
        access::{self, TOKEN_VARIABLE},
        swaps::HOLD_TIME,
    },
    manifest::units,
};

/// Exit code when no host answers.
const UNREACHABLE: u8 = 3;
const LEVELS: [&str; 7] = ["off", "error", "warn", "info", "debug", "trace", "default"];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    action: Action,
    place: Place,
    /// Further hosts, of a swap or a rollback.
    more: Vec<Place>,
    token_file: Option<PathBuf>,
    json: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    Status,
    Swap { files: Vec<(String, PathBuf)>, canary: Option<Canary> },
    RollBack { component: String },
    Versions { component: String },
    Logs { component: Option<String>, lines: Option<usize>, follow: bool },
    LogLevels { component: Option<String> },
    SetLogLevel { component: String, level: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Canary {
    percent: u8,
    hold: Duration,
}

/// What stands on a command line, before it is known to make sense.
#[derive(Default)]
struct Words {
    words: Vec<String>,
    data: Option<PathBuf>,
    places: Vec<Place>,
    token_file: Option<PathBuf>,
    json: bool,
    follow: bool,
    lines: Option<usize>,
    canary: Option<u8>,
    hold: Option<Duration>,
}

pub(super) fn parse(command: &str, arguments: Arguments) -> Result<Command, String> {
    let mut words = read(command, arguments)?;
    let action = action(command, &mut words)?;
    if let Some(word) = words.words.first() {
        return Err(too_many(word));
    }
    let mut places = words.places.into_iter();
    let own = || Place::Socket(words.data.unwrap_or_else(|| ".cairn".into()).join(SOCKET));
    let (place, more) = (places.next().unwrap_or_else(own), places.collect::<Vec<_>>());
    if !more.is_empty() && !matches!(action, Action::Swap { .. } | Action::RollBack { .. }) {
        return Err(format!("{command} asks one host; name only one"));
    }
    let mut named = vec![&place];
    for other in &more {
        if named.contains(&other) {
            return Err(format!("{other} is named twice"));
        }
        named.push(other);
    }
    Ok(Command { action, place, more, token_file: words.token_file, json: words.json })
}

fn read(command: &str, mut arguments: Arguments) -> Result<Words, String> {
    let mut words = Words::default();
    let (swaps, logs) = (command == "swap", command == "logs");
    while let Some(argument) = arguments.next() {
        let given = match argument {
            Argument::Word(word) => {
                words.words.push(word);
                continue;
            }
            Argument::Option(given) => given,
        };
        match given.name.as_str() {
            "--json" => words.json = given.flag()?,
            "--data" => words.data = Some(arguments.value(given)?.into()),
            "--socket" => words.places.push(Place::Socket(arguments.value(given)?.into())),
            "--operator" => words.places.push(Place::Address(arguments.value(given)?)),
            "--operator-token-file" => words.token_file = Some(arguments.value(given)?.into()),
            "--follow" | "-f" if logs => words.follow = given.flag()?,
            "--lines" if logs => {
                let value = arguments.value(given)?;
                words.lines = Some(value.parse().map_err(|_| format!("--lines is a number, not {value:?}"))?);
            }
            "--canary" if swaps => words.canary = Some(share(&arguments.value(given)?)?),
            "--for" if swaps => words.hold = Some(hold(&arguments.value(given)?)?),
            _ => return Err(given.unknown()),
        }
    }
    Ok(words)
}

/// `10%` or `10`.
fn share(text: &str) -> Result<u8, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse().ok();
    let percent = percent.filter(|percent| (1..=99).contains(percent));
    percent.ok_or_else(|| format!("--canary is a share from 1% to 99%, not {text:?}"))
}

fn hold(text: &str) -> Result<Duration, String> {
    let whole = |hold: &Duration| hold.as_secs() > 0;
    units::duration(text).filter(whole).ok_or_else(|| format!("--for is a time such as 60s or 10min, not {text:?}"))
}

fn action(command: &str, words: &mut Words) -> Result<Action, String> {
    let mut next = || if words.words.is_empty() { None } else { Some(words.words.remove(0)) };
    Ok(match command {
        "status" => Action::Status,
        "swap" => swap(words)?,
        "rollback" => Action::RollBack { component: next().ok_or("name a component")? },
        "versions" => Action::Versions { component: next().ok_or("name a component")? },
        "logs" => Action::Logs { component: next(), lines: words.lines, follow: words.follow },
        _ => match (next(), next()) {
            (Some(component), Some(level)) if LEVELS.contains(&level.as_str()) => {
                Action::SetLogLevel { component, level }
            }
            (Some(_), Some(level)) => {
                return Err(format!("a level is off, error, warn, info, debug, trace or default, not {level:?}"));
            }
            (component, _) => Action::LogLevels { component },
        },
    })
}

/// `a a.wasm`, `a=a.wasm`, and more of the latter.
fn swap(words: &mut Words) -> Result<Action, String> {
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    let mut left = std::mem::take(&mut words.words).into_iter();
    while let Some(word) = left.next() {
        let (component, file) = match word.split_once('=') {
            Some((component, file)) => (component.to_owned(), file.to_owned()),
            None => {
                let file = left.next().ok_or_else(|| format!("name the file of {word}"))?;
                (word, file)
            }
        };
        if component.is_empty() || file.is_empty() {
            return Err("name a component and its file".to_owned());
        }
        if files.iter().any(|(other, _)| *other == component) {
            return Err(format!("{component} is named twice"));
        }
        files.push((component, file.into()));
    }
    let canary = match (words.canary, words.hold) {
        (Some(percent), hold) => Some(Canary { percent, hold: hold.unwrap_or(HOLD_TIME) }),
        (None, Some(_)) => return Err("--for goes with --canary".to_owned()),
        (None, None) => None,
    };
    if files.is_empty() { Err("name a component and its file".to_owned()) } else { Ok(Action::Swap { files, canary }) }
}

pub(super) fn run(command: &Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(&format!("the network cannot be used: {error}")),
    };
    match runtime.block_on(act(command)) {
        Ok(()) | Err(Problem::OutputClosed) => ExitCode::SUCCESS,
        Err(Problem::Refused(message)) => super::fail(&message),
        Err(Problem::Unreachable(message)) => {
            eprintln!("{message}");
            ExitCode::from(UNREACHABLE)
        }
    }
}

async fn act(command: &Command) -> Result<(), Problem> {
    let token = token(command.token_file.as_deref())?;
    let at = |place: &Place| Operator::new(place.clone(), token.clone());
    let operator = at(&command.place);
    let hosts = || std::iter::once(&command.place).chain(&command.more).map(at).collect::<Vec<_>>();
    let get = async |target: &str| operator.json(Method::GET, target, "").await;
    match &command.action {
        Action::Status => print(command, &get("/status").await?, show::status),
        Action::Swap { files, canary } => swap::swap(command, &hosts(), files, *canary).await,
        Action::RollBack { component } => swap::roll_back(command, &hosts(), component).await,
        Action::Versions { component } => {
            let versions = get(&format!("/components/{}/versions", id(component)?)).await?;
            print(command, &versions, show::versions)
        }
        Action::Logs { component, lines, follow } => {
            let mut target = format!("/logs?follow={follow}");
            if let Some(component) = component {
                target += &format!("&component={}", id(component)?);
            }
            if let Some(lines) = lines {
                target += &format!("&lines={lines}");
            }
            operator.lines(Method::GET, &target, "", |line| print_line(command, line, show::log_line)).await
        }
        Action::LogLevels { component } => {
            let mut levels = get("/log-levels").await?;
            if let (Some(component), Some(all)) = (component, levels.as_array_mut()) {
                all.retain(|level| level["component"] == component.as_str());
                if all.is_empty() {
                    return Err(Problem::Refused(format!("There is no component {component:?}.")));
                }
            }
            print(command, &levels, show::log_levels)
        }
        Action::SetLogLevel { component, level } => {
            let level = (level != "default").then_some(level);
            let target = format!("/log-levels/{}", id(component)?);
            let set = operator.json(Method::PUT, &target, json!({ "level": level }).to_string()).await?;
            print(command, &set, |set| show::log_levels(&json!([set])))
        }
    }
}

/// An id as it can stand in an address.
fn id(component: &str) -> Result<&str, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let unknown = || Problem::Refused(format!("There is no component {component:?}."));
    if !component.is_empty() && component.chars().all(plain) { Ok(component) } else { Err(unknown()) }
}

/// The token in a file, or in the environment.
pub(super) fn token(file: Option<&Path>) -> Result<Option<String>, Problem> {
    match file {
        Some(file) => access::read(file).map(|text| Some(text.trim().to_owned())).map_err(Problem::refused),
        None => Ok(std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())),
    }
}

/// Prints an answer as JSON, or as people read it.
fn print(command: &Command, value: &Value, shown: impl FnOnce(&Value) -> String) -> Result<(), Problem> {
    let text = if command.json { format!("{value}\n") } else { shown(value) };
    write(&text)
}

/// Prints one line of an answer of many.
fn print_line(command: &Command, line: &str, shown: impl FnOnce(&Value) -> String) -> Result<(), Problem> {
    if command.json {
        return write(&format!("{line}\n"));
    }
    let value = serde_json::from_str(line).unwrap_or_else(|_| Value::from(line));
    write(&shown(&value))
}

fn write(text: &str) -> Result<(), Problem> {
    let mut output = io::stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Problem::OutputClosed,
        _ => Problem::refused(error),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Command as Line, tests::parsed};
    use super::*;

    fn command(line: &str) -> Command {
        match parsed(line) {
            Ok(Line::Operate(command)) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_swap_names_its_files_in_both_forms() {
        let files = |line: &str| match command(line).action {
            Action::Swap { files, canary: None } => files,
            other => panic!("{other:?}"),
        };
        let pair = |component: &str, file: &str| (component.to_owned(), PathBuf::from(file));
        assert_eq!(files("swap a x/a.wasm"), [pair("a", "x/a.wasm")]);
        assert_eq!(files("swap a=a.wasm b=b.wasm"), [pair("a", "a.wasm"), pair("b", "b.wasm")]);
        assert_eq!(files("swap a a.wasm b=b=1.wasm"), [pair("a", "a.wasm"), pair("b", "b=1.wasm")]);
    }

    #[test]
    fn a_canary_holds_for_a_minute_unless_said_otherwise() {
        let canary = |line: &str| match command(line).action {
            Action::Swap { canary, .. } => canary.map(|canary| (canary.percent, canary.hold.as_secs())),
            other => panic!("{other:?}"),
        };
        assert_eq!(canary("swap a a.wasm"), None);
        assert_eq!(canary("swap a a.wasm --canary 10%"), Some((10, 60)));
        assert_eq!(canary("swap --canary=5 --for 10min a a.wasm"), Some((5, 600)));
    }

    #[test]
    fn the_socket_is_asked_unless_an_address_is_named() {
        let socket = |path: &str| Place::Socket(path.into());
        assert_eq!(command("status").place, socket(".cairn/operator.sock"));
        assert_eq!(command("status --data d").place, socket("d/operator.sock"));
        assert_eq!(command("status --data d --socket s").place, socket("s"));
        let address = |text: &str| Place::Address(text.to_owned());
        assert_eq!(command("status --operator h:1").place, address("h:1"));
        let several = command("rollback a --operator h:1 --socket s --operator h:2");
        assert_eq!((several.place, several.more), (address("h:1"), vec![socket("s"), address("h:2")]));
    }

    #[test]
    fn options_of_one_command_are_not_those_of_another() {
        assert_eq!(parsed("status --follow"), Err("there is no option --follow".to_owned()));
        assert_eq!(parsed("logs --canary 5%"), Err("there is no option --canary".to_owned()));
        let logs = Action::Logs { component: Some("a".to_owned()), lines: Some(5), follow: true };
        assert_eq!(command("logs -f a --lines 5").action, logs);
    }
}
