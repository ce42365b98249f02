//! Moving all data of an application from one engine to the other.
//!
//! The target gets its tables from the components themselves, so that they are what
//! their migrations make. Then the rows of every table are copied and counted, and
//! their checksums are compared, each label in one transaction. A mark in the target
//! says that a move began: with it no host starts there, and the next move begins anew.

mod postgres;
mod sqlite;
mod table;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio::sync::{mpsc, oneshot};

use super::{Database, DatabaseError, Location, quoted, setup};
use crate::capability::key_value;
use table::{Checksum, Column, Kind, Row, Table};

/// What connections of a move call themselves.
pub(super) const APPLICATION_NAME: &str = "cairn move";
/// Held as long as a move goes on.
const MOVE_LOCK: i64 = 0x6361_6972_6e00_0002;
/// Rows on their way from one engine to the other.
const ROWS_ON_THE_WAY: usize = 256;
/// How often a move looks whether hosts are gone, and how long it waits in between.
const LOOKS_FOR_HOSTS_MAX: u32 = 10;
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// The mark in a data folder.
const MARK: &str = "moving";
/// The label of the key-value stores, in what is told.
const KEY_VALUE: &str = "(key-value)";

/// The way that data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToPostgres,
    ToSqlite,
}

/// One table that arrived, and was found to be what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub label: String,
    pub table: String,
    pub rows: u64,
}

/// What is moved, and between which places.
pub struct Move {
    /// The labels of the application, each with the time of a statement.
    pub labels: BTreeMap<String, Duration>,
    /// Where its files are.
    pub data_dir: PathBuf,
    pub location: Location,
}

impl Move {
    /// Moves everything. `prepare` lets the components make their tables: on Postgres,
    /// if it is handed a location, or in files. `progress` is told of each table.
    ///
    /// # Errors
    /// What stands in the way, and what to do. Nothing counts as moved then.
    pub async fn run(
        &self,
        direction: Direction,
        prepare: impl AsyncFnOnce(Option<Location>) -> Result<(), String>,
        progress: &(dyn Fn(&Moved) + Sync),
    ) -> Result<Vec<Moved>, DatabaseError> {
        let location = Location { for_move: true, ..self.location.clone() };
        let database = Database::open(&location).await?;
        let mut connection = database.host.acquire().await?.detach();
        lock(&mut connection).await?;
        let moved = match direction {
            Direction::ToPostgres => self.to_postgres(&mut connection, location, prepare, progress).await,
            Direction::ToSqlite => self.to_sqlite(&mut connection, prepare, progress).await,
        };
        drop(connection.close().await);
        database.close().await;
        moved
    }

    async fn to_postgres(
        &self,
        connection: &mut PgConnection,
        location: Location,
        prepare: impl AsyncFnOnce(Option<Location>) -> Result<(), String>,
        progress: &(dyn Fn(&Moved) + Sync),
    ) -> Result<Vec<Moved>, DatabaseError> {
        refuse_unfinished_folder(&self.data_dir)?;
        self.clear_postgres(connection).await?;
        sqlx::query("INSERT INTO cairn_host.move (started_at) VALUES (now())").execute(&mut *connection).await?;
        prepare(Some(location)).await.map_err(DatabaseError::new)?;
        let mut moved = Vec::new();
        for label in self.labels.keys() {
            let path = self.file(label);
            if path.is_file() {
                let schema = setup::schema_of(label);
                let tables = postgres::tables(connection, &schema).await?;
                moved.extend(copy_to_postgres(connection, label, &schema, &path, tables, progress).await?);
            }
        }
        let entries = self.entries();
        if entries.is_file() {
            let tables = vec![entry_table()];
            moved.extend(copy_to_postgres(connection, KEY_VALUE, "cairn_host", &entries, tables, progress).await?);
        }
        sqlx::query("DELETE FROM cairn_host.move").execute(connection).await?;
        Ok(moved)
    }

    async fn to_sqlite(
        &self,
        connection: &mut PgConnection,
        prepare: impl AsyncFnOnce(Option<Location>) -> Result<(), String>,
        progress: &(dyn Fn(&Moved) + Sync),
    ) -> Result<Vec<Moved>, DatabaseError> {
        if sqlx::query("SELECT 1 FROM cairn_host.move").fetch_optional(&mut *connection).await?.is_some() {
            return Err(DatabaseError::new("data was being moved into it and not all of it arrived; it is no source"));
        }
        self.clear_folder()?;
        prepare(None).await.map_err(DatabaseError::new)?;
        let mut moved = Vec::new();
        for label in self.labels.keys() {
            let schema = setup::schema_of(label);
            let tables = postgres::tables(connection, &schema).await?;
            if !tables.is_empty() {
                moved.extend(copy_to_sqlite(connection, label, &schema, &self.file(label), tables, progress).await?);
            }
        }
        let entries = self.entries();
        make_entry_table(&entries)?;
        let tables = vec![entry_table()];
        moved.extend(copy_to_sqlite(connection, KEY_VALUE, "cairn_host", &entries, tables, progress).await?);
        std::fs::remove_file(self.data_dir.join(MARK)).map_err(|error| folder_problem(&self.data_dir, &error))?;
        Ok(moved)
    }

    fn file(&self, label: &str) -> PathBuf {
        self.data_dir.join("sqlite").join(format!("{label}.db"))
    }

    fn entries(&self) -> PathBuf {
        self.data_dir.join("key_value").join(key_value::FILE)
    }

    /// Refuses a target with data; takes away what an unfinished move left.
    async fn clear_postgres(&self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        let mut transaction = connection.begin().await?;
        let unfinished = sqlx::query("DELETE FROM cairn_host.move").execute(&mut *transaction).await?.rows_affected();
        for label in self.labels.keys() {
            let schema = setup::schema_of(label);
            if unfinished > 0 {
                let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(&schema));
                sqlx::query(AssertSqlSafe(drop)).execute(&mut *transaction).await?;
            } else if let Some(table) = postgres::tables(&mut transaction, &schema).await?.first() {
                let table = &table.name;
                return Err(DatabaseError::new(format!(
                    "the target is not empty: there is {schema}.{table}; move into a new database"
                )));
            }
        }
        if unfinished > 0 {
            sqlx::query("DELETE FROM cairn_host.entry").execute(&mut *transaction).await?;
        } else if sqlx::query("SELECT 1 FROM cairn_host.entry LIMIT 1")
            .fetch_optional(&mut *transaction)
            .await?
            .is_some()
        {
            return Err(DatabaseError::new(
                "the target is not empty: it has key-value entries; move into a new database",
            ));
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Refuses a folder with data; takes away what an unfinished move left.
    fn clear_folder(&self) -> Result<(), DatabaseError> {
        let problem = |error: std::io::Error| folder_problem(&self.data_dir, &error);
        let mark = self.data_dir.join(MARK);
        for folder in ["sqlite", "key_value"].map(|name| self.data_dir.join(name)) {
            let has_files = folder.read_dir().is_ok_and(|mut files| files.next().is_some());
            match mark.exists() {
                true if has_files => std::fs::remove_dir_all(&folder).map_err(problem)?,
                false if has_files => {
                    return Err(DatabaseError::new(format!(
                        "the target is not empty: there are files in {}; move into a new folder",
                        folder.display()
                    )));
                }
                _ => {}
            }
        }
        std::fs::create_dir_all(&self.data_dir).map_err(problem)?;
        std::fs::write(mark, "").map_err(problem)
    }
}

/// Refuses a database into which a move began and did not come to its end.
pub(super) async fn refuse_unfinished(host: &PgPool) -> Result<(), DatabaseError> {
    let unfinished: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM cairn_host.move)").fetch_one(host).await?;
    if unfinished {
        return Err(DatabaseError::new(
            "data was being moved into it and not all of it arrived; run `cairn db move` again",
        ));
    }
    Ok(())
}

/// Refuses a data folder into which a move began and did not come to its end.
///
/// # Errors
/// It is such a folder.
pub fn refuse_unfinished_folder(data_dir: &Path) -> Result<(), DatabaseError> {
    if data_dir.join(MARK).exists() {
        return Err(DatabaseError::new(format!(
            "data was being moved into {} and not all of it arrived; run `cairn db move` again",
            data_dir.display()
        )));
    }
    Ok(())
}

fn folder_problem(folder: &Path, error: &std::io::Error) -> DatabaseError {
    DatabaseError::new(format!("cannot use the folder {}: {error}", folder.display()))
}

/// Lets nobody else move, and refuses while an application runs.
async fn lock(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    let free: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(MOVE_LOCK).fetch_one(&mut *connection).await?;
    if !free {
        return Err(DatabaseError::new("another move goes on there; wait for its end"));
    }
    // A host that has just stopped takes a moment to be gone.
    let mut looks = LOOKS_FOR_HOSTS_MAX;
    while hosts(connection).await? > 0 {
        looks -= 1;
        if looks == 0 {
            return Err(DatabaseError::new("an application runs on it; stop all of its hosts first"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// How many connections of hosts there are.
async fn hosts(connection: &mut PgConnection) -> Result<i64, DatabaseError> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name LIKE 'cairn%' AND application_name <> $1",
    );
    Ok(count.bind(APPLICATION_NAME).fetch_one(connection).await?)
}

/// The table of the key-value stores.
fn entry_table() -> Table {
    let column = |name: &str, kind| Column { name: name.to_owned(), kind };
    let columns = vec![column("store", Kind::Text), column("key", Kind::TextAsBytes), column("value", Kind::Bytes)];
    Table { name: "entry".to_owned(), columns }
}

fn make_entry_table(path: &Path) -> Result<(), DatabaseError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| folder_problem(folder, &error))?;
    }
    sqlite::File::open(path)?.make_entries()
}

/// Refuses tables that are not the same on both sides.
fn compare(label: &str, tables: &[Table], on_sqlite: &[(String, Vec<String>)]) -> Result<(), DatabaseError> {
    let mut on_postgres: Vec<(String, Vec<String>)> = tables
        .iter()
        .map(|table| {
            let mut columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
            columns.sort();
            (table.name.clone(), columns)
        })
        .collect();
    on_postgres.sort();
    if on_postgres == on_sqlite {
        return Ok(());
    }
    let differing = on_postgres.iter().find(|table| !on_sqlite.contains(table));
    let differing = differing.or_else(|| on_sqlite.iter().find(|table| !on_postgres.contains(table)));
    Err(DatabaseError::new(format!(
        "{label}: the table {:?} is not the same in the source and in the target; start this version of the \
         application once where its data is, so that its tables are up to date, and try again",
        differing.map(|(name, _)| name.as_str()).unwrap_or_default()
    )))
}

fn agree(label: &str, table: &Table, source: Checksum, target: Checksum) -> Result<(), DatabaseError> {
    if source == target {
        return Ok(());
    }
    Err(DatabaseError::new(format!(
        "{label}: {} was not written as it was read: {} rows of {}; nothing was moved",
        table.name, target.rows, source.rows
    )))
}

fn gone(_: impl std::fmt::Debug) -> DatabaseError {
    DatabaseError::new("the other side ended")
}

async fn copy_to_postgres(
    connection: &mut PgConnection,
    label: &str,
    schema: &str,
    path: &Path,
    tables: Vec<Table>,
    progress: &(dyn Fn(&Moved) + Sync),
) -> Result<Vec<Moved>, DatabaseError> {
    let mut file = sqlite::File::open(path)?;
    compare(label, &tables, &file.tables()?)?;
    let mut transaction = connection.begin().await?;
    postgres::clear(&mut transaction, schema, &tables).await?;
    let mut all = Vec::new();
    for table in &tables {
        let (sender, mut rows) = mpsc::channel(ROWS_ON_THE_WAY);
        let reading = table.clone();
        let reader = tokio::task::spawn_blocking(move || {
            let read = file.read(&reading, |row| sender.blocking_send(row).map_err(gone));
            (file, read)
        });
        let written = postgres::write(&mut transaction, schema, table, &mut rows).await;
        drop(rows);
        let (returned, read) = reader.await.map_err(gone)?;
        file = returned;
        written?;
        let source = read?;
        let target = postgres::read(&mut transaction, schema, table, async |_| Ok(())).await?;
        agree(label, table, source, target)?;
        all.push(Moved { label: label.to_owned(), table: table.name.clone(), rows: source.rows });
    }
    transaction.commit().await?;
    all.iter().for_each(progress);
    Ok(all)
}

async fn copy_to_sqlite(
    connection: &mut PgConnection,
    label: &str,
    schema: &str,
    path: &Path,
    tables: Vec<Table>,
    progress: &(dyn Fn(&Moved) + Sync),
) -> Result<Vec<Moved>, DatabaseError> {
    let mut file = sqlite::File::open(path)?;
    compare(label, &tables, &file.tables()?)?;
    let (sender, mut rows) = mpsc::channel::<(usize, Row)>(ROWS_ON_THE_WAY);
    let (expected_in, expected) = oneshot::channel::<Vec<Checksum>>();
    let (name, writing) = (label.to_owned(), tables.clone());
    let writer = tokio::task::spawn_blocking(move || {
        file.replace(
            &writing,
            || rows.blocking_recv(),
            |written| {
                let expected = expected.blocking_recv().map_err(gone)?;
                let mut pairs = writing.iter().zip(expected.iter().zip(written));
                pairs.try_for_each(|(table, (source, target))| agree(&name, table, *source, *target))
            },
        )
    });
    let source = async {
        let mut transaction = connection.begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *transaction).await?;
        let mut sums = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let take = async |row| sender.send((index, row)).await.map_err(gone);
            sums.push(postgres::read(&mut transaction, schema, table, take).await?);
        }
        transaction.rollback().await?;
        Ok::<_, DatabaseError>(sums)
    };
    let source = source.await;
    drop(sender);
    if let Ok(sums) = &source {
        // Nobody is left to receive it only if the writer failed, which says so itself.
        drop(expected_in.send(sums.clone()));
    }
    let written = writer.await.map_err(gone)?;
    let sums = match (written, source) {
        (Ok(()), source) => source?,
        (Err(failure), Ok(_)) => return Err(failure),
        (Err(failure), Err(other)) => {
            return Err(DatabaseError::new(format!("{}; {}", failure.0, other.0)));
        }
    };
    let moved = tables.iter().zip(&sums);
    let all: Vec<Moved> = moved
        .map(|(table, sum)| Moved { label: label.to_owned(), table: table.name.clone(), rows: sum.rows })
        .collect();
    all.iter().for_each(progress);
    Ok(all)
}
