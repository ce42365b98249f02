//! What staff see of the money and do about it. Problems are told as RFC 9457 says.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Paise, Result, Timestamp,
    http::{Json, Path, Problem, Query, Router},
    identity::Admin,
    page::{PageInfo, PageQuery},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    app::App,
    domain::{OfflineMethod, Refund, RefundError, RefundStatus},
    store::{Balance, ListedRefund, Posted},
};

/// Refunds of a page where the request does not say.
const REFUNDS_PER_PAGE: u32 = 50;

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/payments/ledger/balances", balances)
        .get("/api/payments/ledger/bookings/{id}", entries)
        .get("/api/payments/refunds", refunds)
        .post("/api/payments/refunds/{id}/retry", retry)
        .post("/api/payments/refunds/{id}/pay-out", pay_out)
}

fn refund_error(error: RefundError) -> Error {
    let error = match error {
        RefundError::Invalid(problem) => Error::bad_request(problem),
        RefundError::Exceeds(left) => {
            Error::conflict(format!("Only {left} rupees of this payment can still be given back."))
        }
        RefundError::KeyReused => Error::conflict("This key names another refund."),
        RefundError::Unknown => Error::not_found("There is no such refund."),
        RefundError::State(RefundStatus::Processing) => {
            Error::conflict("This refund is on its way. Wait until the provider has answered.")
        }
        RefundError::State(RefundStatus::Success) => Error::conflict("This refund has arrived already."),
        RefundError::State(RefundStatus::Failed) => Error::conflict("This refund has failed."),
        RefundError::Other(other) => other,
    };
    error.problem()
}

#[derive(Deserialize)]
struct BalanceQuery {
    at: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BalanceView {
    account: &'static str,
    kind: String,
    meaning: String,
    debits: Paise,
    credits: Paise,
    /// What is there of an asset, owed of a liability, earned of an income.
    balance: Paise,
}

impl From<Balance> for BalanceView {
    fn from(balance: Balance) -> Self {
        let net = balance.debits - balance.credits;
        Self {
            account: balance.account.as_str(),
            balance: if balance.kind == "asset" { net } else { Paise::ZERO - net },
            kind: balance.kind,
            meaning: balance.meaning,
            debits: balance.debits,
            credits: balance.credits,
        }
    }
}

/// A day means its end in the business's zone.
fn instant(app: &App, text: Option<&str>) -> Result<Timestamp> {
    let Some(text) = text else { return Ok(app.env.now()) };
    let at: Timestamp = text
        .parse()
        .map_err(|cause| Error::bad_request(format!("at: {cause}. Give a day or an instant in ISO 8601.")).problem())?;
    let is_day = text.trim().len() == "2026-01-31".len();
    Ok(if is_day { app.env.zone.start_of_day(at).plus(cairn_shared::time::DAY - 1) } else { at })
}

async fn balances(
    app: Rc<App>,
    _: Problem<Admin>,
    Problem(Query(query)): Problem<Query<BalanceQuery>>,
) -> Result<Json<Value>> {
    let at = instant(&app, query.at.as_deref())?;
    let accounts = app.balances(at).await.map_err(Error::problem)?;
    let accounts: Vec<_> = accounts.into_iter().map(BalanceView::from).collect();
    Ok(Json(json!({ "at": at, "currency": crate::domain::CURRENCY, "accounts": accounts })))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntryView {
    id: String,
    at: Timestamp,
    debit: &'static str,
    credit: &'static str,
    amount: Paise,
    payment_id: Option<String>,
    refund_id: Option<Id>,
}

impl From<Posted> for EntryView {
    fn from(Posted { transfer, at }: Posted) -> Self {
        Self {
            id: transfer.id,
            at,
            debit: transfer.debit.as_str(),
            credit: transfer.credit.as_str(),
            amount: transfer.amount,
            payment_id: transfer.payment_id,
            refund_id: transfer.refund_id,
        }
    }
}

async fn entries(app: Rc<App>, _: Problem<Admin>, Problem(Path(booking_id)): Problem<Path<Id>>) -> Result<Json<Value>> {
    let entries = app.booking_entries(booking_id).await.map_err(Error::problem)?;
    let entries: Vec<_> = entries.into_iter().map(EntryView::from).collect();
    Ok(Json(json!({ "bookingId": booking_id, "currency": crate::domain::CURRENCY, "entries": entries })))
}

/// A refund as staff see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefundView {
    id: Id,
    key: Option<String>,
    booking_id: Option<Id>,
    payment_id: String,
    provider: &'static str,
    provider_refund_id: Option<String>,
    amount: Paise,
    status: RefundStatus,
    reason: String,
    attempts: i64,
    retries: i64,
    paid_out: Option<OfflineMethod>,
}

impl From<Refund> for RefundView {
    fn from(refund: Refund) -> Self {
        Self {
            id: refund.id,
            key: refund.request_key,
            booking_id: refund.booking_id,
            payment_id: refund.payment_id,
            provider: refund.provider.as_str(),
            provider_refund_id: refund.provider_id,
            amount: refund.amount,
            status: refund.status,
            reason: refund.reason,
            attempts: refund.attempts,
            retries: refund.retries,
            paid_out: refund.paid_out,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedView {
    #[serde(flatten)]
    refund: RefundView,
    /// Why the last attempt did not work.
    last_error: Option<String>,
    reference: Option<String>,
    requested_at: Timestamp,
    settled_at: Option<Timestamp>,
}

impl From<ListedRefund> for ListedView {
    fn from(listed: ListedRefund) -> Self {
        Self {
            refund: listed.refund.into(),
            last_error: listed.last_error,
            reference: listed.reference,
            requested_at: listed.requested_at,
            settled_at: listed.settled_at,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefundQuery {
    /// Failed where the request does not say.
    status: Option<String>,
    /// Those that staff have to pay out by hand.
    by_hand: Option<bool>,
    page: Option<u32>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct RefundPage {
    refunds: Vec<ListedView>,
    pagination: PageInfo,
}

async fn refunds(
    app: Rc<App>,
    _: Problem<Admin>,
    Problem(Query(query)): Problem<Query<RefundQuery>>,
) -> Result<Json<RefundPage>> {
    let status = RefundStatus::parse(query.status.as_deref().unwrap_or("failed"));
    let wrong = || Error::bad_request("status has to be processing, success or failed").problem();
    let status = status.ok_or_else(wrong)?;
    let page = PageQuery { page: query.page, limit: query.limit };
    let page = page.parse(REFUNDS_PER_PAGE).map_err(Error::problem)?;
    let listed = app.refund_page(status, query.by_hand.unwrap_or(false), page).await;
    let (refunds, total) = listed.map_err(Error::problem)?;
    Ok(Json(RefundPage { refunds: refunds.into_iter().map(Into::into).collect(), pagination: page.info(total) }))
}

async fn retry(app: Rc<App>, _: Problem<Admin>, Problem(Path(id)): Problem<Path<Id>>) -> Result<Json<RefundView>> {
    let refund = app.retry(id).await.map_err(refund_error)?;
    Ok(Json(refund.into()))
}

#[derive(Deserialize)]
struct PayOutBody {
    method: Option<String>,
    reference: Option<String>,
}

async fn pay_out(
    app: Rc<App>,
    Problem(Admin(caller)): Problem<Admin>,
    Problem(Path(id)): Problem<Path<Id>>,
    Problem(Json(body)): Problem<Json<PayOutBody>>,
) -> Result<Json<RefundView>> {
    let method = body.method.as_deref().and_then(OfflineMethod::parse);
    let wrong = || Error::bad_request("method has to be cash, bank transfer or offline").problem();
    let method = method.ok_or_else(wrong)?;
    let reference = body.reference.unwrap_or_default();
    let paid = app.pay_out(id, method, reference.trim(), caller.id).await.map_err(refund_error)?;
    Ok(Json(paid.into()))
}
