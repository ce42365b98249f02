//! Typed access to one TOML table that reports what is wrong and goes on.
//!
//! A [`Section`] remembers which keys it was asked for. At [`Section::finish`]
//! every other key is a mistake.

use std::{collections::BTreeMap, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::Report;

/// A value and the place it was read from.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// One table of the manifest.
pub(super) struct Section<'d, 't> {
    /// As a message names it, such as `component "web"`.
    name: String,
    span: Range<usize>,
    table: &'d DeTable<'t>,
    asked: Vec<&'static str>,
}

type Value<'t> = Spanned<DeValue<'t>>;

impl<'d, 't> Section<'d, 't> {
    pub(super) fn new(name: impl Into<String>, span: Range<usize>, table: &'d DeTable<'t>) -> Self {
        Self { name: name.into(), span, table, asked: Vec::new() }
    }

    /// The same table, called `name` in messages.
    pub(super) fn renamed(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where to report what the section lacks.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(super) fn value(&mut self, key: &'static str) -> Option<&'d Value<'t>> {
        self.asked.push(key);
        self.table.get(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn string(&mut self, report: &mut Report<'_>, key: &'static str) -> Option<At<String>> {
        let value = self.value(key)?;
        string(value).or_else(|| self.wrong_type(report, key, value, "a string"))
    }

    pub(super) fn required_string(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        example: &str,
    ) -> Option<At<String>> {
        if !self.has(key) {
            self.asked.push(key);
            let message = format!("{} has no `{key}`; add `{key} = {example}`", self.name);
            report.add(&self.span, message);
            return None;
        }
        self.string(report, key)
    }

    pub(super) fn boolean(&mut self, report: &mut Report<'_>, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let boolean = value.get_ref().as_bool();
        boolean.or_else(|| self.wrong_type(report, key, value, "`true` or `false`"))
    }

    /// A whole number within `range`.
    pub(super) fn integer(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.value(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            return self.wrong_type(report, key, value, "a whole number");
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let (start, end) = (range.start(), range.end());
                let message = format!("`{key}` of {} is not within {start} to {end}", self.name);
                report.add(&value.span(), message);
                None
            }
        }
    }

    /// A list of strings; `None` where the key is absent.
    pub(super) fn strings(&mut self, report: &mut Report<'_>, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong_type(report, key, value, "a list of strings");
        };
        let strings = array
            .iter()
            .filter_map(|item| string(item).or_else(|| self.wrong_type(report, key, item, "a list of strings")));
        Some(strings.collect())
    }

    /// A table of strings, by key; empty where the key is absent.
    pub(super) fn string_map(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
    ) -> BTreeMap<String, (Range<usize>, At<String>)> {
        let Some(section) = self.section(report, key) else {
            return BTreeMap::new();
        };
        let strings = section.entries().into_iter().filter_map(|(name, at, value)| {
            let found = string(value).or_else(|| section.wrong_type(report, name, value, "a string"))?;
            Some((name.to_owned(), (at, found)))
        });
        strings.collect()
    }

    /// The table under `key`.
    pub(super) fn section(&mut self, report: &mut Report<'_>, key: &'static str) -> Option<Section<'d, 't>> {
        let value = self.value(key)?;
        let name = format!("`{key}` of {}", self.name);
        match value.get_ref() {
            DeValue::Table(table) => Some(Section::new(name, value.span(), table)),
            _ => self.wrong_type(report, key, value, "a table"),
        }
    }

    /// Every key with its place and value, in the order of the file.
    pub(super) fn entries(&self) -> Vec<(&'d str, Range<usize>, &'d Value<'t>)> {
        let mut entries: Vec<_> =
            self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }

    /// Reports `key`, where it is given, as something the host does not do.
    pub(super) fn refuse(&mut self, report: &mut Report<'_>, key: &'static str, why: &str) {
        self.asked.push(key);
        if let Some((found, _)) = self.table.get_key_value(key) {
            let message = format!("`{key}` of {} is not supported: {why}", self.name);
            report.add(&found.span(), message);
        }
    }

    /// As [`Self::refuse`], but an empty list or table asks for nothing and is accepted.
    pub(super) fn refuse_unless_empty(&mut self, report: &mut Report<'_>, key: &'static str, why: &str) {
        let empty = self.value(key).is_some_and(|value| match value.get_ref() {
            DeValue::Array(array) => array.is_empty(),
            DeValue::Table(table) => table.is_empty(),
            _ => false,
        });
        if !empty {
            self.refuse(report, key, why);
        }
    }

    /// Accepts `key` without reading it: it concerns other tools.
    pub(super) fn ignore(&mut self, key: &'static str) {
        self.asked.push(key);
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self, report: &mut Report<'_>) {
        for (key, span, _) in self.entries() {
            if !self.asked.contains(&key) {
                let advice = advice(key, &self.asked);
                let message = format!("{} has no key `{key}`; {advice}", self.name);
                report.add(&span, message);
            }
        }
    }

    pub(super) fn wrong_type<T>(
        &self,
        report: &mut Report<'_>,
        key: &str,
        value: &Value<'_>,
        wanted: &str,
    ) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let name = &self.name;
        let message = format!("`{key}` of {name} must be {wanted}, not {found}");
        report.add(&value.span(), message);
        None
    }
}

pub(super) fn string(value: &Value<'_>) -> Option<At<String>> {
    value.get_ref().as_str().map(|text| At { value: text.to_owned(), span: value.span() })
}

/// What to do about an unknown name, given the known ones.
pub(super) fn advice(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "remove it".to_owned(),
    }
}

/// The known name that a typing mistake most likely turned into `unknown`.
pub(super) fn nearest<'k>(unknown: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance_max = (unknown.chars().count() / 3).min(3);
    known
        .iter()
        .map(|name| (edit_distance(unknown, name), *name))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, name)| name)
}

/// How many characters must be inserted, removed, replaced or swapped with their
/// neighbour (optimal string alignment).
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let cell = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
    let mut row_before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut left_before = None;
    for (index, l) in left.chars().enumerate() {
        let mut next = vec![index + 1];
        let mut right_before = None;
        for (column, r) in right.iter().copied().enumerate() {
            let replaced = cell(&row, column) + usize::from(l != r);
            let inserted = cell(&next, column) + 1;
            let removed = cell(&row, column + 1) + 1;
            let mut best = replaced.min(inserted).min(removed);
            if column > 0 && left_before == Some(r) && right_before == Some(l) {
                best = best.min(cell(&row_before, column - 1) + 1);
            }
            next.push(best);
            right_before = Some(r);
        }
        row_before = std::mem::replace(&mut row, next);
        left_before = Some(l);
    }
    cell(&row, right.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_of_the_fingers_is_one_edit() {
        for (left, right, distance) in [
            ("source", "source", 0),
            ("sorce", "source", 1),
            ("sourcee", "source", 1),
            ("sourxe", "source", 1),
            ("soruce", "source", 1),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edit_distance(left, right), distance, "{left} {right}");
        }
    }

    #[test]
    fn names_that_have_little_in_common_are_not_suggested() {
        assert_eq!(nearest("memroy", &["queue", "memory"]), Some("memory"));
        assert_eq!(nearest("colour", &["queue", "memory"]), None);
        assert_eq!(nearest("z", &["x"]), None);
    }
}
