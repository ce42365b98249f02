//! The whole system as its operator starts it, with doubles around it.
//!
//! The host runs as a process of its own, so that a test can kill it. With
//! `CAIRN_TEST_ENGINE=spin` the same application is served by `spin up` instead; with
//! `CAIRN_TEST_POSTGRES`, the URL of a server, the host keeps its data there.

use std::{
    io,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    client::Client,
    doubles::{Mailbox, Razorpay},
    postgres,
};

/// The first admin of every test system.
pub const ADMIN: (&str, &str) = ("admin@cairn.example", "a-long-admin-password");

/// What the tests' commands to the host are trusted by.
const OPERATOR_TOKEN: &str = "a-token-of-the-tests-alone";

/// How long the system may take to serve.
const START_MAX: Duration = Duration::from_secs(120);

/// How long it may take to finish its requests.
const STOP_MAX: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Cairn,
    Spin,
}

impl Engine {
    fn chosen() -> Self {
        match std::env::var("CAIRN_TEST_ENGINE").as_deref() {
            Ok("spin") => Self::Spin,
            _ => Self::Cairn,
        }
    }
}

/// A running system with demo data, gone when dropped.
pub struct System {
    pub base: String,
    /// Address of the operator's server; the host's alone.
    pub operator: String,
    pub razorpay: Arc<Razorpay>,
    pub mailbox: Arc<Mailbox>,
    pub engine: Engine,
    environment: Vec<(String, String)>,
    listen: String,
    data: PathBuf,
    process: Option<Child>,
}

impl System {
    /// Starts a system of its own, with an empty database.
    ///
    /// # Errors
    /// A part does not come up; the message says which.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a system with more settings in its environment.
    ///
    /// # Errors
    /// As [`System::start`].
    pub async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        let razorpay = Razorpay::start("127.0.0.1:0").await.context("the payment provider's double")?;
        let mailbox = Mailbox::start("127.0.0.1:0", "127.0.0.1:0").await.context("the mailbox double")?;
        let (listen, operator) = (free_address()?, free_address()?);
        razorpay.set_webhook_url(format!("http://{listen}/api/payments/webhook"));
        let engine = Engine::chosen();
        let mut environment = environment(&razorpay, &mailbox, settings);
        if let Some(url) = postgres::database().await? {
            environment.push(("CAIRN_DATABASE_URL".to_owned(), url));
        }
        let mut system = Self {
            base: format!("http://{listen}"),
            operator,
            environment,
            razorpay: Arc::new(razorpay),
            mailbox: Arc::new(mailbox),
            engine,
            data: data_folder(&listen)?,
            listen,
            process: None,
        };
        system.launch().await?;
        Ok(system)
    }

    /// Another host of the same application, with the same settings and doubles. It
    /// has the same data where that is on a server.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn beside(&self) -> Result<Self> {
        let (listen, operator) = (free_address()?, free_address()?);
        let mut other = Self {
            base: format!("http://{listen}"),
            operator,
            razorpay: Arc::clone(&self.razorpay),
            mailbox: Arc::clone(&self.mailbox),
            engine: self.engine,
            environment: self.environment.clone(),
            data: data_folder(&listen)?,
            listen,
            process: None,
        };
        other.launch().await?;
        Ok(other)
    }

    /// A client without a login.
    pub fn client(&self) -> Client {
        Client::new(&self.base)
    }

    /// A client of the operator's server, which may command.
    pub fn operator(&self) -> Client {
        Client::new(format!("http://{}", self.operator)).with_token(OPERATOR_TOKEN)
    }

    /// Where it keeps its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The settings that its process gets.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The id of its process, while that runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Starts the process again on the data it left.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn launch(&mut self) -> Result<()> {
        let mut command = self.command()?;
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let log = self.data.with_extension("log");
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        self.process = Some(command.spawn().with_context(|| format!("{command:?} cannot be started"))?);
        let started = Instant::now();
        while !self.serves().await {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().transpose());
            if ended.is_some() || started.elapsed() > START_MAX {
                bail!("the system did not come up:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn serves(&self) -> bool {
        self.client().with_timeout(Duration::from_secs(2)).get("/").await.is_ok_and(|reply| reply.status == 200)
    }

    fn command(&self) -> Result<Command> {
        let root = root()?;
        let mut command = match self.engine {
            Engine::Cairn => {
                let mut command = cairn()?;
                command.arg("up").arg("--from").arg(root.join("spin.toml")).args(["--operator", &self.operator]);
                // All systems of all tests run the same components: compile them once.
                command.arg("--compiled").arg(std::env::temp_dir().join("cairn-test-compiled"));
                command.env("CAIRN_OPERATOR_TOKEN", OPERATOR_TOKEN);
                command
            }
            Engine::Spin => {
                let mut command = Command::new(binary("CAIRN_XTASK", root, "xtask")?);
                command.arg("spin");
                command
            }
        };
        command.args(["--listen", &self.listen]).arg("--data").arg(&self.data);
        Ok(command)
    }

    /// Kills the process as a power cut would: no chance to finish anything.
    ///
    /// # Errors
    /// There is no process.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the system does not run")?;
        signal(&process, "KILL")?;
        process.wait()?;
        Ok(())
    }

    /// Asks the process to finish and waits until it has.
    ///
    /// # Errors
    /// It does not finish in time, or not with success.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the system does not run")?;
        signal(&process, "TERM")?;
        let asked = Instant::now();
        loop {
            match process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the system stopped with {status}"),
                None if asked.elapsed() > STOP_MAX => bail!("the system did not stop"),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Moves the data of a system that is stopped to an empty Postgres database, where it
    /// stays.
    ///
    /// # Errors
    /// The move fails.
    pub fn move_to_postgres(&mut self, url: &str) -> Result<()> {
        let mut command = cairn()?;
        command.args(["db", "move", "--from", "sqlite", "--to", "postgres", "--database", url]);
        command.arg("--app").arg(root()?.join("spin.toml")).arg("--data").arg(&self.data);
        command.arg("--compiled").arg(std::env::temp_dir().join("cairn-test-compiled"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let moved = command.output().with_context(|| format!("{command:?} cannot be started"))?;
        if !moved.status.success() {
            bail!("the data was not moved:\n{}", String::from_utf8_lossy(&moved.stderr));
        }
        self.environment.push(("CAIRN_DATABASE_URL".to_owned(), url.to_owned()));
        Ok(())
    }

    /// What the process has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if self.process.is_some()
            && let Err(error) = self.kill()
        {
            eprintln!("the system could not be stopped: {error}");
        }
        if std::thread::panicking() || std::env::var_os("CAIRN_TEST_LOG").is_some() {
            eprintln!("log of the system:\n{}", self.log());
        }
        for gone in [std::fs::remove_dir_all(&self.data), std::fs::remove_file(self.data.with_extension("log"))] {
            if let Err(error) = gone
                && error.kind() != io::ErrorKind::NotFound
            {
                eprintln!("test data stays behind: {error}");
            }
        }
    }
}

/// The whole process group, since Spin's commands start processes of their own.
fn signal(process: &Child, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg("--").arg(format!("-{}", process.id())).status()?;
    if status.success() { Ok(()) } else { bail!("kill: {status}") }
}

/// The host's program, for a command of it.
///
/// # Errors
/// It is not built.
pub fn cairn() -> Result<Command> {
    Ok(Command::new(binary("CAIRN_BIN", root()?, "cairn")?))
}

fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace has a folder")
}

fn binary(variable: &str, root: &Path, name: &str) -> Result<PathBuf> {
    let given = std::env::var_os(variable).map(PathBuf::from);
    let path = given.unwrap_or_else(|| root.join("target/debug").join(name));
    if path.is_file() { Ok(path) } else { bail!("{} is not built: run `cargo xtask build` first", path.display()) }
}

/// An address that was free a moment ago; the system keeps it over restarts.
fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn data_folder(listen: &str) -> Result<PathBuf> {
    let port = listen.rsplit(':').next().unwrap_or_default();
    let folder = std::env::temp_dir().join(format!("cairn-test-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn environment(razorpay: &Razorpay, mailbox: &Mailbox, settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let provider = razorpay.settings();
    let smtp = mailbox.smtp_addr();
    let mut all = vec![
        ("DEMO", "true".to_owned()),
        ("JWT_SECRET", "a-secret-of-the-tests-with-enough-characters".to_owned()),
        ("CAIRN_ADMIN_EMAIL", ADMIN.0.to_owned()),
        ("CAIRN_ADMIN_PASSWORD", ADMIN.1.to_owned()),
        ("RAZORPAY_KEY_ID", provider.key_id.clone()),
        ("RAZORPAY_KEY_SECRET", provider.key_secret.clone()),
        ("RAZORPAY_WEBHOOK_SECRET", provider.webhook_secret.clone()),
        ("RAZORPAY_API_HOST", razorpay.base_url()),
        ("EMAIL_HOST", smtp.ip().to_string()),
        ("EMAIL_PORT", smtp.port().to_string()),
        ("RATE_LIMIT_MAX_REQUESTS", "1000000".to_owned()),
        ("RATE_LIMIT_STRICT_MAX", "1000000".to_owned()),
    ];
    all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
