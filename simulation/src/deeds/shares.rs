//! Prices that several people pay: shared, paid by links, readdressed, taken back.

use cairn_booking::{
    domain::{Booking, Status, share_token},
    store,
};
use cairn_shared::{Id, Sql, params};
use serde_json::{Value, json};

use super::{Ask, People, asked, bookings::details, request};
use crate::provider;

/// The longest time in which shares are paid, in hours: shorter than everything takes to
/// come to rest.
const HOURS_MAX: i64 = 72;

impl People<'_> {
    pub async fn gather(&self) -> Option<Ask> {
        let waits = |booking: &Booking| {
            booking.status == Status::PendingPayment && booking.count() > 1 && booking.participants.is_empty()
        };
        let booking = self.booking(waits).await?;
        let path = format!("/api/bookings/{}/participants", booking.id);
        Some(asked(&self.owner(&booking), "booking", "PUT", &path, &details(booking.count())))
    }

    /// Also of bookings that cannot be shared any more.
    pub async fn split(&self) -> Option<Ask> {
        let any = self.stage.hits(1_000);
        let waits = |booking: &Booking| any || booking.status == Status::PendingPayment;
        let booking = self.booking(|booking| booking.participants.len() > 1 && waits(booking)).await?;
        let mut body = json!({ "hours": self.stage.between(1, HOURS_MAX) });
        if self.stage.hits(4_000) {
            // One of the others pays for all of them.
            let others: Vec<_> = booking.participants.iter().skip(1).map(|participant| participant.id).collect();
            body["shares"] = json!([{ "participants": others, "name": "Bela", "email": "bela@example.org" }]);
        }
        let path = format!("/api/bookings/{}/split", booking.id);
        Some(asked(&self.owner(&booking), "booking", "PUT", &path, &body))
    }

    pub async fn unsplit(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.split.is_some()).await?;
        let path = format!("/api/bookings/{}/split", booking.id);
        Some(asked(&self.owner(&booking), "booking", "DELETE", &path, &Value::Null))
    }

    /// Somebody else is to pay a share, also one that is paid.
    pub async fn readdress(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.split.is_some()).await?;
        let share = self.one(&booking.split.as_ref()?.shares)?.id;
        let path = format!("/api/bookings/{}/split/{share}", booking.id);
        let to = json!({ "name": "Chandra", "email": "chandra@example.org" });
        Some(asked(&self.owner(&booking), "booking", "PUT", &path, &to))
    }

    /// Whoever has the link asks for an order, also where nothing is to be paid. Where
    /// nobody can pay yet, the owner mostly asks for the own part first.
    pub async fn order_share(&self) -> Option<Ask> {
        let open = self.booking(|booking| booking.open_shares().next().is_some()).await;
        let waits = |booking: &Booking| booking.split.is_some() && booking.status == Status::PendingPayment;
        if let (None, Some(waiting), true) = (&open, self.booking(waits).await, self.stage.hits(8_500)) {
            let body = json!({ "bookingId": waiting.id, "amount": 1 });
            return Some(asked(&self.owner(&waiting), "payment", "POST", "/api/payments/create-order", &body));
        }
        let any = self.booking(|booking| booking.split.is_some()).await;
        let booking = if self.stage.hits(1_500) { any } else { open }?;
        let share = self.one(&booking.split.as_ref()?.shares)?.id;
        let token = self.token(booking.id, share).await?;
        let request = request("POST", "/api/payments/shares/order", &json!({ "token": token }));
        Some(Ask { who: "who has the link".into(), service: "payment", request })
    }

    async fn token(&self, booking: Id, share: Id) -> Option<String> {
        let secret = store::split_secret_fetch(&self.databases.booking, booking).await.expect("secrets are there")?;
        Some(share_token(booking, share, &secret))
    }

    /// Whoever has paid a share tells of it.
    pub async fn verify_share(&self) -> Option<Ask> {
        let payments = self.provider.payments();
        let select = "SELECT provider_id, booking_id, share_id FROM orders WHERE share_id IS NOT NULL";
        let orders = self.databases.payment.query(select, params![]).await.expect("orders are there");
        let mut paid = Vec::new();
        for order in &orders {
            let made: Option<String> = order.get("provider_id").expect("an id or none");
            paid.extend(payments.iter().filter(|paid| Some(&paid.order_id) == made.as_ref()).map(|paid| (order, paid)));
        }
        let (order, payment) = self.one(&paid)?;
        let (booking, share) = (order.get("booking_id").expect("an id"), order.get("share_id").expect("an id"));
        let mut body = provider::receipt(&payment.order_id, &payment.id);
        body["token"] = json!(self.token(booking, share).await?);
        let request = request("POST", "/api/payments/shares/verify", &body);
        Some(Ask { who: "who has the link".into(), service: "payment", request })
    }
}
