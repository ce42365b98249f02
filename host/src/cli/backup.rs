//! Making backups, and bringing them back.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use http::Method;

use super::{
    arguments::{Argument, Arguments, too_many},
    client::{Operator, Place, Problem},
    fail, operate,
    up::SOCKET,
};
use crate::{
    backup::{self, Contents, Source},
    data_folder::DataFolder,
};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Take { file: PathBuf, data: PathBuf, place: Place, token_file: Option<PathBuf> },
    Restore { file: PathBuf, data: PathBuf },
}

pub(super) fn parse(command: &str, mut arguments: Arguments) -> Result<Command, String> {
    let takes = command == "backup";
    let (mut file, mut data, mut place, mut token_file) = (None, PathBuf::from(".cairn"), None, None);
    while let Some(argument) = arguments.next() {
        let given = match argument {
            Argument::Word(word) if file.is_none() => {
                file = Some(PathBuf::from(word));
                continue;
            }
            Argument::Word(word) => return Err(too_many(&word)),
            Argument::Option(given) => given,
        };
        match given.name.as_str() {
            "--data" => data = arguments.value(given)?.into(),
            "--socket" if takes => place = Some(Place::Socket(arguments.value(given)?.into())),
            "--operator" if takes => place = Some(Place::Address(arguments.value(given)?)),
            "--operator-token-file" if takes => token_file = Some(arguments.value(given)?.into()),
            _ => return Err(given.unknown()),
        }
    }
    let file = file.ok_or("name the file of the backup")?;
    if !takes {
        return Ok(Command::Restore { file, data });
    }
    let place = place.unwrap_or_else(|| Place::Socket(data.join(SOCKET)));
    Ok(Command::Take { file, data, place, token_file })
}

pub(super) fn run(command: &Command) -> ExitCode {
    let outcome = match command {
        Command::Take { file, data, place, token_file } => take(file, data, place, token_file.as_deref())
            .map(|contents| format!("{} is a backup {}", file.display(), described(&contents))),
        Command::Restore { file, data } => backup::restore(file, data)
            .map(|contents| format!("{} has the data of a backup {}", data.display(), described(&contents)))
            .map_err(|error| error.to_string()),
    };
    match outcome {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(problem) => fail(&problem),
    }
}

fn described(contents: &Contents) -> String {
    let of = if contents.application.is_empty() { String::new() } else { format!("of {} ", contents.application) };
    format!("{of}as it was at {}: {} files, {} bytes", contents.taken_at, contents.files.len(), contents.bytes())
}

/// Writes beside the file first: it appears whole and verified, or not at all.
fn take(file: &Path, data: &Path, place: &Place, token_file: Option<&Path>) -> Result<Contents, String> {
    let shown = file.display();
    if file.exists() {
        return Err(format!("{shown} exists already; name another file"));
    }
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let unusable = |error| format!("{} cannot be written: {error}", part.display());
    if part.exists() {
        // What a command that was killed left behind.
        fs::remove_file(&part).map_err(unusable)?;
    }
    let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(unusable)?;
    let taken = write(out, data, place, token_file).and_then(|()| {
        let contents = backup::verify(&part).map_err(|error| error.to_string())?;
        fs::rename(&part, file).map_err(|error| format!("{shown} cannot be written: {error}"))?;
        Ok(contents)
    });
    if taken.is_err() {
        // It says itself that it is not whole, and the next attempt removes it as well.
        let _ = fs::remove_file(&part);
    }
    taken
}

fn write(out: File, data: &Path, place: &Place, token_file: Option<&Path>) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    let out = runtime.block_on(async {
        let operator = Operator::new(place.clone(), operate::token(token_file).map_err(message)?);
        let mut out = out;
        match operator.save(Method::POST, "/backup", &mut out).await {
            Ok(()) => Ok(out),
            // No host runs on the folder, so nobody else has its databases open.
            Err(Problem::Unreachable(_)) if matches!(place, Place::Socket(_)) && data.is_dir() => {
                at_rest(data, out).await
            }
            Err(problem) => Err(message(problem)),
        }
    })?;
    out.sync_all().map_err(|error| error.to_string())
}

async fn at_rest(data: &Path, out: File) -> Result<File, String> {
    let _folder = DataFolder::take(data)?;
    let source = Source::at_rest(data).map_err(|error| error.to_string())?;
    let moment = source.freeze().await.map_err(|error| error.to_string())?;
    let written = tokio::task::spawn_blocking(move || moment.write(out)).await;
    let out = written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    source.close().await.map_err(|error| error.to_string())?;
    Ok(out)
}

fn message(problem: Problem) -> String {
    match problem {
        Problem::Unreachable(message) | Problem::Refused(message) => message,
        Problem::OutputClosed => "nobody reads the output".to_owned(),
    }
}
