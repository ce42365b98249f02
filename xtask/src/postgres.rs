//! A Postgres server of our own for the tests, thrown away afterwards.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How long the server may take to answer.
const START_MAX: Duration = Duration::from_secs(60);

/// The tests of one run have some connections each.
const SETTINGS: [&str; 3] = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"];

/// What a server does with commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Nothing outlives the tests, so nothing has to reach the disk.
    Spared,
    /// Every commit is synced, as where data is kept.
    Synced,
}

impl Disk {
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Spared => &["fsync=off", "synchronous_commit=off", "full_page_writes=off"],
            Self::Synced => &[],
        }
    }
}

/// A running server, stopped and removed when dropped.
pub struct Server {
    folder: PathBuf,
    port: u16,
    process: Child,
}

impl Server {
    /// Starts a server. None, with a line that says so, where this machine has no Postgres.
    pub fn start() -> Result<Option<Self>> {
        Self::start_with(Disk::Spared)
    }

    /// As [`Server::start`].
    pub fn start_with(disk: Disk) -> Result<Option<Self>> {
        let Some(programs) = programs() else {
            println!(
                "skipped: everything on Postgres, since no `initdb` is installed (Debian: apt install postgresql)"
            );
            return Ok(None);
        };
        let folder = std::env::temp_dir().join(format!("cairn-postgres-{}", std::process::id()));
        fs::create_dir_all(&folder).context("a folder for Postgres")?;
        let user = user()?;
        if let Some(user) = user {
            std::os::unix::fs::chown(&folder, Some(user), Some(user)).context("giving Postgres its folder")?;
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        let command = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.current_dir(&folder).stdin(Stdio::null());
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
            command
        };
        let data = folder.join("data");
        let mut initdb = command("initdb");
        // A collation unlike SQLite's, so that nothing depends on it by accident.
        initdb.args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]);
        initdb.args(["--locale-provider=icu", "--icu-locale=en-US", "--pgdata"]).arg(&data);
        let made = initdb.output().context("initdb cannot be started")?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = fs::File::create(folder.join("log"))?;
        let mut postgres = command("postgres");
        postgres.arg("-D").arg(&data).arg("-p").arg(port.to_string()).stdout(log.try_clone()?).stderr(log);
        for setting in SETTINGS.iter().chain(disk.settings()) {
            postgres.args(["-c", setting]);
        }
        let process = postgres.spawn().context("postgres cannot be started")?;
        let mut server = Self { folder, port, process };
        server.wait()?;
        Ok(Some(server))
    }

    /// The administrator's URL.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn wait(&mut self) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if self.process.try_wait()?.is_some() || started.elapsed() > START_MAX {
                bail!("Postgres did not start:\n{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its quickest end; it takes its own processes with it.
        let stopped = Command::new("kill").arg("-QUIT").arg(self.process.id().to_string()).status();
        let outcome = stopped.and_then(|_| self.process.wait()).and_then(|_| fs::remove_dir_all(&self.folder));
        if let Err(error) = outcome {
            eprintln!("Postgres stays behind in {}: {error}", self.folder.display());
        }
    }
}

/// The folder of the server's programs: where PATH has them, or the newest of Debian's.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort_by_key(|folder| version(folder));
    let folders = std::env::split_paths(&path).chain(debian.into_iter().rev());
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

fn version(bin: &Path) -> u32 {
    let name = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or_default()
}

/// Postgres refuses to run as root; then as whom it runs.
fn user() -> Result<Option<u32>> {
    let id = |args: &[&str]| -> Result<u32> {
        let output = Command::new("id").args(args).output().context("id does not run")?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().with_context(|| format!("`id {}` answers {text:?}", args.join(" ")))
    };
    if id(&["-u"])? != 0 { Ok(None) } else { id(&["-u", "postgres"]).map(Some).context("there is no user `postgres`") }
}
