//! Routes of a booking's life after it was made: cancellation, restoring, other batches,
//! requests, completion, removal, and what a cancellation gives back.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Result,
    http::{Json, Path, Path2, Router},
    identity::{Admin, Caller},
};
use serde_json::{Value, json};

use super::{
    lifecycle_body::{AnswerBody, CancelBody, ParticipantCancelBody, PolicyBody, RequestBody, ShiftBody},
    view,
};
use crate::{
    app::{Actor, App, BookingError, MANAGE_BOOKINGS, STAFF_PERMISSIONS},
    domain::{RefundPolicy, Refusal, Who},
    store,
};

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .put("/api/bookings/{id}/cancel", cancel)
        .patch("/api/admin/bookings/{id}/cancel", cancel)
        .put("/api/bookings/{id}/restore", restore)
        .delete("/api/bookings/{id}", delete)
        .put("/api/bookings/{id}/participants/{participantId}/cancel", cancel_participant)
        .put("/api/bookings/{id}/participants/{participantId}/restore", restore_participant)
        .put("/api/bookings/{id}/complete-trek", complete)
        .put("/api/bookings/{id}/shift-batch", shift)
        .post("/api/bookings/{id}/cancellation-request", ask)
        .put("/api/bookings/{id}/cancellation-request", answer)
        .post("/api/bookings/{id}/calculate-refund", calculate_refund)
        .get("/api/bookings/{id}/commands", commands)
        .get("/api/bookings/refund-policies/{trekId}", policy)
        .put("/api/bookings/refund-policies/{trekId}", put_policy)
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        if refusal.is_about_something_missing() { Self::not_found(message) } else { Self::bad_request(message) }
    }
}

/// The booking that a path names: people who may manage bookings may also give its code.
pub(super) async fn named(app: &App, caller: &Caller, text: &str) -> Result<Id> {
    Ok(app.resolve(text, caller.may(MANAGE_BOOKINGS)).await?)
}

async fn cancel(
    app: Rc<App>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    Json(body): Json<CancelBody>,
) -> Result<Json<Value>> {
    let id = named(&app, &caller, &id).await?;
    let booking = app.cancel(&caller, id, &body.parse()?).await?;
    Ok(Json(json!({ "success": true, "booking": view::with_names(&booking, true) })))
}

async fn restore(app: Rc<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>> {
    caller.require(MANAGE_BOOKINGS)?;
    let id = named(&app, &caller, &id).await?;
    let booking = app.restore(&caller, id).await?;
    Ok(Json(json!({ "message": "Booking restored successfully", "booking": view::raw(&booking, true) })))
}

async fn delete(app: Rc<App>, Admin(caller): Admin, Path(id): Path<String>) -> Result<Json<Value>> {
    let id = named(&app, &caller, &id).await?;
    app.delete(&caller, id).await?;
    Ok(Json(json!({ "message": "Booking removed" })))
}

/// A participant's id; one that is none names nobody on the booking, which comes first.
async fn participant(app: &App, id: Id, text: &str) -> Result<Id> {
    app.visible(&app.db, id).await?;
    text.parse().map_err(|_| BookingError::from(Refusal::NoSuchParticipant).into())
}

async fn cancel_participant(
    app: Rc<App>,
    caller: Caller,
    Path2(id, participant_id): Path2<String, String>,
    Json(body): Json<ParticipantCancelBody>,
) -> Result<Json<Value>> {
    let id = named(&app, &caller, &id).await?;
    let participant_id = participant(&app, id, &participant_id).await?;
    let (choice, reason) = body.parse(caller.is_admin())?;
    let booking = app.cancel_participant(&caller, id, participant_id, choice, reason).await?;
    Ok(Json(json!({
        "message": "Participant cancelled successfully",
        "booking": view::raw(&booking, caller.is_admin()),
    })))
}

async fn restore_participant(
    app: Rc<App>,
    caller: Caller,
    Path2(id, participant_id): Path2<String, String>,
) -> Result<Json<Value>> {
    let id = named(&app, &caller, &id).await?;
    let participant_id = participant(&app, id, &participant_id).await?;
    let booking = app.restore_participant(&caller, id, participant_id).await?;
    Ok(Json(json!({ "message": "Participant restored successfully", "booking": view::raw(&booking, true) })))
}

async fn complete(app: Rc<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>> {
    caller.require(MANAGE_BOOKINGS)?;
    let id = named(&app, &caller, &id).await?;
    let booking = app.complete(Actor::of(&caller, Who::Staff), id).await?;
    Ok(Json(json!({ "message": "Trek marked as completed successfully", "booking": view::raw(&booking, true) })))
}

async fn shift(
    app: Rc<App>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    Json(body): Json<ShiftBody>,
) -> Result<Json<Value>> {
    let batch_id = body.parse()?;
    let id = named(&app, &caller, &id).await?;
    let booking = app.shift(&caller, id, batch_id).await?;
    Ok(Json(json!({
        "message": "Booking shifted to new batch successfully",
        "booking": { "_id": booking.id, "batch": booking.batch_id },
    })))
}

async fn ask(
    app: Rc<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<RequestBody>,
) -> Result<Json<Value>> {
    let new = body.parse()?;
    let id = named(&app, &caller, &id).await?;
    let booking = app.ask(&caller, id, &new).await?;
    Ok(Json(json!({
        "message": format!("{} request created successfully", new.kind.as_str()),
        "booking": view::raw(&booking, false),
    })))
}

async fn answer(
    app: Rc<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<AnswerBody>,
) -> Result<Json<Value>> {
    caller.require(MANAGE_BOOKINGS)?;
    let given = body.parse()?;
    let id = named(&app, &caller, &id).await?;
    let (booking, moved) = app.answer(&caller, id, &given).await?;
    let message = match (given.approved, moved) {
        (true, true) => "Request approved successfully and booking shifted to preferred batch",
        (true, false) => "Request approved successfully",
        (false, _) => "Request rejected successfully",
    };
    Ok(Json(json!({ "message": message, "booking": view::raw(&booking, true) })))
}

async fn calculate_refund(
    app: Rc<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<CancelBody>,
) -> Result<Json<Value>> {
    let wanted = body.parse()?;
    let id = named(&app, &caller, &id).await?;
    let preview = app.refund_preview(&caller, id, &wanted.scope, wanted.choice).await?;
    Ok(Json(json!({
        "totalRefund": preview.total,
        "policyDescription": preview.tier.description,
        "policyColor": preview.tier.color,
        "daysUntilTrek": preview.days,
    })))
}

/// What was done with a booking, by whom, and how far it came.
async fn commands(app: Rc<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>> {
    caller.require_any(&STAFF_PERMISSIONS)?;
    let id = app.resolve(&id, true).await?;
    app.visible(&app.db, id).await?;
    let commands = store::command_list(&app.db, id).await?;
    let shown = commands.iter().map(|command| {
        json!({
            "_id": command.id,
            "kind": command.kind.as_str(),
            "state": command.state.as_str(),
            "actor": command.actor,
            "statusBefore": command.status_before,
            "statusAfter": command.status_after,
            "begunAt": command.begun_at,
            "endedAt": command.ended_at,
        })
    });
    Ok(Json(json!({ "commands": shown.collect::<Vec<_>>() })))
}

fn shown(trek_id: Id, policy: &RefundPolicy) -> Json<Value> {
    Json(json!({ "trek": trek_id, "policy": policy }))
}

async fn policy(app: Rc<App>, caller: Caller, Path(trek_id): Path<Id>) -> Result<Json<Value>> {
    caller.require_any(&STAFF_PERMISSIONS)?;
    Ok(shown(trek_id, &app.refund_policy(trek_id).await?))
}

async fn put_policy(
    app: Rc<App>,
    Admin(caller): Admin,
    Path(trek_id): Path<Id>,
    Json(body): Json<PolicyBody>,
) -> Result<Json<Value>> {
    let tiers = body.parse()?;
    Ok(shown(trek_id, &app.refund_policy_put(&caller, trek_id, &tiers).await?))
}
