//! Batches that are called off: all of their bookings at once, and what owners choose.

mod world;

use cairn_booking::{
    app::{Message, News},
    domain::{Booking, DocumentKind, Kind, RefundStatus, Status},
    store,
};
use cairn_shared::{
    Id, Paise,
    http::Request,
    time::{DAY, MINUTE},
};
use serde_json::{Value, json};
use world::{World, admin, batch_id, caller, desk, later_batch};

/// What two people pay.
const TOTAL: i64 = 856_000;

const STAFF: &str = "actions.manageBookings";

async fn call_off(world: &World) -> (u16, Value) {
    let body = json!({ "batchId": batch_id(), "reason": "Snow on the pass", "bonusPercent": 10 });
    world.ask(Some(&admin()), "POST", "/api/bookings/call-offs", body).await
}

async fn progress(world: &World) -> Value {
    let (_, listed) = world.get(&admin(), "/api/bookings/call-offs").await;
    let id = listed["callOffs"][0]["id"].as_str().unwrap().to_owned();
    world.get(&admin(), &format!("/api/bookings/call-offs/{id}")).await.1
}

async fn choose(world: &World, who: &str, id: Id, body: Value) -> (u16, Value) {
    let who = if who == "Desk" { admin() } else { caller(who) };
    world.ask(Some(&who), "POST", &format!("/api/bookings/{id}/call-off"), body).await
}

/// A paid booking of two on a batch that is called off.
async fn called_off() -> (World, Id) {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    assert_eq!(call_off(&world).await.0, 200);
    (world, id)
}

fn to_later() -> Value {
    json!({ "choice": "batch", "batchId": later_batch().id })
}

async fn news(world: &World) -> Vec<News> {
    world.job("mails").await;
    let mails = world.outside.mails.borrow_mut().split_off(0);
    let notice = |message| if let Message::Notice(_, news) = message { Some(news) } else { None };
    mails.into_iter().filter_map(|mail| notice(mail.message)).collect()
}

/// Money is kept, or went where the booking says, and seats are where the booking is.
async fn check(world: &World, id: Id, what: &str) -> Booking {
    assert!(world.is_settled().await, "{what}: work is left");
    let booking = world.stored(id).await;
    let asked = world.outside.asked.borrow();
    let of_booking: Paise = asked.iter().filter(|(of, _)| *of == id).map(|(_, request)| request.amount).sum();
    assert_eq!(of_booking, booking.refunded, "{what}: refunds");
    assert!(booking.refunded <= booking.paid, "{what}");
    let holds = world.outside.holds.borrow();
    match booking.status.holds_seats() {
        true => assert_eq!((holds[&id].batch, holds[&id].seats), (booking.batch_id, booking.seats()), "{what}"),
        false => assert!(!holds.contains_key(&id), "{what}: seats of nobody"),
    }
    booking
}

#[tokio::test]
async fn a_preview_says_what_each_choice_gives_and_does_nothing() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    world.outside.batches.borrow_mut()[1].price = Paise::rupees(3_000);
    let body = json!({ "batchId": batch_id(), "bonusPercent": 10 });
    let (status, body) = world.ask(Some(&desk(STAFF)), "POST", "/api/bookings/call-offs/preview", body).await;
    assert_eq!(status, 200, "{body}");
    let found = &body["bookings"][0];
    assert_eq!((&found["_id"], &found["refund"], &found["voucher"]), (&json!(id), &json!(8_560), &json!(9_416)));
    // A thousand less for each of the two, with 5 % tax and 2 % for the provider.
    assert_eq!(
        (&found["batches"][0]["_id"], &found["batches"][0]["costsLess"]),
        (&json!(later_batch().id), &json!(2_140))
    );
    assert_eq!(body["totals"], json!({ "bookings": 1, "refund": 8_560, "voucher": 9_416 }));
    assert_eq!(world.status(id).await.as_deref(), Some("confirmed"));
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM call_offs").await, 0);
}

#[tokio::test]
async fn calling_off_frees_all_seats_keeps_the_money_and_asks_every_owner_once() {
    let world = World::new().await;
    let paid = world.confirmed(2).await;
    let unpaid = world.book_as(&caller("Arjun"), json!({})).await.1["_id"].as_str().unwrap().parse().unwrap();
    news(&world).await;
    for _ in 0..2 {
        let (status, body) = call_off(&world).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(
            body["counts"],
            json!({ "left": 0, "waiting": 1, "nothing": 1, "voucher": 0, "batch": 0, "refund": 0 })
        );
    }
    assert_eq!(world.outside.taken(batch_id()), 0);
    let booking = check(&world, paid, "paid").await;
    assert_eq!((booking.status, booking.refund_status), (Status::Cancelled, RefundStatus::Pending));
    assert_eq!(booking.refundable(), Paise(TOTAL));
    assert_eq!(world.status(unpaid).await.as_deref(), Some("cancelled"));
    assert!(world.outside.payables.borrow().is_empty());
    let told = news(&world).await;
    let asked: Vec<_> = told.iter().filter(|news| matches!(news, News::CalledOff { .. })).collect();
    let [News::CalledOff { refund, voucher, deadline, .. }] = asked.as_slice() else { panic!("{told:?}") };
    assert_eq!((refund.0, voucher.0), (TOTAL, TOTAL + TOTAL / 10));
    assert_eq!(*deadline, cairn_shared::Timestamp::from_millis(world::NOW + 7 * DAY));
    let (status, body) = world.book_as(&caller("Ravi"), json!({})).await;
    assert_eq!((status, body["message"].as_str()), (400, Some("This batch is no longer open for booking")));
    let (status, body) = world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{paid}/restore"), json!({})).await;
    assert_eq!(status, 400, "its owner has something to choose: {body}");
    // Who was at the checkout meanwhile gets that money back.
    assert_eq!(world.captured_paise(unpaid, "pay_late", Kind::Full, Paise(TOTAL)).await, 204);
    assert_eq!(check(&world, unpaid, "late").await.refunded, Paise(TOTAL));
}

#[tokio::test]
async fn money_goes_back_in_full_whatever_the_policy_would_keep() {
    let (world, id) = called_off().await;
    news(&world).await;
    world.advance(2 * DAY);
    for _ in 0..2 {
        let (status, body) = choose(&world, "Meera", id, json!({ "choice": "refund" })).await;
        assert_eq!((status, &body["booking"]["callOff"]["choice"]), (200, &json!("refund")), "{body}");
    }
    let booking = check(&world, id, "refund").await;
    assert_eq!((booking.refunded, booking.refund_status), (Paise(TOTAL), RefundStatus::Processing));
    let told = news(&world).await;
    assert!(matches!(told.as_slice(), [News::Cancelled { refund: Some(_), .. }]), "{told:?}");
    for other in [json!({ "choice": "voucher" }), to_later()] {
        let (status, body) = choose(&world, "Meera", id, other).await;
        assert_eq!(status, 400, "{body}");
    }
    assert_eq!(progress(&world).await["counts"]["refund"], json!(1));
}

#[tokio::test]
async fn a_voucher_has_all_that_was_paid_and_the_bonus_and_its_code_is_mailed() {
    let (world, id) = called_off().await;
    news(&world).await;
    for _ in 0..2 {
        let (status, body) = choose(&world, "Meera", id, json!({ "choice": "voucher" })).await;
        assert_eq!(status, 200, "{body}");
        assert!(!body.to_string().contains("CODE-"), "{body}");
    }
    let booking = check(&world, id, "voucher").await;
    let request = booking.refund_requests[0].clone();
    assert_eq!(world.refund_told(&request, id, "success").await, 204);
    assert_eq!(world.stored(id).await.refund_status, RefundStatus::Success);
    let told = news(&world).await;
    let [News::VoucherIssued { code, amount, expires_at }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((code.as_str(), amount.0), ("CODE-0", TOTAL + TOTAL / 10));
    assert_eq!(expires_at.millis(), world::NOW + 365 * DAY);
    let documents = store::document_list(&world.app.db, id).await.unwrap();
    let documents: Vec<_> = documents.iter().map(|document| (document.kind, document.amount.0)).collect();
    assert_eq!(documents, [(DocumentKind::CreditNote, TOTAL), (DocumentKind::Invoice, TOTAL)]);
}

#[tokio::test]
async fn another_batch_costs_no_more_and_what_it_costs_less_goes_back() {
    for (price, less) in [(3_000, 214_000), (4_000, 0), (5_000, 0)] {
        let (world, id) = called_off().await;
        world.outside.batches.borrow_mut()[1].price = Paise::rupees(price);
        news(&world).await;
        for _ in 0..2 {
            let (status, body) = choose(&world, "Meera", id, to_later()).await;
            assert_eq!(status, 200, "{body}");
        }
        let booking = check(&world, id, "batch").await;
        assert_eq!((booking.status, booking.batch_id), (Status::Confirmed, later_batch().id), "{price}");
        assert_eq!((booking.refunded.0, booking.due_total().0, booking.seats()), (less, TOTAL - less, 2));
        assert!(booking.participants.iter().all(|participant| !participant.is_cancelled));
        let told = news(&world).await;
        assert!(matches!(told.as_slice(), [News::DatesChanged { .. }]), "{told:?}");
        assert_eq!(progress(&world).await["counts"]["batch"], json!(1));
        // It is a booking like any other: cancelled in full, exactly the rest goes back.
        let body = json!({ "refundType": "full" });
        assert_eq!(world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}/cancel"), body).await.0, 200);
        assert_eq!(check(&world, id, "cancelled").await.refunded, Paise(TOTAL), "{price}");
    }
}

#[tokio::test]
async fn cheaper_dates_lessen_a_balance_first() {
    let world = World::new().await;
    let id = world.booked(json!({ "paymentMode": "partial" })).await;
    let initial = world.stored(id).await.partial.unwrap().initial;
    world.captured_paise(id, "pay_1", Kind::Initial, initial).await;
    world.outside.batches.borrow_mut()[1].price = Paise::rupees(3_000);
    call_off(&world).await;
    assert_eq!(choose(&world, "Meera", id, to_later()).await.0, 200);
    let booking = check(&world, id, "balance").await;
    assert_eq!((booking.status, booking.refunded), (Status::PaymentConfirmedPartial, Paise::ZERO));
    let owed = Paise(TOTAL - 214_000) - initial;
    assert_eq!(booking.partial.unwrap().remaining, owed);
    assert_eq!(world.outside.payables.borrow()[&id].amount, owed);
    world.captured_paise(id, "pay_2", Kind::Balance, owed).await;
    assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"));
}

#[tokio::test]
async fn who_was_cancelled_before_does_not_come_back() {
    let world = World::new().await;
    let id = world.confirmed(3).await;
    let first = world.stored(id).await.participants[0].id;
    let path = format!("/api/bookings/{id}/participants/{first}/cancel");
    assert_eq!(world.ask(Some(&caller("Meera")), "PUT", &path, json!({})).await.0, 200);
    let before = world.stored(id).await;
    call_off(&world).await;
    assert_eq!(choose(&world, "Meera", id, to_later()).await.0, 200);
    let after = check(&world, id, "moved").await;
    assert_eq!((after.seats(), after.refunded), (2, before.refunded));
    assert!(after.participants[0].is_cancelled && !after.participants[1].is_cancelled);
}

#[tokio::test]
async fn after_the_deadline_money_goes_back_by_itself_and_staff_may_still_choose() {
    let (world, id) = called_off().await;
    let other = world.ask(Some(&caller("Meera")), "GET", &format!("/api/bookings/{id}/call-off"), Value::Null).await;
    assert_eq!((other.0, &other.1["callOff"]["awaitsChoice"]), (200, &json!(true)), "{}", other.1);
    assert_eq!(world.job("call-offs").await, 204);
    assert!(world.stored(id).await.awaits_choice(), "it is not the time yet");
    world.advance(7 * DAY);
    let (status, body) = choose(&world, "Meera", id, json!({ "choice": "voucher" })).await;
    assert_eq!((status, &body["detail"]), (400, &json!("The time to choose is over: the money goes back")));
    for _ in 0..2 {
        assert_eq!(world.job("call-offs").await, 204);
    }
    assert_eq!(check(&world, id, "default").await.refunded, Paise(TOTAL));
    assert!(progress(&world).await["callOff"]["finishedAt"].is_string());

    let (world, id) = called_off().await;
    world.advance(7 * DAY);
    assert_eq!(choose(&world, "Desk", id, json!({ "choice": "voucher" })).await.0, 200);
    assert_eq!(check(&world, id, "by staff").await.called_off.unwrap().chosen_by, Some(admin().id));
}

#[tokio::test]
async fn a_batch_without_room_is_not_offered_and_not_given() {
    let (world, id) = called_off().await;
    world.outside.batches.borrow_mut()[1].taken = 4;
    let (_, body) = world.get(&caller("Meera"), &format!("/api/bookings/{id}/call-off")).await;
    assert_eq!(body["batches"], json!([]));
    assert_eq!(choose(&world, "Meera", id, to_later()).await.0, 400, "one seat is reserved for staff");
    assert_eq!(choose(&world, "Desk", id, to_later()).await.0, 200);
    assert_eq!(world.stored(id).await.batch_id, later_batch().id);
}

#[tokio::test]
async fn the_link_in_the_mail_is_enough_and_no_other_link_is() {
    let (world, id) = called_off().await;
    let link = news(&world).await.into_iter().find_map(|news| match news {
        News::CalledOff { link, .. } => Some(link),
        _ => None,
    });
    let path = link.unwrap();
    let path = &path[path.find("/api/").unwrap()..];
    let (status, body) = world.ask(None, "GET", path, Value::Null).await;
    assert_eq!((status, &body["refund"], body.get("contact")), (200, &json!(8_560), None), "{body}");
    let forged = format!("/api/bookings/call-offs/choice/{id}{}", Id::derive(&["guess"]));
    for wrong in [forged.as_str(), "/api/bookings/call-offs/choice/x", &path[..path.len() - 1]] {
        assert_eq!(world.ask(None, "GET", wrong, Value::Null).await.0, 404, "{wrong}");
        assert_eq!(world.ask(None, "POST", wrong, json!({ "choice": "refund" })).await.0, 404, "{wrong}");
    }
    let html = |method: &str, body: &str| {
        let mut request = Request::new(method, path).with_header("accept", "text/html");
        request.body = body.as_bytes().to_vec();
        world.send(request)
    };
    let page = html("GET", "").await;
    let text = String::from_utf8(page.body).unwrap();
    for shown in ["value=\"voucher\"", "value=\"refund\"", &format!("value=\"batch-{}\"", later_batch().id), "Snow"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert_eq!(html("POST", "choice=nonsense").await.status, 400);
    let page = html("POST", "choice=refund").await;
    assert_eq!(page.status, 200);
    assert!(String::from_utf8(page.body).unwrap().contains("8560"), "what goes back");
    assert_eq!(check(&world, id, "by link").await.refunded, Paise(TOTAL));
}

#[tokio::test]
async fn who_may_do_what() {
    let (world, id) = called_off().await;
    let (_, listed) = world.get(&admin(), "/api/bookings/call-offs").await;
    let off = listed["callOffs"][0]["id"].as_str().unwrap();
    let (meera, stranger, clerk, chief) = (caller("Meera"), caller("Arjun"), desk(STAFF), admin());
    let body = json!({ "batchId": batch_id(), "reason": "x" });
    for (method, path, statuses) in [
        ("POST", "/api/bookings/call-offs/preview".to_owned(), [401, 403, 403, 200, 200]),
        ("POST", "/api/bookings/call-offs".into(), [401, 403, 403, 403, 200]),
        ("GET", "/api/bookings/call-offs".into(), [401, 403, 403, 200, 200]),
        ("GET", format!("/api/bookings/call-offs/{off}"), [401, 403, 403, 200, 200]),
        ("GET", format!("/api/bookings/{id}/call-off"), [401, 200, 404, 200, 200]),
        ("POST", format!("/api/bookings/{id}/call-off"), [401, 400, 404, 400, 400]),
    ] {
        let who = [None, Some(&meera), Some(&stranger), Some(&clerk), Some(&chief)];
        for (who, expected) in who.into_iter().zip(statuses) {
            let body = if method == "GET" { Value::Null } else { body.clone() };
            let (status, answer) = world.ask(who, method, &path, body).await;
            assert_eq!(status, expected, "{method} {path} {:?}: {answer}", who.map(|who| &who.name));
        }
    }
    for bad in [
        json!({ "batchId": batch_id() }),
        json!({ "batchId": "x", "reason": "y" }),
        json!({ "batchId": batch_id(), "reason": "y", "bonusPercent": 101 }),
        json!({ "batchId": batch_id(), "reason": "y", "days": 0 }),
        json!({ "batchId": Id::derive(&["none"]), "reason": "y" }),
    ] {
        assert_eq!(world.ask(Some(&chief), "POST", "/api/bookings/call-offs", bad.clone()).await.0, 400, "{bad}");
    }
    let nothing = world.confirmed_elsewhere().await;
    assert_eq!(choose(&world, "Desk", nothing, json!({ "choice": "refund" })).await.0, 404, "its batch takes place");
}

#[tokio::test]
async fn two_choices_at_once_are_one() {
    let (world, id) = called_off().await;
    let ((a, _), (b, _), (c, _)) = tokio::join!(
        choose(&world, "Meera", id, json!({ "choice": "voucher" })),
        choose(&world, "Desk", id, json!({ "choice": "refund" })),
        choose(&world, "Meera", id, to_later()),
    );
    let worked = [a, b, c].into_iter().filter(|status| *status == 200).count();
    assert_eq!(worked, 1, "{a} {b} {c}");
    world.recover().await;
    let booking = check(&world, id, "at once").await;
    let moved = booking.batch_id == later_batch().id;
    assert_eq!(booking.refunded, if moved { Paise::ZERO } else { Paise(TOTAL) });
    assert!(world.outside.places.borrow().is_empty());
}

#[tokio::test]
async fn a_payment_that_comes_after_the_choice_goes_back_whole() {
    let (world, id) = called_off().await;
    world.outside.stop_after.set(Some(0));
    assert_eq!(choose(&world, "Meera", id, json!({ "choice": "voucher" })).await.0, 200);
    world.advance(MINUTE + 1);
    assert_eq!(world.captured_paise(id, "pay_late", Kind::Full, Paise(TOTAL)).await, 204);
    world.outside.stop_after.set(None);
    world.recover().await;
    let asked = world.outside.asked.borrow().clone();
    let asked: Vec<_> = asked.iter().map(|(_, request)| (request.payment.as_deref(), request.amount.0)).collect();
    assert_eq!(asked, [(Some("pay_late"), TOTAL), (None, TOTAL)], "what names no payment takes what is left");
    assert_eq!(check(&world, id, "late").await.refundable(), Paise::ZERO);
}

/// Services that stop at every step, once before and once after they did what they were
/// asked: the job brings everything to its end.
#[tokio::test]
async fn a_call_off_that_dies_anywhere_is_finished_by_the_job() {
    let mut died = 0;
    for steps in 0..8 {
        for lost_answer in [false, true] {
            let what = format!("step {steps}, lost answer {lost_answer}");
            let world = World::new().await;
            let id = world.confirmed(2).await;
            let unpaid = world.book_as(&caller("Arjun"), json!({})).await.1["_id"].as_str().unwrap().parse().unwrap();
            world.outside.stop_after.set(Some(steps));
            world.outside.lost_answer.set(lost_answer);
            call_off(&world).await;
            world.outside.stop_after.set(None);
            died += u32::from(world.stored(id).await.called_off.is_none());
            world.advance(MINUTE + 1);
            world.job("call-offs").await;
            world.recover().await;
            assert!(check(&world, id, &what).await.awaits_choice(), "{what}");
            check(&world, unpaid, &what).await;
            assert_eq!(world.outside.taken(batch_id()), 0, "{what}");
            let told = news(&world).await;
            assert_eq!(told.iter().filter(|news| matches!(news, News::CalledOff { .. })).count(), 1, "{what}");
        }
    }
    assert!(died > 0);
}

#[tokio::test]
async fn a_choice_that_dies_anywhere_is_made_once_or_can_be_made_again() {
    for choice in [json!({ "choice": "refund" }), json!({ "choice": "voucher" }), to_later()] {
        for steps in 0..6 {
            for lost_answer in [false, true] {
                let what = format!("{choice}, step {steps}, lost answer {lost_answer}");
                let (world, id) = called_off().await;
                world.outside.batches.borrow_mut()[1].price = Paise::rupees(3_000);
                world.outside.stop_after.set(Some(steps));
                world.outside.lost_answer.set(lost_answer);
                let (worked, _) = choose(&world, "Meera", id, choice.clone()).await;
                world.recover().await;
                let booking = check(&world, id, &what).await;
                if worked == 200 {
                    assert!(!booking.awaits_choice(), "{what}");
                }
                let (status, body) = choose(&world, "Meera", id, choice.clone()).await;
                assert_eq!(status, 200, "{what}: {body}");
                let booking = check(&world, id, &what).await;
                let moved = booking.batch_id == later_batch().id;
                assert_eq!(booking.refunded, Paise(if moved { 214_000 } else { TOTAL }), "{what}");
                assert!(world.outside.places.borrow().is_empty(), "{what}");
            }
        }
    }
}
