//! The WIT exports of the payment service.

use cairn_shared::{Id, Paise, Timestamp};

use crate::{
    app::{Receipt, ReceiptError},
    domain::{
        CreditRequest, DiscountType, KeyDigest, Kind, OfflineMethod, OpenError, Payable, Payment, PaymentError, Promo,
        PromoProblem, RefundError, RefundKind, RefundRequest, RefundStatus, RequestedRefund, Share, Tender, Use,
        Voucher, VoucherProblem,
    },
    shell::{
        Exports, app,
        bindings::exports::cairn::payment::{checkout, earnings, offline, promos, refunds, shares, vouchers},
    },
};

fn promo_error(problem: PromoProblem) -> promos::Error {
    match problem {
        PromoProblem::InvalidCode => promos::Error::InvalidCode,
        PromoProblem::Expired => promos::Error::Expired,
        PromoProblem::UsedUp | PromoProblem::UsedByUser => promos::Error::UsedUp,
        PromoProblem::BelowMinimum(least) => promos::Error::BelowMinimum(least.0),
        PromoProblem::NotApplicable => promos::Error::NotApplicable,
    }
}

fn quote_error(error: OpenError) -> promos::Error {
    match error {
        OpenError::Promo(problem) => promo_error(problem),
        OpenError::Voucher(problem) => promos::Error::Unavailable(format!("{problem:?}")),
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
        let usage = Use { trek_id, order_value: Some(Paise(order_value)), ..Use::default() };
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
        OpenError::Voucher(problem) => checkout::Error::Unavailable(format!("{problem:?}")),
        OpenError::Invalid(problem) => checkout::Error::Invalid(problem),
        OpenError::Unavailable(cause) => checkout::Error::Unavailable(cause),
    }
}

fn kind(kind: checkout::Kind) -> Kind {
    match kind {
        checkout::Kind::Full => Kind::Full,
        checkout::Kind::Initial => Kind::Initial,
        checkout::Kind::Balance => Kind::Balance,
    }
}

fn payable(given: &checkout::Payable) -> Result<Payable, checkout::Error> {
    Ok(Payable {
        booking_id: id("booking-id", &given.booking_id)?,
        user_id: id("user-id", &given.user_id)?,
        trek_id: id("trek-id", &given.trek_id)?,
        trek_name: given.trek_name.clone(),
        kind: kind(given.kind),
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
        amount: payment.counted().0,
        id: payment.id,
        order_id: payment.order_id,
        kind,
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
        app.refund_all(id("booking-id", &booking_id)?, &reason)
            .await
            .map_err(|error| checkout::Error::Unavailable(format!("{error:?}")))
    }
}

fn share(booking_id: Id, given: shares::Share) -> Result<Share, checkout::Error> {
    let digest = KeyDigest::parse(&given.key_digest);
    Ok(Share {
        id: id("share", &given.id)?,
        booking_id,
        amount: Paise(given.amount),
        key_digest: digest.ok_or_else(|| checkout::Error::Invalid("key-digest is no SHA-256".into()))?,
        expires_at: Timestamp::from_millis(given.expires_at),
    })
}

impl shares::Guest for Exports {
    async fn open(given: checkout::Payable, parts: Vec<shares::Share>) -> Result<(), checkout::Error> {
        let app = app().await.map_err(checkout::Error::Unavailable)?;
        let payable = payable(&given)?;
        let parts: Result<Vec<_>, _> = parts.into_iter().map(|part| share(payable.booking_id, part)).collect();
        app.open_shared(payable, &parts?).await.map_err(open_error)
    }
}

impl From<RefundError> for refunds::Error {
    fn from(error: RefundError) -> Self {
        match error {
            RefundError::Invalid(problem) => Self::Invalid(problem),
            RefundError::Exceeds(left) => Self::Exceeds(left.0),
            RefundError::KeyReused => Self::KeyReused,
            RefundError::Unknown => Self::UnknownKey,
            RefundError::State(status) => Self::Invalid(format!("the refund is in state {}", status.as_str())),
            RefundError::Other(cause) => Self::Unavailable(cause.to_string()),
        }
    }
}

fn refund_id(name: &str, text: &str) -> Result<Id, refunds::Error> {
    text.parse().map_err(|cause| refunds::Error::Invalid(format!("{name}: {cause}")))
}

fn refund_request(given: refunds::Request) -> Result<RefundRequest, refunds::Error> {
    Ok(RefundRequest {
        booking_id: refund_id("booking-id", &given.booking_id)?,
        participant_id: given.participant_id.map(|text| refund_id("participant-id", &text)).transpose()?,
        key: given.key,
        payment_id: given.payment_id,
        amount: Paise(given.amount),
        kind: match given.kind {
            refunds::Kind::Auto => RefundKind::Auto,
            refunds::Kind::Full => RefundKind::Full,
            refunds::Kind::Custom => RefundKind::Custom,
        },
        reason: given.reason,
        requested_by: given.requested_by,
    })
}

fn requested(refund: RequestedRefund) -> refunds::RequestedRefund {
    let request = refund.request;
    refunds::RequestedRefund {
        key: request.key,
        booking_id: request.booking_id.to_string(),
        participant_id: request.participant_id.map(|id| id.to_string()),
        amount: request.amount.0,
        kind: match request.kind {
            RefundKind::Auto => refunds::Kind::Auto,
            RefundKind::Full => refunds::Kind::Full,
            RefundKind::Custom => refunds::Kind::Custom,
        },
        reason: request.reason,
        requested_by: request.requested_by,
        status: match refund.status {
            RefundStatus::Processing => refunds::Status::Processing,
            RefundStatus::Success => refunds::Status::Success,
            RefundStatus::Failed => refunds::Status::Failed,
        },
        succeeded: refund.succeeded.0,
        requested_at: refund.requested_at.millis(),
        settled_at: refund.settled_at.map(Timestamp::millis),
    }
}

impl refunds::Guest for Exports {
    async fn refund(request: refunds::Request) -> Result<refunds::RequestedRefund, refunds::Error> {
        let app = app().await.map_err(refunds::Error::Unavailable)?;
        Ok(requested(app.refund(refund_request(request)?).await?))
    }

    async fn retry(key: String) -> Result<refunds::RequestedRefund, refunds::Error> {
        let app = app().await.map_err(refunds::Error::Unavailable)?;
        Ok(requested(app.retry_request(&key).await?))
    }

    async fn list_refunds(booking_id: String) -> Result<Vec<refunds::RequestedRefund>, refunds::Error> {
        let app = app().await.map_err(refunds::Error::Unavailable)?;
        let refunds = app.requested_refunds(refund_id("booking-id", &booking_id)?).await?;
        Ok(refunds.into_iter().map(requested).collect())
    }
}

impl From<ReceiptError> for offline::Error {
    fn from(error: ReceiptError) -> Self {
        match error {
            ReceiptError::Invalid(problem) => Self::Invalid(problem),
            ReceiptError::KeyReused => Self::KeyReused,
            ReceiptError::Other(cause) => Self::Unavailable(cause.to_string()),
        }
    }
}

fn receipt(given: offline::Receipt) -> Result<Receipt, offline::Error> {
    let id = |name: &str, text: &str| -> Result<Id, offline::Error> {
        text.parse().map_err(|cause| offline::Error::Invalid(format!("{name}: {cause}")))
    };
    Ok(Receipt {
        booking_id: id("booking-id", &given.booking_id)?,
        user_id: id("user-id", &given.user_id)?,
        actor: id("actor", &given.actor)?,
        key: given.key,
        kind: kind(given.kind),
        amount: Paise(given.amount),
        method: match given.method {
            offline::Method::Cash => OfflineMethod::Cash,
            offline::Method::BankTransfer => OfflineMethod::BankTransfer,
            offline::Method::Other => OfflineMethod::Other,
        },
        reference: given.reference,
    })
}

impl offline::Guest for Exports {
    async fn record(given: offline::Receipt) -> Result<checkout::Payment, offline::Error> {
        let app = app().await.map_err(offline::Error::Unavailable)?;
        let recorded = app.record_offline(&receipt(given)?).await?;
        payment(recorded).ok_or_else(|| offline::Error::Unavailable("a receipt without its kind".into()))
    }
}

impl earnings::Guest for Exports {
    async fn earn(booking_id: String, tax: i64) -> Result<(), earnings::Error> {
        let booking_id = earnings_id(&booking_id)?;
        if tax < 0 {
            return Err(earnings::Error::Invalid("the tax is negative".into()));
        }
        let app = app().await.map_err(earnings::Error::Unavailable)?;
        app.earn(booking_id, Paise(tax)).await.map_err(|error| earnings::Error::Unavailable(error.to_string()))
    }

    async fn defer(booking_id: String) -> Result<(), earnings::Error> {
        let booking_id = earnings_id(&booking_id)?;
        let app = app().await.map_err(earnings::Error::Unavailable)?;
        app.defer(booking_id).await.map_err(|error| earnings::Error::Unavailable(error.to_string()))
    }
}

fn earnings_id(text: &str) -> Result<Id, earnings::Error> {
    text.parse().map_err(|cause| earnings::Error::Invalid(format!("booking-id: {cause}")))
}

impl From<VoucherProblem> for vouchers::Error {
    fn from(problem: VoucherProblem) -> Self {
        match problem {
            VoucherProblem::Unknown => Self::Unknown,
            VoucherProblem::Expired => Self::Expired,
            VoucherProblem::Void => Self::Void,
            VoucherProblem::Short(left) => Self::Short(left.0),
        }
    }
}

impl From<OpenError> for vouchers::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Promo(problem) => Self::Promo(promo_error(problem)),
            OpenError::Voucher(problem) => problem.into(),
            OpenError::Invalid(problem) => Self::Invalid(problem),
            OpenError::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<checkout::Error> for vouchers::Error {
    fn from(error: checkout::Error) -> Self {
        match error {
            checkout::Error::Promo(problem) => Self::Promo(problem),
            checkout::Error::Invalid(problem) => Self::Invalid(problem),
            checkout::Error::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<RefundError> for vouchers::Error {
    fn from(error: RefundError) -> Self {
        match error {
            RefundError::Invalid(problem) => Self::Invalid(problem),
            RefundError::Exceeds(left) => Self::Short(left.0),
            RefundError::KeyReused => Self::Invalid("the key names another voucher".into()),
            RefundError::Unknown => Self::Unknown,
            RefundError::State(status) => Self::Invalid(format!("the refund is in state {}", status.as_str())),
            RefundError::Other(cause) => Self::Unavailable(cause.to_string()),
        }
    }
}

fn voucher(voucher: Voucher) -> vouchers::Voucher {
    vouchers::Voucher {
        id: voucher.id.to_string(),
        code: voucher.code.grouped(),
        amount: voucher.amount.0,
        available: voucher.available().0,
        expires_at: voucher.expires_at.millis(),
    }
}

fn tender(given: &vouchers::Tender) -> Result<Tender, vouchers::Error> {
    Ok(Tender { voucher_id: id("voucher-id", &given.voucher_id)?, amount: Paise(given.amount) })
}

fn credit_request(given: vouchers::CreditRequest) -> Result<CreditRequest, vouchers::Error> {
    Ok(CreditRequest {
        booking_id: id("booking-id", &given.booking_id)?,
        owner_id: id("owner-id", &given.owner_id)?,
        key: given.key,
        amount: Paise(given.amount),
        bonus: Paise(given.bonus),
        expires_at: Timestamp::from_millis(given.expires_at),
        reason: given.reason,
        requested_by: given.requested_by,
    })
}

impl vouchers::Guest for Exports {
    async fn quote(code: String, owed: i64, booking_id: Option<String>) -> Result<vouchers::Offer, vouchers::Error> {
        let app = app().await.map_err(vouchers::Error::Unavailable)?;
        // What is no booking has reserved nothing.
        let booking_id = booking_id.and_then(|id| id.parse().ok());
        let offer = app.voucher_offer(&code, Paise(owed), booking_id).await?;
        Ok(vouchers::Offer {
            voucher_id: offer.voucher.id.to_string(),
            hint: offer.voucher.code.hint(),
            pays: offer.pays.0,
            available: offer.voucher.available().0,
            expires_at: offer.voucher.expires_at.millis(),
        })
    }

    async fn open(given: checkout::Payable, by: vouchers::Tender) -> Result<(), vouchers::Error> {
        let app = app().await.map_err(vouchers::Error::Unavailable)?;
        let code = given.promo_code.as_deref();
        Ok(app.open_with_voucher(payable(&given)?, code, Some(tender(&by)?)).await?)
    }

    async fn redeem(
        key: String,
        given: checkout::Payable,
        by: vouchers::Tender,
    ) -> Result<checkout::Payment, vouchers::Error> {
        let app = app().await.map_err(vouchers::Error::Unavailable)?;
        let code = given.promo_code.as_deref();
        let paid = app.redeem(&key, payable(&given)?, code, tender(&by)?).await?;
        payment(paid).ok_or_else(|| vouchers::Error::Unavailable("a payment without its kind".into()))
    }

    async fn credit(given: vouchers::CreditRequest) -> Result<vouchers::Voucher, vouchers::Error> {
        let app = app().await.map_err(vouchers::Error::Unavailable)?;
        Ok(voucher(app.credit(credit_request(given)?).await?))
    }

    async fn gift(given: vouchers::CreditRequest) -> Result<vouchers::Voucher, vouchers::Error> {
        let app = app().await.map_err(vouchers::Error::Unavailable)?;
        Ok(voucher(app.gift(credit_request(given)?).await?))
    }

    async fn take_back(key: String, reason: String) -> Result<(), vouchers::Error> {
        let app = app().await.map_err(vouchers::Error::Unavailable)?;
        Ok(app.take_back(&key, &reason).await?)
    }

    async fn get_issued(key: String) -> Result<vouchers::Voucher, vouchers::Error> {
        let app = app().await.map_err(vouchers::Error::Unavailable)?;
        Ok(voucher(app.voucher_of_key(&key).await?))
    }
}
