//! What can stand on a page, and from there to the bytes of a PDF. Points from the top
//! left corner.

use krilla::{
    Document,
    color::rgb,
    geom::{PathBuilder, Point, Rect},
    metadata::Metadata,
    page::PageSettings,
    paint::Fill,
    text::{Font, TextDirection},
};
use ttf_parser::Face;

pub const INK: Color = Color(33, 37, 41);
pub const SOFT: Color = Color(100, 110, 120);
pub const BRAND: Color = Color(21, 94, 84);
pub const TINT: Color = Color(238, 245, 243);
pub const RULE: Color = Color(214, 221, 219);
pub const WHITE: Color = Color(255, 255, 255);

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

/// The face and colour of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    pub size: f32,
    pub bold: bool,
    pub color: Color,
}

/// Something to paint.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// `y` is the base line.
    Text {
        x: f32,
        y: f32,
        style: Style,
        text: String,
    },
    Block {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        color: Color,
    },
}

// Subsets with Latin and the rupee sign, which the fonts built into PDF lack.
static REGULAR: &[u8] = include_bytes!("../assets/NotoSans-Regular.ttf");
static BOLD: &[u8] = include_bytes!("../assets/NotoSans-Bold.ttf");

struct Typeface {
    face: Face<'static>,
    font: Font,
}

/// The two fonts of all pages, to measure with and to write with.
pub struct Fonts {
    regular: Typeface,
    bold: Typeface,
}

fn typeface(bytes: &'static [u8]) -> Result<Typeface, String> {
    let face = Face::parse(bytes, 0).map_err(|error| format!("font: {error}"))?;
    let font = Font::new(bytes.into(), 0).ok_or("font: not usable")?;
    Ok(Typeface { face, font })
}

impl Fonts {
    /// # Errors
    /// An embedded font is broken.
    pub fn load() -> Result<Self, String> {
        Ok(Self { regular: typeface(REGULAR)?, bold: typeface(BOLD)? })
    }

    fn of(&self, style: Style) -> &Typeface {
        if style.bold { &self.bold } else { &self.regular }
    }

    /// The width of a text in points.
    pub fn width(&self, text: &str, style: Style) -> f32 {
        let face = &self.of(style).face;
        let advance = |c| face.glyph_index(c).and_then(|glyph| face.glyph_hor_advance(glyph)).unwrap_or(600);
        let units: u32 = text.chars().map(|c| u32::from(advance(c))).sum();
        units as f32 * style.size / f32::from(face.units_per_em())
    }

    /// The text, or as much of it as fits with an ellipsis.
    pub fn fitted(&self, text: &str, style: Style, width: f32) -> String {
        if self.width(text, style) <= width {
            return text.to_owned();
        }
        let mut cut: String = text.to_owned();
        while cut.pop().is_some() {
            let candidate = format!("{}\u{2026}", cut.trim_end());
            if self.width(&candidate, style) <= width {
                return candidate;
            }
        }
        String::new()
    }

    /// The text in lines of at most `width`, broken between words, and within those that
    /// are wider.
    pub fn wrapped(&self, text: &str, style: Style, width: f32) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace().flat_map(|word| self.broken(word, style, width)) {
            let Some(line) = lines.last_mut() else { break };
            let longer = if line.is_empty() { word.clone() } else { format!("{line} {word}") };
            if line.is_empty() || self.width(&longer, style) <= width {
                *line = longer;
            } else {
                lines.push(word);
            }
        }
        lines
    }

    /// A word in parts of at most `width`.
    fn broken(&self, word: &str, style: Style, width: f32) -> Vec<String> {
        if self.width(word, style) <= width {
            return vec![word.to_owned()];
        }
        let mut parts = vec![String::new()];
        for c in word.chars() {
            let Some(part) = parts.last_mut() else { break };
            part.push(c);
            if part.chars().count() > 1 && self.width(part, style) > width {
                part.pop();
                parts.push(c.to_string());
            }
        }
        parts
    }
}

fn fill(Color(red, green, blue): Color) -> Option<Fill> {
    Some(Fill { paint: rgb::Color::new(red, green, blue).into(), ..Fill::default() })
}

/// Writes pages of this width and height.
///
/// # Errors
/// What the PDF writer objects to.
pub fn pdf(pages: &[Vec<Item>], (width, height): (f32, f32), title: &str, fonts: &Fonts) -> Result<Vec<u8>, String> {
    let mut document = Document::new();
    document.set_metadata(Metadata::new().title(title.to_owned()).language("en-IN".into()));
    let settings = PageSettings::from_wh(width, height).ok_or("no size of a page")?;
    for items in pages {
        let mut page = document.start_page_with(settings.clone());
        let mut surface = page.surface();
        for item in items {
            match item {
                Item::Block { x, y, width, height, color } => {
                    let Some(rect) = Rect::from_xywh(*x, *y, *width, *height) else { continue };
                    let mut path = PathBuilder::new();
                    path.push_rect(rect);
                    surface.set_fill(fill(*color));
                    if let Some(path) = path.finish() {
                        surface.draw_path(&path);
                    }
                }
                Item::Text { x, y, style, text } => {
                    surface.set_fill(fill(style.color));
                    let font = fonts.of(*style).font.clone();
                    surface.draw_text(
                        Point::from_xy(*x, *y),
                        font,
                        style.size,
                        text,
                        false,
                        TextDirection::LeftToRight,
                    );
                }
            }
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|error| format!("{error:?}"))
}
