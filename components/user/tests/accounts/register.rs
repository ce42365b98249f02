//! From a form to an account.

use cairn_shared::time::{MINUTE, SECOND};
use cairn_user::domain::Message;
use serde_json::{Value, json};

use crate::world::{refusal, world};

fn form() -> Value {
    json!({ "username": "asha", "name": "Asha Rao", "email": " Asha.Rao+treks@Example.photography", "password": "secret of mine", "phone": "+91 98000 00001" })
}

const EMAIL: &str = "asha.rao+treks@example.photography";

#[tokio::test]
async fn a_code_by_mail_turns_a_form_into_an_account_with_a_session() {
    let world = world().await;
    let answer = world.post("/api/auth/register", form()).await;
    assert_eq!((answer.status, &answer.body["email"]), (201, &EMAIL.into()));
    assert_eq!(world.count("users").await, 1, "only the admin yet");
    let answer = world.post("/api/auth/verify-register-otp", json!({ "email": EMAIL, "otp": world.code() })).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let user = &answer.body["user"];
    assert_eq!((&user["role"], &user["isAdmin"], &user["isVerified"]), (&"user".into(), &false.into(), &true.into()));
    assert_eq!(
        (&user["username"], &user["phone"], &user["group"]),
        (&"asha".into(), &"+919800000001".into(), &Value::Null)
    );
    assert_eq!(user["createdAt"], "2026-11-22T06:00:00.000Z");
    assert!(user.get("address").is_none() && user.get("password").is_none());
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with(&format!("jwt={}; ", answer.token())), "{cookie}");
    assert!(
        cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Lax")
            && cookie.contains("Max-Age=2592000")
            && cookie.contains("Path=/")
    );
    let welcome = matches!(&world.post.mails.borrow().last().unwrap().message, Message::Welcome { username } if username == "asha");
    assert!(welcome);
    assert_eq!(world.count("outbox").await, 2, "the admin and Asha");
    assert_eq!(world.call(&answer.token(), "GET", "/api/auth/me", json!({})).await.body["email"], EMAIL);
}

#[tokio::test]
async fn a_code_is_good_once() {
    let world = world().await;
    world.post("/api/auth/register", form()).await;
    let body = json!({ "email": EMAIL, "otp": world.code() });
    assert_eq!(world.post("/api/auth/verify-register-otp", body.clone()).await.status, 200);
    assert_eq!(world.post("/api/auth/verify-register-otp", body).await.status, 400);
    assert_eq!(world.count("users").await, 2);
}

#[tokio::test]
async fn five_wrong_codes_void_the_right_one_and_a_new_one_works() {
    let world = world().await;
    world.post("/api/auth/register", form()).await;
    let right = world.code();
    let wrong = if right == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        assert_eq!(
            world.post("/api/auth/verify-register-otp", json!({ "email": EMAIL, "otp": wrong })).await.status,
            400
        );
    }
    assert_eq!(world.post("/api/auth/verify-register-otp", json!({ "email": EMAIL, "otp": right })).await.status, 400);
    world.wait(MINUTE);
    assert_eq!(world.post("/api/auth/resend-register-otp", json!({ "email": EMAIL })).await.status, 200);
    assert_eq!(
        world.post("/api/auth/verify-register-otp", json!({ "email": EMAIL, "otp": world.code() })).await.status,
        200
    );
}

#[tokio::test]
async fn a_code_expires_after_ten_minutes_and_a_new_registration_is_possible() {
    let world = world().await;
    world.post("/api/auth/register", form()).await;
    world.wait(10 * MINUTE);
    let late = world.post("/api/auth/verify-register-otp", json!({ "email": EMAIL, "otp": world.code() })).await;
    assert_eq!(late.status, 400);
    assert_eq!(world.post("/api/auth/register", form()).await.status, 201);
    assert_eq!(
        world.post("/api/auth/verify-register-otp", json!({ "email": EMAIL, "otp": world.code() })).await.status,
        200
    );
}

#[tokio::test]
async fn mails_go_out_a_minute_apart_whether_or_not_somebody_is_known() {
    let world = world().await;
    world.post("/api/auth/register", form()).await;
    for email in [EMAIL, "nobody@example.org"] {
        let first = world.post("/api/auth/resend-register-otp", json!({ "email": email })).await;
        if email == EMAIL {
            assert_eq!((first.status, first.header("retry-after")), (429, "60"));
            continue;
        }
        assert_eq!(first.status, 200, "no sign that nobody waits");
        assert_eq!(world.post("/api/auth/resend-register-otp", json!({ "email": email })).await.status, 429);
    }
    world.wait(59 * SECOND);
    assert_eq!(world.post("/api/auth/register", form()).await.header("retry-after"), "1");
    world.wait(SECOND);
    let old = world.code();
    assert_eq!(world.post("/api/auth/register", form()).await.status, 201);
    assert_eq!(world.mails(), 2);
    if old != world.code() {
        assert_eq!(
            world.post("/api/auth/verify-register-otp", json!({ "email": EMAIL, "otp": old })).await.status,
            400
        );
    }
}

#[tokio::test]
async fn a_mail_that_cannot_be_queued_leaves_nothing_that_blocks_another_try() {
    let world = world().await;
    world.post.closed.set(true);
    let answer = world.post("/api/auth/register", form()).await;
    assert_eq!(answer.status, 503);
    assert!(!answer.body.to_string().contains("post office"), "the cause is not told");
    assert_eq!(world.count("pending_registrations").await, 0);
    world.post.closed.set(false);
    assert_eq!(world.post("/api/auth/register", form()).await.status, 201);

    world.wait(MINUTE);
    world.post.closed.set(true);
    assert_eq!(world.post("/api/auth/resend-register-otp", json!({ "email": EMAIL })).await.status, 503);
    world.post.closed.set(false);
    assert_eq!(world.post("/api/auth/resend-register-otp", json!({ "email": EMAIL })).await.status, 200);
    assert_eq!(
        world.post("/api/auth/verify-register-otp", json!({ "email": EMAIL, "otp": world.code() })).await.status,
        200
    );
}

#[tokio::test]
async fn a_taken_address_or_name_is_refused_also_when_it_was_taken_meanwhile() {
    let world = world().await;
    world.registered("asha").await;
    let taken = world.post("/api/auth/register", form()).await;
    assert_eq!((taken.status, &taken.body["field"]), (400, &"username".into()));
    let again = json!({ "username": "other", "name": "A", "email": "ASHA@example.org", "password": "secret of mine" });
    assert_eq!(world.post("/api/auth/register", again).await.body["field"], "email");

    let two = |email: &str| json!({ "username": "ravi", "name": "R", "email": email, "password": "secret of mine" });
    world.post("/api/auth/register", two("a@example.org")).await;
    let first = world.code();
    world.post("/api/auth/register", two("b@example.org")).await;
    let second = world.code();
    assert_eq!(
        world.post("/api/auth/verify-register-otp", json!({ "email": "a@example.org", "otp": first })).await.status,
        200
    );
    let late = world.post("/api/auth/verify-register-otp", json!({ "email": "b@example.org", "otp": second })).await;
    assert_eq!((late.status, &late.body["field"]), (400, &"username".into()));
}

#[tokio::test]
async fn all_that_is_wrong_with_a_form_is_told_at_once() {
    let world = world().await;
    let answer = world
        .post("/api/auth/register", json!({ "email": "x", "password": "12345", "username": "ab", "phone": "abc" }))
        .await;
    assert_eq!(answer.status, 400);
    for field in ["email", "password", "username", "phone", "name"] {
        assert!(answer.body["errors"][field]["message"].is_string(), "{field}: {}", answer.body);
    }
    let operator = json!({ "email": { "$ne": "" }, "password": { "$ne": "" } });
    assert_eq!(world.post("/api/auth/login", operator).await.status, 400);
}

#[tokio::test]
async fn neither_code_nor_password_is_in_the_database() {
    let world = world().await;
    world.post("/api/auth/register", form()).await;
    use cairn_shared::{Sql, params};
    let row = world
        .app
        .db
        .query_one("SELECT p.password_hash, c.digest FROM pending_registrations p, codes c", params![])
        .await
        .unwrap();
    let (hash, digest): (String, String) = (row.get("password_hash").unwrap(), row.get("digest").unwrap());
    assert!(hash.starts_with("$argon2id$") && !hash.contains("secret of mine"));
    assert!(!digest.contains(&world.code()));
}

#[tokio::test]
async fn a_service_without_a_good_secret_does_not_start() {
    assert!(refusal(&[]).await.contains("JWT_SECRET"));
    let problems =
        refusal(&[("jwt_secret", "short"), ("jwt_expire", "soon"), ("cairn_admin_email", "a@example.org")]).await;
    for part in ["jwt_secret", "jwt_expire", "cairn_admin_password"] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
}
