//! What the booking service asks for.

use cairn_shared::{Id, Tx, events};

use super::App;
use crate::{
    domain::{
        Kind, OpenError, Payable, PayableStatus, Payment, PaymentError, Promo, PromoProblem, StoredPayable, Tender, Use,
    },
    store,
};

impl App {
    /// Opens, or replaces, what a booking owes next, reserves its promo use and what a
    /// voucher is to pay of it, and voids unpaid orders for anything else: one transaction.
    /// Repeated, it changes nothing. Two bookings that want the last use of a code, or the
    /// same credit, come one after the other.
    ///
    /// # Errors
    /// [`OpenError`] tells why; then nothing has changed.
    pub async fn open_with_voucher(
        &self,
        payable: Payable,
        promo_code: Option<&str>,
        tender: Option<Tender>,
    ) -> Result<(), OpenError> {
        payable.validate()?;
        self.db
            .transaction(async |tx| {
                store::booking_turn(tx, payable.booking_id).await?;
                self.open_in_turn(tx, &payable, promo_code, tender).await?;
                // Only a balance can have had shares.
                if payable.kind == Kind::Balance { self.close_shares(tx, payable.booking_id).await } else { Ok(()) }
            })
            .await
    }

    /// As [`App::open_with_voucher`], all of it to be paid with money.
    ///
    /// # Errors
    /// [`OpenError`] tells why; then nothing has changed.
    pub async fn open(&self, payable: Payable, promo_code: Option<&str>) -> Result<(), OpenError> {
        self.open_with_voucher(payable, promo_code, None).await
    }

    pub(super) async fn open_in_turn(
        &self,
        tx: &Tx,
        payable: &Payable,
        promo_code: Option<&str>,
        tender: Option<Tender>,
    ) -> Result<(), OpenError> {
        let now = self.env.now();
        let before = store::payable_fetch(tx, payable.booking_id).await?;
        self.refuse_paid(tx, payable).await?;
        if let Some(tender) = tender {
            self.check_tender(tx, payable, tender, before.as_ref()).await?;
        }
        let promo_id = self.reserve_promo(tx, payable, promo_code).await?;
        let stored = StoredPayable {
            opened_at: before.map_or(now, |before| before.session_start(payable, now)),
            payable: payable.clone(),
            promo_id,
            tender,
            status: PayableStatus::Open,
        };
        store::orders_void_others(tx, payable.booking_id, payable.kind, stored.online()).await?;
        Ok(store::payable_save(tx, &stored, now).await?)
    }

    /// What has been paid, and not given back, is not owed again. There may be another
    /// balance, once booking knows of the one that was paid: somebody came back to it.
    async fn refuse_paid(&self, tx: &Tx, payable: &Payable) -> Result<(), OpenError> {
        let payments = store::payment_list(tx, payable.booking_id).await?;
        let settles = |payment: &&Payment| {
            let settled = payment.kind.is_some_and(|kind| payable.is_settled_by(kind));
            settled && payment.refundable() > cairn_shared::Paise::ZERO
        };
        for paid in payments.iter().filter(settles) {
            if payable.kind != Kind::Balance || events::waits(tx, "booking", payable.booking_id, &paid.id).await? {
                return Err(OpenError::Invalid("this has been paid".into()));
            }
        }
        Ok(())
    }

    async fn reserve_promo(&self, tx: &Tx, payable: &Payable, code: Option<&str>) -> Result<Option<Id>, OpenError> {
        let booking_id = payable.booking_id;
        let held = store::promo_use_fetch(tx, booking_id).await?;
        if let Some((promo_id, true)) = held {
            return Ok(Some(promo_id));
        }
        let Some(code) = code.filter(|_| payable.kind != Kind::Balance) else {
            if held.is_some() && payable.kind != Kind::Balance {
                store::promo_use_release(tx, booking_id).await?;
            }
            return Ok(None);
        };
        let invalid = OpenError::Promo(PromoProblem::InvalidCode);
        let Some(found) = self.promo_by_code(tx, code).await? else { return Err(invalid) };
        store::promo_turn(tx, found.id).await?;
        let promo = store::promo_fetch(tx, found.id).await?.ok_or(invalid)?;
        let usage = Use {
            trek_id: Some(payable.trek_id),
            order_value: Some(payable.order_value),
            taken: store::promo_taken(tx, promo.id, Some(booking_id)).await?,
            taken_by_user: store::promo_taken_by_user(tx, promo.id, payable.user_id, booking_id).await?,
        };
        promo.check(&usage, self.env.now(), self.env.zone).map_err(OpenError::Promo)?;
        store::promo_use_reserve(tx, booking_id, promo.id, self.env.now()).await?;
        Ok(Some(promo.id))
    }

    async fn promo_by_code(
        &self,
        sql: &impl cairn_shared::Sql,
        code: &str,
    ) -> Result<Option<Promo>, cairn_shared::DbError> {
        store::promo_fetch_by_code(sql, &super::promos::normal_code(code)).await
    }

    /// Nothing more is to be paid: no order is made any more, and a use that is not
    /// paid is given back. Orders stay known: what is still paid on them is told.
    ///
    /// # Errors
    /// The database's. An unknown booking is no error.
    pub async fn close(&self, booking_id: Id) -> Result<(), PaymentError> {
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                store::booking_turn(tx, booking_id).await?;
                store::payable_close(tx, booking_id, now).await?;
                Ok(store::promo_use_release(tx, booking_id).await?)
            })
            .await
    }

    /// Captured payments of a booking, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn payments(&self, booking_id: Id) -> Result<Vec<Payment>, PaymentError> {
        Ok(store::payment_list(&self.db, booking_id).await?)
    }

    /// Whether a code applies; reserves nothing. A use of this booking is not counted.
    ///
    /// # Errors
    /// [`OpenError::Promo`] with the reason, and the database's.
    pub async fn quote(&self, code: &str, usage: Use, booking_id: Option<Id>) -> Result<Promo, OpenError> {
        let promo = self.promo_by_code(&self.db, code).await?.ok_or(OpenError::Promo(PromoProblem::InvalidCode))?;
        let taken = store::promo_taken(&self.db, promo.id, booking_id).await?;
        promo.check(&Use { taken, ..usage }, self.env.now(), self.env.zone).map_err(OpenError::Promo)?;
        Ok(promo)
    }

    /// As [`App::quote`], for a person: what that person has reserved is not counted.
    ///
    /// # Errors
    /// [`OpenError::Promo`] with the reason, and the database's.
    pub async fn quote_for(&self, code: &str, usage: Use, user_id: Id) -> Result<Promo, OpenError> {
        let promo = self.promo_by_code(&self.db, code).await?.ok_or(OpenError::Promo(PromoProblem::InvalidCode))?;
        let taken = store::promo_taken_by_others(&self.db, promo.id, user_id).await?;
        let taken_by_user = store::promo_paid_by_user(&self.db, promo.id, user_id).await?;
        promo.check(&Use { taken, taken_by_user, ..usage }, self.env.now(), self.env.zone).map_err(OpenError::Promo)?;
        Ok(promo)
    }
}
