//! Money that staff received without a provider.

use cairn_shared::{Id, Paise, Tx};

use super::{App, News};
use crate::{
    domain::{self, CURRENCY, Kind, OfflineMethod, Payment, PaymentError, Provider, TEXT_CHARS_MAX},
    store,
};

/// Money as staff say that they received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Names the receipt: the same key is the same money.
    pub key: String,
    pub booking_id: Id,
    pub user_id: Id,
    pub kind: Kind,
    pub amount: Paise,
    pub method: OfflineMethod,
    /// What proves it; may be empty.
    pub reference: String,
    /// Who received it.
    pub actor: Id,
}

/// Why a receipt is not recorded.
#[derive(Debug)]
pub enum ReceiptError {
    Invalid(String),
    KeyReused,
    Other(cairn_shared::Error),
}

impl From<cairn_shared::DbError> for ReceiptError {
    fn from(error: cairn_shared::DbError) -> Self {
        Self::Other(error.into())
    }
}

impl From<PaymentError> for ReceiptError {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::Other(other) => Self::Other(other),
            other => Self::Other(cairn_shared::Error::internal(format!("{other:?}"))),
        }
    }
}

impl Receipt {
    fn validate(&self) -> Result<(), ReceiptError> {
        domain::check_text("key", &self.key).map_err(ReceiptError::Invalid)?;
        if self.reference.chars().count() > TEXT_CHARS_MAX {
            return Err(ReceiptError::Invalid(format!("reference may have at most {TEXT_CHARS_MAX} characters")));
        }
        if self.amount <= Paise::ZERO {
            return Err(ReceiptError::Invalid("the amount has to be more than 0".into()));
        }
        Ok(())
    }

    fn payment(&self, at: cairn_shared::Timestamp) -> Payment {
        Payment {
            id: format!("offline_{}", Id::derive(&["offline", &self.key])),
            order_id: String::new(),
            booking_id: Some(self.booking_id),
            provider: Provider::Offline,
            kind: Some(self.kind),
            amount: self.amount,
            surplus: Paise::ZERO,
            currency: CURRENCY.into(),
            method: self.method.as_str().into(),
            problem: None,
            captured_at: at,
            refunded: Paise::ZERO,
            surplus_refunded: Paise::ZERO,
            voucher_id: None,
            share_id: None,
        }
    }
}

impl App {
    /// Books money that staff received, closes what the booking owed and makes its open
    /// orders void: one transaction. Repeated, it answers the payment that is there.
    ///
    /// # Errors
    /// [`ReceiptError`]; then nothing is recorded.
    pub async fn record_offline(&self, receipt: &Receipt) -> Result<Payment, ReceiptError> {
        receipt.validate()?;
        let recorded = self.db.transaction(async |tx| self.take_receipt(tx, receipt).await).await?;
        Ok(recorded)
    }

    async fn take_receipt(&self, tx: &Tx, receipt: &Receipt) -> Result<Payment, ReceiptError> {
        store::booking_turn(tx, receipt.booking_id).await?;
        let payment = receipt.payment(self.env.now());
        if let Some(known) = store::payment_fetch(tx, &payment.id).await? {
            let same = (known.booking_id, known.amount) == (payment.booking_id, payment.amount);
            return if same { Ok(known) } else { Err(ReceiptError::KeyReused) };
        }
        let actor = receipt.actor.to_string();
        let origin =
            store::Origin { learned_from: "offline", reference: Some(&receipt.reference), received_by: Some(&actor) };
        if !store::payment_insert(tx, &payment, &origin).await? {
            return Err(ReceiptError::KeyReused);
        }
        self.note_payment(tx, &payment, "payment.receive", Some(actor)).await?;
        self.book_capture(tx, &payment).await?;
        // Whoever is at the checkout now gets back what is paid there.
        store::orders_void(tx, receipt.booking_id).await?;
        store::payable_close(tx, receipt.booking_id, self.env.now()).await?;
        self.settle_payable(tx, receipt.booking_id, receipt.kind, receipt.amount).await?;
        let news = News::captured(receipt.booking_id, receipt.kind, &payment, None);
        // Who asked knows it already, and has the time until the next relay to note it first.
        self.tell(tx, news, false).await.map_err(ReceiptError::Other)?;
        Ok(payment)
    }
}
