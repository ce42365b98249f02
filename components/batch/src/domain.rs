//! Batches, holds, and the rules of selling seats.

use cairn_shared::{DbError, Id, Paise, Timestamp};

/// A date of a trek.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub id: Id,
    pub trek_id: Id,
    pub trek_name: String,
    /// UTC midnight of the day.
    pub start_date: Timestamp,
    pub end_date: Timestamp,
    /// Per participant.
    pub price: Paise,
    pub max_participants: u32,
    /// Seats that only staff may sell.
    pub reserved_slots: u32,
    /// Seats of confirmed holds and of those not yet expired.
    pub taken: u32,
    pub cancelled: bool,
    /// Counts changes, so that readers of events keep the newest.
    pub version: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Upcoming,
    Ongoing,
    Completed,
    Cancelled,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upcoming => "upcoming",
            Self::Ongoing => "ongoing",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Batch {
    /// From the dates, unless it is cancelled. The last day counts as ongoing.
    pub fn status(&self, now: Timestamp) -> Status {
        match () {
            () if self.cancelled => Status::Cancelled,
            () if now < self.start_date => Status::Upcoming,
            () if now < self.end_date.plus(cairn_shared::time::DAY) => Status::Ongoing,
            () => Status::Completed,
        }
    }

    /// Seats that can still be sold to somebody.
    pub fn free(&self, use_reserved: bool) -> u32 {
        let kept_back = if use_reserved { 0 } else { self.reserved_slots };
        self.max_participants.saturating_sub(kept_back).saturating_sub(self.taken)
    }
}

/// Seats taken under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub key: String,
    pub batch_id: Id,
    pub seats: u32,
    /// None: confirmed.
    pub expires_at: Option<Timestamp>,
    /// Whether its seats are among the batch's taken ones.
    pub counted: bool,
    pub use_reserved: bool,
}

/// What a caller wants held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRequest {
    pub key: String,
    pub batch_id: Id,
    pub seats: u32,
    pub expires_at: Timestamp,
    pub use_reserved: bool,
}

/// Most seats under one key.
pub const HOLD_SEATS_MAX: u32 = 100;
const HOLD_SEATS_ABOVE: u32 = HOLD_SEATS_MAX + 1;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 100;

impl HoldRequest {
    /// # Errors
    /// [`SeatsError::Invalid`] says what is wrong with it.
    pub fn validate(&self, now: Timestamp) -> Result<(), SeatsError> {
        check(&self.key, self.seats)?;
        if self.expires_at <= now {
            return Err(SeatsError::Invalid("the hold would have expired already".into()));
        }
        Ok(())
    }
}

/// Whether a key and a number of seats can be held at all.
///
/// # Errors
/// [`SeatsError::Invalid`] says what is wrong with them.
pub fn check(key: &str, seats: u32) -> Result<(), SeatsError> {
    let invalid = |problem: &str| Err(SeatsError::Invalid(problem.to_owned()));
    match (key, seats) {
        (key, _) if key.is_empty() || key.len() > KEY_BYTES_MAX => invalid("the key has to have 1 to 100 bytes"),
        (_, 0 | HOLD_SEATS_ABOVE..) => invalid("between 1 and 100 seats can be held"),
        _ => Ok(()),
    }
}

/// How a batch's counter and a hold change together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Seats to add to the counter; negative gives seats back.
    pub delta: i64,
    pub hold: Hold,
}

/// The change that makes `request` true, given the hold that its key has now.
pub fn take(request: &HoldRequest, current: Option<&Hold>) -> Change {
    let counted = current.filter(|hold| hold.counted).map_or(0, |hold| i64::from(hold.seats));
    let confirmed = current.is_some_and(|hold| hold.expires_at.is_none());
    Change {
        delta: i64::from(request.seats) - counted,
        hold: Hold {
            key: request.key.clone(),
            batch_id: request.batch_id,
            seats: request.seats,
            expires_at: (!confirmed).then_some(request.expires_at),
            counted: true,
            use_reserved: request.use_reserved,
        },
    }
}

/// The change that makes a hold permanent; seats that had expired are taken again.
pub fn confirm(current: &Hold) -> Change {
    let delta = if current.counted { 0 } else { i64::from(current.seats) };
    Change { delta, hold: Hold { expires_at: None, counted: true, ..current.clone() } }
}

/// Where the seats of a key are to be from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveRequest {
    pub key: String,
    pub batch_id: Id,
    pub seats: u32,
    /// Another key whose seats on that batch are taken over, and which then ends.
    pub taking: Option<String>,
    pub use_reserved: bool,
}

impl MoveRequest {
    /// # Errors
    /// [`SeatsError::Invalid`] says what is wrong with it.
    pub fn validate(&self) -> Result<(), SeatsError> {
        check(&self.key, self.seats)?;
        match &self.taking {
            Some(taking) if *taking == self.key => {
                Err(SeatsError::Invalid("a key cannot take over its own seats".into()))
            }
            _ => Ok(()),
        }
    }
}

/// The change that leaves a key with this many seats on its batch.
pub fn resize(current: &Hold, seats: u32, use_reserved: bool) -> Change {
    let counted = if current.counted { i64::from(current.seats) } else { 0 };
    Change { delta: i64::from(seats) - counted, hold: Hold { seats, counted: true, use_reserved, ..current.clone() } }
}

/// How a key's seats go from one batch to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// What the batch that is left gets back; none when the key was not on another one.
    pub leave: Option<Change>,
    /// What the seats on the new batch come to, less those that the key, or the one
    /// that it takes over, has there already.
    pub take: Change,
}

/// The move that makes `request` true, given the holds of its key and of the key that
/// it takes over. None when neither has seats any more: then there is nothing to move.
pub fn relocate(request: &MoveRequest, current: Option<&Hold>, taken_over: Option<&Hold>) -> Option<Move> {
    let alive = |hold: &&Hold| hold.counted;
    let kept = current.filter(alive).or(taken_over.filter(alive))?;
    let counted = |hold: &Hold| if hold.counted { i64::from(hold.seats) } else { 0 };
    let (here, elsewhere) = match current {
        Some(hold) if hold.batch_id == request.batch_id => (Some(hold), None),
        other => (None, other),
    };
    let own: i64 = here.into_iter().chain(taken_over).map(counted).sum();
    Some(Move {
        leave: elsewhere.map(|hold| Change { delta: -counted(hold), hold: hold.clone() }),
        take: Change {
            delta: i64::from(request.seats) - own,
            hold: Hold {
                key: request.key.clone(),
                batch_id: request.batch_id,
                seats: request.seats,
                expires_at: kept.expires_at,
                counted: true,
                use_reserved: request.use_reserved,
            },
        },
    })
}

/// Why seats could not be had.
#[derive(Debug, PartialEq, Eq)]
pub enum SeatsError {
    BatchNotFound,
    /// So many are free to this caller.
    SoldOut(u32),
    Closed,
    NoHold,
    Invalid(String),
    Unavailable(String),
}

impl From<DbError> for SeatsError {
    fn from(error: DbError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch() -> Batch {
        Batch {
            id: Id::derive(&["b"]),
            trek_id: Id::derive(&["t"]),
            trek_name: "Ridge".into(),
            start_date: "2026-12-12".parse().unwrap(),
            end_date: "2026-12-13".parse().unwrap(),
            price: Paise::rupees(4000),
            max_participants: 20,
            reserved_slots: 2,
            taken: 6,
            cancelled: false,
            version: 1,
        }
    }

    #[test]
    fn the_status_follows_the_dates_unless_cancelled() {
        for (now, status) in [
            ("2026-12-11T23:59:59Z", Status::Upcoming),
            ("2026-12-12T00:00:00Z", Status::Ongoing),
            ("2026-12-13T23:59:59Z", Status::Ongoing),
            ("2026-12-14T00:00:00Z", Status::Completed),
        ] {
            assert_eq!(batch().status(now.parse().unwrap()), status, "{now}");
            assert_eq!(Batch { cancelled: true, ..batch() }.status(now.parse().unwrap()), Status::Cancelled);
        }
    }

    #[test]
    fn reserved_seats_are_for_staff() {
        assert_eq!((batch().free(false), batch().free(true)), (12, 14));
        assert_eq!(Batch { taken: 19, ..batch() }.free(false), 0);
    }

    fn request(seats: u32) -> HoldRequest {
        let expires_at = Timestamp::from_millis(1_000);
        HoldRequest { key: "k".into(), batch_id: batch().id, seats, expires_at, use_reserved: false }
    }

    proptest! {
        /// Whatever a key asks for in turn, the counter moves by exactly what its hold counts.
        #[test]
        fn the_counter_always_equals_the_counted_hold(steps in prop::collection::vec((1_u32..=10, any::<bool>(), any::<bool>()), 1..20)) {
            let (mut taken, mut hold) = (0_i64, None::<Hold>);
            for (seats, expire, confirm_it) in steps {
                let change = take(&request(seats), hold.as_ref());
                taken += change.delta;
                hold = Some(change.hold);
                if let Some(held) = hold.as_mut() {
                    if expire && held.expires_at.is_some() {
                        taken -= i64::from(held.seats);
                        held.counted = false;
                    }
                    if confirm_it {
                        let change = confirm(held);
                        taken += change.delta;
                        *held = change.hold;
                    }
                    prop_assert_eq!(taken, if held.counted { i64::from(held.seats) } else { 0 });
                }
            }
        }
    }

    #[test]
    fn a_move_gives_the_old_batch_all_and_takes_what_it_lacks_on_the_new_one() {
        let (old, new) = (Id::derive(&["old"]), Id::derive(&["new"]));
        let hold = |key: &str, batch_id, seats, counted| Hold {
            key: key.into(),
            batch_id,
            seats,
            expires_at: None,
            counted,
            use_reserved: false,
        };
        let request = |taking: Option<&str>| MoveRequest {
            key: "k".into(),
            batch_id: new,
            seats: 3,
            taking: taking.map(Into::into),
            use_reserved: true,
        };
        // What the key has and what it takes over; what both batches' counters change by.
        let cases = [
            (Some(hold("k", old, 3, true)), None, Some((-3, 3))),
            (Some(hold("k", old, 3, false)), None, None),
            (Some(hold("k", old, 3, false)), Some(hold("place", new, 3, true)), Some((0, 0))),
            (Some(hold("k", old, 3, true)), Some(hold("place", new, 3, true)), Some((-3, 0))),
            (Some(hold("k", new, 3, true)), None, Some((0, 0))),
            (Some(hold("k", new, 2, true)), Some(hold("place", new, 3, true)), Some((0, -2))),
            (None, Some(hold("place", new, 3, true)), Some((0, 0))),
            (None, None, None),
        ];
        for (current, taken_over, expected) in cases {
            let taking = taken_over.as_ref().map(|hold| hold.key.as_str());
            let planned = relocate(&request(taking), current.as_ref(), taken_over.as_ref());
            let deltas = planned.map(|planned| (planned.leave.map_or(0, |leave| leave.delta), planned.take.delta));
            assert_eq!(deltas, expected, "{current:?} {taken_over:?}");
        }
    }

    #[test]
    fn a_confirmed_hold_never_expires_again() {
        let confirmed = confirm(&take(&request(2), None).hold).hold;
        assert_eq!(take(&request(3), Some(&confirmed)).hold.expires_at, None);
    }
}
