//! The user service, with a mail service that the test answers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use cairn_tests::trekker::code_in;
use serde_json::{Value, json};
use wasmtime::component::Val;

use crate::{
    stage::{Alone, Stage},
    val::{done, failure, field, none, record, some, success, text, text_of, unavailable},
};

const MAIL: &str = "cairn:notification/mail";
const IDENTITY: &str = "cairn:user/identity";
const EMAIL: &str = "meera@example.org";

fn registration() -> Value {
    json!({ "name": "Meera Nair", "email": EMAIL, "username": "meera", "phone": "9800000001", "password": "a password of the tests" })
}

/// The code in the newest mail that the service sent.
fn mailed_code(user: &Alone) -> String {
    let mails = user.calls.to("enqueue");
    let envelope = &mails.last().unwrap()[0];
    assert_eq!(text_of(field(envelope, "to"), "email"), EMAIL);
    match field(envelope, "message") {
        Val::Variant(case, Some(code)) if case == "registration-code" => code_in(text_of(code, "code")).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailed_code_leads_to_a_token_that_tells_who_is_calling() {
    let user = Stage::of("user").answer(MAIL, "enqueue", |_| done()).start().await;
    user.post("/api/auth/register", &registration()).await.expect(201);
    let verify = json!({ "email": EMAIL, "otp": mailed_code(&user) });
    let session = user.post("/api/auth/verify-register-otp", &verify).await.expect(200);
    let token = session["token"].as_str().unwrap();

    let account = success(user.call(IDENTITY, "authenticate", vec![text(token)]).await);
    assert_eq!(text_of(&account, "email"), EMAIL);
    assert_eq!(text_of(&account, "name"), "Meera Nair");
    assert_eq!(field(&account, "role"), &Val::Enum("user".to_owned()));
    let got = success(user.call("cairn:user/accounts", "get", vec![text(text_of(&account, "id"))]).await);
    assert_eq!(got, account);

    // A code works once, and a token only as it was signed.
    user.post("/api/auth/verify-register-otp", &verify).await.expect(400);
    let (head, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for bad in [forged.as_str(), "", "a.b.c"] {
        assert_eq!(failure(&user.call(IDENTITY, "authenticate", vec![text(bad)]).await), "invalid-token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_without_mail_is_refused_and_a_second_try_works() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let mail = move |_: &[Val]| if is_down.load(Relaxed) { unavailable("the queue's disk is full") } else { done() };
    let user = Stage::of("user").answer(MAIL, "enqueue", mail).start().await;
    user.post("/api/auth/register", &registration()).await.expect_unavailable(&["disk", "queue", "notification"]);

    down.store(false, Relaxed);
    user.post("/api/auth/register", &registration()).await.expect(201);
    let verify = json!({ "email": EMAIL, "otp": mailed_code(&user) });
    user.post("/api/auth/verify-register-otp", &verify).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_make_an_account_for_a_customer_once_and_find_it_by_phone() {
    const CUSTOMERS: &str = "cairn:user/customers";
    let user = Stage::of("user").answer(MAIL, "enqueue", |_| done()).start().await;
    let new = |email: &str, phone: &str| {
        record([
            ("name", text("Arjun Pai")),
            ("email", text(email)),
            ("phone", text(phone)),
            ("address", none()),
            ("city", some(text("Mysuru"))),
            ("state", none()),
            ("zip-code", none()),
            ("country", none()),
        ])
    };
    let create = |email: &str, phone: &str| user.call(CUSTOMERS, "create", vec![new(email, phone)]);
    let made = success(create("arjun@example.org", "+91 98000-00002").await);
    assert_eq!(field(&made, "created-by-staff"), &Val::Bool(true));
    assert_eq!(failure(&create("arjun@example.org", "9800000003").await), "taken");
    assert_eq!(failure(&create("other@example.org", "9800000002").await), "taken");
    assert_eq!(failure(&create("nobody", "9800000004").await), "invalid");
    let found = success(user.call(CUSTOMERS, "find-by-phone", vec![text("98000 00002")]).await);
    assert_eq!(found, made);
    let got = user.call(CUSTOMERS, "get", vec![text(text_of(&made, "id"))]).await;
    assert_eq!(success(got), made);
    assert_eq!(failure(&user.call(CUSTOMERS, "find-by-phone", vec![text("9811111111")]).await), "not-found");
}
