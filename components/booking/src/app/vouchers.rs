//! Vouchers with which bookings are paid.
//!
//! The booking says which voucher is to pay how much of what it owes; payment reserves it
//! with the checkout, and gives it back with it. Beside a payment online, payment spends
//! it with the capture and tells of both in one event. Where it pays all, the booking has
//! payment spend it: the intent is in the row, so whoever finds it finishes it.

use cairn_shared::{Id, Paise, identity::Caller, log};

use super::{Actor, App, BookingError, commands::Decision};
use crate::{
    domain::{Booking, CreateError, Payable, Refusal, Tender, Who, payable},
    store::{self, CommandKind, Lease, Taken},
};

impl App {
    /// What a code pays of an amount, for a booking that may have some of it reserved.
    pub(super) async fn tender(&self, code: &str, owed: Paise, booking_id: Option<Id>) -> Result<Tender, CreateError> {
        let offer = self.peers.voucher_offer(code, owed, booking_id).await?;
        Ok(Tender::of(offer, self.env.id()))
    }

    /// Has a voucher pay what the booking owes now, or as much of it as it can; without a
    /// code, has none pay. A voucher that covers everything pays at once.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn set_voucher(&self, caller: &Caller, id: Id, code: Option<&str>) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        if found.user.id != caller.id && !caller.is_admin() {
            return Err(BookingError::Forbidden("Not authorized to modify this booking"));
        }
        if code.is_some() && found.shares_due().is_some() {
            return Err(Refusal::VoucherBesideShares.into());
        }
        let owed = payable(&found).ok_or(Refusal::NothingOwed)?.amount;
        let tender = match code {
            Some(code) => Some(self.tender(code, owed, Some(id)).await.map_err(BookingError::Sale)?),
            None => None,
        };
        let command = self.new_command(CommandKind::Tender, Actor::of(caller, Who::Owner));
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            if tender.is_some() && booking.shares_due().is_some() {
                return Err(Refusal::VoucherBesideShares.into());
            }
            payable(booking).filter(|now| now.amount == owed).ok_or(Refusal::NothingOwed)?;
            Ok(Booking { tender: tender.clone(), ..booking.clone() }.into())
        };
        let changed = self.run(id, &command, &decide).await?;
        if tender.is_some() && changed.tender.is_none() && changed.paid == found.paid {
            // Somebody else has spent it in between.
            return Err(BookingError::Sale(CreateError::VoucherUsedUp));
        }
        Ok(changed)
    }

    /// Has payment spend the voucher that covers all that is owed, and takes that as any
    /// other capture. Answers the booking as it is then. A voucher that does not pay any
    /// more is left out.
    ///
    /// A crash before payment has spent it leaves the intent; after it, payment's event or
    /// the repeated call brings the same payment, which is taken once by its id.
    ///
    /// # Errors
    /// A service that does not answer.
    pub(super) async fn redeem(&self, booking: Booking, lease: &Lease) -> Result<Booking, BookingError> {
        let id = booking.id;
        let covered = payable(&booking).and_then(|owed| owed.tender.clone().map(|tender| (owed, tender)));
        let Some((owed, tender)) = covered else { return Ok(booking) };
        match self.peers.redeem(&owed, &tender).await {
            Ok(payment) => self.capture(None, Taken { booking, left_open: true }, &payment, None, lease).await?,
            Err(CreateError::Unavailable(cause)) => {
                // It may be paid, and payment about to tell so: that must not wait for this lease.
                store::lease_lapse(&self.db, id, lease, self.now()).await?;
                return Err(BookingError::Unavailable(cause));
            }
            Err(refused) => self.drop_tender(id, &refused, lease).await?,
        }
        store::booking_fetch(&self.db, id).await?.ok_or(BookingError::NotFound)
    }

    async fn drop_tender(&self, id: Id, refused: &CreateError, lease: &Lease) -> Result<(), BookingError> {
        log::warn("a voucher does not pay for a booking any more", &[("booking", &id), ("cause", refused)]);
        self.note(id, lease, |booking| booking.tender = None).await
    }

    /// Opens the checkout of what is owed. A voucher that does not pay any more is left out.
    pub(super) async fn open_owed(&self, owed: &Payable, lease: &Lease) -> Result<(), CreateError> {
        match self.peers.open(owed).await {
            Err(refused) if refused.is_about_voucher() => {
                self.drop_tender(owed.booking_id, &refused, lease).await?;
                self.peers.open(&Payable { tender: None, ..owed.clone() }).await
            }
            outcome => outcome,
        }
    }
}
