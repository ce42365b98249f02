//! Bookings without a checkout: of a custom trek, and those that staff make.

use cairn_shared::{Id, Paise, Timestamp};

use super::{
    Batch, BatchStatus, Booking, Breakdown, Contact, CreateError, Displayed, Draft, EmergencyContact, NewBooking,
    PaidStatus, Participant, ParticipantInput, PaymentMode, Proof, Sale, Status, Terms, User, draft, price,
};

/// A request to book a custom trek.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomBooking {
    pub trek_id: Id,
    pub count: u32,
    pub contact: Contact,
}

/// A booking that staff make for a customer.
#[derive(Debug, Clone)]
pub struct ManualBooking {
    pub user_id: Id,
    pub trek_id: Id,
    pub batch_id: Id,
    pub count: u32,
    pub contact: Contact,
    /// What was agreed on.
    pub total: Paise,
    pub paid: PaidStatus,
    pub proof: Proof,
    pub emergency: Option<EmergencyContact>,
    /// Empty when nothing is known of them yet.
    pub participants: Vec<ParticipantInput>,
    pub requests: Option<String>,
}

/// Whether a custom trek can be booked. Its dates mean nothing.
///
/// # Errors
/// The first rule that is broken.
pub fn custom_sale(
    terms: Option<Terms>,
    batch: Option<Batch>,
    count: u32,
    now: Timestamp,
) -> Result<Sale, CreateError> {
    let terms = terms.ok_or(CreateError::TrekNotFound)?;
    if !terms.custom {
        return Err(CreateError::NotCustom);
    }
    if terms.custom_link_expiry.is_some_and(|expiry| expiry <= now) {
        return Err(CreateError::LinkExpired);
    }
    if !terms.enabled {
        return Err(CreateError::TrekDisabled);
    }
    let batch = batch.filter(|batch| batch.trek_id == terms.id).ok_or(CreateError::CustomBatchNotFound)?;
    if batch.status == BatchStatus::Cancelled {
        return Err(CreateError::BatchClosed);
    }
    if count > batch.free() {
        return Err(CreateError::CustomSoldOut);
    }
    let base = terms.display_price.times(count);
    Ok(Sale { terms, batch, add_ons: Vec::new(), base })
}

/// Whether staff can book for somebody: reserved seats and dates that have begun are
/// theirs to decide about.
///
/// # Errors
/// The first rule that is broken.
pub fn manual_sale(terms: Option<Terms>, batch: Option<Batch>, count: u32) -> Result<Sale, CreateError> {
    let terms = terms.ok_or(CreateError::TrekNotFound)?;
    let batch = batch.filter(|batch| batch.trek_id == terms.id).ok_or(CreateError::BatchNotInTrek)?;
    if batch.status == BatchStatus::Cancelled {
        return Err(CreateError::BatchClosed);
    }
    if count > batch.max_participants.saturating_sub(batch.taken) {
        return Err(CreateError::SoldOut);
    }
    let base = batch.price.times(count);
    Ok(Sale { terms, batch, add_ons: Vec::new(), base })
}

/// A confirmed booking of a custom trek, not paid.
pub fn custom_booking(
    new: &CustomBooking,
    sale: &Sale,
    user: User,
    ids: &mut dyn FnMut() -> Id,
    now: Timestamp,
) -> Booking {
    let price = Breakdown::agreed(sale.terms.display_price, new.count);
    let made = agreed(new.contact.clone(), new.count, sale, price, user, ids, now);
    Booking { status: Status::Confirmed, ..made }
}

/// A booking by staff, not paid. What was received comes with the money.
pub fn manual_booking(
    new: &ManualBooking,
    sale: &Sale,
    user: User,
    participants: Vec<Participant>,
    ids: &mut dyn FnMut() -> Id,
    now: Timestamp,
) -> Booking {
    let price = Breakdown::agreed_total(new.total, new.count);
    let list = list_price(sale, new.count);
    let made = agreed(new.contact.clone(), new.count, sale, price, user, ids, now);
    Booking {
        status: Status::Pending,
        admin_created: true,
        list_total: Some(list),
        emergency: new.emergency.clone(),
        participants,
        additional_requests: new.requests.clone(),
        admin_remarks: "Admin Created Booking".to_owned(),
        ..made
    }
}

/// What a customer would have been asked for.
fn list_price(sale: &Sale, count: u32) -> Paise {
    if sale.terms.custom {
        return sale.terms.display_price.times(count);
    }
    price(&sale.terms, sale.batch.price, count, &[], Paise::ZERO).total
}

fn agreed(
    contact: Contact,
    count: u32,
    sale: &Sale,
    price: Breakdown,
    user: User,
    ids: &mut dyn FnMut() -> Id,
    now: Timestamp,
) -> Booking {
    let new = NewBooking {
        trek_id: sale.terms.id,
        batch_id: sale.batch.id,
        count,
        contact,
        add_ons: Vec::new(),
        promo_code: None,
        voucher_code: None,
        mode: PaymentMode::Full,
        displayed: Displayed::default(),
        session_id: None,
    };
    let made = draft(&new, sale, Draft { price, partial: None, promo: None }, user, None, ids, now);
    Booking { session: None, ..made }
}
