//! The WIT exports of the payment service.

use cairn_shared::{Id, Paise, Timestamp};

use crate::{
    domain::{DiscountType, Kind, OpenError, Payable, Payment, PaymentError, Promo, PromoProblem, Use},
    shell::{
        Exports, app,
        bindings::exports::cairn::payment::{checkout, promos},
    },
};

fn promo_error(problem: PromoProblem) -> promos::Error {
    match problem {
        PromoProblem::InvalidCode => promos::Error::InvalidCode,
        PromoProblem::Expired => promos::Error::Expired,
        PromoProblem::UsedUp => promos::Error::UsedUp,
        PromoProblem::BelowMinimum(least) => promos::Error::BelowMinimum(least.0),
        PromoProblem::NotApplicable => promos::Error::NotApplicable,
    }
}

fn quote_error(error: OpenError) -> promos::Error {
    match error {
        OpenError::Promo(problem) => promo_error(problem),
        OpenError::Invalid(cause) | OpenError::Unavailable(cause) => promos::Error::Unavailable(cause),
    }
}

fn quoted(promo: Promo, order_value: Paise) -> promos::Promo {
    promos::Promo {
        id: promo.id.to_string(),
        discount: promo.discount(order_value).0,
        code: promo.code,
        discount_type: match promo.discount_type {
            DiscountType::Percentage => promos::DiscountType::Percentage,
            DiscountType::Fixed => promos::DiscountType::Fixed,
        },
        discount_value: promo.discount_value,
    }
}

impl promos::Guest for Exports {
    async fn quote(
        code: String,
        trek_id: String,
        order_value: i64,
        booking_id: Option<String>,
    ) -> Result<promos::Promo, promos::Error> {
        let app = app().await.map_err(promos::Error::Unavailable)?;
        let trek_id = Some(trek_id.parse().map_err(|_| promos::Error::NotApplicable)?);
        let usage = Use { trek_id, order_value: Some(Paise(order_value)), taken: 0 };
        // What is no booking holds no use.
        let booking_id = booking_id.and_then(|id| id.parse().ok());
        let promo = app.quote(&code, usage, booking_id).await.map_err(quote_error)?;
        Ok(quoted(promo, Paise(order_value)))
    }
}

fn id(name: &str, text: &str) -> Result<Id, checkout::Error> {
    text.parse().map_err(|cause| checkout::Error::Invalid(format!("{name}: {cause}")))
}

fn unavailable(error: PaymentError) -> checkout::Error {
    checkout::Error::Unavailable(format!("{error:?}"))
}

fn open_error(error: OpenError) -> checkout::Error {
    match error {
        OpenError::Promo(problem) => checkout::Error::Promo(promo_error(problem)),
        OpenError::Invalid(problem) => checkout::Error::Invalid(problem),
        OpenError::Unavailable(cause) => checkout::Error::Unavailable(cause),
    }
}

fn payable(given: &checkout::Payable) -> Result<Payable, checkout::Error> {
    Ok(Payable {
        booking_id: id("booking-id", &given.booking_id)?,
        user_id: id("user-id", &given.user_id)?,
        trek_id: id("trek-id", &given.trek_id)?,
        trek_name: given.trek_name.clone(),
        kind: match given.kind {
            checkout::Kind::Full => Kind::Full,
            checkout::Kind::Initial => Kind::Initial,
            checkout::Kind::Balance => Kind::Balance,
        },
        amount: Paise(given.amount),
        order_value: Paise(given.order_value),
        expires_at: given.expires_at.map(Timestamp::from_millis),
    })
}

/// Payments of a booking always have a kind: what has none is an orphan.
fn payment(payment: Payment) -> Option<checkout::Payment> {
    let kind = match payment.kind? {
        Kind::Full => checkout::Kind::Full,
        Kind::Initial => checkout::Kind::Initial,
        Kind::Balance => checkout::Kind::Balance,
    };
    Some(checkout::Payment {
        id: payment.id,
        order_id: payment.order_id,
        kind,
        amount: payment.amount.0,
        refunded: payment.refunded.0,
        method: payment.method,
        captured_at: payment.captured_at.millis(),
    })
}

impl checkout::Guest for Exports {
    async fn open(given: checkout::Payable) -> Result<(), checkout::Error> {
        let app = app().await.map_err(checkout::Error::Unavailable)?;
        app.open(payable(&given)?, given.promo_code.as_deref()).await.map_err(open_error)
    }

    async fn close(booking_id: String) -> Result<(), checkout::Error> {
        let app = app().await.map_err(checkout::Error::Unavailable)?;
        app.close(id("booking-id", &booking_id)?).await.map_err(unavailable)
    }

    async fn list_payments(booking_id: String) -> Result<Vec<checkout::Payment>, checkout::Error> {
        let app = app().await.map_err(checkout::Error::Unavailable)?;
        let payments = app.payments(id("booking-id", &booking_id)?).await.map_err(unavailable)?;
        Ok(payments.into_iter().filter_map(payment).collect())
    }

    async fn refund_all(booking_id: String, reason: String) -> Result<(), checkout::Error> {
        let app = app().await.map_err(checkout::Error::Unavailable)?;
        app.refund_all(id("booking-id", &booking_id)?, &reason).await.map_err(unavailable)
    }
}
