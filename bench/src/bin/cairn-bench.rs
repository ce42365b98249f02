//! Measures: see `cairn_bench::run`, and `cairn_bench::bookings` for `cairn-bench bookings`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).peekable();
    let outcome = match args.next_if(|arg| arg == "bookings") {
        Some(_) => cairn_bench::bookings::main(args),
        None => cairn_bench::run::main(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
