//! The dashboard, and how much of it somebody may see.

use cairn_shared::{Id, Paise, Timestamp, identity::Caller};

/// Dates within so many days from today are upcoming.
pub const UPCOMING_DAYS: i64 = 30;

/// So many records of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    pub name: String,
    pub count: i64,
}

/// A booking, reduced to what staff without further permissions may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentBooking {
    pub id: Id,
    pub user_id: Id,
    pub user_name: String,
    pub trek_id: Id,
    pub trek_name: String,
    pub total: Paise,
    pub status: String,
    pub number_of_participants: u32,
    pub created_at: Timestamp,
}

/// A batch that starts soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpcomingBatch {
    pub id: Id,
    pub trek_id: Id,
    pub trek_name: String,
    pub start_date: Timestamp,
}

/// A public trek with its batches that start soon, the next one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    pub trek_id: Id,
    pub trek_name: String,
    pub batches: Vec<UpcomingBatch>,
}

impl Upcoming {
    /// The first treks of batches that are sorted by start date.
    pub fn of(batches: Vec<UpcomingBatch>, treks_max: usize) -> Vec<Self> {
        let mut treks: Vec<Self> = Vec::new();
        for batch in batches {
            if let Some(trek) = treks.iter_mut().find(|trek| trek.trek_id == batch.trek_id) {
                trek.batches.push(batch);
            } else if treks.len() < treks_max {
                treks.push(Self { trek_id: batch.trek_id, trek_name: batch.trek_name.clone(), batches: vec![batch] });
            }
        }
        treks
    }
}

/// What the viewer may not see is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dashboard {
    pub total_treks: Option<i64>,
    pub total_users: Option<i64>,
    pub total_bookings: Option<i64>,
    /// Captured minus given back.
    pub total_sales: Option<Paise>,
    pub recent_bookings: Option<Vec<RecentBooking>>,
    pub upcoming_treks: Option<Vec<Upcoming>>,
    pub total_regions: Option<i64>,
    pub ongoing_treks: Option<i64>,
    pub seasons: Option<Vec<Count>>,
    pub regions: Option<Vec<Count>>,
}

/// Which parts of the dashboard somebody may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    pub treks: bool,
    pub bookings: bool,
    pub region: bool,
    pub sales: bool,
    pub users: bool,
    pub ongoing_treks: bool,
}

impl View {
    /// The caller's view; none for who is neither an admin nor in a group that may
    /// do or see anything.
    pub fn of(caller: &Caller) -> Option<Self> {
        let staff = |permission: &String| permission.starts_with("stats.") || permission.starts_with("actions.");
        let in_staff_group = caller.group.as_ref().is_some_and(|group| group.permissions.iter().any(staff));
        (caller.is_admin() || in_staff_group).then(|| Self {
            treks: caller.may("stats.treks"),
            bookings: caller.may("stats.bookings"),
            region: caller.may("stats.region"),
            sales: caller.may("stats.sales"),
            users: caller.may("stats.users"),
            ongoing_treks: caller.may("stats.ongoingTreks"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upcoming_batches_are_gathered_by_trek_in_the_order_of_their_first() {
        let batch = |trek: &str, day: i64| UpcomingBatch {
            id: Id::derive(&[trek, &day.to_string()]),
            trek_id: Id::derive(&[trek]),
            trek_name: trek.into(),
            start_date: Timestamp::from_millis(day),
        };
        let batches = vec![batch("a", 1), batch("b", 2), batch("a", 3), batch("c", 4), batch("b", 5)];
        let treks = Upcoming::of(batches, 2);
        let gathered: Vec<_> = treks.iter().map(|trek| (trek.trek_name.as_str(), trek.batches.len())).collect();
        assert_eq!(gathered, [("a", 2), ("b", 2)]);
    }
}
