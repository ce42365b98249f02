//! Exports: the columns, the rows, and files that come in pieces.

mod world;

use cairn_booking::domain::Kind;
use cairn_shared::{
    Id, Paise, Sql,
    http::{CONTINUES_HEADER, Request, Response},
    identity::{CALLER_HEADER, Caller, Identity},
    params,
    time::MINUTE,
};
use serde_json::{Value, json};
use world::{World, admin, batch_id, caller, desk, trek_id};

async fn get(world: &World, who: Option<&Caller>, target: &str) -> Response {
    let mut request = Request::new("GET", target);
    if let Some(who) = who {
        request = request.with_header(CALLER_HEADER, Identity::Caller(Box::new(who.clone())).encode());
    }
    world.send(request).await
}

/// A whole file, its pieces put together as the host does it, and how many there were.
async fn file(world: &World, target: &str) -> (Vec<u8>, usize) {
    let first = get(world, Some(&admin()), target).await;
    assert_eq!(first.status, 200, "{}", String::from_utf8_lossy(&first.body));
    let (mut next, mut bytes, mut pieces) = (first.header_value(CONTINUES_HEADER).map(str::to_owned), first.body, 1);
    while let Some(target) = next {
        assert!(target.starts_with("/_exports?"), "{target}");
        let piece = get(world, None, &target).await;
        assert_eq!(piece.status, 200);
        next = piece.header_value(CONTINUES_HEADER).map(str::to_owned);
        bytes.extend(piece.body);
        pieces += 1;
    }
    (bytes, pieces)
}

async fn lines(world: &World, target: &str) -> Vec<String> {
    String::from_utf8(file(world, target).await.0).unwrap().lines().map(str::to_owned).collect()
}

/// So many more bookings like this one, each a minute older.
async fn multiply(world: &World, id: Id, count: u32) {
    let row = world.app.db.query_one("SELECT document FROM bookings WHERE id = $1", params![id]).await.unwrap();
    let document: Value = row.json("document").unwrap();
    let created_at = world.stored(id).await.created_at;
    let copy = "INSERT INTO bookings (id, code, user_id, trek_id, batch_id, status, participants, seats, total, paid, refunded, \
                batch_start, search_text, document, version, created_at) \
                SELECT CAST($1 AS TEXT), code, user_id, trek_id, batch_id, status, participants, seats, total, paid, refunded, \
                batch_start, search_text, CAST($2 AS TEXT), version, created_at - CAST($3 AS BIGINT) FROM bookings WHERE id = $4";
    world
        .app
        .db
        .transaction(async |tx| {
            for number in 0..count {
                let other = Id::derive(&["copy", &number.to_string()]);
                let mut document = document.clone();
                document["id"] = json!(other);
                document["createdAt"] = json!(created_at.plus(-i64::from(number / 3) * MINUTE));
                let values = params![other, document.to_string(), i64::from(number / 3) * MINUTE, id];
                tx.execute(copy, values).await?;
            }
            Ok::<_, cairn_shared::DbError>(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn bookings_have_the_columns_that_were_asked_for() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    world.advance(MINUTE);
    let remark = json!({ "adminRemarks": "=HYPERLINK(\"http://evil.example\")" });
    world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}/remarks"), remark).await;
    let part = world.booked(json!({ "paymentMode": "partial" })).await;
    world.captured(part, "pay_2", Kind::Initial, 2_568).await;
    world.booked(json!({ "numberOfParticipants": 1 })).await;
    let table = lines(&world, "/api/bookings/admin/export?fileType=csv").await;
    assert_eq!(
        table[0],
        "Booking ID,Trek Name,Batch Date,User Name,User Email,User Phone,Participants,Total Price,Status,Booking Date,Payment Status"
    );
    let row = |id: Id, status: &str, paid: &str| {
        format!(
            "{id},Kodachadri Weekend,21/10/2026 - 22/10/2026,Meera,meera@example.org,N/A,2,8560,{status},21/09/2026,{paid}"
        )
    };
    assert_eq!(table[1], row(part, "payment_confirmed_partial", "Partially paid"));
    assert_eq!(table[2], row(id, "confirmed", "Paid"));
    assert_eq!(table.len(), 3, "unpaid bookings are in no list");
    let notes = lines(&world, "/api/bookings/admin/export?fileType=csv&fields=notes,bookingId&status=confirmed").await;
    assert_eq!(notes, ["Notes,Booking ID".into(), format!("\"'=HYPERLINK(\"\"http://evil.example\"\")\",{id}")]);
    let none = lines(&world, "/api/bookings/admin/export?fileType=csv&endDate=2020-01-01").await;
    assert_eq!(none.len(), 1, "the titles alone");
    for query in ["startDate=2026-09-21&endDate=2026-09-21", "status=all&trekId=all&batchId=all"] {
        assert_eq!(
            lines(&world, &format!("/api/bookings/admin/export?fileType=csv&{query}")).await.len(),
            3,
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_long_file_comes_in_pieces_with_every_booking_once() {
    let world = World::new().await;
    let id = world.confirmed(1).await;
    multiply(&world, id, 1_249).await;
    let target = "/api/bookings/admin/export?fileType=csv&fields=bookingId";
    let first = get(&world, Some(&admin()), target).await;
    let next = first.header_value(CONTINUES_HEADER).unwrap().to_owned();
    // What is booked meanwhile is not part of it.
    world.advance(MINUTE);
    world.outside.batches.borrow_mut()[0].max_participants = 5_000;
    world.captured_paise(world.booked(json!({})).await, "late", Kind::Full, Paise(856_000)).await;
    let again = get(&world, None, &next).await;
    assert_eq!(String::from_utf8_lossy(&again.body).lines().count(), 500);
    let (csv, pieces) = file(&world, target).await;
    let text = String::from_utf8(csv).unwrap();
    let mut ids: Vec<_> = text.lines().skip(1).collect();
    assert_eq!((pieces, ids.len()), (3, 1_251));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1_251);
    let (workbook, pieces) = file(&world, "/api/bookings/admin/export?fileType=excel").await;
    assert!(pieces == 3 && workbook.starts_with(b"PK\x03\x04") && workbook.len() < 200_000, "{}", workbook.len());
    if let Some(folder) = std::env::var_os("CAIRN_EXPORTS_FOLDER") {
        let folder = std::path::Path::new(&folder);
        std::fs::write(folder.join("bookings.xlsx"), workbook).unwrap();
        let (pages, _) = file(&world, "/api/bookings/admin/export?fileType=pdf").await;
        std::fs::write(folder.join("bookings.pdf"), pages).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_cannot_hold_all_of_it_is_refused_with_what_to_do() {
    let world = World::new().await;
    let id = world.confirmed(1).await;
    let (bytes, _) = file(&world, "/api/bookings/admin/export?fileType=pdf").await;
    assert!(bytes.starts_with(b"%PDF-"));
    multiply(&world, id, 2_000).await;
    let (status, body) = world.get(&admin(), "/api/bookings/admin/export?fileType=pdf").await;
    let message = body["message"].as_str().unwrap();
    assert!(status == 400 && message.contains("2001 rows") && message.contains("at most 2000"), "{message}");
    for (query, says) in [
        ("", "Invalid file type"),
        ("fileType=doc", "Invalid file type"),
        ("fileType=csv&fields=bookingId,password", "password"),
        ("fileType=csv&status=creating", "Invalid status"),
        ("fileType=csv&startDate=tomorrow", "startDate"),
    ] {
        let (status, body) = world.get(&admin(), &format!("/api/bookings/admin/export?{query}")).await;
        assert!(status == 400 && body["message"].as_str().unwrap().contains(says), "{query}: {body}");
    }
    for query in ["", "?export=x", "?export={}"] {
        assert_eq!(world.get(&admin(), &format!("/_exports{query}")).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn failed_bookings_are_a_workbook_of_their_own() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.advance(31 * MINUTE);
    world.job("expire").await;
    let answer = get(&world, Some(&admin()), "/api/failed-bookings/export/excel?failureReason=session_expired").await;
    assert_eq!(answer.status, 200);
    let name = answer.header_value("content-disposition").unwrap();
    assert!(name.starts_with("attachment; filename=failed-bookings-2026-") && name.ends_with(".xlsx"), "{name}");
    assert_eq!(
        answer.header_value("content-type"),
        Some("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
    );
    assert!(answer.body.starts_with(b"PK"));
    assert_eq!(world.get(&admin(), "/api/failed-bookings/export/excel?failureReason=x").await.0, 400);
    let failed =
        cairn_booking::store::failed_booking_list_after(&world.app.db, &Default::default(), None, 9).await.unwrap();
    let row = cairn_booking::export::failed::row(&failed[0], cairn_shared::Zone::INDIA);
    let texts: Vec<_> = row.iter().map(cairn_booking::export::Cell::shown).collect();
    assert_eq!(texts[0], format!("FB{}", failed[0].id.short_code()));
    assert_eq!(
        texts[1..],
        [
            &id.to_string(),
            "Meera",
            "meera@example.org",
            "Kodachadri Weekend",
            "2",
            "\u{20b9}8560",
            "session_expired",
            "1",
            "21/09/2026",
            "21/09/2026",
            "system"
        ]
        .map(str::to_owned)
    );
}

#[tokio::test]
async fn participants_of_a_batch_are_those_who_come() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let first = world.stored(id).await.participants[0].id;
    world.advance(1);
    let cancel = json!({ "participantId": first, "refund": false });
    world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}/cancel"), cancel).await;
    let target = format!("/api/treks/{}/batches/{}/export-participants", trek_id(), batch_id());
    let answer =
        get(&world, Some(&desk("actions.manageTreks")), &format!("{target}?fileType=csv&fields=participantName,participantPhone,emergencyContactName,medicalConditions,status,custom_Diet,shoeSize")).await;
    assert_eq!((answer.status, answer.header_value("content-type")), (200, Some("text/csv; charset=utf-8")));
    assert_eq!(
        answer.header_value("content-disposition"),
        Some("attachment; filename=batch-participants-Kodachadri-Weekend-2026-10-21.csv")
    );
    assert_eq!(
        String::from_utf8(answer.body).unwrap(),
        "Participant Name,Contact Number,Emergency Contact Name,Medical Conditions,Booking Status,Diet,shoeSize\n\
         Person 1,9800000001,Asha,N/A,confirmed,N/A,N/A\n"
    );
    let pdf = get(&world, Some(&admin()), &target).await;
    assert!(pdf.status == 200 && pdf.body.starts_with(b"%PDF-"));
    for (path, status, says) in [
        (format!("/api/treks/x/batches/{}/export-participants", batch_id()), 400, "x"),
        (format!("/api/treks/{0}/batches/{0}/export-participants", Id::derive(&["no"])), 404, "Trek not found"),
        (format!("/api/treks/{}/batches/{}/export-participants", trek_id(), trek_id()), 404, "Batch not found"),
        (
            format!("/api/treks/{}/batches/{}/export-participants", trek_id(), world::later_batch().id),
            404,
            "No participants",
        ),
    ] {
        let (got, body) = world.get(&admin(), &path).await;
        assert!(got == status && body["message"].as_str().unwrap().contains(says), "{path}: {got} {body}");
    }
}

#[tokio::test]
async fn exports_are_for_whom_they_should_be() {
    let world = World::new().await;
    world.confirmed(1).await;
    let who = [
        None,
        Some(caller("Meera")),
        Some(desk("stats.bookings")),
        Some(desk("actions.manageBookings")),
        Some(desk("actions.manageTreks")),
        Some(admin()),
    ];
    let participants = format!("/api/treks/{}/batches/{}/export-participants?fileType=csv", trek_id(), batch_id());
    for (target, expected) in [
        ("/api/bookings/admin/export?fileType=csv", [401, 403, 403, 403, 403, 200]),
        ("/api/failed-bookings/export/excel", [401, 403, 403, 403, 403, 200]),
        (&participants, [401, 403, 403, 403, 200, 200]),
    ] {
        for (who, expected) in who.iter().zip(expected) {
            let name = who.as_ref().map_or("nobody", |who| who.name.as_str());
            assert_eq!(get(&world, who.as_ref(), target).await.status, expected, "{target} by {name}");
        }
    }
}
