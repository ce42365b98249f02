use serde_json::json;

use super::*;
use crate::{
    Db, Env, migrations,
    origin::{Origin, SYSTEM, within},
    time::MINUTE,
};

async fn database() -> Db {
    let db = Db::for_test().await.unwrap();
    migrations::apply(&db, &[]).await.unwrap();
    db
}

async fn change(db: &Db, subject: &str, mut change: Change) {
    let env = Env::for_test("test");
    subject.clone_into(&mut change.subject);
    db.transaction(async |tx| note(tx, &env, change.clone()).await).await.unwrap();
}

fn renamed(old: &str, new: &str) -> Change {
    Change::new("thing.rename", "", json!({ "name": old, "n": 1 }), json!({ "name": new, "n": 1 }))
}

async fn all(db: &Db, filter: Filter) -> Vec<Entry> {
    let (found, total) = page(db, &filter, Page { number: 1, limit: 100 }).await.unwrap();
    assert_eq!(usize::try_from(total), Ok(found.len()));
    found.into_iter().map(|(entry, _)| entry).collect()
}

#[tokio::test]
async fn an_entry_says_who_changed_what_and_from_where() {
    let db = database().await;
    let origin = Origin {
        actor: "asha".into(),
        name: Some("Asha".into()),
        address: Some("203.0.113.7".into()),
        agent: Some("curl/8".into()),
        request: Some("PUT /things/t".into()),
    };
    within(origin.clone(), change(&db, "t", renamed("a", "b"))).await;
    within(origin, change(&db, "t", renamed("b", "c").by(SYSTEM))).await;
    change(&db, "u", Change::new("thing.make", "", Value::Null, json!({ "name": "x" }))).await;
    change(&db, "u", renamed("x", "x")).await;

    let found = all(&db, Filter { subject: Some("t".into()), ..Filter::default() }).await;
    let by = |actor: &str| found.iter().find(|entry| entry.actor == actor).unwrap();
    let entry = by("asha");
    assert_eq!((entry.action.as_str(), entry.name.as_deref()), ("thing.rename", Some("Asha")));
    assert_eq!((entry.address.as_deref(), entry.agent.as_deref()), (Some("203.0.113.7"), Some("curl/8")));
    let told = (entry.before.as_deref(), entry.after.as_deref());
    assert_eq!(told, (Some(r#"{"name":"a"}"#), Some(r#"{"name":"b"}"#)));
    assert_eq!((by(SYSTEM).name.as_deref(), by(SYSTEM).request.as_deref()), (None, Some("PUT /things/t")));

    let made = all(&db, Filter { actor: Some(SYSTEM.into()), action: Some("thing.make".into()), ..Filter::default() });
    let made = made.await;
    assert_eq!((made.len(), &made[0].before), (1, &None), "what changed nothing is not noted");
    let now = Timestamp::now();
    let recent = Filter { from: Some(now.plus(-MINUTE)), before: Some(now.plus(MINUTE)), ..Filter::default() };
    assert_eq!(all(&db, recent).await.len(), 3);
    assert!(all(&db, Filter { before: Some(now.plus(-MINUTE)), ..Filter::default() }).await.is_empty());
}

#[tokio::test]
async fn a_change_that_is_rolled_back_leaves_no_entry() {
    let (db, env) = (database().await, Env::for_test("test"));
    let undone = db.transaction(async |tx| {
        note(tx, &env, renamed("a", "b")).await?;
        Err::<(), _>(DbError::Other("no".into()))
    });
    assert!(undone.await.is_err());
    assert!(all(&db, Filter::default()).await.is_empty());
}

#[tokio::test]
async fn entries_are_sealed_once_whoever_seals() {
    let db = database().await;
    for n in 0..450 {
        change(&db, &n.to_string(), renamed("a", "b")).await;
    }
    let sealers = (0..4).map(|_| seal(&db, Timestamp::now()));
    let sealed: usize = futures::future::join_all(sealers).await.into_iter().map(Result::unwrap).sum();
    let rest = seal(&db, Timestamp::now()).await.unwrap();
    assert_eq!(sealed + rest, 450);
    change(&db, "late", renamed("a", "b")).await;
    let found = check(&db, 0).await.unwrap();
    assert_eq!((found.checked, found.unsealed, found.next, found.head.nth), (450, 1, None, 450));
    assert!(found.flaws.is_empty(), "{:?}", found.flaws);
    assert_eq!(seal(&db, Timestamp::now()).await.unwrap(), 1);
    let after = check(&db, 440).await.unwrap();
    assert_eq!((after.checked, after.unsealed, after.flaws.len()), (11, 0, 0));
}

#[tokio::test]
async fn tampering_shows() {
    let db = database().await;
    for n in 0..6 {
        change(&db, &n.to_string(), renamed("a", "b")).await;
    }
    seal(&db, Timestamp::now()).await.unwrap();
    let sealed = "(SELECT entry_id FROM audit_chain WHERE nth = $1)";
    let tamper = async |start: &str, nth: i64| {
        let statement = [start, " WHERE id = ", sealed].concat();
        db.execute(&statement, params![nth]).await.unwrap();
    };
    tamper("UPDATE audit SET actor = 'somebody else'", 2).await;
    tamper("DELETE FROM audit", 4).await;
    let found = check(&db, 0).await.unwrap();
    let flaws: Vec<_> = found.flaws.iter().map(|flaw| (flaw.nth, flaw.problem)).collect();
    assert_eq!(flaws, [(2, "the entry or its seal was changed"), (4, "the entry is missing")]);
    db.execute("DELETE FROM audit_chain WHERE nth = 5", params![]).await.unwrap();
    let found = check(&db, 0).await.unwrap();
    assert!(found.flaws.contains(&Flaw { nth: 5, problem: "the seal is missing" }), "{:?}", found.flaws);
}
