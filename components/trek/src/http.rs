//! HTTP of the trek service.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Result, Timestamp,
    http::{Json, Path, Query, Response, Router},
    identity::Caller,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    app::{App, SectionPage, TrekPage},
    domain::{CatalogueError, Region},
    store::{CountBy, Custom, Filter, Sort},
};

pub fn routes() -> Router<App> {
    Router::default()
        .get("/api/treks", list)
        .get("/api/treks/all", list_all)
        .get("/api/treks/stats", stats)
        .get("/api/treks/weekend-getaways", getaways)
        .get("/api/treks/by-region/{region}", by_region)
        .get("/api/treks/slug/{slug}", by_slug)
        .get("/api/treks/{id}", by_id)
        .get("/api/regions", regions)
        .get("/api/regions/slug/{slug}", region_by_slug)
        .get("/api/regions/{id}", region)
        .get("/api/trek-sections/active", active_sections)
}

impl From<CatalogueError> for Error {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::TrekNotFound => Self::not_found("Trek not found"),
            CatalogueError::RegionNotFound => Self::not_found("Region not found"),
            CatalogueError::LinkExpired => Self::new(410, "LINK_EXPIRED", "This custom trek link has expired."),
            CatalogueError::NoBatches(cause) => Self::unavailable(cause),
            CatalogueError::Database(error) => error.into(),
        }
    }
}

/// A trek's stored JSON with its batches and percentages put in. The document is not
/// parsed: it was written by this service, and lists are what most requests are for.
fn write_trek(out: &mut Vec<u8>, page: &TrekPage) -> Result<()> {
    #[derive(Serialize)]
    struct Percent<T: Serialize> {
        percent: cairn_shared::BasisPoints,
        #[serde(rename = "type")]
        kind: T,
    }
    let terms = &page.trek.terms;
    let doc =
        page.trek.doc.trim_end().strip_suffix('}').ok_or_else(|| Error::internal("a stored trek is not an object"))?;
    out.extend_from_slice(doc.as_bytes());
    let parts = [
        (",\"batches\":", serde_json::to_vec(&page.batches)),
        (",\"gstDetails\":", serde_json::to_vec(&Percent { percent: terms.gst, kind: terms.gst_type })),
        (",\"gatewayDetails\":", serde_json::to_vec(&Percent { percent: terms.gateway, kind: terms.gateway_type })),
    ];
    for (key, value) in parts {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(&value.map_err(Error::internal)?);
    }
    out.push(b'}');
    Ok(())
}

fn write_treks(out: &mut Vec<u8>, pages: &[TrekPage]) -> Result<()> {
    out.push(b'[');
    for (at, page) in pages.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_trek(out, page)?;
    }
    out.push(b']');
    Ok(())
}

fn json_body(body: Vec<u8>) -> Response {
    Response::text(200, "application/json; charset=utf-8", body)
}

fn trek_response(page: &TrekPage) -> Result<Response> {
    let mut out = Vec::with_capacity(page.trek.doc.len() + 4096);
    write_trek(&mut out, page)?;
    Ok(json_body(out))
}

fn treks_response(pages: &[TrekPage]) -> Result<Response> {
    let mut out = Vec::with_capacity(pages.iter().map(|page| page.trek.doc.len() + 2048).sum());
    write_treks(&mut out, pages)?;
    Ok(json_body(out))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    search: Option<String>,
    region: Option<String>,
    region_id: Option<Id>,
    season: Option<String>,
    category: Option<String>,
    duration: Option<String>,
    sort: Option<String>,
    include_disabled: Option<String>,
    show_custom: Option<String>,
    limit: Option<u32>,
}

const SEARCH_CHARS_MAX: usize = 100;
const LIMIT_MAX: u32 = 1000;

impl ListQuery {
    fn filter(self) -> Result<Filter> {
        if self.search.as_ref().is_some_and(|search| search.chars().count() > SEARCH_CHARS_MAX) {
            return Err(Error::bad_request(format!("`search` may have at most {SEARCH_CHARS_MAX} characters.")));
        }
        let region = self.region_id.map(|id| id.to_string()).or(self.region.map(|region| region.to_lowercase()));
        Ok(Filter {
            search: self.search,
            region,
            season: self.season,
            category: self.category.filter(|category| category != "all-treks"),
            duration: self.duration.as_deref().map(parse_duration).transpose()?,
            getaways_only: false,
            include_disabled: self.include_disabled.as_deref() == Some("true"),
            custom: if self.show_custom.as_deref() == Some("true") { Custom::Only } else { Custom::Hide },
            sort: parse_sort(self.sort.as_deref())?,
            limit: self.limit.map(|limit| limit.clamp(1, LIMIT_MAX)),
        })
    }
}

/// `2-4`, `3-3`, `5-`, `15+` or `3`, in days.
fn parse_duration(text: &str) -> Result<(u32, u32)> {
    let (least, most) = match (text.split_once('-'), text.trim_end().strip_suffix(['+', ' '])) {
        (Some((least, "")), _) => (least, None),
        (Some((least, most)), _) => (least, Some(most)),
        // A plus sign arrives as a space.
        (None, Some(least)) => (least, None),
        (None, None) if text.ends_with(' ') => (text.trim_end(), None),
        (None, None) => (text, Some(text)),
    };
    let days = |text: &str| {
        text.trim().parse::<u32>().map_err(|_| Error::bad_request("`duration` has to be as 2-4, 3 or 15+ days."))
    };
    Ok((days(least)?, most.map_or(Ok(u32::MAX), days)?))
}

fn parse_sort(text: Option<&str>) -> Result<Sort> {
    Ok(match text {
        None | Some("createdAt-desc") => Sort::Newest,
        Some("price" | "price-asc") => Sort::PriceAsc,
        Some("price-desc") => Sort::PriceDesc,
        Some("name-asc") => Sort::NameAsc,
        Some("name-desc") => Sort::NameDesc,
        Some("duration-asc") => Sort::DurationAsc,
        Some("duration-desc") => Sort::DurationDesc,
        Some("difficulty-asc") => Sort::DifficultyAsc,
        Some("difficulty-desc") => Sort::DifficultyDesc,
        Some(_) => {
            return Err(Error::bad_request(
                "`sort` has to be price, name, duration or difficulty with -asc or -desc, or createdAt-desc.",
            ));
        }
    })
}

async fn list(app: Rc<App>, caller: Option<Caller>, Query(query): Query<ListQuery>) -> Result<Response> {
    treks_response(&app.treks(caller.as_ref(), query.filter()?).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AllQuery {
    show_custom: Option<String>,
}

async fn list_all(app: Rc<App>, caller: Option<Caller>, Query(query): Query<AllQuery>) -> Result<Response> {
    let custom = match query.show_custom.as_deref() {
        Some("true") => Custom::Only,
        None | Some("false") => Custom::Hide,
        Some(_) => Custom::Include,
    };
    let filter = Filter { include_disabled: true, custom, ..Filter::default() };
    treks_response(&app.treks(caller.as_ref(), filter).await?)
}

#[derive(Deserialize)]
struct GetawayQuery {
    limit: Option<u32>,
}

async fn getaways(app: Rc<App>, Query(query): Query<GetawayQuery>) -> Result<Response> {
    let limit = cairn_shared::page::PageQuery { page: None, limit: query.limit }.parse(10)?.limit;
    let filter = Filter { getaways_only: true, limit: Some(limit), ..Filter::default() };
    let pages = app.treks(None, filter).await?;
    let mut out = b"{\"weekendGetaways\":".to_vec();
    write_treks(&mut out, &pages)?;
    out.extend_from_slice(format!(",\"total\":{},\"limit\":{limit}}}", pages.len()).as_bytes());
    Ok(json_body(out))
}

async fn by_region(app: Rc<App>, Path(region): Path<String>) -> Result<Json<Value>> {
    let filter = Filter { region: Some(region.to_lowercase()), ..Filter::default() };
    let pages = app.treks(None, filter).await?;
    let entry = |page: &TrekPage| {
        let terms = &page.trek.terms;
        json!({ "_id": terms.id, "name": terms.name, "regionName": terms.region_name })
    };
    Ok(Json(pages.iter().map(entry).collect()))
}

async fn stats(app: Rc<App>) -> Result<Json<Value>> {
    let group = |counts: &[(String, i64)]| {
        counts.iter().map(|(name, count)| json!({ "_id": name, "count": count })).collect::<Value>()
    };
    let regions = app.counts(CountBy::Region).await?;
    let difficulties = app.counts(CountBy::Difficulty).await?;
    let seasons = app.counts(CountBy::Season).await?;
    Ok(Json(json!({
        "totalTreks": regions.iter().map(|(_, count)| count).sum::<i64>(),
        "regions": group(&regions),
        "difficulties": group(&difficulties),
        "seasons": group(&seasons),
    })))
}

async fn by_slug(app: Rc<App>, caller: Option<Caller>, Path(slug): Path<String>) -> Result<Response> {
    trek_response(&app.trek_by_slug(caller.as_ref(), &slug).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DetailQuery {
    admin: Option<String>,
    custom_token: Option<String>,
}

async fn by_id(
    app: Rc<App>,
    caller: Option<Caller>,
    Path(id): Path<Id>,
    Query(query): Query<DetailQuery>,
) -> Result<Response> {
    let all_dates = query.admin.as_deref() == Some("true");
    trek_response(&app.trek(caller.as_ref(), id, all_dates, query.custom_token.as_deref()).await?)
}

async fn regions(app: Rc<App>, caller: Option<Caller>) -> Result<Json<Vec<Region>>> {
    Ok(Json(app.regions(caller.as_ref()).await?))
}

/// A region whose related regions are spelt out.
fn region_view((region, related): (Region, Vec<Region>)) -> Result<Json<Value>> {
    let mut view = serde_json::to_value(region).map_err(Error::internal)?;
    view["relatedRegions"] =
        related.iter().map(|r| json!({ "_id": r.id, "name": r.name, "coverImage": r.cover_image })).collect();
    Ok(Json(view))
}

async fn region(app: Rc<App>, Path(id): Path<Id>) -> Result<Json<Value>> {
    region_view(app.region(id).await?)
}

async fn region_by_slug(app: Rc<App>, Path(slug): Path<String>) -> Result<Json<Value>> {
    region_view(app.region_by_slug(&slug).await?)
}

async fn active_sections(app: Rc<App>) -> Result<Response> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct SectionView<'a> {
        #[serde(rename = "_id")]
        id: Id,
        title: &'a str,
        is_active: bool,
        display_order: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
    }
    let mut out = vec![b'['];
    for (at, SectionPage { section, treks }) in app.active_sections().await?.iter().enumerate() {
        let view = SectionView {
            id: section.id,
            title: &section.title,
            is_active: section.active,
            display_order: section.display_order,
            created_at: section.created_at,
            updated_at: section.updated_at,
        };
        if at > 0 {
            out.push(b',');
        }
        let head = serde_json::to_vec(&view).map_err(Error::internal)?;
        out.extend_from_slice(head.strip_suffix(b"}").unwrap_or(&head));
        out.extend_from_slice(b",\"treks\":");
        write_treks(&mut out, treks)?;
        out.push(b'}');
    }
    out.push(b']');
    Ok(json_body(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_ranges_of_days() {
        for (text, days) in [
            ("2-4", (2, 4)),
            ("3-3", (3, 3)),
            ("5-", (5, u32::MAX)),
            ("15+", (15, u32::MAX)),
            ("15 ", (15, u32::MAX)),
            ("3", (3, 3)),
        ] {
            assert_eq!(parse_duration(text).unwrap(), days, "{text}");
        }
        for text in ["", "x", "2-x", "-3", "1-2-3"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
