//! A workbook of one sheet, written piece by piece.
//!
//! A workbook is a ZIP archive of XML files. The small ones come first, as they are; the
//! sheet comes last, deflated, with its sizes behind it. Deflated pieces that end at a
//! byte can be put one behind the other, so all that a piece needs of those before it is
//! [`Progress`]: a workbook of any length is made without holding more than one piece.

use std::fmt::Write as _;

use flate2::{Compress, Compression, FlushCompress, Status};
use serde::{Deserialize, Serialize};

use super::{Cell, harmless};

/// Rows that fit into a sheet besides the titles.
pub const ROWS_MAX: u32 = 1_048_575;

/// Characters that fit into a cell.
const CELL_CHARS_MAX: usize = 32_767;

const SHEET_PATH: &str = "xl/worksheets/sheet1.xml";

/// How far the sheet is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The titles' included.
    pub rows: u32,
    /// Checksum of the sheet's XML.
    pub crc: u32,
    /// Bytes of the sheet's XML, and deflated.
    pub plain: u64,
    pub packed: u64,
}

/// What is the same for all pieces of a workbook.
pub struct Workbook<'a> {
    pub sheet: &'a str,
    pub titles: &'a [String],
}

/// A file of the archive.
struct Entry {
    path: &'static str,
    crc: u32,
    packed: u32,
    plain: u32,
    at: u32,
    deflated: bool,
}

fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for c in text.chars().take(CELL_CHARS_MAX) {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            // XML has no way to write these.
            c if c < ' ' && !matches!(c, '\t' | '\n' | '\r') => xml.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
    xml
}

/// `A`, `B`, … `Z`, `AA`.
fn column(at: usize) -> String {
    let (high, low) = (at / 26, at % 26);
    let letter = |digit: usize| char::from(b'A' + u8::try_from(digit % 26).unwrap_or(0));
    if high == 0 { letter(low).to_string() } else { format!("{}{}", column(high - 1), letter(low)) }
}

/// Style of the titles, and of amounts; see [`STYLES`].
const TITLE_STYLE: u32 = 1;
const AMOUNT_STYLE: u32 = 2;

const STYLES: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">"#,
    r#"<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>"#,
    r#"<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>"#,
    r#"<fills count="3"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>"#,
    r#"<fill><patternFill patternType="solid"><fgColor rgb="FFD9D9D9"/><bgColor indexed="64"/></patternFill></fill></fills>"#,
    r#"<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>"#,
    r#"<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>"#,
    r#"<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>"#,
    r#"<xf numFmtId="0" fontId="1" fillId="2" borderId="0" xfId="0" applyFont="1" applyFill="1"/>"#,
    r#"<xf numFmtId="4" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>"#,
    r#"<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>"#,
);

const TYPES: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">"#,
    r#"<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>"#,
    r#"<Default Extension="xml" ContentType="application/xml"/>"#,
    r#"<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>"#,
    r#"<Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/>"#,
    r#"<Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>"#,
    r#"</Types>"#,
);

const RELATIONS: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">"#,
    r#"<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/>"#,
    r#"</Relationships>"#,
);

const WORKBOOK_RELATIONS: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">"#,
    r#"<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>"#,
    r#"<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/>"#,
    r#"</Relationships>"#,
);

const SHEET_BEGIN: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">"#,
    r#"<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>"#,
    r#"<sheetFormatPr defaultRowHeight="15"/>"#,
);
const SHEET_END: &str = "</sheetData></worksheet>";

impl Workbook<'_> {
    /// The next piece: what comes first if nothing is written yet, these rows, and what
    /// comes last if there are no more.
    ///
    /// # Errors
    /// The sheet is too long for a workbook.
    pub fn piece(&self, rows: &[Vec<Cell>], is_last: bool, progress: &mut Progress) -> Result<Vec<u8>, String> {
        let (mut bytes, entries) = self.small_files();
        let sheet_at = size(bytes.len())?;
        let is_first = progress.rows == 0;
        if is_first {
            local_header(&mut bytes, &Entry { path: SHEET_PATH, crc: 0, packed: 0, plain: 0, at: 0, deflated: true });
        } else {
            bytes.clear();
        }
        let xml = self.sheet_xml(rows, is_first, is_last, progress);
        let mut checksum = crc32fast::Hasher::new_with_initial(progress.crc);
        checksum.update(xml.as_bytes());
        progress.crc = checksum.finalize();
        progress.plain += xml.len() as u64;
        let before = bytes.len();
        deflate(xml.as_bytes(), is_last, &mut bytes)?;
        progress.packed += (bytes.len() - before) as u64;
        if progress.rows > ROWS_MAX + 1 || progress.plain > u64::from(u32::MAX) {
            return Err("the sheet is too long for a workbook".into());
        }
        if is_last {
            let sheet = Entry {
                path: SHEET_PATH,
                crc: progress.crc,
                packed: u32::try_from(progress.packed).map_err(|_| "the workbook is too large")?,
                plain: u32::try_from(progress.plain).map_err(|_| "the workbook is too large")?,
                at: sheet_at,
                deflated: true,
            };
            let header_bytes = 30 + u64::try_from(SHEET_PATH.len()).unwrap_or(0);
            let directory_at = u64::from(sheet_at) + header_bytes + progress.packed + 16;
            close(&mut bytes, &entries, &sheet, directory_at)?;
        }
        Ok(bytes)
    }

    fn sheet_xml(&self, rows: &[Vec<Cell>], is_first: bool, is_last: bool, progress: &mut Progress) -> String {
        let mut xml = String::with_capacity(rows.len() * 1_024);
        if is_first {
            xml.push_str(SHEET_BEGIN);
            xml.push_str("<cols>");
            for (at, title) in self.titles.iter().enumerate() {
                let width = (title.chars().count() + 6).clamp(14, 40);
                let _ = write!(xml, r#"<col min="{0}" max="{0}" width="{width}" customWidth="1"/>"#, at + 1);
            }
            xml.push_str("</cols><sheetData>");
            let titles = self.titles.iter().map(|title| Cell::Text(title.clone())).collect::<Vec<_>>();
            progress.rows += 1;
            row_xml(&mut xml, progress.rows, &titles, TITLE_STYLE);
        }
        for row in rows {
            progress.rows += 1;
            row_xml(&mut xml, progress.rows, row, 0);
        }
        if is_last {
            xml.push_str(SHEET_END);
        }
        xml
    }

    /// The files before the sheet: the same bytes for every piece.
    fn small_files(&self) -> (Vec<u8>, Vec<Entry>) {
        let workbook = format!(
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
                r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" "#,
                r#"xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">"#,
                r#"<sheets><sheet name="{}" sheetId="1" r:id="rId1"/></sheets></workbook>"#
            ),
            escaped(self.sheet)
        );
        let files = [
            ("[Content_Types].xml", TYPES),
            ("_rels/.rels", RELATIONS),
            ("xl/workbook.xml", workbook.as_str()),
            ("xl/_rels/workbook.xml.rels", WORKBOOK_RELATIONS),
            ("xl/styles.xml", STYLES),
        ];
        let mut bytes = Vec::new();
        let mut entries = Vec::new();
        for (path, text) in files {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            let at = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let crc = crc32fast::hash(text.as_bytes());
            let entry = Entry { path, crc, packed: length, plain: length, at, deflated: false };
            local_header(&mut bytes, &entry);
            bytes.extend(text.as_bytes());
            entries.push(entry);
        }
        (bytes, entries)
    }
}

fn row_xml(xml: &mut String, number: u32, cells: &[Cell], style: u32) {
    // Writing to a text does not fail.
    let _ = write!(xml, r#"<row r="{number}">"#);
    for (at, cell) in cells.iter().enumerate() {
        let place = column(at);
        let _ = match cell {
            Cell::Text(text) => write!(
                xml,
                r#"<c r="{place}{number}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{}</t></is></c>"#,
                escaped(&harmless(text))
            ),
            Cell::Amount(amount) => {
                write!(xml, r#"<c r="{place}{number}" s="{AMOUNT_STYLE}"><v>{amount}</v></c>"#)
            }
            Cell::Count(count) => write!(xml, r#"<c r="{place}{number}"><v>{count}</v></c>"#),
        };
    }
    xml.push_str("</row>");
}

/// Adds the deflated bytes, ended at a byte; with the last ones the stream ends.
fn deflate(plain: &[u8], is_last: bool, bytes: &mut Vec<u8>) -> Result<(), String> {
    let mut compress = Compress::new(Compression::fast(), false);
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut rest = plain;
    loop {
        bytes.reserve(plain.len() / 4 + 4_096);
        let before = compress.total_in();
        let status = compress.compress_vec(rest, bytes, flush).map_err(|error| error.to_string())?;
        let taken = usize::try_from(compress.total_in() - before).unwrap_or(usize::MAX);
        rest = rest.get(taken..).unwrap_or_default();
        let has_room = bytes.len() < bytes.capacity();
        match status {
            Status::StreamEnd => return Ok(()),
            Status::Ok | Status::BufError if !is_last && rest.is_empty() && has_room => return Ok(()),
            Status::Ok | Status::BufError => {}
        }
    }
}

fn size(bytes: usize) -> Result<u32, String> {
    u32::try_from(bytes).map_err(|_| "the workbook is too large".to_owned())
}

/// All files are of the first day that archives know.
const DAY: u32 = 0x0021_0000;

fn local_header(bytes: &mut Vec<u8>, entry: &Entry) {
    bytes.extend(0x0403_4b50_u32.to_le_bytes());
    bytes.extend(20_u16.to_le_bytes());
    shared_header(bytes, entry);
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend(entry.path.as_bytes());
}

/// What both headers of a file have: flags to the length of its name. The sheet's sizes
/// stand behind it, which flag 3 says.
fn shared_header(bytes: &mut Vec<u8>, entry: &Entry) {
    let (flags, method) = if entry.deflated { (8_u16, 8_u16) } else { (0, 0) };
    bytes.extend(flags.to_le_bytes());
    bytes.extend(method.to_le_bytes());
    bytes.extend(DAY.to_le_bytes());
    for value in [entry.crc, entry.packed, entry.plain] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(u16::try_from(entry.path.len()).unwrap_or(u16::MAX).to_le_bytes());
}

/// What comes behind the sheet: its sizes, and the list of all files.
fn close(bytes: &mut Vec<u8>, entries: &[Entry], sheet: &Entry, directory_at: u64) -> Result<(), String> {
    bytes.extend(0x0807_4b50_u32.to_le_bytes());
    for value in [sheet.crc, sheet.packed, sheet.plain] {
        bytes.extend(value.to_le_bytes());
    }
    let begin = bytes.len();
    for entry in entries.iter().chain([sheet]) {
        bytes.extend(0x0201_4b50_u32.to_le_bytes());
        bytes.extend([20, 0, 20, 0]);
        shared_header(bytes, entry);
        // No extra field, no comment, the first disk, no attributes.
        bytes.extend([0; 12]);
        bytes.extend(entry.at.to_le_bytes());
        bytes.extend(entry.path.as_bytes());
    }
    let directory_bytes = size(bytes.len() - begin)?;
    let count = u16::try_from(entries.len() + 1).unwrap_or(u16::MAX);
    bytes.extend(0x0605_4b50_u32.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(directory_bytes.to_le_bytes());
    bytes.extend(u32::try_from(directory_at).map_err(|_| "the workbook is too large")?.to_le_bytes());
    bytes.extend([0; 2]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use cairn_shared::Paise;
    use flate2::{Decompress, FlushDecompress};

    use super::*;

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    /// The sheet's XML, by way of the list of files at the end, its checksum checked.
    fn sheet(bytes: &[u8]) -> String {
        let end = bytes.len() - 22;
        assert_eq!(u32_at(bytes, end), 0x0605_4b50);
        let (length, at) = (u32_at(bytes, end + 12) as usize, u32_at(bytes, end + 16) as usize);
        assert_eq!(at + length, end, "the list of files ends where the end begins");
        let mut entry = at;
        loop {
            assert_eq!(u32_at(bytes, entry), 0x0201_4b50);
            let name_length = usize::from(u16::from_le_bytes(bytes[entry + 28..entry + 30].try_into().unwrap()));
            let name = std::str::from_utf8(&bytes[entry + 46..entry + 46 + name_length]).unwrap();
            let (crc, packed, plain) =
                (u32_at(bytes, entry + 16), u32_at(bytes, entry + 20) as usize, u32_at(bytes, entry + 24) as usize);
            let data = u32_at(bytes, entry + 42) as usize + 30 + name_length;
            assert_eq!(u32_at(bytes, data - 30 - name_length), 0x0403_4b50, "{name}");
            if name != SHEET_PATH {
                assert_eq!(crc32fast::hash(&bytes[data..data + plain]), crc, "{name}");
                entry += 46 + name_length;
                continue;
            }
            let mut xml = Vec::with_capacity(plain + 1);
            let status =
                Decompress::new(false).decompress_vec(&bytes[data..data + packed], &mut xml, FlushDecompress::Finish);
            assert_eq!((status.unwrap(), xml.len()), (Status::StreamEnd, plain));
            assert_eq!(crc32fast::hash(&xml), crc);
            return String::from_utf8(xml).unwrap();
        }
    }

    #[test]
    fn pieces_make_one_workbook_however_it_is_cut() {
        let titles = ["Name".to_owned(), "Total".to_owned()];
        let workbook = Workbook { sheet: "Bookings", titles: &titles };
        let rows: Vec<_> = (0..250)
            .map(|at| vec![Cell::text(format!("Person {at} {}", at * at)), Cell::Amount(Paise(at * 7))])
            .collect();
        let made = |size: usize| {
            let mut progress = Progress::default();
            let chunks: Vec<_> = rows.chunks(size).collect();
            let pieces = chunks.iter().enumerate().map(|(at, chunk)| {
                // As it travels between two requests.
                let kept = serde_json::to_string(&progress).unwrap();
                progress = serde_json::from_str(&kept).unwrap();
                workbook.piece(chunk, at + 1 == chunks.len(), &mut progress).unwrap()
            });
            pieces.collect::<Vec<_>>().concat()
        };
        let whole = sheet(&made(1_000));
        for size in [1, 7, 100, 249, 250] {
            assert!(sheet(&made(size)) == whole, "in pieces of {size}");
        }
        assert_eq!(whole.matches("<row ").count(), 251);
        assert!(whole.contains(r#"<c r="B251" s="2"><v>17.43</v></c>"#) && whole.ends_with(SHEET_END));
        let empty = workbook.piece(&[], true, &mut Progress::default()).unwrap();
        assert_eq!(sheet(&empty).matches("<row ").count(), 1, "the titles are always there");
    }

    #[test]
    fn texts_stay_texts() {
        let titles = ["A".to_owned()];
        let texts = ["=HYPERLINK(1)", "<b>&\"", "a\u{0}b\u{b}", " spaces "];
        let rows: Vec<_> = texts.iter().map(|text| vec![Cell::Text((*text).into())]).collect();
        let workbook = Workbook { sheet: "A & B", titles: &titles };
        let xml = sheet(&workbook.piece(&rows, true, &mut Progress::default()).unwrap());
        for text in ["'=HYPERLINK(1)<", "&lt;b&gt;&amp;&quot;", "a\u{fffd}b\u{fffd}", "> spaces <"] {
            assert!(xml.contains(text), "{text} in {xml}");
        }
        assert_eq!([0, 25, 26, 51, 52, 701].map(column), ["A", "Z", "AA", "AZ", "BA", "ZZ"]);
    }
}
