//! Invoices of bookings.

use cairn_shared::{Id, identity::Caller};

use super::{App, BookingError, capture::is_first_instalment};
use crate::{
    domain::{Booking, PaymentMode, Status},
    invoice::{self, Document},
    store,
};

/// Who issues invoices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seller {
    pub legal_name: String,
    pub trade_name: String,
    pub gstin: Option<String>,
    pub address: Option<String>,
    pub phone: Option<String>,
    pub email: Option<String>,
}

/// The series an invoice belongs to: a first instalment and a final invoice of two
/// instalments are told apart.
pub(super) fn prefix(booking: &Booking) -> &'static str {
    match booking.mode {
        PaymentMode::Full => "INV",
        PaymentMode::Partial if is_first_instalment(booking) => "PP-INV",
        PaymentMode::Partial => "FP-INV",
    }
}

impl App {
    /// The invoice as a PDF, for the owner and for admins.
    ///
    /// # Errors
    /// [`BookingError::NotFound`], [`BookingError::Forbidden`].
    pub async fn invoice(&self, caller: &Caller, id: Id) -> Result<Vec<u8>, BookingError> {
        let booking = self.visible(&self.db, id).await?;
        if booking.user.id != caller.id && !caller.is_admin() {
            return Err(BookingError::Forbidden("Not authorized to download this invoice"));
        }
        self.invoice_of(&booking).await
    }

    /// Renders the invoice. One for money received gets a number of its series, once;
    /// otherwise it is a proforma.
    pub(super) async fn invoice_of(&self, booking: &Booking) -> Result<Vec<u8>, BookingError> {
        let now = self.now();
        let paid = booking.paid.0 > 0 || booking.status == Status::Confirmed;
        let issued = if paid {
            let (prefix, year) = (prefix(booking), self.env.zone.financial_year(now));
            Some(self.db.transaction(async |tx| store::invoice_issue(tx, booking.id, prefix, year, now).await).await?)
        } else {
            None
        };
        let document = Document {
            seller: &self.seller,
            booking,
            number: issued.as_ref().map(|issued| issued.number.as_str()),
            date: issued.as_ref().map_or(now, |issued| issued.at),
            payments: &store::payment_list(&self.db, booking.id).await?,
            zone: self.env.zone,
        };
        invoice::render(&document)
            .map_err(|cause| cairn_shared::Error::internal(cause).message("Failed to generate invoice").into())
    }
}
