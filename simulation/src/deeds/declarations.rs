//! What has to be declared, what is, and what staff make of it.

use cairn_booking::domain::Booking;
use cairn_shared::{Id, Sql, params};
use serde_json::json;

use super::{Ask, People, asked, staff};
use crate::world;

impl People<'_> {
    /// Staff ask something, or nothing, of those who book from now on.
    pub fn ask_for_declarations(&self) -> Ask {
        let questions = if self.stage.hits(7_000) { json!([world::question()]) } else { json!([]) };
        let path = format!("/api/bookings/declaration-forms/{}", self.trek);
        asked(&world::admin(), "booking", "PUT", &path, &json!({ "questions": questions }))
    }

    pub async fn declare(&self) -> Option<Ask> {
        let booking = self.to_declare(|booking| booking.status.holds_seats()).await?;
        let participant = self.one(&booking.participants)?.id;
        let path = format!("/api/bookings/{}/declarations/{participant}", booking.id);
        let who = self.owner_or_staff(&booking, 8_000);
        let body = json!({ "answers": { "heart": self.stage.hits(9_000) } });
        Some(asked(&who, "booking", "PUT", &path, &body))
    }

    /// Any declaration, the newest or not, decided already or not.
    pub async fn decide(&self) -> Option<Ask> {
        let booking = self.to_declare(|_| true).await?;
        let select = "SELECT id, participant_id FROM declarations WHERE booking_id = $1 ORDER BY submitted_at, id";
        let rows = self.databases.booking.query(select, params![booking.id]).await.expect("declarations are there");
        let row = self.one(&rows)?;
        let (declaration, participant): (Id, Id) = (row.get("id").ok()?, row.get("participant_id").ok()?);
        let decision = match self.stage.below(10) {
            0..=6 => "approved",
            7 | 8 => "asked_again",
            _ => "refused",
        };
        let path = format!("/api/bookings/{}/declarations/{participant}/decision", booking.id);
        staff("PUT", path, &json!({ "declaration": declaration, "decision": decision, "note": "as we read it" }))
    }

    async fn to_declare(&self, which: impl Fn(&Booking) -> bool) -> Option<Booking> {
        let asks = |booking: &Booking| booking.clearance.is_some() && !booking.participants.is_empty();
        self.booking(|booking| asks(booking) && which(booking)).await
    }
}
