//! Requests that carry an `Idempotency-Key`: the second one gets the first one's answer.
//! The router does this for every write of every component; see
//! [`crate::http::Router::once_for_a_key`].
//!
//! The key is taken before the work and the answer stored after it. If the process
//! dies in between, the key is free again after [`LEASE`], on whichever host; the work
//! itself has to bear being begun twice. Who comes back after its lease has run out
//! changes nothing any more.

use sha2::{Digest, Sha256};

use crate::{
    Db, DbError, Env, Error, Result, Sql, Timestamp,
    http::{Request, Response},
    origin::{self, Origin},
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

/// The header's name.
const HEADER: &str = "idempotency-key";

impl Key {
    /// Takes the key out of a write from outside, if it has one. It tells callers, methods
    /// and addresses apart; people who are not logged in, by where they are.
    ///
    /// # Errors
    /// 400 for a key that is empty or too long.
    pub(crate) fn take(request: &mut Request) -> Result<Option<Self>> {
        let writes = !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        if !writes || request.path().starts_with("/_") {
            return Ok(None);
        }
        let Some(at) = request.headers.iter().position(|(name, _)| name == HEADER) else { return Ok(None) };
        let (_, key) = request.headers.swap_remove(at);
        let Origin { actor, address, .. } = &*origin::current();
        let who = if actor == origin::NOBODY { address.as_deref().unwrap_or(actor) } else { actor };
        Self::new(key, format!("{who}/{} {}", request.method, request.target), &request.body).map(Some)
    }

    fn new(key: String, scope: String, body: &[u8]) -> Result<Self> {
        if key.is_empty() || key.len() > KEY_CHARS_MAX {
            return Err(refusal(
                400,
                "VALIDATION_ERROR",
                format!("Idempotency-Key has to have 1 to {KEY_CHARS_MAX} characters."),
            ));
        }
        let fingerprint = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { scope, key, fingerprint })
    }
}

/// A problem of RFC 9457, which those who read our envelope can read as well.
fn refusal(status: u16, code: &'static str, message: impl Into<String>) -> Error {
    let message = message.into();
    Error::new(status, code, message.as_str()).with("success", false).with("message", message).problem()
}

/// Does the work once for a key. Without a key, does it.
///
/// # Errors
/// 409 while the first request is in flight, 422 for the same key with another body,
/// and those of the database. An answer that a retry may mend frees the key.
pub(crate) async fn once(
    db: &Db,
    env: &Env,
    key: Option<Key>,
    work: impl AsyncFnOnce() -> Result<Response>,
) -> Result<Response> {
    let Some(key) = key else { return work().await };
    let lease = match take(db, env, &key).await? {
        Taken::Answered(response) => return Ok(response),
        Taken::Until(lease) => lease,
    };
    let response = work().await.unwrap_or_else(|error| error.into_response(env.service, env.now()));
    if is_forgotten(&response) {
        let delete = "DELETE FROM idempotency WHERE scope = $1 AND request_key = $2 AND locked_until = $3";
        db.execute(delete, params![key.scope, key.key, lease]).await?;
        return Ok(response);
    }
    let update = "UPDATE idempotency SET status = $1, headers = $2, body = $3 \
                  WHERE scope = $4 AND request_key = $5 AND locked_until = $6";
    let headers = serde_json::to_string(&response.headers).map_err(Error::internal)?;
    let values = params![i64::from(response.status), headers, response.body.clone(), key.scope, key.key, lease];
    db.execute(update, values).await?;
    Ok(response)
}

/// Whether an answer is not kept: one that a retry may mend, and one that begins a session,
/// which nobody else is to have.
fn is_forgotten(response: &Response) -> bool {
    response.status >= 500 || matches!(response.status, 409 | 429) || response.header_value("set-cookie").is_some()
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
                return Err(refusal(422, "IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key was used for another request."));
            }
            if let Some(status) = row.get::<Option<u32>>("status")? {
                let status = u16::try_from(status).map_err(Error::internal)?;
                return Ok(Taken::Answered(Response { status, headers: row.json("headers")?, body: row.get("body")? }));
            }
            if row.get::<Timestamp>("locked_until")? > now {
                return Err(refusal(409, "CONFLICT", "The same request is being processed. Please wait for its answer."));
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
        let key = Key::new(key.into(), "user/route".into(), body.as_bytes())?;
        let env = Env::for_test("test");
        let answer = once(db, &env, Some(key), async || {
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
        assert_eq!(ask(&db, "k", "a", Err(Error::unavailable("down")), &runs).await.unwrap(), 503);
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
        assert_eq!(slow.await.unwrap().status, 503);
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
        let key = Key::new("k".into(), "user/route".into(), b"a").unwrap();
        let env = Env::for_test("test");
        let outcome = once(&db, &env, Some(key), async || {
            assert_eq!(ask(&db, "k", "a", Ok(201), &runs).await.unwrap_err().status(), 409);
            Ok(Response::empty(204))
        });
        assert_eq!(outcome.await.unwrap().status, 204);
    }

    #[tokio::test]
    async fn an_answer_that_begins_a_session_is_not_kept() {
        let (db, env) = (database().await, Env::for_test("test"));
        let key = || Some(Key::new("k".into(), "s".into(), b"a").unwrap());
        let login = once(&db, &env, key(), async || Ok(Response::empty(200).header("set-cookie", "jwt=x")));
        assert_eq!(login.await.unwrap().status, 200);
        assert!(db.query("SELECT status FROM idempotency", params![]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_key_tells_people_and_routes_apart() {
        let take = |request: Request, actor: &str, address: Option<&str>| {
            let origin = Origin { actor: actor.into(), address: address.map(str::to_owned), ..Origin::default() };
            let mut request = request.with_header("accept", "*").with_header(HEADER, "k");
            async move {
                let key = origin::within(origin, async { Key::take(&mut request) }).await.unwrap();
                (key.map(|key| key.scope), request.headers.len())
            }
        };
        let post = || Request::new("POST", "/things?a=b");
        assert_eq!(take(post(), "asha", None).await, (Some("asha/POST /things?a=b".into()), 1));
        assert_eq!(take(post(), origin::NOBODY, Some("::1")).await, (Some("::1/POST /things?a=b".into()), 1));
        assert_eq!(take(Request::new("GET", "/things"), "asha", None).await, (None, 2));
        assert_eq!(take(Request::new("POST", "/_jobs/x"), "system", None).await, (None, 2));
        let mut bad = post().with_header(HEADER, "x".repeat(KEY_CHARS_MAX + 1));
        assert_eq!(Key::take(&mut bad).err().unwrap().status(), 400);
    }
}
