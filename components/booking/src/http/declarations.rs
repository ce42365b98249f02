//! Declarations of health and fitness. Problems are told as RFC 9457 says.

use std::{collections::BTreeMap, rc::Rc};

use cairn_shared::{
    Error, Id, Result,
    http::{Json, Path, Path2, Problem, Query, Router},
    identity::{Admin, Caller},
    page::PageQuery,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::lifecycle::named;
use crate::{
    app::{App, BookingError, Declared, MANAGE_BOOKINGS, STAFF_PERMISSIONS, Verdict},
    domain::{DeclarationForm, DeclarationState, Participant, Question},
    store::Declaration,
};

/// Declarations on a page where the request does not say.
const PAGE_DECLARATIONS: u32 = 50;

/// Longest note of staff, in characters.
const NOTE_CHARS_MAX: usize = 1_000;

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/bookings/declaration-forms/{trekId}", form)
        .put("/api/bookings/declaration-forms/{trekId}", put_form)
        .get("/api/bookings/declarations", waiting)
        .get("/api/bookings/{id}/declarations", declarations)
        .put("/api/bookings/{id}/declarations/{participantId}", declare)
        .put("/api/bookings/{id}/declarations/{participantId}/decision", decide)
}

fn problem(error: BookingError) -> Error {
    Error::from(error).problem()
}

fn form_view(trek_id: Id, form: Option<&DeclarationForm>) -> Json<Value> {
    Json(json!({ "trek": trek_id, "form": form }))
}

async fn form(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Path(trek_id)): Problem<Path<Id>>,
) -> Result<Json<Value>> {
    caller.require_any(&STAFF_PERMISSIONS).map_err(Error::problem)?;
    let form = app.declaration_form(trek_id).await.map_err(problem)?;
    Ok(form_view(trek_id, form.as_ref()))
}

#[derive(Debug, Deserialize)]
struct FormBody {
    /// None of them: nothing is asked any more.
    questions: Vec<Question>,
}

async fn put_form(
    app: Rc<App>,
    Problem(Admin(caller)): Problem<Admin>,
    Problem(Path(trek_id)): Problem<Path<Id>>,
    Problem(Json(body)): Problem<Json<FormBody>>,
) -> Result<Json<Value>> {
    DeclarationForm::check(&body.questions).map_err(|wrong| Error::bad_request(wrong).problem())?;
    let form = app.declaration_form_put(&caller, trek_id, &body.questions).await.map_err(problem)?;
    Ok(form_view(trek_id, Some(&form)))
}

#[derive(Debug, Deserialize)]
struct WaitingQuery {
    /// Submitted where the request does not say.
    state: Option<String>,
    page: Option<u32>,
    limit: Option<u32>,
}

/// Whose declarations are in a state; what they say is with the booking.
async fn waiting(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Query(query)): Problem<Query<WaitingQuery>>,
) -> Result<Json<Value>> {
    caller.require(MANAGE_BOOKINGS).map_err(Error::problem)?;
    let state = query.state.as_deref().map_or(Some(DeclarationState::Submitted), DeclarationState::parse);
    let state = state.ok_or_else(|| state_problem("state", &DeclarationState::ALL))?;
    let page = PageQuery { page: query.page, limit: query.limit };
    let page = page.parse(PAGE_DECLARATIONS).map_err(Error::problem)?;
    let (found, total) = app.declaration_page(state, page).await.map_err(problem)?;
    let shown = found.iter().map(|declaration| {
        json!({
            "_id": declaration.id,
            "booking": declaration.booking_id,
            "participant": declaration.participant_id,
            "name": declaration.name,
            "state": declaration.state,
            "submittedAt": declaration.submitted_at,
            "decidedAt": declaration.decided_at,
        })
    });
    Ok(Json(json!({ "declarations": shown.collect::<Vec<_>>(), "pagination": page.info(total) })))
}

fn state_problem(field: &str, states: &[DeclarationState]) -> Error {
    let states = states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
    Error::bad_request(format!("{field} has to be one of {states}")).problem()
}

fn view((booking, declared): &Declared) -> Json<Value> {
    let person = |participant: &Participant| {
        let declaration = declared.get(&participant.id).filter(|declared| declared.name == participant.name);
        json!({
            "participant": participant.id,
            "name": participant.name,
            "state": declaration.map_or("missing", |declaration| declaration.state.as_str()),
            "declaration": declaration.map(declaration_view),
        })
    };
    let coming = booking.participants.iter().filter(|participant| !participant.is_cancelled);
    Json(json!({
        "booking": booking.id,
        "status": booking.status,
        "form": booking.clearance.as_ref().map(|clearance| &clearance.form),
        "isCleared": booking.is_cleared(),
        "participants": coming.map(person).collect::<Vec<_>>(),
    }))
}

fn declaration_view(declaration: &Declaration) -> Value {
    json!({
        "_id": declaration.id,
        "formVersion": declaration.form_version,
        "answers": declaration.answers,
        "submittedBy": declaration.submitted_by,
        "submittedAt": declaration.submitted_at,
        "decidedBy": declaration.decided_by,
        "decidedAt": declaration.decided_at,
        "note": declaration.note,
    })
}

async fn declarations(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Path(id)): Problem<Path<String>>,
) -> Result<Json<Value>> {
    let id = named(&app, &caller, &id).await.map_err(Error::problem)?;
    Ok(view(&app.declarations(&caller, id).await.map_err(problem)?))
}

#[derive(Debug, Deserialize)]
struct DeclareBody {
    answers: BTreeMap<String, Value>,
}

async fn declare(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Path2(id, participant)): Problem<Path2<String, Id>>,
    Problem(Json(body)): Problem<Json<DeclareBody>>,
) -> Result<Json<Value>> {
    let id = named(&app, &caller, &id).await.map_err(Error::problem)?;
    Ok(view(&app.declare(&caller, id, participant, &body.answers).await.map_err(problem)?))
}

#[derive(Debug, Deserialize)]
struct DecisionBody {
    /// The declaration that was read.
    declaration: Id,
    decision: String,
    #[serde(default)]
    note: String,
}

impl DecisionBody {
    fn parse(self) -> Result<Verdict> {
        const DECISIONS: [DeclarationState; 3] =
            [DeclarationState::Approved, DeclarationState::AskedAgain, DeclarationState::Refused];
        let state = DECISIONS.into_iter().find(|state| state.as_str() == self.decision);
        let state = state.ok_or_else(|| state_problem("decision", &DECISIONS))?;
        if self.note.chars().count() > NOTE_CHARS_MAX {
            return Err(Error::bad_request(format!("note may have at most {NOTE_CHARS_MAX} characters")).problem());
        }
        Ok(Verdict { declaration: self.declaration, state, note: self.note.trim().to_owned() })
    }
}

async fn decide(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Path2(id, participant)): Problem<Path2<String, Id>>,
    Problem(Json(body)): Problem<Json<DecisionBody>>,
) -> Result<Json<Value>> {
    caller.require(MANAGE_BOOKINGS).map_err(Error::problem)?;
    let verdict = body.parse()?;
    let id = named(&app, &caller, &id).await.map_err(Error::problem)?;
    Ok(view(&app.decide(&caller, id, participant, &verdict).await.map_err(problem)?))
}
