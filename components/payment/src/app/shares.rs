//! Shares: what a booking owes, in parts that other people pay.
//!
//! The balance stays one payable, which its owner can pay as a whole at any time. A share
//! is open as long as it and the payable are, and whoever pays takes the booking's turn: so
//! a share that is paid lessens the payable, a payable that is paid closes its shares, and
//! of two who pay the same money at once, the second one gets it back by itself.

use cairn_shared::{Id, Paise, Tx};

use super::App;
use crate::{
    domain::{
        KeyDigest, Kind, OpenError, Order, OrderStatus, Payable, PayableStatus, PaymentError, Share, StoredShare,
        check_shares,
    },
    store,
};

impl App {
    /// As [`App::open`], with shares of it: exactly these are open then.
    ///
    /// # Errors
    /// [`OpenError`] tells why; then nothing has changed.
    pub async fn open_shared(&self, payable: Payable, shares: &[Share]) -> Result<(), OpenError> {
        payable.validate()?;
        check_shares(&payable, shares)?;
        self.db
            .transaction(async |tx| {
                store::booking_turn(tx, payable.booking_id).await?;
                self.open_in_turn(tx, &payable, None, None).await?;
                self.open_shares(tx, payable.booking_id, shares).await
            })
            .await
    }

    /// Makes these the open shares of a booking's payable.
    async fn open_shares(&self, tx: &Tx, booking_id: Id, shares: &[Share]) -> Result<(), OpenError> {
        let now = self.env.now();
        let known = store::share_list(tx, booking_id).await?;
        for gone in known.iter().filter(|known| !shares.iter().any(|share| share.id == known.share.id)) {
            store::share_close(tx, gone.share.id, now).await?;
            store::orders_void_of_share(tx, gone.share.id).await?;
        }
        for share in shares {
            let before = known.iter().find(|known| known.share.id == share.id);
            if before.is_some_and(|before| before.paid) {
                return Err(OpenError::Invalid("this share has been paid".into()));
            }
            if before.is_some_and(|before| before.share.amount != share.amount) {
                store::orders_void_of_share(tx, share.id).await?;
            }
            store::share_save(tx, share, now).await?;
        }
        Ok(())
    }

    /// Nobody is to pay shares of a booking any more.
    pub(super) async fn close_shares(&self, tx: &Tx, booking_id: Id) -> Result<(), OpenError> {
        self.open_shares(tx, booking_id, &[]).await
    }

    /// The share that a key opens.
    ///
    /// # Errors
    /// [`PaymentError::UnknownBooking`] for what is no key.
    pub async fn share_of_key(&self, key: &str) -> Result<StoredShare, PaymentError> {
        let digest = KeyDigest::of(key.trim()).ok_or(PaymentError::UnknownBooking)?;
        store::share_fetch_by_key(&self.db, &digest).await?.ok_or(PaymentError::UnknownBooking)
    }

    /// An order as it stands: one for a share that is not to be paid any more is void.
    pub(super) async fn order_as_shared(&self, tx: &Tx, order: Order) -> Result<Order, PaymentError> {
        let Some(share_id) = order.share_id else { return Ok(order) };
        let share = store::share_fetch(tx, share_id).await?;
        let waits = matches!(order.status, OrderStatus::Intent | OrderStatus::Open);
        let stands = share.is_some_and(|share| share.open && share.share.amount == order.amount);
        Ok(if waits && !stands { Order { status: OrderStatus::Void, ..order } } else { order })
    }

    /// A share is paid: its booking owes so much less.
    pub(super) async fn settle_share(
        &self,
        tx: &Tx,
        booking_id: Id,
        share_id: Id,
        amount: Paise,
    ) -> Result<(), PaymentError> {
        let now = self.env.now();
        store::share_pay(tx, share_id, now).await?;
        let Some(stored) = store::payable_fetch(tx, booking_id).await? else { return Ok(()) };
        if stored.status != PayableStatus::Open || stored.payable.kind != Kind::Balance {
            return Ok(());
        }
        let rest = stored.payable.amount - amount;
        // Its owner may be at the checkout for all of it.
        if rest <= Paise::ZERO {
            store::orders_void(tx, booking_id).await?;
            return Ok(store::payable_pay(tx, booking_id, now).await?);
        }
        store::payable_lessen(tx, booking_id, amount, now).await?;
        Ok(store::orders_void_others(tx, booking_id, Kind::Balance, rest).await?)
    }
}
