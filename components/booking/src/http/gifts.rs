//! Vouchers that are bought for somebody. Not of the contract: problems are told as
//! RFC 9457 says.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Paise, Result, Timestamp,
    http::{Created, Json, Path, Problem, Query, Router},
    identity::{Admin, Caller},
    page::PageQuery,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::run;
use crate::{
    app::{App, GIFTS_PATH},
    domain::{Gift, NewGift},
};

/// Gifts of a page where the request does not say.
const GIFTS_PER_PAGE: u32 = 50;

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .post("/api/bookings/gifts", create)
        .get("/api/bookings/gifts", list)
        .get("/api/bookings/gifts/mine", mine)
        .post("/api/bookings/gifts/{id}/refund", refund)
        .post(GIFTS_PATH, async |app: Rc<App>| run(app.gifts_run().await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GiftBody {
    /// Rupees.
    amount: Option<f64>,
    from: Option<String>,
    to: Option<String>,
    email: Option<String>,
    words: Option<String>,
    deliver_at: Option<Timestamp>,
}

fn view(gift: &Gift) -> Value {
    json!({
        "id": gift.id,
        "status": gift.status.as_str(),
        "amount": gift.amount,
        "from": gift.card.from,
        "to": gift.card.to,
        "email": gift.card.email,
        "words": gift.card.words,
        "deliverAt": gift.deliver_at,
        "mailedAt": gift.mailed_at,
        "validUntil": gift.valid_until(),
        "payUntil": gift.pay_until,
        "createdAt": gift.created_at,
    })
}

/// The id is what `POST /api/payments/create-order` takes as `bookingId`.
async fn create(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Json(body)): Problem<Json<GiftBody>>,
) -> Result<Created<Value>> {
    let text = |text: Option<String>| text.unwrap_or_default().trim().to_owned();
    let wrong = || Error::bad_request("amount has to be an amount of rupees").problem();
    let new = NewGift {
        amount: body.amount.and_then(Paise::from_rupees).ok_or_else(wrong)?,
        from: text(body.from),
        to: text(body.to),
        email: text(body.email),
        words: text(body.words),
        deliver_at: body.deliver_at,
    };
    let made = app.gift_create(&caller, &new).await.map_err(|error| Error::from(error).problem())?;
    Ok(Created(view(&made)))
}

async fn mine(app: Rc<App>, Problem(caller): Problem<Caller>) -> Result<Json<Value>> {
    let found = app.gifts_of(caller.id).await.map_err(|error| Error::from(error).problem())?;
    Ok(Json(json!({ "gifts": found.iter().map(view).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
struct ListQuery {
    page: Option<u32>,
    limit: Option<u32>,
}

async fn list(
    app: Rc<App>,
    _: Problem<Admin>,
    Problem(Query(query)): Problem<Query<ListQuery>>,
) -> Result<Json<Value>> {
    let page = PageQuery { page: query.page, limit: query.limit };
    let page = page.parse(GIFTS_PER_PAGE).map_err(Error::problem)?;
    let (found, total) = app.gift_page(page).await.map_err(|error| Error::from(error).problem())?;
    let gifts = found.iter().map(|gift| {
        let mut gift_view = view(gift);
        gift_view["buyer"] = json!(gift.buyer_id);
        gift_view["payment"] = json!(gift.payment_id);
        gift_view
    });
    Ok(Json(json!({ "gifts": gifts.collect::<Vec<_>>(), "pagination": page.info(total) })))
}

async fn refund(
    app: Rc<App>,
    Problem(caller): Problem<Caller>,
    Problem(Path(id)): Problem<Path<Id>>,
) -> Result<Json<Value>> {
    let returned = app.gift_return(&caller, id).await.map_err(|error| Error::from(error).problem())?;
    Ok(Json(view(&returned)))
}
