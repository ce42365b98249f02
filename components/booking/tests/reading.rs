//! Reading bookings, participants, what staff do, invoices.

mod world;

use cairn_booking::domain::{CustomField, Kind, Status};
use cairn_shared::{
    Id, Paise, Sql, params,
    time::{DAY, MINUTE},
};
use serde_json::{Value, json};
use world::{World, admin, batch_id, caller, desk, people};

const FULL: i64 = 8_560;

async fn paid(world: &World) -> Id {
    let id = world.booked(json!({})).await;
    assert_eq!(world.captured(id, &format!("pay_{id}"), Kind::Full, FULL).await, 204);
    id
}

#[tokio::test]
async fn owners_see_their_bookings_without_unpaid_ones_and_internals() {
    let world = World::new().await;
    let meera = caller("Meera");
    world.book_as(&caller("Other"), json!({})).await;
    for path in ["/api/bookings/user/mybookings", "/api/bookings/user"] {
        assert_eq!(world.get(&meera, path).await.1, json!([]));
    }
    paid(&world).await;
    world.booked(json!({})).await;
    let (status, body) = world.get(&meera, "/api/bookings/user/mybookings").await;
    let [booking] = body.as_array().unwrap().as_slice() else { panic!("{body}") };
    assert_eq!(status, 200);
    assert_eq!(booking["trek"]["name"], "Kodachadri Weekend");
    assert_eq!(booking["batch"]["_id"], json!(batch_id()));
    assert_eq!(
        (&booking["batchPrice"], &booking["participants"], &booking["batchStatus"]),
        (&json!(4000), &json!(2), &json!("upcoming"))
    );
    assert_eq!(booking["amountPaid"], FULL);
    for internal in ["adminRemarks", "remarksHistory", "bookingSession"] {
        assert_eq!(booking.get(internal), None, "{internal}");
    }
    world.outside.batches.borrow_mut().clear();
    let (_, body) = world.get(&meera, "/api/bookings/user").await;
    assert_eq!(
        (&body[0]["batch"], body[0].get("startDate")),
        (&Value::Null, None),
        "the batch is gone, the booking is not"
    );
}

#[tokio::test]
async fn one_booking_is_for_its_owner_and_for_staff() {
    let world = World::new().await;
    let id = paid(&world).await;
    let path = format!("/api/bookings/{id}");
    let (status, body) = world.get(&caller("Other"), &path).await;
    assert_eq!((status, body["message"].as_str().unwrap()), (403, "Not authorized to view this booking"));
    let (_, own) = world.get(&caller("Meera"), &path).await;
    assert_eq!(
        (&own["success"], &own["booking"]["status"], &own["status"]),
        (&json!(true), &json!("payment_completed"), &json!("payment_completed"))
    );
    assert_eq!(
        (&own["participants"], &own["activeParticipantCount"], &own["totalAmount"]),
        (&json!(2), &json!(0), &json!(FULL))
    );
    assert_eq!((&own["paymentStatus"], &own["paymentMethod"]), (&json!("Paid"), &json!("upi")));
    assert_eq!(own["trek"]["batches"][0]["_id"], json!(batch_id()));
    for internal in
        ["adminRemarks", "remarksHistory", "promoCodeDetails", "paymentDetails", "payments", "bookingSession"]
    {
        assert_eq!(own.get(internal), None, "{internal}");
    }
    let code = own["bookingId"].as_str().unwrap();
    for staff in [admin(), desk("stats.bookings"), desk("actions.manageBookings")] {
        for path in [path.clone(), format!("/api/bookings/{code}")] {
            let (status, body) = world.get(&staff, &path).await;
            assert_eq!((status, body["payments"].as_array().unwrap().len()), (200, 1));
        }
    }
    for missing in
        [&format!("/api/bookings/{code}"), "/api/bookings/nonsense", "/api/bookings/68f0a1b2c3d4e5f607182930"]
    {
        let (status, body) = world.get(&caller("Meera"), missing).await;
        assert_eq!((status, body["message"].as_str().unwrap()), (404, "Booking not found"), "{missing}");
    }
}

#[tokio::test]
async fn staff_filter_search_and_count_bookings() {
    let world = World::new().await;
    for n in 0..12 {
        let who = caller(&format!("Guest{n}"));
        let (_, body) = world.book_as(&who, json!({ "numberOfParticipants": 1, "userDetails": { "name": format!("Guest {n} 100%_x"), "email": who.email, "phone": "1" } })).await;
        let id: Id = body["_id"].as_str().unwrap().parse().unwrap();
        if n > 0 {
            world.captured(id, &format!("pay_{n}"), Kind::Full, 4_280).await;
        }
    }
    let desk = desk("stats.bookings");
    let ask = async |query: &str| world.get(&desk, &format!("/api/bookings?{query}")).await.1;
    let all = ask("").await;
    assert_eq!(all["pagination"], json!({ "total": 11, "page": 1, "pages": 2, "limit": 10 }));
    assert_eq!(all["bookings"].as_array().unwrap().len(), 10);
    assert_eq!(ask("page=2&status=all").await["bookings"].as_array().unwrap().len(), 1);
    assert_eq!(
        all["stats"],
        json!({ "totalRevenue": 47080, "totalBookings": 11, "confirmedBookings": 0, "cancelledBookings": 0,
        "averageBookingValue": 4280, "todayParticipantsCount": 11 })
    );
    let booking = &all["bookings"][0];
    assert!(booking["id"].is_string() && booking["user"]["email"].is_string() && booking["trek"]["batches"].is_array());
    assert_eq!(booking["remarksHistory"], json!([]));
    let total = async |query: &str| ask(query).await["pagination"]["total"].as_i64().unwrap();
    let waiting = ask("status=pending_payment").await;
    assert_eq!((&waiting["bookings"], &waiting["stats"]["totalBookings"]), (&json!([]), &json!(0)));
    assert_eq!(total("status=payment_completed").await, 11);
    assert_eq!(total("status=confirmed").await, 0);
    assert_eq!(total(&format!("trekId={}", world::trek_id())).await, 11);
    assert_eq!(total("trekId=68f0a1b2c3d4e5f607182930").await, 0);
    assert_eq!(total(&format!("batchId={}", batch_id())).await, 11);
    let today = world.app.env.zone.iso_day(cairn_shared::Timestamp::from_millis(world::NOW));
    assert_eq!(total(&format!("startDate={today}&endDate={today}")).await, 11, "the last day is included");
    assert_eq!(total("endDate=2020-01-01").await, 0);
    assert_eq!(total("search=GUEST5%40").await, 1, "in any case");
    assert_eq!(total("search=guest%205").await, 1);
    assert_eq!(total("search=100%25_x").await, 11);
    assert_eq!(total("search=100_").await, 0, "search is literal");
    assert_eq!(total("search=guest.*").await, 0);
    assert_eq!(total("search=kodachadri").await, 11);
    assert_eq!(total(&format!("search={}", booking["bookingId"].as_str().unwrap())).await, 1);
    let (status, body) = world.get(&caller("Meera"), "/api/bookings").await;
    assert_eq!((status, body["message"].as_str().unwrap()), (403, "Access denied. No user group assigned."));
    assert_eq!(world.get(&desk, "/api/bookings?page=0").await.0, 400);
}

#[tokio::test]
async fn details_of_participants_confirm_a_paid_booking() {
    let world = World::new().await;
    let (meera, id) = (caller("Meera"), paid(&world).await);
    let path = format!("/api/bookings/{id}/participants");
    let refused = async |body: Value, status: u16, message: &str| {
        let answer = world.ask(Some(&meera), "PUT", &path, body).await;
        assert_eq!((answer.0, answer.1["message"].as_str().unwrap()), (status, message));
    };
    refused(people(1), 400, "Number of participants does not match the booking").await;
    refused(
        json!({ "participants": people(2)["participants"] }),
        400,
        "Emergency contact information is required (name, phone, relation)",
    )
    .await;
    let mut missing = people(2);
    missing["participants"][1]["phone"] = json!(" ");
    refused(missing, 400, "Participant 2 is missing required fields (name, email, phone)").await;
    world.outside.terms.borrow_mut().as_mut().unwrap().custom_fields =
        vec![CustomField { name: "Pickup point".into(), required: true }];
    refused(people(2), 400, "Participant 1: Pickup point is required").await;
    let other = world.ask(Some(&caller("Other")), "PUT", &path, people(2)).await;
    assert_eq!((other.0, other.1["message"].as_str().unwrap()), (403, "Not authorized to update this booking"));
    let mut good = people(2);
    for at in 0..2 {
        good["participants"][at]["customFields"] = json!({ "Pickup point": ["North gate", "South"] });
    }
    let (status, body) = world.ask(Some(&meera), "PUT", &path, good.clone()).await;
    assert_eq!((status, body["message"].as_str().unwrap()), (200, "Participant details updated successfully"));
    assert_eq!(body["booking"]["status"], "confirmed");
    let first = &body["booking"]["participantDetails"][0];
    assert_eq!((&first["age"], &first["customFields"]["Pickup point"]), (&json!(31), &json!("North gate, South")));
    assert_eq!(first["_id"], first["id"]);
    // The second time the same people stay the same people.
    let (_, again) = world.ask(Some(&meera), "PUT", &path, good).await;
    assert_eq!(again["booking"]["participantDetails"][0]["_id"], first["_id"]);
    world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}/status"), json!({ "status": "cancelled" })).await;
    refused(people(2), 400, "This booking cannot be updated").await;
}

#[tokio::test]
async fn staff_move_bookings_along_the_table() {
    let world = World::new().await;
    let id = paid(&world).await;
    let set = async |id: &str, status: &str| {
        let answer =
            world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}/status"), json!({ "status": status })).await;
        (answer.0, answer.1["message"].as_str().or(answer.1["status"].as_str()).unwrap_or_default().to_owned())
    };
    let id_text = id.to_string();
    for status in
        ["payment_confirmed_partial", "expired", "creating", "nonsense", "pending", "trek_completed", "confirmed"]
    {
        assert_eq!(set(&id_text, status).await, (400, "Invalid status".into()), "{status}");
    }
    let owner = world
        .ask(Some(&caller("Meera")), "PUT", &format!("/api/bookings/{id}/status"), json!({ "status": "cancelled" }))
        .await;
    assert_eq!((owner.0, owner.1["message"].as_str().unwrap()), (403, "Not authorized to update booking status"));
    assert_eq!(set("nonsense", "confirmed").await, (404, "Booking not found".into()));
    let code = format!("BT{}", id.short_code());
    assert_eq!(set(&code, "cancelled").await, (200, "cancelled".into()), "a code names it too");
    assert_eq!(world.outside.taken(batch_id()), 0);
    assert!(world.outside.asked.borrow().is_empty(), "without a refund");
    assert_eq!(set(&id_text, "confirmed").await, (200, "payment_completed".into()), "restored: paid, without details");
    assert_eq!(world.outside.taken(batch_id()), 2);
    set(&id_text, "cancelled").await;
    world.book_as(&caller("Other"), json!({ "numberOfParticipants": 18 })).await;
    world.outside.batches.borrow_mut()[0].max_participants = 19;
    assert_eq!(set(&id_text, "confirmed").await, (400, "Cannot restore booking - batch is now full".into()));
    assert_eq!(world.status(id).await.as_deref(), Some("cancelled"));
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_started_trek_brings_no_booking_back_and_a_refunded_one_stays_cancelled() {
    let world = World::new().await;
    let id = paid(&world).await;
    let path = format!("/api/bookings/{id}/status");
    world.ask(Some(&admin()), "PUT", &path, json!({ "status": "cancelled" })).await;
    let refunded = json!({ "bookingId": id, "paymentId": "p", "refundId": "rf", "amountPaise": 100, "status": "processing", "at": 1 });
    world.event("payment.refunded", refunded).await;
    let (status, body) = world.ask(Some(&admin()), "PUT", &path, json!({ "status": "confirmed" })).await;
    assert_eq!((status, body["message"].as_str().unwrap()), (400, "Cannot restore a refunded booking"));
    let other = world.booked(json!({})).await;
    world.captured(other, "pay_o", Kind::Full, FULL).await;
    let path = format!("/api/bookings/{other}/status");
    world.ask(Some(&admin()), "PUT", &path, json!({ "status": "cancelled" })).await;
    world.advance(40 * DAY);
    assert_eq!(
        world.ask(Some(&admin()), "PUT", &path, json!({ "status": "confirmed" })).await.1["message"],
        "This batch is no longer open for booking"
    );
}

#[tokio::test]
async fn a_status_change_that_dies_half_way_is_settled_by_the_job() {
    let world = World::new().await;
    let id = paid(&world).await;
    world.outside.stop_after.set(Some(0));
    let (status, _) =
        world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}/status"), json!({ "status": "cancelled" })).await;
    assert_eq!((status, world.outside.taken(batch_id())), (200, 2), "cancelled, the seats are still out");
    world.recover().await;
    assert_eq!(world.outside.taken(batch_id()), 0);
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn only_admins_run_the_cleanup() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.advance(31 * MINUTE);
    let (status, body) =
        world.ask(Some(&desk("actions.manageBookings")), "POST", "/api/bookings/cleanup-expired", Value::Null).await;
    assert_eq!((status, body["message"].as_str().unwrap()), (403, "Not authorized to perform cleanup"));
    let (status, body) = world.ask(Some(&admin()), "POST", "/api/bookings/cleanup-expired", Value::Null).await;
    assert_eq!((status, body["message"].as_str().unwrap()), (200, "Cleanup completed successfully"));
    assert_eq!(world.status(id).await.as_deref(), Some(Status::Expired.as_str()));
}

#[tokio::test]
async fn an_invoice_is_a_proforma_until_money_came_and_then_has_one_number() {
    let world = World::new().await;
    let meera = caller("Meera");
    let id = world
        .booked(json!({ "addOns": [{ "name": "Rental tent" }], "couponCode": "EARLY10", "paymentMode": "partial" }))
        .await;
    let invoice = async |who: &cairn_shared::identity::Caller| {
        let request = cairn_shared::http::Request::new("GET", &format!("/api/bookings/{id}/invoice")).with_header(
            cairn_shared::identity::CALLER_HEADER,
            cairn_shared::identity::Identity::Caller(Box::new(who.clone())).encode(),
        );
        world.send(request).await
    };
    let answer = invoice(&meera).await;
    assert_eq!((answer.status, answer.header_value("content-type").unwrap()), (200, "application/pdf"));
    assert_eq!(answer.header_value("content-disposition").unwrap(), format!("attachment; filename=Invoice-{id}.pdf"));
    assert!(answer.body.starts_with(b"%PDF-"));
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM invoices").await, 0);
    assert_eq!(invoice(&caller("Other")).await.status, 403);
    world.captured(id, "pay_1", Kind::Initial, 2_542).await;
    for _ in 0..2 {
        assert_eq!(invoice(&admin()).await.status, 200);
    }
    let row = world.app.db.query_one("SELECT number FROM invoices", params![]).await.unwrap();
    let number: String = row.get("number").unwrap();
    assert_eq!(number, "PP-INV-26-000001");
    world.captured_paise(id, "pay_2", Kind::Balance, Paise(593_240)).await;
    if let Some(path) = std::env::var_os("CAIRN_INVOICE_PDF") {
        std::fs::write(path, invoice(&meera).await.body).unwrap();
    }
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM invoices WHERE number = 'FP-INV-26-000001'").await, 1);
}

#[tokio::test]
async fn an_invoice_with_many_lines_goes_on_on_another_page() {
    let world = World::new().await;
    let names: Vec<_> = (0..45)
        .map(|n| format!("Extra number {n} with a name that is long enough to need a second line of the table"))
        .collect();
    world.outside.terms.borrow_mut().as_mut().unwrap().add_ons = names
        .iter()
        .map(|name| cairn_booking::domain::AddOn { name: name.clone(), price: Paise::rupees(10), enabled: true })
        .collect();
    let add_ons: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    let id = world.booked(json!({ "addOns": add_ons })).await;
    let request = cairn_shared::http::Request::new("GET", &format!("/api/bookings/{id}/invoice")).with_header(
        cairn_shared::identity::CALLER_HEADER,
        cairn_shared::identity::Identity::Caller(Box::new(admin())).encode(),
    );
    let pdf = world.send(request).await.body;
    if let Some(path) = std::env::var_os("CAIRN_LONG_INVOICE_PDF") {
        std::fs::write(path, &pdf).unwrap();
    }
    assert!(pdf.windows(8).any(|window| window == b"/Count 4"), "four pages");
}
