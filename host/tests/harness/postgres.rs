//! A Postgres server of the tests' own.
//!
//! It belongs to a shell that waits for the end of its input, so that the server and
//! its files are gone however the tests end.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use host::database::Location;

const BINARIES: &str = "/usr/lib/postgresql/15/bin";
const PASSWORD: &str = "of-the-tests";
const START_MAX: Duration = Duration::from_secs(60);

/// Makes a cluster and a server on it, and takes both away at the end of its input.
/// It does not run as root, hence `as`.
const SCRIPT: &str = r#"
as=
if [ "$(id -u)" = 0 ]; then
    as='setpriv --reuid=postgres --regid=postgres --clear-groups'
    chown postgres "$DIR"
fi
$as "$BIN/initdb" -D "$DIR/data" -U postgres -A scram-sha-256 --pwfile="$DIR/password" -E UTF8 --locale=C >/dev/null || exit 1
tls=off
if command -v openssl >/dev/null; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout "$DIR/server.key" -out "$DIR/server.crt" 2>/dev/null || exit 1
    chmod 600 "$DIR/server.key"
    [ -n "$as" ] && chown postgres "$DIR/server.key"
    tls=on
fi
start() { $as "$BIN/postgres" -D "$DIR/data" -c ssl=$tls -c ssl_cert_file="$DIR/server.crt" -c ssl_key_file="$DIR/server.key" -p "$PORT" -k "$DIR" -c listen_addresses=127.0.0.1 -c logging_collector=off >>"$DIR/log" 2>&1 & server=$!; }
start
echo started
while read -r word; do
    kill -QUIT $server 2>/dev/null; wait $server
    [ "$word" = restart ] && start && echo started
done
kill -QUIT $server 2>/dev/null; wait $server
rm -rf "$DIR"
"#;

/// A running server.
pub struct Server {
    port: u16,
    shell: Child,
}

/// The server that most tests share, each with databases of its own; nothing, and a
/// line that says so, where Postgres is not installed.
pub fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref()
}

impl Server {
    /// A server of one test alone, which may restart it.
    pub fn start() -> Option<Self> {
        if !Path::new(BINARIES).join("initdb").is_file() {
            println!("skipped: there is no Postgres in {BINARIES}");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = folder(port);
        std::fs::write(dir.join("password"), PASSWORD).unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .env("BIN", BINARIES)
            .env("DIR", &dir)
            .env("PORT", port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "started", "no cluster was made in {}", dir.display());
        Some(Self { port, shell }.wait())
    }

    fn wait(self) -> Self {
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < START_MAX, "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// Kills all of it without notice, and starts it again.
    pub fn restart(&mut self) {
        writeln!(self.shell.stdin.as_mut().unwrap(), "restart").unwrap();
    }

    /// Kills all of it without notice.
    pub fn kill(&mut self) {
        writeln!(self.shell.stdin.as_mut().unwrap(), "kill").unwrap();
    }

    /// The administrator's address of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The certificate of the server, which is its own authority; nothing where no
    /// program is there to make one.
    pub fn certificate(&self) -> Option<String> {
        let certificate = std::fs::read_to_string(folder(self.port).join("server.crt")).ok();
        if certificate.is_none() {
            println!("skipped: there is no openssl to make a certificate with");
        }
        certificate
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection of the administrator's.
    pub async fn admin(&self, database: &str) -> sqlx::PgConnection {
        let began = Instant::now();
        loop {
            match <sqlx::PgConnection as sqlx::Connection>::connect(&self.url(database)).await {
                Ok(connection) => return connection,
                Err(error) => assert!(began.elapsed() < START_MAX, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A new, empty database.
    pub async fn database(&self) -> Location {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Relaxed));
        let mut admin = self.admin("postgres").await;
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
        Location::new(self.url(&name))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn folder(port: u16) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("cairn-pg-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
