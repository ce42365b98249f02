//! The demo's batches, with dates around today.

use cairn_shared::{Id, Paise, Timestamp, time::DAY};
use serde::Deserialize;

use crate::{
    app::App,
    domain::{Batch, Change, Hold},
    store,
};

/// Where the manifest mounts the demo's files.
const FILE: &str = "/demo/batch/batches.json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DemoBatch {
    #[serde(rename = "_id")]
    id: Id,
    trek_id: Id,
    starts_in_days: i64,
    days: i64,
    price: Paise,
    max_participants: u32,
    #[serde(default)]
    reserved_slots: u32,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    demo_taken: u32,
}

/// Fills an empty database.
///
/// # Errors
/// The file is missing or not as it should be, or the database refuses it.
pub async fn load(app: &App) -> Result<(), String> {
    let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    insert(app, &text).await
}

async fn insert(app: &App, text: &str) -> Result<(), String> {
    let batches: Vec<DemoBatch> = serde_json::from_str(text).map_err(|error| format!("{FILE}: {error}"))?;
    let now = app.env.now();
    let loaded = app.db.transaction(async |tx| {
        if store::batch_count(tx).await? > 0 {
            return Ok(false);
        }
        for demo in &batches {
            let batch = demo.batch(app.env.zone.calendar_day(now));
            store::batch_insert(tx, &batch, now).await?;
            if demo.demo_taken > 0 {
                let change = demo.taken(&batch);
                store::batch_take(tx, &change).await?;
                store::hold_save(tx, &change.hold, now).await?;
            }
            app.tell(tx, &batch).await?;
        }
        Ok::<_, cairn_shared::Error>(true)
    });
    if loaded.await.map_err(|error| error.to_string())? {
        app.env.wake_relay().await;
    }
    Ok(())
}

impl DemoBatch {
    fn batch(&self, today: Timestamp) -> Batch {
        let start_date = today.plus(self.starts_in_days * DAY);
        Batch {
            id: self.id,
            trek_id: self.trek_id,
            trek_name: String::new(),
            start_date,
            end_date: start_date.plus((self.days - 1).max(0) * DAY),
            price: self.price,
            max_participants: self.max_participants,
            reserved_slots: self.reserved_slots,
            taken: 0,
            cancelled: self.status.as_deref() == Some("cancelled"),
            version: 1,
        }
    }

    /// Seats that people outside the demo have bought.
    fn taken(&self, batch: &Batch) -> Change {
        let hold = Hold {
            key: format!("demo-{}", batch.id),
            batch_id: batch.id,
            seats: self.demo_taken,
            expires_at: None,
            counted: true,
            use_reserved: true,
        };
        Change { delta: i64::from(self.demo_taken), hold }
    }
}

#[cfg(test)]
mod tests {
    use cairn_shared::{Component, Db, Env, component, config::Config};

    use super::*;

    #[tokio::test]
    async fn the_demo_fills_an_empty_database_once() {
        let text = include_str!("../../../demo/batch/batches.json");
        let db = Db::for_test().await.unwrap();
        let app = App::load(Config::of(&[]), db, Env::for_test("batch")).unwrap();
        component::prepare(&app).await.unwrap();
        insert(&app, text).await.unwrap();
        insert(&app, text).await.unwrap();
        let batches: Vec<DemoBatch> = serde_json::from_str(text).unwrap();
        assert_eq!(store::batch_count(&app.db).await.unwrap(), i64::try_from(batches.len()).unwrap());
        for demo in batches.iter().filter(|demo| demo.status.is_none()) {
            assert_eq!(app.batch(demo.id).await.unwrap().unwrap().taken, demo.demo_taken, "{}", demo.id);
        }
    }
}
