//! A table on paper: A3 across, titles on every page, no row lost.

use super::Cell;
use crate::paper::{self, BRAND, Fonts, INK, Item, RULE, SOFT, Style, TINT, WHITE};

/// Rows of one file: all of them are held at once.
pub const ROWS_MAX: u32 = 2_000;

/// A3 across.
const SIZE: (f32, f32) = (1_191.0, 842.0);
const MARGIN: f32 = 36.0;
const BOTTOM: f32 = SIZE.1 - 44.0;
const LINE: f32 = 10.5;
/// Between a cell's text and its borders.
const PADDING: f32 = 4.0;
/// Lines of one cell that is not cut.
const CELL_LINES_MAX: usize = 40;

const HEAD: Style = Style { size: 18.0, bold: true, color: BRAND };
const NOTE: Style = Style { size: 9.0, bold: false, color: SOFT };
const TITLE: Style = Style { size: 8.5, bold: true, color: WHITE };
const BODY: Style = Style { size: 8.0, bold: false, color: INK };

/// A table with what stands above it.
pub struct Table<'a> {
    pub title: &'a str,
    /// Lines below the title.
    pub notes: &'a [String],
    pub titles: &'a [String],
    pub rows: &'a [Vec<Cell>],
    /// Stands where rows would be.
    pub empty: &'a str,
}

/// A row's cells in lines.
type Wrapped = Vec<Vec<String>>;

struct Press<'a> {
    fonts: &'a Fonts,
    /// Left edges of the columns, and the right edge of the last one.
    edges: Vec<f32>,
    pages: Vec<Vec<Item>>,
    y: f32,
}

/// The table as a PDF.
///
/// # Errors
/// The fonts or the document could not be written: a fault of this program.
pub fn render(table: &Table<'_>) -> Result<Vec<u8>, String> {
    let fonts = Fonts::load()?;
    let mut press = Press { fonts: &fonts, edges: edges(table, &fonts), pages: vec![Vec::new()], y: MARGIN + 18.0 };
    press.text(MARGIN, press.y, HEAD, table.title);
    for note in table.notes {
        press.y += 15.0;
        press.text(MARGIN, press.y, NOTE, note);
    }
    press.y += 14.0;
    press.titles(table.titles);
    for row in table.rows {
        press.row(row, table.titles);
    }
    if table.rows.is_empty() {
        press.y += 18.0;
        press.text(MARGIN + PADDING, press.y, NOTE, table.empty);
    }
    press.numbers();
    paper::pdf(&press.pages, SIZE, table.title, &fonts)
}

/// Columns as wide as their texts want, all together as wide as the page.
fn edges(table: &Table<'_>, fonts: &Fonts) -> Vec<f32> {
    /// Rows that are looked at: more would say the same.
    const SAMPLE: usize = 200;
    let wanted = table.titles.iter().enumerate().map(|(at, title)| {
        let cells = table.rows.iter().take(SAMPLE).filter_map(|row| row.get(at));
        let widest = cells.map(|cell| fonts.width(&cell.shown(), BODY)).fold(0.0, f32::max);
        fonts.width(title, TITLE).max(widest.min(240.0)) + 2.0 * PADDING
    });
    let wanted: Vec<f32> = wanted.collect();
    let scale = (SIZE.0 - 2.0 * MARGIN) / wanted.iter().sum::<f32>().max(1.0);
    let mut edges = vec![MARGIN];
    let mut right = MARGIN;
    for width in wanted {
        right += width * scale;
        edges.push(right);
    }
    edges
}

impl Press<'_> {
    fn put(&mut self, item: Item) {
        if let Some(page) = self.pages.last_mut() {
            page.push(item);
        }
    }

    fn text(&mut self, x: f32, y: f32, style: Style, text: &str) {
        self.put(Item::Text { x, y, style, text: text.to_owned() });
    }

    fn block(&mut self, x: f32, y: f32, width: f32, height: f32, color: paper::Color) {
        self.put(Item::Block { x, y, width, height, color });
    }

    /// The columns with their widths inside the borders.
    fn columns(&self) -> Vec<(f32, f32)> {
        let pairs = self.edges.windows(2);
        pairs.map(|two| (two[0] + PADDING, (two[1] - two[0] - 2.0 * PADDING).max(1.0))).collect()
    }

    fn wrapped(&self, texts: impl Iterator<Item = String>, style: Style) -> Wrapped {
        let columns = self.columns();
        let wrapped = texts.zip(columns).map(|(text, (_, width))| {
            let mut lines = self.fonts.wrapped(&text, style, width);
            lines.truncate(CELL_LINES_MAX);
            lines
        });
        wrapped.collect()
    }

    fn titles(&mut self, titles: &[String]) {
        let cells = self.wrapped(titles.iter().cloned(), TITLE);
        self.cells(&cells, TITLE, Some(BRAND));
    }

    fn row(&mut self, row: &[Cell], titles: &[String]) {
        let cells = self.wrapped(row.iter().map(Cell::shown), BODY);
        if self.y + height(&cells) > BOTTOM {
            self.pages.push(Vec::new());
            self.y = MARGIN;
            self.titles(titles);
        }
        self.cells(&cells, BODY, None);
    }

    fn cells(&mut self, cells: &Wrapped, style: Style, ground: Option<paper::Color>) {
        let (top, height) = (self.y, height(cells));
        let (left, right) = (MARGIN, SIZE.0 - MARGIN);
        if let Some(color) = ground {
            self.block(left, top, right - left, height, color);
        }
        for (lines, (x, _)) in cells.iter().zip(self.columns()) {
            for (at, line) in lines.iter().enumerate() {
                self.text(x, top + PADDING + 8.0 + LINE * at as f32, style, line);
            }
        }
        for x in self.edges.clone() {
            self.block(x - 0.3, top, 0.6, height, RULE);
        }
        self.block(left, top + height - 0.3, right - left, 0.6, RULE);
        self.y += height;
    }

    fn numbers(&mut self) {
        let count = self.pages.len();
        for (at, page) in self.pages.iter_mut().enumerate() {
            let text = format!("Page {} of {count}", at + 1);
            let x = SIZE.0 - MARGIN - self.fonts.width(&text, NOTE);
            page.push(Item::Block { x: 0.0, y: SIZE.1 - 8.0, width: SIZE.0, height: 8.0, color: TINT });
            page.push(Item::Text { x, y: SIZE.1 - 22.0, style: NOTE, text });
        }
    }
}

fn height(cells: &Wrapped) -> f32 {
    let lines = cells.iter().map(Vec::len).max().unwrap_or(1).max(1);
    lines as f32 * LINE + 2.0 * PADDING
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(rows: &[Vec<Cell>]) -> (Vec<Vec<Item>>, usize) {
        let titles = ["Booking ID", "Notes"].map(str::to_owned);
        let fonts = Fonts::load().unwrap();
        let table = Table { title: "Bookings", notes: &[], titles: &titles, rows, empty: "No bookings" };
        let mut press = Press { fonts: &fonts, edges: edges(&table, &fonts), pages: vec![Vec::new()], y: MARGIN };
        press.titles(&titles);
        rows.iter().for_each(|row| press.row(row, &titles));
        let pdf = render(&table).unwrap();
        (press.pages, pdf.len())
    }

    #[test]
    fn every_row_is_on_some_page_and_every_page_has_the_titles() {
        let rows: Vec<_> = (0..300)
            .map(|at| vec![Cell::Text(format!("id-{at}")), Cell::Text("word ".repeat(at % 90) + "end")])
            .collect();
        let (pages, _) = pages(&rows);
        assert!(pages.len() > 3);
        let mut found = Vec::new();
        for page in &pages {
            let texts = page.iter().filter_map(|item| match item {
                Item::Text { y, text, .. } => Some((*y, text.as_str())),
                Item::Block { .. } => None,
            });
            let texts: Vec<_> = texts.collect();
            assert_eq!(texts.iter().filter(|(_, text)| *text == "Booking ID").count(), 1);
            assert!(texts.iter().all(|(y, _)| *y < BOTTOM), "nothing below the edge");
            found.extend(texts.iter().filter(|(_, text)| text.starts_with("id-")).map(|(_, text)| (*text).to_owned()));
        }
        assert_eq!(found, (0..300).map(|at| format!("id-{at}")).collect::<Vec<_>>());
    }

    #[test]
    fn a_word_wider_than_its_column_is_broken_and_not_cut() {
        let long = "x".repeat(900);
        let (pages, bytes) = pages(&[vec![Cell::Text("id".into()), Cell::Text(long.clone())]]);
        let shown: String = pages[0]
            .iter()
            .filter_map(|item| match item {
                Item::Text { text, .. } if text.starts_with('x') => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert!(shown == long && bytes > 500);
    }
}
