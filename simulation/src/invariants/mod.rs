//! What has to be true: always, and once everything has come to rest.

mod call_offs;
mod declarations;
mod mails;
mod payments;
mod shares;
mod vouchers;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cairn_shared::{Db, Id, Paise, Sql, Timestamp, params};

use crate::{process::Databases, provider::Provider, seen::Seen, world};

pub use declarations::confirmed;

use payments::Known;

/// Everything that is checked at rest.
///
/// # Errors
/// What is not as it has to be.
pub async fn check(databases: &Databases, provider: &Provider, seen: &Seen, now: Timestamp) -> Result<()> {
    at_rest(databases).await?;
    seats(databases, seen).await?;
    let payments = payments::payments(&databases.payment).await?;
    payments::at_provider(databases, provider, &payments).await?;
    payments::book(databases, provider, now).await?;
    for life in seen.lives.values().filter(|life| !life.gone) {
        payments::money(&life.booking, databases, &payments).await?;
        payments::earned(&life.booking, databases, &payments).await?;
        declarations::at_rest(&databases.booking, &life.booking).await?;
        call_offs::chosen(&life.booking, databases, &payments).await?;
        shares::at_rest(&life.booking, databases, &payments, now).await?;
    }
    payments::homeless(seen, databases, &payments).await?;
    promos(databases, seen, &payments).await?;
    vouchers::always(databases).await?;
    vouchers::gifts(databases, &payments, now).await?;
    call_offs::closed(databases, seen, now).await?;
    mails::check(databases, seen).await
}

/// What is checked after every commit.
///
/// # Errors
/// What is not as it has to be.
pub async fn always(databases: &Databases) -> Result<()> {
    promo_uses(databases).await?;
    vouchers::always(databases).await
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
        (booking, "gifts under way", "SELECT COUNT(*) AS n FROM gifts WHERE status IN ('open', 'paid', 'returning')"),
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

/// The promo code's uses, paid and reserved.
async fn promo_uses(databases: &Databases) -> Result<()> {
    let select = "SELECT COUNT(*) AS n FROM promo_uses WHERE paid = 0";
    let reserved = count(&databases.payment, select).await?;
    ensure!(reserved <= i64::from(world::PROMO_USES_MAX), "{reserved} uses of a promo are reserved");
    Ok(())
}
