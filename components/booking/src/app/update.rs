//! Changing what a booking says: whom to reach, who comes, and for staff what is sold.

use cairn_shared::{Id, identity::Caller, validate::Email};

use super::{Actor, App, BookingError, commands::Decision, mails::MailIntent};
use crate::{
    domain::{
        Booking, CreateError, EditedBy, EmergencyContact, ParticipantInput, Refusal, Resale, Status, Who,
        edit_participants, may_be_resold, resold,
    },
    store::CommandKind,
};

const FORBIDDEN: &str = "Not authorized to update this booking";

/// What is to be changed; what is not given stays.
#[derive(Debug, Clone, Default)]
pub struct Update {
    pub name: Option<String>,
    pub email: Option<Email>,
    pub phone: Option<String>,
    pub emergency: Option<EmergencyContact>,
    pub special_requirements: Option<String>,
    pub additional_requests: Option<String>,
    pub participants: Option<Vec<ParticipantInput>>,
    /// The rest is for staff alone and left out for others.
    pub batch: Option<Id>,
    pub resale: Resale,
    pub status: Option<Status>,
}

impl App {
    /// Changes a booking for its owner, before the trip, or for admins.
    ///
    /// What admins change of the batch, the sale and the state are commands of their own
    /// and come first, in this order; the words come last, in one transaction. A crash or
    /// a refusal in between leaves the earlier ones done, and repeating the request does
    /// the rest.
    ///
    /// # Errors
    /// [`BookingError`] says why.
    pub async fn update(&self, caller: &Caller, id: Id, update: &Update) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        let by = match caller.is_admin() {
            true => EditedBy::Staff,
            false if found.user.id == caller.id => EditedBy::Owner,
            false => return Err(BookingError::Forbidden(FORBIDDEN)),
        };
        if by == EditedBy::Staff {
            self.update_sale(caller, &found, update).await?;
        }
        let edited = self.db.transaction(async |tx| {
            let mut booking = self.visible(tx, id).await?;
            let before = booking.clone();
            self.edit(&mut booking, update, by)?;
            if booking == before {
                return Ok(booking);
            }
            self.save(tx, &mut booking, None).await?;
            if update.participants.is_some() && booking.status == Status::Confirmed {
                if before.status == Status::Confirmed {
                    self.queue(tx, &booking, &MailIntent::Confirmed, &booking.version.to_string()).await?;
                } else {
                    self.queue_confirmations(tx, &booking).await?;
                }
            }
            Ok::<_, BookingError>(booking)
        });
        let booking = edited.await?;
        self.wake().await;
        Ok(booking)
    }

    fn edit(&self, booking: &mut Booking, update: &Update, by: EditedBy) -> Result<(), BookingError> {
        let over = matches!(booking.status, Status::Cancelled | Status::TrekCompleted);
        if by == EditedBy::Owner && (over || booking.has_started(self.now())) {
            return Err(BookingError::Participants(crate::domain::ParticipantsError::NotNow));
        }
        let set = |field: &mut String, given: &Option<String>| {
            if let Some(given) = given.as_ref().filter(|given| !given.is_empty()) {
                given.clone_into(field);
            }
        };
        set(&mut booking.contact.name, &update.name);
        set(&mut booking.contact.email, &update.email.as_ref().map(ToString::to_string));
        set(&mut booking.contact.phone, &update.phone);
        booking.emergency = update.emergency.clone().or(booking.emergency.take());
        booking.special_requirements = update.special_requirements.clone().or(booking.special_requirements.take());
        booking.additional_requests = update.additional_requests.clone().or(booking.additional_requests.take());
        if let Some(participants) = &update.participants {
            edit_participants(booking, participants, by, || self.env.id()).map_err(BookingError::Participants)?;
            // Details by staff are details: a paid booking is confirmed with them.
            if booking.status == Status::PaymentCompleted && by == EditedBy::Staff && booking.is_ready() {
                booking.status = Status::Confirmed;
            }
        }
        Ok(())
    }

    async fn update_sale(&self, staff: &Caller, found: &Booking, update: &Update) -> Result<(), BookingError> {
        if let Some(batch) = update.batch.filter(|batch| *batch != found.batch_id) {
            self.shift(staff, found.id, Some(batch)).await?;
        }
        if update.resale.changes(found) {
            self.resell(staff, found, &update.resale).await?;
        }
        if let Some(status) = update.status.filter(|status| *status != found.status) {
            self.set_status(staff, found.id, status).await?;
        }
        Ok(())
    }

    /// Sells an unpaid booking anew: seats that it needs more of come first, seats that
    /// it needs less of go last, and the checkout follows the new price.
    async fn resell(&self, staff: &Caller, found: &Booking, resale: &Resale) -> Result<(), BookingError> {
        if !may_be_resold(found) {
            return Err(Refusal::PriceFixed.into());
        }
        let terms = self.peers.trek_terms(found.trek_id).await?.ok_or(Refusal::TrekNotFound)?;
        let base = resale.base(found, &terms).map_err(BookingError::Sale)?;
        let quote = match &found.promo {
            Some(promo) => {
                let quote = self.peers.quote(&promo.code, found.trek_id, base, Some(found.id)).await;
                Some(quote.map_err(BookingError::Sale)?)
            }
            None => None,
        };
        let command = self.new_command(CommandKind::Resize, Actor::of(staff, Who::Admin));
        let now = self.now();
        let decide = |booking: &Booking| {
            if !may_be_resold(booking) {
                return Err(Refusal::PriceFixed.into());
            }
            let sold = resold(booking, resale, &terms, quote.clone(), &mut || self.env.id(), now);
            Ok(Decision::from(sold.map_err(BookingError::Sale)?))
        };
        let sold = self.run(found.id, &command, &decide).await;
        sold.map(drop).map_err(|error| match error {
            BookingError::BatchFull => BookingError::Sale(CreateError::SoldOut),
            other => other,
        })
    }
}
