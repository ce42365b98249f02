//! Measures: see `cairn_bench::run`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match cairn_bench::run::main(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
