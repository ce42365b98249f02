//! Where things stand on the page. Points from the top left corner of A4.

use qrcode::{Color as Module, QrCode};

use super::content::{Content, Line, Pair};
use crate::paper::{BRAND, Fonts, INK, Item, RULE, SOFT, Style, TINT, WHITE};

const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
/// A4.
pub const SIZE: (f32, f32) = (WIDTH, HEIGHT);
const LEFT: f32 = 48.0;
const RIGHT: f32 = WIDTH - 48.0;
const MIDDLE: f32 = 330.0;
/// Below this only the footer stands.
const BOTTOM: f32 = HEIGHT - 64.0;

const BODY: Style = Style { size: 9.5, bold: false, color: INK };
const STRONG: Style = Style { size: 9.5, bold: true, color: INK };
const SMALL: Style = Style { size: 8.5, bold: false, color: SOFT };
const LABEL: Style = Style { size: 7.5, bold: true, color: BRAND };

/// Right edges of the numeric columns, and where the details begin.
const DETAILS: f32 = 268.0;
const QUANTITY: f32 = 400.0;
const RATE: f32 = 466.0;

struct Pen<'a> {
    fonts: &'a Fonts,
    pages: Vec<Vec<Item>>,
    y: f32,
}

/// Side of the QR code.
const QR: f32 = 78.0;

/// The pages of a document.
pub fn pages(content: &Content, fonts: &Fonts) -> Vec<Vec<Item>> {
    let mut pen = Pen { fonts, pages: vec![Vec::new()], y: 0.0 };
    pen.head(content);
    pen.parties(content);
    pen.table(&content.lines);
    pen.sums(content);
    pen.words(&content.words);
    pen.terms(content);
    pen.footers(&content.footer);
    pen.pages
}

impl Pen<'_> {
    fn put(&mut self, item: Item) {
        if let Some(page) = self.pages.last_mut() {
            page.push(item);
        }
    }

    /// Text that is cut where it would run past `width`.
    fn text(&mut self, x: f32, y: f32, width: f32, style: Style, text: &str) {
        let text = self.fonts.fitted(text, style, width);
        self.put(Item::Text { x, y, style, text });
    }

    /// Text that ends at `right`.
    fn text_right(&mut self, right: f32, y: f32, style: Style, text: &str) {
        let x = right - self.fonts.width(text, style);
        self.put(Item::Text { x, y, style, text: text.to_owned() });
    }

    fn rule(&mut self, x: f32, y: f32, right: f32) {
        self.put(Item::Block { x, y, width: right - x, height: 0.7, color: RULE });
    }

    /// Makes room for so many points, on a new page if need be.
    fn room(&mut self, points: f32) -> bool {
        if self.y + points <= BOTTOM {
            return false;
        }
        self.pages.push(Vec::new());
        self.y = 60.0;
        true
    }

    fn head(&mut self, content: &Content) {
        self.put(Item::Block { x: 0.0, y: 0.0, width: WIDTH, height: 8.0, color: BRAND });
        let name = Style { size: 19.0, bold: true, color: BRAND };
        self.text(LEFT, 58.0, MIDDLE - LEFT - 20.0, name, &content.seller_name);
        let title = Style { size: 17.0, bold: false, color: INK };
        self.text_right(RIGHT, 58.0, title, &content.title.to_uppercase());
        let stamp = Style { size: 8.5, bold: true, color: WHITE };
        let width = self.fonts.width(&content.state, stamp) + 16.0;
        self.put(Item::Block {
            x: RIGHT - width,
            y: 67.0,
            width,
            height: 16.0,
            color: if content.state == "PAID" { BRAND } else { SOFT },
        });
        self.text_right(RIGHT - 8.0, 78.2, stamp, &content.state);
        self.y = 74.0;
        if let Some(tagline) = &content.tagline {
            self.text(LEFT, self.y, MIDDLE - LEFT - 20.0, Style { color: BRAND, ..SMALL }, tagline);
            self.y += 14.0;
        }
        for line in &content.seller {
            for part in self.fonts.wrapped(line, SMALL, 250.0) {
                self.text(LEFT, self.y, 250.0, SMALL, &part);
                self.y += 12.0;
            }
        }
        self.y = self.y.max(96.0) + 8.0;
        self.rule(LEFT, self.y, RIGHT);
        self.y += 22.0;
    }

    fn parties(&mut self, content: &Content) {
        let top = self.y;
        self.text(LEFT, top, 200.0, LABEL, "BILL TO");
        let mut left = top + 16.0;
        for (at, line) in content.bill_to.iter().enumerate() {
            let style = if at == 0 { STRONG } else { BODY };
            for part in self.fonts.wrapped(line, style, MIDDLE - LEFT - 20.0) {
                self.text(LEFT, left, MIDDLE - LEFT - 20.0, style, &part);
                left += 14.0;
            }
        }
        self.text(MIDDLE, top, 200.0, LABEL, "DETAILS");
        let mut right = top + 16.0;
        for (term, value) in &content.facts {
            self.text(MIDDLE, right, 90.0, Style { color: SOFT, ..BODY }, term);
            self.text_right(RIGHT, right, STRONG, value);
            right += 14.0;
        }
        self.y = left.max(right) + 16.0;
    }

    fn table_head(&mut self) {
        self.put(Item::Block { x: LEFT, y: self.y, width: RIGHT - LEFT, height: 22.0, color: BRAND });
        let style = Style { size: 8.5, bold: true, color: WHITE };
        let base = self.y + 14.5;
        self.text(LEFT + 10.0, base, 180.0, style, "Description");
        self.text(DETAILS, base, 90.0, style, "Details");
        self.text_right(QUANTITY, base, style, "Qty");
        self.text_right(RATE, base, style, "Rate");
        self.text_right(RIGHT - 10.0, base, style, "Amount");
        self.y += 22.0;
    }

    fn table(&mut self, lines: &[Line]) {
        self.table_head();
        for line in lines {
            let parts = self.fonts.wrapped(&line.description, BODY, DETAILS - LEFT - 22.0);
            let height = 12.5 * parts.len() as f32 + 11.5;
            if self.room(height) {
                self.table_head();
            }
            let base = self.y + 15.0;
            for (at, part) in parts.iter().enumerate() {
                self.text(LEFT + 10.0, base + 12.5 * at as f32, DETAILS - LEFT - 22.0, BODY, part);
            }
            self.text(DETAILS, base, QUANTITY - DETAILS - 24.0, SMALL, &line.details);
            self.text_right(QUANTITY, base, BODY, &line.quantity);
            self.text_right(RATE, base, BODY, &line.rate);
            self.text_right(RIGHT - 10.0, base, BODY, &line.amount);
            self.y += height;
            self.rule(LEFT, self.y, RIGHT);
        }
        self.y += 20.0;
    }

    fn sums(&mut self, content: &Content) {
        let rows = content.sums.len() + content.settled.len();
        let left_rows = 2 * content.payment.len();
        self.room((16.0 * rows as f32 + 68.0).max(13.0 * left_rows as f32 + 30.0));
        let top = self.y;
        for row in &content.sums {
            self.sum(row, BODY);
        }
        self.y += 8.0;
        self.put(Item::Block {
            x: MIDDLE - 10.0,
            y: self.y - 4.0,
            width: RIGHT - MIDDLE + 10.0,
            height: 24.0,
            color: TINT,
        });
        self.y += 2.0;
        self.sum(&content.total, Style { size: 11.5, bold: true, color: BRAND });
        self.y += 8.0;
        for row in &content.settled {
            self.sum(row, STRONG);
        }
        let right = self.y;
        self.y = top + 10.0;
        self.text(LEFT, self.y, 200.0, LABEL, "PAYMENT");
        self.y += 16.0;
        for (term, value) in &content.payment {
            self.text(LEFT, self.y, MIDDLE - LEFT - 30.0, STRONG, term);
            self.text(LEFT, self.y + 12.0, MIDDLE - LEFT - 30.0, SMALL, value);
            self.y += 29.0;
        }
        self.y = self.y.max(right) + 14.0;
    }

    fn sum(&mut self, (term, value): &Pair, style: Style) {
        let base = self.y + 10.0;
        self.text(MIDDLE, base, 130.0, style, term);
        self.text_right(RIGHT - 10.0, base, style, value);
        self.y += 16.0;
    }

    fn words(&mut self, words: &str) {
        let parts = self.fonts.wrapped(words, BODY, RIGHT - LEFT - 20.0);
        let height = 24.0 + 13.0 * parts.len() as f32;
        self.room(height + 14.0);
        self.put(Item::Block { x: LEFT, y: self.y, width: RIGHT - LEFT, height, color: TINT });
        self.text(LEFT + 10.0, self.y + 14.0, 200.0, LABEL, "AMOUNT IN WORDS");
        for (at, part) in parts.iter().enumerate() {
            self.text(LEFT + 10.0, self.y + 28.0 + 13.0 * at as f32, RIGHT - LEFT - 20.0, STRONG, part);
        }
        self.y += height + 20.0;
    }

    fn terms(&mut self, content: &Content) {
        let code = content.check_url.as_deref().and_then(|url| QrCode::new(url).ok());
        let text_height = 20.0 + 13.0 * content.terms.len() as f32;
        self.room(if code.is_some() { text_height.max(QR + 22.0) } else { text_height });
        let top = self.y;
        self.text(LEFT, self.y, 200.0, LABEL, "TERMS");
        self.y += 15.0;
        let width = RIGHT - LEFT - if code.is_some() { QR + 60.0 } else { 0.0 };
        for term in &content.terms {
            for part in self.fonts.wrapped(term, SMALL, width) {
                self.text(LEFT, self.y, width, SMALL, &part);
                self.y += 13.0;
            }
        }
        if let Some(code) = code {
            self.qr(&code, top - 8.0);
        }
    }

    /// The code at the right edge, and below it what it is for.
    fn qr(&mut self, code: &QrCode, top: f32) {
        let (left, side) = (RIGHT - QR, code.width());
        let module = QR / side as f32;
        for (row, modules) in code.to_colors().chunks(side).enumerate() {
            let mut at = 0;
            // Modules side by side are one block, so that no hairline parts them.
            for run in modules.chunk_by(PartialEq::eq) {
                if run.first() == Some(&Module::Dark) {
                    self.put(Item::Block {
                        x: left + at as f32 * module,
                        y: top + row as f32 * module,
                        width: run.len() as f32 * module,
                        height: module,
                        color: INK,
                    });
                }
                at += run.len();
            }
        }
        let caption = Style { size: 7.0, ..SMALL };
        let text = "Scan to verify";
        let x = left + (QR - self.fonts.width(text, caption)) / 2.0;
        self.put(Item::Text { x, y: top + QR + 11.0, style: caption, text: text.to_owned() });
    }

    fn footers(&mut self, footer: &str) {
        let count = self.pages.len();
        for (at, page) in self.pages.iter_mut().enumerate() {
            let text = if count > 1 { format!("{footer}  Page {} of {count}", at + 1) } else { footer.to_owned() };
            let x = (WIDTH - self.fonts.width(&text, SMALL)) / 2.0;
            page.push(Item::Text { x, y: HEIGHT - 34.0, style: SMALL, text });
            page.push(Item::Block { x: 0.0, y: HEIGHT - 6.0, width: WIDTH, height: 6.0, color: BRAND });
        }
    }
}
