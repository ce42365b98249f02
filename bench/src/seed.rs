//! What the demo's data lacks for a long run: people who can book, and a departure
//! with seats for all of them.
//!
//! It is written through the services' own stores into the data folder of a host that
//! is stopped, which is quick, since all people share one password hash. Both systems
//! then start from copies of the same folder.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use cairn_shared::{Db, DbError, Id, Paise, Sql, Timestamp, Zone, identity::Role, params, time::DAY};
use cairn_user::domain::{
    Account, Contact,
    password::{Password, SALT_BYTES},
    session::{Lifetime, Sessions},
};

/// People who can book.
pub const PEOPLE: usize = 80_000;

/// The password of all of them.
pub const PASSWORD: &str = "a password for measuring";

/// Seats of the departure that everybody wants.
const SEATS: u32 = 1_000_000;

const PRICE: Paise = Paise::rupees(3000);
const STARTS_IN: i64 = 60 * DAY;

/// The id of a person, known without asking.
pub fn person(number: usize) -> Id {
    Id::derive(&["bench", "person", &number.to_string()])
}

pub fn email(number: usize) -> String {
    format!("walker{number}@bench.example")
}

/// The departure that everybody wants.
pub fn hot_batch() -> Id {
    Id::derive(&["bench", "batch"])
}

/// Departures that share the demand, and how many there are.
pub const SPREAD: usize = 100;

pub fn spread_batch(number: usize) -> Id {
    Id::derive(&["bench", "batch", &number.to_string()])
}

/// Issues sessions as the user service does.
pub struct Tickets {
    sessions: Sessions,
}

impl Tickets {
    pub fn new(secret: &str) -> Self {
        Self { sessions: Sessions::new(secret, Lifetime::MONTH) }
    }

    /// A session token of a person.
    ///
    /// # Errors
    /// The token cannot be written; there is no such person.
    pub fn token(&self, number: usize) -> Result<String> {
        self.sessions.issue(person(number), person(number), 0, Timestamp::now()).map_err(|error| anyhow!(error))
    }
}

/// Fills the databases of a stopped host with so many people who can book, and
/// departures of the trek `trek_id`.
///
/// # Errors
/// A database cannot be opened or written.
pub async fn fill(data: &Path, trek_id: Id, count: usize) -> Result<()> {
    let open = async |name: &str| Db::open_file(&data.join("sqlite").join(format!("{name}.db"))).await;
    let (user, batch) = (open("user").await?, open("batch").await?);
    people(&user, count).await.context("people")?;
    let now = Timestamp::now();
    let start_date = Zone::INDIA.calendar_day(now).plus(STARTS_IN);
    for id in (0..SPREAD).map(spread_batch).chain([hot_batch()]) {
        let new = Departure { id, trek_id, start_date, price: PRICE, seats: SEATS, reserved: 0 };
        departure(&batch, &new, now).await.context("a departure")?;
    }
    for db in [user, batch] {
        // The files are copied next: everything has to be in them, and not in a log.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)", params![]).await?;
    }
    Ok(())
}

async fn people(db: &Db, count: usize) -> Result<()> {
    let password = Password::parse(PASSWORD).map_err(|problem| anyhow!(problem))?;
    let hash = password.hash([7; SALT_BYTES]).map_err(|problem| anyhow!(problem))?;
    let now = Timestamp::now();
    db.transaction(async |tx| {
        for number in 0..count {
            let account = account(person(number), "Asha Walker", &email(number), "9800000001", &hash, now);
            cairn_user::store::account_insert(tx, &account).await?;
        }
        Ok::<_, DbError>(())
    })
    .await?;
    Ok(())
}

/// An account that can book at once. Its user name is what its address has before the sign.
pub fn account(id: Id, name: &str, email: &str, phone: &str, password_hash: &str, now: Timestamp) -> Account {
    Account {
        id,
        name: name.into(),
        email: email.into(),
        username: email.split('@').next().unwrap_or_default().into(),
        password_hash: password_hash.into(),
        role: Role::User,
        group: None,
        contact: Contact { phone: Some(phone.into()), ..Contact::default() },
        verified: true,
        active: true,
        created_by_staff: false,
        token_version: 0,
        created_at: now,
        updated_at: now,
    }
}

/// A departure of two days.
#[derive(Debug, Clone)]
pub struct Departure {
    pub id: Id,
    pub trek_id: Id,
    pub start_date: Timestamp,
    pub price: Paise,
    pub seats: u32,
    /// Seats that staff keep.
    pub reserved: u32,
}

/// Stores a departure that nobody has booked.
///
/// # Errors
/// The database's.
pub async fn departure(db: &Db, new: &Departure, now: Timestamp) -> Result<()> {
    let batch = cairn_batch::domain::Batch {
        id: new.id,
        trek_id: new.trek_id,
        trek_name: String::new(),
        start_date: new.start_date,
        end_date: new.start_date.plus(DAY),
        price: new.price,
        max_participants: new.seats,
        reserved_slots: new.reserved,
        taken: 0,
        cancelled: false,
        version: 1,
    };
    db.transaction(async |tx| cairn_batch::store::batch_insert(tx, &batch, now).await).await?;
    Ok(())
}
