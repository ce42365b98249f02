//! Declarations of health and fitness, and what waits for them.

mod world;

use cairn_booking::{
    app::{Message, News},
    domain::{Kind, Status},
};
use cairn_shared::{Component, Id, Sql, identity::Caller, params};
use serde_json::{Value, json};
use world::{World, admin, caller, desk, people, trek_id};

fn form_path() -> String {
    format!("/api/bookings/declaration-forms/{}", trek_id())
}

fn form() -> Value {
    json!({ "questions": [
        { "key": "heart", "text": "Do you have a condition of the heart?", "kind": "yes_no", "required": true },
        { "key": "remarks", "text": "Anything else we should know?", "kind": "text" },
    ]})
}

/// What nobody else may read.
const SECRET: &str = "Vertigo since 2019";

fn answers() -> Value {
    json!({ "answers": { "heart": false, "remarks": SECRET } })
}

fn clerk() -> Caller {
    desk("actions.manageBookings")
}

impl World {
    async fn put(&self, who: &Caller, target: &str, body: Value) -> (u16, Value) {
        self.advance(1);
        self.ask(Some(who), "PUT", target, body).await
    }

    async fn with_form() -> Self {
        let world = Self::new().await;
        let (status, body) = world.put(&admin(), &form_path(), form()).await;
        assert_eq!((status, &body["form"]["version"]), (200, &json!(1)), "{body}");
        world
    }

    /// A paid booking of two whose details are in.
    async fn detailed(&self) -> (Id, Vec<Id>) {
        let id = self.booked(json!({})).await;
        self.captured_paise(id, &format!("pay_{id}"), Kind::Full, self.total(id).await).await;
        assert_eq!(self.put(&caller("Meera"), &format!("/api/bookings/{id}/participants"), people(2)).await.0, 200);
        (id, self.stored(id).await.participants.iter().map(|participant| participant.id).collect())
    }

    async fn declare(&self, id: Id, participant: Id) -> (u16, Value) {
        self.put(&caller("Meera"), &format!("/api/bookings/{id}/declarations/{participant}"), answers()).await
    }

    /// The declaration of a participant that counts.
    async fn latest(&self, id: Id, participant: Id) -> Value {
        let (status, body) = self.get(&clerk(), &format!("/api/bookings/{id}/declarations")).await;
        assert_eq!(status, 200, "{body}");
        let found =
            body["participants"].as_array().unwrap().iter().find(|one| one["participant"] == json!(participant));
        found.unwrap().clone()
    }

    async fn decide(&self, id: Id, participant: Id, decision: &str) -> (u16, Value) {
        let declaration = self.latest(id, participant).await["declaration"]["_id"].clone();
        let body = json!({ "declaration": declaration, "decision": decision, "note": "Please see a doctor" });
        self.put(&clerk(), &format!("/api/bookings/{id}/declarations/{participant}/decision"), body).await
    }

    async fn cleared(&self, id: Id, participant: Id) {
        assert_eq!(self.declare(id, participant).await.0, 200);
        assert_eq!(self.decide(id, participant, "approved").await.0, 200);
    }

    async fn is(&self, id: Id, status: Status) {
        assert_eq!(self.status(id).await.as_deref(), Some(status.as_str()));
    }

    /// What the booker and staff were told since the last time.
    async fn told(&self) -> Vec<(String, &'static str)> {
        assert_eq!(self.job("mails").await, 204);
        let kind = |message: &Message| match message {
            Message::Notice(_, News::Confirmed { .. }) => "confirmed",
            Message::Notice(_, News::DeclarationWanted { .. }) => "wanted",
            Message::Notice(_, News::DeclarationReceived { .. }) => "received",
            Message::Notice(_, News::DeclarationDecided { approved: true, .. }) => "approved",
            Message::Notice(_, News::DeclarationDecided { approved: false, .. }) => "refused",
            _ => "other",
        };
        let mails: Vec<_> = self.outside.mails.borrow_mut().drain(..).collect();
        let mut told: Vec<_> = mails.into_iter().map(|mail| (mail.email, kind(&mail.message))).collect();
        told.retain(|(_, kind)| *kind != "other");
        told.sort();
        told
    }
}

fn mail(to: &str, kind: &'static str) -> (String, &'static str) {
    (format!("{to}@example.org"), kind)
}

#[tokio::test]
async fn a_paid_booking_is_confirmed_with_the_last_approval() {
    let world = World::with_form().await;
    let (id, people) = world.detailed().await;
    world.is(id, Status::PaymentCompleted).await;
    assert_eq!(world.told().await, [mail("meera", "wanted")]);
    world.cleared(id, people[0]).await;
    world.is(id, Status::PaymentCompleted).await;
    assert_eq!(world.told().await, [mail("accounts", "received"), mail("meera", "approved")]);
    assert_eq!(world.declare(id, people[1]).await.0, 200);
    world.is(id, Status::PaymentCompleted).await;
    let (status, body) = world.decide(id, people[1], "approved").await;
    assert_eq!((status, &body["status"], &body["isCleared"]), (200, &json!("confirmed"), &json!(true)), "{body}");
    let confirmed = ["meera", "p0", "p1"].map(|to| mail(to, "confirmed"));
    let mut expected = vec![mail("accounts", "received"), mail("meera", "approved")];
    expected.extend(confirmed);
    expected.sort();
    assert_eq!(world.told().await, expected);
    assert_eq!(world.declare(id, people[1]).await.1["detail"], "This declaration has been approved already");
    // An approval that is taken back takes the confirmation along.
    assert_eq!(world.decide(id, people[0], "asked_again").await.0, 200);
    world.is(id, Status::PaymentCompleted).await;
    world.cleared(id, people[0]).await;
    world.is(id, Status::Confirmed).await;
}

#[tokio::test]
async fn nobody_is_confirmed_around_the_declarations() {
    let world = World::with_form().await;
    let (id, people) = world.detailed().await;
    let status = json!({ "status": "confirmed" });
    assert_eq!(world.put(&admin(), &format!("/api/bookings/{id}/status"), status).await.0, 400);
    let edit = json!({ "participantDetails": [{ "_id": people[0], "age": 30 }, { "_id": people[1] }] });
    assert_eq!(world.put(&admin(), &format!("/api/bookings/{id}"), edit).await.0, 200);
    world.is(id, Status::PaymentCompleted).await;
    for person in &people {
        world.cleared(id, *person).await;
    }
    world.is(id, Status::Confirmed).await;
    // Another name is another person.
    let mut renamed = world::people(2);
    renamed["participants"][0]["name"] = "Somebody Else".into();
    assert_eq!(world.put(&caller("Meera"), &format!("/api/bookings/{id}/participants"), renamed).await.0, 200);
    world.is(id, Status::PaymentCompleted).await;
    assert_eq!(world.latest(id, people[0]).await["state"], "missing");
    world.cleared(id, people[0]).await;
    world.is(id, Status::Confirmed).await;
}

#[tokio::test]
async fn a_deposit_is_confirmed_when_both_the_balance_and_the_approvals_are_there() {
    let world = World::with_form().await;
    let id = world.booked(json!({ "paymentMode": "partial" })).await;
    assert_eq!(world.captured(id, "pay_1", Kind::Initial, 2_568).await, 204);
    assert_eq!(world.put(&caller("Meera"), &format!("/api/bookings/{id}/participants"), people(2)).await.0, 200);
    for participant in world.stored(id).await.participants {
        world.cleared(id, participant.id).await;
    }
    world.is(id, Status::PaymentConfirmedPartial).await;
    let rest = world.stored(id).await.partial.unwrap().remaining;
    assert_eq!(world.captured_paise(id, "pay_2", Kind::Balance, rest).await, 204);
    world.is(id, Status::Confirmed).await;
}

#[tokio::test]
async fn a_seat_that_goes_to_another_person_waits_for_a_new_declaration() {
    let world = World::with_form().await;
    let (id, people) = world.detailed().await;
    for person in &people {
        world.cleared(id, *person).await;
    }
    world.told().await;
    let comes = json!({ "participant": { "name": "Kavya", "email": "kavya@example.org", "phone": "9800000009" } });
    let target = format!("/api/bookings/{id}/participants/{}/transfer", people[0]);
    let (status, body) = world.ask(Some(&caller("Meera")), "POST", &target, comes).await;
    assert_eq!((status, body["booking"]["status"].as_str()), (200, Some("payment_completed")), "{body}");
    assert_eq!(world.told().await, [mail("meera", "wanted")]);
    let newcomer = world.stored(id).await.participants[0].id;
    world.cleared(id, newcomer).await;
    world.is(id, Status::Confirmed).await;
    assert!(world.told().await.contains(&mail("kavya", "confirmed")));
}

#[tokio::test]
async fn who_is_refused_is_cancelled_with_a_full_refund_or_asked_again() {
    let world = World::with_form().await;
    let (id, people) = world.detailed().await;
    world.cleared(id, people[0]).await;
    world.declare(id, people[1]).await;
    assert_eq!(world.decide(id, people[1], "refused").await.0, 200);
    assert!(world.told().await.contains(&mail("meera", "refused")));
    let (status, body) = world.declare(id, people[1]).await;
    assert_eq!((status, body["detail"].as_str()), (400, Some("This declaration was refused. Please contact us.")));
    assert_eq!(world.latest(id, people[1]).await["declaration"]["note"], "Please see a doctor");
    assert_eq!(world.decide(id, people[1], "asked_again").await.0, 200);
    assert_eq!(world.declare(id, people[1]).await.0, 200);
    assert_eq!(world.decide(id, people[1], "refused").await.0, 200);
    let share = world.stored(id).await.share(1);
    let cancel = json!({ "participantId": people[1], "refundType": "full" });
    assert_eq!(world.put(&admin(), &format!("/api/bookings/{id}/cancel"), cancel).await.0, 200);
    assert_eq!(world.outside.asked.borrow()[0].1.amount, share);
    world.is(id, Status::Confirmed).await;
    assert!(world.told().await.contains(&mail("p0", "confirmed")), "the others wait for nobody any more");
}

#[tokio::test]
async fn what_is_declared_is_for_the_owner_and_for_staff_who_may() {
    let world = World::with_form().await;
    let (id, people) = world.detailed().await;
    assert_eq!(world.declare(id, people[0]).await.0, 200);
    let path = format!("/api/bookings/{id}/declarations");
    let (one, decision) = (format!("{path}/{}", people[0]), format!("{path}/{}/decision", people[0]));
    let declaration = world.latest(id, people[0]).await["declaration"]["_id"].clone();
    let approve = json!({ "declaration": declaration, "decision": "approved" });
    for (method, target, body) in
        [("GET", &path, Value::Null), ("PUT", &one, answers()), ("PUT", &decision, approve.clone())]
    {
        assert_eq!(world.ask(None, method, target, body.clone()).await.0, 401, "{method} {target}");
        for stranger in [caller("Asha"), desk("stats.bookings")] {
            assert_eq!(world.ask(Some(&stranger), method, target, body.clone()).await.0, 403, "{method} {target}");
        }
    }
    assert_eq!(world.put(&caller("Meera"), &decision, approve).await.0, 403, "owners do not clear themselves");
    assert_eq!(world.put(&clerk(), &form_path(), form()).await.0, 403);
    assert_eq!(world.get(&caller("Meera"), &form_path()).await.0, 403);
    assert_eq!(world.get(&caller("Meera"), "/api/bookings/declarations").await.0, 403);
    for reader in [caller("Meera"), clerk(), admin()] {
        let (status, body) = world.get(&reader, &path).await;
        assert_eq!((status, &body["participants"][0]["declaration"]["answers"]["remarks"]), (200, &json!(SECRET)));
        assert_eq!(
            (&body["participants"][1]["state"], &body["form"]["questions"][0]["key"]),
            (&json!("missing"), &json!("heart"))
        );
    }
    let (_, waiting) = world.get(&clerk(), "/api/bookings/declarations").await;
    assert_eq!((&waiting["pagination"]["total"], &waiting["declarations"][0]["name"]), (&json!(1), &json!("Person 0")));
    assert!(!waiting.to_string().contains(SECRET));
    world.decide(id, people[0], "approved").await;
    // It is in its own table and nowhere else.
    for table in ["bookings", "outbox", "audit", "mails", "commands", "declaration_forms"] {
        let rows = world.app.db().query(&["SELECT * FROM ", table].concat(), params![]).await.unwrap();
        assert!(!format!("{rows:?}").contains("Vertigo"), "{table}");
    }
    let (_, audit) =
        world.get(&admin(), &format!("/api/bookings/audit?subject={id}&action=declaration.approved")).await;
    assert_eq!(audit["entries"][0]["after"], json!({ "state": "approved" }));
}

#[tokio::test]
async fn a_decision_is_about_the_declaration_that_was_read() {
    let world = World::with_form().await;
    let (id, people) = world.detailed().await;
    world.declare(id, people[0]).await;
    let read = world.latest(id, people[0]).await["declaration"]["_id"].clone();
    world.declare(id, people[0]).await;
    let path = format!("/api/bookings/{id}/declarations/{}/decision", people[0]);
    let (status, _) = world.put(&clerk(), &path, json!({ "declaration": read, "decision": "approved" })).await;
    assert_eq!(status, 409);
    for (body, problem) in [
        (json!({ "decision": "approved" }), "declaration"),
        (json!({ "declaration": read, "decision": "submitted" }), "approved, asked_again, refused"),
        (json!({ "declaration": read, "decision": "refused", "note": "x".repeat(1_001) }), "1000"),
    ] {
        let (status, answer) = world.put(&clerk(), &path, body).await;
        assert!(status == 400 && answer["detail"].as_str().unwrap().contains(problem), "{answer}");
    }
    let nobody = format!("/api/bookings/{id}/declarations/{}/decision", Id::derive(&["nobody"]));
    assert_eq!(world.put(&clerk(), &nobody, json!({ "declaration": read, "decision": "refused" })).await.0, 404);
}

#[tokio::test]
async fn a_booking_keeps_the_form_that_it_was_made_under() {
    let world = World::new().await;
    let before = world.confirmed(1).await;
    assert_eq!(world.get(&admin(), &form_path()).await.1["form"], Value::Null);
    world.put(&admin(), &form_path(), form()).await;
    let (asked, people) = world.detailed().await;
    let (status, body) = world.put(&admin(), &form_path(), json!({ "questions": [] })).await;
    assert_eq!((status, &body["form"]["version"]), (200, &json!(2)));
    world.confirmed(1).await;
    world.is(before, Status::Confirmed).await;
    world.is(asked, Status::PaymentCompleted).await;
    let person = world.stored(before).await.participants[0].id;
    let (status, body) = world.declare(before, person).await;
    assert_eq!((status, body["detail"].as_str()), (400, Some("Nothing has to be declared for this booking")));
    let target = format!("/api/bookings/{asked}/declarations/{}", people[0]);
    for (given, problem) in [
        (json!({}), "answers"),
        (json!({ "answers": {} }), "heart has to be answered"),
        (json!({ "answers": { "x": 1 } }), "no question"),
    ] {
        let (status, body) = world.put(&caller("Meera"), &target, given).await;
        assert!(status == 400 && body["detail"].as_str().unwrap().contains(problem), "{body}");
    }
    let twice = json!({ "questions": [form()["questions"][0], form()["questions"][0]] });
    assert_eq!(world.put(&admin(), &form_path(), twice).await.0, 400);
    assert_eq!(world.app.declaration_form(trek_id()).await.unwrap().unwrap().version, 2);
}
