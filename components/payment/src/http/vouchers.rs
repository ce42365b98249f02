//! Vouchers: for who has a code, for owners, and for staff. Problems are told as RFC 9457
//! says. A code comes in a body, never in an address: addresses are logged.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Paise, Result, Timestamp,
    http::{Json, Path, Problem, Query, Response, Router},
    identity::{Admin, Caller},
    page::{PageInfo, PageQuery},
    time::DAY,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{given, staff::EntryView};
use crate::{
    app::{App, Goodwill, VOUCHERS_PATH},
    domain::{RefundError, VOUCHER_VALIDITY, Voucher, VoucherKind, VoucherState},
};

/// Vouchers of a page where the request does not say.
const VOUCHERS_PER_PAGE: u32 = 50;

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .post("/api/payments/vouchers/balance", balance)
        .get("/api/payments/vouchers/mine", mine)
        .get("/api/payments/vouchers", list)
        .post("/api/payments/vouchers", give)
        .get("/api/payments/vouchers/{id}", detail)
        .post("/api/payments/vouchers/{id}/void", void)
        .post(VOUCHERS_PATH, expire)
}

fn voucher_error(error: RefundError) -> Error {
    let error = match error {
        RefundError::Unknown => Error::not_found("There is no such voucher. Check the code and try again."),
        RefundError::Invalid(problem) => Error::bad_request(problem),
        RefundError::KeyReused => Error::conflict("This key names another voucher."),
        RefundError::Exceeds(_) | RefundError::State(_) => Error::internal(format!("{error:?}")),
        RefundError::Other(other) => other,
    };
    error.problem()
}

/// A voucher without its code.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VoucherView {
    kind: VoucherKind,
    state: VoucherState,
    /// The end of its code.
    hint: String,
    amount: Paise,
    /// Neither spent nor reserved.
    available: Paise,
    /// Reserved by bookings that are about to be paid.
    reserved: Paise,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

fn view(voucher: &Voucher, now: Timestamp) -> VoucherView {
    VoucherView {
        kind: voucher.kind,
        state: voucher.state(now),
        hint: voucher.code.hint(),
        amount: voucher.amount,
        available: voucher.available(),
        reserved: voucher.reserved,
        issued_at: voucher.issued_at,
        expires_at: voucher.expires_at,
    }
}

/// For its owner: with the code, since it is theirs to use.
#[derive(Serialize)]
struct OwnView {
    code: String,
    #[serde(flatten)]
    voucher: VoucherView,
}

/// For staff, who do not see codes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StaffView {
    id: Id,
    #[serde(flatten)]
    voucher: VoucherView,
    bonus: Paise,
    owner_id: Option<Id>,
    booking_id: Option<Id>,
    reason: String,
    issued_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    voided: Option<Value>,
}

fn staff_view(voucher: &Voucher, now: Timestamp) -> StaffView {
    let voided = voucher.voided.as_ref();
    StaffView {
        id: voucher.id,
        voucher: view(voucher, now),
        bonus: voucher.bonus,
        owner_id: voucher.owner_id,
        booking_id: voucher.booking_id,
        reason: voucher.reason.clone(),
        issued_by: voucher.issued_by.clone(),
        voided: voided.map(|voided| json!({ "at": voided.at, "by": voided.by, "reason": voided.reason })),
    }
}

#[derive(Deserialize)]
struct CodeBody {
    code: Option<String>,
}

async fn balance(app: Rc<App>, Problem(Json(body)): Problem<Json<CodeBody>>) -> Result<Json<VoucherView>> {
    let code = given(body.code).ok_or_else(|| Error::bad_request("code is required").problem())?;
    let voucher = app.voucher_of_code(&code).await.map_err(voucher_error)?;
    Ok(Json(view(&voucher, app.env.now())))
}

async fn mine(app: Rc<App>, Problem(caller): Problem<Caller>) -> Result<Response> {
    let (found, now) = (app.vouchers_of(caller.id).await.map_err(voucher_error)?, app.env.now());
    let own = |voucher: &Voucher| OwnView { code: voucher.code.grouped(), voucher: view(voucher, now) };
    let body = json!({ "vouchers": found.iter().map(own).collect::<Vec<_>>() });
    Ok(Response::json(200, &body).header("cache-control", "no-store"))
}

#[derive(Deserialize)]
struct ListQuery {
    state: Option<String>,
    page: Option<u32>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct VoucherPage {
    vouchers: Vec<StaffView>,
    pagination: PageInfo,
}

async fn list(
    app: Rc<App>,
    _: Problem<Admin>,
    Problem(Query(query)): Problem<Query<ListQuery>>,
) -> Result<Json<VoucherPage>> {
    let wrong = || Error::bad_request("state has to be valid, expired or void").problem();
    let state = match query.state.as_deref() {
        None => None,
        Some(text) => {
            let state = VoucherState::parse(text).filter(|state| *state != VoucherState::Spent);
            Some(state.ok_or_else(wrong)?)
        }
    };
    let page = PageQuery { page: query.page, limit: query.limit };
    let page = page.parse(VOUCHERS_PER_PAGE).map_err(Error::problem)?;
    let (found, total) = app.voucher_page(state, page).await.map_err(voucher_error)?;
    let now = app.env.now();
    let vouchers = found.iter().map(|voucher| staff_view(voucher, now)).collect();
    Ok(Json(VoucherPage { vouchers, pagination: page.info(total) }))
}

async fn detail(app: Rc<App>, _: Problem<Admin>, Problem(Path(id)): Problem<Path<Id>>) -> Result<Json<Value>> {
    let (voucher, entries) = app.voucher_detail(id).await.map_err(voucher_error)?;
    let entries: Vec<_> = entries.into_iter().map(EntryView::from).collect();
    Ok(Json(json!({ "voucher": staff_view(&voucher, app.env.now()), "entries": entries })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GiveBody {
    /// Names it, so that asking again after a crash gives it away once.
    key: Option<String>,
    /// Rupees.
    amount: Option<f64>,
    owner_id: Option<Id>,
    /// Days from now; a year where the request does not say.
    valid_days: Option<u32>,
    reason: Option<String>,
}

/// The answer has the code: whoever gives credit away has to pass it on.
async fn give(
    app: Rc<App>,
    Problem(Admin(caller)): Problem<Admin>,
    Problem(Json(body)): Problem<Json<GiveBody>>,
) -> Result<Response> {
    let wrong = || Error::bad_request("amount has to be an amount of rupees").problem();
    let validity = body.valid_days.map_or(VOUCHER_VALIDITY, |days| i64::from(days) * DAY);
    let name = given(body.key).map(|key| Id::derive(&["voucher", &caller.id.to_string(), &key]));
    let wanted = Goodwill {
        key: format!("goodwill/{}", name.unwrap_or_else(|| app.env.id())),
        amount: body.amount.and_then(Paise::from_rupees).ok_or_else(wrong)?,
        owner_id: body.owner_id,
        expires_at: app.env.now().plus(validity),
        reason: body.reason.unwrap_or_default().trim().to_owned(),
        actor: caller.id,
    };
    let voucher = app.give_away(&wanted).await.map_err(voucher_error)?;
    let body = json!({ "code": voucher.code.grouped(), "voucher": staff_view(&voucher, app.env.now()) });
    Ok(Response::json(201, &body).header("cache-control", "no-store"))
}

#[derive(Deserialize)]
struct VoidBody {
    reason: Option<String>,
}

async fn void(
    app: Rc<App>,
    Problem(Admin(caller)): Problem<Admin>,
    Problem(Path(id)): Problem<Path<Id>>,
    Problem(Json(body)): Problem<Json<VoidBody>>,
) -> Result<Json<StaffView>> {
    let reason = body.reason.unwrap_or_default();
    let voided = app.void_voucher(id, reason.trim(), caller.id).await.map_err(voucher_error)?;
    Ok(Json(staff_view(&voided, app.env.now())))
}

async fn expire(app: Rc<App>) -> Result<Json<Value>> {
    let over = app.expire_vouchers().await.map_err(voucher_error)?;
    Ok(Json(json!({ "vouchers": over })))
}
