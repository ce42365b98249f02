//! Services that stop in the middle, at every step of every command, once before and once
//! after they did what they were asked; then a job, and what has to be true again.

use cairn_booking::domain::{Kind, Status};
use cairn_shared::Sql;
use cairn_shared::{
    Db, Id, Paise, params,
    time::{DAY, MINUTE},
};
use serde_json::{Value, json};

use super::{
    participants, put,
    world::{World, admin, batch_id, caller, later_batch},
};

/// Steps of a command that ask other services, settling included, and some more.
const STEPS_MAX: u32 = 8;

#[derive(Debug, Clone, Copy)]
enum Command {
    Cancel,
    CancelParticipant,
    CancelLastParticipant,
    Restore,
    RestoreParticipant,
    Shift,
    ApproveReschedule,
    ShiftUnpaid,
    AutoCancel,
    Complete,
    Delete,
    Expire,
}

const ALL: [Command; 12] = [
    Command::Cancel,
    Command::CancelParticipant,
    Command::CancelLastParticipant,
    Command::Restore,
    Command::RestoreParticipant,
    Command::Shift,
    Command::ApproveReschedule,
    Command::ShiftUnpaid,
    Command::AutoCancel,
    Command::Complete,
    Command::Delete,
    Command::Expire,
];

/// A booking on which the command can be run.
async fn prepare(world: &World, command: Command) -> Id {
    match command {
        Command::ShiftUnpaid | Command::Delete | Command::Expire => world.booked(json!({})).await,
        Command::AutoCancel => {
            let id = world.booked(json!({ "paymentMode": "partial" })).await;
            world.captured(id, "pay_1", Kind::Initial, 2_568).await;
            world.advance(25 * DAY + MINUTE);
            id
        }
        Command::Cancel | Command::CancelParticipant | Command::Shift | Command::Complete => world.confirmed(2).await,
        Command::CancelLastParticipant => world.confirmed(1).await,
        Command::Restore => {
            let id = world.confirmed(2).await;
            put(world, &admin(), id, "cancel", json!({ "refund": false })).await;
            id
        }
        Command::RestoreParticipant => {
            let id = world.confirmed(2).await;
            let first = participants(world, id).await[0];
            put(world, &admin(), id, "cancel", json!({ "participantId": first, "refund": false })).await;
            id
        }
        Command::ApproveReschedule => {
            let id = world.confirmed(2).await;
            let body = json!({ "requestType": "reschedule", "preferredBatch": later_batch().id });
            let target = format!("/api/bookings/{id}/cancellation-request");
            world.ask(Some(&caller("Meera")), "POST", &target, body).await;
            id
        }
    }
}

/// Runs the command; whether it said that it worked.
async fn run(world: &World, command: Command, id: Id) -> bool {
    let person = participants(world, id).await.first().map(ToString::to_string).unwrap_or_default();
    let (route, body) = match command {
        Command::Cancel => ("cancel".into(), json!({})),
        Command::CancelParticipant | Command::CancelLastParticipant => {
            (format!("participants/{person}/cancel"), json!({}))
        }
        Command::Restore => ("restore".into(), json!({})),
        Command::RestoreParticipant => (format!("participants/{person}/restore"), json!({})),
        Command::Shift | Command::ShiftUnpaid => ("shift-batch".into(), json!({ "newBatchId": later_batch().id })),
        Command::ApproveReschedule => ("cancellation-request".into(), json!({ "status": "approved" })),
        Command::Complete => ("complete-trek".into(), json!({})),
        Command::AutoCancel => return world.app.auto_cancel(id).await.is_ok(),
        Command::Delete => {
            return world.ask(Some(&admin()), "DELETE", &format!("/api/bookings/{id}"), Value::Null).await.0 == 200;
        }
        Command::Expire => {
            world.advance(31 * MINUTE);
            return world.job("expire").await == 204;
        }
    };
    put(world, &admin(), id, &route, body).await.0 == 200
}

/// What has to be true whenever everything is settled, whatever happened before.
async fn check(world: &World, id: Id, what: &str) {
    assert!(world.is_settled().await, "{what}: work is left");
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM commands WHERE ended_at IS NULL").await, 0, "{what}");
    assert!(world.outside.places.borrow().is_empty(), "{what}: a place is kept for nobody");
    let holds = world.outside.holds.borrow().clone();
    let payables = world.outside.payables.borrow().clone();
    let asked = world.outside.asked.borrow().clone();
    let Some(status) = world.status(id).await else {
        assert!(holds.is_empty() && payables.is_empty(), "{what}: something is left of a booking that is gone");
        return;
    };
    let booking = world.stored(id).await;
    if booking.status.holds_seats() {
        let hold = holds[&id];
        assert_eq!((hold.batch, hold.seats), (booking.batch_id, booking.seats()), "{what}: seats of {status}");
    } else {
        assert!(!holds.contains_key(&id), "{what}: seats of {status}");
    }
    let owed = cairn_booking::domain::payable(&booking).map(|payable| payable.amount);
    assert_eq!(payables.get(&id).map(|payable| payable.amount), owed, "{what}: what {status} owes");
    // Each refund is asked for once, and together they never exceed what was captured.
    let mut keys: Vec<_> = asked.iter().map(|(_, request)| request.key.clone()).collect();
    keys.dedup();
    assert_eq!(keys.len(), booking.refund_requests.len(), "{what}: refunds");
    assert!(booking.refund_requests.iter().all(|request| request.asked), "{what}: refunds");
    let sum: Paise = asked.iter().map(|(_, request)| request.amount).sum();
    assert_eq!(sum, booking.refunded, "{what}: refunds");
    assert!(sum <= booking.paid, "{what}: more goes back than came in");
    // The money of a trip that is over or called off is earned, and of no other one.
    let over = matches!(booking.status, Status::TrekCompleted | Status::Cancelled) && booking.paid > Paise::ZERO;
    let earned = world.outside.earned.borrow().get(&id).copied();
    assert_eq!(earned, over.then(|| booking.tax_on_kept()), "{what}: what is earned of {status}");
    // A mail tells only of what happened.
    let unfounded =
        "SELECT COUNT(*) AS n FROM mails JOIN commands ON mails.key LIKE '%/' || commands.id WHERE state = 'undone'";
    assert_eq!(world.count(unfounded).await, 0, "{what}: a mail of what did not happen");
}

#[tokio::test]
async fn every_command_that_dies_anywhere_is_finished_or_undone_within_a_minute() {
    for command in ALL {
        let mut died = 0;
        for steps in 0..STEPS_MAX {
            for lost_answer in [false, true] {
                let what = format!("{command:?}, step {steps}, lost answer {lost_answer}");
                let world = World::new().await;
                let id = prepare(&world, command).await;
                let before = world.status(id).await;
                let batch_before = world.stored(id).await.batch_id;
                world.outside.stop_after.set(Some(steps));
                world.outside.lost_answer.set(lost_answer);
                let worked = run(&world, command, id).await;
                died += u32::from(!worked);
                world.recover().await;
                check(&world, id, &what).await;
                let commands = world.commands().await;
                let state = commands.last().unwrap().rsplit(' ').next().unwrap().to_owned();
                if worked {
                    assert_eq!(state, "done", "{what}");
                }
                if state == "undone" {
                    assert_eq!(world.status(id).await, before, "{what}");
                    assert_eq!(world.stored(id).await.batch_id, batch_before, "{what}");
                    // What did not come to be can be tried again.
                    if !matches!(command, Command::Expire | Command::ShiftUnpaid) {
                        assert!(run(&world, command, id).await, "{what}, again");
                        check(&world, id, &what).await;
                    }
                }
            }
        }
        let asks_first = matches!(
            command,
            Command::Restore
                | Command::RestoreParticipant
                | Command::Shift
                | Command::ApproveReschedule
                | Command::ShiftUnpaid
        );
        assert_eq!(died > 0, asks_first || matches!(command, Command::Expire), "{command:?} died {died} times");
    }
}

/// A host that died leaves a command whose lease runs out. Somebody else's command takes
/// the booking over before any job has run.
#[tokio::test]
async fn a_command_takes_over_what_another_one_left() {
    for (first, steps) in
        [(Command::Shift, 1), (Command::Shift, 2), (Command::Cancel, 1), (Command::CancelParticipant, 0)]
    {
        let world = World::new().await;
        let id = prepare(&world, first).await;
        world.outside.stop_after.set(Some(steps));
        run(&world, first, id).await;
        world.outside.stop_after.set(None);
        world.advance(21_000);
        let (status, body) = put(&world, &admin(), id, "cancel", json!({ "refundType": "full" })).await;
        let already = matches!(first, Command::Cancel);
        assert_eq!(status, if already { 400 } else { 200 }, "{first:?}: {body}");
        world.recover().await;
        check(&world, id, &format!("{first:?}, then cancelled")).await;
        assert_eq!(world.status(id).await.as_deref(), Some("cancelled"));
        assert_eq!((world.outside.taken(batch_id()), world.outside.taken(later_batch().id)), (0, 0));
    }
}

#[tokio::test]
async fn two_at_once_take_turns_and_the_second_decides_by_what_the_first_did() {
    let world = World::new().await;
    let id = world.confirmed(3).await;
    let people = participants(&world, id).await;
    let (meera, desk) = (caller("Meera"), admin());
    let owner = format!("participants/{}/cancel", people[0]);
    let (one, other, shifted) = tokio::join!(
        put(&world, &meera, id, &owner, Value::Null),
        put(&world, &desk, id, "cancel", json!({ "refundType": "full" })),
        put(&world, &desk, id, "shift-batch", json!({ "newBatchId": later_batch().id })),
    );
    let statuses = [one.0, other.0, shifted.0];
    assert!(statuses.iter().all(|status| [200, 400, 409].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
    world.recover().await;
    check(&world, id, &format!("{statuses:?}")).await;
}

/// Details take no lease, so they change the row under a command that has one. The command
/// decides once more; if the row changes again, it is refused and nothing has happened.
#[tokio::test]
async fn a_row_that_changes_under_a_command_is_decided_on_again() {
    let (mut worked, mut refused) = (0, 0);
    for hurry in 0..12 {
        let world = World::new().await;
        let id = world.confirmed(2).await;
        let (meera, desk) = (caller("Meera"), admin());
        let path = format!("/api/bookings/{id}/participants");
        let details = async {
            for _ in 0..hurry {
                tokio::task::yield_now().await;
            }
            for _ in 0..1 + hurry % 4 {
                world.ask(Some(&meera), "PUT", &path, super::world::people(2)).await;
            }
        };
        let shift = put(&world, &desk, id, "shift-batch", json!({ "newBatchId": later_batch().id }));
        let ((), (status, body)) = tokio::join!(details, shift);
        match status {
            200 => worked += 1,
            409 if hurry % 4 > 0 => refused += 1,
            _ => panic!("{status} after {hurry}: {body}"),
        }
        let expected = if status == 200 { later_batch().id } else { batch_id() };
        world.recover().await;
        check(&world, id, &format!("{status} after {hurry}")).await;
        assert_eq!(world.stored(id).await.batch_id, expected);
        assert_eq!(world.stored(id).await.participants.len(), 2);
    }
    assert!(worked > 0, "{worked} worked, {refused} were refused");
}

/// The lease is somebody's, and does not end: 409, and nothing has changed.
#[tokio::test]
async fn a_booking_that_somebody_else_has_is_a_conflict() {
    let world = World::with(Db::for_test().await.unwrap()).await;
    let id = world.confirmed(2).await;
    let taken = "UPDATE bookings SET lease = 'other', lease_until = $1 WHERE id = $2";
    world.app.db.execute(taken, params![world.clock.get() + MINUTE, id]).await.unwrap();
    let (status, body) = put(&world, &admin(), id, "cancel", json!({})).await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("CONFLICT")));
    assert_eq!(world.status(id).await.as_deref(), Some("confirmed"));
    assert!(world.commands().await.is_empty());
}
