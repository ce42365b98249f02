//! Making a booking, and changing one that is not paid yet.

use cairn_shared::{DbError, Id, Tx, identity::Caller, log};

use super::{App, BookingError, HoldRequest, SeatsError, Unavailable};
use crate::{
    domain::{Booking, CreateError, NewBooking, Refusal, Status, User, draft, payable, priced, sellable},
    store,
};

impl From<SeatsError> for CreateError {
    fn from(error: SeatsError) -> Self {
        match error {
            SeatsError::BatchNotFound => Self::BatchNotFound,
            SeatsError::SoldOut | SeatsError::NoHold => Self::SoldOut,
            SeatsError::Closed => Self::BatchClosed,
            SeatsError::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<Unavailable> for CreateError {
    fn from(Unavailable(cause): Unavailable) -> Self {
        Self::Unavailable(cause)
    }
}

impl From<DbError> for CreateError {
    fn from(error: DbError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<BookingError> for CreateError {
    fn from(error: BookingError) -> Self {
        match error {
            BookingError::Busy => Self::InProgress,
            BookingError::Refused(Refusal::UnpaidThere) => Self::AnotherLive,
            other => Self::Unavailable(format!("{other:?}")),
        }
    }
}

impl App {
    /// Makes a booking that waits for its payment, or changes the one that this customer
    /// already has for the batch.
    ///
    /// Steps: decide; store the row leased (a new one as `creating`, which nobody sees);
    /// hold the seats; open the checkout, which reserves the promo use; commit the row as
    /// `pending_payment`. A step that fails is undone at once by [`App::settle`]. If the
    /// process dies: before the row is stored, nothing happened; after it, the job
    /// settles, so a new booking disappears with its hold and checkout, and a changed one
    /// is again what it was; after the commit, everything is done, but for a voucher that
    /// pays all: it is spent then, by this request or the job. Two at once: the
    /// unique index lets one new row in, the lease one change; the other request is
    /// refused. If the seats or the promo are not to be had, the old booking stays.
    ///
    /// # Errors
    /// [`CreateError`] says why; then nothing has changed.
    pub async fn create(&self, caller: &Caller, new: &NewBooking) -> Result<Booking, CreateError> {
        let earlier = self.live(caller.id, new).await?;
        let now = self.now();
        let terms = self.peers.trek_terms(new.trek_id).await?;
        let batch = match &terms {
            Some(_) => self.peers.batch(new.batch_id).await?,
            None => None,
        };
        let sale = sellable(new, terms, batch, earlier.as_ref().map_or(0, Booking::seats), now)?;
        let quote = match &new.promo_code {
            Some(code) => {
                Some(self.peers.quote(code, new.trek_id, sale.base, earlier.as_ref().map(|earlier| earlier.id)).await?)
            }
            None => None,
        };
        let price = priced(new, &sale, quote, now)?;
        let user =
            User { id: caller.id, name: caller.name.clone(), email: caller.email.clone(), phone: caller.phone.clone() };
        let mut wanted = draft(new, &sale, price, user, earlier.as_ref(), &mut || self.env.id(), now);
        wanted.policy = self.refund_policy(new.trek_id).await?;
        if earlier.is_none() {
            wanted.clearance = self.clearance(new.trek_id).await?;
        }
        if let (Some(code), Some(owed)) = (&new.voucher_code, payable(&wanted)) {
            wanted.tender = Some(self.tender(code, owed.amount, earlier.as_ref().map(|earlier| earlier.id)).await?);
        }
        let made = match earlier {
            None => self.begin(wanted).await?,
            Some(earlier) => self.change_unpaid(wanted, &earlier).await?,
        };
        self.fill_phone(caller, &made).await;
        if made.status == Status::PendingPayment {
            // Nothing is left to settle or to mail.
            self.env.wake_relay().await;
        } else {
            self.wake().await;
        }
        Ok(made)
    }

    /// The unpaid booking of this customer and batch, unless its session is over.
    async fn live(&self, user_id: Id, new: &NewBooking) -> Result<Option<Booking>, CreateError> {
        let Some(found) = store::booking_fetch_live(&self.db, user_id, new.trek_id, new.batch_id).await? else {
            return Ok(None);
        };
        if found.status == Status::PendingPayment && !found.session_over(self.now()) {
            return Ok(Some(found));
        }
        // A session that is over, or a booking that somebody began and did not finish.
        self.retire(found.id).await?;
        Ok(None)
    }

    async fn begin(&self, wanted: Booking) -> Result<Booking, CreateError> {
        let lease = self.new_lease();
        let row = Booking { status: Status::Creating, ..wanted.clone() };
        match store::booking_insert(&self.db, &row, Some(&lease)).await {
            Err(error) if error.is_unique("bookings.user_id") => return Err(CreateError::InProgress),
            outcome => outcome?,
        }
        self.arrange(wanted, &lease, async |_| Ok(())).await
    }

    async fn change_unpaid(&self, wanted: Booking, earlier: &Booking) -> Result<Booking, CreateError> {
        let lease = self.new_lease();
        let current = self.lease(earlier.id, &lease).await?;
        if current.version != earlier.version {
            self.settle_now(earlier.id, &lease).await;
            return Err(CreateError::InProgress);
        }
        self.arrange(wanted, &lease, async |_| Ok(())).await
    }

    /// Seats, checkout, then the row, with what `also` writes; whatever fails is undone.
    pub(super) async fn arrange(
        &self,
        wanted: Booking,
        lease: &store::Lease,
        also: impl AsyncFn(&Tx) -> Result<(), BookingError>,
    ) -> Result<Booking, CreateError> {
        let outcome = async {
            self.hold(&wanted).await?;
            if let Some(payable) = payable(&wanted) {
                self.peers.open(&payable).await?;
            }
            let stored = self.db.transaction(async |tx| {
                let mut stored = wanted.clone();
                self.save(tx, &mut stored, Some(lease)).await?;
                also(tx).await?;
                if !stored.is_covered() {
                    store::lease_end(tx, stored.id, lease).await?;
                }
                Ok::<_, BookingError>(stored)
            });
            Ok(stored.await?)
        };
        match outcome.await {
            Ok(stored) if stored.is_covered() => {
                self.settle_now(stored.id, lease).await;
                Ok(store::booking_fetch(&self.db, stored.id).await?.unwrap_or(stored))
            }
            Ok(stored) => Ok(stored),
            Err(error) => {
                self.settle_now(wanted.id, lease).await;
                Err(error)
            }
        }
    }

    /// Holds the booking's seats until its session ends.
    pub(super) async fn hold(&self, booking: &Booking) -> Result<(), SeatsError> {
        let expires_at = booking.session.as_ref().map_or(booking.created_at, |session| session.expires_at);
        let request = HoldRequest {
            booking_id: booking.id,
            batch_id: booking.batch_id,
            seats: booking.seats(),
            expires_at,
            use_reserved: booking.may_use_reserved(),
        };
        self.peers.hold(&request).await
    }

    /// An account without a phone number takes that of its booking. Not worth failing for.
    pub(super) async fn fill_phone(&self, caller: &Caller, booking: &Booking) {
        if caller.phone.as_deref().is_some_and(|phone| !phone.is_empty()) {
            return;
        }
        if let Err(Unavailable(cause)) = self.peers.fill_phone(caller.id, &booking.contact.phone).await {
            log::warn("the phone number of an account was not filled in", &[("user", &caller.id), ("cause", &cause)]);
        }
    }
}
