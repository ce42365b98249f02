//! HTTP of the payment service: what existing clients know, promo codes, and what staff
//! see of the money.

mod payments;
mod promos;
mod reports;
mod shares;
mod staff;
mod vouchers;

use cairn_shared::http::Router;

use crate::app::App;

pub fn routes() -> Router<App> {
    [payments::routes, promos::routes, staff::routes, reports::routes, shares::routes, vouchers::routes]
        .into_iter()
        .fold(Router::default(), |router, routes| routes(router))
}

/// Text that is there and not empty.
fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
