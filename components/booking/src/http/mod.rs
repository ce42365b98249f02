//! HTTP of the booking service.

mod body;
mod call_offs;
mod choice_page;
mod declarations;
mod documents;
mod exports;
mod failed;
mod gifts;
mod jobs;
mod lifecycle;
mod lifecycle_body;
mod manual;
mod office;
mod page;
mod share_page;
mod split;
mod transfer;
mod update;
mod view;
mod vouchers;

use std::rc::Rc;

use cairn_shared::{
    Error, Result, Timestamp,
    events::{self, EVENTS_PATH},
    http::{Body, Created, Json, Path, Query, Response, Router},
    identity::Caller,
    page::PageQuery,
};
use serde::Deserialize;
use serde_json::{Value, json};

use self::body::{BookingBody, ParticipantsBody, StatusBody};
use crate::{
    app::{App, BookingError, MAILS_PATH, SETTLE_PATH, STAFF_PERMISSIONS},
    domain::{CreateError, Status},
    store::Filter,
};

/// Bookings on a page of the staff's list.
const PAGE_BOOKINGS: u32 = 10;

/// Ends sessions and settles what died half-way; for the scheduler.
pub const EXPIRE_PATH: &str = "/_jobs/expire";

pub fn routes() -> Router<App> {
    let router = gifts::routes(call_offs::routes(Router::default()));
    let router = vouchers::routes(exports::routes(documents::routes(lifecycle::routes(router))));
    let router = declarations::routes(split::routes(transfer::routes(router)));
    let router = update::routes(office::routes(manual::routes(failed::routes(jobs::routes(router)))));
    router
        .post("/api/bookings", create)
        .get("/api/bookings", list)
        .get("/api/bookings/user/mybookings", own)
        .get("/api/bookings/user", own)
        .post("/api/bookings/cleanup-expired", cleanup)
        .get("/api/bookings/{id}", detail)
        .put("/api/bookings/{id}/participants", put_participants)
        .put("/api/bookings/{id}/status", set_status)
        .post(EVENTS_PATH, take_events)
        .post(EXPIRE_PATH, expire)
        .post(SETTLE_PATH, settle)
        .post(MAILS_PATH, send_mails)
}

impl From<BookingError> for Error {
    fn from(error: BookingError) -> Self {
        match error {
            BookingError::NotFound => Self::not_found("Booking not found"),
            BookingError::Forbidden(message) => Self::forbidden(message),
            BookingError::Invalid(problem) => Self::bad_request(problem),
            BookingError::InvalidStatus => Self::bad_request("Invalid status"),
            BookingError::BatchFull => Self::bad_request("Cannot restore booking - batch is now full"),
            BookingError::BatchClosed => Self::bad_request("This batch is no longer open for booking"),
            BookingError::Refunded => Self::bad_request("Cannot restore a refunded booking"),
            BookingError::NotYours => Self::unauthorized("Not authorized"),
            BookingError::Refused(refusal) => refusal.into(),
            BookingError::Participants(error) => Self::bad_request(error.to_string()),
            BookingError::Sale(error) => error.into(),
            BookingError::Busy => {
                Self::conflict("This booking is being processed. Please try again in a moment.").retry_after(1)
            }
            BookingError::Unavailable(cause) => Self::unavailable(cause),
            BookingError::Failed(error) => error,
        }
    }
}

impl From<CreateError> for Error {
    fn from(error: CreateError) -> Self {
        let message = error.to_string();
        match error {
            CreateError::TrekNotFound
            | CreateError::BatchNotFound
            | CreateError::CustomBatchNotFound
            | CreateError::UserNotFound
            | CreateError::FailedNotFound
            | CreateError::BatchNotInTrek => Self::not_found(message),
            CreateError::LinkExpired => Self::new(410, "LINK_EXPIRED", message),
            CreateError::InProgress => Self::conflict(message).retry_after(1),
            CreateError::AnotherLive => Self::conflict(message),
            CreateError::Unavailable(cause) => Self::unavailable(cause),
            CreateError::TrekDisabled
            | CreateError::CustomTrek
            | CreateError::NotCustom
            | CreateError::Participants(_)
            | CreateError::CustomSoldOut
            | CreateError::RestoreSoldOut
            | CreateError::BatchClosed
            | CreateError::SoldOut
            | CreateError::PartialDisabled
            | CreateError::PartialTooLate(_)
            | CreateError::AddOn(_)
            | CreateError::PromoInvalid
            | CreateError::PromoExpired
            | CreateError::PromoUsedUp
            | CreateError::PromoBelowMinimum(_)
            | CreateError::PromoNotApplicable
            | CreateError::VoucherInvalid
            | CreateError::VoucherExpired
            | CreateError::VoucherVoid
            | CreateError::VoucherUsedUp
            | CreateError::PriceChanged
            | CreateError::InitialChanged
            | CreateError::NothingToPay => Self::bad_request(message),
        }
    }
}

fn is_staff(caller: &Caller) -> bool {
    caller.require_any(&STAFF_PERMISSIONS).is_ok()
}

async fn create(app: Rc<App>, caller: Caller, Json(body): Json<BookingBody>) -> Result<Created<Value>> {
    let new = body.parse()?;
    let booking = app.create(&caller, &new).await?;
    Ok(Created(view::created(&booking)))
}

async fn own(app: Rc<App>, caller: Caller) -> Result<Json<Vec<Value>>> {
    let (bookings, setting) = app.own(caller.id).await?;
    Ok(Json(bookings.iter().map(|booking| view::own(booking, &setting)).collect()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    page: Option<u32>,
    status: Option<String>,
    trek_id: Option<String>,
    batch_id: Option<String>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    search: Option<String>,
}

async fn list(app: Rc<App>, caller: Caller, Query(query): Query<ListQuery>) -> Result<Json<Value>> {
    caller.require_any(&STAFF_PERMISSIONS)?;
    let page = PageQuery { page: query.page, limit: None }.parse(PAGE_BOOKINGS)?;
    let status = match query.status.as_deref() {
        None | Some("all") => None,
        Some(text) => Some(Status::parse(text).ok_or_else(|| Error::bad_request("Invalid status"))?),
    };
    let (from, before) = app.days(query.start_date, query.end_date);
    let search = query.search.map(|search| search.trim().to_owned()).filter(|search| !search.is_empty());
    let filter = Filter { status, trek_id: query.trek_id, batch_id: query.batch_id, from, before, search };
    let listing = app.list(&filter, page).await?;
    Ok(Json(view::listing(&listing, page)))
}

async fn detail(app: Rc<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>> {
    let staff = is_staff(&caller);
    let id = app.resolve(&id, staff).await?;
    let (booking, setting, payments) = app.detail(&caller, id).await?;
    Ok(Json(view::detail(&booking, &setting, &payments, staff)))
}

async fn put_participants(
    app: Rc<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<ParticipantsBody>,
) -> Result<Json<Value>> {
    let id = app.resolve(&id, caller.is_admin()).await?;
    let booking = app.put_participants(&caller, id, &body.into()).await?;
    Ok(Json(json!({
        "message": "Participant details updated successfully",
        "booking": view::raw(&booking, caller.is_admin()),
    })))
}

/// The status is checked before the right to set it, as clients know it.
async fn set_status(
    app: Rc<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<StatusBody>,
) -> Result<Json<Value>> {
    let status = body.parse()?;
    if !caller.is_admin() {
        return Err(Error::forbidden("Not authorized to update booking status"));
    }
    let id = app.resolve(&id, true).await?;
    let booking = app.set_status(&caller, id, status).await?;
    Ok(Json(view::raw(&booking, true)))
}

async fn cleanup(app: Rc<App>, caller: Caller) -> Result<Json<Value>> {
    if !caller.is_admin() {
        return Err(Error::forbidden("Not authorized to perform cleanup"));
    }
    app.expire().await?;
    Ok(Json(json!({ "message": "Cleanup completed successfully", "timestamp": app.env.now() })))
}

async fn take_events(app: Rc<App>, body: Body) -> Result<Response> {
    app.take_events(&events::received(&body)?).await?;
    Ok(Response::empty(204))
}

async fn expire(app: Rc<App>) -> Result<Response> {
    let left = app.expire().await? + app.send_mails().await?;
    run(left)
}

async fn settle(app: Rc<App>) -> Result<Response> {
    run(app.settle_left().await?)
}

async fn send_mails(app: Rc<App>) -> Result<Response> {
    run(app.send_mails().await?)
}

fn run(left: usize) -> Result<Response> {
    if left == 0 {
        Ok(Response::empty(204))
    } else {
        Err(Error::unavailable(format!("{left} are left for the next run")))
    }
}
