//! `cairn-simulation [--seeds N] [--seed S]`: N seeds from S on, or S alone aloud.

use std::{process::ExitCode, sync::Mutex, time::Instant};

use anyhow::{Context, Result, bail};
use cairn_simulation::{Run, play::Numbers, run, run_all};

const HELP: &str = "\
cairn-simulation [--seeds N] [--seed S]

  --seeds N   plays N seeds (200), from S on (1)
  --seed S    without --seeds: plays S alone and says everything that happens
";

fn main() -> ExitCode {
    match play() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}\n\n{HELP}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn play() -> Result<bool> {
    let (mut seeds, mut seed) = (None, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let into = match arg.as_str() {
            "--seeds" => &mut seeds,
            "--seed" => &mut seed,
            _ => bail!("`{arg}` is not known here"),
        };
        let value = args.next().with_context(|| format!("{arg} wants a number"))?;
        *into = Some(value.parse::<u64>().with_context(|| format!("{arg} {value}"))?);
    }
    match (seeds, seed) {
        (None, Some(seed)) => {
            let run = run(seed, true)?;
            println!("{:?}", run.numbers);
            told(&run);
            Ok(run.problem.is_none())
        }
        (seeds, seed) => many(seed.unwrap_or(1), seeds.unwrap_or(200)),
    }
}

fn told(run: &Run) {
    if let Some(problem) = &run.problem {
        println!("seed {}: {problem}", run.seed);
    }
}

fn many(first: u64, count: u64) -> Result<bool> {
    let began = Instant::now();
    let failed = Mutex::new(Vec::new());
    let sum = Mutex::new(Numbers::default());
    run_all(first, count, |run| {
        told(&run);
        *sum.lock().expect("nobody panics here") += run.numbers;
        if run.problem.is_some() {
            failed.lock().expect("nobody panics here").push(run.seed);
        }
    })?;
    let failed = failed.into_inner()?;
    println!("{count} seeds in {:.0?}: {:?}; {} failed", began.elapsed(), sum.into_inner()?, failed.len());
    if let Some(seed) = failed.first() {
        println!("replay one with: cargo xtask soak simulation --seed {seed}");
    }
    Ok(failed.is_empty())
}
