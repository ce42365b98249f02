//! Invoices, vouchers and notes as PDF: what stands on them ([`content`]), where it stands
//! ([`layout`]), and how that becomes a file ([`paint`]). Every figure is the booking's
//! frozen one.

mod content;
mod layout;
mod paint;
mod words;

pub use content::{Content, Issue, Subject};

/// Documents one after the other as one A4 PDF. The same contents make the same bytes.
///
/// # Errors
/// The fonts or the document could not be written: a fault of this program.
pub fn render(contents: &[Content]) -> Result<Vec<u8>, String> {
    let fonts = paint::Fonts::load()?;
    let pages: Vec<_> = contents.iter().flat_map(|content| layout::pages(content, &fonts)).collect();
    let title = contents.first().map_or("", |content| content.title.as_str());
    paint::pdf(&pages, title, &fonts)
}
