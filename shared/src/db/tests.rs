//! What both engines have to do alike; run on Postgres where `CAIRN_TEST_POSTGRES`
//! names one.

use futures::future::join_all;

use super::*;
use crate::params;

async fn fresh() -> Db {
    let folder = std::env::temp_dir().join(format!("cairn-shared-{}", crate::Id::generate(crate::Timestamp::now())));
    std::fs::create_dir_all(&folder).unwrap();
    let db = Db::for_test_in(&folder.join("test.db")).await.unwrap();
    db.execute("CREATE TABLE t (id TEXT PRIMARY KEY, n BIGINT, CONSTRAINT positive CHECK (n >= 0))", params![])
        .await
        .unwrap();
    db
}

const INSERT: &str = "INSERT INTO t (id, n) VALUES ($1, $2)";

async fn number(sql: &impl Sql, select: &str) -> Result<i64, DbError> {
    sql.query_one(select, params![]).await?.get("n")
}

async fn count(db: &Db) -> i64 {
    number(db, "SELECT COUNT(*) AS n FROM t").await.unwrap()
}

#[tokio::test]
async fn a_failed_transaction_leaves_nothing() {
    let db = fresh().await;
    let result: Result<(), DbError> = db
        .transaction(async |tx| {
            tx.execute(INSERT, params!["a", 1]).await?;
            Err(DbError::Busy)
        })
        .await;
    assert!(matches!(result, Err(DbError::Busy)));
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn a_successful_transaction_stays() {
    let db = fresh().await;
    db.transaction(async |tx| tx.execute(INSERT, params!["a", 1]).await).await.unwrap();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn a_statement_that_fails_ends_its_transaction_even_if_nobody_looks() {
    let db = fresh().await;
    let result: Result<(), DbError> = db
        .transaction(async |tx| {
            tx.execute(INSERT, params!["a", 1]).await?;
            let second = tx.execute(INSERT, params!["a", 2]).await.unwrap_err();
            assert!(second.is_unique("t.id"), "{second}");
            assert!(tx.execute(INSERT, params!["b", 2]).await.is_err(), "the transaction has ended");
            Ok(())
        })
        .await;
    assert!(result.unwrap_err().is_unique("t.id"));
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn constraints_are_told_apart() {
    let db = fresh().await;
    assert_eq!(db.affected(INSERT, params!["a", 1]).await.unwrap(), 1);
    assert!(db.affected(INSERT, params!["a", 1]).await.unwrap_err().is_unique("t.id"));
    match db.affected(INSERT, params!["b", -1]).await.unwrap_err() {
        DbError::Constraint(message) => assert!(message.contains("positive"), "{message}"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_one_engine_cannot_store_is_refused_by_both() {
    let db = fresh().await;
    let refused = db.execute(INSERT, params!["a\0b", 1]).await.unwrap_err();
    assert!(matches!(refused, DbError::Value(_)), "{refused}");
    assert_eq!(crate::Error::from(refused).status(), 400);
}

#[tokio::test]
async fn no_increment_is_lost() {
    let db = fresh().await;
    db.execute(INSERT, params!["a", 0]).await.unwrap();
    let increment = async || {
        db.transaction(async |tx| {
            let n: i64 = tx.query_one("SELECT n FROM t WHERE id = $1", params!["a"]).await?.get("n")?;
            tx.execute("UPDATE t SET n = $1 WHERE id = $2", params![n + 1, "a"]).await
        })
        .await
    };
    for outcome in join_all((0..40).map(|_| increment())).await {
        outcome.unwrap();
    }
    assert_eq!(number(&db, "SELECT n FROM t").await.unwrap(), 40);
}

#[tokio::test]
async fn what_a_transaction_saw_still_holds_when_it_commits() {
    let db = fresh().await;
    // Each looks how many there are and adds one while there are less than five: no two
    // of them touch the same row.
    let add = async |id: i64| {
        db.transaction(async |tx| {
            if number(tx, "SELECT COUNT(*) AS n FROM t").await? < 5 {
                tx.execute(INSERT, params![id.to_string(), id]).await?;
            }
            Ok::<_, DbError>(())
        })
        .await
    };
    for outcome in join_all((0..40).map(add)).await {
        outcome.unwrap();
    }
    assert_eq!(count(&db).await, 5);
}

#[tokio::test]
async fn a_statement_by_itself_is_seen_by_transactions_beside_it() {
    let db = fresh().await;
    db.execute(INSERT, params!["open", 1]).await.unwrap();
    // Either it is closed first and nobody enters, or somebody enters and it stays open.
    let close =
        "UPDATE t SET n = 0 WHERE id = 'open' AND NOT EXISTS (SELECT 1 FROM t AS other WHERE other.id LIKE 'in%')";
    let enter = db.transaction(async |tx| {
        if number(tx, "SELECT n FROM t WHERE id = 'open'").await? == 1 {
            tx.execute(INSERT, params!["in", 1]).await?;
        }
        Ok::<_, DbError>(())
    });
    let (entered, closed) = tokio::join!(enter, db.execute(close, params![]));
    entered.unwrap();
    closed.unwrap();
    let open = number(&db, "SELECT n FROM t WHERE id = 'open'").await.unwrap();
    assert_eq!(open, number(&db, "SELECT COUNT(*) AS n FROM t WHERE id = 'in'").await.unwrap());
}

#[tokio::test]
async fn values_come_back_as_they_went() {
    let db = Db::for_test().await.unwrap();
    crate::migrations::apply(
        &db,
        &[crate::migrations::Migration {
            name: "0001_values",
            sql: "CREATE TABLE v (i BIGINT, r DOUBLE PRECISION, t TEXT, b BLOB, none TEXT);\n",
        }],
    )
    .await
    .unwrap();
    let insert = "INSERT INTO v (i, r, t, b, none) VALUES ($1, $2, $3, $4, $5)";
    let values = params![i64::MIN + 1, 0.1, "naïve \u{1f3d4}", vec![0_u8, 255], Value::Null];
    db.execute(insert, values.clone()).await.unwrap();
    db.execute(insert, params![i64::MAX, 2.5, "", Vec::<u8>::new(), Value::Null]).await.unwrap();
    let rows = db.query("SELECT i, r, t, b, none FROM v ORDER BY i", params![]).await.unwrap();
    assert_eq!(rows[0].values(), values);
    let sums = "SELECT SUM(i) AS n, COUNT(none) AS absent, SUM(i) / 2 AS half, MAX(r) AS most, \
                CASE WHEN SUM(i) = 0 THEN 1 ELSE 0 END AS zero, EXISTS (SELECT 1 FROM v AS w WHERE w.i > 0) AS some FROM v";
    let row = db.query_one(sums, params![]).await.unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), 0);
    assert_eq!((row.get::<i64>("absent").unwrap(), row.get::<i64>("zero").unwrap()), (0, 1));
    assert!(row.get::<bool>("some").unwrap());
    for (factor, sum) in [(1, 12), (10_000, 120_000), (-100_000_000, -1_200_000_000), (12_345_678, 148_148_136)] {
        db.execute("DELETE FROM v", params![]).await.unwrap();
        for part in [5, 7] {
            db.execute(insert, params![part * factor, 0.0, "", Vec::<u8>::new(), Value::Null]).await.unwrap();
        }
        assert_eq!(number(&db, "SELECT SUM(i) AS n FROM v").await.unwrap(), sum);
    }
}

#[tokio::test]
async fn text_sorts_by_its_bytes() {
    let db = Db::for_test().await.unwrap();
    let table = crate::migrations::Migration {
        name: "0001_words",
        sql: "-- Words.\nCREATE TABLE words (\n    -- As TEXT, not BLOB.\n    word TEXT NOT NULL UNIQUE,\n    other TEXT\n);\n",
    };
    crate::migrations::apply(&db, &[table]).await.unwrap();
    for word in ["b", "B", "a b", "ab", "é", "Z", "a_b"] {
        db.execute("INSERT INTO words (word) VALUES ($1)", params![word]).await.unwrap();
    }
    let rows = db.query("SELECT word FROM words ORDER BY word", params![]).await.unwrap();
    let words: Vec<String> = rows.iter().map(|row| row.get("word").unwrap()).collect();
    assert_eq!(words, ["B", "Z", "a b", "a_b", "ab", "b", "é"]);
}
