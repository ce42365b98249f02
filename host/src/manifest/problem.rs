//! Mistakes in a manifest, and where they are.

use std::{fmt, ops::Range};

/// A place in the manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1; 0 where the place is unknown.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

/// One mistake: what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub at: Position,
    /// For people.
    pub message: String,
}

/// Every mistake in one manifest, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(file: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.at);
        list.dedup();
        Self { file: file.to_owned(), list }
    }

    pub(super) fn unreadable(file: &str, message: String) -> Self {
        let at = Position::default();
        Self::new(file, vec![Problem { at, message }])
    }

    /// The problems, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { at, message }) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if at.line == 0 {
                write!(f, "{}: {message}", self.file)?;
            } else {
                write!(f, "{}:{}:{}: {message}", self.file, at.line, at.column)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects problems while a manifest is read.
pub(super) struct Report<'t> {
    text: &'t str,
    list: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, list: Vec::new() }
    }

    pub(super) fn add(&mut self, span: &Range<usize>, message: impl Into<String>) {
        let at = self.position(span);
        let message = message.into();
        self.list.push(Problem { at, message });
    }

    pub(super) fn position(&self, span: &Range<usize>) -> Position {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    /// Adds mistakes of the TOML itself. What was found wrong with the content of
    /// the same lines only follows from them, and goes.
    pub(super) fn add_syntax(&mut self, errors: &[toml::de::Error]) {
        let syntax: Vec<Problem> = errors
            .iter()
            .map(|error| Problem {
                at: self.position(&error.span().unwrap_or_default()),
                message: syntax_message(error.message()),
            })
            .collect();
        self.list.retain(|found| syntax.iter().all(|error| error.at.line != found.at.line));
        self.list.extend(syntax);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn into_problems(self, file: &str) -> Problems {
        Problems::new(file, self.list)
    }
}

fn syntax_message(message: &str) -> String {
    if message == "duplicate key" {
        "this key or table is already defined above; remove or rename one of them".to_owned()
    } else {
        format!("not valid TOML: {message}")
    }
}
