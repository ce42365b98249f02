//! Figures from slices, and how they are shown.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde::Serialize;

use crate::{calls::Calls, load::Slice, scenario::Scenario};

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct Results {
    pub conditions: Conditions,
    pub requests: Vec<Row>,
    pub calls: Option<Calls>,
}

/// Under what it was found.
#[derive(Debug, Serialize)]
pub struct Conditions {
    pub processors: usize,
    pub connections: usize,
    pub slice_seconds: f64,
    pub rounds: usize,
    /// Processes that wanted to run in the minute before.
    pub load_average_before: f64,
    pub load_average_after: f64,
}

/// One request, asked of every system.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: &'static str,
    pub title: &'static str,
    pub figures: Vec<Figure>,
}

/// One request, asked of one system.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub system: String,
    pub requests: usize,
    pub requests_per_second: f64,
    /// Of each slice, in order.
    pub slices_per_second: Vec<f64>,
    pub p50_us: u32,
    pub p99_us: u32,
    /// Processor time of the serving process a request, background work included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
}

/// The slices of one request on one system.
#[derive(Debug, Default)]
pub struct Tally {
    slices: Vec<Slice>,
    cpu: Option<Duration>,
}

impl Tally {
    /// Adds a slice, and the processor time it took.
    pub fn add(&mut self, slice: Slice, cpu: Option<Duration>) {
        self.cpu = cpu.map(|cpu| cpu + self.cpu.unwrap_or_default());
        self.slices.push(slice);
    }

    pub fn figure(self, system: &str) -> Figure {
        let rate = |requests: usize, elapsed: Duration| requests as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
        let mut latencies: Vec<u32> = self.slices.iter().flat_map(|slice| slice.latencies_us.iter().copied()).collect();
        latencies.sort_unstable();
        let mut failures = BTreeMap::new();
        for (what, count) in self.slices.iter().flat_map(|slice| &slice.failures) {
            *failures.entry(what.clone()).or_default() += count;
        }
        let elapsed = self.slices.iter().map(|slice| slice.elapsed).sum();
        let cpu_us =
            self.cpu.filter(|_| !latencies.is_empty()).map(|cpu| cpu.as_secs_f64() * 1e6 / latencies.len() as f64);
        Figure {
            system: system.to_owned(),
            requests: latencies.len(),
            requests_per_second: rate(latencies.len(), elapsed),
            slices_per_second: self.slices.iter().map(|slice| rate(slice.latencies_us.len(), slice.elapsed)).collect(),
            p50_us: percentile(&latencies, 0.50),
            p99_us: percentile(&latencies, 0.99),
            cpu_us,
            failures,
        }
    }
}

/// The value that so large a share of sorted ones does not exceed; 0 of none.
pub fn percentile(sorted: &[u32], share: f64) -> u32 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

impl Row {
    pub fn new(scenario: Scenario, figures: Vec<Figure>) -> Self {
        Self { name: scenario.name(), title: scenario.title(), figures }
    }

    pub fn figure(&self, system: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.system == system)
    }

    /// Requests a second of one system over those of another.
    pub fn ratio(&self, system: &str, other: &str) -> Option<f64> {
        let other = self.figure(other)?.requests_per_second;
        (other > 0.0).then_some(self.figure(system)?.requests_per_second / other)
    }
}

/// The system that the others are compared with.
pub const OURS: &str = "host";

/// The table, in Markdown.
pub fn table(results: &Results, systems: &[String]) -> String {
    let mut header = vec!["request".to_owned()];
    for system in systems {
        header.extend([format!("{system} req/s"), "p50 ms".into(), "p99 ms".into(), "CPU µs".into()]);
    }
    let others: Vec<&String> = systems.iter().filter(|system| *system != OURS).collect();
    header.extend(others.iter().map(|other| format!("{OURS} ÷ {other}")));
    let mut lines = vec![header];
    for row in &results.requests {
        let mut cells = vec![row.title.to_owned()];
        for system in systems {
            cells.extend(row.figure(system).map_or_else(|| ["–"; 4].map(str::to_owned), cells_of));
        }
        cells.extend(
            others.iter().map(|other| row.ratio(OURS, other).map_or("–".into(), |ratio| format!("{ratio:.2}"))),
        );
        lines.push(cells);
    }
    aligned(&lines)
}

fn cells_of(figure: &Figure) -> [String; 4] {
    let millis = |us: u32| format!("{:.2}", f64::from(us) / 1000.0);
    [
        thousands(figure.requests_per_second),
        millis(figure.p50_us),
        millis(figure.p99_us),
        figure.cpu_us.map_or("–".into(), thousands),
    ]
}

/// `12,345`; below 100 with one decimal.
pub fn thousands(number: f64) -> String {
    if number < 100.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            let cell = if column == 0 { format!("{cell}{padding}") } else { format!("{padding}{cell}") };
            // Writing to a string cannot fail.
            let _ = write!(out, "| {cell} ");
        }
        out.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width + 1);
                let _ = write!(out, "|{}", if column == 0 { format!("-{dashes}") } else { format!("{dashes}:") });
            }
            out.push_str("|\n");
        }
    }
    out
}

/// What went wrong, a line each.
pub fn failures(results: &Results) -> Vec<String> {
    let of_row = |row: &Row| {
        let of_figure = |figure: &Figure| {
            let line = |(what, count): (&String, &u64)| format!("{} on {}: {count} × {what}", row.name, figure.system);
            figure.failures.iter().map(line).collect::<Vec<_>>()
        };
        row.figures.iter().flat_map(of_figure).collect::<Vec<_>>()
    };
    results.requests.iter().flat_map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(latencies_us: Vec<u32>, seconds: u64) -> Slice {
        Slice { latencies_us, elapsed: Duration::from_secs(seconds), ..Slice::default() }
    }

    #[test]
    fn slices_are_added_up() {
        let mut tally = Tally::default();
        tally.add(slice((1..=100).collect(), 1), Some(Duration::from_millis(3)));
        tally.add(slice((101..=200).collect(), 3), Some(Duration::from_millis(1)));
        let figure = tally.figure("host");
        assert_eq!((figure.requests, figure.p50_us, figure.p99_us), (200, 101, 199));
        assert_eq!((figure.requests_per_second, figure.cpu_us), (50.0, Some(20.0)));
        assert_eq!(figure.slices_per_second, [100.0, 100.0 / 3.0]);
    }

    #[test]
    fn a_system_that_was_not_asked_leaves_its_cells_empty() {
        let mut tally = Tally::default();
        tally.add(slice(vec![1500; 20_000], 1), None);
        let requests = vec![Row::new(Scenario::Hello, vec![tally.figure("host")])];
        let conditions = Conditions {
            processors: 2,
            connections: 32,
            slice_seconds: 1.0,
            rounds: 1,
            load_average_before: 0.0,
            load_average_after: 0.0,
        };
        let table = table(&Results { conditions, requests, calls: None }, &["host".into(), "twin".into()]);
        let row = table.lines().nth(2).unwrap();
        assert!(
            row.contains("20,000 |   1.50 |   1.50 |      – |") && row.trim_end_matches('|').ends_with("– "),
            "{table}"
        );
    }
}
