//! Tables of bookings and people, for spreadsheets and for paper: what stands in them
//! ([`bookings`], [`failed`], [`people`]) and how that becomes a file ([`csv`], [`xlsx`],
//! [`pages`]). Nothing here knows where rows come from.

pub mod bookings;
pub mod csv;
pub mod failed;
pub mod pages;
pub mod people;
pub mod xlsx;

use cairn_shared::Paise;

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Text(String),
    /// In rupees.
    Amount(Paise),
    Count(u32),
}

impl Cell {
    /// The text, or N/A without one.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Text(if text.trim().is_empty() { "N/A".into() } else { text })
    }

    pub fn optional(text: Option<impl Into<String>>) -> Self {
        text.map_or_else(|| Self::text(""), Self::text)
    }

    /// As people read it.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Amount(amount) => amount.to_string(),
            Self::Count(count) => count.to_string(),
        }
    }
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{text}") } else { text.to_owned() }
}
