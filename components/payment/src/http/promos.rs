//! Promo codes.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Paise, Result, Timestamp,
    http::{Created, Json, Path, Router},
    identity::{Admin, Caller},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::given;
use crate::{
    app::{App, NewPromo},
    domain::{Change, DiscountType, OpenError, Promo, PromoProblem, Use},
};

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/promos", promos)
        .post("/api/promos", promo_create)
        .put("/api/promos/{id}", promo_change)
        .delete("/api/promos/{id}", promo_delete)
        .post("/api/promos/validate", promo_validate)
}

fn promo_error(problem: PromoProblem) -> Error {
    match problem {
        PromoProblem::InvalidCode => Error::not_found("Invalid promo code"),
        PromoProblem::Expired => Error::bad_request("Promo code has expired"),
        PromoProblem::UsedUp => Error::bad_request("Promo code has reached maximum uses"),
        PromoProblem::UsedByUser => Error::bad_request("You have used this promo code as often as it allows"),
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
        OpenError::Voucher(problem) => Error::internal(format!("{problem:?}")),
        OpenError::Unavailable(cause) => Error::internal(cause),
    }
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
    /// Null: unlimited.
    max_uses_per_user: Option<u32>,
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
            max_uses_per_user: promo.max_uses_per_user,
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
    /// As `maxUses`.
    #[serde(default, deserialize_with = "sent_number")]
    max_uses_per_user: Option<Option<f64>>,
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
            max_uses: limit("maxUses", self.max_uses)?,
            max_uses_per_user: limit("maxUsesPerUser", self.max_uses_per_user)?,
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

/// A number of uses, where one was sent; 0 and nothing mean unlimited.
fn limit(field: &str, sent: Option<Option<f64>>) -> Result<Option<Option<u32>>> {
    sent.map(|uses| uses.filter(|uses| *uses != 0.0).map(|uses| count(field, uses)).transpose()).transpose()
}

fn count(field: &str, value: f64) -> Result<u32> {
    let whole = value.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&value);
    let wrong = || Error::bad_request(format!("{field} has to be a whole number of 1 or more"));
    if whole { Ok(value as u32) } else { Err(wrong()) }
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
    let new = NewPromo { code, discount_type, fields };
    Ok(Created(PromoView::plain(app.promo_create(new, &caller).await?)))
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
    let promo =
        app.quote_for(&code, Use { trek_id, order_value, ..Use::default() }, caller.id).await.map_err(open_error)?;
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
