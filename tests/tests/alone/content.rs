//! The content service: articles and files.

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_articles_are_listed_and_read() {
    let content = Stage::of("content").start().await;
    let list = content.get("/api/blogs").await.expect(200);
    let blogs = list["blogs"].as_array().unwrap_or_else(|| panic!("{list}"));
    assert!(!blogs.is_empty());
    let slug = blogs[0]["slug"].as_str().unwrap();
    let blog = content.get(&format!("/api/blogs/{slug}")).await.expect(200);
    assert!(blog.to_string().contains(slug), "{blog}");
    content.get("/api/blogs/no-such-article").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_served_whole_and_may_be_kept_by_browsers() {
    let content = Stage::of("content").start().await;
    let name = "hosamale-mist-ridge-2.jpg";
    let answer = content.get(&format!("/uploads/images/{name}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("image/jpeg"));
    assert!(answer.header("cache-control").is_some_and(|cache| cache.contains("max-age")), "{:?}", answer.headers);
    let file = crate::stage::root().join("demo/uploads/images").join(name);
    assert!(answer.body == std::fs::read(file).unwrap(), "the file as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_uploads() {
    let content = Stage::of("content").start().await;
    for path in [
        // A file that is there and of a kind that is served, under another folder's name.
        "/uploads/../demo/uploads/images/hosamale-mist-ridge-2.jpg",
        "/uploads/images/../../demo/uploads/images/hosamale-mist-ridge-2.jpg",
        "/uploads/%2e%2e/demo/uploads/images/hosamale-mist-ridge-2.jpg",
        "/uploads/..%2fdemo%2fuploads%2fimages%2fhosamale-mist-ridge-2.jpg",
        "/uploads//demo/uploads/images/hosamale-mist-ridge-2.jpg",
        "/uploads/%2fdemo/uploads/images/hosamale-mist-ridge-2.jpg",
        "/uploads/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/uploads//etc/passwd",
        "/uploads/%2fetc/passwd",
        "/uploads/..\\demo",
        "/uploads/%00",
        "/uploads/images",
        "/uploads/",
    ] {
        let answer = content.get(path).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        assert!(answer.json["message"].is_string(), "{path}: {answer:?}");
    }
}
