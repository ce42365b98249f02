//! Which tax documents a booking calls for.
//!
//! Documents follow the booking: what it is worth by now less what its documents say so
//! far is what the next one is for. So whoever changes a booking need not know of them,
//! and asking again when nothing has changed calls for nothing.

use cairn_shared::Paise;

use super::{Booking, Breakdown, PaymentMode, Status};

/// A numbered document. None of them ever changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// For an advance, before there is an invoice.
    ReceiptVoucher,
    Invoice,
    /// An advance that goes back.
    RefundVoucher,
    /// An invoice that is worth less by now.
    CreditNote,
    /// An invoice that is worth more again.
    DebitNote,
}

impl DocumentKind {
    pub const ALL: [Self; 5] =
        [Self::ReceiptVoucher, Self::Invoice, Self::RefundVoucher, Self::CreditNote, Self::DebitNote];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReceiptVoucher => "receipt_voucher",
            Self::Invoice => "invoice",
            Self::RefundVoucher => "refund_voucher",
            Self::CreditNote => "credit_note",
            Self::DebitNote => "debit_note",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether it takes back, or adds to, what an earlier one said.
    pub fn is_correction(self) -> bool {
        matches!(self, Self::RefundVoucher | Self::CreditNote | Self::DebitNote)
    }
}

/// What the documents of a booking say so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Documented {
    /// Of advances, by receipt vouchers.
    pub received: Paise,
    /// Of those, back by refund vouchers.
    pub returned: Paise,
    /// By the invoice and debit notes; none: there is no invoice.
    pub invoiced: Option<Paise>,
    /// Of that, taken back by credit notes.
    pub credited: Paise,
}

impl Documented {
    /// Adds a document.
    pub fn add(&mut self, kind: DocumentKind, amount: Paise) {
        match kind {
            DocumentKind::ReceiptVoucher => self.received += amount,
            DocumentKind::RefundVoucher => self.returned += amount,
            DocumentKind::Invoice | DocumentKind::DebitNote => {
                self.invoiced = Some(self.invoiced.unwrap_or_default() + amount);
            }
            DocumentKind::CreditNote => self.credited += amount,
        }
    }

    /// What is invoiced and not credited; without an invoice, what was received in
    /// advance and not returned.
    pub fn stands(&self) -> Paise {
        match self.invoiced {
            Some(invoiced) => invoiced - self.credited,
            None => self.received - self.returned,
        }
    }
}

/// A document that is called for. It covers the part of the price from `from` up to
/// `to`, both reckoned from nothing to the frozen total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueDocument {
    pub kind: DocumentKind,
    pub from: Paise,
    pub to: Paise,
}

impl DueDocument {
    pub fn amount(&self) -> Paise {
        self.to - self.from
    }
}

/// What was given back, or is to be: refunds that failed are still owed.
fn given_back(booking: &Booking) -> Paise {
    let decided = booking.refund_requests.iter().map(|request| request.amount).sum::<Paise>();
    decided.max(booking.refunded)
}

/// What the seller keeps of a booking, or is to get for it.
fn worth(booking: &Booking) -> Paise {
    let kept = booking.paid - given_back(booking);
    match booking.status {
        Status::Cancelled | Status::Deleted => kept.max(Paise::ZERO),
        _ => {
            // Money above the price is for nobody, and so is what of it went back.
            let due = booking.due_total();
            let surplus = (booking.paid - due).max(Paise::ZERO);
            (due - (given_back(booking) - surplus).max(Paise::ZERO)).max(Paise::ZERO)
        }
    }
}

/// The next document that a booking calls for; none once its documents say what it is.
pub fn document_due(booking: &Booking, so_far: &Documented) -> Option<DueDocument> {
    let stands = so_far.stands();
    let over = matches!(booking.status, Status::Cancelled | Status::Deleted);
    let (kind, from, to) = match (so_far.invoiced, booking.status) {
        (Some(_), _) if over || worth(booking) < stands => (DocumentKind::CreditNote, worth(booking), stands),
        (Some(_), _) => (DocumentKind::DebitNote, stands, worth(booking)),
        (None, Status::PaymentCompleted | Status::Confirmed | Status::TrekCompleted) => {
            (DocumentKind::Invoice, Paise::ZERO, worth(booking))
        }
        (None, _) => {
            let kept = (booking.paid - given_back(booking)).clamp(Paise::ZERO, booking.price.total);
            match booking.status {
                Status::PaymentConfirmedPartial if kept > stands => (DocumentKind::ReceiptVoucher, stands, kept),
                _ => (DocumentKind::RefundVoucher, kept, stands),
            }
        }
    };
    (from < to).then_some(DueDocument { kind, from, to })
}

/// The prefix of a document's number.
pub fn series(kind: DocumentKind, booking: &Booking) -> &'static str {
    match (kind, booking.mode) {
        (DocumentKind::ReceiptVoucher, _) => "PP-INV",
        (DocumentKind::Invoice, PaymentMode::Full) => "INV",
        (DocumentKind::Invoice, PaymentMode::Partial) => "FP-INV",
        (DocumentKind::RefundVoucher, _) => "RV",
        (DocumentKind::CreditNote, _) => "CN",
        (DocumentKind::DebitNote, _) => "DN",
    }
}

/// An amount and what of it is tax, and what the payment provider's charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    pub taxable: Paise,
    pub tax: Paise,
    pub charge: Paise,
    pub total: Paise,
}

/// The figures of a part of a price. Those of adjoining parts add up to those of the whole.
pub fn figures(price: &Breakdown, from: Paise, to: Paise) -> Figures {
    let up_to = |whole: Paise, point: Paise| {
        let (whole, point, total) = (i128::from(whole.0), i128::from(point.0), i128::from(price.total.0.max(1)));
        Paise(i64::try_from((2 * whole * point + total).div_euclid(2 * total)).unwrap_or(i64::MAX))
    };
    let part = |whole: Paise| up_to(whole, to) - up_to(whole, from);
    let total = to - from;
    let (tax, charge) = (part(price.gst + price.gst_included), part(price.gateway));
    Figures { taxable: total - tax - charge, tax, charge, total }
}

#[cfg(test)]
mod tests;
