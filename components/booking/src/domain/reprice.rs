//! Selling an unpaid booking anew: another number of people, other add-ons, another price.

use cairn_shared::{Id, Paise, Timestamp};

use super::{
    AddOn, AddOnLine, Booking, Breakdown, CreateError, Draft, PaymentMode, PromoUse, Quote, Status, Terms, chosen,
    instalments, price,
};

/// What is sold instead; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resale {
    pub count: Option<u32>,
    /// By name.
    pub add_ons: Option<Vec<String>>,
    /// What staff agreed on, in place of the price list.
    pub total: Option<Paise>,
}

impl Resale {
    /// Whether it would change anything of the booking.
    pub fn changes(&self, booking: &Booking) -> bool {
        let names = || booking.add_ons.iter().map(|line| &line.name);
        self.count.is_some_and(|count| count != booking.count())
            || self.total.is_some_and(|total| total != booking.price.total)
            || self.add_ons.as_ref().is_some_and(|wanted| !wanted.iter().eq(names()))
    }

    /// What the booking is then worth before discount, by the unit price it was made at.
    ///
    /// # Errors
    /// An add-on that the trek does not offer.
    pub fn base(&self, booking: &Booking, terms: &Terms) -> Result<Paise, CreateError> {
        let count = self.count.unwrap_or(booking.count());
        Ok(booking.price.unit.times(count) + super::add_ons_total(&self.lines(booking, terms)?, count))
    }

    fn lines(&self, booking: &Booking, terms: &Terms) -> Result<Vec<AddOn>, CreateError> {
        match &self.add_ons {
            Some(names) => chosen(terms, names),
            None => {
                let kept = booking.add_ons.iter();
                Ok(kept.map(|line| AddOn { name: line.name.clone(), price: line.price, enabled: true }).collect())
            }
        }
    }
}

/// Whether its price may still be changed: nothing is paid, or on its way.
pub fn may_be_resold(booking: &Booking) -> bool {
    matches!(booking.status, Status::Pending | Status::PendingPayment)
        && booking.paid == Paise::ZERO
        && booking.offline_due.is_none()
}

/// The booking sold anew. The price is the trek's, unless staff agreed on one, then or
/// when they made it. Details of another number of people do not fit any more.
///
/// # Errors
/// The first rule of a sale that is broken.
pub fn resold(
    booking: &Booking,
    resale: &Resale,
    terms: &Terms,
    quote: Option<Quote>,
    ids: &mut dyn FnMut() -> Id,
    now: Timestamp,
) -> Result<Booking, CreateError> {
    // Who was to pay which share does not fit another price.
    let booking = &booking.unsplit();
    let count = resale.count.unwrap_or(booking.count());
    let lines = resale.lines(booking, terms)?;
    let discount = quote.as_ref().map_or(Paise::ZERO, |quote| quote.discount);
    let listed = price(terms, booking.price.unit, count, &lines, discount);
    let agreed = resale.total.or((booking.list_total.is_some()).then(|| booking.price.unit.times(count)));
    let (price, list_total) = match agreed {
        Some(total) => (Breakdown::agreed_total(total, count), Some(listed.total)),
        None => (listed, None),
    };
    let partial = match (booking.mode, &booking.partial) {
        (PaymentMode::Partial, Some(before)) => {
            let split = instalments(&terms.partial, price.total, count, booking.batch_start, now)
                .ok_or(CreateError::PartialTooLate(terms.partial.due_days))?;
            Some(super::PartialPayment {
                initial: split.initial,
                remaining: split.remaining,
                due: split.due,
                ..before.clone()
            })
        }
        _ => None,
    };
    let draft =
        Draft { promo: quote.filter(|_| agreed.is_none()).map(|quote| PromoUse::of(quote, &price)), partial, price };
    if draft.due_first() == Paise::ZERO {
        return Err(CreateError::NothingToPay);
    }
    let same_people = count == booking.count();
    Ok(Booking {
        add_ons: lines.into_iter().map(|line| AddOnLine { id: ids(), name: line.name, price: line.price }).collect(),
        participants: if same_people { booking.participants.clone() } else { Vec::new() },
        price: draft.price,
        partial: draft.partial,
        promo: draft.promo,
        list_total,
        ..booking.clone()
    })
}
