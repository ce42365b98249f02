//! Seats against a model: whatever is asked in whatever order, by whoever at once, the
//! counters are what the holds come to, and no batch is oversold.

use std::{cell::Cell, collections::BTreeMap, rc::Rc};

use cairn_batch::{
    app::App,
    domain::{Batch, HoldRequest, MoveRequest, SeatsError},
    store,
};
use cairn_shared::{
    Component, Db, Env, Id, Paise, Sql, Timestamp, component, config::Config, params, time::MINUTE,
    upstream::Unreachable,
};
use proptest::prelude::*;

const SEATS: [u32; 2] = [6, 4];
const RESERVED: u32 = 1;
const KEYS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Debug, Clone)]
enum Step {
    Hold {
        key: usize,
        batch: usize,
        seats: u32,
        staff: bool,
    },
    Confirm(usize),
    Release(usize),
    Resize {
        key: usize,
        seats: u32,
        staff: bool,
    },
    Move {
        key: usize,
        batch: usize,
        seats: u32,
        taking: Option<usize>,
        staff: bool,
    },
    /// Time goes by, so that some holds expire.
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    let seats = || 1_u32..=4;
    prop_oneof![
        3 => (key(), 0..2_usize, seats(), any::<bool>())
            .prop_map(|(key, batch, seats, staff)| Step::Hold { key, batch, seats, staff }),
        2 => key().prop_map(Step::Confirm),
        1 => key().prop_map(Step::Release),
        2 => (key(), seats(), any::<bool>()).prop_map(|(key, seats, staff)| Step::Resize { key, seats, staff }),
        3 => (key(), 0..2_usize, seats(), prop::option::of(key()), any::<bool>())
            .prop_map(|(key, batch, seats, taking, staff)| Step::Move { key, batch, seats, taking, staff }),
        1 => Just(Step::Wait),
    ]
}

struct World {
    app: App,
    batches: [Id; 2],
    now: Rc<Cell<Timestamp>>,
}

async fn world() -> World {
    let now = Rc::new(Cell::new("2026-11-22".parse().unwrap()));
    let clock = now.clone();
    let env = Env::new("batch", Rc::new(move || clock.get()), Rc::new(Unreachable));
    let app = App::load(Config::of(&[]), Db::for_test().await.unwrap(), env).unwrap();
    component::prepare(&app).await.unwrap();
    let batches = [Id::derive(&["one"]), Id::derive(&["two"])];
    for (id, max_participants) in batches.into_iter().zip(SEATS) {
        let row = Batch {
            id,
            trek_id: Id::derive(&["trek"]),
            trek_name: "Ridge".into(),
            start_date: "2026-12-22".parse().unwrap(),
            end_date: "2026-12-23".parse().unwrap(),
            price: Paise::rupees(4000),
            max_participants,
            reserved_slots: RESERVED,
            taken: 0,
            cancelled: false,
            version: 1,
        };
        app.db.transaction(async |tx| store::batch_insert(tx, &row, now.get()).await).await.unwrap();
    }
    World { app, batches, now }
}

impl World {
    async fn run(&self, step: &Step) -> Result<(), SeatsError> {
        let expires_at = self.now.get().plus(30 * MINUTE);
        match *step {
            Step::Hold { key, batch, seats, staff } => {
                let request = HoldRequest {
                    key: KEYS[key].into(),
                    batch_id: self.batches[batch],
                    seats,
                    expires_at,
                    use_reserved: staff,
                };
                self.app.hold(&request).await.map(drop)
            }
            Step::Confirm(key) => self.app.confirm(KEYS[key]).await,
            Step::Release(key) => self.app.release(KEYS[key]).await,
            Step::Resize { key, seats, staff } => self.app.resize(KEYS[key], seats, staff).await.map(drop),
            Step::Move { key, batch, seats, taking, staff } => {
                let request = MoveRequest {
                    key: KEYS[key].into(),
                    batch_id: self.batches[batch],
                    seats,
                    taking: taking.map(|key| KEYS[key].into()),
                    use_reserved: staff,
                };
                self.app.relocate(&request).await.map(drop)
            }
            Step::Wait => {
                self.now.set(self.now.get().plus(20 * MINUTE));
                Ok(())
            }
        }
    }

    /// Every hold that still counts: key to batch and seats.
    async fn holds(&self) -> BTreeMap<String, (Id, u32)> {
        let select =
            "SELECT hold_key, batch_id, seats FROM holds WHERE counted = 1 AND (expires_at IS NULL OR expires_at > $1)";
        let rows = self.app.db.query(select, params![self.now.get()]).await.unwrap();
        let hold = |row: &cairn_shared::Row| {
            (row.get("hold_key").unwrap(), (row.get("batch_id").unwrap(), row.get("seats").unwrap()))
        };
        rows.iter().map(hold).collect()
    }

    /// The counters are what the holds come to, and nobody sits on a seat that is not there.
    async fn check(&self) -> BTreeMap<String, (Id, u32)> {
        let holds = self.holds().await;
        for (id, max) in self.batches.into_iter().zip(SEATS) {
            let taken = self.app.batch(id).await.unwrap().unwrap().taken;
            let held: u32 = holds.values().filter(|(batch, _)| *batch == id).map(|(_, seats)| seats).sum();
            assert_eq!(taken, held);
            assert!(taken <= max, "oversold");
        }
        holds
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// One after the other: a step that works does what it says, one that is refused nothing.
    #[test]
    fn seats_follow_the_model(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = world().await;
            let mut before = BTreeMap::new();
            for step in &steps {
                let outcome = world.run(step).await;
                let after = world.check().await;
                let of = |key: usize| after.get(KEYS[key]).copied();
                match (step, &outcome) {
                    (Step::Wait, _) => {}
                    (_, Err(_)) => assert_eq!(after, before, "{step:?} was refused with {outcome:?}"),
                    (Step::Hold { key, batch, seats, .. }, Ok(())) => {
                        assert_eq!(of(*key), Some((world.batches[*batch], *seats)), "{step:?}");
                    }
                    (Step::Move { key, batch, seats, taking, .. }, Ok(())) => {
                        assert_eq!(taking.filter(|taking| of(*taking).is_some()), None, "the key taken over ends");
                        assert_eq!(of(*key), Some((world.batches[*batch], *seats)), "{step:?}");
                    }
                    (Step::Resize { key, seats, .. }, Ok(())) => {
                        assert_eq!(of(*key).map(|(_, held)| held), Some(*seats), "{step:?}");
                    }
                    (Step::Confirm(key), Ok(())) => assert!(of(*key).is_some(), "{step:?}"),
                    (Step::Release(key), Ok(())) => assert_eq!(of(*key), None, "{step:?}"),
                }
                // What a step does not name stays as it was, unless time took it.
                let named = |key: &str| match step {
                    Step::Hold { key: k, .. } | Step::Confirm(k) | Step::Release(k) | Step::Resize { key: k, .. } => KEYS[*k] == key,
                    Step::Move { key: k, taking, .. } => KEYS[*k] == key || taking.is_some_and(|taking| KEYS[taking] == key),
                    Step::Wait => true,
                };
                for (key, held) in before.iter().filter(|(key, _)| !named(key)) {
                    assert_eq!(after.get(key), Some(held), "{step:?}");
                }
                before = after;
            }
        });
    }

    /// All at once: whoever wins, the counters are right afterwards.
    #[test]
    fn seats_are_never_oversold_however_requests_interleave(steps in prop::collection::vec(step(), 2..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = Rc::new(world().await);
            let local = tokio::task::LocalSet::new();
            local.run_until(async {
                let tasks: Vec<_> = steps.iter().cloned().map(|step| {
                    let world = world.clone();
                    tokio::task::spawn_local(async move {
                        if !matches!(step, Step::Wait) {
                            let _refusals_are_fine = world.run(&step).await;
                        }
                    })
                }).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            }).await;
            world.check().await;
        });
    }
}
