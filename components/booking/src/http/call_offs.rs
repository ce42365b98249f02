//! Batches that are called off. Not of the contract: problems are told as RFC 9457 says.

use std::rc::Rc;

use cairn_shared::{
    BasisPoints, Error, Id, Paise, Result,
    http::{Body, Header, Json, Path, Problem, Response, Router},
    identity::{Admin, Caller},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{choice_page, page::private, run, view};
use crate::{
    app::{Actor, App, BookingError, CALL_OFFS_PATH, Chosen, MANAGE_BOOKINGS, NewCallOff, Options, Progress},
    domain::{Booking, CallOff, CalledOff, Who, worth},
};

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .post("/api/bookings/call-offs/preview", preview)
        .post("/api/bookings/call-offs", begin)
        .get("/api/bookings/call-offs", list)
        .get("/api/bookings/call-offs/{id}", progress)
        .get("/api/bookings/call-offs/choice/{token}", choice_of_link)
        .post("/api/bookings/call-offs/choice/{token}", choose_by_link)
        .get("/api/bookings/{id}/call-off", choice)
        .post("/api/bookings/{id}/call-off", choose)
        .post(CALL_OFFS_PATH, async |app: Rc<App>| run(app.call_offs_run().await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallOffBody {
    batch_id: Option<String>,
    reason: Option<String>,
    /// Percent on top of a voucher.
    bonus_percent: Option<f64>,
    /// Days in which owners choose.
    days: Option<u32>,
}

impl CallOffBody {
    fn bonus(&self) -> Result<BasisPoints> {
        let percent = self.bonus_percent.unwrap_or_default();
        let wrong = || Error::bad_request("bonusPercent has to be from 0 to 100");
        if (0.0..=100.0).contains(&percent) { Ok(BasisPoints((percent * 100.0).round() as i64)) } else { Err(wrong()) }
    }

    fn batch_id(&self) -> Result<Id> {
        let given = self.batch_id.as_deref().unwrap_or_default().trim();
        given.parse().map_err(|_| Error::bad_request("batchId has to be the id of a batch"))
    }
}

async fn preview(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Json(body)): Problem<Json<CallOffBody>>,
) -> Result<Json<Value>> {
    let found = async {
        caller.require(MANAGE_BOOKINGS)?;
        let (batch, options) = app.call_off_preview(body.batch_id()?, body.bonus()?).await?;
        let bookings: Vec<_> = options.iter().map(|options| with_options(options, true)).collect();
        let refunds: Paise = options.iter().map(|options| options.worth.refund).sum();
        let vouchers: Paise = options.iter().map(|options| options.worth.voucher).sum();
        Ok(json!({ "batch": view::batch(&batch), "bookings": bookings,
            "totals": { "bookings": options.len(), "refund": refunds, "voucher": vouchers } }))
    };
    found.await.map(Json).map_err(|error: Error| error.problem())
}

async fn begin(
    app: Rc<App>,
    Problem(Admin(caller)): Problem<Admin>,
    Problem(Json(body)): Problem<Json<CallOffBody>>,
) -> Result<Json<Value>> {
    let begun = async {
        let reason = body.reason.as_deref().unwrap_or_default().trim().to_owned();
        let new = NewCallOff { batch_id: body.batch_id()?, reason, bonus: body.bonus()?, days: body.days };
        Ok(shown(&app.call_off_begin(&caller, &new).await?))
    };
    begun.await.map(Json).map_err(|error: Error| error.problem())
}

async fn list(app: Rc<App>, Problem(caller): Problem<Caller>) -> Result<Json<Value>> {
    let found = async {
        caller.require(MANAGE_BOOKINGS)?;
        let listed = app.call_offs().await?;
        Ok(json!({ "callOffs": listed.iter().map(call_off).collect::<Vec<_>>() }))
    };
    found.await.map(Json).map_err(|error: Error| error.problem())
}

async fn progress(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Path(id)): Problem<Path<Id>>,
) -> Result<Json<Value>> {
    let found = async {
        caller.require(MANAGE_BOOKINGS)?;
        Ok(shown(&app.call_off_progress(id).await?))
    };
    found.await.map(Json).map_err(|error: Error| error.problem())
}

fn call_off(off: &CallOff) -> Value {
    json!({
        "id": off.id,
        "batch": off.batch_id,
        "trek": off.trek_id,
        "reason": off.reason,
        "bonusPercent": off.bonus,
        "deadline": off.deadline,
        "startedBy": off.actor,
        "startedAt": off.created_at,
        "closedAt": off.closed_at,
        "finishedAt": off.finished_at,
    })
}

fn shown(progress: &Progress) -> Value {
    let count = |state: &str| progress.bookings.iter().filter(|b| state_of(b) == state).count();
    let mut counts = json!({ "left": progress.left.len() });
    for state in ["waiting", "nothing", "voucher", "batch", "refund"] {
        counts[state] = json!(count(state));
    }
    let bookings = progress.bookings.iter().chain(&progress.left).map(|booking| {
        let money = worth(booking, progress.call_off.bonus);
        let mut object = brief(booking);
        object["state"] = json!(state_of(booking));
        object["kept"] = json!(money.refund);
        object["refundStatus"] = json!(booking.refund_status);
        object["refundAmount"] = json!(booking.refund_amount);
        object
    });
    json!({ "callOff": call_off(&progress.call_off), "counts": counts, "bookings": bookings.collect::<Vec<_>>() })
}

fn state_of(booking: &Booking) -> &'static str {
    booking.call_off_state().map_or("left", |(_, state)| state)
}

fn brief(booking: &Booking) -> Value {
    json!({
        "_id": booking.id,
        "bookingId": booking.code(),
        "status": booking.status,
        "batch": booking.batch_id,
        "seats": booking.seats(),
        "contact": booking.contact,
        "amountPaid": booking.paid,
    })
}

/// What a booking's owner can choose from; to staff with who it is.
fn with_options(options: &Options, staff: bool) -> Value {
    let booking = &options.booking;
    let batches = options.batches.iter().map(|(batch, less)| {
        json!({ "_id": batch.id, "startDate": batch.start, "endDate": batch.end, "price": batch.price,
            "availableSpots": batch.free(), "costsLess": less })
    });
    let mut object = json!({
        "_id": booking.id,
        "bookingId": booking.code(),
        "trekName": booking.trek_name,
        "startDate": booking.batch_start,
        "refund": options.worth.refund,
        "voucher": options.worth.voucher,
        "batches": batches.collect::<Vec<_>>(),
    });
    if staff {
        if let (Value::Object(object), Value::Object(more)) = (&mut object, brief(booking)) {
            object.extend(more);
        }
    }
    if let Some(off) = &booking.called_off {
        object["callOff"] = told(booking, off);
    }
    object
}

fn told(booking: &Booking, off: &CalledOff) -> Value {
    json!({ "reason": off.reason, "deadline": off.deadline, "choice": off.choice, "chosenAt": off.chosen_at,
        "awaitsChoice": booking.awaits_choice() })
}

/// What a booking's owner sees of the call-off of its batch.
pub(super) fn of(booking: &Booking) -> Option<Value> {
    booking.called_off.as_ref().map(|off| told(booking, off))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChoiceBody {
    choice: Option<String>,
    batch_id: Option<String>,
}

fn chosen(choice: &str, batch_id: Option<&str>) -> Result<Chosen> {
    match choice {
        "voucher" => Ok(Chosen::Voucher),
        "refund" => Ok(Chosen::Refund),
        "batch" => {
            let id = batch_id.unwrap_or_default().trim().parse();
            id.map(Chosen::Batch).map_err(|_| Error::bad_request("batchId has to be the id of a batch"))
        }
        _ => Err(Error::bad_request("choice has to be voucher, batch or refund")),
    }
}

/// Owners and staff who are logged in. Others do not learn whether there is such a booking.
async fn theirs(app: &App, caller: &Caller, id: &str) -> Result<(Id, Actor)> {
    let staff = caller.may(MANAGE_BOOKINGS);
    let id = app.resolve(id, staff).await?;
    let booking = app.visible(&app.db, id).await?;
    let is_owner = booking.user.id == caller.id;
    if !is_owner && !staff {
        return Err(BookingError::NotFound.into());
    }
    Ok((id, Actor::of(caller, if staff { Who::Staff } else { Who::Owner })))
}

async fn choice(app: Rc<App>, Problem(caller): Problem<Caller>, Path(id): Path<String>) -> Result<Json<Value>> {
    let found = async {
        let (id, actor) = theirs(&app, &caller, &id).await?;
        Ok(with_options(&app.choice_options(id).await?, actor.who != Who::Owner))
    };
    found.await.map(Json).map_err(|error: Error| error.problem())
}

async fn choose(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Path(id): Path<String>,
    Problem(Json(body)): Problem<Json<ChoiceBody>>,
) -> Result<Json<Value>> {
    let done = async {
        let (id, actor) = theirs(&app, &caller, &id).await?;
        let chosen = chosen(body.choice.as_deref().unwrap_or_default(), body.batch_id.as_deref())?;
        let booking = app.choose(actor, id, chosen).await?;
        Ok(json!({ "booking": view::raw(&booking, actor.who != Who::Owner) }))
    };
    done.await.map(Json).map_err(|error: Error| error.problem())
}

/// Whoever has the link acts for the owner, and is nobody that we know.
const BY_LINK: Actor = Actor { id: None, who: Who::Owner };

pub(super) fn wants_page(headers: &Header) -> bool {
    headers.get("accept").is_some_and(|accept| accept.contains("text/html"))
}

async fn choice_of_link(app: Rc<App>, Path(token): Path<String>, headers: Header) -> Result<Response> {
    let found = async {
        let id = app.call_off_booking_of_link(&token).await?;
        app.choice_options(id).await.map_err(Error::from)
    };
    let page = wants_page(&headers);
    let answer = match found.await {
        Ok(options) if page => choice_page::options(&options, app.env.zone),
        Ok(options) => Response::json(200, &with_options(&options, false)),
        Err(error) if page => choice_page::problem(&error),
        Err(error) => return Err(error.problem()),
    };
    Ok(private(answer))
}

/// A form of the page, or JSON.
async fn choose_by_link(app: Rc<App>, Path(token): Path<String>, headers: Header, body: Body) -> Result<Response> {
    let page = wants_page(&headers);
    let done = async {
        let id = app.call_off_booking_of_link(&token).await?;
        let chosen = match choice_page::form(&body.0) {
            Some((choice, batch)) => chosen(choice, batch)?,
            None => {
                let wrong = |error| Error::bad_request(format!("This is no choice: {error}"));
                let body: ChoiceBody = serde_json::from_slice(&body.0).map_err(wrong)?;
                chosen(body.choice.as_deref().unwrap_or_default(), body.batch_id.as_deref())?
            }
        };
        Ok(app.choose(BY_LINK, id, chosen).await?)
    };
    let answer = match done.await {
        Ok(booking) if page => choice_page::done(&booking, app.env.zone),
        Ok(booking) => Response::json(200, &json!({ "callOff": of(&booking) })),
        Err(error) if page => choice_page::problem(&error),
        Err(error) => return Err(error.problem()),
    };
    Ok(private(answer))
}
