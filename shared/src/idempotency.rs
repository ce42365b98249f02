//! Requests that carry an `Idempotency-Key`: the second one gets the first one's answer.
//!
//! The key is taken before the work and the answer stored after it. If the process
//! dies in between, the key is free again after [`LEASE`], on whichever host; the work
//! itself has to bear being begun twice. Who comes back after its lease has run out
//! changes nothing any more.

use sha2::{Digest, Sha256};

use crate::{
    Db, DbError, Env, Error, Result, Sql, Timestamp,
    http::{Body, Header, IntoResponse, Response},
    params,
    time::{HOUR, MINUTE},
};

/// How long an answer is kept.
pub const KEPT: i64 = 24 * HOUR;

/// How long a request may be in flight before its key is free again.
pub const LEASE: i64 = MINUTE;

const KEY_CHARS_MAX: usize = 255;

/// The key of a request and what it stands for.
pub struct Key {
    scope: String,
    key: String,
    fingerprint: String,
}

impl Key {
    /// The key of a request, if it has one. `scope` tells callers and routes apart.
    ///
    /// # Errors
    /// 400 for a key that is empty or too long.
    pub fn of(headers: &Header, scope: String, body: &Body) -> Result<Option<Self>> {
        let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
        if key.is_empty() || key.len() > KEY_CHARS_MAX {
            return Err(Error::bad_request(format!("Idempotency-Key has to have 1 to {KEY_CHARS_MAX} characters.")));
        }
        let fingerprint = Sha256::digest(&body.0).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(Self { scope, key: key.to_owned(), fingerprint }))
    }
}

/// Does the work once for a key. Without a key, does it.
///
/// # Errors
/// 409 while the first request is in flight, 422 for the same key with another body,
/// and those of the work. An error that a retry may mend frees the key.
pub async fn once<R: IntoResponse>(
    db: &Db,
    env: &Env,
    key: Option<Key>,
    work: impl AsyncFnOnce() -> Result<R>,
) -> Result<Response> {
    let Some(key) = key else { return Ok(work().await?.into_response()) };
    let lease = match take(db, env, &key).await? {
        Taken::Answered(response) => return Ok(response),
        Taken::Until(lease) => lease,
    };
    let response = match work().await {
        Ok(done) => done.into_response(),
        Err(error) if error.status() >= 500 || error.status() == 409 => {
            let delete = "DELETE FROM idempotency WHERE scope = $1 AND request_key = $2 AND locked_until = $3";
            db.execute(delete, params![key.scope, key.key, lease]).await?;
            return Err(error);
        }
        Err(error) => error.into_response(env.service, env.now()),
    };
    let update = "UPDATE idempotency SET status = $1, headers = $2, body = $3 \
                  WHERE scope = $4 AND request_key = $5 AND locked_until = $6";
    let headers = serde_json::to_string(&response.headers).map_err(Error::internal)?;
    let values = params![i64::from(response.status), headers, response.body.clone(), key.scope, key.key, lease];
    db.execute(update, values).await?;
    Ok(response)
}

/// Forgets what is kept no longer.
pub(crate) async fn forget(db: &Db, now: Timestamp) -> Result<(), DbError> {
    db.execute("DELETE FROM idempotency WHERE created_at < $1", params![now.plus(-KEPT)]).await
}

enum Taken {
    /// The key is ours until then; no other lease of it ends at the same instant.
    Until(Timestamp),
    Answered(Response),
}

/// Takes the key, or answers what was answered before.
async fn take(db: &Db, env: &Env, key: &Key) -> Result<Taken> {
    let now = env.now();
    db.transaction(async |tx| {
        let select = "SELECT fingerprint, locked_until, status, headers, body FROM idempotency \
                      WHERE scope = $1 AND request_key = $2 AND created_at >= $3";
        if let Some(row) = tx.query_opt(select, params![&key.scope, &key.key, now.plus(-KEPT)]).await? {
            if row.get::<String>("fingerprint")? != key.fingerprint {
                return Err(Error::new(422, "IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key was used for another request."));
            }
            if let Some(status) = row.get::<Option<u32>>("status")? {
                let status = u16::try_from(status).map_err(Error::internal)?;
                return Ok(Taken::Answered(Response { status, headers: row.json("headers")?, body: row.get("body")? }));
            }
            if row.get::<Timestamp>("locked_until")? > now {
                return Err(Error::conflict("The same request is being processed. Please wait for its answer."));
            }
        }
        let upsert = "INSERT INTO idempotency (scope, request_key, fingerprint, created_at, locked_until) VALUES ($1, $2, $3, $4, $5) \
                      ON CONFLICT (scope, request_key) DO UPDATE SET fingerprint = excluded.fingerprint, created_at = excluded.created_at, \
                      locked_until = excluded.locked_until, status = NULL, headers = NULL, body = NULL";
        tx.execute(upsert, params![&key.scope, &key.key, &key.fingerprint, now, now.plus(LEASE)]).await?;
        Ok(Taken::Until(now.plus(LEASE)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::migrations;

    async fn ask(db: &Db, key: &str, body: &str, outcome: Result<u16>, runs: &Cell<u32>) -> Result<u16> {
        let headers = Header(vec![("idempotency-key".into(), key.into())]);
        let key = Key::of(&headers, "user/route".into(), &Body(body.into()))?;
        let env = Env::for_test("test");
        let answer = once(db, &env, key, async || {
            runs.set(runs.get() + 1);
            outcome.map(Response::empty)
        });
        answer.await.map(|response| response.status)
    }

    async fn database() -> Db {
        let db = Db::for_test().await.unwrap();
        migrations::apply(&db, &[]).await.unwrap();
        db
    }

    #[tokio::test]
    async fn a_repeated_request_gets_the_first_answer_and_does_nothing() {
        let (db, runs) = (database().await, Cell::new(0));
        assert_eq!(ask(&db, "k", "a", Ok(201), &runs).await.unwrap(), 201);
        assert_eq!(ask(&db, "k", "a", Ok(500), &runs).await.unwrap(), 201);
        assert_eq!(runs.get(), 1);
    }

    #[tokio::test]
    async fn another_body_under_the_same_key_is_refused() {
        let (db, runs) = (database().await, Cell::new(0));
        ask(&db, "k", "a", Ok(201), &runs).await.unwrap();
        assert_eq!(ask(&db, "k", "b", Ok(201), &runs).await.unwrap_err().status(), 422);
    }

    #[tokio::test]
    async fn a_failure_that_may_pass_frees_the_key() {
        let (db, runs) = (database().await, Cell::new(0));
        assert!(ask(&db, "k", "a", Err(Error::unavailable("down")), &runs).await.is_err());
        assert_eq!(ask(&db, "k", "a", Ok(201), &runs).await.unwrap(), 201);
        assert_eq!(runs.get(), 2);
    }

    #[tokio::test]
    async fn of_many_at_once_one_does_the_work() {
        let (db, runs) = (database().await, Cell::new(0));
        let all = (0..12).map(|_| ask(&db, "k", "a", Ok(201), &runs));
        for answer in futures::future::join_all(all).await {
            assert!(matches!(answer.map_err(|error| error.status()), Ok(201) | Err(409)));
        }
        assert_eq!(runs.get(), 1);
    }

    #[tokio::test]
    async fn who_comes_back_after_its_lease_changes_nothing() {
        let (db, runs) = (database().await, Cell::new(0));
        let time = std::rc::Rc::new(Cell::new(1_000_000));
        let clock = time.clone();
        let env =
            Env::new("test", std::rc::Rc::new(move || Timestamp::from_millis(clock.get())), Env::for_test("").upstream);
        let key = || Key { scope: "user/route".into(), key: "k".into(), fingerprint: "a".into() };
        let slow = once(&db, &env, Some(key()), async || {
            time.set(time.get() + LEASE);
            let next = once(&db, &env, Some(key()), async || {
                runs.set(runs.get() + 1);
                Ok(Response::empty(201))
            });
            assert_eq!(next.await.unwrap().status, 201);
            Err::<Response, _>(Error::unavailable("too late"))
        });
        assert_eq!(slow.await.unwrap_err().status(), 503);
        let answer = once(&db, &env, Some(key()), async || Ok(Response::empty(500))).await.unwrap();
        assert_eq!((answer.status, runs.get()), (201, 1));
    }

    #[tokio::test]
    async fn a_key_is_new_again_after_a_day() {
        let (db, time) = (database().await, std::rc::Rc::new(Cell::new(1_000_000)));
        let clock = time.clone();
        let env =
            Env::new("test", std::rc::Rc::new(move || Timestamp::from_millis(clock.get())), Env::for_test("").upstream);
        let key = |fingerprint: &str| Key { scope: "s".into(), key: "k".into(), fingerprint: fingerprint.into() };
        assert_eq!(once(&db, &env, Some(key("a")), async || Ok(Response::empty(201))).await.unwrap().status, 201);
        time.set(time.get() + KEPT + 1);
        assert_eq!(once(&db, &env, Some(key("b")), async || Ok(Response::empty(202))).await.unwrap().status, 202);
        time.set(time.get() + KEPT + 1);
        forget(&db, env.now()).await.unwrap();
        assert!(db.query("SELECT status FROM idempotency", params![]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_request_in_flight_keeps_others_out() {
        let (db, runs) = (database().await, Cell::new(0));
        let headers = Header(vec![("idempotency-key".into(), "k".into())]);
        let key = Key::of(&headers, "user/route".into(), &Body("a".into())).unwrap();
        let env = Env::for_test("test");
        let outcome = once(&db, &env, key, async || {
            assert_eq!(ask(&db, "k", "a", Ok(201), &runs).await.unwrap_err().status(), 409);
            Ok(Response::empty(204))
        });
        assert_eq!(outcome.await.unwrap().status, 204);
    }
}
