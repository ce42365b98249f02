//! Invoices, vouchers and notes: issued with the change that calls for them, kept as they
//! were, and shown to whom they belong.

use cairn_shared::{Id, Paise, Timestamp, Tx, id::random, identity::Caller};

use super::{App, BookingError};
use crate::{
    domain::{Billing, Booking, DocumentKind, Documented, DueDocument, Gstin, Refusal, Status, document_due, series},
    invoice::{self, Content, Issue, Subject},
    store::{self, BareInvoice, Document},
};

/// Most documents that one change of a booking calls for.
const DOCUMENTS_OF_CHANGE_MAX: usize = 3;

/// Who issues documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seller {
    pub legal_name: String,
    pub trade_name: String,
    pub tagline: Option<String>,
    pub gstin: Option<Gstin>,
    pub address: Option<String>,
    pub phone: Option<String>,
    pub email: Option<String>,
    /// Services accounting code of what is sold.
    pub sac: String,
    /// Where documents can be checked, without a slash at its end.
    pub api_url: String,
}

/// Whether a booking may have documents, or call for some.
fn is_documented(booking: &Booking) -> bool {
    match booking.status {
        Status::PaymentCompleted
        | Status::PaymentConfirmedPartial
        | Status::Confirmed
        | Status::TrekCompleted
        | Status::Cancelled
        | Status::Deleted => true,
        Status::Creating | Status::Pending | Status::PendingPayment | Status::Expired => booking.paid > Paise::ZERO,
    }
}

fn documented(documents: &[Document]) -> Documented {
    let mut so_far = Documented::default();
    for document in documents {
        so_far.add(document.kind, document.amount);
    }
    so_far
}

/// Why something of a booking is taken back: it was cancelled, or its last participant was.
fn reason(booking: &Booking) -> &str {
    if booking.status == Status::Cancelled {
        return &booking.cancellation_reason;
    }
    let gone = booking.participants.iter().filter(|participant| participant.is_cancelled);
    let last = gone.max_by_key(|participant| participant.cancelled_at);
    last.map_or("", |participant| participant.cancellation_reason.as_str())
}

/// What a new document is for.
struct Call<'a> {
    due: DueDocument,
    reason: &'a str,
    occasion: Option<&'a str>,
}

impl App {
    /// Issues what a changed booking calls for, in the transaction that changes it.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn document(
        &self,
        tx: &Tx,
        booking: &Booking,
        occasion: Option<&str>,
    ) -> Result<Vec<Document>, BookingError> {
        if !is_documented(booking) {
            return Ok(Vec::new());
        }
        let mut documents = self.documents_kept(tx, booking).await?;
        for _ in 0..DOCUMENTS_OF_CHANGE_MAX {
            let Some(due) = document_due(booking, &documented(&documents)) else { break };
            let call = Call { due, reason: reason(booking), occasion };
            documents.push(self.issue(tx, booking, &documents, &call).await?);
        }
        Ok(documents)
    }

    /// The documents of a booking, after those have been written up of which an earlier
    /// version of this service kept the number alone.
    async fn documents_kept(&self, tx: &Tx, booking: &Booking) -> Result<Vec<Document>, BookingError> {
        let mut documents = store::document_list(tx, booking.id).await?;
        for bare in store::invoice_list_bare(tx, booking.id).await? {
            let document = self.written_up(tx, booking, &documents, &bare).await?;
            store::document_insert(tx, &bare.prefix, &document).await?;
            documents.push(document);
        }
        Ok(documents)
    }

    async fn written_up(
        &self,
        tx: &Tx,
        booking: &Booking,
        earlier: &[Document],
        bare: &BareInvoice,
    ) -> Result<Document, BookingError> {
        let initial = booking.partial.as_ref().map_or(booking.paid, |partial| partial.initial);
        let (kind, to) = match bare.prefix.as_str() {
            "PP-INV" => (DocumentKind::ReceiptVoucher, initial.min(booking.price.total)),
            _ => (DocumentKind::Invoice, booking.due_total()),
        };
        let call = Call { due: DueDocument { kind, from: Paise::ZERO, to }, reason: "", occasion: None };
        self.written(tx, booking, earlier, &call, bare.number.clone(), bare.at).await
    }

    async fn issue(
        &self,
        tx: &Tx,
        booking: &Booking,
        earlier: &[Document],
        call: &Call<'_>,
    ) -> Result<Document, BookingError> {
        let now = self.now();
        let prefix = series(call.due.kind, booking);
        let number = store::number_take(tx, prefix, self.env.zone.financial_year(now)).await?;
        let document = self.written(tx, booking, earlier, call, number, now).await?;
        store::document_insert(tx, prefix, &document).await?;
        Ok(document)
    }

    async fn written(
        &self,
        tx: &Tx,
        booking: &Booking,
        earlier: &[Document],
        call: &Call<'_>,
        number: String,
        at: Timestamp,
    ) -> Result<Document, BookingError> {
        let mut bytes = [0; 16];
        random(&mut bytes);
        let code = format!("{:032x}", u128::from_be_bytes(bytes));
        let base = match call.due.kind {
            DocumentKind::CreditNote | DocumentKind::DebitNote => DocumentKind::Invoice,
            DocumentKind::Invoice | DocumentKind::RefundVoucher => DocumentKind::ReceiptVoucher,
            // The first of its booking, or another advance beside it.
            DocumentKind::ReceiptVoucher => DocumentKind::DebitNote,
        };
        let against = earlier.iter().filter(|document| document.kind == base);
        let against: Vec<_> = against.map(|document| (document.number.clone(), document.issued_at)).collect();
        let payments = store::payment_list(tx, booking.id).await?;
        let issue = Issue {
            number: &number,
            at,
            due: call.due,
            against: &against,
            reason: call.reason,
            check_url: format!("{}/api/bookings/documents/{code}", self.seller.api_url),
        };
        let content = Content::issued(&self.subject(booking, &payments), issue);
        Ok(Document {
            number,
            booking_id: booking.id,
            kind: call.due.kind,
            amount: call.due.amount(),
            issued_at: at,
            code,
            occasion: call.occasion.map(str::to_owned),
            content,
        })
    }

    fn subject<'a>(&'a self, booking: &'a Booking, payments: &'a [crate::domain::Payment]) -> Subject<'a> {
        Subject { seller: &self.seller, booking, payments, zone: self.env.zone }
    }

    /// A booking of the caller's, or any one for admins.
    async fn documents_visible(&self, caller: &Caller, id: Id) -> Result<Booking, BookingError> {
        let booking = self.visible(&self.db, id).await?;
        if booking.user.id != caller.id && !caller.is_admin() {
            return Err(BookingError::Forbidden("Not authorized to download this invoice"));
        }
        Ok(booking)
    }

    /// All documents of a booking, oldest first, for the owner and for admins.
    ///
    /// # Errors
    /// [`BookingError::NotFound`], [`BookingError::Forbidden`].
    pub async fn documents(&self, caller: &Caller, id: Id) -> Result<Vec<Document>, BookingError> {
        self.documents_visible(caller, id).await?;
        self.documents_by_now(id).await
    }

    /// One document as a PDF, for the owner and for admins; the same bytes each time.
    ///
    /// # Errors
    /// [`BookingError::NotFound`], [`BookingError::Forbidden`], [`Refusal::NoSuchDocument`].
    pub async fn document_pdf(&self, caller: &Caller, id: Id, number: &str) -> Result<Vec<u8>, BookingError> {
        self.documents_visible(caller, id).await?;
        let documents = self.documents_by_now(id).await?;
        let found = documents.into_iter().find(|document| document.number == number);
        pdf(&[found.ok_or(Refusal::NoSuchDocument)?.content])
    }

    /// The document of a code, for whoever holds it.
    ///
    /// # Errors
    /// [`Refusal::NoSuchDocument`].
    pub async fn document_of_code(&self, code: &str) -> Result<Document, BookingError> {
        Ok(store::document_fetch_by_code(&self.db, code).await?.ok_or(Refusal::NoSuchDocument)?)
    }

    /// What clients call the invoice, as a PDF, for the owner and for admins.
    ///
    /// # Errors
    /// [`BookingError::NotFound`], [`BookingError::Forbidden`].
    pub async fn invoice(&self, caller: &Caller, id: Id) -> Result<Vec<u8>, BookingError> {
        let booking = self.documents_visible(caller, id).await?;
        self.invoice_of(&booking).await
    }

    /// The invoice with what corrects it; before there is one, the receipts for advances;
    /// before there are any, a proforma.
    pub(super) async fn invoice_of(&self, booking: &Booking) -> Result<Vec<u8>, BookingError> {
        let documents = self.documents_by_now(booking.id).await?;
        let invoiced = documents.iter().any(|document| document.kind == DocumentKind::Invoice);
        let of_advance =
            |kind: DocumentKind| matches!(kind, DocumentKind::ReceiptVoucher | DocumentKind::RefundVoucher);
        let shown = documents.into_iter().filter(|document| of_advance(document.kind) != invoiced);
        let mut contents: Vec<_> = shown.map(|document| document.content).collect();
        if contents.is_empty() {
            let payments = store::payment_list(&self.db, booking.id).await?;
            contents.push(Content::proforma(&self.subject(booking, &payments), self.now()));
        }
        pdf(&contents)
    }

    /// What an occasion took back of a booking, as PDFs by their numbers.
    pub(super) async fn corrections_of(&self, id: Id, occasion: &str) -> Result<Vec<(String, Vec<u8>)>, BookingError> {
        let documents = store::document_list(&self.db, id).await?;
        let of_occasion = documents
            .into_iter()
            .filter(|document| document.kind.is_correction() && document.occasion.as_deref() == Some(occasion));
        of_occasion.map(|document| Ok((document.number, pdf(&[document.content])?))).collect()
    }

    /// The documents of a booking as it is now: one that an earlier version of this
    /// service stored may still call for some.
    async fn documents_by_now(&self, id: Id) -> Result<Vec<Document>, BookingError> {
        self.db
            .transaction(async |tx| {
                let booking = store::booking_fetch(tx, id).await?.ok_or(BookingError::NotFound)?;
                self.document(tx, &booking, None).await
            })
            .await
    }

    /// Says whom documents are to name. Only before there is an invoice: that one never changes.
    ///
    /// # Errors
    /// [`BookingError::NotFound`], [`BookingError::Forbidden`], [`Refusal::Invoiced`].
    pub async fn set_billing(&self, caller: &Caller, id: Id, billing: &Billing) -> Result<Booking, BookingError> {
        self.documents_visible(caller, id).await?;
        self.db
            .transaction(async |tx| {
                let mut booking = self.visible(tx, id).await?;
                let documents = self.document(tx, &booking, None).await?;
                if documents.iter().any(|document| document.kind == DocumentKind::Invoice) {
                    return Err(Refusal::Invoiced.into());
                }
                booking.billing = Some(billing.clone());
                self.save(tx, &mut booking, None).await?;
                Ok(booking)
            })
            .await
    }
}

fn pdf(contents: &[Content]) -> Result<Vec<u8>, BookingError> {
    invoice::render(contents)
        .map_err(|cause| cairn_shared::Error::internal(cause).message("Failed to generate invoice").into())
}
