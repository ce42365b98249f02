//! Running an application, and checking its manifest.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use super::{
    arguments::{Argument, Arguments, too_many},
    fail,
};
use crate::{
    capability::variables::Sources,
    compiler::{Compiler, Limits},
    control::access::{TOKEN_VARIABLE, Token},
    database::Location,
    host::{Host, Running},
    manifest::{self, Application},
    signing::Policy,
    telemetry::{self, Format, LOG_VARIABLE, Logging},
    watch::Watch,
};

/// Environment variable with the file or folder of trusted keys.
const TRUSTED_KEYS_VARIABLE: &str = "CAIRN_TRUSTED_KEYS";
/// The operator's socket, in the data folder.
pub(super) const SOCKET: &str = "operator.sock";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    from: PathBuf,
    listen: String,
    operator: String,
    operator_token_file: Option<PathBuf>,
    socket: Option<PathBuf>,
    data: PathBuf,
    compiled: Option<PathBuf>,
    variables_file: Option<PathBuf>,
    database: Option<String>,
    trusted_keys: Option<PathBuf>,
    watch: bool,
    log: Format,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            from: "spin.toml".into(),
            listen: "127.0.0.1:3000".to_owned(),
            operator: "127.0.0.1:3001".to_owned(),
            operator_token_file: None,
            socket: None,
            data: ".cairn".into(),
            compiled: None,
            variables_file: None,
            database: None,
            trusted_keys: None,
            watch: false,
            log: Format::Human,
        }
    }
}

pub(super) fn parse(mut arguments: Arguments) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let given = match argument {
            Argument::Option(given) => given,
            Argument::Word(word) => return Err(too_many(&word)),
        };
        match given.name.as_str() {
            "--watch" => options.watch = given.flag()?,
            "--from" | "-f" => options.from = arguments.value(given)?.into(),
            "--listen" => options.listen = arguments.value(given)?,
            "--operator" => options.operator = arguments.value(given)?,
            "--operator-token-file" => options.operator_token_file = Some(arguments.value(given)?.into()),
            "--socket" => options.socket = Some(arguments.value(given)?.into()),
            "--data" => options.data = arguments.value(given)?.into(),
            "--compiled" => options.compiled = Some(arguments.value(given)?.into()),
            "--variables-file" => options.variables_file = Some(arguments.value(given)?.into()),
            "--database" => options.database = Some(arguments.value(given)?),
            "--trusted-keys" => options.trusted_keys = Some(arguments.value(given)?.into()),
            "--log" => {
                options.log = match arguments.value(given)?.as_str() {
                    "json" => Format::Json,
                    "human" => Format::Human,
                    other => return Err(format!("--log is json or human, not {other:?}")),
                }
            }
            _ => return Err(given.unknown()),
        }
    }
    Ok(options)
}

pub(super) fn check(options: &Options) -> ExitCode {
    match load(&options.from) {
        Ok(application) => {
            println!("{} is fine: {} components", options.from.display(), application.components.len());
            ExitCode::SUCCESS
        }
        Err(problems) => fail(&problems),
    }
}

pub(super) fn load(path: &Path) -> Result<Application, String> {
    let application = manifest::load(path).map_err(|problems| problems.to_string())?;
    application.check_files().map_err(|problems| problems.to_string())?;
    Ok(application)
}

pub(super) fn up(options: Options) -> ExitCode {
    let filter = std::env::var(LOG_VARIABLE).ok();
    let logging = match telemetry::init(options.log, filter.as_deref()) {
        Ok(logging) => logging,
        Err(error) => return fail(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the threads could not be started: {error}")),
    };
    match runtime.block_on(serve(options, logging)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

async fn serve(options: Options, logging: Logging) -> Result<(), String> {
    // From the first moment on: who asks us to stop must not have to wait for the start.
    let mut stop = StopSignals::new().map_err(|error| format!("signals cannot be received: {error}"))?;
    let running = tokio::select! {
        started = start(&options, logging) => started?,
        () = stop.received() => return Ok(()),
    };
    stop.received().await;
    tracing::info!("stopping: requests that run get 30 s to end");
    running.stop().await;
    Ok(())
}

async fn start(options: &Options, logging: Logging) -> Result<Running, String> {
    let application = load(&options.from)?;
    let watch = options.watch.then(|| Watch::new(&application));
    let mut variables = Sources::none().with_process_environment();
    if let Some(file) = &options.variables_file {
        variables = variables.with_file(file).map_err(|error| error.to_string())?;
    }
    let database = match &options.database {
        Some(url) => Location::new(url).with_connections_from_environment().map(Some),
        None => Location::from_environment(),
    };
    let compiler = Compiler::this_program(Limits::default()).map_err(|error| error.to_string())?;
    let mut builder = Host::builder(application, compiler)
        .database(database.map_err(|error| error.to_string())?)
        .data_dir(&options.data)
        .listen(&options.listen)
        .operator(&options.operator)
        .socket(options.socket.clone().unwrap_or_else(|| options.data.join(SOCKET)))
        .signatures(policy(options.trusted_keys.as_deref())?)
        .logging(logging)
        .variables(variables);
    if let Some(token) = token(options.operator_token_file.as_deref())? {
        builder = builder.operator_token(token);
    }
    if let Some(folder) = &options.compiled {
        builder = builder.compiled_dir(folder);
    }
    let running = builder.start().await.map_err(|error| error.to_string())?;
    if let Some(watch) = watch {
        tokio::spawn(watch.run(Arc::clone(running.swapper()), Arc::clone(running.registry())));
    }
    Ok(running)
}

/// Whose components may run, by a file or folder of keys that is named here or in the
/// environment.
pub(super) fn policy(trusted_keys: Option<&Path>) -> Result<Policy, String> {
    let from_environment = || std::env::var_os(TRUSTED_KEYS_VARIABLE).filter(|path| !path.is_empty());
    match trusted_keys.map(Path::to_owned).or_else(|| from_environment().map(PathBuf::from)) {
        Some(path) => Policy::trusting(path).map_err(|error| error.to_string()),
        None => Ok(Policy::any()),
    }
}

fn token(file: Option<&Path>) -> Result<Option<Token>, String> {
    let token = match (file, std::env::var(TOKEN_VARIABLE)) {
        (Some(file), _) => Some(Token::read(file)),
        (None, Ok(text)) if !text.is_empty() => Some(Token::new(&text)),
        (None, _) => None,
    };
    token.transpose().map_err(|error| error.to_string())
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
    use super::super::{Command, tests::parsed};
    use super::*;

    #[test]
    fn options_are_read_in_both_forms() {
        let expected = Options {
            from: "a.toml".into(),
            listen: "0.0.0.0:80".to_owned(),
            watch: true,
            log: Format::Json,
            ..Options::default()
        };
        let line = "up --from a.toml --watch --listen=0.0.0.0:80 --log json";
        assert_eq!(parsed(line), Ok(Command::Up(expected)));
        assert_eq!(parsed("check"), Ok(Command::Check(Options::default())));
    }
}
