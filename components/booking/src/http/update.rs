//! Changing a booking: by its owner, and by admins.

use std::rc::Rc;

use cairn_shared::{
    Error, Paise, Result,
    http::{Json, Path, Router},
    identity::Caller,
    validate::Email,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body, manual::TOTAL_MAX, view};
use crate::{
    app::{App, BookingError, Update},
    domain::{CreateError, ParticipantInput, Refusal, Resale, Status},
};

pub fn routes(router: Router<App>) -> Router<App> {
    router.put("/api/bookings/{id}", put)
}

/// What clients send, by both names where there are two.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateBody {
    user_details: Value,
    contact_info: Value,
    emergency_contact: Value,
    special_requirements: Option<String>,
    additional_requests: Option<String>,
    participant_details: Option<Vec<ParticipantInput>>,
    participants: Value,
    number_of_participants: Value,
    batch: Value,
    batch_id: Value,
    add_ons: Option<Vec<Value>>,
    total_price: Value,
    status: Value,
}

fn given(value: &Value) -> Option<String> {
    Some(body::text(value)).filter(|text| !text.is_empty())
}

impl UpdateBody {
    /// What only staff may change is not even looked at for others.
    fn parse(self, staff: bool) -> Result<Update> {
        let details = if self.user_details.is_object() { &self.user_details } else { &self.contact_info };
        let [name, email, phone] = ["name", "email", "phone"].map(|field| given(&details[field]));
        if [&name, &phone].into_iter().flatten().any(|text| text.chars().count() > body::TEXT_CHARS_MAX) {
            let message = format!("A name or phone number may have at most {} characters", body::TEXT_CHARS_MAX);
            return Err(Error::bad_request(message));
        }
        let email = email.map(|email| Email::parse(&email).map_err(Error::bad_request)).transpose()?;
        let mut update = Update {
            name,
            email,
            phone,
            emergency: body::emergency(&self.emergency_contact),
            special_requirements: self.special_requirements.as_deref().map(body::requests),
            additional_requests: self.additional_requests.as_deref().map(body::requests),
            participants: self.participant_details,
            ..Update::default()
        };
        if staff {
            // The batch window sends whole objects back.
            let id_of = |value: &Value| given(value).or_else(|| given(&value["_id"]));
            let batch = id_of(&self.batch_id).or_else(|| id_of(&self.batch));
            let no_batch = || Error::from(BookingError::Refused(Refusal::NewBatchNotFound));
            update.batch = batch.map(|id| id.parse().map_err(|_| no_batch())).transpose()?;
            let counts = [&self.number_of_participants, &self.participants];
            let count = counts.into_iter().find(|value| value.is_number() || value.is_string());
            let add_ons = self.add_ons.map(|lines| lines.iter().map(|line| body::text(&line["name"])).collect());
            update.resale =
                Resale { count: count.map(body::count).transpose()?, add_ons, total: body::amount(&self.total_price) };
            if update.resale.total.is_some_and(|total| total <= Paise::ZERO || total > TOTAL_MAX) {
                return Err(Error::bad_request(format!("totalPrice has to be more than 0 and at most {TOTAL_MAX}")));
            }
            let status = given(&self.status).map(|text| Status::parse(&text).filter(|status| status.is_public()));
            update.status = status.map(|status| status.ok_or(BookingError::InvalidStatus)).transpose()?;
        }
        Ok(update)
    }
}

async fn put(
    app: Rc<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<UpdateBody>,
) -> Result<Json<Value>> {
    let id = app.resolve(&id, caller.is_admin()).await?;
    let booking = app.update(&caller, id, &body.parse(caller.is_admin())?).await.map_err(|error| match error {
        BookingError::Refused(Refusal::NewBatchNotFound | Refusal::ForeignBatch) => {
            Error::bad_request("Batch is not part of the selected trek.")
        }
        BookingError::Sale(CreateError::SoldOut) => Error::bad_request("Not enough spots available in this batch"),
        error => error.into(),
    })?;
    let batch = app.batch_of(&booking).await;
    let mut object = view::with_names(&booking, caller.is_admin());
    object["participants"] = json!(booking.count());
    object["batch"] = batch.as_ref().map_or(json!(booking.batch_id), view::batch);
    Ok(Json(json!({ "message": "Booking updated successfully", "booking": object })))
}
