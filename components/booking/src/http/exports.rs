//! Exports for staff. Long files go out piece by piece.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Result, Timestamp,
    http::{CONTINUES_HEADER, Path2, Query, Response, Router},
    identity::{Admin, Caller},
};
use serde::Deserialize;

use super::failed::REASONS;
use crate::{
    app::{App, BookingError, Export, FileType, Piece, Selection, Sheet},
    domain::Status,
};

/// Where the further pieces of a file are; private.
const PIECES_PATH: &str = "/_exports";

/// Whoever may manage treks.
const MANAGE_TREKS: &str = "actions.manageTreks";

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/bookings/admin/export", bookings)
        .get("/api/failed-bookings/export/excel", failed_bookings)
        .get("/api/treks/{trekId}/batches/{batchId}/export-participants", participants)
        .get(PIECES_PATH, piece)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookingsQuery {
    fields: Option<String>,
    file_type: Option<String>,
    status: Option<String>,
    trek_id: Option<String>,
    batch_id: Option<String>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
}

async fn bookings(app: Rc<App>, Admin(_): Admin, Query(query): Query<BookingsQuery>) -> Result<Response> {
    let file = match query.file_type.as_deref() {
        Some("excel") => FileType::Excel,
        Some("csv") => FileType::Csv,
        Some("pdf") => FileType::Pdf,
        _ => return Err(Error::bad_request("Invalid file type")),
    };
    let status = query.status.filter(|status| status != "all").map(|text| {
        let known = Status::parse(&text).filter(|status| status.is_public());
        known.ok_or_else(|| Error::bad_request("Invalid status"))
    });
    let (from, before) = app.days(query.start_date, query.end_date);
    let selection = Selection {
        sheet: Sheet::Bookings,
        file,
        fields: query.fields,
        status: status.transpose()?,
        reason: None,
        trek_id: query.trek_id.filter(|id| id != "all"),
        batch_id: query.batch_id.filter(|id| id != "all"),
        from: from.map(Timestamp::millis),
        before: before.map(Timestamp::millis),
    };
    let name = match file {
        FileType::Excel => "bookings.xlsx",
        FileType::Csv => "bookings.csv",
        FileType::Pdf => "bookings.pdf",
    };
    begun(app.export(selection).await, file, name)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailedQuery {
    failure_reason: Option<String>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
}

async fn failed_bookings(app: Rc<App>, Admin(_): Admin, Query(query): Query<FailedQuery>) -> Result<Response> {
    let reason = query.failure_reason.filter(|reason| reason != "all");
    if reason.as_deref().is_some_and(|reason| !REASONS.contains(&reason)) {
        return Err(Error::bad_request(format!("failureReason has to be one of {}", REASONS.join(", "))));
    }
    let (from, before) = app.days(query.start_date, query.end_date);
    let selection = Selection {
        sheet: Sheet::Failed,
        file: FileType::Excel,
        fields: None,
        status: None,
        reason,
        trek_id: None,
        batch_id: None,
        from: from.map(Timestamp::millis),
        before: before.map(Timestamp::millis),
    };
    let name = format!("failed-bookings-{}.xlsx", app.env.zone.iso_day(app.env.now()));
    begun(app.export(selection).await, FileType::Excel, &name)
}

fn content_type(file: FileType) -> &'static str {
    match file {
        FileType::Excel => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        FileType::Csv => "text/csv; charset=utf-8",
        FileType::Pdf => "application/pdf",
    }
}

fn begun(piece: Result<Piece, BookingError>, file: FileType, name: &str) -> Result<Response> {
    let failed = |error: BookingError| {
        let error = Error::from(error);
        if error.status() == 500 { error.message("Error exporting bookings") } else { error }
    };
    let response = answered(piece.map_err(failed)?, file)?;
    Ok(response.header("content-disposition", format!("attachment; filename={name}")))
}

fn answered(piece: Piece, file: FileType) -> Result<Response> {
    let response = Response::text(200, content_type(file), piece.bytes);
    let Some(next) = piece.next else { return Ok(response) };
    let export = serde_json::to_string(&next).map_err(Error::internal)?;
    let query = serde_urlencoded::to_string([("export", export)]).map_err(Error::internal)?;
    Ok(response.header(CONTINUES_HEADER, format!("{PIECES_PATH}?{query}")))
}

#[derive(Deserialize)]
struct PieceQuery {
    export: String,
}

/// Reached from inside only; who may export was asked at the first piece.
async fn piece(app: Rc<App>, Query(PieceQuery { export }): Query<PieceQuery>) -> Result<Response> {
    let export: Export =
        serde_json::from_str(&export).map_err(|error| Error::bad_request("No such export").cause(error))?;
    let file = export.selection.file;
    answered(app.export_on(export).await?, file)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParticipantsQuery {
    fields: Option<String>,
    file_type: Option<String>,
}

async fn participants(
    app: Rc<App>,
    caller: Caller,
    Path2(trek_id, batch_id): Path2<Id, Id>,
    Query(query): Query<ParticipantsQuery>,
) -> Result<Response> {
    caller.require(MANAGE_TREKS)?;
    let is_csv = query.file_type.as_deref() == Some("csv");
    let (name, bytes) = app.export_participants(trek_id, batch_id, query.fields.as_deref(), is_csv).await?;
    let file = if is_csv { FileType::Csv } else { FileType::Pdf };
    Ok(Response::text(200, content_type(file), bytes)
        .header("content-disposition", format!("attachment; filename={name}")))
}
