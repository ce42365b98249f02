//! `cargo xtask up`: the whole system with demo data on this machine.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    build::{self, DOUBLES, HOST, Profile},
    flag, no_more, option, root,
};

/// What the demo sets where the environment does not.
const DEMO: [(&str, &str); 12] = [
    ("DEMO", "true"),
    ("JWT_SECRET", "demo-secret-that-everybody-knows-0123456789"),
    ("CAIRN_ADMIN_EMAIL", "admin@cairn.example"),
    ("CAIRN_ADMIN_PASSWORD", "walk-the-ridge"),
    ("RAZORPAY_KEY_ID", "rzp_test_double"),
    ("RAZORPAY_KEY_SECRET", "rzp_double_secret"),
    ("RAZORPAY_WEBHOOK_SECRET", "rzp_double_webhook_secret"),
    ("RAZORPAY_API_HOST", "http://127.0.0.1:8026"),
    ("EMAIL_HOST", "127.0.0.1"),
    ("EMAIL_PORT", "1025"),
    ("SELLER_ADDRESS", "14 Church Street, Bengaluru 560001"),
    ("SELLER_EMAIL", "desk@cairn.example"),
];

/// How long the system may take to come up.
const START_MAX: Duration = Duration::from_secs(120);

/// How long it may take to finish its requests when stopped.
const STOP_MAX: Duration = Duration::from_secs(40);

pub fn run(args: &[String]) -> Result<()> {
    let mut args = args.to_vec();
    let profile = if flag(&mut args, "--release") { Profile::Release } else { Profile::Dev };
    let reset = flag(&mut args, "--reset");
    let watch = flag(&mut args, "--watch");
    let data = option(&mut args, "--data")?.map_or_else(|| root().join(".cairn"), PathBuf::from);
    let listen = option(&mut args, "--listen")?.unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    no_more(&args)?;

    build::components()?;
    build::programs(&[HOST, DOUBLES], profile)?;
    let (host, doubles) = (HOST.path(profile), DOUBLES.path(profile));
    if reset && data.exists() {
        std::fs::remove_dir_all(&data).with_context(|| format!("{} cannot be removed", data.display()))?;
    }
    let stop = stop_on_signal()?;
    let mut children = vec![start_doubles(&doubles, &listen)?];
    children.push(start_host(&host, &data, &listen, watch)?);
    let outcome = serve(&mut children, &stop, &listen, &welcome(&listen, &host, &data));
    children.iter_mut().rev().for_each(finish);
    outcome
}

/// What becomes true when somebody asks this to stop.
pub fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// The environment of a part: ours, and the demo's values for what is not set.
fn demo_environment(command: &mut Command) {
    for (name, value) in DEMO {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
}

/// What the environment sets, else the demo.
pub fn setting(name: &str) -> Option<String> {
    let demo = DEMO.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    std::env::var(name).ok().or(demo)
}

/// Starts the doubles of the payment provider and the mailbox.
pub fn start_doubles(binary: &PathBuf, listen: &str) -> Result<Child> {
    let mut command = Command::new(binary);
    demo_environment(&mut command);
    command.args(["--razorpay-webhook-url", &format!("http://{listen}/api/payments/webhook")]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("the doubles cannot be started")?;
    let output = child.stdout.take().context("the doubles have no output")?;
    // It prints a line for each of its three servers once it listens.
    let mut lines = BufReader::new(output).lines();
    for _ in 0..3 {
        if lines.next().transpose()?.is_none() {
            bail!(
                "the doubles of the payment provider and the mailbox did not start: are ports 8026, 8025 and 1025 free?"
            );
        }
    }
    Ok(child)
}

fn start_host(binary: &PathBuf, data: &PathBuf, listen: &str, watch: bool) -> Result<Child> {
    let mut command = Command::new(binary);
    demo_environment(&mut command);
    command.arg("up").arg("--from").arg(root().join("spin.toml")).args(["--listen", listen]).arg("--data").arg(data);
    if watch {
        command.arg("--watch");
    }
    command.stdin(Stdio::null()).spawn().context("the host cannot be started")
}

/// Waits until it serves, says where to look, and stays until it is stopped.
pub fn serve(children: &mut [Child], stop: &AtomicBool, listen: &str, welcome: &str) -> Result<()> {
    let started = Instant::now();
    while TcpStream::connect(listen).is_err() {
        check(children, stop)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if started.elapsed() > START_MAX {
            bail!("Cairn did not come up within {} s; see the lines above", START_MAX.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
    println!("{welcome}");
    while !stop.load(Ordering::Relaxed) {
        check(children, stop)?;
        thread::sleep(Duration::from_millis(200));
    }
    println!("stopping…");
    Ok(())
}

fn welcome(listen: &str, host: &Path, data: &Path) -> String {
    let command = format!("{} status --data {}", host.display(), data.display());
    let (email, password) =
        (setting("CAIRN_ADMIN_EMAIL").unwrap_or_default(), setting("CAIRN_ADMIN_PASSWORD").unwrap_or_default());
    format!(
        "
Cairn is up.

  API        http://{listen}/api/treks      health: http://{listen}/health
  operator   http://127.0.0.1:3001/status      (also /metrics, /readyz)
  mailbox    http://127.0.0.1:8025             all mail the system sends
  payments   http://127.0.0.1:8026             orders; open one and press Pay

  admin      {email} / {password}
  commands   {command}   (also swap, rollback, logs; see docs/operating.md)

The tour in README.md goes through a booking step by step. Ctrl-C stops everything.
"
    )
}

/// Fails when a child has ended by itself.
fn check(children: &mut [Child], stop: &AtomicBool) -> Result<()> {
    for child in children {
        if let Some(status) = child.try_wait()?
            && !stop.load(Ordering::Relaxed)
        {
            bail!("a part of the system ended ({status}); see the lines above");
        }
    }
    Ok(())
}

/// Asks a child to finish, and waits until it has.
pub fn finish(child: &mut Child) {
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    let deadline = Instant::now() + STOP_MAX;
    while asked.is_ok() && Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    if let Err(error) = child.kill() {
        eprintln!("process {} could not be stopped: {error}", child.id());
    }
}
