//! Orders, the client's report, and the providers' deliveries.

use std::rc::Rc;

use cairn_shared::{
    Error, Paise, Result,
    http::{Body, Header, Json, Response, Router},
    identity::Caller,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::given;
use crate::{
    app::{App, Payer, RECONCILE_PATH, REFUNDS_PATH, REPORT_PATH, Verified, VerifyRequest, provider_down_message},
    domain::{PaymentError, Provider},
    provider::{self, Delivery},
};

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/payments/get-key", key)
        .post("/api/payments/create-order", create_order)
        .post("/api/payments/create-remaining-balance-order", create_balance_order)
        .post("/api/payments/verify", verify)
        .post("/api/payments/webhook", webhook)
        .post("/api/payments/webhook/stripe", stripe_webhook)
        .post(RECONCILE_PATH, reconcile)
        .post(REFUNDS_PATH, refunds)
        .post(REPORT_PATH, report)
}

/// The answer to what cannot go on. `failed` is said where the fault is ours.
pub(super) fn error(app: &App, failed: &'static str, error: PaymentError) -> Error {
    let eligible = "This booking is not eligible for remaining balance payment";
    let reported = "The payment provider cannot be reached right now. If you have paid, your payment is safe: \
                    your booking is updated by itself as soon as the provider answers.";
    match error {
        PaymentError::NotConfigured => Error::internal("no payment provider is configured").message(failed),
        PaymentError::BookingIdMissing => Error::bad_request("Amount and bookingId are required"),
        PaymentError::UnknownBooking => Error::not_found("Booking not found"),
        PaymentError::NotOwner => Error::forbidden("You are not authorized to pay for this booking"),
        PaymentError::NotAwaitingPayment => Error::bad_request("This booking is not awaiting payment"),
        PaymentError::SessionExpired => Error::bad_request("Booking session has expired. Please book again."),
        PaymentError::NotEligibleForBalance => Error::bad_request(eligible),
        PaymentError::NothingRemaining => Error::bad_request("No remaining balance to pay"),
        PaymentError::TooManyOrders => {
            Error::bad_request("There were too many attempts to pay for this booking. Please book again.")
        }
        PaymentError::Changed => {
            Error::conflict("The booking was changed while its payment was being prepared. Please try again.")
        }
        PaymentError::InvalidSignature => Error::bad_request("Invalid payment signature"),
        PaymentError::Mismatch => Error::bad_request("Payment does not match this booking"),
        PaymentError::NotPaid => Error::bad_request("The payment did not succeed. Please try again."),
        PaymentError::InvalidWebhookSignature => Error::bad_request("Invalid webhook signature"),
        PaymentError::ProviderDown { held_until, cause } => {
            Error::unavailable(cause).message(provider_down_message(&app.env, held_until))
        }
        PaymentError::ReportPending(cause) => Error::unavailable(cause).message(reported),
        PaymentError::ProviderRefused(cause) => Error::internal(cause).message(failed),
        PaymentError::Other(other) if other.status() == 500 => other.message(failed),
        PaymentError::Other(other) => other,
    }
}

async fn key(app: Rc<App>) -> Result<Response> {
    let adapter = app
        .providers
        .current()
        .ok_or_else(|| Error::internal("no payment provider is configured").message("Razorpay key not configured"))?;
    let body = json!({ "success": true, "key": adapter.public_key(), "provider": adapter.provider() });
    Ok(Response::json(200, &body).header("cache-control", "no-store, no-cache, must-revalidate, proxy-revalidate"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderRequest {
    booking_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderView {
    success: bool,
    order: provider::Order,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_amount: Option<Paise>,
}

async fn create_order(app: Rc<App>, caller: Caller, Json(body): Json<OrderRequest>) -> Result<Json<OrderView>> {
    let fail = |cause| error(&app, "Failed to create payment order", cause);
    let booking_id = given(body.booking_id).ok_or_else(|| fail(PaymentError::BookingIdMissing))?;
    let booking_id = booking_id.parse().map_err(|_| fail(PaymentError::UnknownBooking))?;
    let made = app.create_order(booking_id, caller.id).await.map_err(fail)?;
    Ok(Json(OrderView { success: true, order: made.order, remaining_amount: None }))
}

async fn create_balance_order(app: Rc<App>, caller: Caller, Json(body): Json<OrderRequest>) -> Result<Json<OrderView>> {
    let fail = |cause| error(&app, "Failed to create remaining balance order", cause);
    let booking_id = given(body.booking_id).ok_or_else(|| Error::bad_request("Booking ID is required"))?;
    let booking_id = booking_id.parse().map_err(|_| fail(PaymentError::UnknownBooking))?;
    let made = app.create_balance_order(booking_id, caller.id).await.map_err(fail)?;
    let remaining_amount = Some(Paise(made.order.amount));
    Ok(Json(OrderView { success: true, order: made.order, remaining_amount }))
}

/// What Razorpay's checkout hands to the client, or the name of Stripe's PaymentIntent.
#[derive(Deserialize)]
pub(super) struct VerifyBody {
    razorpay_order_id: Option<String>,
    razorpay_payment_id: Option<String>,
    razorpay_signature: Option<String>,
    payment_intent: Option<String>,
    #[serde(rename = "bookingId")]
    booking_id: Option<String>,
}

impl VerifyBody {
    pub(super) fn request(self) -> Option<VerifyRequest> {
        let booking_id = self.booking_id;
        if let Some(order_id) = given(self.payment_intent) {
            return Some(VerifyRequest { order_id, payment_id: None, signature: None, booking_id });
        }
        let parts = (given(self.razorpay_order_id), given(self.razorpay_payment_id), given(self.razorpay_signature));
        let (Some(order_id), Some(payment_id), Some(signature)) = parts else { return None };
        Some(VerifyRequest { order_id, payment_id: Some(payment_id), signature: Some(signature), booking_id })
    }
}

async fn verify(app: Rc<App>, caller: Caller, Json(body): Json<VerifyBody>) -> Result<Json<Value>> {
    let fail = |cause| error(&app, "Failed to verify payment", cause);
    let request = body.request().ok_or_else(|| fail(PaymentError::InvalidSignature))?;
    let verified = app.verify(&request, Payer::Account(caller.id)).await.map_err(fail)?;
    Ok(verified_view(verified))
}

pub(super) fn verified_view(verified: Verified) -> Json<Value> {
    Json(json!({
        "success": true,
        "message": "Payment verified successfully",
        "payment": {
            "id": verified.payment_id,
            "paymentId": verified.payment_id,
            "orderId": verified.order_id,
            "amount": verified.amount,
            "currency": verified.currency,
            "method": verified.method,
            "status": verified.status,
            "verifiedAt": verified.at,
        },
    }))
}

async fn webhook(app: Rc<App>, headers: Header, body: Body) -> Result<Json<Value>> {
    delivered(&app, Provider::Razorpay, &headers, &body).await
}

async fn stripe_webhook(app: Rc<App>, headers: Header, body: Body) -> Result<Json<Value>> {
    delivered(&app, Provider::Stripe, &headers, &body).await
}

async fn delivered(app: &App, provider: Provider, headers: &Header, Body(body): &Body) -> Result<Json<Value>> {
    let delivery = Delivery { headers, body, now: app.env.now() };
    let taken = app.take_delivery(provider, &delivery).await;
    taken.map_err(|cause| error(app, "Failed to handle webhook", cause))?;
    Ok(Json(json!({ "success": true })))
}

async fn reconcile(app: Rc<App>) -> Result<Json<Value>> {
    let run = app.reconcile().await.map_err(|cause| error(&app, "Failed to reconcile", cause))?;
    Ok(Json(json!({ "orders": run.orders, "unanswered": run.unanswered, "refunds": run.refunds })))
}

async fn refunds(app: Rc<App>) -> Result<Json<Value>> {
    let done = app.execute_refunds().await.map_err(|cause| error(&app, "Failed to execute refunds", cause))?;
    Ok(Json(json!({ "refunds": done })))
}

async fn report(app: Rc<App>) -> Result<Json<Value>> {
    let report = app.report_days().await.map_err(|cause| error(&app, "Failed to make the report", cause))?;
    Ok(Json(json!({ "report": report.id, "mismatches": report.mismatches.len(), "complete": report.complete })))
}
