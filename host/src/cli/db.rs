//! `cairn db move`: from SQLite to Postgres and back.

use std::{path::PathBuf, process::ExitCode};

use super::{
    fail,
    up::{load, policy},
};
use crate::{
    capability::variables::Sources,
    compiler::{Compiler, Limits},
    data_folder::DataFolder,
    database::{
        Location,
        moving::{Direction, Move, Moved},
        statement_times,
    },
    host::Host,
    manifest::Application,
};

pub(super) const USAGE: &str = "\
Usage:
  cairn db move --from sqlite --to postgres [options]
  cairn db move --from postgres --to sqlite [options]

Copies all data of an application that does not run, and compares what arrived with
what was there. The target has to be empty; a move that failed is begun anew.

Options:
  --app <file>             manifest [spin.toml]
  --data <folder>          where the files are, or come to be [.cairn]
  --compiled <folder>      compiled components alone [compiled, in the data folder]
  --variables-file <file>  application variables, a TOML file of name = value
  --database <url>         the Postgres database [CAIRN_DATABASE_URL]
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    direction: Direction,
    app: PathBuf,
    data: PathBuf,
    compiled: Option<PathBuf>,
    variables_file: Option<PathBuf>,
    database: Option<String>,
}

/// Reads the arguments after `db`.
pub(super) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    match arguments.next().as_deref() {
        Some("move") => {}
        Some(other) => return Err(format!("there is no command \"db {other}\"; there is `db move`")),
        None => return Err("say what to do: `db move --from sqlite --to postgres`".to_owned()),
    }
    let (mut from, mut to) = (None, None);
    let mut options = Options {
        direction: Direction::ToPostgres,
        app: "spin.toml".into(),
        data: ".cairn".into(),
        compiled: None,
        variables_file: None,
        database: None,
    };
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, arguments.next()),
        };
        let value = value.ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--from" => from = Some(value),
            "--to" => to = Some(value),
            "--app" => options.app = value.into(),
            "--data" => options.data = value.into(),
            "--compiled" => options.compiled = Some(value.into()),
            "--variables-file" => options.variables_file = Some(value.into()),
            "--database" => options.database = Some(value),
            other => return Err(format!("there is no option {other}")),
        }
    }
    options.direction = match (from.as_deref(), to.as_deref()) {
        (Some("sqlite"), Some("postgres")) => Direction::ToPostgres,
        (Some("postgres"), Some("sqlite")) => Direction::ToSqlite,
        _ => return Err("say --from sqlite --to postgres, or the other way round".to_owned()),
    };
    Ok(options)
}

/// Moves, and tells of every table.
pub(super) fn run(options: &Options) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the threads could not be started: {error}")),
    };
    match runtime.block_on(carry_out(options)) {
        Ok(moved) => {
            let rows: u64 = moved.iter().map(|table| table.rows).sum();
            println!("moved {} tables with {rows} rows; counts and checksums agree", moved.len());
            ExitCode::SUCCESS
        }
        Err(problem) => fail(&problem),
    }
}

async fn carry_out(options: &Options) -> Result<Vec<Moved>, String> {
    let application = load(&options.app)?;
    let location = match &options.database {
        Some(url) => Some(Location::new(url)),
        None => Location::from_environment().map_err(|error| error.to_string())?,
    };
    let location = location.ok_or("give the database with --database or CAIRN_DATABASE_URL")?;
    let _folder = DataFolder::take(&options.data)?;
    let moving = Move { labels: statement_times(&application), data_dir: options.data.clone(), location };
    let tell = |moved: &Moved| println!("{}: {} ({} rows)", moved.label, moved.table, moved.rows);
    let prepare = async |location| prepare(options, application, location).await;
    moving.run(options.direction, prepare, &tell).await.map_err(|error| error.to_string())
}

async fn prepare(options: &Options, application: Application, location: Option<Location>) -> Result<(), String> {
    let mut sources = Sources::none().with_process_environment();
    if let Some(file) = &options.variables_file {
        sources = sources.with_file(file).map_err(|error| error.to_string())?;
    }
    let compiler = Compiler::this_program(Limits::default()).map_err(|error| error.to_string())?;
    let mut builder = Host::builder(application, compiler)
        .data_dir(&options.data)
        .variables(sources)
        .database(location)
        .signatures(policy(None)?);
    if let Some(folder) = &options.compiled {
        builder = builder.compiled_dir(folder);
    }
    builder.prepare().await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_read() {
        let parsed = |line: &str| parse(line.split_whitespace().map(str::to_owned));
        let there = parsed("move --from sqlite --to=postgres --data d").unwrap();
        assert_eq!((there.direction, there.data), (Direction::ToPostgres, "d".into()));
        assert_eq!(parsed("move --to sqlite --from postgres").unwrap().direction, Direction::ToSqlite);
        for line in ["", "copy", "move", "move --from sqlite --to sqlite", "move --from", "move --fast yes"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
