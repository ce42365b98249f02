//! Vouchers that are bought for somebody.

mod world;

use cairn_booking::{app::Message, domain::Kind};
use cairn_shared::{
    Id, Paise,
    time::{DAY, HOUR},
};
use serde_json::{Value, json};
use world::{World, admin, caller};

fn wish(changes: Value) -> Value {
    let mut body =
        json!({ "amount": 500, "from": "Meera", "to": "Asha", "email": "asha@example.org", "words": "Walk" });
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body
}

async fn bought(world: &World, changes: Value) -> Id {
    let made = world.ask(Some(&caller("Meera")), "POST", "/api/bookings/gifts", wish(changes)).await;
    assert_eq!((made.0, &made.1["status"]), (201, &json!("open")), "{}", made.1);
    made.1["id"].as_str().unwrap().parse().unwrap()
}

async fn paid(world: &World, changes: Value) -> Id {
    let id = bought(world, changes).await;
    assert_eq!(world.captured_paise(id, &format!("pay_{id}"), Kind::Full, Paise::rupees(500)).await, 204);
    world.outside.payables.borrow_mut().remove(&id);
    id
}

async fn status(world: &World, id: Id) -> String {
    let (_, mine) = world.get(&caller("Meera"), "/api/bookings/gifts/mine").await;
    let gifts = mine["gifts"].as_array().unwrap();
    let found = gifts.iter().find(|gift| gift["id"] == json!(id)).unwrap();
    found["status"].as_str().unwrap().to_owned()
}

async fn refund(world: &World, who: &str, id: Id) -> (u16, Value) {
    let who = if who == "Desk" { admin() } else { caller(who) };
    world.ask(Some(&who), "POST", &format!("/api/bookings/gifts/{id}/refund"), json!({})).await
}

/// Codes that were mailed, with who got them.
fn mailed(world: &World) -> Vec<(String, String)> {
    let mails = world.outside.mails.borrow();
    let code = |message: &Message| if let Message::Gift { code, .. } = message { Some(code.clone()) } else { None };
    mails.iter().filter_map(|mail| Some((mail.email.clone(), code(&mail.message)?))).collect()
}

#[tokio::test]
async fn a_gift_is_paid_then_a_voucher_then_mailed_once() {
    let world = World::new().await;
    let id = bought(&world, json!({})).await;
    let owed = world.outside.payables.borrow()[&id].clone();
    assert_eq!((owed.amount, owed.user_id), (Paise::rupees(500), caller("Meera").id));
    for payment in ["pay_1", "pay_1"] {
        assert_eq!(world.captured_paise(id, payment, Kind::Full, Paise::rupees(500)).await, 204);
    }
    assert_eq!(status(&world, id).await, "paid");
    for _ in 0..2 {
        assert_eq!(world.job("gifts").await, 204);
    }
    assert_eq!(status(&world, id).await, "issued");
    assert_eq!(mailed(&world), [("asha@example.org".to_owned(), "GIFT-0".to_owned())]);
    assert!(world.outside.refunds.borrow().is_empty(), "it is no payment for nothing");
}

#[tokio::test]
async fn a_gift_is_mailed_on_its_day() {
    let world = World::new().await;
    let day = world.app.env.now().plus(10 * DAY);
    let id = paid(&world, json!({ "deliverAt": day })).await;
    world.job("gifts").await;
    assert_eq!((status(&world, id).await.as_str(), mailed(&world).len()), ("issued", 0));
    world.advance(10 * DAY);
    world.job("gifts").await;
    assert_eq!(mailed(&world).len(), 1);
    let valid = world.outside.credits.borrow().values().next().unwrap().expires_at;
    assert_eq!(valid, day.plus(365 * DAY));
}

#[tokio::test]
async fn a_gift_that_nobody_pays_is_over_and_one_that_is_paid_late_is_not() {
    let world = World::new().await;
    let id = bought(&world, json!({})).await;
    world.advance(HOUR);
    world.job("gifts").await;
    assert_eq!(status(&world, id).await, "expired");
    assert!(world.outside.payables.borrow().is_empty());
    assert_eq!(refund(&world, "Meera", id).await.0, 400);
    world.captured_paise(id, "pay_late", Kind::Full, Paise::rupees(500)).await;
    world.job("gifts").await;
    assert_eq!(status(&world, id).await, "issued");
}

#[tokio::test]
async fn money_of_an_unspent_gift_goes_back_to_its_buyer() {
    let world = World::new().await;
    let id = paid(&world, json!({})).await;
    assert_eq!(refund(&world, "Meera", id).await.0, 409, "it is being made a voucher");
    world.job("gifts").await;
    assert_eq!(refund(&world, "Arjun", id).await.0, 404);
    *world.outside.refund_refusal.borrow_mut() = Some("spent".into());
    let (code, body) = refund(&world, "Meera", id).await;
    assert_eq!((code, status(&world, id).await.as_str()), (400, "issued"), "{body}");
    *world.outside.refund_refusal.borrow_mut() = None;
    for _ in 0..2 {
        let (code, body) = refund(&world, "Desk", id).await;
        assert_eq!((code, &body["status"]), (200, &json!("returned")), "{body}");
    }
    assert!(world.outside.returned.borrow().contains(&id));
}

#[tokio::test]
async fn who_may_do_what_and_what_makes_no_sense() {
    let world = World::new().await;
    for (method, path) in [("POST", ""), ("GET", "/mine"), ("GET", "")] {
        let path = format!("/api/bookings/gifts{path}");
        assert_eq!(world.ask(None, method, &path, wish(json!({}))).await.0, 401, "{method} {path}");
    }
    assert_eq!(world.get(&caller("Meera"), "/api/bookings/gifts").await.0, 403);
    for bad in [json!({ "amount": 99 }), json!({ "amount": null }), json!({ "email": "x" }), json!({ "to": " " })] {
        let made = world.ask(Some(&caller("Meera")), "POST", "/api/bookings/gifts", wish(bad.clone())).await;
        assert_eq!(made.0, 400, "{bad}");
    }
    let id = bought(&world, json!({})).await;
    let (code, listed) = world.get(&admin(), "/api/bookings/gifts").await;
    assert_eq!((code, &listed["gifts"][0]["id"], &listed["pagination"]["total"]), (200, &json!(id), &json!(1)));
}

#[tokio::test]
async fn a_gift_that_dies_anywhere_is_issued_and_mailed_once_or_returned_once() {
    for returns in [false, true] {
        for steps in 0..3 {
            for lost_answer in [false, true] {
                let what = format!("returns {returns}, step {steps}, lost answer {lost_answer}");
                let world = World::new().await;
                let id = paid(&world, json!({})).await;
                if returns {
                    world.job("gifts").await;
                }
                world.outside.stop_after.set(Some(steps));
                world.outside.lost_answer.set(lost_answer);
                if returns {
                    refund(&world, "Meera", id).await;
                } else {
                    world.job("gifts").await;
                }
                world.outside.stop_after.set(None);
                assert_eq!(world.job("gifts").await, 204, "{what}");
                let expected = if returns { "returned" } else { "issued" };
                assert_eq!(status(&world, id).await, expected, "{what}");
                assert_eq!((mailed(&world).len(), world.outside.credits.borrow().len()), (1, 1), "{what}");
            }
        }
    }
}
