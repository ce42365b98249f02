//! Making keys and signing components.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    arguments::{Argument, Arguments, too_many},
    fail,
};
use crate::signing;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Generate { key: PathBuf },
    Sign { file: PathBuf, key: PathBuf, output: PathBuf },
}

pub(super) fn parse(command: &str, mut arguments: Arguments) -> Result<Command, String> {
    let (mut file, mut key, mut output) = (None, None, None);
    let signs = command == "sign";
    while let Some(argument) = arguments.next() {
        match argument {
            Argument::Word(word) if signs && file.is_none() => file = Some(PathBuf::from(word)),
            Argument::Word(word) => return Err(too_many(&word)),
            Argument::Option(given) if given.name == "--key" => key = Some(PathBuf::from(arguments.value(given)?)),
            Argument::Option(given) if signs && given.name == "--output" => {
                output = Some(PathBuf::from(arguments.value(given)?));
            }
            Argument::Option(given) => return Err(given.unknown()),
        }
    }
    if !signs {
        return Ok(Command::Generate { key: key.unwrap_or_else(|| "cairn.key".into()) });
    }
    let file = file.ok_or("name the component's file")?;
    let key = key.ok_or("name the key with --key")?;
    let output = output.unwrap_or_else(|| file.clone());
    Ok(Command::Sign { file, key, output })
}

pub(super) fn run(command: &Command) -> ExitCode {
    let outcome = match command {
        Command::Generate { key } => generate(key),
        Command::Sign { file, key, output } => sign(file, key, output),
    };
    match outcome {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(problem) => fail(&problem),
    }
}

fn generate(key: &Path) -> Result<String, String> {
    let public = signing::generate(key).map_err(|error| error.to_string())?;
    Ok(format!(
        "{} signs components: keep it secret.\n{} is for hosts that trust it: cairn up --trusted-keys {}",
        key.display(),
        public.display(),
        public.display()
    ))
}

fn sign(file: &Path, key: &Path, output: &Path) -> Result<String, String> {
    let key = signing::read_private(key).map_err(|error| error.to_string())?;
    let bytes = fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let signed = signing::sign(&bytes, &key).map_err(|error| format!("{}: {error}", file.display()))?;
    write(output, &signed).map_err(|error| format!("{} cannot be written: {error}", output.display()))?;
    Ok(format!("{} is signed", output.display()))
}

/// Writes a file that appears whole or not at all: a host may watch it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::super::{Command as Line, tests::parsed};
    use super::*;

    #[test]
    fn a_component_is_signed_in_place_unless_another_file_is_named() {
        let line = |output: &str| {
            Ok(Line::Keys(Command::Sign { file: "a.wasm".into(), key: "k".into(), output: output.into() }))
        };
        assert_eq!(parsed("sign a.wasm --key k"), line("a.wasm"));
        assert_eq!(parsed("sign --key=k --output b.wasm a.wasm"), line("b.wasm"));
        assert_eq!(parsed("keygen"), Ok(Line::Keys(Command::Generate { key: "cairn.key".into() })));
    }
}
