//! The results as bars: for each request a bar for each system, the longest as wide
//! as the panel, with the figures beside it. Plain SVG that any browser shows.

use std::fmt::Write as _;

use crate::report::{Figure, Results, thousands};

const WIDTH: u32 = 960;
const LEFT: u32 = 24;
/// Where bars begin.
const BARS_AT: u32 = 90;
/// Width of the longest bar.
const BAR_WIDTH: f64 = 430.0;
const BAR_HEIGHT: u32 = 18;
const BAR_STEP: u32 = 22;
const TITLE_HEIGHT: u32 = 26;
const GROUP_GAP: u32 = 16;
const HEADER_HEIGHT: u32 = 92;
const FOOTER_HEIGHT: u32 = 52;

/// Told apart also by people who do not see colours as most do.
const COLOURS: [&str; 5] = ["#0b6e99", "#d9822b", "#5c8a3a", "#8a4f9e", "#777777"];

/// Draws the results.
pub fn svg(results: &Results, systems: &[String]) -> String {
    let group = |bars: usize| TITLE_HEIGHT + BAR_STEP * u32::try_from(bars).unwrap_or_default() + GROUP_GAP;
    let height =
        HEADER_HEIGHT + results.requests.iter().map(|row| group(row.figures.len())).sum::<u32>() + FOOTER_HEIGHT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    text(&mut out, LEFT, 34, 20, "700", "#1c2b36", "Requests a second, and what each costs");
    text(
        &mut out,
        LEFT,
        56,
        12,
        "400",
        "#55646f",
        "Bars are scaled within each request. Higher is better. p50 and p99 are latencies, CPU is processor time a request.",
    );
    legend(&mut out, systems);
    let mut top = HEADER_HEIGHT;
    for row in &results.requests {
        text(&mut out, LEFT, top + 16, 14, "600", "#1c2b36", row.title);
        let most = row.figures.iter().map(|figure| figure.requests_per_second).fold(f64::EPSILON, f64::max);
        for (number, figure) in (0..).zip(&row.figures) {
            let colour = systems.iter().position(|system| *system == figure.system).and_then(|at| COLOURS.get(at));
            bar(&mut out, top + TITLE_HEIGHT + BAR_STEP * number, figure, most, colour.copied().unwrap_or("#777777"));
        }
        top += group(row.figures.len());
    }
    footer(&mut out, results, top + 14);
    out.push_str("</svg>\n");
    out
}

fn legend(out: &mut String, systems: &[String]) {
    let mut x = LEFT;
    for (system, colour) in systems.iter().zip(COLOURS) {
        let _ = writeln!(out, "<rect x=\"{x}\" y=\"67\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>");
        text(out, x + 18, 78, 12, "400", "#1c2b36", system);
        x += 40 + 8 * u32::try_from(system.chars().count()).unwrap_or_default();
    }
}

fn bar(out: &mut String, y: u32, figure: &Figure, most: f64, colour: &str) {
    let width = (figure.requests_per_second / most * BAR_WIDTH).max(1.0);
    text(out, LEFT, y + 13, 12, "400", "#55646f", &figure.system);
    let _ = writeln!(
        out,
        "<rect x=\"{BARS_AT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" rx=\"2\" fill=\"{colour}\"/>"
    );
    let millis = |us: u32| format!("{:.1}", f64::from(us) / 1000.0);
    let cpu = figure.cpu_us.map_or_else(String::new, |us| format!(" · CPU {} µs", thousands(us)));
    let rate = thousands(figure.requests_per_second);
    let label = format!("{rate}/s · p50 {} · p99 {} ms{cpu}", millis(figure.p50_us), millis(figure.p99_us));
    text(out, BARS_AT + width as u32 + 8, y + 13, 12, "400", "#1c2b36", &label);
}

fn footer(out: &mut String, results: &Results, y: u32) {
    let about = &results.conditions;
    let line = format!(
        "{} processors shared by load and system, {} connections, {} slices of {} s each, interleaved; load average before: {:.1}",
        about.processors, about.connections, about.rounds, about.slice_seconds, about.load_average_before
    );
    text(out, LEFT, y, 12, "400", "#55646f", &line);
    if let Some(calls) = &results.calls {
        let line = format!(
            "A call between components: {:.1} µs by WIT, {:.1} µs as an HTTP request.",
            calls.wit_call_us, calls.upstream_call_us
        );
        text(out, LEFT, y + 18, 12, "400", "#55646f", &line);
    }
}

fn text(out: &mut String, x: u32, y: u32, size: u32, weight: &str, colour: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" font-weight=\"{weight}\" fill=\"{colour}\">{content}</text>"
    );
}
