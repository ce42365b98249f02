//! The table of bookings that were never paid.

use cairn_shared::Zone;

use super::Cell;
use crate::store::FailedBooking;

pub const TITLES: [&str; 12] = [
    "Failed Booking ID",
    "Original Booking ID",
    "User Name",
    "User Email",
    "Trek Name",
    "Participants",
    "Total Price",
    "Failure Reason",
    "Payment Attempts",
    "Original Created",
    "Archived At",
    "Archived By",
];

/// The account's text, else the contact's.
fn first<'a>(account: &'a str, contact: &'a str) -> Cell {
    Cell::text(if account.trim().is_empty() { contact } else { account })
}

pub fn row(failed: &FailedBooking, zone: Zone) -> Vec<Cell> {
    let booking = &failed.booking;
    vec![
        Cell::text(format!("FB{}", failed.id.short_code())),
        Cell::text(booking.id.to_string()),
        first(&booking.user.name, &booking.contact.name),
        first(&booking.user.email, &booking.contact.email),
        Cell::text(&booking.trek_name),
        Cell::Count(booking.count()),
        Cell::text(format!("\u{20b9}{}", booking.price.total)),
        Cell::text(&failed.reason),
        Cell::Count(booking.session.as_ref().map_or(0, |session| session.attempts)),
        Cell::text(zone.day_text(failed.original_created_at)),
        Cell::text(zone.day_text(failed.archived_at)),
        Cell::text(&failed.archived_by),
    ]
}
