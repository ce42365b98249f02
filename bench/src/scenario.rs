//! The requests that are measured: the hot ones of the journey from the start page to
//! a paid booking.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use cairn_tests::doubles::{
    Razorpay,
    razorpay::{Attempt, Outcome, Paid},
};
use http::Method;
use serde_json::{Value, json};

use crate::{
    load::{Call, Slice},
    seed::{self, Tickets},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// The gateway alone: no other service, no database.
    Hello,
    TrekList,
    TrekBySlug,
    BatchById,
    Login,
    Me,
    CreateBooking,
    CreateOrder,
    Verify,
}

impl Scenario {
    /// In an order in which each has what it needs from those before.
    pub const ALL: [Self; 9] = [
        Self::Hello,
        Self::TrekList,
        Self::TrekBySlug,
        Self::BatchById,
        Self::Me,
        Self::Login,
        Self::CreateBooking,
        Self::CreateOrder,
        Self::Verify,
    ];

    /// Its name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::TrekList => "trek-list",
            Self::TrekBySlug => "trek-by-slug",
            Self::BatchById => "batch-by-id",
            Self::Login => "login",
            Self::Me => "me",
            Self::CreateBooking => "create-booking",
            Self::CreateOrder => "create-order",
            Self::Verify => "verify",
        }
    }

    /// What it asks.
    pub fn title(self) -> &'static str {
        match self {
            Self::Hello => "GET / (no database)",
            Self::TrekList => "GET /api/treks",
            Self::TrekBySlug => "GET /api/treks/slug/…",
            Self::BatchById => "GET /api/batches/…",
            Self::Login => "POST /api/auth/login",
            Self::Me => "GET /api/auth/me",
            Self::CreateBooking => "POST /api/bookings (one hot batch)",
            Self::CreateOrder => "POST /api/payments/create-order",
            Self::Verify => "POST /api/payments/verify",
        }
    }

    pub fn expected(self) -> u16 {
        if self == Self::CreateBooking { 201 } else { 200 }
    }

    /// Whether it can be asked of a system without the people and the departure of [`seed`].
    pub fn anywhere(self) -> bool {
        matches!(self, Self::Hello | Self::TrekList | Self::TrekBySlug | Self::BatchById)
    }

    /// Whether later scenarios need its answers.
    pub fn keeps_answers(self) -> bool {
        matches!(self, Self::CreateBooking | Self::CreateOrder)
    }

    /// Those asked for, and those that they need. Empty: all.
    ///
    /// # Errors
    /// A name that is none.
    pub fn chosen(names: &[String]) -> Result<Vec<Self>> {
        let known =
            |name: &String| Self::ALL.into_iter().find(|scenario| scenario.name() == name).ok_or_else(|| unknown(name));
        let wanted: Vec<Self> = names.iter().map(known).collect::<Result<_>>()?;
        let needed = |scenario: &Self| match scenario {
            Self::CreateBooking => wanted.contains(&Self::CreateOrder) || wanted.contains(&Self::Verify),
            Self::CreateOrder => wanted.contains(&Self::Verify),
            _ => false,
        };
        Ok(Self::ALL
            .into_iter()
            .filter(|scenario| wanted.is_empty() || wanted.contains(scenario) || needed(scenario))
            .collect())
    }
}

fn unknown(name: &str) -> anyhow::Error {
    let names: Vec<_> = Scenario::ALL.iter().map(|scenario| scenario.name()).collect();
    anyhow!("there is no request `{name}`; there are {}", names.join(", "))
}

/// What is known of one system while it is measured.
pub struct Visit {
    tickets: Tickets,
    trek_id: String,
    slug_path: Arc<str>,
    batch_path: Arc<str>,
    next_person: usize,
    next_login: usize,
    /// The booking of each person.
    booked: HashMap<usize, String>,
    /// People whose booking has no order yet.
    unordered: VecDeque<usize>,
    /// Payments that nobody has told of yet.
    paid: VecDeque<(usize, Paid)>,
}

impl Visit {
    pub fn new(secret: &str, trek_id: &str, slug: &str, batch_id: &str) -> Self {
        Self {
            tickets: Tickets::new(secret),
            trek_id: trek_id.to_owned(),
            slug_path: format!("/api/treks/slug/{slug}").into(),
            batch_path: format!("/api/batches/{batch_id}").into(),
            next_person: 0,
            next_login: 0,
            booked: HashMap::new(),
            unordered: VecDeque::new(),
            paid: VecDeque::new(),
        }
    }

    /// The calls of a slice, when so many slices are still to come, this one included.
    pub fn calls(&mut self, scenario: Scenario, slices_left: usize) -> impl FnMut() -> Option<Call> + Send {
        let path: Arc<str> = match scenario {
            Scenario::Hello => "/".into(),
            Scenario::TrekList => "/api/treks".into(),
            Scenario::TrekBySlug => self.slug_path.clone(),
            Scenario::BatchById => self.batch_path.clone(),
            Scenario::Login => "/api/auth/login".into(),
            Scenario::Me => "/api/auth/me".into(),
            Scenario::CreateBooking => "/api/bookings".into(),
            Scenario::CreateOrder => "/api/payments/create-order".into(),
            Scenario::Verify => "/api/payments/verify".into(),
        };
        // What earlier slices left is shared out among those to come.
        let mut left = match scenario {
            Scenario::CreateBooking => (seed::PEOPLE - self.next_person) / slices_left.max(1),
            Scenario::CreateOrder => self.unordered.len() / slices_left.max(1),
            Scenario::Verify => self.paid.len() / slices_left.max(1),
            _ => usize::MAX,
        };
        move || {
            left = left.checked_sub(1)?;
            match scenario {
                Scenario::Hello | Scenario::TrekList | Scenario::TrekBySlug | Scenario::BatchById => {
                    Some(Call::get(&path))
                }
                Scenario::Login => Some(self.login(&path)),
                Scenario::Me => self.me(&path),
                Scenario::CreateBooking => self.book(&path),
                Scenario::CreateOrder => self.order(&path),
                Scenario::Verify => self.verify(&path),
            }
        }
    }

    fn post(&self, path: &Arc<str>, person: usize, body: &Value) -> Option<Call> {
        let token = self.tickets.token(person).ok()?;
        Some(Call {
            method: Method::POST,
            path: path.clone(),
            token: Some(token),
            body: Bytes::from(body.to_string()),
            tag: person,
        })
    }

    fn login(&mut self, path: &Arc<str>) -> Call {
        self.next_login = (self.next_login + 1) % seed::PEOPLE;
        let body = json!({ "email": seed::email(self.next_login), "password": seed::PASSWORD });
        Call { method: Method::POST, body: Bytes::from(body.to_string()), ..Call::get(path) }
    }

    fn me(&mut self, path: &Arc<str>) -> Option<Call> {
        self.next_login = (self.next_login + 1) % seed::PEOPLE;
        Some(Call { token: Some(self.tickets.token(self.next_login).ok()?), ..Call::get(path) })
    }

    fn book(&mut self, path: &Arc<str>) -> Option<Call> {
        let person = self.next_person;
        self.next_person += 1;
        let details = json!({ "name": "Asha Walker", "email": seed::email(person), "phone": "9800000001" });
        let body = json!({
            "trekId": self.trek_id, "batchId": seed::hot_batch(), "numberOfParticipants": 1, "addOns": [],
            "userDetails": details, "paymentMode": "full",
        });
        self.post(path, person, &body)
    }

    fn order(&mut self, path: &Arc<str>) -> Option<Call> {
        let person = self.unordered.pop_front()?;
        let body = json!({ "bookingId": self.booked.get(&person)?, "amount": 1 });
        self.post(path, person, &body)
    }

    fn verify(&mut self, path: &Arc<str>) -> Option<Call> {
        let (person, paid) = self.paid.pop_front()?;
        let body = json!({
            "razorpay_order_id": paid.order_id, "razorpay_payment_id": paid.payment_id,
            "razorpay_signature": paid.signature, "bookingId": self.booked.get(&person)?,
        });
        self.post(path, person, &body)
    }

    /// Notes what later scenarios need of a slice's answers. Orders are paid at once.
    ///
    /// # Errors
    /// An answer is not as it should be.
    pub fn note(&mut self, scenario: Scenario, slice: &Slice, provider: &Razorpay) -> Result<()> {
        for (person, body) in &slice.answers {
            let answer: Value = serde_json::from_slice(body)?;
            let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("an id in {answer}"));
            match scenario {
                Scenario::CreateBooking => {
                    self.booked.insert(*person, text(&answer["_id"])?);
                    self.unordered.push_back(*person);
                }
                Scenario::CreateOrder => {
                    let paid = provider.pay(&text(&answer["order"]["id"])?, Attempt::new(Outcome::Captured));
                    self.paid
                        .push_back((*person, paid.map_err(|refusal| anyhow!("the provider refuses: {refusal:?}"))?));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
