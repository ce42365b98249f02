//! The demo's catalogue.

use cairn_shared::{Error, Id, Timestamp, time::DAY};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    app::App,
    domain::{self, Region, Section, Trek},
    store,
};

/// Where the manifest mounts the demo's files.
const FOLDER: &str = "/demo/trek";

/// The files of the demo.
pub struct Files {
    pub regions: String,
    pub treks: String,
    pub sections: String,
}

/// Fills an empty database.
///
/// # Errors
/// A file is missing or not as it should be, or the database refuses it.
pub async fn load(app: &App) -> Result<(), String> {
    let read = |name: &str| {
        let path = format!("{FOLDER}/{name}.json");
        std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    };
    insert(app, &Files { regions: read("regions")?, treks: read("treks")?, sections: read("sections")? }).await
}

/// Fills an empty database with these files.
///
/// # Errors
/// As [`load`].
pub async fn insert(app: &App, files: &Files) -> Result<(), String> {
    let now = app.env.now();
    let regions: Vec<Region> = documents("regions", &files.regions, now)?;
    let treks: Vec<Trek> = documents("treks", &files.treks, now)?;
    let sections: Vec<DemoSection> = documents("sections", &files.sections, now)?;
    let sections: Vec<Section> = sections.into_iter().map(Into::into).collect();
    let loaded = app.db.transaction(async |tx| {
        if store::trek_count(tx).await? > 0 {
            return Ok(false);
        }
        for region in &regions {
            store::region_insert(tx, region, 1).await?;
            app.tell_region(tx, region, 1).await?;
        }
        for trek in &treks {
            store::trek_insert(tx, trek, 1).await?;
            app.tell_trek(tx, trek, 1).await?;
        }
        for section in &sections {
            store::section_insert(tx, section).await?;
        }
        Ok::<_, Error>(true)
    });
    if loaded.await.map_err(|error| error.to_string())? {
        app.env.wake_relay().await;
    }
    Ok(())
}

/// The documents of a file, with what the files leave out because it is computed.
fn documents<T: DeserializeOwned>(name: &str, text: &str, now: Timestamp) -> Result<Vec<T>, String> {
    let failed = |error: serde_json::Error| format!("{name}.json: {error}");
    let documents: Vec<Value> = serde_json::from_str(text).map_err(failed)?;
    let complete = |mut document: Value| {
        let days =
            document["createdDaysAgo"].as_i64().ok_or_else(|| format!("{name}.json: createdDaysAgo is missing"))?;
        let created = now.plus(-days * DAY);
        if let Some(name) = document["name"].as_str() {
            document["slug"] = domain::slug(name).into();
        }
        document["createdAt"] = json!(created);
        document["updatedAt"] = json!(created);
        serde_json::from_value(document).map_err(failed)
    };
    documents.into_iter().map(complete).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DemoSection {
    #[serde(rename = "_id")]
    id: Id,
    title: String,
    treks: Vec<Id>,
    is_active: bool,
    display_order: i64,
    created_at: Timestamp,
}

impl From<DemoSection> for Section {
    fn from(demo: DemoSection) -> Self {
        Self {
            id: demo.id,
            title: demo.title,
            active: demo.is_active,
            display_order: demo.display_order,
            treks: demo.treks,
            created_at: demo.created_at,
            updated_at: demo.created_at,
        }
    }
}
