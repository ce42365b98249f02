//! Accounts that staff make for customers.

use cairn_shared::validate::Email;
use cairn_user::{
    app::NewCustomer,
    domain::{AccountError, Contact},
};
use serde_json::json;

use crate::world::world;

fn new(name: &str, email: &str, phone: &str) -> NewCustomer {
    let contact = Contact { city: Some("Mysuru".into()), ..Contact::default() };
    NewCustomer { name: name.into(), email: Email::parse(email).unwrap(), phone: phone.into(), contact }
}

#[tokio::test]
async fn a_customer_is_found_by_the_number_however_it_is_written() {
    let world = world().await;
    let made = world.app.customer_create(&new("Arjun Pai", "arjun@example.org", "+919800000002")).await.unwrap();
    assert!(made.created_by_staff && made.verified && made.username == "arjunpai");
    for phone in ["9800000002", "+91 98000-00002", "919800000002"] {
        let found = world.app.customer_by_phone(phone).await.unwrap().expect(phone);
        assert_eq!((found.id, found.contact.city.as_deref()), (made.id, Some("Mysuru")), "{phone}");
    }
    assert!(world.app.customer_by_phone("9800000003").await.unwrap().is_none());
}

#[tokio::test]
async fn nobody_is_made_twice() {
    let world = world().await;
    world.app.customer_create(&new("Arjun Pai", "arjun@example.org", "9800000002")).await.unwrap();
    let again = world.app.customer_create(&new("Arjun", "other@example.org", "+919800000002")).await;
    assert!(matches!(again, Err(AccountError::PhoneTaken)));
    let again = world.app.customer_create(&new("Arjun", "arjun@example.org", "9800000009")).await;
    assert!(matches!(again, Err(AccountError::EmailTaken)));
    let namesake = world.app.customer_create(&new("Arjun Pai", "pai@example.org", "9800000010")).await.unwrap();
    assert_eq!(namesake.username, "arjunpai1");
    assert_eq!(world.count("users").await, 3, "the admin and two customers");
}

#[tokio::test]
async fn no_password_opens_the_account_of_a_new_customer() {
    let world = world().await;
    world.app.customer_create(&new("Arjun Pai", "arjun@example.org", "9800000002")).await.unwrap();
    for password in ["", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "arjunpai"] {
        let answer = world.post("/api/auth/login", json!({ "email": "arjun@example.org", "password": password })).await;
        assert!(answer.status == 400 || answer.status == 401, "{}: {}", answer.status, answer.body);
    }
}
