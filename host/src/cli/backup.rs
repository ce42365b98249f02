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
    backup::{self, Contents, Source, postgres},
    data_folder::DataFolder,
    database::{Location, URL_VARIABLE},
};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Take { file: PathBuf, data: PathBuf, place: Option<Place>, token_file: Option<PathBuf> },
    TakeDatabase { file: PathBuf, url: String },
    Restore { file: PathBuf, data: PathBuf, database: Option<String> },
}

pub(super) fn parse(command: &str, mut arguments: Arguments) -> Result<Command, String> {
    let takes = command == "backup";
    let (mut file, mut data, mut place, mut token_file) = (None, PathBuf::from(".cairn"), None, None);
    let mut database = None;
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
            "--database" => database = Some(arguments.value(given)?),
            "--socket" if takes => place = Some(Place::Socket(arguments.value(given)?.into())),
            "--operator" if takes => place = Some(Place::Address(arguments.value(given)?)),
            "--operator-token-file" if takes => token_file = Some(arguments.value(given)?.into()),
            _ => return Err(given.unknown()),
        }
    }
    let file = file.ok_or("name the file of the backup")?;
    match (takes, database, place) {
        (false, database, _) => Ok(Command::Restore { file, data, database }),
        (true, Some(_), Some(_)) => Err("a database is copied without asking a host; name only one of them".to_owned()),
        (true, Some(url), None) => Ok(Command::TakeDatabase { file, url }),
        (true, None, place) => Ok(Command::Take { file, data, place, token_file }),
    }
}

pub(super) fn run(command: &Command) -> ExitCode {
    let outcome = match command {
        Command::Take { file, data, place, token_file } => match (place, location_of_environment()) {
            (None, Err(problem)) => Err(problem),
            (None, Ok(Some(location))) => take_database(file, &location),
            (place, _) => {
                let place = place.clone().unwrap_or_else(|| Place::Socket(data.join(SOCKET)));
                take(file, data, &place, token_file.as_deref())
            }
        },
        Command::TakeDatabase { file, url } => take_database(file, &Location::new(url)),
        Command::Restore { file, data, database } => restore(file, data, database.as_deref()),
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

fn location_of_environment() -> Result<Option<Location>, String> {
    Location::from_environment().map_err(|error| error.to_string())
}

fn take(file: &Path, data: &Path, place: &Place, token_file: Option<&Path>) -> Result<String, String> {
    let contents = whole(file, |part, out| {
        write(out, data, place, token_file)?;
        backup::verify(part).map_err(|error| error.to_string())
    })?;
    Ok(format!("{} is a backup {}", file.display(), described(&contents)))
}

fn take_database(file: &Path, location: &Location) -> Result<String, String> {
    let bytes = whole(file, |part, _out| postgres::take(part, location).map_err(|error| error.to_string()))?;
    Ok(format!("{} is a backup of the database as it was at one moment: {bytes} bytes", file.display()))
}

/// The file itself says what it is of.
fn restore(file: &Path, data: &Path, database: Option<&str>) -> Result<String, String> {
    if !postgres::is_dump(file).map_err(|error| error.to_string())? {
        if database.is_some() {
            return Err(format!("{} is of a data folder; restore it with --data", file.display()));
        }
        let contents = backup::restore(file, data).map_err(|error| error.to_string())?;
        return Ok(format!("{} has the data of a backup {}", data.display(), described(&contents)));
    }
    let location = match database {
        Some(url) => Some(Location::new(url)),
        None => location_of_environment()?,
    };
    let location = location.ok_or_else(|| {
        format!("{} is of Postgres; give a database with --database or {URL_VARIABLE}", file.display())
    })?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let labels = runtime.block_on(postgres::restore(file, &location)).map_err(|error| error.to_string())?;
    Ok(format!("the database has the data of {}, with roles of its own for {labels} database labels", file.display()))
}

/// Writes beside the file first: it appears whole and verified, or not at all.
fn whole<T>(file: &Path, make: impl FnOnce(&Path, File) -> Result<T, String>) -> Result<T, String> {
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
    let made = make(&part, out).and_then(|made| {
        fs::rename(&part, file).map_err(|error| format!("{shown} cannot be written: {error}"))?;
        Ok(made)
    });
    if made.is_err() {
        // It says itself that it is not whole, and the next attempt removes it as well.
        let _ = fs::remove_file(&part);
    }
    made
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
