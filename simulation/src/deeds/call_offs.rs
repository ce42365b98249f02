//! Departures that staff call off, and what is chosen then.

use cairn_booking::{domain::Booking, store};
use serde_json::{Value, json};

use super::{Ask, People, asked, request, staff};
use crate::world;

/// The longest time in which owners choose, in days: shorter than everything takes to come
/// to rest.
pub const CHOICE_DAYS_MAX: i64 = 4;

impl People<'_> {
    pub async fn call_off(&self) -> Option<Ask> {
        // Mostly one on which somebody has paid.
        let paid = self.booking(|booking| booking.status.is_paid()).await.filter(|_| self.stage.hits(8_000));
        let batch = paid.map(|booking| booking.batch_id).or_else(|| self.one(&world::batches()).copied())?;
        let body = json!({
            "batchId": batch, "reason": "Snow", "bonusPercent": self.one(&[0, 5, 10])?,
            "days": self.stage.between(1, CHOICE_DAYS_MAX),
        });
        staff("POST", "/api/bookings/call-offs".into(), &body)
    }

    /// Owners, staff, and whoever has the link choose, also where nothing is to be chosen.
    pub async fn choose(&self) -> Option<Ask> {
        let offered = self.booking(Booking::awaits_choice).await;
        let again = self.stage.hits(1_500) || offered.is_none();
        let chosen = self.booking(|booking| booking.called_off.is_some()).await;
        let booking = if again { chosen } else { offered }?;
        let batch = *self.one(&world::batches())?;
        let choice = match self.stage.below(6) {
            0 | 1 => json!({ "choice": "voucher" }),
            2 | 3 => json!({ "choice": "refund" }),
            _ => json!({ "choice": "batch", "batchId": batch }),
        };
        if self.stage.hits(3_000) {
            return self.choose_by_link(&booking, &choice).await;
        }
        let who = self.owner_or_staff(&booking, 7_500);
        Some(asked(&who, "booking", "POST", &format!("/api/bookings/{}/call-off", booking.id), &choice))
    }

    async fn choose_by_link(&self, booking: &Booking, choice: &Value) -> Option<Ask> {
        let id = booking.called_off.as_ref()?.call_off;
        let call_off = store::call_off_fetch(&self.databases.booking, id).await.expect("call-offs are there")?;
        let path = format!("/api/bookings/call-offs/choice/{}", call_off.token(booking.id));
        Some(Ask { who: "who has the link".into(), service: "booking", request: request("POST", &path, choice) })
    }
}
