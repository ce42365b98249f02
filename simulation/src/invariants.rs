//! What has to be true once everything has come to rest.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cairn_booking::domain::{Booking, Status};
use cairn_shared::{Db, Id, Paise, Row, Sql, Timestamp, params};

use crate::{
    process::Databases,
    provider::Provider,
    seen::{Life, Seen},
    world,
};

/// Differences between book and records that are named.
const NAMED_MAX: i64 = 5;

/// Everything that is checked at rest.
///
/// # Errors
/// What is not as it has to be.
pub async fn check(databases: &Databases, provider: &Provider, seen: &Seen, now: Timestamp) -> Result<()> {
    at_rest(databases).await?;
    seats(databases, seen).await?;
    let payments = payments(&databases.payment).await?;
    at_provider(databases, provider, &payments).await?;
    book(databases, provider, now).await?;
    for life in seen.lives.values().filter(|life| !life.gone) {
        money(&life.booking, databases, &payments).await?;
        earned(&life.booking, databases, &payments).await?;
    }
    homeless(seen, databases, &payments).await?;
    promos(databases, seen, &payments).await?;
    vouchers(databases).await?;
    mails(databases, seen).await
}

async fn count(db: &Db, select: &str) -> Result<i64> {
    Ok(db.query_one(select, params![]).await?.get("n")?)
}

/// Nobody is at work, and nothing waits to be told or sent.
async fn at_rest(databases: &Databases) -> Result<()> {
    let Databases { booking, payment, .. } = databases;
    let empty = [
        (
            booking,
            "bookings in the making",
            "SELECT COUNT(*) AS n FROM bookings WHERE status = 'creating' OR status = 'deleted'",
        ),
        (booking, "leases", "SELECT COUNT(*) AS n FROM bookings WHERE lease IS NOT NULL"),
        (booking, "open commands", "SELECT COUNT(*) AS n FROM commands WHERE state = 'begun' OR state = 'committed'"),
        (booking, "mails to hand over", "SELECT COUNT(*) AS n FROM mails"),
        (booking, "events of booking", "SELECT COUNT(*) AS n FROM outbox"),
        (payment, "events of payment", "SELECT COUNT(*) AS n FROM outbox"),
        (
            payment,
            "refunds on their way",
            "SELECT COUNT(*) AS n FROM refunds WHERE status = 'processing' AND provider <> 'offline'",
        ),
    ];
    for (db, what, select) in empty {
        let found = count(db, select).await?;
        ensure!(found == 0, "at rest there are {found} {what}");
    }
    Ok(())
}

/// Seats taken are those of the bookings that live, and no batch has more than it has.
async fn seats(databases: &Databases, seen: &Seen) -> Result<()> {
    let mut expected = BTreeMap::new();
    for life in seen.lives.values().filter(|life| !life.gone && life.booking.status.holds_seats()) {
        let booking = &life.booking;
        expected.insert(booking.id.to_string(), (booking.batch_id, booking.seats()));
    }
    let select = "SELECT hold_key, batch_id, seats, expires_at FROM holds WHERE counted = 1 ORDER BY hold_key";
    let mut found = BTreeMap::new();
    let mut taken: BTreeMap<Id, u32> = BTreeMap::new();
    for row in databases.batch.query(select, params![]).await? {
        let (key, batch, seats): (String, Id, u32) = (row.get("hold_key")?, row.get("batch_id")?, row.get("seats")?);
        *taken.entry(batch).or_default() += seats;
        // What has run out counts for nobody, whether or not it was swept.
        if row.get::<Option<Timestamp>>("expires_at")?.is_none() {
            found.insert(key, (batch, seats));
        }
    }
    ensure!(found == expected, "seats of bookings: {expected:?}; seats taken: {found:?}");
    for row in databases.batch.query("SELECT id, taken, max_participants FROM batches", params![]).await? {
        let (id, count, most): (Id, u32, u32) = (row.get("id")?, row.get("taken")?, row.get("max_participants")?);
        let held = taken.get(&id).copied().unwrap_or_default();
        ensure!(count == held && count <= most, "batch {id} counts {count}, has {held} held, of {most}");
    }
    Ok(())
}

/// The book shows every payment and refund, is in balance, and says what the provider holds.
async fn book(databases: &Databases, provider: &Provider, now: Timestamp) -> Result<()> {
    let db = &databases.payment;
    let differences = cairn_payment::store::ledger_differences(db, NAMED_MAX).await?;
    ensure!(differences.is_empty(), "the book differs from the records: {differences:?}");
    let balances = cairn_payment::store::ledger_balances(db, now).await?;
    let sum: Paise = balances.iter().map(|balance| balance.debits - balance.credits).sum();
    ensure!(sum == Paise::ZERO, "the book is out of balance by {sum}");
    let held = balances.iter().find(|balance| balance.account.as_str() == "provider:razorpay");
    let held = held.map_or(Paise::ZERO, |balance| balance.debits - balance.credits);
    // What staff paid out by hand for a refund that the provider could not make is still there.
    let captured = provider.payments().into_iter().filter(|payment| payment.captured);
    let there: i64 = captured.map(|payment| payment.amount - provider.refunded(&payment.id)).sum();
    ensure!(held == Paise(there), "by the book the provider holds {held}, and it holds {}", Paise(there));
    Ok(())
}

/// A payment as payment has it.
struct Known {
    booking: Option<Id>,
    amount: Paise,
    surplus: Paise,
    problem: Option<String>,
    /// Whether the provider has it; else it is cash, or a voucher's.
    online: bool,
    /// Given back, in order: of the surplus, and of the rest; and what failed of either.
    surplus_back: Paise,
    back: Paise,
    failed: Paise,
    /// Of `back`, what has arrived: offline it waits for staff.
    arrived: Paise,
}

impl Known {
    /// What its booking is told of.
    fn counted(&self) -> Paise {
        self.amount - self.surplus
    }
}

async fn payments(db: &Db) -> Result<BTreeMap<String, Known>> {
    let mut known = BTreeMap::new();
    let select = "SELECT id, booking_id, amount, surplus, problem, provider FROM payments ORDER BY id";
    for row in db.query(select, params![]).await? {
        let id: String = row.get("id")?;
        let refunds = "SELECT amount, status, surplus FROM refunds WHERE payment_id = $1";
        let refunds = db.query(refunds, params![&id]).await?;
        let sum = |which: &dyn Fn(&str, bool) -> bool| -> Result<Paise> {
            let amount = |row: &Row| -> Result<Paise> {
                let counts = which(&row.get::<String>("status")?, row.get("surplus")?);
                Ok(if counts { row.get("amount")? } else { Paise::ZERO })
            };
            refunds.iter().map(amount).sum()
        };
        let payment = Known {
            booking: row.get("booking_id")?,
            amount: row.get("amount")?,
            surplus: row.get("surplus")?,
            problem: row.get("problem")?,
            online: row.get::<String>("provider")? == "razorpay",
            surplus_back: sum(&|status, surplus| status != "failed" && surplus)?,
            back: sum(&|status, surplus| status != "failed" && !surplus)?,
            failed: sum(&|status, _| status == "failed")?,
            arrived: sum(&|status, surplus| status == "success" && !surplus)?,
        };
        known.insert(id, payment);
    }
    Ok(known)
}

/// Every captured payment of the provider's is known with its refunds, and no other.
async fn at_provider(databases: &Databases, provider: &Provider, payments: &BTreeMap<String, Known>) -> Result<()> {
    let captured: BTreeMap<_, _> = provider
        .payments()
        .into_iter()
        .filter(|payment| payment.captured)
        .map(|payment| (payment.id.clone(), payment))
        .collect();
    for (id, known) in payments.iter().filter(|(_, known)| known.online) {
        let Some(theirs) = captured.get(id) else { anyhow::bail!("{id} was never captured by the provider") };
        ensure!(known.amount == Paise(theirs.amount), "{id} is {} here and {} there", known.amount, theirs.amount);
        let select = "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS n FROM refunds \
                      WHERE payment_id = $1 AND status = 'success' AND paid_out IS NULL";
        let back: i64 = databases.payment.query_one(select, params![id.as_str()]).await?.get("n")?;
        let there = provider.refunded(id);
        ensure!(back == there, "of {id} went back {back} by our records and {there} by the provider's");
    }
    for id in captured.keys() {
        ensure!(payments.contains_key(id), "{id} was captured and nobody here knows");
    }
    Ok(())
}

/// A booking has what payment has for it, and gave back what was decided.
async fn money(booking: &Booking, databases: &Databases, payments: &BTreeMap<String, Known>) -> Result<()> {
    let id = booking.id;
    let own = payments.values().filter(|known| known.booking == Some(id) && known.problem.is_none());
    let (mut paid, mut back) = (Paise::ZERO, Paise::ZERO);
    for known in own {
        paid += known.counted();
        back += known.back;
    }
    ensure!(booking.paid == paid, "booking {id} says it was paid {}, payment says {paid}", booking.paid);
    ensure!(booking.refunded == back, "booking {id} says {} went back, payment says {back}", booking.refunded);
    ensure!(back <= paid, "of booking {id} {back} of {paid} went back");
    ensure!(booking.offline_due.is_none(), "booking {id} still waits for money that staff received");
    if matches!(booking.status, Status::Expired | Status::PendingPayment) {
        ensure!(booking.paid == booking.refunded, "booking {id} was never paid for and keeps {}", booking.paid);
    }
    for request in &booking.refund_requests {
        let select = "SELECT amount FROM refund_requests WHERE request_key = $1";
        let asked = databases.payment.query_opt(select, params![&request.key]).await?;
        let asked: Option<Paise> = asked.map(|row| row.get("amount")).transpose()?;
        ensure!(
            asked.is_none() || asked == Some(request.amount),
            "booking {id} gives back {} and payment was asked for {asked:?}",
            request.amount
        );
        ensure!(
            asked.is_some() || request.status == cairn_booking::domain::RefundStatus::Failed,
            "booking {id} gives {} back, payment does not know, and nobody sees that",
            request.amount
        );
    }
    Ok(())
}

/// What was paid for a trip is earned once that is over or called off, and not before. Of
/// what is earned nothing is owed but refunds that failed.
async fn earned(booking: &Booking, databases: &Databases, payments: &BTreeMap<String, Known>) -> Result<()> {
    let id = booking.id;
    let book = cairn_payment::store::ledger_earning(&databases.payment, id).await?;
    let failed: Paise = payments.values().filter(|known| known.booking == Some(id)).map(|known| known.failed).sum();
    if matches!(booking.status, Status::TrekCompleted | Status::Cancelled) {
        let owed = book.unearned;
        ensure!(
            Paise::ZERO <= owed && owed <= failed,
            "booking {id} is over and owes {owed}; refunds failed: {failed}"
        );
    } else {
        ensure!(book.taxed + book.revenue == Paise::ZERO, "booking {id} is not over and its money is earned");
    }
    Ok(())
}

/// Money that belongs to no booking went back, or its refund failed where staff see it.
async fn homeless(seen: &Seen, databases: &Databases, payments: &BTreeMap<String, Known>) -> Result<()> {
    for (id, known) in payments {
        let lives = known.booking.and_then(|booking| seen.lives.get(&booking)).is_some_and(|life| !life.gone);
        if known.surplus > Paise::ZERO {
            let seen_by_staff = known.surplus_back + known.failed >= known.surplus;
            ensure!(known.surplus_back == known.surplus || seen_by_staff, "the surplus of {id} does not go back");
        }
        if known.problem.is_some() || !lives {
            let left = known.amount - known.back - known.surplus_back;
            ensure!(left <= known.failed, "{left} of {id} belong to nobody and do not go back");
        }
        ensure!(known.back + known.surplus_back <= known.amount, "more of {id} went back than came");
    }
    let known = count(&databases.booking, "SELECT COUNT(*) AS n FROM payments").await?;
    let told = payments.values().filter(|known| {
        let lives = known.booking.and_then(|booking| seen.lives.get(&booking)).is_some_and(|life| !life.gone);
        known.problem.is_none() && lives
    });
    ensure!(usize::try_from(known).ok() == Some(told.count()), "booking knows {known} payments");
    Ok(())
}

/// Every use is a booking's that paid with it; what nobody paid was given back.
async fn promos(databases: &Databases, seen: &Seen, payments: &BTreeMap<String, Known>) -> Result<()> {
    let select = "SELECT booking_id, paid FROM promo_uses ORDER BY booking_id";
    let mut uses = BTreeMap::new();
    for row in databases.payment.query(select, params![]).await? {
        uses.insert(row.get::<Id>("booking_id")?, row.get::<bool>("paid")?);
    }
    // A payment that arrives late counts its use, although others may have had the last one.
    for (id, paid) in &uses {
        ensure!(*paid, "booking {id} keeps a promo use that it did not pay");
        let kept = payments.values().filter(|known| known.booking == Some(*id) && known.problem.is_none());
        let kept: Paise = kept.map(|known| known.counted() - known.arrived).sum();
        ensure!(kept > Paise::ZERO, "all money of booking {id} went back, and its promo use is counted");
    }
    for life in seen.lives.values().filter(|life| !life.gone && life.booking.promo.is_some()) {
        let booking = &life.booking;
        let online = booking.status.is_paid() && !booking.admin_created && booking.paid > booking.refunded;
        ensure!(
            !online || uses.get(&booking.id) == Some(&true),
            "booking {} paid and its promo use is not counted",
            booking.id
        );
    }
    Ok(())
}

/// Nobody spent more of a voucher than there was, and nothing is reserved for nobody.
async fn vouchers(databases: &Databases) -> Result<()> {
    let select = "SELECT v.id AS id, v.amount AS amount, \
         CAST(COALESCE((SELECT SUM(CASE WHEN t.credit = 'vouchers' THEN t.amount WHEN t.debit = 'vouchers' THEN -t.amount ELSE 0 END) \
           FROM ledger_transfers t WHERE t.voucher_id = v.id), 0) AS BIGINT) AS credit, \
         CAST(COALESCE((SELECT SUM(o.voucher_amount) FROM payables o WHERE o.voucher_id = v.id AND o.status = 'open'), 0) AS BIGINT) AS reserved \
         FROM vouchers v ORDER BY v.id";
    for row in databases.payment.query(select, params![]).await? {
        let (id, amount): (Id, Paise) = (row.get("id")?, row.get("amount")?);
        let (left, reserved): (Paise, Paise) = (row.get("credit")?, row.get("reserved")?);
        ensure!(left >= Paise::ZERO && left <= amount, "voucher {id} of {amount} has {left}");
        ensure!(reserved <= left, "of voucher {id} {reserved} are reserved and {left} are there");
    }
    Ok(())
}

/// The promo code's uses, paid and reserved, at any moment.
///
/// # Errors
/// There are more than there may be.
pub async fn promo_uses(databases: &Databases) -> Result<()> {
    let select = "SELECT COUNT(*) AS n FROM promo_uses WHERE paid = 0";
    let reserved = count(&databases.payment, select).await?;
    ensure!(reserved <= i64::from(world::PROMO_USES_MAX), "{reserved} uses of a promo are reserved");
    Ok(())
}

/// No mail tells of something that did not happen, and who is confirmed was told.
async fn mails(databases: &Databases, seen: &Seen) -> Result<()> {
    let mut confirmed = std::collections::BTreeSet::new();
    for row in databases.notification.query("SELECT mail_key FROM mails ORDER BY id", params![]).await? {
        let key: String = row.get("mail_key")?;
        let parts: Vec<_> = key.split('/').collect();
        let ["booking", id, label, ..] = parts.as_slice() else { continue };
        let id: Id = id.parse()?;
        let Some(life) = seen.lives.get(&id) else { anyhow::bail!("{key} is of a booking that never was") };
        let was = |statuses: &[Status]| statuses.iter().any(|status| life.statuses.contains(status.as_str()));
        let paid =
            [Status::PaymentCompleted, Status::PaymentConfirmedPartial, Status::Confirmed, Status::TrekCompleted];
        let happened = match *label {
            "payment" => {
                let payment = parts.last().copied().unwrap_or_default();
                let select = "SELECT id FROM payments WHERE id = $1 AND booking_id = $2";
                let there = databases.booking.query_opt(select, params![payment, id]).await?;
                there.is_some() && was(&paid)
            }
            "confirmed" => {
                confirmed.insert(id);
                was(&[Status::Confirmed])
            }
            "cancelled" => was(&[Status::Cancelled]),
            "unpaid-cancelled" => was(&[Status::Cancelled]) && was(&[Status::PaymentConfirmedPartial]),
            "participants-cancelled" | "seat-cancelled" => life.lost_somebody,
            "dates-changed" => life.batches.len() > 1,
            "request-declined" | "request-received" => life.asked,
            "balance-reminder" => was(&[Status::PaymentConfirmedPartial]),
            "details-reminder" | "invoice" | "seat-transferred" => was(&paid),
            declared if declared.starts_with("declaration-") => was(&paid),
            "trip-reminder" => was(&[Status::Confirmed]),
            other => anyhow::bail!("mails of the kind {other} are not known here"),
        };
        ensure!(happened, "{key} tells of something that did not happen");
    }
    // Who comes back to a booking that was cancelled is told by those who bring it back.
    let stayed = |life: &&Life| !life.gone && !life.statuses.contains(Status::Cancelled.as_str());
    for life in seen.lives.values().filter(stayed).filter(|life| life.booking.status == Status::Confirmed) {
        ensure!(confirmed.contains(&life.booking.id), "booking {} is confirmed and nobody was told", life.booking.id);
    }
    Ok(())
}
