//! Shares of a balance, for whoever has the link to one: nobody has to log in. Not of the
//! contract: problems are told as RFC 9457 says.

use std::rc::Rc;

use cairn_shared::{
    Error, Result,
    http::{Json, Problem, Router},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    given,
    payments::{VerifyBody, error, verified_view},
};
use crate::{
    app::{App, Payer},
    domain::PaymentError,
};

pub fn routes(router: Router<App>) -> Router<App> {
    router.post("/api/payments/shares/order", order).post("/api/payments/shares/verify", verify)
}

/// The last part of the link's address.
#[derive(Deserialize)]
struct ShareKey {
    token: Option<String>,
}

/// As other payments, in words that fit somebody who owns no booking.
fn refused(app: &App, failed: &'static str, cause: PaymentError) -> Error {
    let told = match cause {
        PaymentError::UnknownBooking => Error::not_found("This link is not valid, or has been replaced by another one"),
        PaymentError::NothingRemaining => Error::conflict("This share has been paid already"),
        PaymentError::NotAwaitingPayment => Error::conflict("This share is not to be paid any more"),
        PaymentError::SessionExpired => {
            Error::conflict("The time to pay this share is over. Please ask whoever sent you the link.")
        }
        PaymentError::NotOwner => Error::forbidden("This payment is not for this share"),
        other => error(app, failed, other),
    };
    told.problem()
}

async fn order(app: Rc<App>, Problem(Json(body)): Problem<Json<ShareKey>>) -> Result<Json<Value>> {
    let fail = |cause| refused(&app, "Failed to create payment order", cause);
    let key = given(body.token).ok_or_else(|| fail(PaymentError::UnknownBooking))?;
    let made = app.create_share_order(&key).await.map_err(fail)?;
    let adapter = app.providers.current().ok_or_else(|| fail(PaymentError::NotConfigured))?;
    Ok(Json(json!({ "order": made.order, "provider": adapter.provider(), "key": adapter.public_key() })))
}

#[derive(Deserialize)]
struct ReportBody {
    token: Option<String>,
    #[serde(flatten)]
    report: VerifyBody,
}

async fn verify(app: Rc<App>, Problem(Json(body)): Problem<Json<ReportBody>>) -> Result<Json<Value>> {
    let fail = |cause| refused(&app, "Failed to verify payment", cause);
    let key = given(body.token).ok_or_else(|| fail(PaymentError::UnknownBooking))?;
    let request = body.report.request().ok_or_else(|| fail(PaymentError::InvalidSignature))?;
    let verified = app.verify(&request, Payer::ShareKey(&key)).await.map_err(fail)?;
    Ok(verified_view(verified))
}
