//! Exports: tables of bookings for staff, piece by piece.
//!
//! A piece is what one request reads and answers. Where it ended says where the next one
//! begins, so an export of any length holds one page of bookings at a time, and what was
//! booked after it began is not part of it.

use cairn_shared::{Id, Timestamp};
use serde::{Deserialize, Serialize};

use super::{App, BookingError};
use crate::{
    domain::{Booking, Refusal, Status},
    export::{
        Cell,
        bookings::{self, Field},
        csv, failed, pages,
        pages::Table,
        people, xlsx,
        xlsx::Workbook,
    },
    store::{self, Cursor, FailedFilter, Filter},
};

/// Rows of a piece.
const PIECE_ROWS: u32 = 500;

/// Bookings of one batch that are exported, at most.
const BATCH_BOOKINGS_MAX: u32 = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileType {
    Excel,
    Csv,
    Pdf,
}

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sheet {
    Bookings,
    Failed,
}

impl Sheet {
    fn name(self) -> &'static str {
        match self {
            Self::Bookings => "Bookings",
            Self::Failed => "Failed Bookings",
        }
    }
}

/// Which rows and columns of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub sheet: Sheet,
    pub file: FileType,
    /// Keys of the columns, separated by commas; none: the usual ones.
    pub fields: Option<String>,
    pub status: Option<Status>,
    pub reason: Option<String>,
    pub trek_id: Option<String>,
    pub batch_id: Option<String>,
    /// Instants in ms: from this one on, and before that one.
    pub from: Option<i64>,
    pub before: Option<i64>,
}

/// An export and how far it has come: between two pieces it travels in an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    pub selection: Selection,
    /// The last row that is written: its instant in ms, and its id.
    at: Option<i64>,
    id: Option<Id>,
    progress: xlsx::Progress,
}

/// A part of a file.
pub struct Piece {
    pub bytes: Vec<u8>,
    /// None: it is the last one.
    pub next: Option<Export>,
}

/// Rows of one page, and where it ended.
struct Page {
    rows: Vec<Vec<Cell>>,
    last: Option<Cursor>,
}

impl Selection {
    fn bookings(&self) -> Filter {
        Filter {
            status: self.status,
            trek_id: self.trek_id.clone(),
            batch_id: self.batch_id.clone(),
            from: self.from.map(Timestamp::from_millis),
            before: self.before.map(Timestamp::from_millis),
            search: None,
        }
    }

    fn failed(&self) -> FailedFilter {
        FailedFilter {
            reason: self.reason.clone(),
            from: self.from.map(Timestamp::from_millis),
            before: self.before.map(Timestamp::from_millis),
        }
    }

    fn fields(&self) -> Result<Vec<Field>, BookingError> {
        let fields = Field::list(self.fields.as_deref());
        fields.map_err(|name| {
            let known = Field::ALL.map(Field::key).join(", ");
            let name: String = name.chars().take(40).collect();
            cairn_shared::Error::bad_request(format!("There is no field \u{201c}{name}\u{201d}. There are: {known}"))
                .into()
        })
    }

    fn titles(&self) -> Result<Vec<String>, BookingError> {
        Ok(match self.sheet {
            Sheet::Bookings => self.fields()?.iter().map(|field| field.title().to_owned()).collect(),
            Sheet::Failed => failed::TITLES.map(str::to_owned).to_vec(),
        })
    }
}

impl App {
    /// The first piece of a file; with a PDF all of it.
    ///
    /// # Errors
    /// A field that there is not, and more rows than such a file holds.
    pub async fn export(&self, selection: Selection) -> Result<Piece, BookingError> {
        let rows_max = match selection.file {
            FileType::Csv => None,
            FileType::Excel => Some(xlsx::ROWS_MAX),
            FileType::Pdf => Some(pages::ROWS_MAX),
        };
        if let Some(rows_max) = rows_max {
            let rows = self.export_rows(&selection).await?;
            if rows > i64::from(rows_max) {
                return Err(Refusal::ExportTooLong { rows, rows_max }.into());
            }
        }
        let begin = Export { selection, at: None, id: None, progress: xlsx::Progress::default() };
        match begin.selection.file {
            FileType::Excel | FileType::Csv => self.export_on(begin).await,
            FileType::Pdf => self.export_pages(begin).await,
        }
    }

    async fn export_rows(&self, selection: &Selection) -> Result<i64, BookingError> {
        Ok(match selection.sheet {
            Sheet::Bookings => store::booking_count(&self.db, &selection.bookings()).await?,
            Sheet::Failed => store::failed_booking_stats(&self.db, &selection.failed()).await?.total,
        })
    }

    /// The next piece.
    ///
    /// # Errors
    /// The database's, and a sheet that became too long.
    pub async fn export_on(&self, mut export: Export) -> Result<Piece, BookingError> {
        let titles = export.selection.titles()?;
        let page = self.export_page(&export, PIECE_ROWS).await?;
        let is_last = page.rows.len() < PIECE_ROWS as usize;
        let bytes = match export.selection.file {
            FileType::Csv => {
                let head = (export.at.is_none()).then(|| csv::line(titles.into_iter().map(Cell::Text)));
                head.into_iter().chain(page.rows.into_iter().map(csv::line)).collect::<String>().into_bytes()
            }
            FileType::Excel | FileType::Pdf => {
                let workbook = Workbook { sheet: export.selection.sheet.name(), titles: &titles };
                let piece = workbook.piece(&page.rows, is_last, &mut export.progress);
                piece.map_err(cairn_shared::Error::internal)?
            }
        };
        let next = page.last.filter(|_| !is_last);
        let next = next.map(|Cursor { at, id }| Export { at: Some(at.millis()), id: Some(id), ..export });
        Ok(Piece { bytes, next })
    }

    async fn export_pages(&self, export: Export) -> Result<Piece, BookingError> {
        let sheet = export.selection.sheet.name();
        let page = self.export_page(&export, pages::ROWS_MAX).await?;
        let table = Table {
            title: sheet,
            notes: &[format!("Generated on {}", self.env.zone.day_text(self.now()))],
            titles: &export.selection.titles()?,
            rows: &page.rows,
            empty: "No bookings found for what was selected.",
        };
        let bytes = pages::render(&table).map_err(cairn_shared::Error::internal)?;
        Ok(Piece { bytes, next: None })
    }

    async fn export_page(&self, export: &Export, limit: u32) -> Result<Page, BookingError> {
        let selection = &export.selection;
        let after = export.at.zip(export.id).map(|(at, id)| Cursor { at: Timestamp::from_millis(at), id });
        let zone = self.env.zone;
        Ok(match selection.sheet {
            Sheet::Bookings => {
                let fields = selection.fields()?;
                let bookings = store::booking_list_after(&self.db, &selection.bookings(), after, limit).await?;
                let row = |booking: &Booking| bookings::row(booking, &fields, &booking.trek_name, zone);
                Page {
                    rows: bookings.iter().map(row).collect(),
                    last: bookings.last().map(|last| Cursor { at: last.created_at, id: last.id }),
                }
            }
            Sheet::Failed => {
                let failed = store::failed_booking_list_after(&self.db, &selection.failed(), after, limit).await?;
                Page {
                    rows: failed.iter().map(|failed| failed::row(failed, zone)).collect(),
                    last: failed.last().map(|last| Cursor { at: last.archived_at, id: last.id }),
                }
            }
        })
    }

    /// The participants of a batch as a file, with its name.
    ///
    /// # Errors
    /// [`Refusal`]: no such trek or batch, nobody comes, too many fields.
    pub async fn export_participants(
        &self,
        trek_id: Id,
        batch_id: Id,
        fields: Option<&str>,
        is_csv: bool,
    ) -> Result<(String, Vec<u8>), BookingError> {
        let keys = people::keys(fields).map_err(cairn_shared::Error::bad_request)?;
        let treks = self.peers.trek_summaries(&[trek_id]).await?;
        let trek = treks.into_iter().next().ok_or(Refusal::TrekNotFound)?;
        let batch = self.peers.batch(batch_id).await?.filter(|batch| batch.trek_id == trek_id);
        let batch = batch.ok_or(Refusal::NoSuchBatch)?;
        let bookings = store::booking_list_paid_of_batch(&self.db, trek_id, batch_id, BATCH_BOOKINGS_MAX + 1).await?;
        if bookings.len() > BATCH_BOOKINGS_MAX as usize {
            let rows = i64::from(BATCH_BOOKINGS_MAX) + 1;
            return Err(Refusal::ExportTooLong { rows, rows_max: BATCH_BOOKINGS_MAX }.into());
        }
        let zone = self.env.zone;
        let rows: Vec<_> = bookings.iter().flat_map(|booking| people::rows(booking, &keys, zone)).collect();
        if rows.is_empty() {
            return Err(Refusal::NobodyToExport.into());
        }
        let titles: Vec<_> = keys.iter().map(|key| people::title(key).to_owned()).collect();
        let name: String = trek.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let name = format!("batch-participants-{name}-{}", zone.iso_day(batch.start));
        if is_csv {
            let head = csv::line(titles.into_iter().map(Cell::Text));
            let text: String = std::iter::once(head).chain(rows.into_iter().map(csv::line)).collect();
            return Ok((format!("{name}.csv"), text.into_bytes()));
        }
        let day = |at| zone.day_text(at);
        let table = Table {
            title: &format!("Participants: {}", trek.name),
            notes: &[
                format!("{} \u{2013} {}", day(batch.start), day(batch.end)),
                format!("Generated on {}", day(self.now())),
            ],
            titles: &titles,
            rows: &rows,
            empty: "",
        };
        let bytes = pages::render(&table).map_err(cairn_shared::Error::internal)?;
        Ok((format!("{name}.pdf"), bytes))
    }
}
