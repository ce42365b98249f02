//! Money that staff receive, what they set and note, and mails that they have sent.

use cairn_booking::domain::Kind;
use cairn_shared::Paise;
use serde_json::{Value, json};

use super::world::{World, caller, people, trek_id};

#[tokio::test]
async fn a_balance_that_staff_received_completes_the_booking() {
    for with_details in [false, true] {
        let world = World::new().await;
        let id = world.partial().await;
        if with_details {
            world.put(&format!("/api/bookings/{id}/participants"), people(2)).await;
        }
        let path = format!("/api/bookings/{id}/mark-partial-complete");
        let proof = json!({ "paymentMethod": "bank_transfer", "paymentReference": "UTR 1" });
        let (status, body) = world.put(&path, proof).await;
        assert_eq!((status, body["message"].as_str()), (200, Some("Partial payment marked as complete successfully")));
        let expected = if with_details { "confirmed" } else { "payment_completed" };
        assert_eq!(body["booking"]["status"], expected);
        assert_eq!(body["booking"]["partialPaymentDetails"]["remainingAmount"], 0);
        assert!(body["booking"]["partialPaymentDetails"]["finalPaymentDate"].is_string());
        let (_, payment) = world.outside.offline.borrow().values().next().cloned().unwrap();
        assert_eq!((payment.amount, payment.kind), (Paise::rupees(5_992), Kind::Balance));
        assert!(world.outside.payables.borrow().is_empty(), "nothing more is to be paid");
        let kinds: Vec<_> = world.sent().await.into_iter().map(|(_, kind)| kind).collect();
        let expected =
            if with_details { vec!["balance", "confirmed", "confirmed", "confirmed"] } else { vec!["balance"] };
        assert_eq!(
            {
                let mut kinds = kinds;
                kinds.sort();
                kinds
            },
            expected
        );
        let (status, body) = world.put(&path, json!({})).await;
        assert_eq!((status, body["message"].as_str()), (400, Some("Booking is not in partial payment status")));
        assert_eq!(world.outside.offline.borrow().len(), 1);
    }
}

#[tokio::test]
async fn a_balance_is_booked_once_wherever_it_stops() {
    for (steps, lost) in (0..4).flat_map(|steps| [(steps, false), (steps, true)]) {
        let world = World::new().await;
        let id = world.partial().await;
        world.outside.stop_after.set(Some(steps));
        world.outside.lost_answer.set(lost);
        let path = format!("/api/bookings/{id}/mark-partial-complete");
        let (status, _) = world.put(&path, json!({})).await;
        world.recover().await;
        let again = world.put(&path, json!({})).await.0;
        assert!(status == 200 || status == 503, "{status}");
        assert_eq!(again, 400, "the job has finished what was begun");
        assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"), "after {steps} steps");
        assert_eq!(world.outside.offline.borrow().len(), 1);
        assert_eq!(world.count("SELECT paid AS n FROM bookings").await, 856_000);
        assert!(world.is_settled().await);
    }
}

#[tokio::test]
async fn money_is_not_received_twice_when_it_arrives_by_itself() {
    let world = World::new().await;
    let id = world.partial().await;
    world.outside.captured_online.set(Paise::rupees(8_560).0);
    let path = format!("/api/bookings/{id}/mark-partial-complete");
    assert_eq!(world.put(&path, json!({})).await.0, 409, "payment has the balance, its event is on its way");
    assert!(world.outside.offline.borrow().is_empty());
    world.captured(id, "pay_2", Kind::Balance, 5_992).await;
    assert_eq!(world.put(&path, json!({})).await.0, 400);
}

#[tokio::test]
async fn office_changes_agree_with_the_state_table_and_the_money() {
    // Made as, what is sent, the answer's status, the booking's state then, its money in rupees.
    for (made, sent, code, state, paid) in [
        ("unpaid", json!({ "status": "confirmed" }), 200, "confirmed", 8_000),
        (
            "unpaid",
            json!({ "status": "payment_completed", "paymentStatus": "payment_completed" }),
            200,
            "payment_completed",
            8_000,
        ),
        ("unpaid", json!({ "paymentStatus": "payment_completed" }), 200, "confirmed", 8_000),
        ("unpaid", json!({ "paymentStatus": "payment_confirmed_partial" }), 200, "payment_confirmed_partial", 2_400),
        ("unpaid", json!({ "status": "payment_confirmed_partial" }), 200, "payment_confirmed_partial", 2_400),
        ("unpaid", json!({ "paymentStatus": "unpaid" }), 200, "pending", 0),
        ("unpaid", json!({ "status": "confirmed", "paymentStatus": "unpaid" }), 400, "pending", 0),
        ("unpaid", json!({ "status": "trek_completed" }), 400, "pending", 0),
        ("unpaid", json!({ "status": "cancelled" }), 200, "cancelled", 0),
        ("unpaid", json!({ "status": "nonsense" }), 400, "pending", 0),
        ("unpaid", json!({ "paymentStatus": "nonsense" }), 400, "pending", 0),
        ("payment_confirmed_partial", json!({ "paymentStatus": "payment_completed" }), 200, "confirmed", 8_000),
        ("payment_confirmed_partial", json!({ "status": "confirmed" }), 200, "confirmed", 8_000),
        ("payment_confirmed_partial", json!({ "paymentStatus": "unpaid" }), 400, "payment_confirmed_partial", 2_400),
        ("payment_completed", json!({ "status": "trek_completed" }), 200, "trek_completed", 8_000),
        ("payment_completed", json!({ "paymentStatus": "payment_completed" }), 200, "confirmed", 8_000),
        ("payment_completed", json!({ "paymentStatus": "payment_confirmed_partial" }), 400, "confirmed", 8_000),
        ("payment_completed", json!({ "status": "pending" }), 400, "confirmed", 8_000),
    ] {
        let world = World::new().await;
        let id = world.manual(json!({ "paymentStatus": made })).await;
        let (got, body) = world.put(&format!("/api/bookings/{id}/admin-status"), sent.clone()).await;
        assert_eq!(got, code, "{made} {sent}: {body}");
        assert_eq!(world.status(id).await.as_deref(), Some(state), "{made} {sent}");
        assert_eq!(world.count("SELECT paid AS n FROM bookings").await, paid * 100, "{made} {sent}");
        let booked: Paise = world.outside.offline.borrow().values().map(|(_, payment)| payment.amount).sum();
        assert_eq!(booked, Paise::rupees(paid), "payment has what the booking has");
        if code == 200 {
            assert_eq!(body["message"], "Admin-created booking updated successfully");
            assert_eq!(
                (&body["booking"]["user"]["name"], &body["booking"]["trek"]["name"]),
                (&json!("Arjun Pai"), &json!("Kodachadri Weekend"))
            );
        } else {
            let known = ["Invalid status", "Invalid payment status"];
            assert!(known.contains(&body["message"].as_str().unwrap()), "{body}");
        }
        assert!(world.is_settled().await);
    }
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    let (got, body) = world.put(&format!("/api/bookings/{id}/admin-status"), json!({ "status": "confirmed" })).await;
    assert_eq!((got, body["message"].as_str()), (400, Some("This booking was not created by an admin")));
}

#[tokio::test]
async fn remarks_are_kept_and_shown_to_staff_alone() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    let path = format!("/api/bookings/BT{}/remarks", id.short_code());
    for text in ["  Called, prefers north gate ", "", "Second call"] {
        let (status, body) = world.put(&path, json!({ "adminRemarks": text })).await;
        assert_eq!((status, body["message"].as_str()), (200, Some("Admin remarks updated successfully")), "{body}");
    }
    let detail = world.detail(id).await;
    assert_eq!(detail["adminRemarks"], "Second call");
    let history = detail["remarksHistory"].as_array().unwrap();
    assert_eq!(history.len(), 2, "nothing to say changes nothing");
    assert_eq!(
        (&history[0]["remarks"], &history[0]["addedByUsername"]),
        (&json!("Called, prefers north gate"), &json!("Desk"))
    );
    let (_, own) = world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await;
    assert!(own.get("adminRemarks").is_none() && own.get("remarksHistory").is_none(), "{own}");
    assert_eq!(world.put(&path, json!({ "adminRemarks": "x".repeat(2_001) })).await.0, 400);
}

#[tokio::test]
async fn staff_have_mails_sent_and_a_button_pressed_twice_sends_one() {
    let world = World::new().await;
    let id = world.partial().await;
    let post = async |action: &str| world.post(&format!("/api/bookings/{id}/{action}"), Value::Null).await;
    for (action, message, kind) in [
        ("send-reminder", "Reminder email sent successfully", "trip"),
        ("send-confirmation", "Confirmation email sent successfully", "confirmed"),
        ("send-invoice", "Invoice email sent successfully", "invoice"),
        ("send-participant-reminder", "Participant details reminder sent successfully", "details"),
    ] {
        for _ in 0..2 {
            let (status, body) = post(action).await;
            assert_eq!((status, body["message"].as_str()), (200, Some(message)), "{action}");
        }
        assert_eq!(world.sent().await, [("meera@example.org".to_owned(), kind)], "{action}");
    }
    let (status, body) = post("send-partial-reminder").await;
    assert_eq!((status, body["message"].as_str()), (200, Some("Partial payment reminder sent successfully")));
    assert_eq!(body["emailSent"], true);
    assert_eq!(world.sent().await, [("meera@example.org".to_owned(), "reminder")]);
    assert!(world.detail(id).await["partialPaymentDetails"]["reminderSentAt"].is_string());
    let (status, body) = post("send-partial-reminder").await;
    assert_eq!((status, body["message"].as_str()), (400, Some("Reminder already sent for this booking")));

    world.captured(id, "pay_2", Kind::Balance, 5_992).await;
    let (status, body) = post("send-partial-reminder").await;
    assert_eq!((status, body["message"].as_str()), (400, Some("Booking is not in partial payment status")));
    world.put(&format!("/api/bookings/{id}/participants"), people(2)).await;
    let (status, body) = post("send-participant-reminder").await;
    let known = "Participant details are already provided for this booking";
    assert_eq!((status, body["message"].as_str()), (400, Some(known)));
    for action in
        ["send-reminder", "send-partial-reminder", "send-confirmation", "send-invoice", "send-participant-reminder"]
    {
        let (status, body) = world.post(&format!("/api/bookings/{}/{action}", trek_id()), Value::Null).await;
        assert_eq!((status, body["message"].as_str()), (404, Some("Booking not found")), "{action}");
    }
}
