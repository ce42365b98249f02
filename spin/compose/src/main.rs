//! `cairn-spin-compose --into DIR NAME=FILE… [--inside NAME=FILE…]`
//!
//! Composes every component named with those it calls and writes `DIR/NAME.wasm`.
//! What stands behind `--inside` only goes into others.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use cairn_spin_compose::{Part, plan, read};

/// What the platform calls.
const EXPORTS: [&str; 1] = ["wasi:http/handler@0.3.0"];

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<()> {
    let mut into = None;
    let mut parts = BTreeMap::new();
    let mut services = Vec::new();
    let mut inside = false;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--into" => into = Some(PathBuf::from(args.next().context("--into wants a folder")?)),
            "--inside" => inside = true,
            part => {
                let (name, file) = part.split_once('=').with_context(|| format!("`{part}` is not NAME=FILE"))?;
                let bytes = std::fs::read(file).with_context(|| format!("{file} cannot be read"))?;
                if parts.insert(name.to_owned(), read(name, bytes)?).is_some() {
                    bail!("`{name}` is named twice");
                }
                if !inside {
                    services.push(name.to_owned());
                }
            }
        }
    }
    let into = into.context("--into DIR says where to write")?;
    std::fs::create_dir_all(&into).with_context(|| format!("{} cannot be made", into.display()))?;
    services.iter().try_for_each(|service| compose(&parts, service, &into))
}

fn compose(parts: &BTreeMap<String, Part>, service: &str, into: &Path) -> Result<()> {
    let interfaces = parts.iter().map(|(name, part)| (name.clone(), part.interfaces.clone())).collect();
    let plan = plan(&interfaces, service)?;
    let bytes = plan.encode(parts, &EXPORTS)?;
    let file = into.join(format!("{service}.wasm"));
    // Whoever is just starting the application reads the old file or the new one.
    let aside = into.join(format!("{service}.wasm.{}", std::process::id()));
    std::fs::write(&aside, &bytes).with_context(|| format!("{} cannot be written", aside.display()))?;
    std::fs::rename(&aside, &file).with_context(|| format!("{} cannot be replaced", file.display()))?;
    let others = plan.instances.iter().filter(|name| *name != service).cloned().collect::<Vec<_>>();
    println!("  {service:<13} {:>6} KiB, with {}", bytes.len() / 1024, others.join(", "));
    Ok(())
}
