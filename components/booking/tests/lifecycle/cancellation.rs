//! Cancelling, and the money that goes back.

use cairn_booking::domain::{Kind, RefundType};
use cairn_shared::{
    Id, Paise,
    time::{DAY, MINUTE},
};
use serde_json::{Value, json};

use super::{
    participants, put, refused,
    world::{World, admin, batch_id, caller},
};

#[tokio::test]
async fn a_cancelled_booking_gives_its_money_and_its_seats_back() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let total = world.total(id).await;
    let reason = json!({ "cancellationReason": "Family emergency", "totalRefund": 1 });
    let (status, body) = put(&world, &admin(), id, "cancel", reason).await;
    assert_eq!((status, &body["success"]), (200, &json!(true)), "{body}");
    let booking = &body["booking"];
    assert_eq!((&booking["status"], &booking["cancelledBy"]), (&json!("cancelled"), &json!("admin")));
    assert_eq!((&booking["refundStatus"], &booking["refundAmount"]), (&json!("processing"), &json!(total)));
    assert_eq!(booking["refundType"], "auto");
    assert_eq!(booking["cancellationReason"], "Family emergency");
    assert_eq!(booking["user"]["email"], "meera@example.org");
    assert_eq!(booking["trek"]["name"], "Kodachadri Weekend");
    assert_eq!(world.outside.taken(batch_id()), 0);
    let asked = world.outside.asked.borrow().clone();
    let [(of, request)] = asked.as_slice() else { panic!("one refund, not {}", asked.len()) };
    assert_eq!((*of, request.amount, request.kind, request.participant), (id, total, RefundType::Auto, None));
    assert_eq!(world.commands().await, ["cancel done"]);
    assert_eq!(refused(&world, &admin(), id, "cancel", json!({})).await, (400, "Already cancelled".into()));
    let preview = format!("/api/bookings/{id}/calculate-refund");
    assert_eq!(world.ask(Some(&admin()), "POST", &preview, json!({})).await.1["totalRefund"], 0, "nobody is left");
    assert!(world.is_settled().await);

    assert_eq!(world.refund_told(request, id, "success").await, 204);
    let (_, body) = world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await;
    assert_eq!((&body["refundStatus"], &body["refundAmount"]), (&json!("success"), &json!(total)));
    assert!(body["refundDate"].is_string());
    assert!(
        body["participantDetails"].as_array().unwrap().iter().all(|p| p["refundStatus"] == "not_applicable"),
        "the money is shown in one place"
    );
}

#[tokio::test]
async fn the_days_before_the_start_decide_what_goes_back() {
    // Days left, and the percentage; at the very boundaries.
    for (days, percent) in [(22, 100), (21, 75), (15, 75), (14, 50), (8, 50), (7, 0), (1, 0)] {
        let world = World::new().await;
        let id = world.confirmed(2).await;
        let total = world.total(id).await;
        world.advance((30 - days) * DAY);
        let preview = json!({ "cancellationType": "entire", "refundType": "auto" });
        let target = format!("/api/bookings/{id}/calculate-refund");
        let (status, preview) = world.ask(Some(&caller("Meera")), "POST", &target, preview).await;
        let (_, body) = put(&world, &admin(), id, "cancel", json!({ "refundType": "auto" })).await;
        let expected = if percent == 100 { total } else { Paise(total.0 * percent / 100).round_to_rupee() };
        assert_eq!((status, &preview["totalRefund"]), (200, &json!(expected)), "{days} days");
        assert_eq!(preview["daysUntilTrek"], days);
        assert_eq!(body["booking"]["refundAmount"], json!(expected), "{days} days");
        let stands = if percent == 0 { "not_applicable" } else { "processing" };
        assert_eq!(body["booking"]["refundStatus"], stands, "{days} days");
        assert_eq!(world.outside.asked.borrow().len(), usize::from(percent > 0));
    }
}

#[tokio::test]
async fn a_preview_says_what_is_wrong() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let preview = async |body: Value| {
        let (status, body) =
            world.ask(Some(&admin()), "POST", &format!("/api/bookings/{id}/calculate-refund"), body).await;
        (status, body["message"].as_str().unwrap_or_default().to_owned())
    };
    let above = json!({ "refundType": "custom", "customRefundAmount": 9_000 });
    let message = "Custom refund amount (\u{20b9}9000) cannot exceed booking amount (\u{20b9}8560)";
    assert_eq!(preview(above).await, (400, message.into()));
    assert_eq!(preview(json!({ "cancellationType": "individual" })).await.0, 200, "nobody selected: nothing");
    world.outside.batches.borrow_mut().clear();
    assert_eq!(preview(json!({})).await, (400, "Batch not found".into()));
    assert_eq!(refused(&world, &admin(), id, "cancel", json!({})).await, (400, "Batch not found".into()));
    assert_eq!(put(&world, &admin(), id, "cancel", json!({ "refundType": "full" })).await.0, 200);
}

#[tokio::test]
async fn both_vocabularies_of_clients_are_understood() {
    let refund = |body: &Value| (body["booking"]["refundAmount"].clone(), body["booking"]["refundType"].clone());
    let total = json!(8_560);
    for (body, expected) in [
        (json!({}), (total.clone(), "auto")),
        (json!({ "refundType": "full" }), (total.clone(), "full")),
        (json!({ "refundType": "custom", "customRefundAmount": 1_000.5 }), (json!(1_000.5), "custom")),
        (json!({ "refundType": "custom", "customRefundAmount": null, "refund": 500 }), (json!(500), "custom")),
        (json!({ "refund": false }), (json!(0), "auto")),
        (json!({ "refund": true, "refundType": "full", "reason": "Storm" }), (total.clone(), "full")),
        (json!({ "refund": 77 }), (total.clone(), "auto")),
    ] {
        let world = World::new().await;
        let id = world.confirmed(2).await;
        let target = format!("/api/admin/bookings/{id}/cancel");
        let (status, answer) = world.ask(Some(&admin()), "PATCH", &target, body.clone()).await;
        assert_eq!(status, 200, "{body}: {answer}");
        assert_eq!(refund(&answer), (expected.0, json!(expected.1)), "{body}");
        let reason = if body["reason"].is_null() { "Admin cancelled" } else { "Storm" };
        assert_eq!(answer["booking"]["cancellationReason"], reason);
    }
}

#[tokio::test]
async fn what_makes_no_sense_cancels_nothing() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    for (body, message) in [
        (json!({ "refundType": "half" }), "refundType has to be auto, custom or full"),
        (json!({ "refundType": 7 }), "refundType has to be auto, custom or full"),
        (json!({ "cancellationType": "some" }), "cancellationType has to be entire or individual"),
        (json!({ "refundType": "custom" }), "A custom refund needs an amount of rupees, 0 or more"),
        (
            json!({ "refundType": "custom", "customRefundAmount": -1 }),
            "A custom refund needs an amount of rupees, 0 or more",
        ),
        (
            json!({ "refundType": "custom", "customRefundAmount": 8_560.01 }),
            "Refund amount (\u{20b9}8560.01) cannot exceed booking amount (\u{20b9}8560)",
        ),
        (json!({ "cancellationType": "individual" }), "No participants to cancel"),
        (
            json!({ "cancellationType": "individual", "selectedParticipants": ["x", Id::derive(&["y"])] }),
            "No participants to cancel",
        ),
        (json!({ "participantId": "nonsense" }), "No participants to cancel"),
        (json!({ "cancellationReason": "x".repeat(1_001) }), "cancellationReason may have at most 1000 characters"),
        (json!({ "reason": [] }), "reason has to be text"),
    ] {
        assert_eq!(refused(&world, &admin(), id, "cancel", body.clone()).await, (400, message.into()), "{body}");
    }
    assert_eq!(refused(&world, &admin(), Id::derive(&["no"]), "cancel", json!({})).await.0, 404);
    assert_eq!(world.status(id).await.as_deref(), Some("confirmed"));
    assert!(world.commands().await.is_empty(), "a refusal costs no lease");
    assert!(world.outside.asked.borrow().is_empty());
}

#[tokio::test]
async fn some_participants_are_cancelled_with_their_shares_and_the_last_one_takes_the_booking_along() {
    let world = World::new().await;
    let id = world.confirmed(3).await;
    let total = world.total(id).await;
    let people = participants(&world, id).await;
    let (_, body) = put(
        &world,
        &admin(),
        id,
        "cancel",
        json!({ "cancellationType": "individual", "selectedParticipants": [people[2], people[0], "nobody"] }),
    )
    .await;
    let details = body["booking"]["participantDetails"].as_array().unwrap().clone();
    assert_eq!(details.iter().map(|p| p["isCancelled"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((&body["booking"]["status"], &body["booking"]["totalPrice"]), (&json!("confirmed"), &json!(total)));
    assert_eq!(body["booking"]["refundStatus"], "not_applicable", "the money is the participants'");
    assert_eq!(details[0]["refundStatus"], "processing");
    assert_eq!(details[0]["status"], "bookingCancelled");
    assert_eq!(world.outside.taken(batch_id()), 1);

    let (_, body) = put(&world, &admin(), id, "cancel", json!({ "participantId": people[1] })).await;
    assert_eq!(body["booking"]["status"], "cancelled");
    assert_eq!(world.outside.taken(batch_id()), 0);
    let asked = world.outside.asked.borrow().clone();
    let sum: Paise = asked.iter().map(|(_, request)| request.amount).sum();
    assert_eq!((asked.len(), sum), (3, total), "the shares come to the total");
    let of: Vec<_> = asked.iter().filter_map(|(_, request)| request.participant).collect();
    assert_eq!(of.len(), 3);
    assert_eq!(world.commands().await, ["cancel_participants done", "cancel_participants done"]);

    // One comes back, one fails: each participant shows its own.
    world.refund_told(&asked[0].1, id, "success").await;
    world.refund_told(&asked[1].1, id, "failed").await;
    let (_, body) = world.get(&admin(), &format!("/api/bookings/{id}")).await;
    let status = |id: Option<Id>| {
        let details = body["participantDetails"].as_array().unwrap();
        details.iter().find(|p| p["_id"] == json!(id)).map(|p| p["refundStatus"].as_str().unwrap().to_owned())
    };
    let expected = ["success", "failed", "processing"];
    for ((_, request), expected) in asked.iter().zip(expected) {
        assert_eq!(status(request.participant).as_deref(), Some(expected));
    }
    assert_eq!(world.stored(id).await.refunded, total - asked[1].1.amount, "what failed did not go back");
    // Tried again by staff, and done.
    world.advance(MINUTE);
    world.refund_told(&asked[1].1, id, "processing").await;
    world.advance(MINUTE);
    world.refund_told(&asked[1].1, id, "success").await;
    world.refund_told(&asked[2].1, id, "success").await;
    assert_eq!(world.stored(id).await.refunded, total);
}

#[tokio::test]
async fn a_custom_amount_is_shared_out_among_those_who_are_cancelled() {
    let world = World::new().await;
    let id = world.confirmed(3).await;
    let people = participants(&world, id).await;
    let body = json!({ "cancellationType": "individual", "selectedParticipants": people, "refundType": "custom", "customRefundAmount": 100 });
    put(&world, &admin(), id, "cancel", body).await;
    let asked = world.outside.asked.borrow().clone();
    assert_eq!(asked.iter().map(|(_, request)| request.amount.0).collect::<Vec<_>>(), [3_334, 3_333, 3_333]);
}

#[tokio::test]
async fn the_rest_of_a_booking_gives_back_the_rest_of_its_money() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let total = world.total(id).await;
    let people = participants(&world, id).await;
    put(&world, &admin(), id, "cancel", json!({ "participantId": people[0], "refundType": "full" })).await;
    let over = json!({ "refundType": "custom", "customRefundAmount": 4_281 });
    let (status, message) = refused(&world, &admin(), id, "cancel", over).await;
    assert_eq!(
        (status, message.as_str()),
        (400, "Refund amount (\u{20b9}4281) cannot exceed booking amount (\u{20b9}4280)")
    );
    let (_, body) = put(&world, &admin(), id, "cancel", json!({ "refundType": "full" })).await;
    assert_eq!(body["booking"]["refundAmount"], json!(Paise(total.0 / 2)));
    let sum: Paise = world.outside.asked.borrow().iter().map(|(_, request)| request.amount).sum();
    assert_eq!(sum, total);
}

#[tokio::test]
async fn an_unpaid_booking_is_cancelled_without_a_refund_and_cannot_be_paid_any_more() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    let (status, body) = put(&world, &admin(), id, "cancel", json!({})).await;
    assert_eq!((status, &body["booking"]["refundStatus"]), (200, &json!("not_applicable")));
    assert_eq!((world.outside.taken(batch_id()), world.outside.payables.borrow().len()), (0, 0));
    // Its payment was under way: that goes back, and the booking stays cancelled.
    world.captured(id, "pay_late", Kind::Full, 8_560).await;
    assert_eq!(world.status(id).await.as_deref(), Some("cancelled"));
    let asked = world.outside.asked.borrow().clone();
    assert_eq!(asked.iter().map(|(_, request)| request.payment.as_deref()).collect::<Vec<_>>(), [Some("pay_late")]);
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_booking_without_participants_cannot_be_cancelled_in_part() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.captured(id, "pay", Kind::Full, 8_560).await;
    let body = json!({ "cancellationType": "individual", "selectedParticipants": [Id::derive(&["p"])] });
    assert_eq!(refused(&world, &admin(), id, "cancel", body).await, (400, "No participants to cancel".into()));
    assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"));
}

#[tokio::test]
async fn an_owner_cancels_a_participant_by_the_policy_whatever_else_is_sent() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let people = participants(&world, id).await;
    world.advance(10 * DAY);
    let route = format!("participants/{}/cancel", people[0]);
    let body = json!({ "refundType": "custom", "refundAmount": 4_280, "reason": "Ill" });
    let (status, body) = put(&world, &caller("Meera"), id, &route, body).await;
    assert_eq!((status, &body["message"]), (200, &json!("Participant cancelled successfully")));
    let gone = &body["booking"]["participantDetails"][0];
    assert_eq!((&gone["refundAmount"], &gone["refundType"]), (&json!(3_210), &json!("auto")), "75 % of 4280");
    assert_eq!(gone["cancellationReason"], "Ill");
    assert_eq!(body["booking"]["totalPrice"], 8_560);
    assert!(body["booking"].get("adminRemarks").is_none());
    let again = refused(&world, &caller("Meera"), id, &route, json!({})).await;
    assert_eq!(again, (400, "Participant is already cancelled".into()));
    for unknown in ["nonsense".to_owned(), Id::derive(&["x"]).to_string()] {
        let route = format!("participants/{unknown}/cancel");
        assert_eq!(refused(&world, &admin(), id, &route, json!({})).await, (404, "Participant not found".into()));
    }
    let route = format!("participants/{}/cancel", people[1]);
    let above = json!({ "refundType": "custom", "refundAmount": 4_280.5 });
    let message = "Custom refund amount (\u{20b9}4280.50) cannot exceed participant's share (\u{20b9}4280)";
    assert_eq!(refused(&world, &admin(), id, &route, above).await, (400, message.into()));
    world.advance(25 * DAY);
    let started = "Cannot cancel participant after trek has started";
    assert_eq!(refused(&world, &caller("Meera"), id, &route, Value::Null).await, (400, started.into()));
}

#[tokio::test]
async fn the_last_participant_of_an_owner_cancels_the_booking() {
    let world = World::new().await;
    let id = world.confirmed(1).await;
    let route = format!("participants/{}/cancel", participants(&world, id).await[0]);
    let (_, body) = put(&world, &caller("Meera"), id, &route, Value::Null).await;
    assert_eq!((&body["booking"]["status"], &body["booking"]["cancelledBy"]), (&json!("cancelled"), &json!("user")));
    assert_eq!(world.outside.taken(batch_id()), 0);
}

/// A first instalment of 30 %: the charge comes off what was paid, and those who are left
/// owe their own part of the balance alone.
#[tokio::test]
async fn a_participant_of_a_half_paid_booking_takes_its_part_of_the_balance_along() {
    let world = World::new().await;
    let id = world.booked(json!({ "paymentMode": "partial" })).await;
    world.captured(id, "pay_1", Kind::Initial, 2_568).await;
    let path = format!("/api/bookings/{id}/participants");
    world.ask(Some(&caller("Meera")), "PUT", &path, super::world::people(2)).await;
    let route = format!("participants/{}/cancel", participants(&world, id).await[1]);
    let (_, body) = put(&world, &caller("Meera"), id, &route, Value::Null).await;
    assert_eq!(body["booking"]["participantDetails"][1]["refundAmount"], 1_284, "all that was paid for it");
    assert_eq!(body["booking"]["partialPaymentDetails"]["remainingAmount"], 2_996, "half of 8560 less 1284");
    assert_eq!(world.outside.payables.borrow()[&id].amount, Paise::rupees(2_996));
    world.captured(id, "pay_2", Kind::Balance, 2_996).await;
    assert_eq!(world.status(id).await.as_deref(), Some("confirmed"));
    let (_, body) = world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await;
    assert_eq!((&body["paymentStatus"], &body["totalPrice"]), (&json!("Paid"), &json!(8_560)));
    // What is left of the booking is worth what is left of its money.
    put(&world, &admin(), id, "cancel", json!({ "refundType": "full" })).await;
    let sum: Paise = world.outside.asked.borrow().iter().map(|(_, request)| request.amount).sum();
    assert_eq!(sum, Paise::rupees(2_568 + 2_996));
}

#[tokio::test]
async fn a_charge_above_what_was_paid_gives_nothing_back() {
    let world = World::new().await;
    let id = world.booked(json!({ "paymentMode": "partial" })).await;
    world.captured(id, "pay_1", Kind::Initial, 2_568).await;
    world.advance(18 * DAY);
    let (_, body) = put(&world, &admin(), id, "cancel", json!({})).await;
    assert_eq!(body["booking"]["refundStatus"], "not_applicable", "half of 8560 is more than 2568");
    assert!(world.outside.asked.borrow().is_empty());
}

#[tokio::test]
async fn a_refund_that_payment_refuses_is_failed_and_fails_nothing_else() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    *world.outside.refund_refusal.borrow_mut() = Some("exceeds".into());
    let (status, body) = put(&world, &admin(), id, "cancel", json!({})).await;
    assert_eq!((status, &body["booking"]["refundStatus"]), (200, &json!("failed")));
    assert_eq!(world.stored(id).await.refunded, Paise::ZERO);
    assert!(world.is_settled().await, "asking again would change nothing");
    assert_eq!(
        refused(&world, &admin(), id, "restore", Value::Null).await,
        (400, "Cannot restore a refunded booking".into())
    );
}

#[tokio::test]
async fn booker_and_participants_are_told_what_happened_to_them() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    world.job("mails").await;
    world.outside.mails.borrow_mut().clear();
    put(&world, &admin(), id, "cancel", json!({ "reason": "Landslide" })).await;
    world.job("mails").await;
    let mut to: Vec<_> = world.outside.mails.borrow().iter().map(|mail| mail.email.clone()).collect();
    to.sort();
    assert_eq!(to, ["meera@example.org", "p0@example.org", "p1@example.org"]);
}

#[tokio::test]
async fn an_overdue_balance_cancels_the_booking_without_a_refund() {
    let world = World::new().await;
    let id = world.booked(json!({ "paymentMode": "partial" })).await;
    assert!(world.app.auto_cancel(id).await.is_err(), "not paid at all");
    world.captured(id, "pay_1", Kind::Initial, 2_568).await;
    assert!(world.app.auto_cancel(id).await.is_err(), "not overdue");
    world.advance(25 * DAY + MINUTE);
    let cancelled = world.app.auto_cancel(id).await.unwrap();
    assert_eq!(cancelled.cancellation_reason, "Auto-cancelled due to non-payment of remaining balance");
    assert!(world.app.auto_cancel(id).await.is_err(), "once");
    let (_, body) = world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await;
    assert_eq!((&body["cancelledBy"], &body["refundStatus"]), (&json!("system"), &json!("not_applicable")));
    assert_eq!((world.outside.taken(batch_id()), world.outside.payables.borrow().len()), (0, 0));
    // The balance was under way all the same: it goes back, the first instalment stays.
    world.captured(id, "pay_2", Kind::Balance, 5_992).await;
    let asked = world.outside.asked.borrow().clone();
    assert_eq!(asked.iter().map(|(_, request)| request.amount).collect::<Vec<_>>(), [Paise::rupees(5_992)]);
    assert_eq!(world.status(id).await.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn a_booking_that_nobody_paid_can_be_removed() {
    let world = World::new().await;
    let delete = async |id: Id| {
        let (status, body) = world.ask(Some(&admin()), "DELETE", &format!("/api/bookings/{id}"), Value::Null).await;
        (status, body["message"].as_str().unwrap().to_owned())
    };
    let paid = world.confirmed(2).await;
    assert_eq!(delete(paid).await, (400, "Paid bookings cannot be deleted".into()));
    let id = world.booked(json!({})).await;
    assert_eq!(world.outside.taken(batch_id()), 4);
    assert_eq!(delete(id).await, (200, "Booking removed".into()));
    assert_eq!((world.status(id).await, world.outside.taken(batch_id())), (None, 2));
    assert!(world.outside.payables.borrow().is_empty());
    assert_eq!(delete(id).await, (404, "Booking not found".into()));
    world.captured(id, "pay_late", Kind::Full, 8_560).await;
    assert_eq!(world.outside.refunds.borrow()[0].0, id, "money for a booking that is gone goes back");
}

#[tokio::test]
async fn a_finished_trek_is_marked_once() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let (status, body) = put(&world, &admin(), id, "complete-trek", Value::Null).await;
    assert_eq!((status, &body["message"]), (200, &json!("Trek marked as completed successfully")));
    assert_eq!(body["booking"]["status"], "trek_completed");
    let again = refused(&world, &admin(), id, "complete-trek", Value::Null).await;
    assert_eq!(again, (400, "Only confirmed bookings can be marked as trek completed".into()));
    assert_eq!(
        refused(&world, &admin(), id, "cancel", json!({})).await,
        (400, "This booking cannot be cancelled".into())
    );
    assert_eq!(world.outside.taken(batch_id()), 2);
    let price = world.stored(id).await.price;
    assert_eq!(world.outside.earned.borrow()[&id], price.gst + price.gst_included, "all of the tax is due");
}

#[tokio::test]
async fn staff_see_what_was_done_and_what_became_of_the_refunds() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    put(&world, &admin(), id, "cancel", json!({})).await;
    let (status, body) = world.get(&admin(), &format!("/api/bookings/{id}/commands")).await;
    let command = &body["commands"][0];
    assert_eq!((status, &command["kind"], &command["state"]), (200, &json!("cancel"), &json!("done")));
    assert_eq!((&command["statusBefore"], &command["statusAfter"]), (&json!("confirmed"), &json!("cancelled")));
    assert_eq!(command["actor"], json!(admin().id));
    let (_, body) = world.get(&admin(), &format!("/api/bookings/{id}")).await;
    assert_eq!(body["refunds"][0]["requestedBy"], json!(admin().id));
    assert!(world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await.1.get("refunds").is_none());
}
