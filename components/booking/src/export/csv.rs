//! Comma-separated values: RFC 4180 with `\n` at the end of a line.

use super::{Cell, harmless};

/// One line of a file.
pub fn line(cells: impl IntoIterator<Item = Cell>) -> String {
    let fields: Vec<_> = cells.into_iter().map(|cell| field(&cell)).collect();
    fields.join(",") + "\n"
}

fn field(cell: &Cell) -> String {
    let text = match cell {
        Cell::Text(text) => harmless(text),
        Cell::Amount(_) | Cell::Count(_) => cell.shown(),
    };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use cairn_shared::Paise;

    use super::*;

    #[test]
    fn what_would_end_a_field_is_quoted_and_what_would_be_a_formula_is_text() {
        let texts = ["plain", "a,b", "say \"hi\"", "two\nlines", "=1+1", "+919800000001", "-x", "@a", "\tx", "\r", ""];
        let cells = texts.map(|text| Cell::Text(text.into()));
        let expected = "plain,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",'=1+1,'+919800000001,'-x,'@a,'\tx,\"'\r\",\n";
        assert_eq!(line(cells), expected);
        assert_eq!(line([Cell::Amount(Paise(-847_440)), Cell::Count(2), Cell::text("")]), "-8474.40,2,N/A\n");
    }
}
