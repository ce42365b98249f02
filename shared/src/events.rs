//! Events from one component to others: CloudEvents 1.0, delivered at least once.
//!
//! [`emit`] writes an event in the transaction of the change it tells of, a row for
//! each consumer. [`relay`] claims what is due, posts it to the consumers'
//! [`EVENTS_PATH`] and deletes what they took; a claim that runs out, because its host
//! died, is free for the next relay of any host. [`first_time`] tells a consumer, in the transaction of its
//! own change, whether it has seen the event. A crash between any two steps repeats a
//! delivery and loses none. Consumers must not depend on the order.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Db, DbError, Env, Error, Id, Result, Sql, Timestamp, Tx,
    http::{Body, Request},
    idempotency, params,
    time::{HOUR, SECOND},
};

/// Where a component takes events.
pub const EVENTS_PATH: &str = "/_events";

/// Where a component is asked to relay its outbox.
pub const RELAY_PATH: &str = "/_jobs/relay";

/// Events in one delivery.
const DELIVERY_EVENTS_MAX: i64 = 100;

/// Deliveries to one consumer in one run. A run has to end within the time of a request,
/// also while there is always something more to deliver; the next run goes on.
const RUN_DELIVERIES_MAX: u32 = 20;

/// How long taken events are remembered; no delivery is retried for that long.
const INBOX_KEPT: i64 = 30 * 24 * HOUR;

/// How long an event is left to the request that delivers it itself.
const INLINE_MAX: i64 = 3 * SECOND;

/// How long a claimed event belongs to who delivers it: longer than a request may take.
const CLAIM: i64 = 35 * SECOND;

/// How long, in ms, [`deliver_now`] waits between two looks at what another is delivering.
const WATCH_EVERY: u64 = 25;

/// The longest wait between two attempts to deliver.
const BACKOFF_MAX: i64 = 30 * SECOND;

/// Something that happened, as CloudEvents 1.0 has it in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub specversion: String,
    pub id: Id,
    /// The component it happened in, as `/payment`.
    pub source: String,
    /// As `payment.captured`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The record it is about.
    pub subject: String,
    pub time: Timestamp,
    pub datacontenttype: String,
    pub data: Value,
}

impl Event {
    /// A new event of this component's.
    ///
    /// # Errors
    /// `data` cannot be written as JSON.
    pub fn new(env: &Env, kind: &str, subject: impl ToString, data: &impl Serialize) -> Result<Self> {
        Ok(Self {
            specversion: "1.0".into(),
            id: env.id(),
            source: format!("/{}", env.service),
            kind: kind.into(),
            subject: subject.to_string(),
            time: env.now(),
            datacontenttype: "application/json".into(),
            data: serde_json::to_value(data).map_err(Error::internal)?,
        })
    }

    /// The event's data in the consumer's shape of it.
    ///
    /// # Errors
    /// It has another shape: a 400, so that the producer keeps it and logs it.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.data)
            .map_err(|error| Error::bad_request(format!("event {} {}: {error}", self.kind, self.id)))
    }
}

/// Writes an event for each of these consumers, in the transaction of the change.
///
/// # Errors
/// The database's.
pub async fn emit(tx: &Tx, event: &Event, consumers: &[&str]) -> Result<()> {
    write(tx, event, consumers, event.time).await
}

/// As [`emit`], for an event that the same request delivers itself with [`deliver_now`]
/// right after the commit, because somebody waits for its effect. Others leave it alone
/// for a moment, so that it is not delivered by everybody who happens to relay.
///
/// # Errors
/// The database's.
pub async fn emit_inline(tx: &Tx, event: &Event, consumers: &[&str]) -> Result<()> {
    write(tx, event, consumers, event.time.plus(INLINE_MAX)).await
}

async fn write(tx: &Tx, event: &Event, consumers: &[&str], due: Timestamp) -> Result<()> {
    let text = serde_json::to_string(event).map_err(Error::internal)?;
    for consumer in consumers {
        let insert = "INSERT INTO outbox (event_id, consumer, subject, event, created_at, next_attempt_at) \
                      VALUES ($1, $2, $3, $4, $5, $6)";
        tx.execute(insert, params![event.id, *consumer, &event.subject, text.as_str(), event.time, due]).await?;
    }
    Ok(())
}

/// The events of a delivery, parsed.
///
/// # Errors
/// 400 for anything else.
pub fn received(Body(body): &Body) -> Result<Vec<Event>> {
    serde_json::from_slice(body).map_err(|error| Error::bad_request(format!("not a batch of events: {error}")))
}

/// Whether an event is new; it counts as taken if the transaction commits.
///
/// # Errors
/// The database's.
pub async fn first_time(tx: &Tx, event: &Event, now: Timestamp) -> Result<bool, DbError> {
    let insert = "INSERT INTO inbox (event_id, received_at) VALUES ($1, $2) ON CONFLICT (event_id) DO NOTHING RETURNING event_id";
    Ok(tx.query_opt(insert, params![event.id, now]).await?.is_some())
}

/// Delivers what is due to every consumer, as far as one run may, and tells how many did not take it. Forgets
/// events and answers that are too old to be asked for again.
///
/// # Errors
/// The database's.
pub async fn relay(db: &Db, env: &Env) -> Result<usize> {
    let mut failed = 0;
    let due = "SELECT DISTINCT consumer FROM outbox WHERE next_attempt_at <= $1 AND claimed_until <= $2";
    let consumers: Result<Vec<String>, _> =
        db.query(due, params![env.now(), env.now()]).await?.iter().map(|row| row.get("consumer")).collect();
    for consumer in consumers? {
        for delivery in 1..=RUN_DELIVERIES_MAX {
            let Some(claimed) = Claimed::due(db, env, &consumer).await? else { break };
            if !claimed.deliver(db, env).await? {
                failed += 1;
                break;
            }
            if delivery == RUN_DELIVERIES_MAX {
                env.wake_relay().await;
            }
        }
    }
    forget_taken(db, env.now()).await?;
    idempotency::forget(db, env.now()).await?;
    Ok(failed)
}

/// Forgets events that were taken long ago. Their ids say when they were made, which the
/// table is sorted by: what is kept is not looked at each time.
async fn forget_taken(db: &Db, now: Timestamp) -> Result<(), DbError> {
    let before = now.plus(-INBOX_KEPT);
    let delete = "DELETE FROM inbox WHERE event_id < $1 AND received_at < $2";
    db.execute(delete, params![Id::first_of(before), before]).await
}

/// Delivers what a consumer has not taken yet about a record, due or not, and tells
/// whether it has everything now. What another is delivering is waited for.
///
/// # Errors
/// The database's.
pub async fn deliver_now(db: &Db, env: &Env, consumer: &str, subject: impl ToString) -> Result<bool> {
    let subject = subject.to_string();
    let select = "SELECT COUNT(*) AS n FROM outbox WHERE subject = $1 AND consumer = $2";
    for _ in 0..INLINE_MAX.unsigned_abs() / WATCH_EVERY {
        if db.query_one(select, params![&subject, consumer]).await?.get::<i64>("n")? == 0 {
            return Ok(true);
        }
        if let Some(claimed) = Claimed::about(db, env, consumer, &subject).await? {
            return claimed.deliver(db, env).await;
        }
        crate::time::sleep(WATCH_EVERY).await;
    }
    Ok(false)
}

/// Whether a consumer has yet to take an event about a record that mentions this text.
///
/// # Errors
/// The database's.
pub async fn waits(sql: &impl Sql, consumer: &str, subject: impl ToString, mention: &str) -> Result<bool, DbError> {
    let select = "SELECT event FROM outbox WHERE subject = $1 AND consumer = $2";
    let rows = sql.query(select, params![subject.to_string(), consumer]).await?;
    for row in rows {
        if row.get::<String>("event")?.contains(mention) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Events that only we deliver, until the claim runs out.
struct Claimed<'a> {
    consumer: &'a str,
    events: Vec<Due>,
}

struct Due {
    id: Id,
    created_at: Timestamp,
    event: String,
    attempts: i64,
    /// Which claim it is: a later one of the same event ends later.
    until: Timestamp,
}

impl<'a> Claimed<'a> {
    /// Claims what is due for a consumer, a delivery at most; none if there is nothing.
    async fn due(db: &Db, env: &Env, consumer: &'a str) -> Result<Option<Self>> {
        let now = env.now();
        // In the order of the index of what is due, so that a long queue is not sorted for
        // each delivery from it.
        let select = "SELECT event_id FROM outbox WHERE consumer = $3 AND next_attempt_at <= $4 AND claimed_until <= $5 \
                      ORDER BY next_attempt_at LIMIT $6";
        Self::claim(db, env, consumer, select, params![consumer, now, now, DELIVERY_EVENTS_MAX]).await
    }

    /// Claims what waits for a consumer about a record.
    async fn about(db: &Db, env: &Env, consumer: &'a str, subject: &str) -> Result<Option<Self>> {
        let select = "SELECT event_id FROM outbox WHERE consumer = $3 AND subject = $4 AND claimed_until <= $5 \
                      ORDER BY created_at, event_id LIMIT $6";
        Self::claim(db, env, consumer, select, params![consumer, subject, env.now(), DELIVERY_EVENTS_MAX]).await
    }

    async fn claim(
        db: &Db,
        env: &Env,
        consumer: &'a str,
        select: &str,
        which: Vec<crate::db::Value>,
    ) -> Result<Option<Self>> {
        let until = env.now().plus(CLAIM);
        let rows = db.transaction(async |tx| {
            let update = [
                "UPDATE outbox SET claimed_until = $1 WHERE consumer = $2 AND event_id IN (",
                select,
                tx.skip_locked(),
                ") RETURNING event_id, created_at, event, attempts",
            ];
            tx.query(&update.concat(), [params![until, consumer], which.clone()].concat()).await
        });
        let due = |row: &crate::Row| {
            Ok::<_, DbError>(Due {
                id: row.get("event_id")?,
                created_at: row.get("created_at")?,
                event: row.get("event")?,
                attempts: row.get("attempts")?,
                until,
            })
        };
        let mut events = rows.await?.iter().map(due).collect::<Result<Vec<_>, _>>()?;
        events.sort_by_key(|due| (due.created_at, due.id));
        Ok((!events.is_empty()).then_some(Self { consumer, events }))
    }

    /// Whether the consumer took everything. What it did not take is due again later.
    async fn deliver(self, db: &Db, env: &Env) -> Result<bool> {
        match post(env, self.consumer, self.events.iter().map(|due| due.event.as_str())).await {
            Ok(()) => {
                db.transaction(async |tx| forget(tx, self.consumer, &self.events).await).await?;
                Ok(true)
            }
            // One event that cannot be taken must not hold up the others.
            Err(_) if self.events.len() > 1 => self.deliver_each(db, env).await,
            Err(cause) => {
                postpone(db, env, self.consumer, &self.events, &cause).await?;
                Ok(false)
            }
        }
    }

    async fn deliver_each(self, db: &Db, env: &Env) -> Result<bool> {
        let mut all_taken = true;
        for mut one in self.events {
            // Each may take as long as all together were given.
            if !renew(db, env, self.consumer, &mut one).await? {
                all_taken = false;
                continue;
            }
            let one = Self { consumer: self.consumer, events: vec![one] };
            all_taken &= Box::pin(one.deliver(db, env)).await?;
        }
        Ok(all_taken)
    }
}

/// Prolongs the claim on an event, if it is still ours.
async fn renew(db: &Db, env: &Env, consumer: &str, due: &mut Due) -> Result<bool> {
    let until = env.now().plus(CLAIM);
    let update = "UPDATE outbox SET claimed_until = $1 WHERE event_id = $2 AND consumer = $3 AND claimed_until = $4";
    let renewed = db.affected(update, params![until, due.id, consumer, due.until]).await? == 1;
    due.until = until;
    Ok(renewed)
}

async fn post(env: &Env, consumer: &str, events: impl Iterator<Item = &str>) -> Result<(), String> {
    let mut request =
        Request::new("POST", EVENTS_PATH).with_header("content-type", "application/cloudevents-batch+json");
    request.body = format!("[{}]", events.collect::<Vec<_>>().join(",")).into_bytes();
    let response = env.upstream.send(consumer, request).await.map_err(|error| error.to_string())?;
    match response.status {
        200..300 => Ok(()),
        status => Err(format!("answered {status}")),
    }
}

async fn forget(tx: &Tx, consumer: &str, delivered: &[Due]) -> Result<(), DbError> {
    for due in delivered {
        tx.execute("DELETE FROM outbox WHERE event_id = $1 AND consumer = $2", params![due.id, consumer]).await?;
    }
    Ok(())
}

async fn postpone(db: &Db, env: &Env, consumer: &str, due: &[Due], cause: &str) -> Result<()> {
    crate::log::warn(
        "events were not taken and are kept",
        &[("consumer", &consumer), ("events", &due.len()), ("cause", &cause)],
    );
    let update = "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = $1, last_error = $2, claimed_until = 0 \
                  WHERE event_id = $3 AND consumer = $4 AND claimed_until = $5";
    for one in due {
        let wait = SECOND.saturating_mul(1 << one.attempts.clamp(0, 16)).min(BACKOFF_MAX);
        db.execute(update, params![env.now().plus(wait), cause, one.id, consumer, one.until]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;
    use crate::{
        http::Response,
        migrations,
        upstream::{Upstream, UpstreamError},
    };

    /// A consumer that remembers, takes its time, and refuses while told to.
    #[derive(Default)]
    struct Consumer {
        taken: RefCell<Vec<Id>>,
        refuse: RefCell<bool>,
        takes_millis: RefCell<u64>,
        /// Paths that the producer has asked to be woken.
        woken: RefCell<Vec<String>>,
    }

    #[crate::async_trait(?Send)]
    impl Upstream for Consumer {
        async fn send(&self, _: &str, request: Request) -> Result<Response, UpstreamError> {
            if *self.refuse.borrow() {
                return Err(UpstreamError::Timeout);
            }
            let events = received(&Body(request.body)).unwrap();
            let millis = *self.takes_millis.borrow();
            crate::time::sleep(millis).await;
            self.taken.borrow_mut().extend(events.iter().map(|event| event.id));
            Ok(Response::empty(204))
        }

        async fn wake(&self, _: &str, path: &str) {
            self.woken.borrow_mut().push(path.to_owned());
        }
    }

    async fn world() -> (Db, Env, Rc<Consumer>, Rc<RefCell<i64>>) {
        let db = Db::for_test().await.unwrap();
        migrations::apply(&db, &[]).await.unwrap();
        let (consumer, time) = (Rc::new(Consumer::default()), Rc::new(RefCell::new(1_000_000)));
        let clock = time.clone();
        let env = Env::new("test", Rc::new(move || Timestamp::from_millis(*clock.borrow())), consumer.clone());
        (db, env, consumer, time)
    }

    async fn emit_one(db: &Db, env: &Env) -> Event {
        let event = Event::new(env, "thing.done", "1", &serde_json::json!({ "n": 1 })).unwrap();
        db.transaction(async |tx| emit(tx, &event, &["other"]).await).await.unwrap();
        event
    }

    #[tokio::test]
    async fn an_event_is_delivered_and_forgotten() {
        let (db, env, consumer, _) = world().await;
        let event = emit_one(&db, &env).await;
        assert_eq!(relay(&db, &env).await.unwrap(), 0);
        assert_eq!(relay(&db, &env).await.unwrap(), 0);
        assert_eq!(*consumer.taken.borrow(), [event.id]);
    }

    #[tokio::test]
    async fn an_event_that_is_not_taken_is_kept_and_tried_again_later() {
        let (db, env, consumer, time) = world().await;
        emit_one(&db, &env).await;
        *consumer.refuse.borrow_mut() = true;
        assert_eq!(relay(&db, &env).await.unwrap(), 1);
        *consumer.refuse.borrow_mut() = false;
        relay(&db, &env).await.unwrap();
        assert!(consumer.taken.borrow().is_empty(), "not before its time");
        *time.borrow_mut() += 2 * SECOND;
        relay(&db, &env).await.unwrap();
        assert_eq!(consumer.taken.borrow().len(), 1);
    }

    #[tokio::test]
    async fn of_several_relays_at_once_one_delivers_an_event() {
        let (db, env, consumer, _) = world().await;
        for _ in 0..DELIVERY_EVENTS_MAX + 20 {
            emit_one(&db, &env).await;
        }
        *consumer.takes_millis.borrow_mut() = 20;
        let (one, two, three) = tokio::join!(relay(&db, &env), relay(&db, &env), relay(&db, &env));
        assert_eq!((one.unwrap(), two.unwrap(), three.unwrap()), (0, 0, 0));
        let mut taken = consumer.taken.take();
        let deliveries = taken.len();
        taken.sort();
        taken.dedup();
        assert_eq!((taken.len(), i64::try_from(deliveries)), (deliveries, Ok(DELIVERY_EVENTS_MAX + 20)));
        relay(&db, &env).await.unwrap();
        assert!(consumer.taken.borrow().is_empty());
    }

    #[tokio::test]
    async fn a_run_ends_and_the_next_one_goes_on() {
        let (db, env, consumer, _) = world().await;
        let run_max = DELIVERY_EVENTS_MAX * i64::from(RUN_DELIVERIES_MAX);
        let event = Event::new(&env, "thing.done", "1", &()).unwrap();
        db.transaction(async |tx| {
            for _ in 0..=run_max {
                emit(tx, &Event { id: env.id(), ..event.clone() }, &["other"]).await?;
            }
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
        relay(&db, &env).await.unwrap();
        assert_eq!(i64::try_from(consumer.taken.borrow().len()), Ok(run_max));
        assert_eq!(*consumer.woken.borrow(), [RELAY_PATH]);
        relay(&db, &env).await.unwrap();
        assert_eq!(i64::try_from(consumer.taken.borrow().len()), Ok(run_max + 1));
    }

    #[tokio::test]
    async fn what_a_relay_had_claimed_when_it_died_is_delivered_by_another_one() {
        let (db, env, consumer, time) = world().await;
        let event = emit_one(&db, &env).await;
        assert!(Claimed::due(&db, &env, "other").await.unwrap().is_some());
        *time.borrow_mut() += CLAIM - 1;
        relay(&db, &env).await.unwrap();
        assert!(consumer.taken.borrow().is_empty(), "it may still be at it");
        *time.borrow_mut() += 1;
        relay(&db, &env).await.unwrap();
        assert_eq!(*consumer.taken.borrow(), [event.id]);
    }

    #[tokio::test]
    async fn a_claim_that_ran_out_says_nothing_about_its_event_any_more() {
        let (db, env, _, time) = world().await;
        emit_one(&db, &env).await;
        let late = Claimed::due(&db, &env, "other").await.unwrap().unwrap();
        *time.borrow_mut() += CLAIM;
        let next = Claimed::due(&db, &env, "other").await.unwrap().unwrap();
        postpone(&db, &env, "other", &late.events, "too late").await.unwrap();
        let mut late = late.events;
        assert!(!renew(&db, &env, "other", &mut late[0]).await.unwrap());
        assert!(Claimed::due(&db, &env, "other").await.unwrap().is_none(), "the next one has it");
        assert!(next.deliver(&db, &env).await.unwrap());
    }

    #[tokio::test]
    async fn who_waits_for_an_effect_waits_for_the_delivery_of_another() {
        let (db, env, consumer, _) = world().await;
        let event = emit_one(&db, &env).await;
        *consumer.takes_millis.borrow_mut() = 200;
        let wait = async {
            crate::time::sleep(50).await;
            let delivered = deliver_now(&db, &env, "other", "1").await;
            (delivered, consumer.taken.borrow().clone())
        };
        let (relayed, (delivered, seen)) = tokio::join!(relay(&db, &env), wait);
        assert_eq!(relayed.unwrap(), 0);
        assert!(delivered.unwrap());
        assert_eq!(seen, [event.id]);
    }

    #[tokio::test]
    async fn one_event_that_is_not_taken_does_not_hold_up_the_others() {
        struct Picky(Rc<Consumer>);

        #[crate::async_trait(?Send)]
        impl Upstream for Picky {
            async fn send(&self, to: &str, request: Request) -> Result<Response, UpstreamError> {
                let bad = received(&Body(request.body.clone())).unwrap().iter().any(|event| event.kind == "thing.bad");
                if bad { Ok(Response::empty(400)) } else { self.0.send(to, request).await }
            }

            async fn wake(&self, _: &str, _: &str) {}
        }

        let (db, env, consumer, _) = world().await;
        let clock = env.clone();
        let env = Env::new("test", Rc::new(move || clock.now()), Rc::new(Picky(consumer.clone())));
        let bad = Event::new(&env, "thing.bad", "1", &()).unwrap();
        db.transaction(async |tx| emit(tx, &bad, &["other"]).await).await.unwrap();
        let good = [emit_one(&db, &env).await.id, emit_one(&db, &env).await.id];
        assert_eq!(relay(&db, &env).await.unwrap(), 1);
        let mut taken = consumer.taken.borrow().clone();
        taken.sort_by_key(|id| *id != good[0]);
        assert_eq!(taken, good);
        assert_eq!(db.query("SELECT event_id FROM outbox", params![]).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_event_of_a_change_that_was_rolled_back_never_existed() {
        let (db, env, consumer, _) = world().await;
        let event = Event::new(&env, "thing.done", "1", &()).unwrap();
        let outcome: Result<()> = db
            .transaction(async |tx| {
                emit(tx, &event, &["other"]).await?;
                Err(Error::conflict("no"))
            })
            .await;
        assert!(outcome.is_err());
        relay(&db, &env).await.unwrap();
        assert!(consumer.taken.borrow().is_empty());
    }

    #[tokio::test]
    async fn an_inline_event_is_left_to_its_request_for_a_moment() {
        let (db, env, consumer, time) = world().await;
        let event = Event::new(&env, "thing.done", "1", &()).unwrap();
        db.transaction(async |tx| emit_inline(tx, &event, &["other"]).await).await.unwrap();
        relay(&db, &env).await.unwrap();
        assert!(consumer.taken.borrow().is_empty(), "others leave it alone");
        assert!(deliver_now(&db, &env, "other", "2").await.unwrap(), "nothing about another record");
        assert!(deliver_now(&db, &env, "other", "1").await.unwrap());
        assert!(deliver_now(&db, &env, "other", "1").await.unwrap());
        assert_eq!(*consumer.taken.borrow(), [event.id]);

        // Its request died: the relay has it after a moment.
        let event = Event::new(&env, "thing.done", "1", &()).unwrap();
        db.transaction(async |tx| emit_inline(tx, &event, &["other"]).await).await.unwrap();
        *time.borrow_mut() += INLINE_MAX;
        relay(&db, &env).await.unwrap();
        assert_eq!(consumer.taken.borrow().len(), 2);
    }

    #[tokio::test]
    async fn what_was_taken_is_forgotten_a_month_later() {
        let (db, env, _, time) = world().await;
        *time.borrow_mut() += 2 * INBOX_KEPT;
        let take = async |made: i64, taken: i64| {
            let mut event = Event::new(&env, "thing.done", "1", &()).unwrap();
            event.id = Id::generate(env.now().plus(made));
            db.transaction(async |tx| first_time(tx, &event, env.now().plus(taken)).await).await.unwrap();
            event.id.to_string()
        };
        take(-INBOX_KEPT - 2 * SECOND, -INBOX_KEPT - SECOND).await;
        let mut kept = vec![take(-INBOX_KEPT - 2 * SECOND, 0).await, take(-SECOND, 0).await];
        relay(&db, &env).await.unwrap();
        let rows = db.query("SELECT event_id FROM inbox ORDER BY event_id", params![]).await.unwrap();
        kept.sort();
        assert_eq!(rows.iter().map(|row| row.get::<String>("event_id").unwrap()).collect::<Vec<_>>(), kept);
    }

    #[tokio::test]
    async fn a_second_delivery_is_recognised() {
        let (db, env, ..) = world().await;
        let event = Event::new(&env, "thing.done", "1", &()).unwrap();
        let take = async || db.transaction(async |tx| first_time(tx, &event, env.now()).await).await.unwrap();
        assert!(take().await);
        assert!(!take().await);
    }
}
