//! From a request to a booking with a frozen price.

use cairn_shared::{Id, Paise, Timestamp, time::MINUTE};

use super::{
    AddOn, AddOnLine, Batch, BatchStatus, Booking, Breakdown, CancellationRequest, Contact, DiscountType,
    PartialPayment, PaymentMode, PromoUse, RefundPolicy, RefundStatus, RefundType, Session, Status, Terms, User,
    add_ons_total, instalments, price,
};

/// Most participants of one booking.
pub const fn participants_max() -> u32 {
    50
}

/// How long a booking waits for its payment, in ms.
const SESSION: i64 = 30 * MINUTE;

/// What a displayed amount may fall short of the real one.
const DISPLAY_TOLERANCE: Paise = Paise::rupees(1);

const SESSION_ID_CHARS_MAX: usize = 100;

/// Amounts that the client showed. They are compared, never used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Displayed {
    pub total: Option<Paise>,
    pub initial: Option<Paise>,
}

/// A request to book, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBooking {
    pub trek_id: Id,
    pub batch_id: Id,
    pub count: u32,
    pub contact: Contact,
    /// Names of add-ons.
    pub add_ons: Vec<String>,
    pub promo_code: Option<String>,
    /// The code of a voucher that is to pay, as far as it goes.
    pub voucher_code: Option<String>,
    pub mode: PaymentMode,
    pub displayed: Displayed,
    pub session_id: Option<String>,
}

/// Why a booking cannot be made. The texts are what clients show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    #[error("Trek not found")]
    TrekNotFound,
    #[error("This trek is currently unavailable for booking")]
    TrekDisabled,
    #[error("This trek can only be booked through its custom link")]
    CustomTrek,
    #[error("This is not a custom trek")]
    NotCustom,
    #[error("This custom trek link has expired.")]
    LinkExpired,
    #[error("Custom batch not found")]
    CustomBatchNotFound,
    #[error("Not enough spots available in this custom trek")]
    CustomSoldOut,
    #[error("{0}")]
    Participants(String),
    #[error("Failed booking not found")]
    FailedNotFound,
    #[error("Cannot restore booking - batch is now full")]
    RestoreSoldOut,
    #[error("The customer has another unpaid booking of this batch. It has to be paid or to expire first.")]
    AnotherLive,
    #[error("User not found")]
    UserNotFound,
    #[error("Batch not found in trek")]
    BatchNotInTrek,
    #[error("Batch not found")]
    BatchNotFound,
    #[error("This batch is no longer open for booking")]
    BatchClosed,
    #[error("Not enough spots available in this batch")]
    SoldOut,
    #[error("Partial payment is not enabled for this trek")]
    PartialDisabled,
    #[error("Partial payment is not available for bookings within {0} days of the trek start date")]
    PartialTooLate(u32),
    #[error("The add-on \u{201c}{0}\u{201d} is not available for this trek")]
    AddOn(String),
    #[error("Invalid promo code")]
    PromoInvalid,
    #[error("Promo code has expired")]
    PromoExpired,
    #[error("Promo code has reached maximum uses")]
    PromoUsedUp,
    #[error("Order value must be at least {0} to use this code")]
    PromoBelowMinimum(Paise),
    #[error("Promo code not applicable for this trek")]
    PromoNotApplicable,
    #[error("Invalid voucher code")]
    VoucherInvalid,
    #[error("This voucher has expired")]
    VoucherExpired,
    #[error("This voucher is no longer valid")]
    VoucherVoid,
    #[error("Nothing is left of this voucher, or it waits for another booking that is being paid")]
    VoucherUsedUp,
    #[error("Price has changed. Please refresh and try again.")]
    PriceChanged,
    #[error("Partial payment amount mismatch. Please refresh and try again.")]
    InitialChanged,
    #[error("This booking costs nothing. Please contact us to book it.")]
    NothingToPay,
    #[error("This booking is being processed. Please wait for its answer.")]
    InProgress,
    #[error("{0}")]
    Unavailable(String),
}

impl CreateError {
    /// Whether a voucher does not pay what it was to pay.
    pub fn is_about_voucher(&self) -> bool {
        matches!(self, Self::VoucherInvalid | Self::VoucherExpired | Self::VoucherVoid | Self::VoucherUsedUp)
    }
}

/// What a booking is sold under: the trek's terms, the batch, the add-ons chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    pub terms: Terms,
    pub batch: Batch,
    pub add_ons: Vec<AddOn>,
    /// Before discount and tax.
    pub base: Paise,
}

/// Whether the trek, the batch and the add-ons can be sold. `own` seats are already
/// held for this very booking.
///
/// # Errors
/// The first rule that is broken.
pub fn sellable(
    new: &NewBooking,
    terms: Option<Terms>,
    batch: Option<Batch>,
    own: u32,
    now: Timestamp,
) -> Result<Sale, CreateError> {
    let sale = sold(new, terms, batch, now)?;
    if new.count > sale.batch.free().saturating_add(own) {
        return Err(CreateError::SoldOut);
    }
    Ok(sale)
}

/// As [`sellable`], for staff, who may give reserved seats away.
///
/// # Errors
/// The first rule that is broken.
pub fn sellable_by_staff(
    new: &NewBooking,
    terms: Option<Terms>,
    batch: Option<Batch>,
    now: Timestamp,
) -> Result<Sale, CreateError> {
    let sale = sold(new, terms, batch, now)?;
    if new.count > sale.batch.max_participants.saturating_sub(sale.batch.taken) {
        return Err(CreateError::RestoreSoldOut);
    }
    Ok(sale)
}

/// All rules but that of seats.
fn sold(new: &NewBooking, terms: Option<Terms>, batch: Option<Batch>, now: Timestamp) -> Result<Sale, CreateError> {
    let terms = terms.ok_or(CreateError::TrekNotFound)?;
    if !terms.enabled {
        return Err(CreateError::TrekDisabled);
    }
    if terms.custom {
        return Err(CreateError::CustomTrek);
    }
    let batch = batch.filter(|batch| batch.trek_id == terms.id).ok_or(CreateError::BatchNotFound)?;
    if batch.status != BatchStatus::Upcoming || batch.start <= now {
        return Err(CreateError::BatchClosed);
    }
    if new.mode == PaymentMode::Partial {
        let due_days = terms.partial.due_days;
        if !terms.partial.enabled {
            return Err(CreateError::PartialDisabled);
        }
        if instalments(&terms.partial, Paise::ZERO, new.count, batch.start, now).is_none() {
            return Err(CreateError::PartialTooLate(due_days));
        }
    }
    let add_ons = chosen(&terms, &new.add_ons)?;
    let base = batch.price.times(new.count) + add_ons_total(&add_ons, new.count);
    Ok(Sale { terms, batch, add_ons, base })
}

/// The trek's enabled add-ons of these names, each once.
///
/// # Errors
/// One that the trek does not offer.
pub fn chosen(terms: &Terms, names: &[String]) -> Result<Vec<AddOn>, CreateError> {
    let mut chosen: Vec<AddOn> = Vec::with_capacity(names.len());
    for name in names {
        let offered = terms.add_ons.iter().find(|add_on| add_on.enabled && add_on.name == *name);
        let add_on = offered.ok_or_else(|| CreateError::AddOn(name.chars().take(60).collect()))?;
        if !chosen.contains(add_on) {
            chosen.push(add_on.clone());
        }
    }
    Ok(chosen)
}

/// A promo code that applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    pub id: Id,
    pub code: String,
    pub discount_type: DiscountType,
    /// Basis points or paise, by type.
    pub discount_value: i64,
    pub discount: Paise,
}

/// The frozen price of a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub price: Breakdown,
    pub partial: Option<PartialPayment>,
    pub promo: Option<PromoUse>,
}

/// Reckons the price, and refuses to charge more than was displayed.
///
/// # Errors
/// The first rule that is broken.
pub fn priced(new: &NewBooking, sale: &Sale, quote: Option<Quote>, now: Timestamp) -> Result<Draft, CreateError> {
    let discount = quote.as_ref().map_or(Paise::ZERO, |quote| quote.discount);
    let price = price(&sale.terms, sale.batch.price, new.count, &sale.add_ons, discount);
    let partial = match new.mode {
        PaymentMode::Full => None,
        PaymentMode::Partial => {
            let split = instalments(&sale.terms.partial, price.total, new.count, sale.batch.start, now);
            let split = split.ok_or(CreateError::PartialTooLate(sale.terms.partial.due_days))?;
            Some(PartialPayment {
                initial: split.initial,
                remaining: split.remaining,
                due: split.due,
                reminder_sent_at: None,
                initial_paid_at: None,
                final_paid_at: None,
            })
        }
    };
    let above = |real: Paise, shown: Option<Paise>| shown.is_some_and(|shown| real > shown + DISPLAY_TOLERANCE);
    if above(price.total, new.displayed.total) {
        return Err(CreateError::PriceChanged);
    }
    if partial.as_ref().is_some_and(|partial| above(partial.initial, new.displayed.initial)) {
        return Err(CreateError::InitialChanged);
    }
    let promo = quote.map(|quote| PromoUse::of(quote, &price));
    let draft = Draft { price, partial, promo };
    if draft.due_first() == Paise::ZERO {
        return Err(CreateError::NothingToPay);
    }
    Ok(draft)
}

impl Draft {
    /// What is to be paid first.
    pub fn due_first(&self) -> Paise {
        self.partial.as_ref().map_or(self.price.total, |partial| partial.initial)
    }
}

impl PromoUse {
    /// The use of a code in a price.
    pub fn of(quote: Quote, price: &Breakdown) -> Self {
        Self {
            id: quote.id,
            code: quote.code,
            discount_type: quote.discount_type,
            discount_value: quote.discount_value,
            discount: price.discount,
            original_price: price.base,
        }
    }
}

/// An expired booking with a new session and today's price.
pub fn renewed(expired: &Booking, draft: Draft, now: Timestamp) -> Booking {
    Booking {
        price: draft.price,
        partial: draft.partial,
        promo: draft.promo,
        status: Status::PendingPayment,
        session: Some(Session {
            id: format!("restored_{}_{}", now.millis(), expired.user.id),
            expires_at: now.plus(SESSION),
            attempts: 0,
            last_attempt: None,
        }),
        payment_error: None,
        tender: None,
        staff_seats: true,
        ..expired.unsplit()
    }
}

/// The booking that a request makes, or that an earlier one of the same session becomes.
pub fn draft(
    new: &NewBooking,
    sale: &Sale,
    draft: Draft,
    user: User,
    earlier: Option<&Booking>,
    ids: &mut dyn FnMut() -> Id,
    now: Timestamp,
) -> Booking {
    let id = earlier.map_or_else(&mut *ids, |earlier| earlier.id);
    let attempts = earlier.and_then(|earlier| earlier.session.as_ref()).map_or(0, |session| session.attempts);
    let session_id = new.session_id.as_deref().filter(|given| !given.is_empty());
    let session_id = session_id.map_or_else(
        || format!("session_{}_{}", now.millis(), user.id),
        |given| given.chars().take(SESSION_ID_CHARS_MAX).collect(),
    );
    let lines =
        sale.add_ons.iter().map(|add_on| AddOnLine { id: ids(), name: add_on.name.clone(), price: add_on.price });
    let add_ons = lines.collect();
    let fresh = Booking {
        id,
        version: 0,
        user,
        trek_id: sale.terms.id,
        trek_name: sale.terms.name.clone(),
        batch_id: sale.batch.id,
        batch_start: sale.batch.start,
        batch_end: sale.batch.end,
        add_ons,
        contact: new.contact.clone(),
        billing: None,
        emergency: None,
        price: draft.price,
        promo: draft.promo,
        status: Status::PendingPayment,
        mode: new.mode,
        partial: draft.partial,
        session: Some(Session {
            id: session_id,
            expires_at: now.plus(SESSION),
            attempts: attempts + 1,
            last_attempt: Some(now),
        }),
        participants: Vec::new(),
        additional_requests: None,
        special_requirements: None,
        admin_remarks: String::new(),
        remarks: Vec::new(),
        admin_created: false,
        staff_seats: false,
        custom: sale.terms.custom,
        list_total: None,
        cancellation_request: CancellationRequest::default(),
        cancelled_at: None,
        cancelled_by: None,
        cancellation_reason: String::new(),
        refund_status: RefundStatus::NotApplicable,
        refund_amount: Paise::ZERO,
        refund_date: None,
        refund_type: RefundType::Auto,
        policy: RefundPolicy::default(),
        clearance: None,
        refund_requests: Vec::new(),
        first_payment: None,
        payment_error: None,
        paid: Paise::ZERO,
        refunded: Paise::ZERO,
        offline_due: None,
        tender: None,
        reduction: Paise::ZERO,
        called_off: None,
        split: None,
        balance_order_at: None,
        refund_due: None,
        created_at: now,
        updated_at: now,
    };
    match earlier {
        None => fresh,
        Some(earlier) => Booking {
            version: earlier.version,
            // Details of another number of people would not fit any more.
            participants: if earlier.count() == fresh.count() { earlier.participants.clone() } else { Vec::new() },
            billing: earlier.billing.clone(),
            emergency: earlier.emergency.clone(),
            additional_requests: earlier.additional_requests.clone(),
            special_requirements: earlier.special_requirements.clone(),
            admin_remarks: earlier.admin_remarks.clone(),
            remarks: earlier.remarks.clone(),
            clearance: earlier.clearance.clone(),
            admin_created: earlier.admin_created,
            created_at: earlier.created_at,
            ..fresh
        },
    }
}
