//! Logging in and out, and who a token is.

use cairn_shared::{
    Component, Sql, params,
    time::{DAY, MINUTE},
};
use cairn_user::app::NotAuthenticated;
use serde_json::json;

use crate::world::{ADMIN, world};

#[tokio::test]
async fn the_first_admin_is_made_once() {
    let world = world().await;
    world.app.start().await.unwrap();
    assert_eq!(world.count("users").await, 1);
    let answer = world.post("/api/auth/login", json!({ "email": "ADMIN@example.org ", "password": ADMIN.1 })).await;
    assert_eq!((answer.status, &answer.body["requiresOtp"]), (200, &false.into()));
    assert_eq!((&answer.body["user"]["role"], &answer.body["user"]["isAdmin"]), (&"admin".into(), &true.into()));
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_get_the_same_answer() {
    let world = world().await;
    let wrong = world.post("/api/auth/login", json!({ "email": ADMIN.0, "password": "not it" })).await;
    let unknown = world.post("/api/auth/login", json!({ "email": "nobody@example.org", "password": "not it" })).await;
    assert_eq!((wrong.status, &wrong.body), (401, &unknown.body));
    assert_eq!(unknown.status, 401);
    assert_eq!(world.post("/api/auth/login", json!({ "email": ADMIN.0 })).await.status, 400);
}

#[tokio::test]
async fn twenty_wrong_passwords_close_the_door_for_a_while() {
    let world = world().await;
    world.moved("ravi", "old secret", true).await;
    let wrong = json!({ "email": "ravi@example.org", "password": "x" });
    for _ in 0..20 {
        assert_eq!(world.post("/api/auth/login", wrong.clone()).await.status, 401);
    }
    let right = json!({ "email": "ravi@example.org", "password": "old secret" });
    let answer = world.post("/api/auth/login", right.clone()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "900"));
    world.wait(15 * MINUTE);
    assert_eq!(world.post("/api/auth/login", right).await.status, 200);
    assert_eq!(world.count("login_failures").await, 0);
}

#[tokio::test]
async fn a_bcrypt_password_is_accepted_and_stored_as_argon2id_from_then_on() {
    let world = world().await;
    world.moved("ravi", "old secret", true).await;
    let body = json!({ "email": "ravi@example.org", "password": "old secret" });
    for _ in 0..2 {
        assert_eq!(world.post("/api/auth/login", body.clone()).await.status, 200);
        let row = world
            .app
            .db
            .query_one("SELECT password_hash, token_version, login_count FROM users WHERE username = 'ravi'", params![])
            .await
            .unwrap();
        assert!(row.get::<String>("password_hash").unwrap().starts_with("$argon2id$"));
        assert_eq!(row.get::<i64>("token_version").unwrap(), 0, "a better hash ends no session");
    }
}

#[tokio::test]
async fn an_unproven_address_is_proven_by_a_code_once() {
    let world = world().await;
    world.moved("ravi", "old secret", false).await;
    let login = json!({ "email": "ravi@example.org", "password": "old secret" });
    let answer = world.post("/api/auth/login", login.clone()).await;
    assert_eq!((answer.status, &answer.body["requiresOtp"]), (200, &true.into()));
    assert!(
        answer.body["userId"].is_string()
            && answer.body.get("token").is_none()
            && answer.header("set-cookie").is_empty()
    );
    world.post("/api/auth/login", login.clone()).await;
    assert_eq!(world.mails(), 1, "the code that was just mailed stays the one to type");
    let verify = json!({ "email": "ravi@example.org", "otp": world.code() });
    let answer = world.post("/api/auth/verify-login-otp", verify.clone()).await;
    assert_eq!((answer.status, &answer.body["user"]["isVerified"]), (200, &true.into()));
    assert_eq!(world.post("/api/auth/verify-login-otp", verify).await.status, 400);
    assert_eq!(world.post("/api/auth/login", login).await.body["requiresOtp"], false);
}

#[tokio::test]
async fn a_code_is_mailed_again_only_while_a_password_login_waits() {
    let world = world().await;
    world.moved("ravi", "old secret", false).await;
    let email = json!({ "email": "ravi@example.org" });
    assert_eq!(world.post("/api/auth/resend-login-otp", email.clone()).await.status, 200);
    assert_eq!(world.post("/api/auth/resend-otp", json!({ "email": "nobody@example.org" })).await.status, 200);
    assert_eq!(world.mails(), 0, "nobody has given a password");
    world.wait(MINUTE);
    world.post("/api/auth/login", json!({ "email": "ravi@example.org", "password": "old secret" })).await;
    assert_eq!(world.post("/api/auth/resend-login-otp", email.clone()).await.status, 429);
    for sends in 2..=5 {
        world.wait(MINUTE);
        assert_eq!(world.post("/api/auth/resend-login-otp", email.clone()).await.status, 200);
        assert_eq!(world.mails(), sends);
    }
    world.wait(MINUTE);
    assert_eq!(world.post("/api/auth/resend-login-otp", email).await.status, 200);
    assert_eq!(world.mails(), 5, "so many and no more for one password");
    assert_eq!(
        world.post("/api/auth/verify-otp", json!({ "email": "ravi@example.org", "otp": world.code() })).await.status,
        200
    );
}

#[tokio::test]
async fn a_login_code_that_cannot_be_mailed_is_no_success() {
    let world = world().await;
    world.moved("ravi", "old secret", false).await;
    world.post.closed.set(true);
    let login = json!({ "email": "ravi@example.org", "password": "old secret" });
    assert_eq!(world.post("/api/auth/login", login.clone()).await.status, 503);
    world.post.closed.set(false);
    assert_eq!(world.post("/api/auth/login", login).await.status, 200);
    assert_eq!(world.mails(), 1);
}

#[tokio::test]
async fn a_session_ends_with_logout_and_the_others_go_on() {
    let world = world().await;
    let first = world.registered("asha").await;
    let second = world
        .post("/api/auth/login", json!({ "email": "asha@example.org", "password": "secret of mine" }))
        .await
        .token();
    let answer = world.call(&first, "POST", "/api/auth/logout", json!({})).await;
    let cookie = answer.header("set-cookie");
    assert!(answer.status == 200 && cookie.starts_with("jwt=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"), "{cookie}");
    assert!(matches!(world.app.authenticate(&first).await, Err(NotAuthenticated::InvalidToken)));
    assert!(world.app.authenticate(&second).await.is_ok());
    assert_eq!(world.post("/api/auth/logout", json!({})).await.status, 200, "also without a session");
    assert_eq!(world.call("nonsense", "POST", "/api/auth/logout", json!({})).await.status, 200);
    world.wait(31 * DAY);
    assert!(matches!(world.app.authenticate(&second).await, Err(NotAuthenticated::InvalidToken)));
}

#[tokio::test]
async fn a_token_of_the_system_before_is_good_until_the_first_bump() {
    let world = world().await;
    let token = world.registered("asha").await;
    let id = world.app.authenticate(&token).await.unwrap().id;
    let iat = world.now().millis() / 1000;
    let key = jsonwebtoken::EncodingKey::from_secret(crate::world::SECRET.as_bytes());
    let old = jsonwebtoken::encode(
        &jsonwebtoken::Header::default(),
        &json!({ "id": id, "iat": iat, "exp": iat + 600 }),
        &key,
    )
    .unwrap();
    assert!(world.app.authenticate(&old).await.is_ok());
    let change = json!({ "currentPassword": "secret of mine", "newPassword": "another secret" });
    let changed = world.call(&token, "PUT", "/api/auth/updatepassword", change).await;
    assert_eq!(changed.status, 200);
    for ended in [&old, &token] {
        assert!(matches!(world.app.authenticate(ended).await, Err(NotAuthenticated::InvalidToken)));
    }
    assert!(world.app.authenticate(&changed.token()).await.is_ok());
    world.app.db.execute("UPDATE users SET active = 0 WHERE id = $1", params![id]).await.unwrap();
    assert!(matches!(world.app.authenticate(&changed.token()).await, Err(NotAuthenticated::NoAccount)));
    assert_eq!(
        world
            .post("/api/auth/login", json!({ "email": "asha@example.org", "password": "another secret" }))
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_the_old_one() {
    let world = world().await;
    let token = world.registered("asha").await;
    let put = async |body| world.call(&token, "PUT", "/api/auth/updatepassword", body).await.status;
    assert_eq!(put(json!({ "currentPassword": "wrong", "newPassword": "another secret" })).await, 401);
    assert_eq!(put(json!({ "currentPassword": "secret of mine", "newPassword": "short" })).await, 400);
    assert_eq!(put(json!({ "password": "another secret" })).await, 400);
    let profile =
        json!({ "name": "Asha R", "password": "stolen secret", "email": "asha@example.org", "address": "Hill Road" });
    assert_eq!(world.call(&token, "PUT", "/api/auth/profile", profile).await.body["address"], "Hill Road");
    assert_eq!(
        world
            .post("/api/auth/login", json!({ "email": "asha@example.org", "password": "secret of mine" }))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_reset_link_works_once_ends_sessions_and_proves_the_address() {
    let world = world().await;
    world.moved("ravi", "old secret", false).await;
    let id = cairn_user::store::account_fetch_by_email(&world.app.db, "ravi@example.org").await.unwrap().unwrap().id;
    let link = world.app.reset_issue(id).await.unwrap();
    let reset = async |token: &str, password: &str| {
        world.post("/api/auth/reset-password", json!({ "token": token, "password": password })).await
    };
    assert_eq!(reset(&link, "short").await.status, 422);
    assert_eq!(reset("nonsense", "another secret").await.status, 400);
    assert_eq!(
        world
            .post("/api/auth/reset-password", json!({ "token": { "$gt": "" }, "password": "another secret" }))
            .await
            .status,
        400
    );
    let answer = reset(&link, "another secret").await;
    assert_eq!((answer.status, &answer.body["user"]["isVerified"]), (200, &true.into()));
    assert!(world.app.authenticate(&answer.token()).await.is_ok());
    assert_eq!(reset(&link, "third secret").await.status, 400);
    let late = world.app.reset_issue(id).await.unwrap();
    world.wait(10 * MINUTE);
    assert_eq!(reset(&late, "third secret").await.status, 400);
}
