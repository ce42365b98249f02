//! What becomes of bookings, by those whose they are and by staff.

use cairn_booking::domain::{Booking, Status};
use serde_json::{Value, json};

use super::{Ask, People, asked, staff};
use crate::world;

/// Who comes, so many of them.
pub fn details(count: u32) -> Value {
    let person = |n: u32| {
        json!({ "name": format!("Walker {}", char::from(b'A' + (n % 26) as u8)), "email": format!("w{n}@example.org"),
                "phone": "9800000001", "age": "31", "gender": "Female" })
    };
    json!({
        "participants": (0..count).map(person).collect::<Vec<_>>(),
        "emergencyContact": { "name": "Asha", "phone": "9811111111", "relation": "Parent" },
    })
}

impl People<'_> {
    pub fn book(&self) -> Ask {
        let who = self.person();
        let mut body = json!({
            "trekId": self.trek, "batchId": self.wanted_batch(),
            "numberOfParticipants": self.stage.between(1, 3),
            "userDetails": { "name": who.name, "email": who.email, "phone": "9800000001" },
            "paymentMode": if self.stage.hits(3_500) { "partial" } else { "full" },
        });
        if self.stage.hits(4_000) {
            body["couponCode"] = json!(world::PROMO);
        }
        let ask = asked(&who, "booking", "POST", "/api/bookings", &body);
        match self.stage.hits(6_000) {
            true => {
                let key = format!("book-{}", self.stage.chance.borrow_mut().number());
                Ask { request: ask.request.with_header("idempotency-key", key), ..ask }
            }
            false => ask,
        }
    }

    pub async fn give_details(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.status.holds_seats()).await?;
        let who = self.owner_or_staff(&booking, 8_000);
        let path = format!("/api/bookings/{}/participants", booking.id);
        Some(asked(&who, "booking", "PUT", &path, &details(booking.count())))
    }

    pub async fn cancel(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.status.holds_seats()).await?;
        staff("PUT", format!("/api/bookings/{}/cancel", booking.id), &self.cancellation(&booking))
    }

    fn cancellation(&self, booking: &Booking) -> Value {
        let refund = match self.stage.below(4) {
            0 => json!({ "refundType": "full" }),
            1 => json!({ "refundType": "custom", "customRefundAmount": self.stage.between(0, booking.paid.0 / 100) }),
            2 => json!({ "refund": false }),
            _ => json!({ "refundType": "auto" }),
        };
        let mut body = refund;
        body["cancellationReason"] = json!("the desk decided so");
        let who: Vec<_> = booking.participants.iter().filter(|_| self.stage.hits(5_000)).map(|p| p.id).collect();
        if !who.is_empty() && self.stage.hits(5_000) {
            body["cancellationType"] = json!("individual");
            body["selectedParticipants"] = json!(who);
        }
        body
    }

    pub async fn cancel_participant(&self) -> Option<Ask> {
        let booking = self.booking(|booking| !booking.participants.is_empty()).await?;
        let participant = self.one(&booking.participants)?.id;
        let who = self.owner_or_staff(&booking, 5_000);
        let path = format!("/api/bookings/{}/participants/{participant}/cancel", booking.id);
        Some(asked(&who, "booking", "PUT", &path, &json!({ "reason": "ill" })))
    }

    pub async fn restore(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.status == Status::Cancelled).await?;
        staff("PUT", format!("/api/bookings/{}/restore", booking.id), &Value::Null)
    }

    pub async fn restore_participant(&self) -> Option<Ask> {
        let gone = |booking: &Booking| booking.participants.iter().any(|participant| participant.is_cancelled);
        let booking = self.booking(gone).await?;
        let participant = booking.participants.iter().find(|participant| participant.is_cancelled)?.id;
        let path = format!("/api/bookings/{}/participants/{participant}/restore", booking.id);
        staff("PUT", path, &Value::Null)
    }

    pub async fn shift(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.status.holds_seats()).await?;
        let batch = *self.one(&world::batches())?;
        let path = format!("/api/bookings/{}/shift-batch", booking.id);
        staff("PUT", path, &json!({ "newBatchId": batch }))
    }

    pub async fn ask(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.status.is_paid()).await?;
        let preferred = self.one(&world::batches()).copied()?;
        let reschedule = json!({ "requestType": "reschedule", "reason": "work", "preferredBatch": preferred });
        let cancellation = json!({ "requestType": "cancellation", "reason": "ill" });
        let body = if self.stage.hits(6_000) { reschedule } else { cancellation };
        let path = format!("/api/bookings/{}/cancellation-request", booking.id);
        Some(asked(&self.owner(&booking), "booking", "POST", &path, &body))
    }

    /// A seat goes to another person.
    pub async fn transfer(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.status.holds_seats() && !booking.participants.is_empty()).await?;
        let participant = self.one(&booking.participants)?.id;
        let number = self.stage.chance.borrow_mut().number() % 100_000;
        // Some are reached as the booker is.
        let email =
            if self.stage.hits(2_000) { booking.contact.email.clone() } else { format!("n{number}@example.org") };
        let newcomer =
            json!({ "name": format!("Newcomer {number}"), "email": email, "phone": "9800000002", "age": 40 });
        let path = format!("/api/bookings/{}/participants/{participant}/transfer", booking.id);
        let who = self.owner_or_staff(&booking, 7_000);
        Some(asked(&who, "booking", "POST", &path, &json!({ "participant": newcomer })))
    }
}
