//! The WIT exports of the batch service.

use cairn_shared::{Id, Timestamp};

use crate::{
    app::App,
    domain::{self, HoldRequest, MoveRequest, SeatsError, Status},
    shell::{
        Exports, app,
        bindings::{
            cairn::batch::types as wit,
            exports::cairn::batch::{closing, schedule, seats},
        },
    },
};

fn batch(app: &App, batch: domain::Batch) -> wit::Batch {
    let status = match batch.status(app.env.now()) {
        Status::Upcoming => wit::Status::Upcoming,
        Status::Ongoing => wit::Status::Ongoing,
        Status::Completed => wit::Status::Completed,
        Status::Cancelled => wit::Status::Cancelled,
    };
    wit::Batch {
        id: batch.id.to_string(),
        trek_id: batch.trek_id.to_string(),
        start_date: batch.start_date.millis(),
        end_date: batch.end_date.millis(),
        price: batch.price.0,
        max_participants: batch.max_participants,
        reserved_slots: batch.reserved_slots,
        taken: batch.taken,
        status,
    }
}

fn unavailable(cause: impl ToString) -> schedule::Error {
    schedule::Error::Unavailable(cause.to_string())
}

/// Ids that are well formed; others name no record.
fn ids(texts: &[String]) -> Vec<Id> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

impl closing::Guest for Exports {
    async fn cancel(id: String) -> Result<(), closing::Error> {
        let unavailable = |cause: String| closing::Error::Unavailable(cause);
        let app = app().await.map_err(unavailable)?;
        let id = id.parse().map_err(|_| closing::Error::NotFound)?;
        let found = app.cancel(id).await.map_err(|error| unavailable(error.to_string()))?;
        if found { Ok(()) } else { Err(closing::Error::NotFound) }
    }
}

impl schedule::Guest for Exports {
    async fn get(id: String) -> Result<wit::Batch, schedule::Error> {
        let app = app().await.map_err(unavailable)?;
        let id = id.parse().map_err(|_| schedule::Error::NotFound)?;
        let found = app.batch(id).await.map_err(unavailable)?;
        found.map(|found| batch(&app, found)).ok_or(schedule::Error::NotFound)
    }

    async fn list_batches(batch_ids: Vec<String>) -> Result<Vec<wit::Batch>, schedule::Error> {
        let app = app().await.map_err(unavailable)?;
        let found = app.batches(&ids(&batch_ids)).await.map_err(unavailable)?;
        Ok(found.into_iter().map(|found| batch(&app, found)).collect())
    }

    async fn list_of_treks(trek_ids: Vec<String>) -> Result<Vec<wit::Batch>, schedule::Error> {
        let app = app().await.map_err(unavailable)?;
        let found = app.batches_of_treks(&ids(&trek_ids)).await.map_err(unavailable)?;
        Ok(found.into_iter().map(|found| batch(&app, found)).collect())
    }
}

fn seats_error(error: SeatsError) -> seats::Error {
    match error {
        SeatsError::BatchNotFound => seats::Error::BatchNotFound,
        SeatsError::SoldOut(free) => seats::Error::SoldOut(free),
        SeatsError::Closed => seats::Error::Closed,
        SeatsError::NoHold => seats::Error::NoHold,
        SeatsError::Invalid(problem) => seats::Error::Invalid(problem),
        SeatsError::Unavailable(cause) => seats::Error::Unavailable(cause),
    }
}

impl seats::Guest for Exports {
    async fn hold(request: seats::HoldRequest) -> Result<wit::Batch, seats::Error> {
        let app = app().await.map_err(seats::Error::Unavailable)?;
        let request = HoldRequest {
            key: request.key,
            batch_id: request.batch_id.parse().map_err(|_| seats::Error::BatchNotFound)?,
            seats: request.seats,
            expires_at: Timestamp::from_millis(request.expires_at),
            use_reserved: request.use_reserved,
        };
        app.hold(&request).await.map(|held| batch(&app, held)).map_err(seats_error)
    }

    async fn extend(key: String, expires_at: i64) -> Result<(), seats::Error> {
        let app = app().await.map_err(seats::Error::Unavailable)?;
        app.extend(&key, Timestamp::from_millis(expires_at)).await.map_err(seats_error)
    }

    async fn confirm(key: String) -> Result<(), seats::Error> {
        let app = app().await.map_err(seats::Error::Unavailable)?;
        app.confirm(&key).await.map_err(seats_error)
    }

    async fn release(key: String) -> Result<(), seats::Error> {
        let app = app().await.map_err(seats::Error::Unavailable)?;
        app.release(&key).await.map_err(seats_error)
    }

    async fn resize(key: String, count: u32, use_reserved: bool) -> Result<wit::Batch, seats::Error> {
        let app = app().await.map_err(seats::Error::Unavailable)?;
        app.resize(&key, count, use_reserved).await.map(|held| batch(&app, held)).map_err(seats_error)
    }

    async fn move_(request: seats::MoveRequest) -> Result<wit::Batch, seats::Error> {
        let app = app().await.map_err(seats::Error::Unavailable)?;
        let request = MoveRequest {
            key: request.key,
            batch_id: request.batch_id.parse().map_err(|_| seats::Error::BatchNotFound)?,
            seats: request.seats,
            taking: request.taking,
            use_reserved: request.use_reserved,
        };
        app.relocate(&request).await.map(|held| batch(&app, held)).map_err(seats_error)
    }
}
