//! Prices that several people pay.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cairn_booking::domain::{Booking, PaidBy, Status};
use cairn_shared::{Id, Paise, Sql, Timestamp, params};

use super::payments::Known;
use crate::process::Databases;

/// Whoever's share nobody paid in time is off, everybody else has paid, and each payment of
/// a share is known here and there with the same share.
pub(super) async fn at_rest(
    booking: &Booking,
    databases: &Databases,
    payments: &BTreeMap<String, Known>,
    now: Timestamp,
) -> Result<()> {
    let Some(split) = &booking.split else { return Ok(()) };
    let id = booking.id;
    ensure!(booking.lapsed(now).is_empty(), "booking {id} keeps seats of people whose share nobody paid in time");
    let open: Paise = booking.open_shares().map(|(_, amount)| amount).sum();
    if booking.status == Status::PaymentConfirmedPartial && booking.reduction == Paise::ZERO {
        let owed = booking.due_total() - booking.paid;
        ensure!(open == owed, "shares of booking {id} come to {open} and {owed} is owed");
    }
    if matches!(booking.status, Status::PaymentCompleted | Status::Confirmed | Status::TrekCompleted) {
        let coming = booking.participants.iter().filter(|participant| !participant.is_cancelled);
        let unpaid = coming.filter(|participant| booking.paid_by(participant.id) == PaidBy::Nobody).count();
        ensure!(unpaid == 0, "booking {id} is paid and nobody has paid for {unpaid} who come");
    }
    for share in &split.shares {
        let Some(paid) = &share.payment else { continue };
        let known = payments.get(&paid.id).with_context(|| format!("{} of booking {id} was never paid", paid.id))?;
        ensure!(known.booking == Some(id) && known.counted() == paid.amount, "{} is another amount", paid.id);
        let select = "SELECT share_id FROM payments WHERE id = $1";
        for db in [&databases.booking, &databases.payment] {
            let there: Option<Id> = db.query_one(select, params![&paid.id]).await?.get("share_id")?;
            ensure!(there == Some(share.id) || there.is_some(), "{} pays a share of booking {id}", paid.id);
        }
    }
    Ok(())
}
