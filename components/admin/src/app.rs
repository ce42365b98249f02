//! Use cases of the admin service: take events, make statistics of them.

use cairn_shared::{
    Component, Db, DbError, Env, Id, Result, Tx,
    config::Config,
    events::{self, Event},
    http::Router,
    migrations::Migration,
    time::DAY,
};

use crate::{
    domain::{
        BatchChanged, BookingChanged, Dashboard, PaymentCaptured, PaymentRefunded, RegionChanged, Report, Selection,
        TrekChanged, UPCOMING_DAYS, Upcoming, UserRegistered, View,
    },
    store::{self, SoldBatch, SoldTrek},
};

/// Bookings among the newest, and treks among the upcoming ones.
const RECENT_BOOKINGS_MAX: u32 = 5;
const UPCOMING_TREKS_MAX: usize = 5;

/// Batches that are looked at for the upcoming treks.
const UPCOMING_BATCHES_MAX: u32 = 500;

/// Batches to choose from.
const BATCHES_MAX: u32 = 1000;

pub struct App {
    pub db: Db,
    pub env: Env,
}

impl Component for App {
    const NAME: &'static str = "admin";
    const MIGRATIONS: &'static [Migration] = cairn_shared::migrations!["0001_read_models"];
    const VARIABLES: &'static [&'static str] = &[];

    fn load(config: Config, db: Db, env: Env) -> Result<Self, String> {
        config.finish()?;
        Ok(Self { db, env })
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

/// An event that matters here, parsed.
enum News {
    User(UserRegistered),
    Trek(TrekChanged),
    Region(RegionChanged),
    Batch(BatchChanged),
    Booking(BookingChanged),
    Captured(PaymentCaptured),
    Refunded(PaymentRefunded),
}

impl News {
    /// None for an event of no interest.
    fn of(event: &Event) -> Result<Option<Self>> {
        Ok(Some(match event.kind.as_str() {
            "user.registered" => Self::User(event.data()?),
            "trek.changed" => Self::Trek(event.data()?),
            "region.changed" => Self::Region(event.data()?),
            "batch.changed" => Self::Batch(event.data()?),
            "booking.changed" => Self::Booking(event.data()?),
            "payment.captured" => Self::Captured(event.data()?),
            "payment.refunded" => Self::Refunded(event.data()?),
            _ => return Ok(None),
        }))
    }

    async fn save(&self, tx: &Tx) -> Result<(), DbError> {
        match self {
            Self::User(user) => store::user_save(tx, user).await,
            Self::Trek(trek) => store::trek_save(tx, trek).await,
            Self::Region(region) => store::region_save(tx, region).await,
            Self::Batch(batch) => store::batch_save(tx, batch).await,
            Self::Booking(booking) => store::booking_save(tx, booking).await,
            Self::Captured(capture) => store::capture_save(tx, capture).await,
            Self::Refunded(refund) => store::refund_save(tx, refund).await,
        }
    }
}

impl App {
    /// Takes events of other services, all or none. A repeated delivery changes
    /// nothing, nor does an older version of a record that comes late.
    ///
    /// # Errors
    /// The database's, and an event of another shape.
    pub async fn take_events(&self, events: &[Event]) -> Result<()> {
        let parsed: Result<Vec<_>> =
            events.iter().map(|event| Ok(News::of(event)?.map(|news| (event, news)))).collect();
        let (parsed, now) = (parsed?, self.env.now());
        self.db
            .transaction(async |tx| {
                for (event, news) in parsed.iter().flatten() {
                    if events::first_time(tx, event, now).await? {
                        news.save(tx).await?;
                    }
                }
                Ok(())
            })
            .await
    }

    /// The dashboard as far as the view goes.
    ///
    /// # Errors
    /// The database's.
    pub async fn dashboard(&self, view: View) -> Result<Dashboard, DbError> {
        let db = &self.db;
        let today = self.env.zone.calendar_day(self.env.now());
        let mut board = Dashboard::default();
        if view.treks {
            board.total_treks = Some(store::trek_count(db).await?);
            board.seasons = Some(store::season_list(db).await?);
            let last = today.plus(UPCOMING_DAYS * DAY);
            let batches = store::batch_list_upcoming(db, today, last, UPCOMING_BATCHES_MAX).await?;
            board.upcoming_treks = Some(Upcoming::of(batches, UPCOMING_TREKS_MAX));
        }
        if view.bookings {
            board.total_bookings = Some(store::booking_count(db).await?);
            board.recent_bookings = Some(store::booking_list_newest(db, RECENT_BOOKINGS_MAX).await?);
        }
        if view.region {
            board.total_regions = Some(store::region_count(db).await?);
            board.regions = Some(store::region_list(db).await?);
        }
        if view.sales {
            board.total_sales = Some(store::revenue(db).await?);
        }
        if view.users {
            board.total_users = Some(store::user_count(db).await?);
        }
        if view.ongoing_treks {
            board.ongoing_treks = Some(store::trek_count_ongoing(db, today).await?);
        }
        Ok(board)
    }

    /// The sales report on a selection of bookings.
    ///
    /// # Errors
    /// The database's.
    pub async fn sales(&self, selection: &Selection) -> Result<Report, DbError> {
        let sales = store::sale_list(&self.db, selection).await?;
        Ok(Report::of(&sales, self.env.zone, selection.range.period))
    }

    /// Treks by which sales can be selected.
    ///
    /// # Errors
    /// The database's.
    pub async fn sold_treks(&self) -> Result<Vec<SoldTrek>, DbError> {
        store::trek_list_enabled(&self.db).await
    }

    /// Batches by which sales can be selected.
    ///
    /// # Errors
    /// The database's.
    pub async fn sold_batches(&self, trek_id: Option<Id>) -> Result<Vec<SoldBatch>, DbError> {
        store::batch_list(&self.db, trek_id, BATCHES_MAX).await
    }
}
