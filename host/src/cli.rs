//! The command line of `cairn`.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 not understood, 3 no host answers.

mod arguments;
mod backup;
mod client;
mod db;
mod keys;
mod operate;
mod table;
mod up;

use std::process::ExitCode;

use crate::compiler;
use arguments::Arguments;

const USAGE: &str = "\
Runs an application of WebAssembly components.

Usage:
  cairn up [options]              runs the application until it is told to stop
  cairn check [options]           reads the manifest and names every problem in it
  cairn status                    components, versions, requests, errors, latency, memory
  cairn swap <component> <file>   replaces a component of the running application;
                                  more of them with it as <component>=<file>: all or none
    --canary <share>              for this share of the requests first, such as 10%
    --for <time>                  for so long, such as 60s [60s]
  cairn rollback <component>      goes back to the version before, or ends a canary
  cairn versions <component>      versions that are kept
  cairn logs [component]          the last lines of the log
    -f, --follow                  and those to come
    --lines <count>               how many of the past [100]
  cairn log-level                 how much is logged of each component
  cairn log-level <component> <off|error|warn|info|debug|trace|default>
  cairn db move …                 moves all data between SQLite and Postgres; see cairn db --help
  cairn backup <file>             copies all databases, as they are at one moment, to a file
    --database <url>              of that Postgres database instead [CAIRN_DATABASE_URL]
  cairn restore <file>            brings back what such a file has
    --data <folder>               new or empty [.cairn]
    --database <url>              a new Postgres database, if the file is of one
  cairn keygen [--key <file>]     makes a key that signs components [cairn.key]
  cairn sign <file> --key <file>  signs a component
    --output <file>               into another file
  cairn --version

Options of up and check:
  --from <file>                   manifest [spin.toml]
  --listen <address>              public address [127.0.0.1:3000]
  --operator <address>            operator's address [127.0.0.1:3001]
  --operator-token-file <file>    token for commands at that address
  --socket <file>                 operator's socket [operator.sock, in the data folder]
  --data <folder>                 databases and compiled components [.cairn]
  --compiled <folder>             compiled components alone [compiled, in the data folder]
  --variables-file <file>         application variables, a TOML file of name = value
  --database <url>                Postgres database to keep everything in, postgres://…
  --trusted-keys <file|folder>    runs only components that one of these keys signed
  --watch                         replaces components whose files change
  --log <json|human>              how log lines look [human]

Options of commands to a running application:
  --data, --socket                where its socket is, as for up
  --operator <address>            asks there instead, with the token; named several times,
                                  swap and rollback go from host to host
  --operator-token-file <file>    the token
  --json                          prints JSON

Application variables are also taken from the environment, as SPIN_VARIABLE_<NAME> or
<NAME>. CAIRN_LOG sets what is logged, such as `info` or `warn,host=debug`;
CAIRN_DATABASE_URL is taken for --database, and keeps its password off the command line;
CAIRN_OPERATOR_TOKEN is the token, CAIRN_TRUSTED_KEYS the file or folder of keys;
OTEL_EXPORTER_OTLP_ENDPOINT is where traces and metrics go, if anywhere.
";

/// Exit code for a command line that is not understood.
const USAGE_ERROR: u8 = 2;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Up(up::Options),
    Check(up::Options),
    Operate(operate::Command),
    Keys(keys::Command),
    Db(db::Options),
    DbHelp,
    Backup(backup::Command),
    Version,
    Help,
}

/// Does what the arguments, without the program's name, ask for.
pub fn run(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let name = arguments.next();
    if name.as_deref() == Some(compiler::COMMAND) {
        return compiler::run_child(arguments);
    }
    match parse(name, Arguments::new(arguments)) {
        Ok(Command::Up(options)) => up::up(options),
        Ok(Command::Check(options)) => up::check(&options),
        Ok(Command::Operate(command)) => operate::run(&command),
        Ok(Command::Keys(command)) => keys::run(&command),
        Ok(Command::Db(options)) => db::run(&options),
        Ok(Command::DbHelp) => {
            print!("{}", db::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Command::Backup(command)) => backup::run(&command),
        Ok(Command::Version) => {
            println!("cairn {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Command::Help) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("cairn: {problem}\n\n{USAGE}");
            ExitCode::from(USAGE_ERROR)
        }
    }
}

fn parse(command: Option<String>, arguments: Arguments) -> Result<Command, String> {
    let command = command.ok_or("name a command")?;
    match command.as_str() {
        "up" => up::parse(arguments).map(Command::Up),
        "check" => up::parse(arguments).map(Command::Check),
        "status" | "swap" | "rollback" | "versions" | "logs" | "log-level" => {
            operate::parse(&command, arguments).map(Command::Operate)
        }
        "keygen" | "sign" => keys::parse(&command, arguments).map(Command::Keys),
        "db" => {
            let mut arguments = arguments.rest().peekable();
            match arguments.next_if(|argument| argument == "--help") {
                Some(_) => Ok(Command::DbHelp),
                None => db::parse(arguments).map(Command::Db),
            }
        }
        "backup" | "restore" => backup::parse(&command, arguments).map(Command::Backup),
        "--version" | "-V" => Ok(Command::Version),
        "--help" | "-h" | "help" => Ok(Command::Help),
        other => Err(format!("there is no command {other:?}")),
    }
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn parsed(line: &str) -> Result<Command, String> {
        let mut words = line.split_whitespace().map(str::to_owned);
        parse(words.next(), Arguments::new(words))
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, problem) in [
            ("", "name a command"),
            ("down", "there is no command \"down\""),
            ("up --fast yes", "there is no option --fast"),
            ("up now", "\"now\" is one word too many"),
            ("up --data", "--data needs a value"),
            ("up --watch=yes", "--watch takes no value"),
            ("up --log loud", "--log is json or human, not \"loud\""),
            ("swap", "name a component and its file"),
            ("swap a", "name the file of a"),
            ("swap =a.wasm", "name a component and its file"),
            ("swap a a.wasm a=b.wasm", "a is named twice"),
            ("swap a a.wasm --canary 0%", "--canary is a share from 1% to 99%, not \"0%\""),
            ("swap a a.wasm --canary 10% --for soon", "--for is a time such as 60s or 10min, not \"soon\""),
            ("swap a a.wasm --for 60s", "--for goes with --canary"),
            ("rollback", "name a component"),
            ("status --operator h:1 --operator h:2", "status asks one host; name only one"),
            ("rollback a --operator h:1 --operator h:1", "h:1 is named twice"),
            ("backup", "name the file of the backup"),
            ("restore a.tar --socket s", "there is no option --socket"),
            (
                "backup a --database postgres://h/d --socket s",
                "a database is copied without asking a host; name only one of them",
            ),
            ("rollback a b", "\"b\" is one word too many"),
            ("versions --json", "name a component"),
            ("logs --lines many", "--lines is a number, not \"many\""),
            ("log-level a loud", "a level is off, error, warn, info, debug, trace or default, not \"loud\""),
            ("sign a.wasm", "name the key with --key"),
            ("sign --key k", "name the component's file"),
        ] {
            assert_eq!(parsed(line), Err(problem.to_owned()), "{line}");
        }
    }
}
