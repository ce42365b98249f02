//! What staff read of the book and of refunds.

use cairn_shared::{Id, Result, Timestamp, page::Page};

use super::App;
use crate::{
    domain::RefundStatus,
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
