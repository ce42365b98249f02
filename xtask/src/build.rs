//! The components and the host.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{cargo, flag, no_more, root, succeed, target};

/// The services, in the order of the call graph.
pub const COMPONENTS: [&str; 9] =
    ["notification", "batch", "user", "trek", "payment", "booking", "content", "admin", "gateway"];

const WASM: &str = "wasm32-wasip2";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Dev,
    Release,
}

pub fn run(args: &[String]) -> Result<()> {
    let mut args = args.to_vec();
    let profile = if flag(&mut args, "--release") { Profile::Release } else { Profile::Dev };
    no_more(&args)?;
    components()?;
    programs(&[HOST], profile)
}

/// Builds all components to WebAssembly, optimised.
pub fn components() -> Result<()> {
    println!("building the nine components…");
    wasm(&COMPONENTS.map(|name| format!("cairn-{name}")))
}

/// Builds these packages to WebAssembly, optimised.
pub fn wasm(packages: &[String]) -> Result<()> {
    wasm_target()?;
    let mut build = cargo();
    build.args(["build", "--profile", "component", "--target", WASM]);
    for package in packages {
        build.args(["--package", package]);
    }
    // spin.toml names the files below target/, wherever cargo puts its own.
    build.arg("--target-dir").arg(root().join("target"));
    succeed(&mut build)
}

/// A program of the workspace: its package and its name.
pub struct Program {
    package: &'static str,
    name: &'static str,
}

pub const HOST: Program = Program { package: "host", name: "cairn" };
/// The swap storm.
pub const SOAK: Program = Program { package: "cairn-bench", name: "cairn-soak" };
/// The doubles of outside services.
pub const DOUBLES: Program = Program { package: "cairn-tests", name: "cairn-doubles" };

impl Program {
    /// Where cargo puts it.
    pub fn path(&self, profile: Profile) -> PathBuf {
        let folder = match profile {
            Profile::Dev => "debug",
            Profile::Release => "release",
        };
        target().join(folder).join(self.name)
    }
}

/// Builds programs, all in one go: cargo then builds what they share only once.
pub fn programs(programs: &[Program], profile: Profile) -> Result<()> {
    println!("building the host… (the first time takes minutes: it contains a compiler)");
    let mut build = cargo();
    build.arg("build");
    for program in programs {
        build.args(["--package", program.package, "--bin", program.name]);
    }
    if profile == Profile::Release {
        build.arg("--release");
    }
    succeed(&mut build)
}

/// Adds the target for components where it is missing.
fn wasm_target() -> Result<()> {
    let sysroot = Command::new("rustc")
        .current_dir(root())
        .args(["--print", "sysroot"])
        .output()
        .context("rustc does not run")?;
    let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
    if PathBuf::from(sysroot).join("lib/rustlib").join(WASM).exists() {
        return Ok(());
    }
    println!("adding the target {WASM}…");
    let added = Command::new("rustup").current_dir(root()).args(["target", "add", WASM]).stdin(Stdio::null()).status();
    if !added.is_ok_and(|status| status.success()) {
        bail!("the Rust target {WASM} is missing and rustup cannot add it: install it and run this again");
    }
    Ok(())
}
