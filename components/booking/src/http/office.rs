//! What admins note, set and have sent about a booking.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Result,
    http::{Json, Path, Router},
    identity::{Admin, Caller},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body, manual::ProofBody, view};
use crate::{
    app::{App, Letter, OfficeChange},
    domain::{PaidStatus, Status},
};

/// Longest remark, in characters.
const REMARK_CHARS_MAX: usize = 2_000;

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .put("/api/bookings/{id}/remarks", put_remarks)
        .put("/api/bookings/{id}/admin-status", put_admin_status)
        .put("/api/bookings/{id}/mark-partial-complete", mark_partial_complete)
        .post("/api/bookings/{id}/send-reminder", send_reminder)
        .post("/api/bookings/{id}/send-partial-reminder", send_partial_reminder)
        .post("/api/bookings/{id}/send-confirmation", send_confirmation)
        .post("/api/bookings/{id}/send-invoice", send_invoice)
        .post("/api/bookings/{id}/send-participant-reminder", send_participant_reminder)
}

/// The caller, who has to be an admin; the refusal is the endpoint's own.
fn admin<'c>(caller: &'c Caller, message: &str) -> Result<&'c Caller> {
    if caller.is_admin() { Ok(caller) } else { Err(Error::forbidden(message)) }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RemarksBody {
    admin_remarks: Value,
}

fn remark(value: &Value) -> Result<String> {
    let text = body::text(value);
    if text.chars().count() > REMARK_CHARS_MAX {
        return Err(Error::bad_request(format!("A remark may have at most {REMARK_CHARS_MAX} characters")));
    }
    Ok(text)
}

async fn put_remarks(
    app: Rc<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<RemarksBody>,
) -> Result<Json<Value>> {
    let staff = admin(&caller, "Only admins can update remarks")?;
    let text = remark(&body.admin_remarks)?;
    let id = app.resolve(&id, true).await?;
    let booking = app.add_remark(staff, id, &text).await?;
    let history = booking.remarks.iter().map(|remark| {
        json!({
            "_id": remark.id,
            "remarks": remark.remarks,
            "addedBy": remark.added_by,
            "addedByUsername": remark.added_by_username,
            "addedAt": remark.added_at,
        })
    });
    Ok(Json(json!({
        "message": "Admin remarks updated successfully",
        "booking": {
            "_id": booking.id,
            "adminRemarks": booking.admin_remarks,
            "remarksHistory": history.collect::<Vec<_>>(),
        },
    })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AdminStatusBody {
    status: Value,
    payment_status: Value,
    admin_remarks: Value,
    #[serde(flatten)]
    proof: ProofBody,
}

impl AdminStatusBody {
    fn parse(self) -> Result<OfficeChange> {
        let given = |value: &Value| Some(body::text(value)).filter(|text| !text.is_empty());
        let status = given(&self.status).map(|text| Status::parse(&text).filter(|status| status.is_public()));
        let paid = given(&self.payment_status).map(|text| PaidStatus::parse(&text));
        if status == Some(None) {
            return Err(Error::bad_request("Invalid status"));
        }
        if paid == Some(None) {
            return Err(Error::bad_request("Invalid payment status"));
        }
        Ok(OfficeChange {
            status: status.flatten(),
            paid: paid.flatten(),
            remarks: Some(remark(&self.admin_remarks)?).filter(|text| !text.is_empty()),
            proof: self.proof.parse()?,
        })
    }
}

async fn put_admin_status(
    app: Rc<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<AdminStatusBody>,
) -> Result<Json<Value>> {
    let staff = admin(&caller, "Not authorized to update admin-created booking status")?;
    let id = app.resolve(&id, true).await?;
    let booking = app.office_change(staff, id, &body.parse()?).await?;
    let mut object = view::raw(&booking, true);
    object["user"] = view::user(&booking);
    object["trek"] = json!({ "_id": booking.trek_id, "name": booking.trek_name });
    Ok(Json(json!({ "message": "Admin-created booking updated successfully", "booking": object })))
}

/// `paymentMethod` and `paymentReference` are additions to the contract.
async fn mark_partial_complete(
    app: Rc<App>,
    Admin(staff): Admin,
    Path(id): Path<String>,
    Json(body): Json<ProofBody>,
) -> Result<Json<Value>> {
    let proof = body.parse()?;
    let id = app.resolve(&id, true).await?;
    let booking = app.complete_partial(&staff, id, proof).await?;
    Ok(Json(json!({
        "message": "Partial payment marked as complete successfully",
        "booking": view::raw(&booking, true),
    })))
}

async fn send(app: &App, id: &str, letter: Letter, message: &str) -> Result<Json<Value>> {
    let id: Id = app.resolve(id, true).await?;
    app.send_letter(id, letter).await?;
    Ok(Json(json!({ "message": message })))
}

async fn send_reminder(app: Rc<App>, Admin(_): Admin, Path(id): Path<String>) -> Result<Json<Value>> {
    send(&app, &id, Letter::TripReminder, "Reminder email sent successfully").await
}

async fn send_partial_reminder(app: Rc<App>, Admin(_): Admin, Path(id): Path<String>) -> Result<Json<Value>> {
    let message = "Partial payment reminder sent successfully";
    let Json(mut answer) = send(&app, &id, Letter::BalanceReminder, message).await?;
    answer["emailSent"] = json!(true);
    Ok(Json(answer))
}

async fn send_confirmation(app: Rc<App>, Admin(_): Admin, Path(id): Path<String>) -> Result<Json<Value>> {
    send(&app, &id, Letter::Confirmation, "Confirmation email sent successfully").await
}

async fn send_invoice(app: Rc<App>, Admin(_): Admin, Path(id): Path<String>) -> Result<Json<Value>> {
    send(&app, &id, Letter::Invoice, "Invoice email sent successfully").await
}

async fn send_participant_reminder(app: Rc<App>, Admin(_): Admin, Path(id): Path<String>) -> Result<Json<Value>> {
    send(&app, &id, Letter::DetailsReminder, "Participant details reminder sent successfully").await
}
