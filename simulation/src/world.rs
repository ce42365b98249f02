//! What is there before anybody does anything: a trek, two departures, people, a promo code.

use anyhow::{Context, Result, anyhow};
use cairn_shared::{
    DbError, Id, Paise, Timestamp, Zone,
    identity::{Caller, Role},
    time::DAY,
};
use cairn_user::domain::{Account, Contact};
use serde_json::{Value, json};

use crate::process::Process;

/// When everything begins: the morning of a day in Kolkata.
pub const START: &str = "2026-03-10T03:30:00Z";

/// Customers.
pub const PEOPLE: usize = 4;

/// Uses of the promo code: fewer than want it.
pub const PROMO_USES_MAX: u32 = 2;

pub const PROMO: &str = "LASTTWO";

/// Seats of the departures: fewer than want them.
const SEATS: [(u32, u32); 2] = [(6, 1), (5, 0)];

const TREKS: &str = include_str!("../../demo/trek/treks.json");
const REGIONS: &str = include_str!("../../demo/trek/regions.json");

pub fn batch(number: usize) -> Id {
    Id::derive(&["simulation", "batch", &number.to_string()])
}

/// The departures.
pub fn batches() -> Vec<Id> {
    (0..SEATS.len()).map(batch).collect()
}

pub fn promo() -> Id {
    Id::derive(&["simulation", "promo"])
}

pub fn person(number: usize) -> Caller {
    let names = ["Anna", "Bela", "Chand", "Devi"];
    let name = names.get(number).copied().unwrap_or("Esha");
    Caller {
        id: Id::derive(&["simulation", "person", name]),
        name: name.into(),
        email: format!("{}@example.org", name.to_lowercase()),
        phone: Some(format!("980000000{number}")),
        role: Role::User,
        group: None,
    }
}

pub fn admin() -> Caller {
    Caller { role: Role::Admin, ..person(usize::MAX) }
}

/// Fills the databases. Answers the trek.
///
/// # Errors
/// A database refuses something.
pub async fn fill(process: &Process, user: &cairn_shared::Db, now: Timestamp) -> Result<Id> {
    let mut treks: Vec<Value> = serde_json::from_str(TREKS)?;
    treks.truncate(1);
    let trek = treks.first_mut().context("a trek")?;
    trek["partialPayment"] = json!({
        "enabled": true, "amount": 30, "amountType": "percentage", "finalPaymentDueDays": 5,
        "autoCancelOnDueDate": true,
    });
    let id: Id = trek["_id"].as_str().context("an id")?.parse()?;
    let files = cairn_trek::demo::Files {
        regions: REGIONS.into(),
        treks: serde_json::to_string(&treks)?,
        sections: "[]".into(),
    };
    cairn_trek::demo::insert(&process.trek, &files).await.map_err(|problem| anyhow!(problem))?;

    process
        .batch
        .db
        .transaction(async |tx| {
            for (number, (seats, reserved)) in SEATS.into_iter().enumerate() {
                let days = 12 + 18 * i64::try_from(number).unwrap_or_default();
                let start_date = Zone::INDIA.calendar_day(now).plus(days * DAY);
                let batch = cairn_batch::domain::Batch {
                    id: batch(number),
                    trek_id: id,
                    trek_name: String::new(),
                    start_date,
                    end_date: start_date.plus(DAY),
                    price: Paise::rupees(3_000 + 777 * days),
                    max_participants: seats,
                    reserved_slots: reserved,
                    taken: 0,
                    cancelled: false,
                    version: 1,
                };
                cairn_batch::store::batch_insert(tx, &batch, now).await?;
            }
            Ok::<_, DbError>(())
        })
        .await?;

    user.transaction(async |tx| {
        for number in 0..PEOPLE {
            let person = person(number);
            let account = Account {
                id: person.id,
                username: person.name.to_lowercase(),
                name: person.name,
                email: person.email,
                password_hash: "of nobody's".into(),
                role: Role::User,
                group: None,
                contact: Contact { phone: person.phone, ..Contact::default() },
                verified: true,
                active: true,
                created_by_staff: false,
                token_version: 0,
                created_at: now,
                updated_at: now,
            };
            cairn_user::store::account_insert(tx, &account).await?;
        }
        Ok::<_, DbError>(())
    })
    .await?;

    let promo = cairn_payment::domain::Promo {
        id: promo(),
        code: PROMO.into(),
        discount_type: cairn_payment::domain::DiscountType::Percentage,
        discount_value: 1_250,
        max_uses: Some(PROMO_USES_MAX),
        max_uses_per_user: Some(1),
        used: 0,
        valid_from: now.plus(-DAY),
        valid_until: now.plus(300 * DAY),
        min_order_value: Paise::ZERO,
        applicable_treks: Vec::new(),
        is_active: true,
        created_by: admin().id,
        created_by_name: "Esha".into(),
        created_at: now,
    };
    process.payment.db.transaction(async |tx| cairn_payment::store::promo_insert(tx, &promo).await).await?;
    Ok(id)
}
