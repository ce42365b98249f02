//! What admins do with accounts and groups.

use cairn_shared::Id;
use serde_json::{Value, json};

use crate::world::{World, world};

async fn group(world: &World, admin: &str, name: &str, permissions: Value) -> String {
    let answer =
        world.call(admin, "POST", "/api/user-groups", json!({ "name": name, "permissions": permissions })).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body["_id"].as_str().unwrap().to_owned()
}

async fn id_of(world: &World, token: &str) -> String {
    world.app.authenticate(token).await.unwrap().id.to_string()
}

#[tokio::test]
async fn a_group_lends_its_permissions_at_once() {
    let world = world().await;
    let (admin, asha) = (world.admin().await, world.registered("asha").await);
    assert_eq!(world.call(&asha, "GET", "/api/auth/users", json!({})).await.status, 403);
    let office = group(&world, &admin, "Office", json!({ "actions": { "manageUsers": true } })).await;
    let path = format!("/api/users/{}/group", id_of(&world, &asha).await);
    let answer = world.call(&admin, "PUT", &path, json!({ "groupId": office })).await;
    assert_eq!(answer.body["user"]["group"], json!({ "_id": office, "name": "Office" }));

    let list = world.call(&asha, "GET", "/api/auth/users", json!({})).await;
    assert_eq!((list.status, list.body.as_array().unwrap().len()), (200, 2));
    let text = list.body.to_string();
    assert!(!text.contains("argon2") && !text.contains("password") && !text.contains("otp"), "{text}");
    let me = world.call(&asha, "GET", "/api/auth/me", json!({})).await;
    assert_eq!(me.body["group"]["permissions"]["actions"]["manageUsers"], true);
    assert_eq!(me.body["group"]["permissions"]["stats"]["sales"], false);

    let refused = world.call(&asha, "GET", "/api/users/admins", json!({})).await;
    assert_eq!((refused.status, &refused.body["requiredPermission"]), (403, &"actions.manageTeam".into()));
    assert_eq!(refused.body["currentGroup"], "Office");
    assert_eq!(world.call(&admin, "PUT", &path, json!({ "groupId": "" })).await.body["user"].get("group"), None);
    assert_eq!(world.call(&asha, "GET", "/api/auth/users", json!({})).await.status, 403);
}

#[tokio::test]
async fn a_role_is_changed_by_another_admin_and_ends_sessions() {
    let world = world().await;
    let (admin, asha) = (world.admin().await, world.registered("asha").await);
    let path = format!("/api/auth/users/{}/role", id_of(&world, &asha).await);
    let bad = world.call(&admin, "PATCH", &path, json!({ "role": "owner" })).await;
    assert_eq!((bad.status, &bad.body["received"]), (400, &"owner".into()));
    assert_eq!(world.call(&asha, "PATCH", &path, json!({ "role": "admin" })).await.status, 403);
    assert_eq!(world.call(&admin, "PATCH", &path, json!({ "role": "admin" })).await.body["isAdmin"], true);
    assert!(world.app.authenticate(&asha).await.is_err(), "the session of the old role has ended");
    let own = format!("/api/auth/users/{}/role", id_of(&world, &admin).await);
    assert_eq!(world.call(&admin, "PATCH", &own, json!({ "role": "user" })).await.status, 400);
    assert_eq!(world.call(&admin, "PATCH", "/api/auth/users/xyz/role", json!({ "role": "user" })).await.status, 400);
    let nobody = format!("/api/auth/users/{}/role", Id::derive(&["nobody"]));
    assert_eq!(world.call(&admin, "PATCH", &nobody, json!({ "role": "user" })).await.status, 404);
    assert_eq!(world.call(&admin, "PATCH", &path, json!({ "role": "user" })).await.body["isAdmin"], false);
}

#[tokio::test]
async fn groups_are_kept_by_admins() {
    let world = world().await;
    let (admin, asha) = (world.admin().await, world.registered("asha").await);
    let id = group(&world, &admin, "Guides", json!({ "stats": { "treks": true } })).await;
    let path = format!("/api/user-groups/{id}");
    assert_eq!(world.call(&asha, "GET", "/api/user-groups", json!({})).await.status, 403);
    assert_eq!(world.send(cairn_shared::http::Request::new("GET", "/api/user-groups")).await.status, 401);
    let twice = world.call(&admin, "POST", "/api/user-groups", json!({ "name": "Guides" })).await;
    assert_eq!((twice.status, &twice.body["field"]), (400, &"name".into()));
    assert_eq!(world.call(&admin, "PUT", &path, json!({})).await.status, 400);
    let changed = world.call(&admin, "PUT", &path, json!({ "permissions": { "stats": { "sales": true } } })).await;
    assert_eq!(
        (&changed.body["permissions"]["stats"]["treks"], &changed.body["permissions"]["stats"]["sales"]),
        (&false.into(), &true.into())
    );
    let user = id_of(&world, &asha).await;
    world.call(&admin, "PUT", &format!("/api/users/{user}/group"), json!({ "groupId": id })).await;
    assert_eq!(world.call(&admin, "GET", &format!("{path}/users"), json!({})).await.body[0]["_id"], user.as_str());
    assert_eq!(world.call(&admin, "DELETE", &path, json!({})).await.status, 400);
    world.call(&admin, "PUT", &format!("/api/users/{user}/group"), json!({ "groupId": null })).await;
    assert_eq!(world.call(&admin, "DELETE", &path, json!({})).await.status, 200);
    assert_eq!(world.call(&admin, "GET", &path, json!({})).await.status, 404);
    assert_eq!(world.call(&admin, "GET", "/api/users/groups/all", json!({})).await.body, json!([]));
}

#[tokio::test]
async fn an_address_is_not_changed_by_a_form() {
    let world = world().await;
    world.registered("ravi").await;
    let asha = world.registered("asha").await;
    let put = async |body| world.call(&asha, "PUT", "/api/auth/updatedetails", body).await;
    assert_eq!(put(json!({ "email": "ravi@example.org" })).await.status, 400);
    assert_eq!(put(json!({ "email": "new@example.org" })).await.body["field"], "email");
    let answer =
        put(json!({ "email": "ASHA@example.org", "phone": "+91 98000 00001", "city": "Pune", "name": "" })).await;
    assert_eq!(
        (answer.status, &answer.body["phone"], &answer.body["name"]),
        (200, &"+919800000001".into(), &"asha".into())
    );
    let cleared = put(json!({ "city": "", "phone": "" })).await;
    assert!(cleared.body.get("city").is_none() && cleared.body.get("phone").is_none());
}

#[tokio::test]
async fn a_phone_number_is_filled_in_where_there_is_none() {
    let world = world().await;
    let asha = world.registered("asha").await;
    let id = world.app.authenticate(&asha).await.unwrap().id;
    world.app.phone_fill(id, "+911").await.unwrap();
    world.app.phone_fill(id, "+912").await.unwrap();
    assert_eq!(world.app.account(id).await.unwrap().contact.phone.as_deref(), Some("+911"));
    assert!(world.app.phone_fill(Id::derive(&["nobody"]), "+911").await.is_err());
}

#[tokio::test]
async fn every_change_of_what_somebody_may_do_is_kept() {
    let world = world().await;
    let (admin, asha) = (world.admin().await, world.registered("asha").await);
    let (admin_id, asha_id) = (id_of(&world, &admin).await, id_of(&world, &asha).await);
    world.wait(1_000);
    let office = group(&world, &admin, "Office", json!({ "stats": { "treks": true } })).await;
    for (method, path, body) in [
        ("PUT", format!("/api/user-groups/{office}"), json!({ "permissions": { "stats": { "sales": true } } })),
        ("PUT", format!("/api/users/{asha_id}/group"), json!({ "groupId": office })),
        ("PUT", format!("/api/users/{asha_id}/group"), json!({ "groupId": null })),
        ("PATCH", format!("/api/users/{asha_id}/role"), json!({ "role": "admin" })),
        ("DELETE", format!("/api/user-groups/{office}"), json!({})),
    ] {
        world.wait(1_000);
        assert_eq!(world.call(&admin, method, &path, body).await.status, 200, "{method} {path}");
    }
    assert_eq!(world.send(cairn_shared::http::Request::new("GET", "/api/users/audit")).await.status, 401);
    let ravi = world.registered("ravi").await;
    assert_eq!(world.call(&ravi, "GET", "/api/users/audit", json!({})).await.status, 403);
    let kept = world.call(&admin, "GET", "/api/users/audit", json!({})).await;
    let mut entries = kept.body["entries"].as_array().unwrap().clone();
    entries.reverse();
    let words: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected =
        ["user.create", "group.create", "group.change", "user.group", "user.group", "user.role", "group.delete"];
    assert_eq!(words, expected);
    assert_eq!(entries[0]["actor"], "system", "the first admin is made by the configuration");
    assert!(entries[1..].iter().all(|entry| entry["actor"] == admin_id.as_str()));
    let permissions = |side: &str| entries[2][side]["permissions"]["stats"].clone();
    assert_eq!(
        (permissions("before"), permissions("after")),
        (json!({ "sales": false, "treks": true }), json!({ "sales": true, "treks": false }))
    );
    assert_eq!(
        (&entries[5]["before"], &entries[5]["after"]),
        (&json!({ "role": "user" }), &json!({ "role": "admin" }))
    );
}

#[tokio::test]
async fn every_write_is_done_once_for_a_key() {
    let world = world().await;
    let admin = world.admin().await;
    let id = Id::derive(&["nothing"]).to_string();
    for (method, path) in cairn_shared::component::router::<cairn_user::app::App>().routes() {
        // An answer with a cookie is not kept, and nobody needs to log out twice.
        if method == "GET" || path.starts_with("/_") || path == "/api/auth/logout" {
            continue;
        }
        let target = path.replace("{id}", &id);
        let ask = async |n: u32| {
            let request = world.request(&admin, method, &target, json!({ "n": n })).await;
            world.send(request.with_header("idempotency-key", "a key")).await
        };
        let first = ask(1).await;
        assert!(first.status < 500, "{method} {path}: {}", first.status);
        assert_eq!(ask(1).await.body, first.body, "{method} {path}");
        assert_eq!(ask(2).await.status, 422, "{method} {path}");
    }
}
