//! HTTP of the batch service.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Paise, Result, Timestamp,
    events::{self, EVENTS_PATH},
    http::{Body, Json, Path, Response, Router},
};
use serde::Serialize;

use crate::{app::App, domain::Batch};

pub fn routes() -> Router<App> {
    Router::default().get("/api/batches/{id}", batch).post(EVENTS_PATH, take_events)
}

/// A batch as everybody may see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchView {
    #[serde(rename = "_id")]
    id: Id,
    start_date: Timestamp,
    end_date: Timestamp,
    price: Paise,
    max_participants: u32,
    current_participants: u32,
    reserved_slots: u32,
    available_spots: u32,
    status: &'static str,
    trek_id: Id,
    trek_name: String,
}

impl BatchView {
    fn new(batch: Batch, now: Timestamp) -> Self {
        Self {
            id: batch.id,
            start_date: batch.start_date,
            end_date: batch.end_date,
            price: batch.price,
            max_participants: batch.max_participants,
            current_participants: batch.taken,
            reserved_slots: batch.reserved_slots,
            available_spots: batch.free(false),
            status: batch.status(now).as_str(),
            trek_id: batch.trek_id,
            trek_name: batch.trek_name,
        }
    }
}

async fn batch(app: Rc<App>, Path(id): Path<Id>) -> Result<Json<BatchView>> {
    let batch = app.batch(id).await?.ok_or_else(|| Error::not_found("Batch not found"))?;
    Ok(Json(BatchView::new(batch, app.env.now())))
}

async fn take_events(app: Rc<App>, body: Body) -> Result<Response> {
    app.take_events(&events::received(&body)?).await?;
    Ok(Response::empty(204))
}
