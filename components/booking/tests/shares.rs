//! Prices that several people pay: shared, paid by links, over at a deadline.

mod world;

use cairn_booking::{
    app::{Message, News},
    domain::{Booking, Kind, Status},
};
use cairn_shared::{
    Id, Paise,
    http::{Request, Response},
    time::{DAY, HOUR},
};
use serde_json::{Value, json};
use world::{World, admin, caller, desk, people};

/// Four seats that wait for their payment, with everybody's details.
async fn booked(world: &World, count: u32) -> Id {
    let id = world.booked(json!({ "numberOfParticipants": count })).await;
    let path = format!("/api/bookings/{id}/participants");
    let (status, body) = world.ask(Some(&caller("Meera")), "PUT", &path, people(count as usize)).await;
    assert_eq!(status, 200, "{body}");
    id
}

async fn split(world: &World, id: Id, body: Value) -> (u16, Value) {
    world.advance(1);
    world.ask(Some(&caller("Meera")), "PUT", &format!("/api/bookings/{id}/split"), body).await
}

/// Participants 1 and 2 together, and 3, pay by themselves; the owner pays for participant 0.
async fn shared(world: &World) -> (Id, [Id; 2]) {
    let id = booked(world, 4).await;
    let who: Vec<_> = world.stored(id).await.participants.iter().map(|participant| participant.id).collect();
    let shares = json!([
        { "participants": [who[1], who[2]], "name": "Asha Rao", "email": "asha@example.org" },
        { "participants": [who[3]] },
    ]);
    let (status, body) = split(world, id, json!({ "hours": 48, "shares": shares })).await;
    assert_eq!(status, 200, "{body}");
    let share = |n: usize| body["shares"][n]["id"].as_str().unwrap().parse().unwrap();
    (id, [share(0), share(1)])
}

async fn own_part(world: &World, id: Id) -> Paise {
    world.stored(id).await.partial.unwrap().initial
}

/// As [`shared`], and the owner has paid.
async fn begun(world: &World) -> (Id, [Id; 2]) {
    let (id, shares) = shared(world).await;
    let own = own_part(world, id).await;
    assert_eq!(world.captured_paise(id, "pay_own", Kind::Initial, own).await, 204);
    (id, shares)
}

async fn pay(world: &World, id: Id, share: Id, payment: &str, amount: Paise) -> u16 {
    let data = json!({ "bookingId": id, "paymentId": payment, "orderId": format!("order_{payment}"), "kind": "balance",
        "amountPaise": amount.0, "method": "upi", "capturedAt": world.clock.get(), "shareId": share });
    let status = world.event("payment.captured", data).await;
    world.job("settle").await;
    status
}

fn amount(booking: &Booking, share: Id) -> Paise {
    booking.price_for(&booking.share_with(share).unwrap().participants)
}

async fn seen(world: &World, id: Id) -> Value {
    let (status, body) =
        world.ask(Some(&caller("Meera")), "GET", &format!("/api/bookings/{id}/split"), Value::Null).await;
    assert_eq!(status, 200, "{body}");
    body
}

fn states(seen: &Value) -> Vec<&str> {
    seen["shares"].as_array().unwrap().iter().map(|share| share["state"].as_str().unwrap()).collect()
}

/// The path of a share's link.
fn path(seen: &Value, n: usize) -> String {
    seen["shares"][n]["link"].as_str().unwrap().trim_start_matches("https://api.example.org").to_owned()
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// What mails about shares went to whom, sorted.
async fn mails(world: &World) -> Vec<(String, String)> {
    assert_eq!(world.job("mails").await, 204);
    let mut told: Vec<_> = world
        .outside
        .mails
        .borrow_mut()
        .drain(..)
        .filter_map(|mail| match mail.message {
            Message::Notice(_, News::ShareAsked { by, amount, link, .. }) => {
                assert!(by == "Meera" && link.starts_with("https://api.example.org/api/bookings/split/"));
                Some((mail.email, format!("asked {amount}")))
            }
            Message::Notice(_, News::SharePaid { payment_id, .. }) => Some((mail.email, format!("paid {payment_id}"))),
            Message::Notice(_, News::SeatCancelled { .. }) => Some((mail.email, "off".into())),
            Message::Notice(_, News::Confirmed { .. }) => Some((mail.email, "confirmed".into())),
            _ => None,
        })
        .collect();
    told.sort();
    told
}

fn told(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(to, what)| ((*to).to_owned(), (*what).to_owned())).collect()
}

#[tokio::test]
async fn everybody_pays_a_share_and_together_they_pay_the_price_to_the_paisa() {
    let world = World::new().await;
    let (id, shares) = shared(&world).await;
    let booking = world.stored(id).await;
    let parts = [own_part(&world, id).await, amount(&booking, shares[0]), amount(&booking, shares[1])];
    assert_eq!(parts.iter().copied().sum::<Paise>(), booking.price.total);
    let owed = world.outside.payables.borrow()[&id].clone();
    assert_eq!((owed.kind, owed.amount, owed.shares.len()), (Kind::Initial, parts[0], 0));
    assert_eq!(states(&seen(&world, id).await), ["waiting", "waiting"]);
    assert_eq!(mails(&world).await, []);

    assert_eq!(world.captured_paise(id, "pay_own", Kind::Initial, parts[0]).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("payment_confirmed_partial"));
    let owed = world.outside.payables.borrow()[&id].clone();
    assert_eq!((owed.kind, owed.amount), (Kind::Balance, parts[1] + parts[2]));
    assert_eq!(owed.shares.iter().map(|share| share.amount).collect::<Vec<_>>(), parts[1..]);
    let asked =
        [("asha@example.org", format!("asked {}", parts[1])), ("p3@example.org", format!("asked {}", parts[2]))];
    assert_eq!(mails(&world).await, asked.map(|(to, what)| (to.to_owned(), what)));

    for _ in 0..2 {
        assert_eq!(pay(&world, id, shares[1], "pay_3", parts[2]).await, 204);
    }
    assert_eq!(world.outside.payables.borrow()[&id].shares.len(), 1);
    assert_eq!(states(&seen(&world, id).await), ["open", "paid"]);
    assert_eq!(mails(&world).await, told(&[("p3@example.org", "paid pay_3")]));
    assert_eq!(pay(&world, id, shares[0], "pay_12", parts[1]).await, 204);
    let paid = world.stored(id).await;
    assert_eq!((paid.status, paid.paid), (Status::Confirmed, paid.price.total));
    assert!(!world.outside.payables.borrow().contains_key(&id));
    let confirmed = mails(&world).await;
    assert!(confirmed.contains(&("asha@example.org".into(), "paid pay_12".into())));
    assert_eq!(confirmed.iter().filter(|(_, what)| what == "confirmed").count(), 5, "{confirmed:?}");
}

#[tokio::test]
async fn the_owner_can_pay_all_that_is_left() {
    let world = World::new().await;
    let (id, shares) = begun(&world).await;
    let booking = world.stored(id).await;
    pay(&world, id, shares[0], "pay_12", amount(&booking, shares[0])).await;
    let rest = amount(&booking, shares[1]);
    assert_eq!(world.captured_paise(id, "pay_rest", Kind::Balance, rest).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("confirmed"));
    assert_eq!(states(&seen(&world, id).await), ["paid", "closed"]);
    world.advance(3 * DAY);
    assert_eq!(world.job("expire").await, 204);
    assert_eq!(world.stored(id).await.seats(), 4, "nobody owes anything");
}

#[tokio::test]
async fn who_has_not_paid_at_the_deadline_does_not_come_and_the_others_do() {
    let world = World::new().await;
    let (id, shares) = begun(&world).await;
    let booking = world.stored(id).await;
    pay(&world, id, shares[0], "pay_12", amount(&booking, shares[0])).await;
    mails(&world).await;
    // The deadline is the end of a day as the business has it.
    let deadline = booking.split.as_ref().unwrap().deadline;
    assert_eq!(deadline.plus(1), world.app.env.zone.start_of_day(deadline.plus(1)));
    assert!((48 * HOUR..72 * HOUR).contains(&deadline.since(booking.created_at)));
    world.advance(deadline.millis() - world.clock.get() - 2);
    assert_eq!(world.job("expire").await, 204);
    assert_eq!(world.stored(id).await.seats(), 4);
    // Somebody has just asked to pay: that is waited for.
    let order = json!({ "bookingId": id, "orderId": "order_3", "kind": "balance", "amountPaise": 1 });
    assert_eq!(world.event("payment.order_created", order).await, 204);
    world.advance(2);
    assert_eq!(world.job("expire").await, 204);
    assert_eq!(world.stored(id).await.seats(), 4);
    let planned = async || world.app.job_plan(cairn_booking::app::Job::Expire).await.unwrap();
    assert_eq!((planned().await.act.len(), planned().await.skip.len()), (0, 1));
    world.advance(HOUR);
    assert_eq!((planned().await.act.len(), planned().await.skip.len()), (1, 0));
    assert_eq!(world.job("expire").await, 204);
    let left = world.stored(id).await;
    assert_eq!((left.seats(), left.status), (3, Status::Confirmed));
    assert!(left.participants[3].is_cancelled && left.refund_requests.is_empty());
    assert_eq!((left.paid, left.due_total()), (left.paid, left.paid), "nobody owes anything");
    assert_eq!(world.outside.holds.borrow()[&id].seats, 3);
    assert!(!world.outside.payables.borrow().contains_key(&id));
    let mails = mails(&world).await;
    assert!(mails.contains(&("p3@example.org".into(), "off".into())), "{mails:?}");
    assert_eq!(mails.iter().filter(|(_, what)| what == "confirmed").count(), 4, "{mails:?}");
    assert!(world.is_settled().await);
    // Who pays now gets it back, alone.
    pay(&world, id, shares[1], "pay_late", amount(&booking, shares[1])).await;
    assert_eq!(world.stored(id).await.status, Status::Confirmed);

    // Staff let them come after all: they get time to pay.
    let participant = left.participants[3].id;
    let restore = format!("/api/bookings/{id}/participants/{participant}/restore");
    assert_eq!(world.ask(Some(&admin()), "PUT", &restore, Value::Null).await.0, 200);
}

#[tokio::test]
async fn each_gets_back_of_their_own_and_nobody_bears_the_charge_of_another() {
    let world = World::new().await;
    let (id, shares) = begun(&world).await;
    let booking = world.stored(id).await;
    let (own, two) = (own_part(&world, id).await, amount(&booking, shares[0]));
    pay(&world, id, shares[0], "pay_12", two).await;
    // Ten days before the start half of it goes back.
    world.advance(20 * DAY - 2 * HOUR);
    let path = format!("/api/bookings/{id}/cancel");
    let preview = json!({ "cancellationType": "entire", "refundType": "auto" });
    let (status, shown) =
        world.ask(Some(&admin()), "POST", &format!("/api/bookings/{id}/calculate-refund"), preview).await;
    let (cancelled, body) = world.ask(Some(&admin()), "PUT", &path, json!({ "refundType": "auto" })).await;
    assert_eq!(cancelled, 200, "{body}");
    let half = |amount: Paise| Paise(amount.0 / 2).round_to_rupee();
    let asked = world.outside.asked.borrow().clone();
    let mut parts: Vec<_> = asked.iter().map(|(_, request)| (request.payment.clone(), request.amount)).collect();
    parts.sort();
    assert_eq!(parts, [(None, half(own)), (Some("pay_12".into()), half(two))]);
    assert_eq!((status, &shown["totalRefund"]), (200, &json!(half(own) + half(two))), "{shown}");
    // What arrives for a share now goes back to whoever paid.
    pay(&world, id, shares[1], "pay_late", amount(&booking, shares[1])).await;
    let asked = world.outside.asked.borrow().clone();
    assert_eq!(asked.last().unwrap().1.payment.as_deref(), Some("pay_late"));
}

#[tokio::test]
async fn a_participant_who_goes_takes_an_unpaid_share_along_and_gets_a_paid_one_back() {
    let world = World::new().await;
    let (id, shares) = begun(&world).await;
    let before = world.stored(id).await;
    let cancel = async |n: usize| {
        world.advance(1);
        let path = format!("/api/bookings/{id}/participants/{}/cancel", before.participants[n].id);
        let (status, body) = world.ask(Some(&caller("Meera")), "PUT", &path, json!({ "reason": "ill" })).await;
        assert_eq!(status, 200, "{body}");
    };
    // One of the two of the first share, which is not paid: it comes to less.
    cancel(1).await;
    let after = world.stored(id).await;
    assert_eq!(amount(&after, shares[0]), before.share(2));
    assert!(after.refund_requests.is_empty());
    let owed = world.outside.payables.borrow()[&id].clone();
    assert_eq!(owed.shares.iter().map(|share| share.amount).collect::<Vec<_>>(), [before.share(2), before.share(3)]);
    assert_eq!(owed.amount, before.share(2) + before.share(3));
    pay(&world, id, shares[0], "pay_2", before.share(2)).await;
    cancel(2).await;
    let asked = world.outside.asked.borrow().clone();
    let [(_, back)] = asked.as_slice() else { panic!("one refund") };
    assert_eq!((back.payment.as_deref(), back.amount), (Some("pay_2"), before.share(2)));
    // The last who owes something goes: everything is paid, so it is confirmed.
    cancel(3).await;
    assert_eq!(world.stored(id).await.status, Status::Confirmed);
}

#[tokio::test]
async fn a_link_shows_its_share_alone_and_can_be_replaced() {
    let world = World::new().await;
    let (id, shares) = begun(&world).await;
    mails(&world).await;
    let view = seen(&world, id).await;
    let (status, share) = world.ask(None, "GET", &path(&view, 0), Value::Null).await;
    assert_eq!((status, &share["state"], &share["for"]), (200, &json!("open"), &json!(["Person 1", "Person 2"])));
    let text = share.to_string();
    assert!(!text.contains('@') && !text.contains("9800000001") && !text.contains("Person 0"), "{text}");
    let page = Request::new("GET", &path(&view, 0)).with_header("accept", "text/html");
    let page = world.send(page).await;
    let html = String::from_utf8(page.body.clone()).unwrap();
    assert!(html.contains("Person 1, Person 2") && html.contains("/api/bookings/split/pay.js"), "{html}");
    assert_eq!(header(&page, "referrer-policy"), Some("no-referrer"));
    assert!(header(&page, "content-security-policy").unwrap().contains("script-src 'self' https://checkout"));
    let script = world.send(Request::new("GET", "/api/bookings/split/pay.js")).await;
    assert_eq!((script.status, header(&script, "content-type")), (200, Some("text/javascript; charset=utf-8")));

    let change = format!("/api/bookings/{id}/split/{}", shares[0]);
    let to = json!({ "name": "Kavya", "email": "kavya@example.org" });
    let (status, changed) = world.ask(Some(&caller("Meera")), "PUT", &change, to.clone()).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(world.ask(None, "GET", &path(&view, 0), Value::Null).await.0, 404, "the old link is void");
    assert_eq!(world.ask(None, "GET", &path(&changed, 0), Value::Null).await.0, 200);
    assert_eq!(mails(&world).await.iter().map(|(to, _)| to.as_str()).collect::<Vec<_>>(), ["kavya@example.org"]);
    let opened = world.outside.payables.borrow()[&id].shares[0].clone();
    assert_eq!(json!(opened.id), changed["shares"][0]["id"]);
    assert_eq!(world.ask(Some(&caller("Meera")), "PUT", &change, to).await.0, 404, "the old share is gone");
    // A signature that nobody made, and what is no token.
    let mut forged = path(&changed, 0);
    forged.replace_range(forged.len() - 4.., "0000");
    for wrong in [forged, "/api/bookings/split/x".into(), format!("/api/bookings/split/{}", "0".repeat(72))] {
        assert_eq!(world.ask(None, "GET", &wrong, Value::Null).await.0, 404, "{wrong}");
    }
    // Staff see how it stands, and no link; in the audit there is none either.
    let (status, staff) = world
        .ask(Some(&desk("actions.manageBookings")), "GET", &format!("/api/bookings/{id}/split"), Value::Null)
        .await;
    assert_eq!((status, &staff["shares"][0]["link"]), (200, &Value::Null));
    let token = path(&changed, 0).rsplit('/').next().unwrap().to_owned();
    let (_, audit) = world.ask(Some(&admin()), "GET", "/api/bookings/audit?limit=100", Value::Null).await;
    assert!(audit.to_string().contains("booking.split") && !audit.to_string().contains(&token));
    assert_eq!(
        world.ask(Some(&caller("Stranger")), "GET", &format!("/api/bookings/{id}/split"), Value::Null).await.0,
        404
    );
}

#[tokio::test]
async fn what_cannot_be_shared_is_refused_with_the_reason() {
    let world = World::new().await;
    let bare = world.booked(json!({ "numberOfParticipants": 2 })).await;
    let detail = |answer: (u16, Value)| (answer.0, answer.1["detail"].as_str().unwrap_or_default().to_owned());
    let (status, text) = detail(split(&world, bare, json!({})).await);
    assert_eq!((status, text.as_str()), (400, "Please give the details of everybody who comes first"));
    let put = format!("/api/bookings/{bare}/participants");
    assert_eq!(world.ask(Some(&caller("Meera")), "PUT", &put, people(2)).await.0, 200);
    let who: Vec<_> = world.stored(bare).await.participants.iter().map(|participant| participant.id).collect();
    let of = |ids: Vec<Id>| json!({ "participants": ids });
    for (body, status, problem) in [
        (json!({ "hours": 0 }), 400, "hours has to be"),
        (json!({ "hours": 169 }), 400, "hours has to be"),
        (json!({ "shares": [] }), 400, "Each share is for"),
        (json!({ "shares": [of(vec![])] }), 400, "Each share is for"),
        (json!({ "shares": [of(who.clone())] }), 400, "whoever books pays for at least one"),
        (json!({ "shares": [of(vec![who[1]]), of(vec![who[1]])] }), 400, "each participant is in one share"),
        (json!({ "shares": [of(vec![bare])] }), 404, "Participant not found"),
        (json!({ "shares": [{ "participants": [who[1]], "email": "nobody" }] }), 400, "an e-mail address"),
        (json!({ "shares": [{ "participants": [who[1]], "name": "" }] }), 400, "needs a name"),
        (json!({ "shares": "all" }), 400, ""),
    ] {
        let (found, text) = detail(split(&world, bare, body.clone()).await);
        assert!(found == status && text.contains(problem), "{body}: {found} {text}");
    }
    let target = format!("/api/bookings/{bare}/split");
    assert_eq!(world.ask(Some(&caller("Stranger")), "PUT", &target, json!({})).await.0, 404);
    assert_eq!(world.ask(None, "PUT", &target, json!({})).await.0, 401);
    assert_eq!(world.ask(Some(&caller("Meera")), "GET", &target, Value::Null).await.0, 404, "it is not shared");
    // Shared, and taken back.
    assert_eq!(split(&world, bare, json!({})).await.0, 200);
    assert_eq!(world.ask(Some(&caller("Meera")), "DELETE", &target, Value::Null).await.0, 200);
    let alone = world.stored(bare).await;
    assert_eq!((alone.split.is_none(), alone.partial.is_none()), (true, true));
    let owed = world.outside.payables.borrow()[&bare].clone();
    assert_eq!((owed.kind, owed.amount), (Kind::Full, alone.price.total));
    world.captured_paise(bare, "pay_all", Kind::Full, alone.price.total).await;
    let (status, text) = detail(split(&world, bare, json!({})).await);
    assert_eq!(
        (status, text.as_str()),
        (400, "The price can be shared until the booking is paid for. Please book again.")
    );
    assert_eq!(world.ask(Some(&caller("Meera")), "DELETE", &target, Value::Null).await.0, 400);
}

#[tokio::test]
async fn a_service_that_stops_at_any_step_leaves_a_price_that_is_shared_or_not() {
    for lost_answer in [false, true] {
        for steps in 0..6 {
            let world = World::new().await;
            let id = booked(&world, 3).await;
            world.outside.stop_after.set(Some(steps));
            world.outside.lost_answer.set(lost_answer);
            let (status, _) = split(&world, id, json!({})).await;
            assert!(status == 200 || status == 503, "{status}");
            world.recover().await;
            let booking = world.stored(id).await;
            let owed = world.outside.payables.borrow()[&id].clone();
            let expected = booking.partial.as_ref().map_or(booking.price.total, |partial| partial.initial);
            assert_eq!((owed.amount, booking.split.is_some()), (expected, true), "step {steps}");
            assert!(world.is_settled().await);

            // The owner's payment, then a lapse, with everybody silent at some step.
            world.captured_paise(id, "pay_own", Kind::Initial, expected).await;
            world.advance(73 * HOUR);
            world.outside.stop_after.set(Some(steps));
            world.outside.lost_answer.set(lost_answer);
            world.job("expire").await;
            world.recover().await;
            world.recover().await;
            let left = world.stored(id).await;
            assert_eq!((left.seats(), left.status), (1, Status::Confirmed), "step {steps}");
            assert_eq!(world.outside.holds.borrow()[&id].seats, 1);
            assert!(world.is_settled().await);
        }
    }
}

#[tokio::test]
async fn a_voucher_does_not_pay_beside_shares_and_others_money_is_no_voucher() {
    let world = World::new().await;
    let (id, shares) = begun(&world).await;
    world.outside.vouchers.borrow_mut().insert("GOOD".into(), 100_000);
    let voucher = format!("/api/bookings/{id}/voucher");
    let (status, body) = world.ask(Some(&caller("Meera")), "PUT", &voucher, json!({ "code": "GOOD" })).await;
    assert_eq!((status, body["detail"].as_str().unwrap().contains("a voucher cannot pay beside")), (400, true));
    let booking = world.stored(id).await;
    pay(&world, id, shares[0], "pay_12", amount(&booking, shares[0])).await;
    let off = json!({ "batchId": booking.batch_id, "reason": "Snow", "bonusPercent": 10 });
    let (status, body) = world.ask(Some(&admin()), "POST", "/api/bookings/call-offs", off).await;
    assert_eq!(status, 200, "{body}");
    let choice = format!("/api/bookings/{id}/call-off");
    let ask = async |body: Value| world.ask(Some(&caller("Meera")), "POST", &choice, body).await;
    let (status, body) = ask(json!({ "choice": "voucher" })).await;
    assert_eq!((status, body["detail"].as_str().unwrap().contains("only go back to them")), (400, true), "{body}");
    assert_eq!(ask(json!({ "choice": "refund" })).await.0, 200);
}

#[tokio::test]
async fn on_a_cheaper_date_each_gets_their_part_of_the_difference() {
    let world = World::new().await;
    let (id, shares) = begun(&world).await;
    let booking = world.stored(id).await;
    pay(&world, id, shares[0], "pay_12", amount(&booking, shares[0])).await;
    pay(&world, id, shares[1], "pay_3", amount(&booking, shares[1])).await;
    world.outside.batches.borrow_mut()[1].price = Paise::rupees(3_000);
    let later = world.outside.batches.borrow()[1].id;
    let off = json!({ "batchId": booking.batch_id, "reason": "Snow" });
    assert_eq!(world.ask(Some(&admin()), "POST", "/api/bookings/call-offs", off).await.0, 200);
    let choice = format!("/api/bookings/{id}/call-off");
    let body = json!({ "choice": "batch", "batchId": later });
    let (status, body) = world.ask(Some(&caller("Meera")), "POST", &choice, body).await;
    assert_eq!(status, 200, "{body}");
    let moved = world.stored(id).await;
    let mut back: Vec<_> =
        world.outside.asked.borrow().iter().map(|(_, request)| (request.payment.clone(), request.amount)).collect();
    back.sort();
    assert_eq!(back.iter().map(|(_, amount)| *amount).sum::<Paise>(), moved.reduction);
    assert_eq!(
        back.iter().map(|(payment, _)| payment.as_deref()).collect::<Vec<_>>(),
        [None, Some("pay_12"), Some("pay_3")]
    );
    assert!((back[1].1.0 - 2 * back[0].1.0).abs() <= 2, "two places get twice as much: {back:?}");
}
