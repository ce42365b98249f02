//! Text from outside, parsed once at the edge.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, json};

use crate::{Error, Result};

/// An e-mail address: trimmed, lower-case, of ordinary syntax.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Email(String);

const EMAIL_CHARS_MAX: usize = 254;

impl Email {
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim().to_lowercase();
        let well_formed = text.split_once('@').is_some_and(|(local, domain)| {
            let local_ok = !local.is_empty()
                && !local.starts_with('.')
                && !local.ends_with('.')
                && !local.contains("..")
                && local.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c));
            let labels: Vec<_> = domain.split('.').collect();
            let label_ok = |label: &&str| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            };
            local_ok && labels.len() >= 2 && labels.iter().all(label_ok) && labels.last().is_some_and(|l| l.len() >= 2)
        });
        if well_formed && text.len() <= EMAIL_CHARS_MAX {
            Ok(Self(text))
        } else {
            Err("Please give a valid e-mail address")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Email> for crate::db::Value {
    fn from(email: Email) -> Self {
        Self::Text(email.0)
    }
}

impl From<&Email> for crate::db::Value {
    fn from(email: &Email) -> Self {
        Self::Text(email.0.clone())
    }
}

/// Problems with the fields of a request, reported together.
#[derive(Debug, Default)]
pub struct Problems(Map<String, serde_json::Value>);

impl Problems {
    /// Notes a problem with a field; the first one of a field counts.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        let message = message.into();
        self.0.entry(field).or_insert_with(|| json!({ "message": message, "path": field }));
    }

    /// The value, or a note of what is wrong with it.
    pub fn check<T, E: fmt::Display>(&mut self, field: &str, outcome: Result<T, E>) -> Option<T> {
        outcome.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// Trimmed text of so many characters, or a note.
    pub fn text(&mut self, field: &str, value: Option<&str>, chars: std::ops::RangeInclusive<usize>) -> Option<String> {
        let text = value.unwrap_or_default().trim();
        let count = text.chars().count();
        if chars.contains(&count) {
            return Some(text.to_owned());
        }
        let message = match (count, *chars.start(), *chars.end()) {
            (0, ..) => format!("{field} is required"),
            (n, min, _) if n < min => format!("{field} needs at least {min} characters"),
            (.., max) => format!("{field} may have at most {max} characters"),
        };
        self.add(field, message);
        None
    }

    /// # Errors
    /// 400 with every problem, if there is one.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let texts: Vec<_> = self.0.values().filter_map(|problem| problem["message"].as_str()).collect();
        Err(Error::bad_request(texts.join(". ")).with("errors", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_normalised() {
        assert_eq!(
            Email::parse(" Asha.Rao+news@Example.Photography ").unwrap().as_str(),
            "asha.rao+news@example.photography"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "asha", "a@b", "a@b..in", "@b.in", "a b@c.in", "a@-b.in", ".a@b.in", "a@b.i", "a@b.in\r\nBcc: x@y.in"]
        {
            assert!(Email::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_problems_are_reported_together() {
        let mut problems = Problems::default();
        assert_eq!(problems.text("name", Some("  "), 1..=50), None);
        problems.add("age", "age has to be a number");
        let error = problems.finish().unwrap_err();
        assert_eq!(error.public_message(), "age has to be a number. name is required");
    }
}
