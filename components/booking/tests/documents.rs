//! Invoices, vouchers and notes: what calls for them, their numbers, and who sees them.

mod world;

use std::rc::Rc;

use cairn_booking::{app::App, domain::Kind, store};
use cairn_shared::{
    Db, Id, Paise, Sql, Timestamp,
    http::{Request, Response},
    identity::{CALLER_HEADER, Caller, Identity},
    params,
    time::{DAY, MINUTE},
};
use serde_json::{Value, json};
use world::{World, admin, caller, desk};

const FULL: Paise = Paise(856_000);

async fn get(world: &World, who: Option<&Caller>, target: &str) -> Response {
    let mut request = Request::new("GET", target);
    if let Some(who) = who {
        request = request.with_header(CALLER_HEADER, Identity::Caller(Box::new(who.clone())).encode());
    }
    world.send(request).await
}

/// The documents of a booking as `number amount-in-paise`.
async fn documents(world: &World, id: Id) -> Vec<String> {
    let documents = store::document_list(&world.app.db, id).await.unwrap();
    documents.iter().map(|document| format!("{} {}", document.number, document.amount.0)).collect()
}

async fn cancel(world: &World, id: Id, body: Value) {
    world.advance(1);
    let (status, body) = world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}/cancel"), body).await;
    assert_eq!(status, 200, "{body}");
}

async fn pairs(world: &World, number: &str) -> String {
    let documents =
        world.app.db.query("SELECT content FROM documents WHERE number = $1", params![number]).await.unwrap();
    documents[0].get("content").unwrap()
}

#[tokio::test]
async fn a_payment_has_its_invoice_and_a_cancellation_its_credit_note() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    assert_eq!(documents(&world, id).await, ["INV-26-000001 856000"]);
    let content = pairs(&world, "INV-26-000001").await;
    for text in [
        r#""title":"Tax Invoice""#,
        r#"["SAC","9985"]"#,
        r#"["Place of supply","Karnataka (29)"]"#,
        r#"["Taxable value","₹8,000.00"]"#,
        r#"["CGST (2.50 %)","₹200.00"]"#,
        r#"["SGST (2.50 %)","₹200.00"]"#,
        r#"["Gateway charges (2 %)","₹160.00"]"#,
        r#""total":["Total","₹8,560.00"]"#,
        "Rupees Eight Thousand Five Hundred Sixty Only",
        r#"["Balance","₹0.00"]"#,
    ] {
        assert!(content.contains(text), "{text} in {content}");
    }
    world.job("mails").await;
    world.outside.mails.borrow_mut().clear();
    world.advance(12 * DAY);
    cancel(&world, id, json!({ "cancellationReason": "Family emergency" })).await;
    assert_eq!(documents(&world, id).await, ["INV-26-000001 856000", "CN-26-000001 642000"], "75 % go back");
    let content = pairs(&world, "CN-26-000001").await;
    for text in [
        r#"["Against","INV-26-000001 of "#,
        r#"["Reason","Family emergency"]"#,
        r#"["CGST (2.50 %)","₹150.00"]"#,
        r#"["Taxable value","₹6,000.00"]"#,
    ] {
        assert!(content.contains(text), "{text} in {content}");
    }
    world.job("mails").await;
    let mails = world.outside.mails.borrow().clone();
    let attached = mails.iter().flat_map(|mail| &mail.attachments).map(|attached| attached.file_name.clone());
    assert_eq!(attached.collect::<Vec<_>>(), ["CN-26-000001.pdf"]);
}

#[tokio::test]
async fn an_advance_has_a_receipt_voucher_and_going_back_a_refund_voucher() {
    let world = World::new().await;
    let id = world.booked(json!({ "paymentMode": "partial" })).await;
    world.captured(id, "pay_1", Kind::Initial, 2_568).await;
    assert!(pairs(&world, "PP-INV-26-000001").await.contains(r#""title":"Receipt Voucher""#));
    cancel(&world, id, json!({ "refundType": "full" })).await;
    assert_eq!(documents(&world, id).await, ["PP-INV-26-000001 256800", "RV-26-000001 256800"]);
    assert!(pairs(&world, "RV-26-000001").await.contains(r#"["Against","PP-INV-26-000001 of "#));
}

#[tokio::test]
async fn the_final_invoice_names_the_advance_and_one_participant_less_is_credited() {
    let world = World::new().await;
    let id = world.booked(json!({ "paymentMode": "partial" })).await;
    world.captured(id, "pay_1", Kind::Initial, 2_568).await;
    world.ask(Some(&caller("Meera")), "PUT", &format!("/api/bookings/{id}/participants"), world::people(2)).await;
    world.advance(MINUTE);
    world.captured(id, "pay_2", Kind::Balance, 5_992).await;
    assert!(pairs(&world, "FP-INV-26-000001").await.contains(r#"["Advance by","PP-INV-26-000001 of "#));
    let first = world.stored(id).await.participants[0].id;
    cancel(&world, id, json!({ "participantId": first, "refundType": "full" })).await;
    let kept = documents(&world, id).await;
    assert_eq!(kept, ["PP-INV-26-000001 256800", "FP-INV-26-000001 856000", "CN-26-000001 428000"]);
    world.advance(1);
    let restored = format!("/api/bookings/{id}/participants/{first}/restore");
    assert_eq!(world.ask(Some(&admin()), "PUT", &restored, Value::Null).await.0, 400, "the money went back");
    assert_eq!(documents(&world, id).await, kept);
}

#[tokio::test]
async fn a_cancellation_that_keeps_the_money_and_its_restoring_change_no_document() {
    let world = World::new().await;
    let id = world.confirmed(1).await;
    cancel(&world, id, json!({ "refund": false })).await;
    world.advance(1);
    world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}/restore"), Value::Null).await;
    assert_eq!(world.status(id).await.as_deref(), Some("confirmed"));
    assert_eq!(documents(&world, id).await, ["INV-26-000001 428000"]);
}

#[tokio::test]
async fn an_issued_document_never_changes() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let target = format!("/api/bookings/{id}/documents/INV-26-000001");
    let (first, content) = (get(&world, Some(&admin()), &target).await, pairs(&world, "INV-26-000001").await);
    assert_eq!((first.status, first.header_value("content-type")), (200, Some("application/pdf")));
    assert_eq!(first.header_value("content-disposition"), Some("attachment; filename=INV-26-000001.pdf"));
    assert!(first.body.starts_with(b"%PDF-") && content.contains("Cairn Adventures Private Limited"));
    let change = json!({ "userDetails": { "name": "Somebody Else" } });
    world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}"), change).await;
    cancel(&world, id, json!({ "refundType": "full" })).await;
    // The operator has another name by now.
    let app = App::new(
        cairn_shared::config::Config::of(&[("site_name", "Other Treks")]),
        world.app.db.clone(),
        world.app.env.clone(),
        Box::new(cairn_booking::app::NoPeers),
    );
    let world = World { app: Rc::new(app.unwrap()), ..world };
    let again = get(&world, Some(&admin()), &target).await;
    assert!(again.body == first.body, "the same bytes");
    assert_eq!(pairs(&world, "INV-26-000001").await, content);
    assert_eq!(documents(&world, id).await, ["INV-26-000001 856000", "CN-26-000001 856000"]);
    let whole = get(&world, Some(&admin()), &format!("/api/bookings/{id}/invoice")).await;
    assert!(whole.body.len() > first.body.len(), "with the credit note behind it");
}

#[tokio::test]
async fn documents_are_for_the_owner_and_admins_and_their_check_for_everybody() {
    let world = World::new().await;
    let id = world.confirmed(1).await;
    let code: String =
        world.app.db.query_one("SELECT code FROM documents", params![]).await.unwrap().get("code").unwrap();
    let people = [
        None,
        Some(caller("Stranger")),
        Some(caller("Meera")),
        Some(desk("stats.bookings")),
        Some(desk("actions.manageBookings")),
        Some(admin()),
    ];
    for (target, expected) in [
        (format!("/api/bookings/{id}/invoice"), [401, 403, 200, 403, 403, 200]),
        (format!("/api/bookings/{id}/documents"), [401, 403, 200, 403, 403, 200]),
        (format!("/api/bookings/{id}/documents/INV-26-000001"), [401, 403, 200, 403, 403, 200]),
        (format!("/api/bookings/{id}/documents/INV-26-000002"), [401, 403, 404, 403, 403, 404]),
        (format!("/api/bookings/{}/invoice", Id::derive(&["none"])), [401, 404, 404, 404, 404, 404]),
        (format!("/api/bookings/documents/{code}"), [200; 6]),
        (format!("/api/bookings/documents/{}", "0".repeat(32)), [404; 6]),
        ("/api/bookings/documents/x'--".into(), [404; 6]),
    ] {
        for (who, expected) in people.iter().zip(expected) {
            let answer = get(&world, who.as_ref(), &target).await;
            let name = who.as_ref().map_or("nobody", |who| who.name.as_str());
            assert_eq!(answer.status, expected, "{target} by {name}");
        }
    }
}

#[tokio::test]
async fn a_code_tells_number_day_and_amount() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let (_, list) = world.get(&caller("Meera"), &format!("/api/bookings/{id}/documents")).await;
    let document = &list["documents"][0];
    assert_eq!((&document["number"], &document["kind"]), (&json!("INV-26-000001"), &json!("invoice")));
    assert_eq!(document["url"], format!("/api/bookings/{id}/documents/INV-26-000001"));
    let content = pairs(&world, "INV-26-000001").await;
    let code =
        content.split("https://api.example.org/api/bookings/documents/").nth(1).unwrap().get(..32).unwrap().to_owned();
    let target = format!("/api/bookings/documents/{code}");
    let (status, checked) = world.ask(None, "GET", &target, Value::Null).await;
    assert_eq!((status, &checked["success"], &checked["number"]), (200, &json!(true), &json!("INV-26-000001")));
    assert_eq!((&checked["amount"], &checked["date"]), (&json!(8_560), &document["date"]));
    assert_eq!(checked["issuer"]["gstin"], "29ABCDE1234F1ZW");
    assert!(!checked.to_string().contains("Meera"), "nobody's name goes out: {checked}");
    let page = world.send(Request::new("GET", &target).with_header("accept", "text/html,*/*")).await;
    let text = String::from_utf8(page.body).unwrap();
    assert!(text.contains("genuine") && text.contains("INR 8560") && text.contains("INV-26-000001"), "{text}");
}

#[tokio::test]
async fn the_recipients_state_decides_which_tax_it_is() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    let target = format!("/api/bookings/{id}/billing");
    for (body, says) in [
        (json!({ "gstin": "27AAPFU0939F1Z5" }), "typing mistake"),
        (json!({ "gstin": "x" }), "15 characters"),
        (json!({ "state": "Atlantis" }), "two-digit"),
        (json!({ "name": "x".repeat(301) }), "at most 300"),
    ] {
        let (status, answer) = world.ask(Some(&caller("Meera")), "PUT", &target, body).await;
        assert!(status == 400 && answer["message"].as_str().unwrap().contains(says), "{answer}");
    }
    assert_eq!(world.ask(Some(&caller("Stranger")), "PUT", &target, json!({})).await.0, 403);
    let company =
        json!({ "name": "Uttam Foods Pvt Ltd", "gstin": "27aapfu0939f1zv", "address": "4 Marine Drive\nMumbai" });
    let (status, answer) = world.ask(Some(&caller("Meera")), "PUT", &target, company.clone()).await;
    assert_eq!((status, &answer["billing"]["gstin"]), (200, &json!("27AAPFU0939F1ZV")), "{answer}");
    world.captured_paise(id, "pay_1", Kind::Full, FULL).await;
    let content = pairs(&world, "INV-26-000001").await;
    for text in [r#"["IGST (5 %)","₹400.00"]"#, "Maharashtra (27)", "Uttam Foods Pvt Ltd", "GSTIN 27AAPFU0939F1ZV"] {
        assert!(content.contains(text), "{text} in {content}");
    }
    let (status, answer) = world.ask(Some(&caller("Meera")), "PUT", &target, company).await;
    assert_eq!((status, &answer["message"]), (400, &json!("The invoice has been issued and can no longer be changed")));
}

#[tokio::test]
async fn a_number_that_an_earlier_version_gave_out_is_kept_and_not_given_again() {
    let world = World::new().await;
    let id = world.confirmed(1).await;
    // As it stands where only numbers were kept.
    world.app.db.execute("DELETE FROM documents", params![]).await.unwrap();
    assert_eq!(get(&world, Some(&admin()), &format!("/api/bookings/{id}/invoice")).await.status, 200);
    assert_eq!(documents(&world, id).await, ["INV-26-000001 428000"]);
    let other = world.booked(json!({ "numberOfParticipants": 1 })).await;
    world.captured_paise(other, "pay_2", Kind::Full, Paise(428_000)).await;
    assert_eq!(documents(&world, other).await, ["INV-26-000002 428000"]);
}

/// Payments side by side, some of which die on the way and come again: every number is
/// there once and none is missing.
#[tokio::test]
async fn numbers_have_no_gaps_whoever_comes_at_once_or_dies_in_between() {
    const BOOKINGS: usize = 24;
    let folder = std::env::temp_dir().join(format!("cairn-documents-{}", Id::generate(Timestamp::now())));
    std::fs::create_dir_all(&folder).unwrap();
    let world = World::with(Db::for_test_in(&folder.join("booking.db")).await.unwrap()).await;
    world.outside.batches.borrow_mut()[0].max_participants = 500;
    let world = Rc::new(world);
    let mut bookings = Vec::new();
    for number in 0..BOOKINGS {
        let (status, body) = world.book_as(&caller(&format!("P{number}")), json!({ "numberOfParticipants": 1 })).await;
        assert_eq!(status, 201, "{body}");
        bookings.push(body["_id"].as_str().unwrap().parse::<Id>().unwrap());
    }
    let local = tokio::task::LocalSet::new();
    let paid = bookings.iter().enumerate().map(|(number, id)| {
        let (world, id) = (world.clone(), *id);
        local.spawn_local(async move {
            let payment = format!("pay_{number}");
            let capture = || world.captured_paise(id, &payment, Kind::Full, Paise(428_000));
            // Dropped wherever it is by then; an open transaction is rolled back.
            let died = tokio::time::timeout(std::time::Duration::from_micros(400 * number as u64), capture()).await;
            let mut answer = died.unwrap_or(503);
            for _ in 0..100 {
                if answer == 204 {
                    break;
                }
                world.advance(30_000);
                answer = capture().await;
            }
            assert_eq!(answer, 204);
        })
    });
    let paid: Vec<_> = paid.collect();
    local.await;
    for task in paid {
        task.await.unwrap();
    }
    // One that fails after it took a number gives it back.
    let failed = world.app.db.transaction(async |tx| {
        store::number_take(tx, "INV", 2026).await?;
        Err::<(), _>(cairn_shared::DbError::Other("stop".into()))
    });
    assert!(failed.await.is_err());
    let rows = world.app.db.query("SELECT number FROM documents ORDER BY number", params![]).await.unwrap();
    let numbers: Vec<String> = rows.iter().map(|row| row.get("number").unwrap()).collect();
    let expected: Vec<_> = (1..=BOOKINGS).map(|number| format!("INV-26-{number:06}")).collect();
    assert_eq!(numbers, expected);
    let last = world.count("SELECT last AS n FROM invoice_series WHERE prefix = 'INV'").await;
    assert_eq!(usize::try_from(last), Ok(BOOKINGS));
    std::fs::remove_dir_all(folder).unwrap();
}
