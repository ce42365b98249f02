//! What became of every booking, seen after every commit: so nothing that was there for a
//! moment only is missed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use cairn_booking::domain::{Booking, Next, RefundStatus, Status, Trigger, Who, next};
use cairn_shared::{Db, Id, Paise, Sql, Timestamp, params};

use crate::invariants;

/// A booking's life so far.
#[derive(Debug)]
pub struct Life {
    pub booking: Booking,
    pub statuses: BTreeSet<&'static str>,
    pub batches: BTreeSet<Id>,
    /// Whether a participant ever was cancelled.
    pub lost_somebody: bool,
    /// Whether the owner ever asked for something.
    pub asked: bool,
    /// Whether a seat ever went to another person.
    pub transferred: bool,
    /// Addresses, in lower case, of those who come, by the booking's version.
    pub rosters: BTreeMap<i64, BTreeSet<String>>,
    /// When an address first was among them.
    pub joined: BTreeMap<String, Timestamp>,
    /// Whether its row is gone.
    pub gone: bool,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub lives: BTreeMap<Id, Life>,
    versions: BTreeMap<Id, (i64, Status)>,
}

/// Whether the table of states has a way from one to the other.
fn is_allowed(from: Status, to: Status) -> bool {
    let leads = |step: Next| match step {
        Next::Same => from == to,
        Next::Becomes(status) => status == to,
        Next::AsPaid => matches!(
            to,
            Status::Pending | Status::PaymentCompleted | Status::PaymentConfirmedPartial | Status::Confirmed
        ),
        Next::SameOrCancelled => to == from || to == Status::Cancelled,
        Next::OneOf(statuses) => statuses.contains(&to),
    };
    let all = Trigger::ALL.into_iter().flat_map(|trigger| Who::ALL.map(|who| next(from, trigger, who)));
    from == to || all.into_iter().flatten().any(leads)
}

impl Seen {
    /// Looks at what changed.
    ///
    /// # Errors
    /// A booking went where it may not go, gives more back than was paid, or is confirmed
    /// before everybody is cleared.
    pub async fn look(&mut self, bookings: &Db, now: Timestamp) -> Result<()> {
        let rows = bookings.query("SELECT id, version, status FROM bookings", params![]).await?;
        let mut there = BTreeSet::new();
        for row in &rows {
            let id: Id = row.get("id")?;
            there.insert(id);
            let version: i64 = row.get("version")?;
            if self.versions.get(&id).is_some_and(|(known, _)| *known == version) {
                continue;
            }
            let text: String = row.get("status")?;
            let Some(status) = Status::parse(&text) else { bail!("booking {id} is {text}") };
            let select = "SELECT document FROM bookings WHERE id = $1";
            let booking: Booking = bookings.query_one(select, params![id]).await?.json("document")?;
            invariants::confirmed(bookings, &booking).await?;
            self.changed((id, version), status, booking, now)?;
        }
        for (id, (_, status)) in &self.versions {
            if let Some(life) = self.lives.get_mut(id).filter(|life| !life.gone && !there.contains(id)) {
                ensure!(
                    matches!(status, Status::Creating | Status::Deleted),
                    "booking {id} was {} and its row is gone",
                    status.as_str()
                );
                life.gone = true;
            }
        }
        Ok(())
    }

    fn changed(&mut self, (id, version): (Id, i64), status: Status, booking: Booking, now: Timestamp) -> Result<()> {
        ensure!(booking.status == status, "booking {id}: its column says {status:?}, it says {:?}", booking.status);
        match self.versions.get(&id) {
            None => ensure!(status == Status::Creating, "booking {id} begins as {}", status.as_str()),
            Some((known, from)) => {
                ensure!(version > *known, "booking {id} went from version {known} to {version}");
                ensure!(
                    is_allowed(*from, status),
                    "booking {id} went from {} to {}, which no row of the table has",
                    from.as_str(),
                    status.as_str()
                );
            }
        }
        // What staff gave back at the provider may come on top, until payment has sorted it out.
        let decided = booking.refund_requests.iter().filter(|request| request.status != RefundStatus::Failed);
        let decided: Paise = decided.map(|request| request.amount).sum();
        ensure!(decided <= booking.paid, "booking {id}: {decided} of {} is to go back", booking.paid);
        self.versions.insert(id, (version, status));
        let life = self.lives.entry(id).or_insert_with(|| Life {
            booking: booking.clone(),
            statuses: BTreeSet::new(),
            batches: BTreeSet::new(),
            lost_somebody: false,
            asked: false,
            transferred: false,
            rosters: BTreeMap::new(),
            joined: BTreeMap::new(),
            gone: false,
        });
        life.statuses.insert(status.as_str());
        life.batches.insert(booking.batch_id);
        life.lost_somebody |= booking.participants.iter().any(|participant| participant.is_cancelled);
        life.asked |= booking.cancellation_request.kind.is_some();
        let were = &life.booking.participants;
        let is_new = |id: Id| were.iter().all(|participant| participant.id != id);
        life.transferred |= !were.is_empty() && booking.participants.iter().any(|participant| is_new(participant.id));
        let coming = booking.participants.iter().filter(|participant| !participant.is_cancelled);
        let roster: BTreeSet<_> = coming.map(|participant| participant.email.to_lowercase()).collect();
        for address in &roster {
            life.joined.entry(address.clone()).or_insert(now);
        }
        life.rosters.insert(version, roster);
        life.booking = booking;
        Ok(())
    }
}
