//! What people read: aligned columns, short numbers.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;

/// Characters of a version that people see.
const VERSION_CHARACTERS: usize = 12;

/// Rows under a head, in columns. The last column is not filled up.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|name| name.chars().count())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths.iter().copied()) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A text of the host's answer, without what could steer a terminal.
pub(super) fn text(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let plain = |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(plain).collect()
}

/// A number, or nothing to show.
pub(super) fn number(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// As much of a version as tells it from others.
pub(super) fn version(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), |hash| hash.chars().take(VERSION_CHARACTERS).collect())
}

pub(super) fn milliseconds(value: &Value) -> String {
    match value.as_f64() {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.2} ms"),
        Some(ms) if ms < 1_000.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1_000.0),
    }
}

pub(super) fn bytes(value: &Value) -> String {
    const MIB: f64 = (1_u32 << 20) as f64;
    value.as_f64().map_or_else(|| "-".to_owned(), |bytes| format!("{:.1} MiB", bytes / MIB))
}

/// How long something has been so, from seconds.
pub(super) fn age(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |seconds| short(Duration::from_secs(seconds)))
}

/// How long ago a moment was, in milliseconds since 1970.
pub(super) fn ago(value: &Value, now_ms: u64) -> String {
    let then = value.as_u64();
    then.map_or_else(
        || "-".to_owned(),
        |then| format!("{} ago", short(Duration::from_millis(now_ms.saturating_sub(then)))),
    )
}

fn short(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds @ 3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        seconds => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["longer".to_owned(), "é".to_owned()]];
        assert_eq!(table(&["ID", "COUNT"], &rows), "ID      COUNT\na       1\nlonger  é\n");
    }

    #[test]
    fn values_are_short_and_what_is_missing_is_a_dash() {
        assert_eq!(milliseconds(&json!(0.257)), "0.26 ms");
        assert_eq!(milliseconds(&json!(12.6)), "13 ms");
        assert_eq!(milliseconds(&json!(2500.0)), "2.5 s");
        assert_eq!(bytes(&json!(1_572_864)), "1.5 MiB");
        assert_eq!(version(&json!("0123456789abcdef")), "0123456789ab");
        let ages = [59, 61, 3_661, 90_000].map(|seconds| age(&json!(seconds)));
        assert_eq!(ages, ["59s", "1m01s", "1h01m", "1d01h"]);
        assert_eq!(ago(&json!(1_000), 31_000), "30s ago");
        assert_eq!([milliseconds, bytes, version, age, number].map(|show| show(&Value::Null)), ["-"; 5]);
    }

    #[test]
    fn no_text_steers_the_terminal() {
        assert_eq!(text(&json!("a\u{1b}[2Jb\nc")), "a\u{fffd}[2Jb\nc");
    }
}
