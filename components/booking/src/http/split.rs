//! Prices that several people pay. Not of the contract: problems are told as RFC 9457 says.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Result,
    http::{Header, Json, Path, Path2, Problem, Response, Router},
    identity::Caller,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    call_offs::wants_page,
    page::private,
    share_page::{self, SCRIPT, SCRIPT_PATH},
    view,
};
use crate::{
    app::{App, MANAGE_BOOKINGS, Shared},
    domain::{Booking, NewShare, NewSplit, Share, ShareState},
};

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/bookings/{id}/split", shared)
        .put("/api/bookings/{id}/split", split)
        .delete("/api/bookings/{id}/split", unsplit)
        .put("/api/bookings/{id}/split/{share}", readdress)
        .get(SCRIPT_PATH, script)
        .get("/api/bookings/split/{token}", share)
}

#[derive(Deserialize)]
struct SplitBody {
    /// Until others have to have paid.
    hours: Option<u32>,
    shares: Option<Vec<ShareBody>>,
}

#[derive(Deserialize)]
struct ShareBody {
    participants: Vec<Id>,
    name: Option<String>,
    email: Option<String>,
}

async fn owned(app: &App, caller: &Caller, id: &str) -> Result<Id> {
    Ok(app.resolve(id, caller.may(MANAGE_BOOKINGS)).await?)
}

async fn split(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Path(id): Path<String>,
    Problem(Json(body)): Problem<Json<SplitBody>>,
) -> Result<Json<Value>> {
    let share = |body: ShareBody| NewShare { participants: body.participants, name: body.name, email: body.email };
    let shares = body.shares.map(|shares| shares.into_iter().map(share).collect());
    let new = NewSplit { hours: body.hours, shares };
    let done = async { Ok(told(&app, &app.split(&caller, owned(&app, &caller, &id).await?, &new).await?)) };
    done.await.map(Json).map_err(|error: Error| error.problem())
}

async fn unsplit(app: Rc<App>, Problem(caller): Problem<Caller>, Path(id): Path<String>) -> Result<Json<Value>> {
    let done = async {
        let booking = app.unsplit(&caller, owned(&app, &caller, &id).await?).await?;
        Ok(json!({ "booking": view::raw(&booking, caller.may(MANAGE_BOOKINGS)) }))
    };
    done.await.map(Json).map_err(|error: Error| error.problem())
}

async fn shared(app: Rc<App>, Problem(caller): Problem<Caller>, Path(id): Path<String>) -> Result<Json<Value>> {
    let done = async { Ok(told(&app, &app.shared(&caller, owned(&app, &caller, &id).await?).await?)) };
    done.await.map(Json).map_err(|error: Error| error.problem())
}

#[derive(Deserialize)]
struct PayerBody {
    name: Option<String>,
    email: Option<String>,
}

async fn readdress(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Path2(id, share)): Problem<Path2<String, Id>>,
    Problem(Json(body)): Problem<Json<PayerBody>>,
) -> Result<Json<Value>> {
    let done = async {
        let id = owned(&app, &caller, &id).await?;
        let (name, email) = (body.name.unwrap_or_default(), body.email.unwrap_or_default());
        Ok(told(&app, &app.readdress(&caller, id, share, &name, &email).await?))
    };
    done.await.map(Json).map_err(|error: Error| error.problem())
}

/// What its owner and staff see. Links only its owner gets.
fn told(app: &App, shared: &Shared) -> Value {
    let booking = &shared.booking;
    let Some(split) = &booking.split else { return Value::Null };
    let shares = split.shares.iter().map(|share| {
        let mut object = brief(booking, share);
        object["email"] = json!(share.email);
        object["participants"] = json!(share.participants);
        if let Some(secret) = &shared.secret {
            object["link"] = json!(app.link(booking.id, share.id, secret));
        }
        object
    });
    json!({
        "deadline": split.deadline,
        "total": booking.agreed_total(),
        "own": booking.partial.as_ref().map(|partial| partial.initial),
        "remaining": booking.partial.as_ref().map(|partial| partial.remaining),
        "paid": booking.paid,
        "status": booking.status,
        "shares": shares.collect::<Vec<_>>(),
    })
}

fn brief(booking: &Booking, share: &Share) -> Value {
    let state = booking.share_state(share.id).unwrap_or(ShareState::Closed);
    let amount = share.payment.as_ref().map_or_else(|| booking.price_for(&share.participants), |paid| paid.amount);
    json!({ "id": share.id, "name": share.name, "amount": amount, "state": state.as_str(),
        "paidAt": share.payment.as_ref().map(|paid| paid.at) })
}

/// What whoever has the link sees: no addresses, no price but their own.
async fn share(app: Rc<App>, Path(token): Path<String>, headers: Header) -> Result<Response> {
    let page = wants_page(&headers);
    let answer = match app.share_of_link(&token).await.map_err(Error::from) {
        Ok((booking, share)) if page => share_page::share(&booking, &share, &token, app.env.zone),
        Ok((booking, share)) => seen(&booking, &share),
        Err(error) if page => share_page::problem(&error),
        Err(error) => return Err(error.problem()),
    };
    Ok(private(answer))
}

fn seen(booking: &Booking, share: &Share) -> Response {
    let people = booking.participants.iter().filter(|participant| share.participants.contains(&participant.id));
    let mut object = brief(booking, share);
    object["for"] = json!(people.map(|participant| &participant.name).collect::<Vec<_>>());
    object["bookedBy"] = json!(booking.contact.name);
    object["trekName"] = json!(booking.trek_name);
    object["startDate"] = json!(booking.batch_start);
    object["endDate"] = json!(booking.batch_end);
    object["deadline"] = json!(booking.split.as_ref().map(|split| split.deadline));
    Response::json(200, &object)
}

async fn script(_: Rc<App>) -> Result<Response> {
    Ok(Response::text(200, "text/javascript; charset=utf-8", SCRIPT.to_owned()).header("cache-control", "max-age=3600"))
}
