//! Vouchers: given away, bought as gifts, paid with, withdrawn.

use cairn_booking::domain::{Booking, Status};
use cairn_shared::{Id, Row, time::DAY};
use serde_json::{Value, json};

use super::{Ask, People, asked};
use crate::world;

/// The latest day on which gifts are delivered, in days from when they are bought.
const DELIVERY_DAYS_MAX: i64 = 6;

impl People<'_> {
    pub fn give_voucher(&self) -> Ask {
        let key = self.stage.chance.borrow_mut().number();
        let body = json!({
            "key": format!("gift-{key}"), "amount": self.stage.between(100, 40_000),
            "ownerId": self.person().id, "reason": "for the rain",
        });
        asked(&world::admin(), "payment", "POST", "/api/payments/vouchers", &body)
    }

    pub async fn use_voucher(&self) -> Option<Ask> {
        let waits =
            |booking: &Booking| matches!(booking.status, Status::PendingPayment | Status::PaymentConfirmedPartial);
        let booking = self.booking(waits).await?;
        let code: String = self.row("SELECT code FROM vouchers ORDER BY id").await?.get("code").expect("a code");
        let path = format!("/api/bookings/{}/voucher", booking.id);
        Some(asked(&self.owner(&booking), "booking", "PUT", &path, &json!({ "code": code })))
    }

    pub async fn leave_voucher(&self) -> Option<Ask> {
        let booking = self.booking(|booking| booking.tender.is_some()).await?;
        let path = format!("/api/bookings/{}/voucher", booking.id);
        Some(asked(&self.owner(&booking), "booking", "DELETE", &path, &Value::Null))
    }

    pub async fn void_voucher(&self) -> Option<Ask> {
        let row = self.row("SELECT id FROM vouchers WHERE voided_at IS NULL ORDER BY id").await?;
        let path = format!("/api/payments/vouchers/{}/void", row.get::<String>("id").expect("an id"));
        Some(asked(&world::admin(), "payment", "POST", &path, &json!({ "reason": "a mistake" })))
    }

    pub fn buy_gift(&self) -> Ask {
        let mut body = json!({
            "amount": self.stage.between(100, 30_000), "from": "Anna", "to": "Bela", "email": "bela@example.org",
            "words": "Enjoy the mountains",
        });
        if self.stage.hits(4_000) {
            body["deliverAt"] = json!(self.stage.now().plus(self.stage.between(0, DELIVERY_DAYS_MAX * DAY)));
        }
        asked(&self.person(), "booking", "POST", "/api/bookings/gifts", &body)
    }

    pub async fn order_gift(&self) -> Option<Ask> {
        let row = self.gift("SELECT id, buyer_id FROM gifts WHERE status = 'open' ORDER BY id").await?;
        let (id, buyer): (Id, Id) = (row.get("id").expect("an id"), row.get("buyer_id").expect("a buyer"));
        let body = json!({ "bookingId": id, "amount": 1 });
        Some(asked(&self.account(buyer), "payment", "POST", "/api/payments/create-order", &body))
    }

    /// Also of gifts that cannot be given back.
    pub async fn return_gift(&self) -> Option<Ask> {
        let row = self.gift("SELECT id, buyer_id FROM gifts ORDER BY id").await?;
        let (id, buyer): (Id, Id) = (row.get("id").expect("an id"), row.get("buyer_id").expect("a buyer"));
        let who = if self.stage.hits(7_000) { self.account(buyer) } else { world::admin() };
        Some(asked(&who, "booking", "POST", &format!("/api/bookings/gifts/{id}/refund"), &Value::Null))
    }

    async fn gift(&self, select: &str) -> Option<Row> {
        self.row_of(&self.databases.booking, select).await
    }
}
