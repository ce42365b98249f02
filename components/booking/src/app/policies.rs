//! What cancelling a trek's bookings gives back.

use cairn_shared::{Id, identity::Caller};
use serde_json::json;

use super::{App, BookingError};
use crate::{
    domain::{RefundPolicy, Tier},
    store,
};

impl App {
    /// The policy that a trek's next booking is made under.
    ///
    /// # Errors
    /// The database's.
    pub async fn refund_policy(&self, trek_id: Id) -> Result<RefundPolicy, BookingError> {
        Ok(store::refund_policy_fetch(&self.db, trek_id).await?.unwrap_or_default())
    }

    /// Gives a trek its next policy. Bookings that are made already keep theirs.
    ///
    /// # Errors
    /// The database's. Two at once: one of them is refused by the key of the version.
    pub async fn refund_policy_put(
        &self,
        caller: &Caller,
        trek_id: Id,
        tiers: &[Tier],
    ) -> Result<RefundPolicy, BookingError> {
        let put = self
            .db
            .transaction(async |tx| {
                let before = store::refund_policy_fetch(tx, trek_id).await?.unwrap_or_default();
                let put = store::refund_policy_insert(tx, trek_id, tiers, caller.id, self.now()).await;
                let put = put.map_err(|error| match error {
                    error if error.is_unique("refund_policies.trek_id") => BookingError::Busy,
                    error => error.into(),
                })?;
                self.note_record(tx, "refund_policy.put", trek_id, json!(before), json!(put)).await?;
                Ok(put)
            })
            .await;
        put
    }
}
