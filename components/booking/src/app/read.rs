//! What people see of bookings, with treks and batches beside them.

use std::collections::BTreeMap;

use cairn_shared::{Id, Result, Timestamp, identity::Caller, log, page::Page, time::DAY};

use super::{App, BookingError};
use crate::{
    domain::{Batch, BatchStatus, Booking, Payment, Status, TrekSummary},
    store::{self, Filter, Stats},
};

/// Whoever has one of these may look at all bookings.
pub const STAFF_PERMISSIONS: [&str; 2] = ["stats.bookings", "actions.manageBookings"];

/// Treks and batches that some bookings refer to.
#[derive(Debug, Default)]
pub struct Setting {
    pub treks: BTreeMap<Id, TrekSummary>,
    /// By id, and in order of their start within a trek.
    pub batches: Vec<Batch>,
}

impl Setting {
    pub fn batch(&self, id: Id) -> Option<&Batch> {
        self.batches.iter().find(|batch| batch.id == id)
    }

    pub fn batches_of(&self, trek_id: Id) -> impl Iterator<Item = &Batch> {
        self.batches.iter().filter(move |batch| batch.trek_id == trek_id)
    }
}

/// A page of the staff's list.
pub struct Listing {
    pub bookings: Vec<Booking>,
    pub setting: Setting,
    pub stats: Stats,
    pub today_participants: i64,
}

impl App {
    /// A customer's bookings, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn own(&self, user_id: Id) -> Result<(Vec<Booking>, Setting), BookingError> {
        let bookings = store::booking_list_of_user(&self.db, user_id).await?;
        let setting = self.setting(&bookings).await;
        Ok((bookings, setting))
    }

    /// A booking with its payments, for those who may see it.
    ///
    /// # Errors
    /// [`BookingError::NotFound`], [`BookingError::Forbidden`].
    pub async fn detail(&self, caller: &Caller, id: Id) -> Result<(Booking, Setting, Vec<Payment>), BookingError> {
        let booking = self.visible(&self.db, id).await?;
        if booking.user.id != caller.id && caller.require_any(&STAFF_PERMISSIONS).is_err() {
            return Err(BookingError::Forbidden("Not authorized to view this booking"));
        }
        let payments = store::payment_list(&self.db, id).await?;
        let setting = self.setting(std::slice::from_ref(&booking)).await;
        Ok((booking, setting, payments))
    }

    /// The batch of a booking as it stands now, if it is there and its service answers.
    pub async fn batch_of(&self, booking: &Booking) -> Option<Batch> {
        let setting = self.setting(std::slice::from_ref(booking)).await;
        setting.batch(booking.batch_id).cloned()
    }

    /// A page of all bookings that a filter lets through, with figures of all of them.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, filter: &Filter, page: Page) -> Result<Listing, BookingError> {
        let bookings = store::booking_page(&self.db, filter, page).await?;
        let setting = self.setting(&bookings).await;
        let today = self.env.zone.start_of_day(self.now());
        Ok(Listing {
            stats: store::booking_stats(&self.db, filter).await?,
            today_participants: store::participants_since(&self.db, today).await?,
            bookings,
            setting,
        })
    }

    /// The instants of a range of business days, the last one included.
    pub fn days(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> (Option<Timestamp>, Option<Timestamp>) {
        let start = |at| self.env.zone.start_of_day(at);
        (from.map(start), to.map(|at| start(at).plus(DAY)))
    }

    /// Treks and batches of these bookings. Where a service does not answer, what the
    /// bookings themselves know has to do: nobody's list fails for a name.
    pub(super) async fn setting(&self, bookings: &[Booking]) -> Setting {
        let mut trek_ids: Vec<_> = bookings.iter().map(|booking| booking.trek_id).collect();
        trek_ids.sort();
        trek_ids.dedup();
        if trek_ids.is_empty() {
            return Setting::default();
        }
        let batches = match self.peers.batches_of_treks(&trek_ids).await {
            Ok(batches) => batches,
            Err(cause) => {
                log::warn("batches are shown as they were booked", &[("cause", &cause)]);
                remembered(bookings)
            }
        };
        let summaries = self.peers.trek_summaries(&trek_ids).await.unwrap_or_else(|cause| {
            log::warn("treks are shown by the names they were booked under", &[("cause", &cause)]);
            Vec::new()
        });
        let booked = bookings.iter().map(|booking| TrekSummary {
            id: booking.trek_id,
            name: booking.trek_name.clone(),
            image: None,
        });
        let treks = booked.chain(summaries).map(|trek| (trek.id, trek)).collect();
        Setting { treks, batches }
    }
}

/// The batches as far as bookings remember them.
fn remembered(bookings: &[Booking]) -> Vec<Batch> {
    let batches = bookings.iter().map(|booking| Batch {
        id: booking.batch_id,
        trek_id: booking.trek_id,
        start: booking.batch_start,
        end: booking.batch_end,
        price: booking.price.unit,
        max_participants: 0,
        reserved_slots: 0,
        taken: 0,
        status: if booking.status == Status::TrekCompleted { BatchStatus::Completed } else { BatchStatus::Upcoming },
    });
    let by_id: BTreeMap<_, _> = batches.map(|batch| (batch.id, batch)).collect();
    by_id.into_values().collect()
}
