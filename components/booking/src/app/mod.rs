//! Use cases of the booking service: load, decide, commit.
//!
//! Seats and money are other services', so a change that concerns them cannot be one
//! transaction. Whoever makes such a change first takes the booking's *lease*. The row
//! says what is true; a lease says that the other services may not agree with it yet.
//! After the change [`App::settle`] makes seats, checkout and refunds what the row says,
//! each step idempotent, and the lease ends. If the process dies anywhere in between, the
//! lease runs out and a job settles. What staff and owners do is a *command*, noted with
//! its lease and ended with it: see `commands`.

mod agreed;
mod call_offs;
mod cancel;
mod capture;
mod commands;
mod create;
mod declarations;
mod documents;
mod expire;
mod exports;
mod failed;
mod gifts;
mod jobs;
mod letters;
mod mails;
mod noting;
mod participants;
mod peers;
mod policies;
mod read;
mod request;
mod restore;
mod settle;
mod shift;
mod split;
mod staff;
mod transfer;
mod update;
mod vouchers;

use cairn_shared::{
    Component, Db, DbError, Env, Error, Id, Result, Sql, Timestamp, Tx, audit,
    config::Config,
    events::{self, Event},
    http::Router,
    migrations::Migration,
    time::SECOND,
};
use serde::Serialize;

pub use crate::domain::RequestKind;
pub use call_offs::{CALL_OFFS_PATH, Chosen, NewCallOff, Options, Progress};
pub use cancel::{CancelRequest, MANAGE_BOOKINGS, RefundPreview};
pub use commands::Actor;
pub use declarations::{Declared, Verdict};
pub use documents::Seller;
pub use exports::{Export, FileType, Piece, Selection, Sheet};
pub use failed::FailedListing;
pub use gifts::GIFTS_PATH;
pub use jobs::Job;
pub use letters::Letter;
pub use mails::{Attachment, Mail, MailError, Message, News, Person, RefundNews, Trip};
pub use participants::Details;
pub use peers::{
    Customer, CustomerError, HoldRequest, NewCustomer, NoPeers, OfflineError, Peers, Place, RefundError, SeatsError,
    Unavailable,
};
pub use read::{Listing, STAFF_PERMISSIONS, Setting};
pub use request::Answer;
pub use split::Shared;
pub use staff::OfficeChange;
pub use update::Update;

use commands::Command;
use noting::Deed;

use crate::{
    domain::{Booking, CreateError, ParticipantsError, Refusal},
    store::{self, Lease, Saved, Taken},
};

/// How long a change may take before others take the booking over, in ms. No request
/// is allowed to run for that long: see `request_time` in spin.toml.
const LEASE: i64 = 20 * SECOND;

/// How often, and how many ms apart, a booking that somebody else has is asked for again.
const LEASE_TRIES_MAX: u32 = 30;
const LEASE_RETRY: u64 = 50;

/// Sends queued mails.
pub const MAILS_PATH: &str = "/_jobs/mails";

/// Settles bookings whose lease has run out.
pub const SETTLE_PATH: &str = "/_jobs/settle";

pub struct App {
    pub db: Db,
    pub env: Env,
    pub peers: Box<dyn Peers>,
    /// Who issues the invoices.
    pub seller: Seller,
}

const VARIABLES: &[&str] = &[
    "seller_legal_name",
    "seller_gstin",
    "seller_address",
    "seller_phone",
    "seller_email",
    "seller_tagline",
    "seller_sac",
    "site_name",
    "frontend_url",
    "api_url",
];

/// Services accounting code of tours, where none is configured.
const SAC: &str = "9985";

impl App {
    /// # Errors
    /// One message that names everything that is wrong with the configuration.
    pub fn new(mut config: Config, db: Db, env: Env, peers: Box<dyn Peers>) -> Result<Self, String> {
        let site_name = config.optional("site_name").unwrap_or_else(|| "Cairn".into());
        let gstin = config.optional("seller_gstin").and_then(|text| match text.parse() {
            Ok(gstin) => Some(gstin),
            Err(problem) => {
                let problem: crate::domain::InvalidGstin = problem;
                config.problem(format!("variable `seller_gstin`: {problem}"));
                None
            }
        });
        let api_url = config.optional("api_url").or_else(|| config.optional("frontend_url")).unwrap_or_default();
        let seller = Seller {
            legal_name: config.optional("seller_legal_name").unwrap_or_else(|| site_name.clone()),
            trade_name: site_name,
            tagline: config.optional("seller_tagline"),
            gstin,
            address: config.optional("seller_address"),
            phone: config.optional("seller_phone"),
            email: config.optional("seller_email"),
            sac: config.optional("seller_sac").unwrap_or_else(|| SAC.into()),
            api_url: api_url.trim_end_matches('/').to_owned(),
        };
        config.finish()?;
        Ok(Self { db, env, peers, seller })
    }
}

impl Component for App {
    const NAME: &'static str = "booking";
    const MIGRATIONS: &'static [Migration] = cairn_shared::migrations![
        "0001_bookings",
        "0002_commands",
        "0003_desk",
        "0004_documents",
        "0005_call_offs",
        "0006_declarations",
        "0007_gifts",
        "0008_splits"
    ];
    const JOBS: &'static [&'static str] =
        &[events::RELAY_PATH, crate::http::EXPIRE_PATH, MAILS_PATH, CALL_OFFS_PATH, GIFTS_PATH, audit::SEAL_PATH];
    const AUDIT: Option<audit::Access> = Some(audit::Access {
        list: "/api/bookings/audit",
        check: "/api/bookings/audit/check",
        permission: Some(MANAGE_BOOKINGS),
    });
    const VARIABLES: &'static [&'static str] = VARIABLES;

    fn load(config: Config, db: Db, env: Env) -> Result<Self, String> {
        #[cfg(target_family = "wasm")]
        let peers = Box::new(crate::rpc::Links);
        #[cfg(not(target_family = "wasm"))]
        let peers = Box::new(NoPeers);
        Self::new(config, db, env, peers)
    }

    fn db(&self) -> &Db {
        &self.db
    }

    fn env(&self) -> &Env {
        &self.env
    }

    fn routes() -> Router<Self> {
        crate::http::routes()
    }
}

/// Why something cannot be done with a booking.
#[derive(Debug)]
pub enum BookingError {
    NotFound,
    /// The caller may not, in the words of the endpoint.
    Forbidden(&'static str),
    /// As [`BookingError::Forbidden`], where clients know it as a 401.
    NotYours,
    InvalidStatus,
    /// What was given makes no sense, for people.
    Invalid(String),
    /// Its seats were sold to others.
    BatchFull,
    BatchClosed,
    /// Money went back, so it cannot live again.
    Refunded,
    Participants(ParticipantsError),
    Refused(Refusal),
    /// What a booking is to become cannot be sold.
    Sale(CreateError),
    /// Somebody else is changing it.
    Busy,
    Unavailable(String),
    Failed(Error),
}

impl From<DbError> for BookingError {
    fn from(error: DbError) -> Self {
        // The index that lets a customer have one unpaid booking of a batch.
        if error.is_unique("bookings.user_id") {
            return Self::Refused(Refusal::UnpaidThere);
        }
        Self::Failed(error.into())
    }
}

impl From<Error> for BookingError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for BookingError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unavailable> for BookingError {
    fn from(Unavailable(cause): Unavailable) -> Self {
        Self::Unavailable(cause)
    }
}

/// What `booking.changed` tells.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BookingChanged<'a> {
    booking_id: Id,
    user_id: Id,
    user_name: &'a str,
    trek_id: Id,
    trek_name: &'a str,
    batch_id: Id,
    status: &'static str,
    number_of_participants: u32,
    total_paise: i64,
    paid_paise: i64,
    refunded_paise: i64,
    /// Instant in ms.
    created_at: i64,
    version: i64,
}

impl App {
    fn now(&self) -> Timestamp {
        self.env.now()
    }

    fn new_lease(&self) -> Lease {
        Lease { token: self.env.id().to_string(), until: self.now().plus(LEASE) }
    }

    /// Tells the others of a booking as it is now, in the transaction that changed it.
    async fn tell(&self, tx: &Tx, booking: &Booking) -> Result<()> {
        let data = BookingChanged {
            booking_id: booking.id,
            user_id: booking.user.id,
            user_name: &booking.user.name,
            trek_id: booking.trek_id,
            trek_name: &booking.trek_name,
            batch_id: booking.batch_id,
            status: booking.status.as_str(),
            number_of_participants: booking.count(),
            total_paise: booking.price.total.0,
            paid_paise: booking.paid.0,
            refunded_paise: booking.refunded.0,
            created_at: booking.created_at.millis(),
            version: booking.version,
        };
        events::emit(tx, &Event::new(&self.env, "booking.changed", booking.id, &data)?, &["admin"]).await
    }

    /// Stores a changed booking with the documents it calls for, notes the change and tells
    /// the others, in one transaction.
    async fn save(&self, tx: &Tx, booking: &mut Booking, lease: Option<&Lease>) -> Result<(), BookingError> {
        self.save_as(tx, booking, lease, Deed::of("change")).await
    }

    /// As [`App::save`], with a word for what was done.
    async fn save_as(
        &self,
        tx: &Tx,
        booking: &mut Booking,
        lease: Option<&Lease>,
        deed: Deed<'_>,
    ) -> Result<(), BookingError> {
        let before = if booking.is_made() { store::booking_fetch(tx, booking.id).await? } else { None };
        let confirmed = booking.heed_clearance();
        match store::booking_save(tx, booking, lease, self.now()).await? {
            Saved::Yes => {
                let place = |booking: &Booking| (booking.trek_id, booking.batch_id);
                if before.as_ref().is_some_and(|before| place(before) != place(booking)) {
                    store::booking_place(tx, booking).await?;
                }
                self.document(tx, booking, deed.occasion).await?;
                store::call_off_note(tx, booking).await?;
                self.note_booking(tx, before.as_ref(), booking, deed).await?;
                if confirmed {
                    self.queue_confirmations(tx, booking).await?;
                }
                Ok(self.tell(tx, booking).await?)
            }
            Saved::Outdated => Err(BookingError::Busy),
        }
    }

    /// Has events and mails sent, and what was left settled, in the background.
    async fn wake(&self) {
        self.env.wake_relay().await;
        self.env.upstream.wake(self.env.service, SETTLE_PATH).await;
        self.env.upstream.wake(self.env.service, MAILS_PATH).await;
    }

    /// Takes the lease on a booking.
    async fn lease(&self, id: Id, lease: &Lease) -> Result<Booking, BookingError> {
        Ok(self.lease_for(id, lease, None).await?.booking)
    }

    /// Takes the lease on a booking for a command, which is noted with it.
    async fn lease_for(&self, id: Id, lease: &Lease, command: Option<&Command>) -> Result<Taken, BookingError> {
        let taken = self.db.transaction(async |tx| {
            let now = self.now();
            let taken = store::lease_take(tx, id, lease, now).await?;
            if let (Some(Taken { booking, .. }), Some(command)) = (&taken, command) {
                let actor = command.actor.id;
                store::command_insert(tx, command.id, id, command.kind, actor, booking.status, now).await?;
            }
            Ok::<_, DbError>(taken)
        });
        match taken.await? {
            Some(taken) => Ok(taken),
            None if store::booking_fetch(&self.db, id).await?.is_some() => Err(BookingError::Busy),
            None => Err(BookingError::NotFound),
        }
    }

    /// As [`App::lease_for`], waiting a moment for whoever has the booking now.
    async fn lease_soon(&self, id: Id, lease: &Lease, command: Option<&Command>) -> Result<Taken, BookingError> {
        for _ in 0..LEASE_TRIES_MAX {
            match self.lease_for(id, lease, command).await {
                Err(BookingError::Busy) => cairn_shared::time::sleep(LEASE_RETRY).await,
                outcome => return outcome,
            }
        }
        Err(BookingError::Busy)
    }

    /// The id that a path names: an id, or for staff a code.
    ///
    /// # Errors
    /// [`BookingError::NotFound`] when it names nothing.
    pub async fn resolve(&self, text: &str, staff: bool) -> Result<Id, BookingError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let code = text.strip_prefix("BT").filter(|code| staff && code.len() == 8);
        let Some(code) = code else { return Err(BookingError::NotFound) };
        store::booking_id_by_code(&self.db, code).await?.ok_or(BookingError::NotFound)
    }

    /// A booking that people may know of.
    ///
    /// # Errors
    /// [`BookingError::NotFound`] also for one that expired or was never finished.
    pub async fn visible(&self, sql: &impl Sql, id: Id) -> Result<Booking, BookingError> {
        let found = store::booking_fetch(sql, id).await?;
        found.filter(|booking| booking.is_visible(self.now())).ok_or(BookingError::NotFound)
    }
}
