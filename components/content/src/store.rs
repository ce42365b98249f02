//! All SQL of the content service.

use cairn_shared::{DbError, Id, Row, Sql, Tx, db::Value, params};

use crate::domain::{Article, Author, Blog, Listing, Region, RegionSummary, Sort, SortKey, Status};

const ARTICLE: &str = "b.id, b.title, b.slug, b.content, b.excerpt, b.banner_image, b.region_id, b.meta_title, b.meta_description, \
     b.keywords, b.author_id, b.author_name, b.published, b.published_at, b.created_at, b.updated_at, \
     r.id AS found_region_id, r.name AS region_name, r.slug AS region_slug, r.image AS region_image, r.description AS region_description \
     FROM blogs b LEFT JOIN blog_regions r ON r.id = b.region_id";

fn article(row: &Row) -> Result<Article, DbError> {
    let published_at = if row.get("published")? { row.get("published_at")? } else { None };
    let blog = Blog {
        id: row.get("id")?,
        title: row.get("title")?,
        slug: row.get("slug")?,
        content: row.get("content")?,
        excerpt: row.get("excerpt")?,
        banner_image: row.get("banner_image")?,
        region_id: row.get("region_id")?,
        meta_title: row.get("meta_title")?,
        meta_description: row.get("meta_description")?,
        keywords: row.json("keywords")?,
        author: Author { id: row.get("author_id")?, name: row.get("author_name")? },
        status: published_at.map_or(Status::Draft, Status::Published),
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    };
    let region = match row.get::<Option<Id>>("found_region_id")? {
        None => None,
        Some(id) => Some(RegionSummary {
            id,
            name: row.get("region_name")?,
            slug: row.get("region_slug")?,
            image: row.get("region_image")?,
            description: row.get("region_description")?,
        }),
    };
    Ok(Article { blog, region })
}

/// A condition for the public articles of a listing, with its values.
fn condition(listing: &Listing) -> (String, Vec<Value>) {
    let (mut condition, mut values) = ("b.published = 1".to_owned(), Vec::new());
    let mut and = |text: &str, value: Value| {
        values.push(value);
        condition.push_str(" AND ");
        condition.push_str(&text.replace('?', &format!("${}", values.len())));
    };
    if let Some(region) = listing.region {
        and("b.region_id = ?", region.into());
    }
    if let Some(except) = listing.except {
        and("b.id <> ?", except.into());
    }
    if let Some(search) = &listing.search {
        let literal = search.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        and("b.search_text LIKE ? ESCAPE '\\'", format!("%{literal}%").into());
    }
    (condition, values)
}

fn order(sort: Sort) -> &'static str {
    match (sort.key, sort.descending) {
        (SortKey::PublishedAt, true) => "b.published_at DESC, b.id DESC",
        (SortKey::PublishedAt, false) => "b.published_at, b.id",
        (SortKey::Title, true) => "lower(b.title) DESC, b.id DESC",
        (SortKey::Title, false) => "lower(b.title), b.id",
        (SortKey::CreatedAt, true) => "b.created_at DESC, b.id DESC",
        (SortKey::CreatedAt, false) => "b.created_at, b.id",
        (SortKey::UpdatedAt, true) => "b.updated_at DESC, b.id DESC",
        (SortKey::UpdatedAt, false) => "b.updated_at, b.id",
    }
}

/// A page of public articles.
pub async fn article_list(sql: &impl Sql, listing: &Listing) -> Result<Vec<Article>, DbError> {
    let (condition, mut values) = condition(listing);
    let (order, limit, offset) = (order(listing.sort), values.len() + 1, values.len() + 2);
    let select = format!("SELECT {ARTICLE} WHERE {condition} ORDER BY {order} LIMIT ${limit} OFFSET ${offset}");
    values.extend(params![listing.limit, listing.offset()]);
    sql.query(&select, values).await?.iter().map(article).collect()
}

/// How many public articles a listing has on all its pages.
pub async fn article_count(sql: &impl Sql, listing: &Listing) -> Result<i64, DbError> {
    let (condition, values) = condition(listing);
    sql.query_one(&format!("SELECT COUNT(*) AS n FROM blogs b WHERE {condition}"), values).await?.get("n")
}

/// A public article by its address.
pub async fn article_fetch(sql: &impl Sql, slug: &str) -> Result<Option<Article>, DbError> {
    let select = format!("SELECT {ARTICLE} WHERE b.slug = $1 AND b.published = 1");
    sql.query_opt(&select, params![slug]).await?.as_ref().map(article).transpose()
}

pub async fn blog_insert(tx: &Tx, blog: &Blog) -> Result<(), DbError> {
    let insert = "INSERT INTO blogs (id, title, slug, content, excerpt, banner_image, region_id, meta_title, meta_description, keywords, \
                  author_id, author_name, published, published_at, search_text, created_at, updated_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    let published_at = match blog.status {
        Status::Draft => None,
        Status::Published(at) => Some(at),
    };
    tx.execute(
        insert,
        params![
            blog.id,
            &blog.title,
            &blog.slug,
            &blog.content,
            &blog.excerpt,
            blog.banner_image.clone(),
            blog.region_id,
            &blog.meta_title,
            &blog.meta_description,
            serde_json::json!(blog.keywords),
            blog.author.id,
            &blog.author.name,
            published_at.is_some(),
            published_at,
            blog.search_text(),
            blog.created_at,
            blog.updated_at
        ],
    )
    .await
}

/// Slugs that begin like this one.
pub async fn blog_slugs_like(sql: &impl Sql, slug: &str) -> Result<Vec<String>, DbError> {
    // A slug has no character that means something to LIKE.
    let rows = sql.query("SELECT slug FROM blogs WHERE slug LIKE $1", params![format!("{slug}%")]).await?;
    rows.iter().map(|row| row.get("slug")).collect()
}

fn region(row: &Row) -> Result<Region, DbError> {
    Ok(Region {
        id: row.get("id")?,
        name: row.get("name")?,
        slug: row.get("slug")?,
        description: row.get("description")?,
        image: row.get("image")?,
        is_enabled: row.get("is_enabled")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// Enabled regions by name.
pub async fn region_list_enabled(sql: &impl Sql) -> Result<Vec<Region>, DbError> {
    let select = "SELECT * FROM blog_regions WHERE is_enabled = 1 ORDER BY name, id";
    sql.query(select, params![]).await?.iter().map(region).collect()
}

/// An enabled region by its address.
pub async fn region_fetch_enabled(sql: &impl Sql, slug: &str) -> Result<Option<Region>, DbError> {
    let select = "SELECT * FROM blog_regions WHERE slug = $1 AND is_enabled = 1";
    sql.query_opt(select, params![slug]).await?.as_ref().map(region).transpose()
}

pub async fn region_insert(tx: &Tx, region: &Region) -> Result<(), DbError> {
    let insert = "INSERT INTO blog_regions (id, name, slug, description, image, is_enabled, created_at, updated_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    tx.execute(
        insert,
        params![
            region.id,
            &region.name,
            &region.slug,
            &region.description,
            &region.image,
            region.is_enabled,
            region.created_at,
            region.updated_at
        ],
    )
    .await
}

/// Whether there is nothing yet.
pub async fn is_empty(sql: &impl Sql) -> Result<bool, DbError> {
    let select = "SELECT (SELECT COUNT(*) FROM blogs) + (SELECT COUNT(*) FROM blog_regions) AS n";
    Ok(sql.query_one(select, params![]).await?.get::<i64>("n")? == 0)
}
