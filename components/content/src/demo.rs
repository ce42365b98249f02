//! The demo's articles, with dates around today.

use cairn_shared::{Id, Timestamp, time::DAY};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    app::App,
    domain::{self, Author, Blog, Region, Status},
    store,
};

/// Where the manifest mounts the demo's files.
const REGIONS: &str = "/demo/content/blog-regions.json";
const BLOGS: &str = "/demo/content/blogs.json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DemoRegion {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
    description: String,
    image: String,
    is_enabled: bool,
    created_days_ago: i64,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DemoBlog {
    #[serde(rename = "_id")]
    id: Id,
    title: String,
    content: String,
    excerpt: String,
    banner_image: Option<String>,
    region: Id,
    meta_title: String,
    meta_description: String,
    keywords: Vec<String>,
    author: DemoAuthor,
    /// Absent in drafts.
    published_days_ago: Option<i64>,
    created_days_ago: i64,
}

#[derive(Clone, Deserialize)]
struct DemoAuthor {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
}

impl DemoRegion {
    fn region(self, now: Timestamp) -> Region {
        let created_at = now.plus(-self.created_days_ago * DAY);
        Region {
            id: self.id,
            slug: domain::slug(&self.name),
            name: self.name,
            description: self.description,
            image: self.image,
            is_enabled: self.is_enabled,
            created_at,
            updated_at: created_at,
        }
    }
}

impl DemoBlog {
    fn blog(self, slug: String, now: Timestamp) -> Blog {
        let created_at = now.plus(-self.created_days_ago * DAY);
        Blog {
            id: self.id,
            slug,
            title: self.title,
            content: self.content,
            excerpt: self.excerpt,
            banner_image: self.banner_image,
            region_id: self.region,
            meta_title: self.meta_title,
            meta_description: self.meta_description,
            keywords: self.keywords,
            author: Author { id: self.author.id, name: self.author.name },
            status: self.published_days_ago.map_or(Status::Draft, |days| Status::Published(now.plus(-days * DAY))),
            created_at,
            updated_at: created_at,
        }
    }
}

/// Fills an empty database.
///
/// # Errors
/// A file is missing or not as it should be, or the database refuses it.
pub async fn load(app: &App) -> Result<(), String> {
    let text = |file| std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
    insert(app, &text(REGIONS)?, &text(BLOGS)?).await
}

async fn insert(app: &App, regions: &str, blogs: &str) -> Result<(), String> {
    let (regions, blogs) = (parsed::<DemoRegion>(REGIONS, regions)?, parsed::<DemoBlog>(BLOGS, blogs)?);
    let now = app.env.now();
    let regions: Vec<_> = regions.into_iter().map(|demo| demo.region(now)).collect();
    let loaded = app.db.transaction(async |tx| {
        if !store::is_empty(tx).await? {
            return Ok(());
        }
        for region in &regions {
            store::region_insert(tx, region).await?;
        }
        for demo in &blogs {
            let slug = domain::slug(&demo.title);
            let taken = store::blog_slugs_like(tx, &slug).await?;
            let slug = domain::free_slug(&slug, |candidate| taken.iter().any(|taken| taken == candidate));
            store::blog_insert(tx, &demo.clone().blog(slug, now)).await?;
        }
        Ok::<_, cairn_shared::DbError>(())
    });
    loaded.await.map_err(|error| error.to_string())
}

fn parsed<T: DeserializeOwned>(file: &str, text: &str) -> Result<Vec<T>, String> {
    serde_json::from_str(text).map_err(|error| format!("{file}: {error}"))
}

#[cfg(test)]
mod tests {
    use cairn_shared::{Component, Db, Env, component, config::Config};

    use super::*;
    use crate::domain::Listing;

    #[tokio::test]
    async fn the_demo_fills_an_empty_database_once_and_its_draft_is_not_public() {
        let (regions, blogs) =
            (include_str!("../../../demo/content/blog-regions.json"), include_str!("../../../demo/content/blogs.json"));
        let app = App::load(Config::of(&[]), Db::for_test().await.unwrap(), Env::for_test("content")).unwrap();
        component::prepare(&app).await.unwrap();
        insert(&app, regions, blogs).await.unwrap();
        insert(&app, regions, blogs).await.unwrap();
        let published =
            parsed::<DemoBlog>(BLOGS, blogs).unwrap().into_iter().filter(|blog| blog.published_days_ago.is_some());
        let page = app.articles(&Listing::page(None, None, 100)).await.unwrap();
        assert_eq!(page.total, i64::try_from(published.count()).unwrap());
        assert!(page.articles.iter().all(|article| article.region.is_some() && !article.blog.slug.is_empty()));
        assert_eq!(app.enabled_regions().await.unwrap().len(), parsed::<DemoRegion>(REGIONS, regions).unwrap().len());
    }
}
