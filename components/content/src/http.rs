//! HTTP of the content service.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Result, Timestamp,
    http::{Json, Path, Path2, Query, Response, Router},
};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    domain::{Article, Listing, Region, RegionSummary, Status},
    files::{self, FileError},
};

/// Articles of a page, and of a list of related ones, where nothing is asked for.
const PAGE_LIMIT: u32 = 10;
const RELATED_LIMIT: u32 = 3;

/// Files have names of their own for each content, but may be replaced by hand.
const FILE_CACHE: &str = "public, max-age=86400";

pub fn routes() -> Router<App> {
    Router::default()
        .get("/api/blogs", list)
        .get("/api/blogs/region/{region}", list_of_region)
        .get("/api/blogs/related/{blog}/{region}", related)
        .get("/api/blogs/{slug}", detail)
        .get("/api/blog-regions/enabled", regions)
        .get("/api/blog-regions/slug/{slug}", region)
        .get("/uploads/{*path}", upload)
}

#[derive(Serialize)]
struct AuthorView {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
}

#[derive(Serialize)]
struct RegionSummaryView {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
    slug: String,
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl RegionSummaryView {
    fn new(region: RegionSummary, described: bool) -> Self {
        Self {
            id: region.id,
            name: region.name,
            slug: region.slug,
            image: region.image,
            description: described.then_some(region.description),
        }
    }
}

/// An article as everybody may read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlogView {
    #[serde(rename = "_id")]
    own_id: Id,
    id: Id,
    title: String,
    slug: String,
    content: String,
    excerpt: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    banner_image: Option<String>,
    /// Null once the region is deleted.
    region: Option<RegionSummaryView>,
    meta_title: String,
    meta_description: String,
    keywords: Vec<String>,
    author: AuthorView,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    reading_time: String,
    #[serde(rename = "__v")]
    version: u32,
}

impl BlogView {
    fn new(article: Article, region_described: bool) -> Self {
        let Article { blog, region } = article;
        let (status, published_at) = match blog.status {
            Status::Draft => ("draft", None),
            Status::Published(at) => ("published", Some(at)),
        };
        Self {
            own_id: blog.id,
            id: blog.id,
            reading_time: blog.reading_time(),
            title: blog.title,
            slug: blog.slug,
            content: blog.content,
            excerpt: blog.excerpt,
            banner_image: blog.banner_image,
            region: region.map(|region| RegionSummaryView::new(region, region_described)),
            meta_title: blog.meta_title,
            meta_description: blog.meta_description,
            keywords: blog.keywords,
            author: AuthorView { id: blog.author.id, name: blog.author.name },
            status,
            published_at,
            created_at: blog.created_at,
            updated_at: blog.updated_at,
            version: 0,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlogPage {
    blogs: Vec<BlogView>,
    current_page: u32,
    total_pages: i64,
    total_blogs: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegionView {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
    slug: String,
    description: String,
    image: String,
    is_enabled: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(rename = "__v")]
    version: u32,
}

impl From<Region> for RegionView {
    fn from(region: Region) -> Self {
        Self {
            id: region.id,
            name: region.name,
            slug: region.slug,
            description: region.description,
            image: region.image,
            is_enabled: region.is_enabled,
            created_at: region.created_at,
            updated_at: region.updated_at,
            version: 0,
        }
    }
}

/// Text as it came: what is out of bounds counts as not asked for.
#[derive(Deserialize)]
struct ListQuery {
    page: Option<String>,
    limit: Option<String>,
    search: Option<String>,
    sort: Option<String>,
    region: Option<Id>,
}

impl ListQuery {
    fn listing(&self, limit_default: u32) -> Listing {
        Listing::page(self.page.as_deref(), self.limit.as_deref(), limit_default).sort(self.sort.as_deref())
    }
}

async fn page(app: &App, listing: Listing, region_described: bool) -> Result<Json<BlogPage>> {
    let found = app.articles(&listing).await?;
    Ok(Json(BlogPage {
        blogs: found.articles.into_iter().map(|article| BlogView::new(article, region_described)).collect(),
        current_page: listing.page,
        total_pages: listing.pages(found.total),
        total_blogs: found.total,
    }))
}

async fn list(app: Rc<App>, Query(query): Query<ListQuery>) -> Result<Json<BlogPage>> {
    let listing = query.listing(PAGE_LIMIT).search(query.search.as_deref());
    page(&app, Listing { region: query.region, ..listing }, false).await
}

async fn list_of_region(
    app: Rc<App>,
    Path(region): Path<Id>,
    Query(query): Query<ListQuery>,
) -> Result<Json<BlogPage>> {
    page(&app, Listing { region: Some(region), ..query.listing(PAGE_LIMIT) }, true).await
}

async fn related(
    app: Rc<App>,
    Path2(blog, region): Path2<Id, Id>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<BlogView>>> {
    let listing = Listing::page(None, query.limit.as_deref(), RELATED_LIMIT);
    let found = app.articles(&Listing { region: Some(region), except: Some(blog), ..listing }).await?;
    Ok(Json(found.articles.into_iter().map(|article| BlogView::new(article, true)).collect()))
}

async fn detail(app: Rc<App>, Path(slug): Path<String>) -> Result<Json<BlogView>> {
    let article = app.article(&slug).await?.ok_or_else(|| Error::not_found("Blog not found"))?;
    Ok(Json(BlogView::new(article, true)))
}

async fn regions(app: Rc<App>) -> Result<Json<Vec<RegionView>>> {
    Ok(Json(app.enabled_regions().await?.into_iter().map(Into::into).collect()))
}

async fn region(app: Rc<App>, Path(slug): Path<String>) -> Result<Json<RegionView>> {
    let region = app.enabled_region(&slug).await?.ok_or_else(|| Error::not_found("Blog region not found"))?;
    Ok(Json(region.into()))
}

async fn upload(app: Rc<App>, Path(path): Path<String>) -> Result<Response> {
    let file = files::read(&app.uploads_dir, &path).map_err(|error| match error {
        FileError::NotFound => Error::not_found("There is no such file."),
        FileError::Unreadable(cause) => Error::internal(cause),
    })?;
    Ok(Response::text(200, file.content_type, file.content).header("cache-control", FILE_CACHE))
}
