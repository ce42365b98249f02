//! The command line of `cairn`.

mod db;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    capability::variables::Sources,
    database::Location,
    host::Host,
    manifest::{self, Application},
    telemetry::{self, Format, LOG_VARIABLE, otlp},
};

const USAGE: &str = "\
Runs an application of WebAssembly components.

Usage:
  cairn up [options]       runs the application until it is told to stop
  cairn check [options]    reads the manifest and names every problem in it
  cairn db move …          moves all data between SQLite and Postgres; see cairn db --help
  cairn --version

Options:
  --from <file>            manifest [spin.toml]
  --listen <address>       public address [127.0.0.1:3000]
  --operator <address>     operator's address [127.0.0.1:3001]
  --data <folder>          databases and compiled components [.cairn]
  --compiled <folder>      compiled components alone [compiled, in the data folder]
  --variables-file <file>  application variables, a TOML file of name = value
  --database <url>         Postgres database to keep everything in, postgres://…
  --log <json|human>       how log lines look [human]

Application variables are also taken from the environment, as SPIN_VARIABLE_<NAME> or
<NAME>, and CAIRN_LOG sets what is logged, such as `info` or `warn,host=debug`.
OTEL_EXPORTER_OTLP_ENDPOINT is where traces and metrics go, if anywhere.
CAIRN_DATABASE_URL is taken for --database, and keeps its password off the command line.
";

/// Exit code for a command line that is not understood.
const USAGE_ERROR: u8 = 2;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Up(Options),
    Check(Options),
    Db(db::Options),
    DbHelp,
    Version,
    Help,
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    from: PathBuf,
    listen: String,
    operator: String,
    data: PathBuf,
    compiled: Option<PathBuf>,
    variables_file: Option<PathBuf>,
    database: Option<String>,
    log: Format,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            from: "spin.toml".into(),
            listen: "127.0.0.1:3000".to_owned(),
            operator: "127.0.0.1:3001".to_owned(),
            data: ".cairn".into(),
            compiled: None,
            variables_file: None,
            database: None,
            log: Format::Human,
        }
    }
}

/// Does what the arguments, without the program's name, ask for.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    match parse(arguments) {
        Ok(Command::Up(options)) => up(&options),
        Ok(Command::Check(options)) => check(&options),
        Ok(Command::Db(options)) => db::run(&options),
        Ok(Command::DbHelp) => {
            print!("{}", db::USAGE);
            ExitCode::SUCCESS
        }
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

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let command = arguments.next().ok_or("name a command")?;
    match command.as_str() {
        "up" => options(arguments).map(Command::Up),
        "check" => options(arguments).map(Command::Check),
        "db" => {
            let mut arguments = arguments.peekable();
            match arguments.next_if(|argument| argument == "--help") {
                Some(_) => Ok(Command::DbHelp),
                None => db::parse(arguments).map(Command::Db),
            }
        }
        "--version" | "-V" => Ok(Command::Version),
        "--help" | "-h" | "help" => Ok(Command::Help),
        other => Err(format!("there is no command {other:?}")),
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        // Both `--name value` and `--name=value`.
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, arguments.next()),
        };
        let value = value.ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--from" | "-f" => options.from = value.into(),
            "--listen" => options.listen = value,
            "--operator" => options.operator = value,
            "--data" => options.data = value.into(),
            "--compiled" => options.compiled = Some(value.into()),
            "--variables-file" => options.variables_file = Some(value.into()),
            "--database" => options.database = Some(value),
            "--log" if value == "json" => options.log = Format::Json,
            "--log" if value == "human" => options.log = Format::Human,
            "--log" => return Err(format!("--log is json or human, not {value:?}")),
            other => return Err(format!("there is no option {other}")),
        }
    }
    Ok(options)
}

fn check(options: &Options) -> ExitCode {
    match load(&options.from) {
        Ok(application) => {
            println!("{} is fine: {} components", options.from.display(), application.components.len());
            ExitCode::SUCCESS
        }
        Err(problems) => fail(&problems),
    }
}

fn load(path: &Path) -> Result<Application, String> {
    let application = manifest::load(path).map_err(|problems| problems.to_string())?;
    application.check_files().map_err(|problems| problems.to_string())?;
    Ok(application)
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::FAILURE
}

fn up(options: &Options) -> ExitCode {
    let filter = std::env::var(LOG_VARIABLE).ok();
    if let Err(error) = telemetry::init(options.log, filter.as_deref()) {
        return fail(&error.to_string());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the threads could not be started: {error}")),
    };
    match runtime.block_on(serve(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

async fn serve(options: &Options) -> Result<(), String> {
    // From the first moment on: who asks us to stop must not have to wait for the start.
    let mut stop = StopSignals::new().map_err(|error| format!("signals cannot be received: {error}"))?;
    let application = load(&options.from)?;
    let mut sources = Sources::none().with_process_environment();
    if let Some(file) = &options.variables_file {
        sources = sources.with_file(file).map_err(|error| error.to_string())?;
    }
    let database = match &options.database {
        Some(url) => Location::new(url).with_connections_from_environment().map(Some),
        None => Location::from_environment(),
    };
    let telemetry = otlp::Settings::from_environment(|name| std::env::var(name).ok())
        .map_err(|problems| format!("telemetry cannot be sent:\n- {}", problems.join("\n- ")))?;
    let starting = Host::builder(application)
        .telemetry(telemetry)
        .database(database.map_err(|error| error.to_string())?)
        .data_dir(&options.data)
        .listen(&options.listen)
        .operator(&options.operator)
        .variables(sources)
        .start();
    let running = tokio::select! {
        started = starting => started.map_err(|error| error.to_string())?,
        () = stop.received() => return Ok(()),
    };
    stop.received().await;
    tracing::info!("stopping: requests that run get 30 s to end");
    running.stop().await;
    Ok(())
}

/// How the operator or the system asks the host to stop.
#[cfg(unix)]
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// How the operator or the system asks the host to stop.
#[cfg(not(unix))]
struct StopSignals;

#[cfg(not(unix))]
impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn received(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // Then only ending the process stops it.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_in_both_forms() {
        let expected =
            Options { from: "a.toml".into(), listen: "0.0.0.0:80".to_owned(), log: Format::Json, ..Options::default() };
        assert_eq!(parsed("up --from a.toml --listen=0.0.0.0:80 --log json"), Ok(Command::Up(expected)));
        assert_eq!(parsed("check"), Ok(Command::Check(Options::default())));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, problem) in [
            ("", "name a command"),
            ("down", "there is no command \"down\""),
            ("up --fast yes", "there is no option --fast"),
            ("up --data", "--data needs a value"),
            ("up --log loud", "--log is json or human, not \"loud\""),
        ] {
            assert_eq!(parsed(line), Err(problem.to_owned()), "{line}");
        }
    }
}
