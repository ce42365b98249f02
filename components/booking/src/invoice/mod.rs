//! Invoices as PDF: what stands on them ([`content`]), where it stands ([`layout`]), and
//! how that becomes a file ([`paint`]). Every figure is the booking's frozen one.

mod content;
mod layout;
mod paint;

pub use content::Document;

/// The invoice as an A4 PDF.
///
/// # Errors
/// The fonts or the document could not be written: a fault of this program.
pub fn render(document: &Document<'_>) -> Result<Vec<u8>, String> {
    let fonts = paint::Fonts::load()?;
    let content = content::Content::of(document);
    paint::pdf(&layout::pages(&content, &fonts), &content.title, &fonts)
}
