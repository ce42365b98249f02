//! The journal over HTTP, as its readers see it.

use std::rc::Rc;

use cairn_content::{
    app::App,
    domain::{Author, Blog, Region, Status},
    store,
};
use cairn_shared::{
    Component, Db, Env, Id, Timestamp,
    component::{self, router},
    config::Config,
    http::{Request, Response},
    time::DAY,
};
use serde_json::{Value, json};

const NOW: i64 = 1_763_800_000_000;

struct World {
    app: Rc<App>,
    _uploads: tempfile::TempDir,
}

fn id(name: &str) -> Id {
    Id::derive(&[name])
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::from_millis(NOW).plus(-days * DAY)
}

fn region(name: &str, is_enabled: bool) -> Region {
    Region {
        id: id(name),
        name: name.to_owned(),
        slug: cairn_content::domain::slug(name),
        description: format!("About {name}."),
        image: "/uploads/images/r.jpg".into(),
        is_enabled,
        created_at: days_ago(100),
        updated_at: days_ago(100),
    }
}

fn blog(title: &str, region: &str, status: Status) -> Blog {
    Blog {
        id: id(title),
        title: title.to_owned(),
        slug: cairn_content::domain::slug(title),
        content: format!("<p>{}</p>", "word ".repeat(201)),
        excerpt: "Short.".into(),
        banner_image: Some("/uploads/images/b.jpg".into()),
        region_id: id(region),
        meta_title: "Meta".into(),
        meta_description: "Description".into(),
        keywords: vec!["Ridge Walk".into(), "50% steep".into()],
        author: Author { id: id("author"), name: "Asha Rao".into() },
        status,
        created_at: days_ago(50),
        updated_at: days_ago(50),
    }
}

async fn world() -> World {
    let uploads = tempfile::tempdir().unwrap();
    std::fs::create_dir(uploads.path().join("images")).unwrap();
    std::fs::write(uploads.path().join("images/fort loop.jpg"), b"jpeg").unwrap();
    let mut app = App::load(Config::of(&[]), Db::for_test().await.unwrap(), Env::for_test("content")).unwrap();
    app.uploads_dir = uploads.path().to_owned();
    component::prepare(&app).await.unwrap();
    let published = |days| Status::Published(days_ago(days));
    let filled = app.db.transaction(async |tx| {
        for region in [region("Western Ghats", true), region("Himalaya", true), region("Desert", false)] {
            store::region_insert(tx, &region).await?;
        }
        for blog in [
            blog("Alpha", "Western Ghats", published(3)),
            blog("Beta", "Western Ghats", published(1)),
            blog("Gamma", "Himalaya", published(2)),
            blog("Sand", "Desert", published(9)),
            blog("Lost", "A region that was deleted", published(10)),
            blog("Secret", "Western Ghats", Status::Draft),
        ] {
            store::blog_insert(tx, &blog).await?;
        }
        Ok::<_, cairn_shared::DbError>(())
    });
    filled.await.unwrap();
    World { app: Rc::new(app), _uploads: uploads }
}

impl World {
    async fn get(&self, target: &str) -> Response {
        router::<App>().handle(self.app.clone(), self.app.env(), Request::new("GET", target)).await
    }

    async fn json(&self, target: &str) -> Value {
        let response = self.get(target).await;
        assert_eq!(response.status, 200, "{target}");
        serde_json::from_slice(&response.body).unwrap()
    }

    async fn titles(&self, target: &str) -> Vec<String> {
        let body = self.json(target).await;
        let blogs = body.get("blogs").unwrap_or(&body).as_array().unwrap().clone();
        blogs.iter().map(|blog| blog["title"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn the_list_has_published_articles_newest_first() {
    let world = world().await;
    assert_eq!(world.titles("/api/blogs").await, ["Beta", "Gamma", "Alpha", "Sand", "Lost"]);
    let page = world.json("/api/blogs?page=2&limit=2").await;
    assert_eq!((&page["currentPage"], &page["totalPages"], &page["totalBlogs"]), (&json!(2), &json!(3), &json!(5)));
    assert_eq!(world.titles("/api/blogs?page=2&limit=2").await, ["Alpha", "Sand"]);
    assert_eq!(world.titles("/api/blogs?sort=title&limit=3").await, ["Alpha", "Beta", "Gamma"]);
    assert_eq!(world.titles("/api/blogs?sort=nonsense&page=0&limit=101").await.len(), 5);
}

#[tokio::test]
async fn an_article_has_the_shape_of_the_contract() {
    let world = world().await;
    let blog = world.json("/api/blogs/alpha").await;
    assert_eq!(
        blog,
        json!({
            "_id": id("Alpha"), "id": id("Alpha"), "title": "Alpha", "slug": "alpha",
            "content": format!("<p>{}</p>", "word ".repeat(201)), "excerpt": "Short.", "bannerImage": "/uploads/images/b.jpg",
            "region": {
                "_id": id("Western Ghats"), "name": "Western Ghats", "slug": "western-ghats", "image": "/uploads/images/r.jpg",
                "description": "About Western Ghats."
            },
            "metaTitle": "Meta", "metaDescription": "Description", "keywords": ["Ridge Walk", "50% steep"],
            "author": { "_id": id("author"), "name": "Asha Rao" }, "status": "published", "publishedAt": days_ago(3),
            "createdAt": days_ago(50), "updatedAt": days_ago(50), "readingTime": "2 min read", "__v": 0
        })
    );
    let listed = world.json("/api/blogs?limit=1").await;
    assert_eq!(listed["blogs"][0]["region"].get("description"), None);
    assert_eq!(world.json("/api/blogs/lost").await["region"], Value::Null);
}

#[tokio::test]
async fn drafts_and_unknown_articles_are_not_found() {
    let world = world().await;
    for slug in ["secret", "nothing", "Alpha"] {
        assert_eq!(world.get(&format!("/api/blogs/{slug}")).await.status, 404, "{slug}");
    }
}

#[tokio::test]
async fn a_search_is_a_literal_part_of_title_content_or_keyword() {
    let world = world().await;
    assert_eq!(world.titles("/api/blogs?search=alph").await, ["Alpha"]);
    assert_eq!(world.titles("/api/blogs?search=RIDGE%20walk").await.len(), 5);
    assert_eq!(world.titles("/api/blogs?search=50%25%20s").await.len(), 5);
    for nothing in ["%25x", "a_pha", "(", "%5C", "walk%22,%2250", "walk%0A50"] {
        assert_eq!(world.titles(&format!("/api/blogs?search={nothing}")).await.len(), 0, "{nothing}");
    }
}

#[tokio::test]
async fn articles_of_a_region_come_with_its_description() {
    let world = world().await;
    let ghats = id("Western Ghats");
    assert_eq!(world.titles(&format!("/api/blogs?region={ghats}")).await, ["Beta", "Alpha"]);
    let page = world.json(&format!("/api/blogs/region/{ghats}?limit=1&sort=publishedAt")).await;
    assert_eq!((&page["blogs"][0]["title"], &page["totalPages"]), (&json!("Alpha"), &json!(2)));
    assert_eq!(page["blogs"][0]["region"]["description"], "About Western Ghats.");
    let none = world.json(&format!("/api/blogs/region/{}", id("unknown"))).await;
    assert_eq!(none, json!({ "blogs": [], "currentPage": 1, "totalPages": 0, "totalBlogs": 0 }));
    assert_eq!(world.get("/api/blogs/region/xyz").await.status, 400);
}

#[tokio::test]
async fn related_articles_are_a_bare_array_without_the_article_itself() {
    let world = world().await;
    let target = format!("/api/blogs/related/{}/{}", id("Beta"), id("Western Ghats"));
    assert!(world.json(&target).await.is_array());
    assert_eq!(world.titles(&target).await, ["Alpha"]);
}

#[tokio::test]
async fn only_enabled_regions_are_shown() {
    let world = world().await;
    let regions = world.json("/api/blog-regions/enabled").await;
    let names: Vec<_> = regions.as_array().unwrap().iter().map(|region| region["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Himalaya", "Western Ghats"]);
    assert_eq!(world.json("/api/blog-regions/slug/himalaya").await["isEnabled"], true);
    assert_eq!(world.get("/api/blog-regions/slug/desert").await.status, 404);
    assert_eq!(
        world.titles(&format!("/api/blogs?region={}", id("Desert"))).await,
        ["Sand"],
        "its articles stay public"
    );
}

#[tokio::test]
async fn files_are_served_and_nothing_above_them() {
    let world = world().await;
    let file = world.get("/uploads/images/fort%20loop.jpg").await;
    assert_eq!((file.status, file.body.as_slice()), (200, b"jpeg".as_slice()));
    assert_eq!(file.header_value("content-type"), Some("image/jpeg"));
    assert!(file.header_value("cache-control").unwrap().starts_with("public, max-age="));
    for path in ["images/none.jpg", "images", "..%2f..%2fetc%2fpasswd", "%2e%2e/x.jpg", "images/..%5cx.jpg"] {
        let response = world.get(&format!("/uploads/{path}")).await;
        assert_eq!(response.status, 404, "{path}");
        assert!(serde_json::from_slice::<Value>(&response.body).unwrap()["message"].is_string());
    }
}
