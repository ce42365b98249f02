//! Words and options, in any order.

use std::vec::IntoIter;

/// What is left of a command line.
pub(super) struct Arguments(IntoIter<String>);

/// One argument.
pub(super) enum Argument {
    /// `--name`, `-n`, or `--name=value`.
    Option(Given),
    Word(String),
}

/// An option as it was given.
pub(super) struct Given {
    pub name: String,
    value: Option<String>,
}

impl Arguments {
    pub(super) fn new(arguments: impl Iterator<Item = String>) -> Self {
        Self(arguments.collect::<Vec<_>>().into_iter())
    }

    pub(super) fn next(&mut self) -> Option<Argument> {
        let argument = self.0.next()?;
        if !argument.starts_with('-') || argument == "-" {
            return Some(Argument::Word(argument));
        }
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        Some(Argument::Option(Given { name, value }))
    }

    /// All that is left, as it stands.
    pub(super) fn rest(self) -> impl Iterator<Item = String> {
        self.0
    }

    /// The value of an option, in it or behind it.
    pub(super) fn value(&mut self, option: Given) -> Result<String, String> {
        option.value.or_else(|| self.0.next()).ok_or_else(|| format!("{} needs a value", option.name))
    }
}

impl Given {
    /// That it stands there says everything.
    pub(super) fn flag(&self) -> Result<bool, String> {
        if self.value.is_some() { Err(format!("{} takes no value", self.name)) } else { Ok(true) }
    }

    pub(super) fn unknown(&self) -> String {
        format!("there is no option {}", self.name)
    }
}

pub(super) fn too_many(word: &str) -> String {
    format!("{word:?} is one word too many")
}
