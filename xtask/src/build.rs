//! The components and the host.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{cargo, flag, no_more, root, succeed, target};

/// The services, in the order of the call graph.
pub const COMPONENTS: [&str; 9] = ["notification", "batch", "user", "trek", "payment", "booking", "content", "admin", "gateway"];

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
    host(profile)?;
    Ok(())
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

/// Builds the host and tells where it is.
pub fn host(profile: Profile) -> Result<PathBuf> {
    println!("building the host… (the first time takes minutes: it contains a compiler)");
    binary("host", "cairn", profile)
}

/// Builds the doubles of outside services and tells where they are.
pub fn doubles(profile: Profile) -> Result<PathBuf> {
    binary("cairn-tests", "cairn-doubles", profile)
}

fn binary(package: &str, name: &str, profile: Profile) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", package, "--bin", name]);
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            build.arg("--release");
            "release"
        }
    };
    succeed(&mut build)?;
    Ok(target().join(folder).join(name))
}

/// Adds the target for components where it is missing.
fn wasm_target() -> Result<()> {
    let sysroot = Command::new("rustc").current_dir(root()).args(["--print", "sysroot"]).output().context("rustc does not run")?;
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
