//! Vouchers with which a booking is paid. Not of the contract: problems are told as
//! RFC 9457 says.

use std::rc::Rc;

use cairn_shared::{
    Error, Result,
    http::{Json, Path, Problem, Router},
    identity::Caller,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::view;
use crate::{
    app::App,
    domain::{Booking, payable},
};

/// Longest code that is looked at, in characters: codes have fewer.
pub(super) const CODE_CHARS_MAX: usize = 60;

pub fn routes(router: Router<App>) -> Router<App> {
    router.put("/api/bookings/{id}/voucher", put).delete("/api/bookings/{id}/voucher", remove)
}

#[derive(Deserialize)]
struct VoucherBody {
    code: Option<String>,
}

async fn put(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Path(id): Path<String>,
    Problem(Json(body)): Problem<Json<VoucherBody>>,
) -> Result<Json<Value>> {
    let code = body.code.unwrap_or_default().trim().to_owned();
    if code.is_empty() || code.chars().count() > CODE_CHARS_MAX {
        return Err(Error::bad_request("code has to be the code of a voucher").problem());
    }
    change(&app, &caller, &id, Some(&code)).await.map_err(Error::problem)
}

async fn remove(app: Rc<App>, Problem(caller): Problem<Caller>, Path(id): Path<String>) -> Result<Json<Value>> {
    change(&app, &caller, &id, None).await.map_err(Error::problem)
}

async fn change(app: &App, caller: &Caller, id: &str, code: Option<&str>) -> Result<Json<Value>> {
    let id = app.resolve(id, caller.is_admin()).await?;
    let changed = app.set_voucher(caller, id, code).await?;
    Ok(Json(json!({ "booking": view::raw(&changed, caller.is_admin()) })))
}

/// What is to be paid online now, and by which voucher the rest is.
pub(super) fn due(booking: &Booking) -> Option<Value> {
    let owed = payable(booking)?;
    let voucher = owed.tender.as_ref().map(|tender| json!({ "hint": tender.hint, "amount": tender.amount }));
    Some(json!({ "amount": owed.amount, "online": owed.online(), "voucher": voucher }))
}
