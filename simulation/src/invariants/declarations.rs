//! Who may come where something has to be declared.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cairn_booking::domain::{Booking, Status};
use cairn_shared::{Db, Id, Sql, params};

/// A booking that is confirmed has everybody cleared who comes: the newest declaration of
/// each, by this name, is approved.
///
/// # Errors
/// Who is not.
pub async fn confirmed(bookings: &Db, booking: &Booking) -> Result<()> {
    if booking.status != Status::Confirmed || booking.clearance.is_none() {
        return Ok(());
    }
    ensure!(!booking.participants.is_empty(), "booking {} is confirmed and nobody says who comes", booking.id);
    for missing in uncleared(bookings, booking).await? {
        anyhow::bail!("booking {} is confirmed and {missing} is not cleared", booking.id);
    }
    Ok(())
}

/// None waits for a confirmation that nothing is in the way of.
pub(super) async fn at_rest(bookings: &Db, booking: &Booking) -> Result<()> {
    confirmed(bookings, booking).await?;
    if booking.status != Status::PaymentCompleted || booking.clearance.is_none() || booking.participants.is_empty() {
        return Ok(());
    }
    let waits_for = uncleared(bookings, booking).await?;
    ensure!(!waits_for.is_empty(), "booking {} is paid, everybody is cleared, and it is not confirmed", booking.id);
    Ok(())
}

async fn uncleared(bookings: &Db, booking: &Booking) -> Result<Vec<String>> {
    let select = "SELECT participant_id, name, state FROM declarations WHERE booking_id = $1 ORDER BY submitted_at, id";
    let mut newest = BTreeMap::new();
    for row in bookings.query(select, params![booking.id]).await? {
        newest.insert((row.get::<Id>("participant_id")?, row.get::<String>("name")?), row.get::<String>("state")?);
    }
    let coming = booking.participants.iter().filter(|participant| !participant.is_cancelled);
    let approved = |id: Id, name: &str| newest.get(&(id, name.to_owned())).is_some_and(|state| state == "approved");
    let missing = coming.filter(|participant| !approved(participant.id, &participant.name));
    Ok(missing.map(|participant| participant.name.clone()).collect())
}
