//! HTTP of the payment service.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Paise, Result, Timestamp,
    http::{Body, Created, FromRequest, Header, Json, Params, Path, Request, Response, Router},
    idempotency::{self, Key},
    identity::{Admin, Caller},
};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    app::{App, Delivery, NewPromo, RECONCILE_PATH, REFUNDS_PATH, VerifyRequest, provider_down_message},
    domain::{Change, DiscountType, OpenError, PaymentError, Promo, PromoProblem, Use},
    provider,
};

pub fn routes() -> Router<App> {
    Router::default()
        .get("/api/payments/get-key", key)
        .post("/api/payments/create-order", create_order)
        .post("/api/payments/create-remaining-balance-order", create_balance_order)
        .post("/api/payments/verify", verify)
        .post("/api/payments/webhook", webhook)
        .get("/api/promos", promos)
        .post("/api/promos", promo_create)
        .put("/api/promos/{id}", promo_change)
        .delete("/api/promos/{id}", promo_delete)
        .post("/api/promos/validate", promo_validate)
        .post(RECONCILE_PATH, reconcile)
        .post(REFUNDS_PATH, refunds)
}

/// The answer to what cannot go on. `failed` is said where the fault is ours.
fn error(app: &App, failed: &'static str, error: PaymentError) -> Error {
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

fn promo_error(problem: PromoProblem) -> Error {
    match problem {
        PromoProblem::InvalidCode => Error::not_found("Invalid promo code"),
        PromoProblem::Expired => Error::bad_request("Promo code has expired"),
        PromoProblem::UsedUp => Error::bad_request("Promo code has reached maximum uses"),
        PromoProblem::BelowMinimum(least) => {
            Error::bad_request(format!("Order value must be at least {least} to use this code"))
        }
        PromoProblem::NotApplicable => Error::bad_request("Promo code not applicable for this trek"),
    }
}

fn open_error(error: OpenError) -> Error {
    match error {
        OpenError::Promo(problem) => promo_error(problem),
        OpenError::Invalid(problem) => Error::bad_request(problem),
        OpenError::Unavailable(cause) => Error::internal(cause),
    }
}

/// A body that is needed as bytes as well.
fn parsed<T: DeserializeOwned>(body: &Body) -> Result<T> {
    let mut request = Request { body: body.0.clone(), ..Request::default() };
    Json::from_request(&mut request, &Params::default()).map(|Json(value)| value)
}

/// Text that is there and not empty.
fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

async fn key(app: Rc<App>) -> Result<Response> {
    let account = app
        .account
        .as_ref()
        .ok_or_else(|| Error::internal("razorpay_key_id is not set").message("Razorpay key not configured"))?;
    let body = json!({ "success": true, "key": account.key_id });
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

async fn create_order(app: Rc<App>, caller: Caller, headers: Header, body: Body) -> Result<Response> {
    let key = Key::of(&headers, format!("{}/create-order", caller.id), &body)?;
    let request: OrderRequest = parsed(&body)?;
    let fail = |cause| error(&app, "Failed to create payment order", cause);
    let booking_id = given(request.booking_id).ok_or_else(|| fail(PaymentError::BookingIdMissing))?;
    let booking_id = booking_id.parse().map_err(|_| fail(PaymentError::UnknownBooking))?;
    idempotency::once(&app.db, &app.env, key, async || {
        let made = app.create_order(booking_id, caller.id).await.map_err(fail)?;
        Ok(Json(OrderView { success: true, order: made.order, remaining_amount: None }))
    })
    .await
}

async fn create_balance_order(app: Rc<App>, caller: Caller, headers: Header, body: Body) -> Result<Response> {
    let key = Key::of(&headers, format!("{}/create-remaining-balance-order", caller.id), &body)?;
    let request: OrderRequest = parsed(&body)?;
    let fail = |cause| error(&app, "Failed to create remaining balance order", cause);
    let booking_id = given(request.booking_id).ok_or_else(|| Error::bad_request("Booking ID is required"))?;
    let booking_id = booking_id.parse().map_err(|_| fail(PaymentError::UnknownBooking))?;
    idempotency::once(&app.db, &app.env, key, async || {
        let made = app.create_balance_order(booking_id, caller.id).await.map_err(fail)?;
        let remaining_amount = Some(Paise(made.order.amount));
        Ok(Json(OrderView { success: true, order: made.order, remaining_amount }))
    })
    .await
}

#[derive(Deserialize)]
struct VerifyBody {
    razorpay_order_id: Option<String>,
    razorpay_payment_id: Option<String>,
    razorpay_signature: Option<String>,
    #[serde(rename = "bookingId")]
    booking_id: Option<String>,
}

async fn verify(app: Rc<App>, caller: Caller, Json(body): Json<VerifyBody>) -> Result<Json<Value>> {
    let fail = |cause| error(&app, "Failed to verify payment", cause);
    let (Some(order_id), Some(payment_id), Some(signature)) =
        (given(body.razorpay_order_id), given(body.razorpay_payment_id), given(body.razorpay_signature))
    else {
        return Err(fail(PaymentError::InvalidSignature));
    };
    let request = VerifyRequest { order_id, payment_id, signature, booking_id: body.booking_id };
    let verified = app.verify(&request, caller.id).await.map_err(fail)?;
    Ok(Json(json!({
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
    })))
}

async fn webhook(app: Rc<App>, headers: Header, Body(body): Body) -> Result<Json<Value>> {
    let signature = headers.get("x-razorpay-signature").unwrap_or_default();
    let delivery = Delivery { signature, event_id: headers.get("x-razorpay-event-id"), body: &body };
    app.take_delivery(&delivery).await.map_err(|cause| error(&app, "Failed to handle webhook", cause))?;
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

/// A promo as staff see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PromoView {
    #[serde(rename = "_id")]
    id: Id,
    code: String,
    discount_type: DiscountType,
    /// Percent or rupees: both are stored as hundredths.
    discount_value: Paise,
    /// Null: unlimited.
    max_uses: Option<u32>,
    used_count: i64,
    valid_from: Timestamp,
    valid_until: Timestamp,
    min_order_value: Paise,
    applicable_treks: Vec<Id>,
    is_active: bool,
    /// The id; in lists with the name.
    created_by: Value,
    created_at: Timestamp,
}

impl PromoView {
    fn new(promo: Promo, created_by: Value) -> Self {
        Self {
            id: promo.id,
            code: promo.code,
            discount_type: promo.discount_type,
            discount_value: Paise(promo.discount_value),
            max_uses: promo.max_uses,
            used_count: promo.used,
            valid_from: promo.valid_from,
            valid_until: promo.valid_until,
            min_order_value: promo.min_order_value,
            applicable_treks: promo.applicable_treks,
            is_active: promo.is_active,
            created_by,
            created_at: promo.created_at,
        }
    }

    fn plain(promo: Promo) -> Self {
        let created_by = json!(promo.created_by);
        Self::new(promo, created_by)
    }

    fn named(promo: Promo) -> Self {
        let created_by = json!({ "_id": promo.created_by, "name": promo.created_by_name });
        Self::new(promo, created_by)
    }
}

/// What staff send. Forms send numbers as text and empty text for nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromoBody {
    code: Option<String>,
    discount_type: Option<String>,
    #[serde(default, deserialize_with = "number")]
    discount_value: Option<f64>,
    /// Outer none: not sent. Null and empty: unlimited.
    #[serde(default, deserialize_with = "sent_number")]
    max_uses: Option<Option<f64>>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    #[serde(default, deserialize_with = "number")]
    min_order_value: Option<f64>,
    applicable_treks: Option<Vec<TrekRef>>,
    is_active: Option<bool>,
}

/// A trek's id, or the trek with its id.
#[derive(Deserialize)]
#[serde(untagged)]
enum TrekRef {
    Id(Id),
    Trek {
        #[serde(rename = "_id")]
        id: Id,
    },
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => text.trim().parse().map(Some).map_err(serde::de::Error::custom),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(_) => Err(serde::de::Error::custom("a number is expected")),
    }
}

fn sent_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<f64>>, D::Error> {
    number(deserializer).map(Some)
}

impl PromoBody {
    fn change(&self) -> Result<Change> {
        Ok(Change {
            discount_type: self
                .discount_type
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(discount_type)
                .transpose()?,
            discount_value: self
                .discount_value
                .map(|value| amount("discountValue", value))
                .transpose()?
                .map(|value| value.0),
            max_uses: self.max_uses.map(|uses| uses.filter(|uses| *uses != 0.0).map(count).transpose()).transpose()?,
            valid_from: date("validFrom", self.valid_from.as_deref())?,
            valid_until: date("validUntil", self.valid_until.as_deref())?,
            min_order_value: self.min_order_value.map(|value| amount("minOrderValue", value)).transpose()?,
            applicable_treks: self.applicable_treks.as_ref().map(|treks| treks.iter().map(TrekRef::id).collect()),
            is_active: self.is_active,
        })
    }
}

impl TrekRef {
    fn id(&self) -> Id {
        match self {
            Self::Id(id) | Self::Trek { id } => *id,
        }
    }
}

fn discount_type(text: &str) -> Result<DiscountType> {
    DiscountType::parse(text).ok_or_else(|| Error::bad_request("discountType has to be percentage or fixed"))
}

fn amount(field: &str, value: f64) -> Result<Paise> {
    Paise::from_rupees(value).ok_or_else(|| Error::bad_request(format!("{field} has to be a number")))
}

fn count(value: f64) -> Result<u32> {
    let whole = value.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&value);
    if whole { Ok(value as u32) } else { Err(Error::bad_request("maxUses has to be a whole number of 1 or more")) }
}

fn date(field: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|cause| Error::bad_request(format!("{field}: {cause}")))).transpose()
}

/// Malformed ids name no promo.
fn promo_id(text: &str) -> Result<Id> {
    text.parse().map_err(|_| Error::not_found("Promo code not found"))
}

async fn promos(app: Rc<App>, _: Admin) -> Result<Json<Vec<PromoView>>> {
    Ok(Json(app.promos().await?.into_iter().map(PromoView::named).collect()))
}

async fn promo_create(app: Rc<App>, Admin(caller): Admin, Json(body): Json<PromoBody>) -> Result<Created<PromoView>> {
    let fields = body.change()?;
    let value = fields.discount_value.filter(|value| *value != 0);
    let required = (given(body.code), fields.discount_type, value, fields.valid_from, fields.valid_until);
    let (Some(code), Some(discount_type), Some(_), Some(_), Some(_)) = required else {
        return Err(Error::bad_request("Please provide all required fields"));
    };
    let promo = app.promo_create(NewPromo { code, discount_type, fields }, &caller).await?;
    Ok(Created(PromoView::plain(promo)))
}

async fn promo_change(
    app: Rc<App>,
    _: Admin,
    Path(id): Path<String>,
    Json(body): Json<PromoBody>,
) -> Result<Json<PromoView>> {
    let promo = app.promo_change(promo_id(&id)?, body.change()?).await?;
    Ok(Json(PromoView::plain(promo)))
}

async fn promo_delete(app: Rc<App>, _: Admin, Path(id): Path<String>) -> Result<Json<Value>> {
    app.promo_delete(promo_id(&id)?).await?;
    Ok(Json(json!({ "message": "Promo code deleted successfully" })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValidateBody {
    code: Option<String>,
    trek_id: Option<String>,
    #[serde(default, deserialize_with = "number")]
    order_value: Option<f64>,
}

async fn promo_validate(app: Rc<App>, caller: Caller, Json(body): Json<ValidateBody>) -> Result<Json<Value>> {
    let code = given(body.code).ok_or_else(|| Error::bad_request("Please provide a promo code"))?;
    let order_value = body.order_value.map(|value| amount("orderValue", value)).transpose()?;
    // A trek that is none is no trek the code is for.
    let trek_id = given(body.trek_id).map(|id| id.parse().unwrap_or_else(|_| Id::derive(&["no trek", &id])));
    let promo = app.quote_for(&code, Use { trek_id, order_value, taken: 0 }, caller.id).await.map_err(open_error)?;
    let discount = order_value.map_or(Paise(promo.discount_value), |value| promo.discount(value));
    Ok(Json(json!({
        "valid": true,
        "promoCode": {
            "_id": promo.id,
            "code": promo.code,
            "discountType": promo.discount_type,
            "discountValue": Paise(promo.discount_value),
            "discount": discount,
        },
    })))
}
