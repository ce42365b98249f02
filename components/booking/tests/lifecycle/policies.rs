//! What cancelling gives back is agreed when a booking is made.

use cairn_shared::Id;
use serde_json::{Value, json};

use super::{
    put,
    world::{World, admin, caller, desk, trek_id},
};

fn target(trek: Id) -> String {
    format!("/api/bookings/refund-policies/{trek}")
}

fn half() -> Value {
    json!({ "tiers": [{ "minDays": null, "percent": 50, "description": "Half, always", "color": "text-orange-600" }] })
}

#[tokio::test]
async fn a_booking_keeps_the_policy_that_it_was_made_under() {
    let world = World::new().await;
    let (_, before) = world.get(&admin(), &target(trek_id())).await;
    assert_eq!((&before["policy"]["id"], before["policy"]["tiers"].as_array().unwrap().len()), (&json!("default"), 4));
    let old = world.confirmed(1).await;
    let (status, put_) = world.ask(Some(&admin()), "PUT", &target(trek_id()), half()).await;
    assert_eq!((status, &put_["policy"]["version"]), (200, &json!(1)), "{put_}");
    let new = world.confirmed(1).await;
    let (_, again) = world.ask(Some(&admin()), "PUT", &target(trek_id()), half()).await;
    assert_eq!(again["policy"]["version"], 2);
    assert_eq!(world.stored(new).await.policy.version, 1);
    for (id, refund, words) in [(old, 4_280, "Free cancellation (100% refund)"), (new, 2_140, "Half, always")] {
        let preview = format!("/api/bookings/{id}/calculate-refund");
        let (_, preview) = world.ask(Some(&admin()), "POST", &preview, json!({})).await;
        assert_eq!((&preview["totalRefund"], &preview["policyDescription"]), (&json!(refund), &json!(words)));
        let (_, body) = put(&world, &admin(), id, "cancel", json!({})).await;
        assert_eq!(body["booking"]["refundAmount"], refund);
    }
    let (_, other) = world.get(&desk("stats.bookings"), &target(Id::derive(&["other"]))).await;
    assert_eq!(other["policy"]["id"], "default");
}

#[tokio::test]
async fn a_policy_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let tier =
        |days: Value, percent: f64| json!({ "minDays": days, "percent": percent, "description": "d", "color": "c" });
    for (tiers, problem) in [
        (json!([]), "at least one tier"),
        (json!([tier(json!(5), 50.0)]), "The last tier has no minDays"),
        (json!([tier(json!(null), 50.0), tier(json!(null), 0.0)]), "Only the last tier"),
        (json!([tier(json!(5), 50.0), tier(json!(5), 40.0), tier(json!(null), 0.0)]), "from many days to few"),
        (json!([tier(json!(5), 50.0), tier(json!(null), 60.0)]), "cannot give back more"),
        (json!([tier(json!(null), 101.0)]), "from 0 to 100 percent"),
        (json!([tier(json!(-1), 50.0), tier(json!(null), 0.0)]), "minDays"),
        (json!("half"), "tiers"),
    ] {
        let (status, body) = world.ask(Some(&admin()), "PUT", &target(trek_id()), json!({ "tiers": tiers })).await;
        assert_eq!(status, 400, "{tiers}: {body}");
        assert!(body["message"].as_str().unwrap().contains(problem), "{tiers}: {body}");
    }
    assert_eq!(world.get(&caller("Meera"), &target(trek_id())).await.0, 403);
    assert_eq!(world.ask(Some(&desk("actions.manageBookings")), "PUT", &target(trek_id()), half()).await.0, 403);
}
