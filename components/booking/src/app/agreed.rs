//! Making bookings without a checkout: of custom treks, and by staff.

use cairn_shared::{Tx, identity::Caller};

use super::{App, BookingError, mails::MailIntent};
use crate::{
    domain::{
        Billing, Booking, CreateError, CustomBooking, ManualBooking, PaidStatus, ParticipantsError, Status, User,
        custom_booking, custom_sale, manual_booking, manual_sale, roster,
    },
    store,
};

impl App {
    /// Books a custom trek for the caller: confirmed at once and recorded unpaid. The
    /// steps are those of [`App::make_agreed`].
    ///
    /// # Errors
    /// [`CreateError`] says why; then nothing has changed.
    pub async fn create_custom(&self, caller: &Caller, new: &CustomBooking) -> Result<Booking, CreateError> {
        let terms = self.peers.trek_terms(new.trek_id).await?;
        let batch = match &terms {
            Some(terms) if terms.custom => self.peers.batches_of_treks(&[terms.id]).await?.into_iter().next(),
            _ => None,
        };
        let now = self.now();
        let sale = custom_sale(terms, batch, new.count, now)?;
        let user =
            User { id: caller.id, name: caller.name.clone(), email: caller.email.clone(), phone: caller.phone.clone() };
        let mut wanted = custom_booking(new, &sale, user, &mut || self.env.id(), now);
        wanted.policy = self.refund_policy(new.trek_id).await?;
        let made = self
            .make_agreed(wanted, async |tx, booking| {
                self.queue_confirmations(tx, booking).await?;
                self.queue(tx, booking, &MailIntent::Invoice, "made").await
            })
            .await
            .map_err(|error| if error == CreateError::SoldOut { CreateError::CustomSoldOut } else { error })?;
        self.fill_phone(caller, &made).await;
        self.wake().await;
        Ok(made)
    }

    /// Books for a customer, as staff agreed with them. What they have paid is booked by
    /// payment and then makes the booking what it is; until then it is `pending`.
    ///
    /// # Errors
    /// [`CreateError`] says why; then nothing has changed.
    pub async fn create_manual(&self, staff: &Caller, new: &ManualBooking) -> Result<Booking, CreateError> {
        let customer = self.peers.customer(new.user_id).await?.ok_or(CreateError::UserNotFound)?;
        let terms = self.peers.trek_terms(new.trek_id).await?;
        let batch = match &terms {
            Some(_) => self.peers.batch(new.batch_id).await?,
            None => None,
        };
        let now = self.now();
        let sale = manual_sale(terms, batch, new.count)?;
        let participants = roster(&new.participants, || self.env.id())
            .map_err(|error: ParticipantsError| CreateError::Participants(error.to_string()))?;
        let user = User { id: customer.id, name: customer.name, email: customer.email, phone: customer.phone };
        let mut wanted = manual_booking(new, &sale, user, participants, &mut || self.env.id(), now);
        wanted.policy = self.refund_policy(new.trek_id).await?;
        wanted.clearance = self.clearance(new.trek_id).await?;
        let state = customer.state.and_then(|state| state.parse().ok());
        wanted.billing = state.map(|state| Billing { state: Some(state), ..Billing::default() });
        let (proof, actor, key) = (new.proof.clone(), staff.id, self.env.id());
        match new.paid {
            PaidStatus::Unpaid => {}
            PaidStatus::Partial if wanted.split(Some(&sale.terms), now).is_some() => {
                wanted.expect_offline(Status::PaymentConfirmedPartial, proof, actor, key);
            }
            PaidStatus::Partial | PaidStatus::Completed => wanted.expect_offline(Status::Confirmed, proof, actor, key),
        }
        let made = self.make_agreed(wanted, async |_, _| Ok(())).await?;
        self.wake().await;
        Ok(made)
    }

    /// Makes a booking that has its seats for good from the beginning.
    ///
    /// Steps: store the row leased as `creating`, which nobody sees; take and confirm the
    /// seats; commit the row as it is wanted, with its mails; have payment book what staff
    /// received. A step up to the commit that fails is undone at once by [`App::settle`];
    /// after a crash the job does that. From the commit on the booking stands, and the
    /// job finishes what is left. Two of one customer at once: the unique index refuses
    /// the second, unless staff make it.
    async fn make_agreed(
        &self,
        wanted: Booking,
        also: impl AsyncFn(&Tx, &Booking) -> Result<(), BookingError>,
    ) -> Result<Booking, CreateError> {
        let lease = self.new_lease();
        let row = Booking { status: Status::Creating, offline_due: None, ..wanted.clone() };
        match store::booking_insert(&self.db, &row, Some(&lease)).await {
            Err(error) if error.is_unique("bookings.user_id") => return Err(CreateError::InProgress),
            outcome => outcome?,
        }
        let outcome = async {
            self.seat(&wanted, false).await?;
            let stored = self.db.transaction(async |tx| {
                let mut stored = wanted.clone();
                self.save(tx, &mut stored, Some(&lease)).await?;
                also(tx, &stored).await
            });
            Ok::<_, CreateError>(stored.await?)
        };
        let outcome = outcome.await;
        self.settle_now(row.id, &lease).await;
        outcome?;
        // Settling has booked the money, and the booking moved on with it.
        Ok(store::booking_fetch(&self.db, row.id).await?.unwrap_or(wanted))
    }
}
