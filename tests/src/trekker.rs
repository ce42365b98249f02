//! A person who books: the steps of the journey over HTTP, as the site's client takes them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    client::{Client, Reply},
    doubles::{
        Mailbox,
        razorpay::{Attempt, Outcome, Paid},
    },
    system::{ADMIN, System},
};

/// Mail is sent in the background; this is long for it.
pub const MAIL_MAX: Duration = Duration::from_secs(20);

pub struct Trekker {
    pub name: String,
    pub email: String,
    pub client: Client,
}

/// Fails with the whole answer unless it has this status.
///
/// # Errors
/// Another status.
pub fn expect(reply: Reply, status: u16) -> Result<Value> {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    ensure!(reply.status.as_u16() == status, "{status} expected, got {}: {text}", reply.status);
    Ok(reply.json)
}

/// The six digits in a mail.
///
/// # Errors
/// There are none.
pub fn code_in(text: &str) -> Result<String> {
    let digits = |word: &&str| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.find(digits).map(str::to_owned).with_context(|| format!("no code in: {text}"))
}

/// The code of the newest mail to an address.
///
/// # Errors
/// No mail in time, or none with a code.
pub async fn mailed_code(mailbox: &Mailbox, email: &str) -> Result<String> {
    let mail = mailbox.wait_for(email, "", MAIL_MAX).await?;
    code_in(mail.text())
}

impl Trekker {
    pub const PASSWORD: &str = "a password of the tests";

    /// Registers with an e-mailed code.
    ///
    /// # Errors
    /// Any step answers otherwise than it should.
    pub async fn register(system: &System, name: &str) -> Result<Self> {
        let email = format!("{}@example.org", name.to_lowercase().replace(' ', "."));
        let client = system.client();
        let body = json!({
            "name": name, "email": email, "username": email.split('@').next(), "phone": "9800000001",
            "password": Self::PASSWORD,
        });
        expect(client.post("/api/auth/register", &body).await?, 201)?;
        let code = mailed_code(&system.mailbox, &email).await?;
        let verify = json!({ "email": email, "otp": code });
        let session = expect(client.post("/api/auth/verify-register-otp", &verify).await?, 200)?;
        let token = session["token"].as_str().context("a token")?;
        Ok(Self { name: name.to_owned(), client: client.with_token(token), email })
    }

    /// Logs in with the password.
    ///
    /// # Errors
    /// The login answers otherwise than it should.
    pub async fn login(client: &Client, email: &str, password: &str) -> Result<Client> {
        let body = json!({ "email": email, "password": password });
        let session = expect(client.post("/api/auth/login", &body).await?, 200)?;
        ensure!(session["requiresOtp"] == false, "no code should be needed: {session}");
        Ok(client.with_token(session["token"].as_str().context("a token")?))
    }

    /// The admin of a test system, logged in.
    ///
    /// # Errors
    /// As [`Trekker::login`].
    pub async fn admin(system: &System) -> Result<Client> {
        Self::login(&system.client(), ADMIN.0, ADMIN.1).await
    }

    /// What `POST /api/bookings` takes.
    pub fn booking_request(&self, trek: &str, batch: &str, participants: u32) -> Value {
        json!({
            "trekId": trek, "batchId": batch, "numberOfParticipants": participants, "addOns": [],
            "userDetails": { "name": self.name, "email": self.email, "phone": "9800000001" },
            "paymentMode": "full",
        })
    }

    /// Books seats.
    ///
    /// # Errors
    /// Anything but 201.
    pub async fn book(&self, trek: &str, batch: &str, participants: u32) -> Result<Value> {
        let request = self.booking_request(trek, batch, participants);
        expect(self.client.post("/api/bookings", &request).await?, 201)
    }

    /// Makes an order for a booking.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn order(&self, booking: &str) -> Result<Value> {
        let reply =
            self.client.post("/api/payments/create-order", &json!({ "bookingId": booking, "amount": 1 })).await?;
        Ok(expect(reply, 200)?["order"].clone())
    }

    /// Pays an order at the provider, as the checkout does.
    ///
    /// # Errors
    /// The provider refuses.
    pub fn pay(&self, system: &System, order: &Value) -> Result<Paid> {
        let id = order["id"].as_str().context("an order id")?;
        system.razorpay.pay(id, Attempt::new(Outcome::Captured)).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
    }

    /// Tells the system of a payment, as the client does after checkout.
    ///
    /// # Errors
    /// No reply.
    pub async fn verify(&self, booking: &str, paid: &Paid) -> Result<Reply> {
        let body = json!({
            "razorpay_order_id": paid.order_id, "razorpay_payment_id": paid.payment_id,
            "razorpay_signature": paid.signature, "bookingId": booking,
        });
        Ok(self.client.post("/api/payments/verify", &body).await?)
    }

    /// Gives the participants' details.
    ///
    /// # Errors
    /// No reply.
    pub async fn give_participants(&self, booking: &str, count: u32) -> Result<Reply> {
        let participant = |n: u32| {
            json!({
                "name": format!("Walker {}", char::from(b'A' + (n % 26) as u8)), "email": format!("walker{n}@example.org"),
                "phone": "9800000002", "age": "31", "gender": "Female",
            })
        };
        let body = json!({
            "participants": (0..count).map(participant).collect::<Vec<_>>(),
            "emergencyContact": { "name": "Asha Rao", "phone": "9800000003", "relation": "Parent" },
            "additionalRequests": "",
        });
        Ok(self.client.put(&format!("/api/bookings/{booking}/participants"), &body).await?)
    }

    /// A booking of one's own.
    ///
    /// # Errors
    /// No reply.
    pub async fn booking(&self, id: &str) -> Result<Reply> {
        Ok(self.client.get(&format!("/api/bookings/{id}")).await?)
    }
}

/// A field that is text.
///
/// # Errors
/// It is not.
pub fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field].as_str().with_context(|| format!("{field} in {value}"))
}
