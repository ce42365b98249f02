//! Use cases of the batch service: load, decide, commit.
//!
//! Every write is one transaction, so a crash leaves all of it or nothing, and two
//! at once come one after the other. Every seat call is idempotent by its key.

use cairn_shared::{
    Component, Db, DbError, Env, Id, Result, Tx,
    config::Config,
    events::{self, Event},
    http::Router,
    migrations::Migration,
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{self, Batch, Change, Hold, HoldRequest, MoveRequest, SeatsError},
    store,
};

pub struct App {
    pub db: Db,
    pub env: Env,
    /// Whether an empty database gets the demo's batches.
    pub demo: bool,
}

impl Component for App {
    const NAME: &'static str = "batch";
    const MIGRATIONS: &'static [Migration] = cairn_shared::migrations!["0001_batches"];
    const VARIABLES: &'static [&'static str] = &["demo"];

    fn load(mut config: Config, db: Db, env: Env) -> Result<Self, String> {
        let demo = config.parsed("demo", false);
        config.finish()?;
        Ok(Self { db, env, demo })
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

    async fn start(&self) -> Result<(), String> {
        if self.demo { crate::demo::load(self).await } else { Ok(()) }
    }
}

/// What `batch.changed` tells.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchChanged {
    batch_id: Id,
    trek_id: Id,
    /// Instants in ms.
    start_date: i64,
    end_date: i64,
    cancelled: bool,
    version: i64,
}

/// What `trek.changed` tells, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrekChanged {
    trek_id: Id,
    name: String,
    version: i64,
}

impl App {
    /// A batch with its seats as they stand now.
    ///
    /// # Errors
    /// The database's.
    pub async fn batch(&self, id: Id) -> Result<Option<Batch>, DbError> {
        store::batch_fetch(&self.db, id, self.env.now()).await
    }

    /// Batches by id; unknown ids are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn batches(&self, ids: &[Id]) -> Result<Vec<Batch>, DbError> {
        store::batch_list_by_ids(&self.db, ids, self.env.now()).await
    }

    /// Batches of treks by start date.
    ///
    /// # Errors
    /// The database's.
    pub async fn batches_of_treks(&self, trek_ids: &[Id]) -> Result<Vec<Batch>, DbError> {
        store::batch_list_by_treks(&self.db, trek_ids, self.env.now()).await
    }

    /// Takes seats under a key, or changes what the key holds.
    ///
    /// # Errors
    /// [`SeatsError`] tells why the seats are not had; then nothing has changed.
    pub async fn hold(&self, request: &HoldRequest) -> Result<Batch, SeatsError> {
        let now = self.env.now();
        request.validate(now)?;
        self.db
            .transaction(async |tx| {
                store::holds_sweep(tx, request.batch_id, now).await?;
                let current = store::hold_fetch(tx, &request.key).await?;
                if current.as_ref().is_some_and(|hold| hold.batch_id != request.batch_id) {
                    return Err(SeatsError::Invalid("the key holds seats on another batch".into()));
                }
                self.commit(tx, &domain::take(request, current.as_ref())).await
            })
            .await
    }

    /// Moves the expiry of a live hold. A confirmed one stays as it is.
    ///
    /// # Errors
    /// [`SeatsError::NoHold`] if there is none or its seats are gone.
    pub async fn extend(&self, key: &str, expires_at: cairn_shared::Timestamp) -> Result<(), SeatsError> {
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                let mut hold = store::hold_fetch(tx, key).await?.ok_or(SeatsError::NoHold)?;
                match hold.expires_at {
                    None => return Ok(()),
                    Some(expiry) if expiry <= now => return Err(SeatsError::NoHold),
                    Some(_) => hold.expires_at = Some(expires_at),
                }
                Ok(store::hold_save(tx, &hold, now).await?)
            })
            .await
    }

    /// Makes a hold permanent. One that has expired is taken again if its seats are free.
    ///
    /// # Errors
    /// [`SeatsError::NoHold`] for an unknown key, [`SeatsError::SoldOut`] if the seats are gone.
    pub async fn confirm(&self, key: &str) -> Result<(), SeatsError> {
        self.db
            .transaction(async |tx| {
                let hold = self.swept(tx, key).await?.ok_or(SeatsError::NoHold)?;
                self.commit(tx, &domain::confirm(&hold)).await.map(drop)
            })
            .await
    }

    /// Gives the seats of a key back.
    ///
    /// # Errors
    /// The database's. An unknown key is no error.
    pub async fn release(&self, key: &str) -> Result<(), SeatsError> {
        self.db
            .transaction(async |tx| {
                let Some(hold) = store::hold_fetch(tx, key).await? else { return Ok(()) };
                if hold.counted {
                    store::batch_take(tx, &Change { delta: -i64::from(hold.seats), hold }).await?;
                }
                Ok(store::hold_delete(tx, key).await?)
            })
            .await
    }

    /// Changes how many seats a key has. Fewer are always had.
    ///
    /// # Errors
    /// [`SeatsError::NoHold`] if the key has none any more, [`SeatsError::SoldOut`] if
    /// more are not free; then nothing has changed.
    pub async fn resize(&self, key: &str, seats: u32, use_reserved: bool) -> Result<Batch, SeatsError> {
        domain::check(key, seats)?;
        self.db
            .transaction(async |tx| {
                let hold = self.swept(tx, key).await?.filter(|hold| hold.counted).ok_or(SeatsError::NoHold)?;
                self.commit(tx, &domain::resize(&hold, seats, use_reserved)).await
            })
            .await
    }

    /// Moves the seats of a key to another batch, in one transaction on both.
    ///
    /// # Errors
    /// [`SeatsError`] tells why the seats are not had; then nothing has changed.
    pub async fn relocate(&self, request: &MoveRequest) -> Result<Batch, SeatsError> {
        request.validate()?;
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                store::holds_sweep(tx, request.batch_id, now).await?;
                let current = self.swept(tx, &request.key).await?;
                let taken_over = match &request.taking {
                    Some(taking) => self.swept(tx, taking).await?,
                    None => None,
                };
                if taken_over.as_ref().is_some_and(|hold| hold.batch_id != request.batch_id) {
                    return Err(SeatsError::Invalid("the key to take over has its seats on another batch".into()));
                }
                let planned = domain::relocate(request, current.as_ref(), taken_over.as_ref());
                let planned = planned.ok_or(SeatsError::NoHold)?;
                if let Some(leave) = &planned.leave {
                    store::batch_take(tx, leave).await?;
                }
                if let Some(taken_over) = &taken_over {
                    store::hold_delete(tx, &taken_over.key).await?;
                }
                self.commit(tx, &planned.take).await
            })
            .await
    }

    /// Cancels a batch: nobody gets seats on it any more. Whether there is one. Repeated, it
    /// changes nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn cancel(&self, id: Id) -> Result<bool> {
        let found = self.db.transaction(async |tx| {
            let cancelled = store::batch_cancel(tx, id).await?;
            let found = store::batch_fetch(tx, id, self.env.now()).await?;
            if let (Some(batch), true) = (&found, cancelled) {
                self.tell(tx, batch).await?;
            }
            Ok::<_, cairn_shared::Error>(found.is_some())
        });
        let found = found.await?;
        self.env.wake_relay().await;
        Ok(found)
    }

    /// The hold of a key, after its batch has lost what expired.
    async fn swept(&self, tx: &Tx, key: &str) -> Result<Option<Hold>, DbError> {
        let Some(hold) = store::hold_fetch(tx, key).await? else { return Ok(None) };
        store::holds_sweep(tx, hold.batch_id, self.env.now()).await?;
        store::hold_fetch(tx, key).await
    }

    /// Takes or gives seats on a batch whose expired holds are swept, and answers it.
    async fn commit(&self, tx: &Tx, change: &Change) -> Result<Batch, SeatsError> {
        let now = self.env.now();
        if let Some(batch) = store::batch_take(tx, change).await? {
            store::hold_save(tx, &change.hold, now).await?;
            return Ok(batch);
        }
        let Some(batch) = store::batch_fetch(tx, change.hold.batch_id, now).await? else {
            return Err(SeatsError::BatchNotFound);
        };
        if batch.cancelled {
            return Err(SeatsError::Closed);
        }
        let own = i64::from(change.hold.seats) - change.delta;
        Err(SeatsError::SoldOut(batch.free(change.hold.use_reserved) + u32::try_from(own).unwrap_or(0)))
    }

    /// Takes events of other services: a trek's new name.
    ///
    /// # Errors
    /// The database's, and an event of another shape.
    pub async fn take_events(&self, events: &[Event]) -> Result<()> {
        for event in events.iter().filter(|event| event.kind == "trek.changed") {
            let trek: TrekChanged = event.data()?;
            self.db
                .transaction(async |tx| {
                    if events::first_time(tx, event, self.env.now()).await? {
                        store::trek_rename(tx, trek.trek_id, &trek.name, trek.version).await?;
                    }
                    Ok::<_, DbError>(())
                })
                .await?;
        }
        Ok(())
    }

    /// Tells the others of a batch as it is now, in the transaction that changed it.
    ///
    /// # Errors
    /// The database's.
    pub async fn tell(&self, tx: &Tx, batch: &Batch) -> Result<()> {
        let data = BatchChanged {
            batch_id: batch.id,
            trek_id: batch.trek_id,
            start_date: batch.start_date.millis(),
            end_date: batch.end_date.millis(),
            cancelled: batch.cancelled,
            version: batch.version,
        };
        events::emit(tx, &Event::new(&self.env, "batch.changed", batch.id, &data)?, &["admin"]).await
    }
}
