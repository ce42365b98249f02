//! From placed items to the bytes of a PDF.

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

use super::layout::{Color, HEIGHT, Item, Style, WIDTH};

// Subsets with Latin and the rupee sign, which the fonts built into PDF lack.
static REGULAR: &[u8] = include_bytes!("../../assets/NotoSans-Regular.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/NotoSans-Bold.ttf");

struct Typeface {
    face: Face<'static>,
    font: Font,
}

/// The two fonts of an invoice, to measure with and to write with.
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

    /// The text in lines of at most `width`, broken between words.
    pub fn wrapped(&self, text: &str, style: Style, width: f32) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let Some(line) = lines.last_mut() else { break };
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if line.is_empty() || self.width(&longer, style) <= width {
                *line = longer;
            } else {
                lines.push(word.to_owned());
            }
        }
        lines
    }
}

fn fill(Color(red, green, blue): Color) -> Option<Fill> {
    Some(Fill { paint: rgb::Color::new(red, green, blue).into(), ..Fill::default() })
}

/// Writes the pages.
///
/// # Errors
/// What the PDF writer objects to.
pub fn pdf(pages: &[Vec<Item>], title: &str, fonts: &Fonts) -> Result<Vec<u8>, String> {
    let mut document = Document::new();
    document.set_metadata(Metadata::new().title(title.to_owned()).language("en-IN".into()));
    let settings = PageSettings::from_wh(WIDTH, HEIGHT).ok_or("A4 is no page size")?;
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
