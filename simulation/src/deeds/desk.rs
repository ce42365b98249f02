//! What staff do at their desk.

use cairn_booking::domain::{Booking, Status};
use cairn_shared::Id;
use serde_json::{Value, json};

use super::{Ask, People, asked, bookings::details, staff};
use crate::world;

/// What staff say was paid.
const PAID: [&str; 3] = ["payment_completed", "payment_confirmed_partial", "unpaid"];

impl People<'_> {
    /// Most want the departures that are nearest and have most seats.
    pub fn wanted_batch(&self) -> Id {
        let least_wanted = world::batches().len() - 1;
        world::batch(if self.stage.hits(2_000) { least_wanted } else { self.stage.below(least_wanted) })
    }

    pub fn book_manually(&self) -> Ask {
        let customer = self.person();
        let count = self.stage.between(1, 3);
        let paid = self.one(&PAID).copied().unwrap_or(PAID[0]);
        let mut body = json!({
            "userId": customer.id, "trekId": self.trek, "batchId": self.wanted_batch(),
            "numberOfParticipants": count, "totalPrice": 4_000 * count, "paymentStatus": paid,
            "userDetails": { "name": customer.name, "email": customer.email, "phone": "9800000001" },
            "paymentMethod": "cash",
        });
        if self.stage.hits(5_000) {
            let named = details(u32::try_from(count).unwrap_or(1));
            body["participantDetails"] = named["participants"].clone();
            body["emergencyContact"] = named["emergencyContact"].clone();
        }
        asked(&world::admin(), "booking", "POST", "/api/bookings/manual/create-booking", &body)
    }

    pub async fn answer_asked(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.cancellation_request.is_pending()).await?;
        let status = if self.stage.hits(7_000) { "approved" } else { "rejected" };
        let path = format!("/api/bookings/{}/cancellation-request", booking.id);
        staff("PUT", path, &json!({ "status": status, "adminResponse": "as you wish" }))
    }

    pub async fn complete(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.status == Status::Confirmed).await?;
        staff("PUT", format!("/api/bookings/{}/complete-trek", booking.id), &Value::Null)
    }

    pub async fn delete(&self) -> Option<Ask> {
        let booking = self.booking(|_| true).await?;
        staff("DELETE", format!("/api/bookings/{}", booking.id), &Value::Null)
    }

    pub async fn set_status(&self) -> Option<Ask> {
        let booking = self.booking(|_| true).await?;
        let statuses = ["pending", "payment_completed", "confirmed", "trek_completed", "cancelled"];
        let body = json!({ "status": self.one(&statuses)? });
        staff("PUT", format!("/api/bookings/{}/status", booking.id), &body)
    }

    pub async fn receive_offline(&self) -> Option<Ask> {
        let waits = |booking: &Booking| matches!(booking.status, Status::Pending | Status::PaymentConfirmedPartial);
        let booking = self.booking(waits).await?;
        let proof = json!({ "paymentMethod": "cash", "paymentReference": "envelope 7" });
        if booking.admin_created && self.stage.hits(5_000) {
            let paid = self.one(&PAID)?;
            let body = json!({ "paymentStatus": paid, "paymentMethod": "bank_transfer" });
            return staff("PUT", format!("/api/bookings/{}/admin-status", booking.id), &body);
        }
        staff("PUT", format!("/api/bookings/{}/mark-partial-complete", booking.id), &proof)
    }

    pub async fn restore_failed(&self) -> Option<Ask> {
        let select = "SELECT id FROM failed_bookings WHERE hidden_at IS NULL ORDER BY id";
        let row = self.row_of(&self.databases.booking, select).await?;
        let id: String = row.get("id").expect("an id");
        staff("POST", format!("/api/failed-bookings/{id}/restore"), &json!({}))
    }
}
