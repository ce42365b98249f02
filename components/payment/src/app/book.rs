//! The book: what is earned, and what staff read of it and of refunds.

use cairn_shared::{Id, Paise, Result, Timestamp, page::Page};

use super::App;
use crate::{
    domain::{self, Earning, RefundStatus, Transfer},
    store::{self, Balance, ListedRefund, Posted},
};

/// Entries of one booking that are shown; none has nearly as many.
const ENTRIES_MAX: i64 = 1_000;

impl App {
    /// All accounts as they stood at an instant.
    ///
    /// # Errors
    /// The database's.
    pub async fn balances(&self, at: Timestamp) -> Result<Vec<Balance>> {
        Ok(store::ledger_balances(&self.db, at).await?)
    }

    /// What the book says of a booking, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn booking_entries(&self, booking_id: Id) -> Result<Vec<Posted>> {
        Ok(store::ledger_list(&self.db, booking_id, ENTRIES_MAX).await?)
    }

    /// The trip of a booking has taken place or was called off: what it has paid is
    /// earned, so much of it is tax. Repeated, it books what has changed since.
    ///
    /// # Errors
    /// The database's.
    pub async fn earn(&self, booking_id: Id, tax: Paise) -> Result<()> {
        self.move_earnings(booking_id, |earning| domain::earn_transfers(booking_id, earning, tax)).await
    }

    /// The trip is to take place after all: what was earned is owed again.
    ///
    /// # Errors
    /// The database's.
    pub async fn defer(&self, booking_id: Id) -> Result<()> {
        self.move_earnings(booking_id, |earning| domain::defer_transfers(booking_id, earning)).await
    }

    async fn move_earnings(&self, booking_id: Id, moves: impl Fn(Earning) -> Vec<Transfer>) -> Result<()> {
        self.db
            .transaction(async |tx| {
                store::booking_turn(tx, booking_id).await?;
                let earning = store::ledger_earning(tx, booking_id).await?;
                for transfer in moves(earning) {
                    store::ledger_post(tx, &transfer, self.env.now()).await?;
                }
                Ok(())
            })
            .await
    }

    /// Refunds in a status, newest first, and how many there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn refund_page(
        &self,
        status: RefundStatus,
        by_hand: bool,
        page: Page,
    ) -> Result<(Vec<ListedRefund>, i64)> {
        Ok(store::refund_page(&self.db, status, by_hand, page.limit.into(), page.offset()).await?)
    }
}
