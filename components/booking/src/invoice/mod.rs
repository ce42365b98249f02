//! Invoices, vouchers and notes as PDF: what stands on them ([`content`]), where it stands
//! ([`layout`]). Every figure is the booking's frozen one.

mod content;
mod layout;
mod words;

pub use content::{Content, Issue, Subject};

use crate::paper::{self, Fonts};

/// Documents one after the other as one A4 PDF. The same contents make the same bytes.
///
/// # Errors
/// The fonts or the document could not be written: a fault of this program.
pub fn render(contents: &[Content]) -> Result<Vec<u8>, String> {
    let fonts = Fonts::load()?;
    let pages: Vec<_> = contents.iter().flat_map(|content| layout::pages(content, &fonts)).collect();
    let title = contents.first().map_or("", |content| content.title.as_str());
    paper::pdf(&pages, layout::SIZE, title, &fonts)
}
