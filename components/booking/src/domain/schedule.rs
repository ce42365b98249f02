//! When schedules act on a booking.

use cairn_shared::{
    Paise, Timestamp, Zone,
    time::{DAY, MINUTE},
};

use super::{Booking, Status};

/// How long before a balance is due its payer is reminded, in ms.
const REMIND_BEFORE: i64 = 3 * DAY;

/// Calendar days before a trip on which its people are reminded.
const TRIP_REMINDER_DAYS: i64 = 2;

/// As [`REMIND_BEFORE`], of a share.
const REMIND_OF_SHARES_BEFORE: i64 = DAY;

/// How long a customer who has asked to pay is left alone, in ms.
const ORDER_YOUNG: i64 = 30 * MINUTE;

/// Whether the booker is to be reminded of the balance, which nobody did so far.
pub fn needs_balance_reminder(booking: &Booking, now: Timestamp) -> bool {
    booking.status == Status::PaymentConfirmedPartial
        && booking.partial.as_ref().is_some_and(|partial| {
            let before = if booking.split.is_some() { REMIND_OF_SHARES_BEFORE } else { REMIND_BEFORE };
            partial.remaining > Paise::ZERO
                && partial.reminder_sent_at.is_none()
                && partial.due >= now
                && partial.due <= now.plus(before)
        })
}

/// Whether the balance should have been paid by now. Shares that nobody pays are another
/// matter: see [`Booking::lapsed`].
pub fn is_overdue(booking: &Booking, now: Timestamp) -> bool {
    booking.status == Status::PaymentConfirmedPartial
        && booking.shares_due().is_none()
        && booking.partial.as_ref().is_some_and(|partial| partial.remaining > Paise::ZERO && partial.due < now)
}

/// Whether the customer asked to pay the balance a moment ago.
pub fn is_about_to_pay(booking: &Booking, now: Timestamp) -> bool {
    booking.balance_order_at.is_some_and(|at| now.since(at) < ORDER_YOUNG)
}

/// The instants between which trips start whose people are reminded today.
pub fn trip_reminder_span(zone: Zone, now: Timestamp) -> (Timestamp, Timestamp) {
    let from = zone.start_of_day(now).plus(TRIP_REMINDER_DAYS * DAY);
    (from, from.plus(DAY))
}

/// Whether the last day of a confirmed booking's trip is over. A custom trek's dates say
/// nothing about that.
pub fn is_finished(booking: &Booking, zone: Zone, now: Timestamp) -> bool {
    booking.status == Status::Confirmed && !booking.custom && zone.start_of_day(booking.batch_end).plus(DAY) <= now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_after_tomorrow_is_indias() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (now, from) in [
            ("2026-12-10T18:29:59.999Z", "2026-12-11T18:30:00Z"),
            ("2026-12-10T18:30:00Z", "2026-12-12T18:30:00Z"),
            ("2026-12-11T03:30:00Z", "2026-12-12T18:30:00Z"),
        ] {
            assert_eq!(trip_reminder_span(Zone::INDIA, at(now)), (at(from), at(from).plus(DAY)), "{now}");
        }
    }
}
