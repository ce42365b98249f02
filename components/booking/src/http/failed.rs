//! Bookings that were never paid, for admins.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Paise, Result, Timestamp,
    http::{Json, Path, Query, Router},
    identity::Admin,
    page::{PAGE_LIMIT_MAX, PageQuery},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::view;
use crate::{
    app::App,
    domain::CreateError,
    store::{FailedBooking, FailedFilter},
};

/// Failed bookings on a page, unless the request says otherwise.
const PAGE_FAILED: u32 = 10;

pub(super) const REASONS: [&str; 4] = ["session_expired", "payment_failed", "user_cancelled", "system_error"];

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/failed-bookings", list)
        .get("/api/failed-bookings/{id}", detail)
        .post("/api/failed-bookings/{id}/restore", restore)
        .delete("/api/failed-bookings/{id}", delete)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailedQuery {
    page: Option<u32>,
    limit: Option<u32>,
    failure_reason: Option<String>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
}

async fn list(app: Rc<App>, Admin(_): Admin, Query(query): Query<FailedQuery>) -> Result<Json<Value>> {
    let limit = query.limit.map(|limit| limit.min(PAGE_LIMIT_MAX));
    let page = PageQuery { page: query.page, limit }.parse(PAGE_FAILED)?;
    let reason = query.failure_reason.filter(|reason| reason != "all");
    if reason.as_deref().is_some_and(|reason| !REASONS.contains(&reason)) {
        return Err(Error::bad_request(format!("failureReason has to be one of {}", REASONS.join(", "))));
    }
    let (from, before) = app.days(query.start_date, query.end_date);
    let listing = app.failed_list(&FailedFilter { reason, from, before }, page).await?;
    let stats = listing.stats;
    let average = if stats.total == 0 { 0 } else { (2 * stats.value.0 + stats.total).div_euclid(2 * stats.total) };
    Ok(Json(json!({
        "failedBookings": listing.page.iter().map(failed).collect::<Vec<_>>(),
        "pagination": page.info(stats.total),
        "stats": {
            "totalFailed": stats.total,
            "totalValue": stats.value,
            "sessionExpired": stats.session_expired,
            "paymentFailed": stats.payment_failed,
            "userCancelled": stats.user_cancelled,
            "systemError": stats.system_error,
            "averageValue": Paise(average),
        },
    })))
}

/// What clients read of a failed booking. Nobody ever filled `paymentAttempts`.
fn failed(failed: &FailedBooking) -> Value {
    let booking = view::raw(&failed.booking, true);
    let mut object = json!({
        "_id": failed.id,
        "id": failed.id,
        "bookingId": format!("FB{}", failed.id.short_code()),
        "originalBookingId": failed.booking.id,
        "user": view::user(&failed.booking),
        "trek": { "_id": failed.booking.trek_id, "name": failed.booking.trek_name },
        "failureReason": failed.reason,
        "failureDetails": failed.details,
        "originalCreatedAt": failed.original_created_at,
        "originalExpiresAt": failed.original_expires_at,
        "archivedAt": failed.archived_at,
        "archivedBy": failed.archived_by,
        "createdAt": failed.archived_at,
        "paymentAttempts": [],
        "lastError": failed.booking.payment_error,
    });
    for key in [
        "batch",
        "numberOfParticipants",
        "addOns",
        "userDetails",
        "totalPrice",
        "bookingSession",
        "paymentMode",
        "partialPaymentDetails",
        "promoCodeDetails",
        "formattedDates",
    ] {
        if let Some(value) = booking.get(key) {
            object[key] = value.clone();
        }
    }
    object
}

/// An id that is none names nothing.
fn parsed(id: &str) -> Result<Id> {
    Ok(id.parse().map_err(|_| CreateError::FailedNotFound)?)
}

async fn detail(app: Rc<App>, Admin(_): Admin, Path(id): Path<String>) -> Result<Json<Value>> {
    let (found, setting) = app.failed_detail(parsed(&id)?).await?;
    let mut object = failed(&found);
    object["trek"]["batches"] = setting.batches_of(found.booking.trek_id).map(view::batch).collect();
    Ok(Json(object))
}

async fn restore(app: Rc<App>, Admin(_): Admin, Path(id): Path<String>) -> Result<Json<Value>> {
    let booking = app.failed_restore(parsed(&id)?).await?;
    Ok(Json(json!({ "message": "Failed booking restored successfully", "booking": view::raw(&booking, true) })))
}

async fn delete(app: Rc<App>, Admin(_): Admin, Path(id): Path<String>) -> Result<Json<Value>> {
    app.failed_delete(parsed(&id)?).await?;
    Ok(Json(json!({ "message": "Failed booking deleted permanently" })))
}
