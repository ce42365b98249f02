//! Bookings that were never paid: looked through, given another chance, or put away.

use cairn_shared::{Id, page::Page};
use serde_json::json;

use super::{App, Setting};
use crate::{
    domain::{Booking, CreateError, Displayed, NewBooking, Status, priced, renewed, sellable_by_staff},
    store::{self, FailedBooking, FailedFilter, FailedStats},
};

/// A page of failed bookings, with figures of all that the filter lets through.
pub struct FailedListing {
    pub page: Vec<FailedBooking>,
    pub stats: FailedStats,
}

impl App {
    /// A page of failed bookings, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn failed_list(&self, filter: &FailedFilter, page: Page) -> Result<FailedListing, CreateError> {
        Ok(FailedListing {
            stats: store::failed_booking_stats(&self.db, filter).await?,
            page: store::failed_booking_page(&self.db, filter, page).await?,
        })
    }

    /// One failed booking, with its trek's batches.
    ///
    /// # Errors
    /// [`CreateError::FailedNotFound`] also for one that was restored or deleted.
    pub async fn failed_detail(&self, id: Id) -> Result<(FailedBooking, Setting), CreateError> {
        let failed = self.failed(id).await?;
        let setting = self.setting(std::slice::from_ref(&failed.booking)).await;
        Ok((failed, setting))
    }

    async fn failed(&self, id: Id) -> Result<FailedBooking, CreateError> {
        store::failed_booking_fetch(&self.db, id).await?.ok_or(CreateError::FailedNotFound)
    }

    /// Takes a failed booking off the list. The booking itself stays, and so do its
    /// payments: a late capture still finds it.
    ///
    /// # Errors
    /// [`CreateError::FailedNotFound`].
    pub async fn failed_delete(&self, id: Id) -> Result<(), CreateError> {
        self.db
            .transaction(async |tx| {
                if !store::failed_booking_remove(tx, id, self.now()).await? {
                    return Err(CreateError::FailedNotFound);
                }
                let (listed, removed) = (json!({ "listed": true }), json!({ "listed": false }));
                Ok(self.note_record(tx, "failed_booking.delete", id, listed, removed).await?)
            })
            .await
    }

    /// Gives an expired booking another half an hour, under its old id, so that orders
    /// made for it stay valid.
    ///
    /// Steps: take the lease; ask trek, batch and promo anew; hold the seats; open the
    /// checkout; commit the row as `pending_payment`, together with taking the failed
    /// record off the list. What fails is undone by [`App::settle`], which finds the row
    /// still expired; after a crash the job does that. Twice: the second request finds
    /// no record. A late capture at the same time has the lease, or comes after it.
    ///
    /// # Errors
    /// [`CreateError`] says why; then nothing has changed.
    pub async fn failed_restore(&self, id: Id) -> Result<Booking, CreateError> {
        let failed = self.failed(id).await?;
        let lease = self.new_lease();
        let expired = self.lease_soon(failed.booking.id, &lease, None).await?.booking;
        let wanted = match self.renewed(&expired).await {
            Ok(wanted) => wanted,
            Err(refused) => {
                self.settle_now(expired.id, &lease).await;
                return Err(refused);
            }
        };
        let now = self.now();
        let restored = self
            .arrange(wanted, &lease, async |tx| Ok(store::failed_booking_hide(tx, expired.id, now).await?))
            .await
            .map_err(|error| match error {
                CreateError::SoldOut => CreateError::RestoreSoldOut,
                other => other,
            })?;
        self.wake().await;
        Ok(restored)
    }

    /// The expired booking with a new session, its price and promo looked up again.
    async fn renewed(&self, expired: &Booking) -> Result<Booking, CreateError> {
        if expired.status != Status::Expired {
            return Err(CreateError::FailedNotFound);
        }
        if store::booking_fetch_live(&self.db, expired.user.id, expired.trek_id, expired.batch_id).await?.is_some() {
            return Err(CreateError::AnotherLive);
        }
        let new = NewBooking {
            trek_id: expired.trek_id,
            batch_id: expired.batch_id,
            count: expired.count(),
            contact: expired.contact.clone(),
            add_ons: expired.add_ons.iter().map(|line| line.name.clone()).collect(),
            promo_code: expired.promo.as_ref().map(|promo| promo.code.clone()),
            voucher_code: None,
            mode: expired.unsplit().mode,
            displayed: Displayed::default(),
            session_id: None,
        };
        let terms = self.peers.trek_terms(new.trek_id).await?;
        let batch = match &terms {
            Some(_) => self.peers.batch(new.batch_id).await?,
            None => None,
        };
        let now = self.now();
        let sale = sellable_by_staff(&new, terms, batch, now)?;
        let quote = match &new.promo_code {
            Some(code) => Some(self.peers.quote(code, new.trek_id, sale.base, Some(expired.id)).await?),
            None => None,
        };
        let price = priced(&new, &sale, quote, now)?;
        Ok(renewed(expired, price, now))
    }
}
