//! Events from one component to others: CloudEvents 1.0, delivered at least once.
//!
//! [`emit`] writes an event in the transaction of the change it tells of, a row for
//! each consumer. [`relay`] posts what is due to the consumers' [`EVENTS_PATH`] and
//! deletes what they took. [`first_time`] tells a consumer, in the transaction of its
//! own change, whether it has seen the event. A crash between any two steps repeats a
//! delivery and loses none. Consumers must not depend on the order.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Db, DbError, Env, Error, Id, Result, Sql, Timestamp, Tx,
    http::{Body, Request},
    params,
    time::{HOUR, SECOND},
};

/// Where a component takes events.
pub const EVENTS_PATH: &str = "/_events";

/// Where a component is asked to relay its outbox.
pub const RELAY_PATH: &str = "/_jobs/relay";

/// Events in one delivery.
const DELIVERY_EVENTS_MAX: i64 = 100;

/// How long taken events are remembered; no delivery is retried for that long.
const INBOX_KEPT: i64 = 30 * 24 * HOUR;

/// How long an event is left to the request that delivers it itself.
const INLINE_MAX: i64 = 3 * SECOND;

/// The longest wait between two attempts to deliver: less than the minute between two
/// scheduled relays, so that none comes too early.
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

/// Delivers what is due to every consumer, and tells how many did not take it. Two
/// relays at once deliver twice, which consumers bear.
///
/// # Errors
/// The database's.
pub async fn relay(db: &Db, env: &Env) -> Result<usize> {
    let mut failed = 0;
    let due = "SELECT DISTINCT consumer FROM outbox WHERE next_attempt_at <= $1";
    let consumers: Result<Vec<String>, _> =
        db.query(due, params![env.now()]).await?.iter().map(|row| row.get("consumer")).collect();
    for consumer in consumers? {
        let select = "SELECT event_id, event, attempts FROM outbox \
                      WHERE consumer = $1 AND next_attempt_at <= $2 ORDER BY created_at, event_id LIMIT $3";
        let due = async || db.query(select, params![&consumer, env.now(), DELIVERY_EVENTS_MAX]).await;
        while let Some(delivered) = deliver(db, env, &consumer, due().await?).await? {
            if !delivered {
                failed += 1;
                break;
            }
        }
    }
    db.execute("DELETE FROM inbox WHERE received_at < $1", params![env.now().plus(-INBOX_KEPT)]).await?;
    Ok(failed)
}

/// Delivers what a consumer has not taken yet about a record, due or not, and tells
/// whether it has everything now.
///
/// # Errors
/// The database's.
pub async fn deliver_now(db: &Db, env: &Env, consumer: &str, subject: impl ToString) -> Result<bool> {
    let select = "SELECT event_id, event, attempts FROM outbox \
                  WHERE subject = $1 AND consumer = $2 ORDER BY created_at, event_id LIMIT $3";
    let waiting = db.query(select, params![subject.to_string(), consumer, DELIVERY_EVENTS_MAX]).await?;
    Ok(deliver(db, env, consumer, waiting).await?.unwrap_or(true))
}

struct Due {
    id: Id,
    event: String,
    attempts: i64,
}

/// Delivers one batch; none when it is empty, else whether it was taken.
async fn deliver(db: &Db, env: &Env, consumer: &str, rows: Vec<crate::Row>) -> Result<Option<bool>> {
    let due: Result<Vec<Due>, DbError> = rows
        .iter()
        .map(|row| Ok(Due { id: row.get("event_id")?, event: row.get("event")?, attempts: row.get("attempts")? }))
        .collect();
    let due = due?;
    if due.is_empty() {
        return Ok(None);
    }
    match post(env, consumer, due.iter().map(|due| due.event.as_str())).await {
        Ok(()) => {
            db.transaction(async |tx| forget(tx, consumer, &due).await).await?;
            Ok(Some(true))
        }
        // One event that cannot be taken must not hold up the others.
        Err(_) if due.len() > 1 => deliver_each(db, env, consumer, due).await.map(Some),
        Err(cause) => {
            postpone(db, env, consumer, &due, &cause).await?;
            Ok(Some(false))
        }
    }
}

async fn deliver_each(db: &Db, env: &Env, consumer: &str, due: Vec<Due>) -> Result<bool> {
    let mut all_taken = true;
    for one in due {
        let outcome = post(env, consumer, std::iter::once(one.event.as_str())).await;
        let one = [one];
        match outcome {
            Ok(()) => db.transaction(async |tx| forget(tx, consumer, &one).await).await?,
            Err(cause) => {
                all_taken = false;
                postpone(db, env, consumer, &one, &cause).await?;
            }
        }
    }
    Ok(all_taken)
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
    let update = "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = $1, last_error = $2 \
                  WHERE event_id = $3 AND consumer = $4";
    for one in due {
        let wait = SECOND.saturating_mul(1 << one.attempts.clamp(0, 16)).min(BACKOFF_MAX);
        db.execute(update, params![env.now().plus(wait), cause, one.id, consumer]).await?;
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

    /// A consumer that remembers, and refuses while told to.
    #[derive(Default)]
    struct Consumer {
        taken: RefCell<Vec<Id>>,
        refuse: RefCell<bool>,
    }

    #[crate::async_trait(?Send)]
    impl Upstream for Consumer {
        async fn send(&self, _: &str, request: Request) -> Result<Response, UpstreamError> {
            if *self.refuse.borrow() {
                return Err(UpstreamError::Timeout);
            }
            let events = received(&Body(request.body)).unwrap();
            self.taken.borrow_mut().extend(events.iter().map(|event| event.id));
            Ok(Response::empty(204))
        }

        async fn wake(&self, _: &str, _: &str) {}
    }

    async fn world() -> (Db, Env, Rc<Consumer>, Rc<RefCell<i64>>) {
        let db = Db::open_memory().await.unwrap();
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
    async fn a_second_delivery_is_recognised() {
        let (db, env, ..) = world().await;
        let event = Event::new(&env, "thing.done", "1", &()).unwrap();
        let take = async || db.transaction(async |tx| first_time(tx, &event, env.now()).await).await.unwrap();
        assert!(take().await);
        assert!(!take().await);
    }
}
