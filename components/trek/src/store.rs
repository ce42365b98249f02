//! All SQL of the trek service.

use std::collections::BTreeSet;

use cairn_shared::{DbError, Error, Id, Paise, Row, Sql, Timestamp, Tx, db::Value, params};

use crate::domain::{Region, Section, Terms, Trek};

/// A trek as lists and pages show it.
#[derive(Debug, Clone)]
pub struct Listed {
    pub id: Id,
    pub enabled: bool,
    pub custom: bool,
    /// JSON of the public view, or of all of it, without batches.
    pub doc: String,
    /// For `gstDetails` and `gatewayDetails`.
    pub terms: Terms,
    pub access_token: Option<String>,
}

/// What the public list can be narrowed to and sorted by.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub search: Option<String>,
    /// A region's name in lower case, or its id.
    pub region: Option<String>,
    pub season: Option<String>,
    pub category: Option<String>,
    /// Days, both ends included.
    pub duration: Option<(u32, u32)>,
    pub getaways_only: bool,
    pub include_disabled: bool,
    pub custom: Custom,
    pub sort: Sort,
    pub limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Custom {
    #[default]
    Hide,
    Only,
    Include,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Newest,
    NameAsc,
    NameDesc,
    DurationAsc,
    DurationDesc,
    DifficultyAsc,
    DifficultyDesc,
    PriceAsc,
    PriceDesc,
}

impl Sort {
    fn order(self) -> &'static str {
        match self {
            Self::Newest => "created_at DESC",
            Self::NameAsc => "name",
            Self::NameDesc => "name DESC",
            Self::DurationAsc => "duration",
            Self::DurationDesc => "duration DESC",
            Self::DifficultyAsc => "difficulty_rank",
            Self::DifficultyDesc => "difficulty_rank DESC",
            Self::PriceAsc => "display_price",
            Self::PriceDesc => "display_price DESC",
        }
    }
}

/// Which of a trek's JSON documents to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Public,
    Staff,
}

impl View {
    fn columns(self) -> &'static str {
        match self {
            Self::Public => "SELECT id, enabled, custom, access_token, terms, public_doc AS doc FROM treks",
            Self::Staff => "SELECT id, enabled, custom, access_token, terms, doc FROM treks",
        }
    }
}

fn listed(row: &Row) -> Result<Listed, DbError> {
    Ok(Listed {
        id: row.get("id")?,
        enabled: row.get("enabled")?,
        custom: row.get("custom")?,
        doc: row.get("doc")?,
        terms: row.json("terms")?,
        access_token: row.get("access_token")?,
    })
}

pub async fn trek_list(sql: &impl Sql, view: View, filter: &Filter) -> Result<Vec<Listed>, DbError> {
    let mut statement = format!("{} WHERE deleted = 0", view.columns());
    let mut values: Vec<Value> = Vec::new();
    let mut narrow = |condition: &str, given: Vec<Value>| {
        statement.push_str(" AND ");
        for (at, part) in condition.split('?').enumerate() {
            if at > 0 {
                values.push(given[at - 1].clone());
                statement.push_str(&format!("${}", values.len()));
            }
            statement.push_str(part);
        }
    };
    if !filter.include_disabled {
        narrow("enabled = 1", params![]);
    }
    match filter.custom {
        Custom::Hide => narrow("custom = 0", params![]),
        Custom::Only => narrow("custom = 1", params![]),
        Custom::Include => {}
    }
    if filter.getaways_only {
        narrow("getaway = 1", params![]);
    }
    if let Some(search) = &filter.search {
        narrow("search_text LIKE ? ESCAPE '\\'", params![like(search)]);
    }
    if let Some(region) = &filter.region {
        narrow("(LOWER(region_name) = ? OR region_id = ?)", params![region, region]);
    }
    if let Some(season) = &filter.season {
        narrow("season = ?", params![season]);
    }
    if let Some(category) = &filter.category {
        narrow("category = ?", params![category]);
    }
    if let Some((least, most)) = filter.duration {
        narrow("duration BETWEEN ? AND ?", params![least, most]);
    }
    statement.push_str(&format!(" ORDER BY {}, id", filter.sort.order()));
    if let Some(limit) = filter.limit {
        values.push(limit.into());
        statement.push_str(&format!(" LIMIT ${}", values.len()));
    }
    sql.query(&statement, values).await?.iter().map(listed).collect()
}

/// A LIKE pattern for text that contains this literally.
fn like(text: &str) -> String {
    let escaped = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// By id; a deleted one too, since old bookings link to it.
pub async fn trek_fetch(sql: &impl Sql, view: View, id: Id) -> Result<Option<Listed>, DbError> {
    let select = [view.columns(), " WHERE id = $1"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map(listed).transpose()
}

/// By a slug it has or had.
pub async fn trek_fetch_by_slug(sql: &impl Sql, view: View, slug: &str) -> Result<Option<Listed>, DbError> {
    let select =
        [view.columns(), " WHERE deleted = 0 AND id = (SELECT trek_id FROM trek_slugs WHERE slug = $1)"].concat();
    sql.query_opt(&select, params![slug]).await?.as_ref().map(listed).transpose()
}

/// Treks by id that are for sale to everybody, in no order.
pub async fn trek_list_public_by_ids(sql: &impl Sql, ids: &[Id]) -> Result<Vec<Listed>, DbError> {
    let condition = [" WHERE deleted = 0 AND enabled = 1 AND custom = 0 AND id IN (", &places(ids.len()), ")"].concat();
    let select = [View::Public.columns(), &condition].concat();
    sql.query(&select, ids.iter().map(Into::into).collect()).await?.iter().map(listed).collect()
}

fn places(count: usize) -> String {
    (1..=count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

pub async fn terms_fetch(sql: &impl Sql, id: Id) -> Result<Option<Terms>, DbError> {
    let row = sql.query_opt("SELECT terms FROM treks WHERE id = $1 AND deleted = 0", params![id]).await?;
    row.map(|row| row.json("terms")).transpose()
}

/// Terms of treks by id, deleted ones too, for their names.
pub async fn terms_list(sql: &impl Sql, ids: &[Id]) -> Result<Vec<Terms>, DbError> {
    let select = ["SELECT terms FROM treks WHERE id IN (", &places(ids.len()), ")"].concat();
    sql.query(&select, ids.iter().map(Into::into).collect()).await?.iter().map(|row| row.json("terms")).collect()
}

pub async fn trek_count(sql: &impl Sql) -> Result<i64, DbError> {
    sql.query_one("SELECT COUNT(*) AS n FROM treks", params![]).await?.get("n")
}

/// A number for each value of a column among public treks.
pub async fn trek_count_by(sql: &impl Sql, by: CountBy) -> Result<Vec<(String, i64)>, DbError> {
    let statement = match by {
        CountBy::Region => {
            "SELECT region_name AS name, COUNT(*) AS n FROM treks WHERE deleted = 0 AND enabled = 1 AND custom = 0 GROUP BY region_name ORDER BY n DESC, name"
        }
        CountBy::Difficulty => {
            "SELECT difficulty_rank AS rank, MIN(doc) AS doc, COUNT(*) AS n FROM treks WHERE deleted = 0 AND enabled = 1 AND custom = 0 GROUP BY difficulty_rank"
        }
        CountBy::Season => {
            "SELECT season AS name, COUNT(*) AS n FROM treks WHERE deleted = 0 AND enabled = 1 AND custom = 0 GROUP BY season ORDER BY name"
        }
    };
    let rows = sql.query(statement, params![]).await?;
    rows.iter()
        .map(|row| {
            let name = match by {
                CountBy::Difficulty => row.json::<Trek>("doc")?.difficulty.as_str().to_owned(),
                CountBy::Region | CountBy::Season => row.get("name")?,
            };
            Ok((name, row.get("n")?))
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountBy {
    Region,
    Difficulty,
    Season,
}

/// All slugs in use, with those that only past names had.
pub async fn slug_list(sql: &impl Sql) -> Result<BTreeSet<String>, DbError> {
    sql.query("SELECT slug FROM trek_slugs", params![]).await?.iter().map(|row| row.get("slug")).collect()
}

pub async fn trek_insert(tx: &Tx, trek: &Trek, version: i64) -> Result<(), Error> {
    let insert = "INSERT INTO treks (id, name, region_id, region_name, season, category, difficulty_rank, duration, display_price, \
                  enabled, custom, getaway, access_token, search_text, created_at, updated_at, version, doc, public_doc, terms) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";
    let Paise(price) = trek.display_price;
    tx.execute(
        insert,
        params![
            trek.id,
            &trek.name,
            trek.region,
            &trek.region_name,
            trek.season.as_str(),
            trek.category.as_str(),
            trek.difficulty as i64,
            trek.duration,
            price,
            trek.is_enabled,
            trek.is_custom,
            trek.is_weekend_getaway,
            trek.custom_access_token.as_deref(),
            trek.search_text(),
            trek.created_at,
            trek.updated_at,
            version,
            json(trek)?,
            json(&trek.public_view())?,
            json(&trek.terms())?
        ],
    )
    .await?;
    Ok(tx.execute("INSERT INTO trek_slugs (slug, trek_id) VALUES ($1, $2)", params![&trek.slug, trek.id]).await?)
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(Error::internal)
}

/// Regions by name; disabled ones for staff.
pub async fn region_list(sql: &impl Sql, include_disabled: bool) -> Result<Vec<Region>, DbError> {
    let select = "SELECT doc FROM regions WHERE enabled = 1 OR CAST($1 AS BIGINT) = 1 ORDER BY name";
    sql.query(select, params![include_disabled]).await?.iter().map(|row| row.json("doc")).collect()
}

pub async fn region_fetch(sql: &impl Sql, id: Id) -> Result<Option<Region>, DbError> {
    let row = sql.query_opt("SELECT doc FROM regions WHERE id = $1", params![id]).await?;
    row.map(|row| row.json("doc")).transpose()
}

pub async fn region_fetch_by_slug(sql: &impl Sql, slug: &str) -> Result<Option<Region>, DbError> {
    let row = sql.query_opt("SELECT doc FROM regions WHERE slug = $1", params![slug]).await?;
    row.map(|row| row.json("doc")).transpose()
}

pub async fn region_insert(tx: &Tx, region: &Region, version: i64) -> Result<(), Error> {
    let insert = "INSERT INTO regions (id, name, slug, enabled, version, doc) VALUES ($1, $2, $3, $4, $5, $6)";
    Ok(tx
        .execute(insert, params![region.id, &region.name, &region.slug, region.is_enabled, version, json(region)?])
        .await?)
}

/// Active sections in the order they are shown, each with its treks in order.
pub async fn section_list_active(sql: &impl Sql) -> Result<Vec<Section>, DbError> {
    let select = "SELECT s.id, s.title, s.active, s.display_order, s.created_at, s.updated_at, t.trek_id FROM sections s \
                  LEFT JOIN section_treks t ON t.section_id = s.id WHERE s.active = 1 ORDER BY s.display_order, s.id, t.position";
    let mut sections: Vec<Section> = Vec::new();
    for row in sql.query(select, params![]).await? {
        let id: Id = row.get("id")?;
        if sections.last().is_none_or(|last| last.id != id) {
            sections.push(Section {
                id,
                title: row.get("title")?,
                active: row.get("active")?,
                display_order: row.get("display_order")?,
                treks: Vec::new(),
                created_at: row.get::<Timestamp>("created_at")?,
                updated_at: row.get::<Timestamp>("updated_at")?,
            });
        }
        if let (Some(section), Some(trek)) = (sections.last_mut(), row.get::<Option<Id>>("trek_id")?) {
            section.treks.push(trek);
        }
    }
    Ok(sections)
}

pub async fn section_insert(tx: &Tx, section: &Section) -> Result<(), DbError> {
    let insert = "INSERT INTO sections (id, title, active, display_order, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)";
    tx.execute(
        insert,
        params![
            section.id,
            &section.title,
            section.active,
            section.display_order,
            section.created_at,
            section.updated_at
        ],
    )
    .await?;
    for (position, trek) in (0_i64..).zip(&section.treks) {
        let insert = "INSERT INTO section_treks (section_id, trek_id, position) VALUES ($1, $2, $3)";
        tx.execute(insert, params![section.id, trek, position]).await?;
    }
    Ok(())
}
