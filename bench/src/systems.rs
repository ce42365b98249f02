//! The systems that are measured: the host, the twin, and whatever else there is.

use std::{
    fs,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use cairn_tests::{
    client::Client,
    doubles::Budget,
    doubles::razorpay::{Faults, WebhookFaults},
    system::System,
};

use crate::seed;

/// How long the twin may take to serve.
const START_MAX: Duration = Duration::from_secs(30);

/// The unit of processor times under /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// One system under load.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    pub address: SocketAddr,
    /// Of the process that serves, if it is ours.
    pub pid: Option<u32>,
    /// Whether it has the people and the departure of [`seed`].
    pub seeded: bool,
}

impl Target {
    /// A system that somebody else has started, from `NAME=URL`.
    ///
    /// # Errors
    /// It is not of that form, or its host is unknown.
    pub fn other(text: &str) -> Result<Self> {
        let (name, url) = text.split_once('=').with_context(|| format!("`{text}` is not NAME=URL"))?;
        let uri: http::Uri = url.parse().with_context(|| url.to_owned())?;
        let host = uri.host().with_context(|| format!("`{url}` names no host"))?;
        let mut found = (host, uri.port_u16().unwrap_or(80)).to_socket_addrs()?;
        let address = found.next().with_context(|| format!("`{host}` has no address"))?;
        Ok(Self { name: name.to_owned(), address, pid: None, seeded: false })
    }

    /// Processor time that its process has used so far.
    ///
    /// # Errors
    /// The process is gone.
    pub fn cpu(&self) -> Result<Option<Duration>> {
        self.pid.map(cpu).transpose()
    }
}

fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // The name, in parentheses, may contain anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("the form of /proc/<pid>/stat");
    // utime and stime are the 14th and 15th of all; two stand before the parenthesis' end.
    Ok(Duration::from_secs_f64((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND))
}

/// The twin's process, gone when dropped.
struct Twin {
    process: Child,
    data: PathBuf,
}

impl Drop for Twin {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        let removed = fs::remove_dir_all(&self.data);
        if ended.is_err() || removed.is_err() {
            eprintln!("the twin could not be cleaned up: {ended:?} {removed:?}");
        }
    }
}

/// Host and twin on copies of the same data.
pub struct Pair {
    pub host: System,
    _twin: Twin,
    pub targets: [Target; 2],
    /// Of the trek that is asked for by its address.
    pub slug: String,
    /// Of the trek that is booked.
    pub trek_id: String,
    /// Signs sessions.
    pub secret: String,
}

impl Pair {
    /// Starts both.
    ///
    /// # Errors
    /// One of them does not come up.
    pub async fn start(twin: &Path) -> Result<Self> {
        let (mut host, trek_id, slug) = seeded_host().await?;
        let twin_data = host.data().with_extension("twin");
        copy_folder(&host.data().join("sqlite"), &twin_data.join("sqlite"))?;
        host.launch().await?;
        let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let twin = start_twin(twin, listen, twin_data, host.environment()).await?;
        let secret = host.environment().iter().find(|(name, _)| name == "JWT_SECRET").map(|(_, value)| value.clone());
        let host_address = host.base.trim_start_matches("http://").parse()?;
        let targets = [
            Target { name: "host".into(), address: host_address, pid: host.pid(), seeded: true },
            Target { name: "twin".into(), address: listen, pid: Some(twin.process.id()), seeded: true },
        ];
        Ok(Self { host, _twin: twin, targets, slug, trek_id, secret: secret.context("a secret")? })
    }
}

/// A host that is stopped, with the people and departures of [`seed`]; id and address of
/// the trek that these are of. Payments are told by clients alone, so that only what they
/// ask is measured.
///
/// # Errors
/// It does not come up.
pub async fn seeded_host() -> Result<(System, String, String)> {
    let unlimited = u32::MAX.to_string();
    let limits = [("RATE_LIMIT_MAX_REQUESTS", unlimited.as_str()), ("RATE_LIMIT_STRICT_MAX", unlimited.as_str())];
    let mut host = System::start_with(&limits).await.context("the host")?;
    host.razorpay.set_faults(Faults {
        webhooks: WebhookFaults { lose: Budget::Always, ..WebhookFaults::default() },
        ..Faults::default()
    });
    let (trek_id, slug) = first_trek(&host.client()).await?;
    host.stop().await?;
    seed::fill(host.data(), trek_id.parse()?, seed::PEOPLE).await?;
    Ok((host, trek_id, slug))
}

/// Id and address of the first trek of the list.
///
/// # Errors
/// There is none, or no answer.
pub async fn first_trek(client: &Client) -> Result<(String, String)> {
    let list = client.get("/api/treks").await?.json;
    let trek = list.as_array().and_then(|treks| treks.first()).with_context(|| format!("a trek in {list}"))?;
    let text = |field: &str| trek[field].as_str().map(str::to_owned).with_context(|| format!("{field} of {trek}"));
    Ok((text("_id")?, text("slug")?))
}

async fn start_twin(
    binary: &Path,
    listen: SocketAddr,
    data: PathBuf,
    environment: &[(String, String)],
) -> Result<Twin> {
    let log = fs::File::create(data.join("log"))?;
    let mut command = Command::new(binary);
    command.args(["--listen", &listen.to_string()]).arg("--data").arg(&data);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let process = command.spawn().with_context(|| format!("{} cannot be started", binary.display()))?;
    let mut twin = Twin { process, data };
    let began = Instant::now();
    let client = Client::new(format!("http://{listen}")).with_timeout(Duration::from_secs(2));
    while !client.get("/").await.is_ok_and(|reply| reply.status == 200) {
        if twin.process.try_wait()?.is_some() || began.elapsed() > START_MAX {
            bail!("the twin did not come up:\n{}", fs::read_to_string(twin.data.join("log")).unwrap_or_default());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(twin)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        match fs::copy(entry.path(), to.join(entry.file_name())) {
            // A log that SQLite has just removed, since all of it is in the database.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.with_context(|| entry.path().display().to_string())?),
        }
    }
    Ok(())
}
