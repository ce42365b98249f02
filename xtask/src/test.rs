//! `cargo xtask test`: everything that can be checked on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    build::{self, HOST, Profile},
    cargo, flag, no_more,
    postgres::Server,
    root, succeed,
};

/// The administrator's URL of a Postgres on which tests run instead of SQLite.
const TEST_POSTGRES: &str = "CAIRN_TEST_POSTGRES";

/// Tests of the whole system that run on Postgres too.
const JOURNEYS: [&str; 5] = ["journey", "races", "failures", "crash", "two_hosts"];

pub fn run(args: &[String]) -> Result<()> {
    let mut args = args.to_vec();
    let with_spin = flag(&mut args, "--with-spin");
    no_more(&args)?;

    build::components()?;
    // The tests' build makes the host too; built by itself first, most of it would be built twice.
    let host = HOST.path(Profile::Dev);
    println!("building and running all tests… (the first time takes minutes: the host contains a compiler)");
    let on_sqlite = succeed(cargo().args(["test", "--workspace", "--no-fail-fast"]).env("CAIRN_BIN", &host));
    let on_postgres = postgres(&host);
    on_sqlite.and(on_postgres)?;
    if with_spin {
        spin(&host)?;
    } else {
        println!("skipped: the journey under Spin (ask for it with --with-spin)");
    }
    Ok(())
}

/// Whatever has a database once more, on Postgres.
fn postgres(host: &Path) -> Result<()> {
    let Some(server) = Server::start()? else { return Ok(()) };
    println!("running what has a database once more, on Postgres…");
    let mut failed = Vec::new();
    let programs = programs()?;
    for test in programs.iter().filter(|test| test.has_database()) {
        let mut command = std::process::Command::new(&test.program);
        command.current_dir(&test.folder).env("CAIRN_BIN", host).env(TEST_POSTGRES, server.url());
        println!("\n{} on Postgres", test.name);
        if succeed(&mut command).is_err() {
            failed.push(test.name.as_str());
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("these failed on Postgres: {}", failed.join(", ")) }
}

/// A program of tests, as cargo has built it.
struct Tests {
    name: String,
    program: PathBuf,
    /// Of the package.
    folder: PathBuf,
}

impl Tests {
    fn has_database(&self) -> bool {
        let whole_system = self.folder == root().join("tests") && JOURNEYS.contains(&self.name.as_str());
        whole_system || self.folder.starts_with(root().join("components")) || self.folder == root().join("shared")
    }
}

/// The programs that the last run has built.
fn programs() -> Result<Vec<Tests>> {
    let mut list = cargo();
    list.args(["test", "--workspace", "--no-run", "--quiet", "--message-format=json-render-diagnostics"]);
    let output = list.stderr(std::process::Stdio::inherit()).output().context("cargo does not run")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let text = String::from_utf8(output.stdout)?;
    let messages = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    Ok(messages.iter().filter_map(tests).collect())
}

fn tests(message: &Value) -> Option<Tests> {
    message["profile"]["test"].as_bool().filter(|test| *test)?;
    Some(Tests {
        name: message["target"]["name"].as_str()?.to_owned(),
        program: message["executable"].as_str()?.into(),
        folder: Path::new(message["manifest_path"].as_str()?).parent()?.to_owned(),
    })
}

/// The journey once more, served by `spin up`.
fn spin(host: &Path) -> Result<()> {
    if !crate::spin::installed() {
        println!("skipped: the journey under Spin, since there is no `spin` on PATH");
        return Ok(());
    }
    succeed(cargo().args(["test", "--package", "cairn-spin-compose", "--features", "encode"]))?;
    crate::spin::compose()?;
    let server = Server::start()?;
    for url in std::iter::once(None).chain(server.iter().map(|server| Some(server.url()))) {
        println!("the journey under Spin, on {}…", if url.is_some() { "Postgres" } else { "SQLite" });
        let mut journey = cargo();
        journey.args(["test", "--package", "cairn-tests", "--test", "journey"]).env("CAIRN_TEST_ENGINE", "spin");
        journey.env("CAIRN_BIN", host).env("CAIRN_XTASK", std::env::current_exe()?);
        succeed(journey.envs(url.map(|url| (TEST_POSTGRES, url))))?;
    }
    Ok(())
}
