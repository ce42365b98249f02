//! What is there before anybody does anything: a trek, three departures, people, a promo code.

use anyhow::{Context, Result, anyhow};
use cairn_bench::seed::{Departure, account, departure};
use cairn_booking::{
    domain::{AnswerKind, Question},
    store::declaration_form_insert,
};
use cairn_shared::{
    DbError, Id, Paise, Timestamp, Tx, Zone,
    identity::{Caller, Role},
    time::DAY,
};
use serde_json::{Value, json};

use crate::process::{Databases, Process};

/// When everything begins: the morning of a day in Kolkata.
pub const START: &str = "2026-03-10T03:30:00Z";

/// Customers.
pub const PEOPLE: usize = 4;

/// Uses of the promo code: fewer than want it.
pub const PROMO_USES_MAX: u32 = 2;

pub const PROMO: &str = "LASTTWO";

/// The departures: seats, how many of them staff keep, days from the first one, and rupees.
/// There are fewer seats than are wanted. The last one costs less than the others.
const DEPARTURES: [(u32, u32, i64, i64); 3] = [(6, 1, 12, 12_324), (5, 0, 30, 26_310), (4, 0, 41, 9_111)];

const TREKS: &str = include_str!("../../demo/trek/treks.json");
const REGIONS: &str = include_str!("../../demo/trek/regions.json");

pub fn batch(number: usize) -> Id {
    Id::derive(&["simulation", "batch", &number.to_string()])
}

/// The departures.
pub fn batches() -> Vec<Id> {
    (0..DEPARTURES.len()).map(batch).collect()
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

/// What everybody has to declare who comes, where something is asked.
pub fn question() -> Question {
    Question { key: "heart".into(), text: "Is your heart well?".into(), kind: AnswerKind::YesNo, required: true }
}

/// Fills the databases. Answers the trek. `asks`: something has to be declared from the start.
///
/// # Errors
/// A database refuses something.
pub async fn fill(process: &Process, databases: &Databases, asks: bool, now: Timestamp) -> Result<Id> {
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

    for (number, (seats, reserved, days, rupees)) in DEPARTURES.into_iter().enumerate() {
        let start_date = Zone::INDIA.calendar_day(now).plus(days * DAY);
        let new =
            Departure { id: batch(number), trek_id: id, start_date, price: Paise::rupees(rupees), seats, reserved };
        departure(&process.batch.db, &new, now).await?;
    }

    if asks {
        let by = admin().id;
        let insert = async |tx: &Tx| declaration_form_insert(tx, id, &[question()], by, now).await;
        databases.booking.transaction(insert).await?;
    }

    databases
        .user
        .transaction(async |tx| {
            for person in (0..PEOPLE).map(person) {
                let phone = person.phone.unwrap_or_default();
                let account = account(person.id, &person.name, &person.email, &phone, "of nobody's", now);
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
