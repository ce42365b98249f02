//! Backups of an application that lives on Postgres, made with Postgres' own tools.
//!
//! The file is what `pg_dump` writes in its custom format: one snapshot, so of one
//! moment, and one that every later state agrees with. The passwords of the roles in it
//! are of no use after a restore, which makes new ones.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

use super::BackupError;
use crate::database::{Location, URL_VARIABLE, restoring::Restoring};

/// Environment variable with the folder of Postgres' tools. Others are then not tried.
pub const TOOLS_VARIABLE: &str = "CAIRN_POSTGRES_TOOLS";
/// Where packages put the tools: a folder for each version, which has a folder `bin`.
const PACKAGED: &str = "/usr/lib/postgresql";
/// How a file in the custom format begins.
const MAGIC: &[u8] = b"PGDMP";
/// What the list of a backup has in it, and that of another database has not.
const HOST_SCHEMA_ENTRY: &str = " SCHEMA - cairn_host ";
/// Length of what is repeated of a tool's problems, in characters.
const PROBLEM_CHARACTERS_MAX: usize = 2_000;
/// What may stand in the environment and would lead a tool elsewhere.
const MISLEADING: [&str; 5] = ["PGSERVICE", "PGHOSTADDR", "PGOPTIONS", "PGPASSFILE", URL_VARIABLE];

/// Whether a file is a backup of Postgres.
///
/// # Errors
///
/// It cannot be read.
pub fn is_dump(file: &Path) -> Result<bool, BackupError> {
    let mut start = Vec::new();
    File::open(file)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start))
        .map_err(BackupError::io(format!("cannot read {}", file.display())))?;
    Ok(start == MAGIC)
}

/// Writes a backup into a file, reads it back, and gives its size in bytes. Hosts may
/// serve meanwhile. Blocks.
///
/// # Errors
///
/// There are no tools, or what they say.
pub fn take(file: &Path, location: &Location) -> Result<u64, BackupError> {
    let mut dump = tool("pg_dump", Some(&location.options()?))?;
    // A snapshot in the midst of serializable transactions may be one that none of
    // their orders explains; this waits for one that is.
    dump.args(["--format=custom", "--serializable-deferrable", "--no-password", "--file"]).arg(file);
    run(dump)?;
    verify(file)?;
    let sync = || {
        let file = File::open(file)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    };
    sync().map_err(BackupError::io(format!("cannot write {}", file.display())))
}

/// Restores a backup into a database that has nothing of an application, and gives the
/// number of services with tables in it. All of it arrives, or nothing.
///
/// # Errors
///
/// What is wrong with the file or the database.
pub async fn restore(file: &Path, location: &Location) -> Result<usize, BackupError> {
    verify(file)?;
    let mut restore = tool("pg_restore", Some(&location.options()?))?;
    let database = location.options()?.get_database().unwrap_or_default().to_owned();
    restore.args(["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", "--no-password"]);
    restore.arg("--dbname").arg(database).arg(file);
    let restoring = Restoring::begin(location).await?;
    let restored = tokio::task::spawn_blocking(move || run(restore)).await;
    match restored.unwrap_or_else(|error| Err(BackupError::Tool(error.to_string()))) {
        Ok(_) => Ok(restoring.finish().await?),
        Err(problem) => {
            restoring.abandon().await?;
            Err(problem)
        }
    }
}

/// Reads all of a backup, and makes sure that it is one of an application.
fn verify(file: &Path) -> Result<(), BackupError> {
    let mut list = tool("pg_restore", None)?;
    list.arg("--list").arg(file);
    let mut all = tool("pg_restore", None)?;
    all.arg("--file=/dev/null").arg(file);
    let damaged = |problem| match problem {
        BackupError::Tool(problem) => BackupError::Damaged(problem),
        other => other,
    };
    let listed = run(list).map_err(damaged)?;
    run(all).map_err(damaged)?;
    if listed.contains(HOST_SCHEMA_ENTRY) { Ok(()) } else { Err(BackupError::NotOfApplication) }
}

/// Gives what a tool printed.
fn run(mut tool: Command) -> Result<String, BackupError> {
    let name = tool.get_program().to_string_lossy().into_owned();
    let output = tool.output().map_err(BackupError::io(format!("cannot run {name}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let problem: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(PROBLEM_CHARACTERS_MAX).collect();
    // For example because a signal ended it.
    let problem = if problem.is_empty() { format!("{name}: {}", output.status) } else { problem };
    Err(BackupError::Tool(problem))
}

/// A tool, with the way to a database in its environment: unlike its arguments, that is
/// not shown to others on the machine.
fn tool(name: &'static str, database: Option<&PgConnectOptions>) -> Result<Command, BackupError> {
    let mut command = Command::new(find(name, env::var_os(TOOLS_VARIABLE), env::var_os("PATH"))?);
    command.stdin(Stdio::null());
    if let Some(options) = database {
        for variable in MISLEADING {
            command.env_remove(variable);
        }
        command.envs(environment(options));
    }
    Ok(command)
}

fn environment(options: &PgConnectOptions) -> Vec<(&'static str, OsString)> {
    let host = options.get_socket().map_or_else(|| options.get_host().into(), |socket| socket.clone().into_os_string());
    let mut environment = vec![
        ("PGHOST", host),
        ("PGPORT", options.get_port().to_string().into()),
        ("PGUSER", options.get_username().into()),
        ("PGDATABASE", options.get_database().unwrap_or(options.get_username()).into()),
        ("PGAPPNAME", "cairn backup".into()),
    ];
    // The rest is only told by an address, where names with signs of its own are not safe.
    let mut address = options.clone().username("name").host("host").to_url_lossy();
    if let Some(password) = address.password() {
        let query = format!("{}&password={password}", address.query().unwrap_or_default());
        address.set_query(Some(&query));
    }
    for (name, value) in address.query_pairs() {
        // So sqlx marks the name of a file.
        let file = value.strip_prefix("file: ").unwrap_or(&value);
        environment.push(match &*name {
            "password" => ("PGPASSWORD", (&*value).into()),
            "sslmode" => ("PGSSLMODE", (&*value).into()),
            "sslrootcert" => ("PGSSLROOTCERT", file.into()),
            "sslcert" => ("PGSSLCERT", file.into()),
            "sslkey" => ("PGSSLKEY", file.into()),
            _ => continue,
        });
    }
    environment
}

/// Looks for a tool in the folder that is named, or else along the path and where
/// packages put it, the latest version first.
fn find(name: &'static str, named: Option<OsString>, path: Option<OsString>) -> Result<PathBuf, BackupError> {
    let folders = match named.filter(|folder| !folder.is_empty()) {
        Some(folder) => vec![PathBuf::from(folder)],
        None => {
            let mut folders: Vec<PathBuf> = path.iter().flat_map(env::split_paths).collect();
            folders.extend(packaged());
            folders
        }
    };
    let mut files = folders.into_iter().map(|folder| folder.join(name));
    files.find(|file| file.is_file()).ok_or(BackupError::NoTool(name))
}

fn packaged() -> Vec<PathBuf> {
    let entries = fs::read_dir(PACKAGED).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_version, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    #[test]
    fn a_tool_is_told_everything_of_the_address() {
        let url = "postgres://ad%23min:p%40ss%2B%20%25w%C3%B6rd@db.example:6543/shop?sslmode=verify-full&sslrootcert=/etc/ca.pem";
        let told = environment(&PgConnectOptions::from_str(url).unwrap());
        for (name, value) in [
            ("PGHOST", "db.example"),
            ("PGPORT", "6543"),
            ("PGUSER", "ad#min"),
            ("PGDATABASE", "shop"),
            ("PGPASSWORD", "p@ss+ %wörd"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/etc/ca.pem"),
        ] {
            assert!(told.contains(&(name, value.into())), "{name}: {told:?}");
        }
    }

    #[test]
    fn a_named_folder_is_the_only_one_and_the_path_comes_first() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(one.path().join("pg_dump"), "").unwrap();
        let path = || Some(one.path().as_os_str().to_owned());
        assert_eq!(find("pg_dump", None, path()).unwrap(), one.path().join("pg_dump"));
        assert_eq!(find("pg_dump", Some("".into()), path()).unwrap(), one.path().join("pg_dump"));
        let absent = find("pg_dump", Some(other.path().into()), path()).unwrap_err().to_string();
        assert!(absent.contains("pg_dump is not installed") && absent.contains(TOOLS_VARIABLE), "{absent}");
    }
}
