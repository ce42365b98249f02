//! Builds, starts, tests and measures Cairn: `cargo xtask help`.

mod bench;
mod build;
mod postgres;
mod soak;
mod spin;
mod test;
mod up;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

const HELP: &str = "\
cargo xtask <command>

  up [--reset] [--watch] [--release] [--data DIR] [--listen ADDR]
                     build everything and serve it with demo data
  spin [--compose-only] [--data DIR] [--listen ADDR] [-- ARGS OF spin up]
                     the same under Spin instead of our host
  test [--with-spin] all tests; exits non-zero on any failure
  bench [--seconds N] [--rounds N] [--connections N] [--only NAME] [--other NAME=URL]
                     our host against the same services without WebAssembly
  bench bookings [--seconds N] [--rounds N] [--connections N]
                     bookings a second that are on disk, on SQLite and on Postgres
  soak [--release] [--swaps N] [--connections N] [--quiet SECONDS]
                     200 swaps while people book, and what requests notice of it
  soak simulation [--release] [--seeds N] [--seed S]
                     bookings and their money under everything that can go wrong,
                     once for each seed; one seed alone says what happens
  build [--release]  the components and the host
  help               this text
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_else(|| "help".to_owned());
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_str() {
        "up" => up::run(&rest),
        "spin" => spin::run(&rest),
        "test" => test::run(&rest),
        "bench" => bench::run(&rest),
        "soak" => soak::run(&rest),
        "build" => build::run(&rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(anyhow::anyhow!("there is no command `{other}`\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cargo that runs this, in the workspace's folder.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command and fails if it does.
fn succeed(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command.status().with_context(|| format!("{shown} could not be started"))?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    Ok(())
}

/// Takes `--name VALUE` out of the arguments.
fn option(args: &mut Vec<String>, name: &str) -> Result<Option<String>> {
    let Some(at) = args.iter().position(|arg| arg == name) else { return Ok(None) };
    if at + 1 >= args.len() {
        bail!("{name} wants a value");
    }
    let value = args.remove(at + 1);
    args.remove(at);
    Ok(Some(value))
}

/// Takes `--name` out of the arguments.
fn flag(args: &mut Vec<String>, name: &str) -> bool {
    let found = args.iter().position(|arg| arg == name);
    found.map(|at| args.remove(at)).is_some()
}

/// Fails if arguments are left over.
fn no_more(args: &[String]) -> Result<()> {
    match args.first() {
        None => Ok(()),
        Some(arg) => bail!("`{arg}` is not known here\n\n{HELP}"),
    }
}
