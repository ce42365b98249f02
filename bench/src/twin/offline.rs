//! Money that staff received, as payment books it.

use cairn_booking::{app as booking, domain as sale};
use cairn_payment::{
    app::{Receipt, ReceiptError},
    domain as money,
};
use cairn_shared::Id;

pub async fn record(
    payment: &cairn_payment::app::App,
    booking_id: Id,
    user_id: Id,
    due: &sale::OfflineDue,
) -> Result<sale::Payment, booking::OfflineError> {
    let kind = match due.kind {
        sale::Kind::Full => money::Kind::Full,
        sale::Kind::Initial => money::Kind::Initial,
        sale::Kind::Balance | sale::Kind::Offline => money::Kind::Balance,
    };
    let method = match due.method {
        sale::OfflineMethod::Cash => money::OfflineMethod::Cash,
        sale::OfflineMethod::BankTransfer => money::OfflineMethod::BankTransfer,
        sale::OfflineMethod::Other => money::OfflineMethod::Other,
    };
    let receipt = Receipt {
        key: due.key.clone(),
        booking_id,
        user_id,
        kind,
        amount: due.amount,
        method,
        reference: due.reference.clone(),
        actor: due.actor,
    };
    match payment.record_offline(&receipt).await {
        Ok(recorded) => Ok(sale::Payment {
            id: recorded.id,
            order_id: recorded.order_id,
            kind: due.kind,
            amount: recorded.amount,
            method: recorded.method,
            captured_at: recorded.captured_at,
            share: None,
        }),
        Err(ReceiptError::Other(cause)) => Err(booking::OfflineError::Unavailable(cause.to_string())),
        Err(refused) => Err(booking::OfflineError::Refused(format!("{refused:?}"))),
    }
}
