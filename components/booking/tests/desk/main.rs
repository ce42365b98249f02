//! What staff do at the desk, and what schedules do for them.

#[path = "../world/mod.rs"]
mod world;

mod access;
mod agreed;
mod edits;
mod failed;
mod office;
mod schedules;

use cairn_booking::{
    app::{Message, News},
    domain::Kind,
};
use cairn_shared::Id;
use serde_json::{Value, json};
use world::{World, admin, batch_id, customer, trek_id};

const MANUAL: &str = "/api/bookings/manual/create-booking";

/// Whom to reach about a booking at the desk.
fn details() -> Value {
    json!({ "name": "Arjun Pai", "email": "arjun@example.org", "phone": "9800000002" })
}

/// A manual booking of two for 8000 rupees, with these fields changed.
fn manual(changes: Value) -> Value {
    let mut body = json!({
        "userId": customer().id, "trekId": trek_id(), "batchId": batch_id(), "numberOfParticipants": 1,
        "userDetails": details(), "totalPrice": 8000, "paymentStatus": "payment_completed",
        "emergencyContact": { "name": "", "phone": "", "relationship": "" },
        "participantDetails": [
            { "name": "Arjun Pai", "age": "34", "gender": "Male", "medicalConditions": "" },
            { "name": "Veena Pai", "age": "", "gender": "", "medicalConditions": "Asthma" },
        ],
    });
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body
}

impl World {
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Some(&admin()), "POST", path, body).await
    }

    async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Some(&admin()), "PUT", path, body).await
    }

    /// A booking that staff made, by its id.
    async fn manual(&self, changes: Value) -> Id {
        let (status, body) = self.post(MANUAL, manual(changes)).await;
        assert_eq!(status, 201, "{body}");
        body["booking"]["_id"].as_str().unwrap().parse().unwrap()
    }

    /// A booking of two instalments with the first one paid, its mails sent.
    async fn partial(&self) -> Id {
        let id = self.booked(json!({ "paymentMode": "partial" })).await;
        assert_eq!(self.captured(id, &format!("pay_{id}"), Kind::Initial, 2_568).await, 204);
        self.sent().await;
        id
    }

    async fn detail(&self, id: Id) -> Value {
        let (status, body) = self.get(&admin(), &format!("/api/bookings/{id}")).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The recipients and kinds of all mails since the last time, in order.
    async fn sent(&self) -> Vec<(String, &'static str)> {
        assert_eq!(self.job("mails").await, 204);
        let kind = |message: &Message| match message {
            Message::PaymentReceived { .. } => "payment",
            Message::Invoice(_) => "invoice",
            Message::Notice(_, News::Confirmed { .. }) => "confirmed",
            Message::Notice(_, News::BalanceReceived { .. }) => "balance",
            Message::Notice(_, News::TripReminder) => "trip",
            Message::Notice(_, News::BalanceReminder { .. }) => "reminder",
            Message::Notice(_, News::DetailsReminder) => "details",
            Message::Notice(_, News::UnpaidCancelled { .. }) => "unpaid",
            Message::Notice(..) | Message::Gift { .. } => "other",
        };
        let mails = self.outside.mails.borrow_mut().drain(..).collect::<Vec<_>>();
        let mut sent: Vec<_> = mails.into_iter().map(|mail| (mail.email, kind(&mail.message))).collect();
        sent.sort();
        sent
    }
}
