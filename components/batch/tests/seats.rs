//! Seats on a real database: nobody gets one that somebody else has.

use std::{cell::Cell, rc::Rc};

use cairn_batch::{
    app::App,
    domain::{Batch, HoldRequest, MoveRequest, SeatsError},
    store,
};
use cairn_shared::{
    Component, Db, Env, Id, Paise, Timestamp, component,
    config::Config,
    http::Request,
    time::{DAY, MINUTE},
    upstream::Unreachable,
};
use futures::future::join_all;

struct World {
    app: Rc<App>,
    batch: Id,
    now: Rc<Cell<Timestamp>>,
}

async fn world(max_participants: u32, reserved_slots: u32) -> World {
    let now = Rc::new(Cell::new("2026-11-22".parse().unwrap()));
    let clock = now.clone();
    let env = Env::new("batch", Rc::new(move || clock.get()), Rc::new(Unreachable));
    let app = App::load(Config::of(&[]), Db::for_test().await.unwrap(), env).unwrap();
    component::prepare(&app).await.unwrap();
    let batch = Id::derive(&["batch"]);
    let row = Batch {
        id: batch,
        trek_id: Id::derive(&["trek"]),
        trek_name: "Ridge".into(),
        start_date: now.get().plus(30 * DAY),
        end_date: now.get().plus(31 * DAY),
        price: Paise::rupees(4000),
        max_participants,
        reserved_slots,
        taken: 0,
        cancelled: false,
        version: 1,
    };
    app.db.transaction(async |tx| store::batch_insert(tx, &row, now.get()).await).await.unwrap();
    World { app: Rc::new(app), batch, now }
}

impl World {
    fn request(&self, key: &str, seats: u32) -> HoldRequest {
        let expires_at = self.now.get().plus(30 * MINUTE);
        HoldRequest { key: key.into(), batch_id: self.batch, seats, expires_at, use_reserved: false }
    }

    async fn hold(&self, key: &str, seats: u32) -> Result<u32, SeatsError> {
        self.app.hold(&self.request(key, seats)).await.map(|batch| batch.taken)
    }

    /// Another batch of so many seats.
    async fn another(&self, max_participants: u32) -> Id {
        let first = self.app.batch(self.batch).await.unwrap().unwrap();
        let row = Batch { id: Id::derive(&["another"]), max_participants, reserved_slots: 0, taken: 0, ..first };
        self.app.db.transaction(async |tx| store::batch_insert(tx, &row, self.now.get()).await).await.unwrap();
        row.id
    }

    async fn taken(&self) -> u32 {
        self.app.batch(self.batch).await.unwrap().unwrap().taken
    }

    fn wait(&self, millis: i64) {
        self.now.set(self.now.get().plus(millis));
    }
}

#[tokio::test]
async fn the_last_seat_goes_to_one() {
    let world = world(3, 0).await;
    assert_eq!(world.hold("a", 2).await, Ok(2));
    assert_eq!(world.hold("b", 2).await, Err(SeatsError::SoldOut(1)));
    assert_eq!(world.hold("b", 1).await, Ok(3));
    assert_eq!(world.hold("c", 1).await, Err(SeatsError::SoldOut(0)));
}

#[tokio::test]
async fn a_repeated_hold_changes_nothing_and_another_number_only_the_difference() {
    let world = world(5, 0).await;
    assert_eq!(world.hold("a", 2).await, Ok(2));
    assert_eq!(world.hold("a", 2).await, Ok(2));
    assert_eq!(world.hold("a", 5).await, Ok(5));
    assert_eq!(world.hold("a", 1).await, Ok(1));
    assert_eq!(world.hold("a", 6).await, Err(SeatsError::SoldOut(5)));
    assert_eq!(world.taken().await, 1);
}

#[tokio::test]
async fn an_expired_hold_is_not_counted_though_no_job_has_run() {
    let world = world(2, 0).await;
    world.hold("a", 2).await.unwrap();
    world.wait(30 * MINUTE);
    assert_eq!(world.taken().await, 0);
    assert_eq!(world.hold("b", 2).await, Ok(2));
    assert_eq!(world.app.confirm("a").await, Err(SeatsError::SoldOut(0)));
}

#[tokio::test]
async fn an_expired_hold_is_confirmed_if_its_seats_are_still_free() {
    let world = world(2, 0).await;
    world.hold("a", 2).await.unwrap();
    world.wait(DAY);
    world.app.confirm("a").await.unwrap();
    assert_eq!(world.taken().await, 2);
    world.app.confirm("a").await.unwrap();
    world.wait(DAY);
    assert_eq!(world.taken().await, 2);
}

#[tokio::test]
async fn releasing_gives_seats_back_once() {
    let world = world(4, 0).await;
    world.hold("a", 2).await.unwrap();
    world.hold("b", 1).await.unwrap();
    world.app.release("a").await.unwrap();
    world.app.release("a").await.unwrap();
    assert_eq!(world.taken().await, 1);
    world.wait(DAY);
    world.app.release("b").await.unwrap();
    assert_eq!(world.taken().await, 0);
    assert_eq!(world.app.confirm("b").await, Err(SeatsError::NoHold));
}

#[tokio::test]
async fn an_extended_hold_lives_longer_and_a_dead_one_is_not_revived() {
    let world = world(2, 0).await;
    world.hold("a", 1).await.unwrap();
    world.app.extend("a", world.now.get().plus(60 * MINUTE)).await.unwrap();
    world.wait(45 * MINUTE);
    assert_eq!(world.taken().await, 1);
    world.wait(15 * MINUTE);
    assert_eq!(world.app.extend("a", world.now.get().plus(MINUTE)).await, Err(SeatsError::NoHold));
}

#[tokio::test]
async fn reserved_seats_are_sold_by_staff_only() {
    let world = world(3, 2).await;
    assert_eq!(world.hold("a", 2).await, Err(SeatsError::SoldOut(1)));
    let staff = HoldRequest { use_reserved: true, ..world.request("s", 3) };
    assert_eq!(world.app.hold(&staff).await.unwrap().taken, 3);
}

#[tokio::test]
async fn fewer_seats_are_always_had_and_more_only_while_they_are_free() {
    let world = world(5, 1).await;
    world.hold("a", 3).await.unwrap();
    world.app.confirm("a").await.unwrap();
    assert_eq!(world.app.resize("a", 5, false).await, Err(SeatsError::SoldOut(4)));
    assert_eq!(world.app.resize("a", 5, true).await.unwrap().taken, 5);
    for _ in 0..2 {
        assert_eq!(world.app.resize("a", 1, false).await.unwrap().taken, 1);
    }
    assert_eq!(world.app.resize("b", 1, false).await, Err(SeatsError::NoHold));
    assert!(matches!(world.app.resize("a", 0, false).await, Err(SeatsError::Invalid(_))));
    world.hold("c", 1).await.unwrap();
    world.wait(DAY);
    assert_eq!(world.app.resize("c", 2, false).await, Err(SeatsError::NoHold), "it has run out");
}

#[tokio::test]
async fn a_move_takes_the_place_that_was_kept_for_it_and_repeated_changes_nothing() {
    let world = world(5, 0).await;
    let other = world.another(4).await;
    world.hold("a", 3).await.unwrap();
    world.app.confirm("a").await.unwrap();
    let place = HoldRequest { batch_id: other, ..world.request("a/place", 3) };
    world.app.hold(&place).await.unwrap();
    world.app.confirm("a/place").await.unwrap();
    let request =
        MoveRequest { key: "a".into(), batch_id: other, seats: 3, taking: Some("a/place".into()), use_reserved: false };
    for _ in 0..2 {
        assert_eq!(world.app.relocate(&request).await.unwrap().taken, 3);
        assert_eq!(world.taken().await, 0);
    }
    world.wait(DAY);
    assert_eq!(world.app.batch(other).await.unwrap().unwrap().taken, 3, "for good");
    world.app.release("a").await.unwrap();
    assert_eq!(world.app.batch(other).await.unwrap().unwrap().taken, 0);
    assert_eq!(world.app.relocate(&request).await, Err(SeatsError::NoHold));
}

#[tokio::test]
async fn a_move_that_is_refused_leaves_both_batches_as_they_were() {
    let world = world(5, 0).await;
    let other = world.another(2).await;
    world.hold("a", 3).await.unwrap();
    let request = |taking: Option<&str>| MoveRequest {
        key: "a".into(),
        batch_id: other,
        seats: 3,
        taking: taking.map(Into::into),
        use_reserved: true,
    };
    assert_eq!(world.app.relocate(&request(None)).await, Err(SeatsError::SoldOut(2)));
    world.hold("b", 1).await.unwrap();
    assert!(matches!(world.app.relocate(&request(Some("b"))).await, Err(SeatsError::Invalid(_))), "it is elsewhere");
    assert!(matches!(world.app.relocate(&request(Some("a"))).await, Err(SeatsError::Invalid(_))));
    let nowhere = MoveRequest { batch_id: Id::derive(&["x"]), ..request(None) };
    assert_eq!(world.app.relocate(&nowhere).await, Err(SeatsError::BatchNotFound));
    assert_eq!((world.taken().await, world.app.batch(other).await.unwrap().unwrap().taken), (4, 0));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = world(3, 0).await;
    for (key, seats) in [("", 1), ("a", 0), ("a", 101)] {
        assert!(matches!(world.hold(key, seats).await, Err(SeatsError::Invalid(_))), "{key} {seats}");
    }
    let past = HoldRequest { expires_at: world.now.get(), ..world.request("a", 1) };
    assert!(matches!(world.app.hold(&past).await, Err(SeatsError::Invalid(_))));
    let unknown = HoldRequest { batch_id: Id::derive(&["x"]), ..world.request("a", 1) };
    assert_eq!(world.app.hold(&unknown).await.unwrap_err(), SeatsError::BatchNotFound);
}

#[tokio::test]
async fn two_hundred_clients_race_for_twenty_seats_and_twenty_are_sold() {
    let world = Rc::new(world(20, 0).await);
    let local = tokio::task::LocalSet::new();
    let sold = local
        .run_until(async {
            let race = (0..200).map(|n| {
                let world = world.clone();
                tokio::task::spawn_local(async move { world.hold(&format!("k{n}"), 1).await.is_ok() })
            });
            let mut sold = 0;
            for one in race.collect::<Vec<_>>() {
                sold += u32::from(one.await.unwrap());
            }
            sold
        })
        .await;
    assert_eq!((sold, world.taken().await), (20, 20));
}

#[tokio::test]
async fn a_batch_is_read_by_its_id() {
    let world = world(20, 2).await;
    world.hold("a", 2).await.unwrap();
    let router = component::router::<App>();
    let get = async |id: &str| {
        let request = Request::new("GET", &format!("/api/batches/{id}"));
        let response = router.handle(world.app.clone(), &world.app.env, request).await;
        (response.status, serde_json::from_slice::<serde_json::Value>(&response.body).unwrap())
    };
    let (status, body) = get(&world.batch.to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(body["startDate"], "2026-12-22T00:00:00.000Z");
    assert_eq!(
        (&body["price"], &body["currentParticipants"], &body["status"]),
        (&4000.into(), &2.into(), &"upcoming".into())
    );
    assert_eq!(get(&Id::derive(&["x"]).to_string()).await.0, 404);
    assert_eq!(get("nonsense").await.0, 400);
}

#[tokio::test]
async fn of_many_who_come_at_once_as_many_get_seats_as_there_are() {
    let world = world(10, 0).await;
    let keys: Vec<_> = (0..30).map(|n| format!("key {n}")).collect();
    let answers = join_all(keys.iter().map(|key| world.hold(key, 1))).await;
    let got = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(SeatsError::SoldOut(0)))).count();
    assert_eq!((got, refused, world.taken().await), (10, 20, 10), "{answers:?}");

    // Some give theirs back while others come, and everybody repeats what they asked.
    let holders: Vec<_> = keys.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(key, _)| key).collect();
    let give_back = join_all(holders[..5].iter().map(|key| world.app.release(key)));
    let come = join_all(keys.iter().filter(|key| !holders.contains(key)).map(|key| world.hold(key, 1)));
    let confirm = join_all(holders[5..].iter().map(|key| world.app.confirm(key)));
    let (given_back, came, confirmed) = tokio::join!(give_back, come, confirm);
    assert!(given_back.iter().all(Result::is_ok) && confirmed.iter().all(Result::is_ok));
    let came = came.iter().filter(|answer| answer.is_ok()).count();
    assert!(came <= 5, "{came}");
    assert_eq!(world.taken().await, 5 + u32::try_from(came).unwrap());

    // The holds run out, and many who come at once all find them so.
    world.wait(DAY);
    let again: Vec<_> = (0..20).map(|n| format!("late {n}")).collect();
    let late = join_all(again.iter().map(|key| world.hold(key, 1))).await;
    assert_eq!(late.iter().filter(|answer| answer.is_ok()).count(), 5, "{late:?}");
    assert_eq!(world.taken().await, 10);
}
