//! Seats that go to another person. Problems are told as RFC 9457 says.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Result,
    http::{Json, Path2, Problem, Router},
    identity::Caller,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{lifecycle::named, view};
use crate::{
    app::{App, MANAGE_BOOKINGS},
    domain::ParticipantInput,
};

pub fn routes(router: Router<App>) -> Router<App> {
    router.post("/api/bookings/{id}/participants/{participantId}/transfer", transfer)
}

/// Who comes instead; fields as in `PUT /api/bookings/{id}/participants`.
#[derive(Debug, Deserialize)]
struct TransferBody {
    participant: ParticipantInput,
}

async fn transfer(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Path2(id, participant)): Problem<Path2<String, Id>>,
    Problem(Json(body)): Problem<Json<TransferBody>>,
) -> Result<Json<Value>> {
    let id = named(&app, &caller, &id).await.map_err(Error::problem)?;
    let booking = app.transfer(&caller, id, participant, &body.participant).await;
    let booking = booking.map_err(|error| Error::from(error).problem())?;
    Ok(Json(json!({ "booking": view::raw(&booking, caller.may(MANAGE_BOOKINGS)) })))
}
