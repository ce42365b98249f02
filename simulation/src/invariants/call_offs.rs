//! Departures that were called off, and the money of their bookings.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cairn_booking::{
    domain::{Booking, Choice, RefundRequest, RefundStatus, Status},
    store,
};
use cairn_shared::{Id, Paise, Sql, Timestamp, params};

use super::payments::Known;
use crate::{process::Databases, seen::Seen};

/// Call-offs of a run: one a departure.
const CALL_OFFS_MAX: i64 = 100;

/// Nobody can buy seats there and nobody has any, but those whose trip is over; and after the
/// deadline nothing is left to do.
pub(super) async fn closed(databases: &Databases, seen: &Seen, now: Timestamp) -> Result<()> {
    for off in store::call_off_list(&databases.booking, CALL_OFFS_MAX).await? {
        let select = "SELECT cancelled FROM batches WHERE id = $1";
        let cancelled: bool = databases.batch.query_one(select, params![off.batch_id]).await?.get("cancelled")?;
        ensure!(cancelled && off.closed_at.is_some(), "batch {} is called off and not closed", off.batch_id);
        let over = |booking: &Booking| !booking.status.holds_seats() || booking.status == Status::TrekCompleted;
        for life in seen.lives.values().filter(|life| !life.gone && life.booking.batch_id == off.batch_id) {
            let status = life.booking.status.as_str();
            ensure!(over(&life.booking), "booking {} is {status} on a batch that is called off", life.booking.id);
        }
        ensure!(off.deadline > now || off.finished_at.is_some(), "call-off {} has not ended", off.id);
    }
    Ok(())
}

/// The money of a booking that was called off is where its owner chose, once, or on a
/// refund that staff have to look at.
pub(super) async fn chosen(booking: &Booking, databases: &Databases, payments: &BTreeMap<String, Known>) -> Result<()> {
    let Some(off) = &booking.called_off else { return Ok(()) };
    let id = booking.id;
    let failed: Paise = payments.values().filter(|known| known.booking == Some(id)).map(|known| known.failed).sum();
    let made = booking.refund_requests.iter().filter(|request| {
        Some(request.requested_at) == off.chosen_at && request.participant.is_none() && request.payment.is_none()
    });
    let made: Vec<_> = made.collect();
    let Some(choice @ (Choice::Voucher | Choice::Refund)) = off.choice else {
        let vouchers = made.iter().filter(|request| request.voucher.is_some()).count();
        ensure!(vouchers == 0 && made.len() <= 1, "booking {id} went to another batch and its money elsewhere as well");
        let status = booking.status.as_str();
        let nothing = booking.status == Status::Cancelled && booking.refundable() <= failed;
        ensure!(off.choice.is_some() || nothing, "booking {id} is {status}, was called off, and nobody has chosen");
        return Ok(());
    };
    let [request] = made.as_slice() else {
        anyhow::bail!("booking {id} chose a {} and has {} requests for it", choice.as_str(), made.len());
    };
    ensure!(booking.status == Status::Cancelled, "booking {id} has its money back and is {}", booking.status.as_str());
    let kept = booking.refundable();
    ensure!(kept <= failed, "booking {id} chose a {} and {kept} of it are kept", choice.as_str());
    let (to_voucher, elsewhere) = parts(databases, &request.key).await?;
    match choice {
        Choice::Voucher if request.status == RefundStatus::Failed => {
            ensure!(to_voucher == Paise::ZERO, "booking {id} got a voucher that payment refused");
        }
        Choice::Voucher => {
            let voucher = cairn_payment::store::voucher_fetch_by_key(&databases.payment, &request.key).await?;
            let voucher = voucher.with_context(|| format!("booking {id} chose a voucher and there is none"))?;
            let bonus = bonus(request);
            ensure!(
                to_voucher == request.amount && elsewhere == Paise::ZERO && voucher.amount == request.amount + bonus,
                "booking {id} gave {} for a voucher with {bonus} on top: {to_voucher} became one of {}, {elsewhere} went elsewhere",
                request.amount,
                voucher.amount
            );
            ensure!(voucher.owner_id == Some(booking.user.id), "the voucher of booking {id} is somebody else's");
        }
        Choice::Refund | Choice::Batch => {
            let asked = if request.status == RefundStatus::Failed { elsewhere } else { request.amount };
            ensure!(
                to_voucher == Paise::ZERO && elsewhere == asked,
                "booking {id} wants {} back: {elsewhere} went back and {to_voucher} became a voucher",
                request.amount
            );
            ensure!(request.voucher.is_none(), "booking {id} chose a refund and asks for a voucher");
        }
    }
    Ok(())
}

fn bonus(request: &RefundRequest) -> Paise {
    request.voucher.map_or(Paise::ZERO, |terms| terms.bonus)
}

/// What a refund request moved to a voucher, and what elsewhere, failed parts included. What
/// a voucher had paid goes back to that voucher, and is elsewhere.
async fn parts(databases: &Databases, key: &str) -> Result<(Paise, Paise)> {
    let select = "SELECT r.amount AS amount, v.id AS issued FROM refunds r \
                  LEFT JOIN vouchers v ON v.id = r.voucher_id AND v.issue_key = r.request_key WHERE r.request_key = $1";
    let (mut to_voucher, mut elsewhere) = (Paise::ZERO, Paise::ZERO);
    for row in databases.payment.query(select, params![key]).await? {
        match row.get::<Option<Id>>("issued")? {
            Some(_) => to_voucher += row.get("amount")?,
            None => elsewhere += row.get("amount")?,
        }
    }
    Ok((to_voucher, elsewhere))
}
