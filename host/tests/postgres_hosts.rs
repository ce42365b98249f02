//! What several hosts on one Postgres share: key-value stores and claims on jobs.

mod harness;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use harness::postgres::server;
use host::{
    database::Database,
    scheduler::{Claim, Claims as _},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_claimed_by_one_host_and_taken_over_when_that_one_is_gone() {
    let Some(server) = server() else { return };
    let location = server.database().await;
    let database = Database::open(&location).await.unwrap();
    let (a, b) = (database.claims().unwrap(), database.claims().unwrap());
    let claim = async |host: &host::database::JobClaims, due| host.claim("web", "/job", due).await.unwrap();

    let (first, second) = futures::join!(claim(&a, 1_000), claim(&b, 1_000));
    let mine = [first, second].iter().filter(|claim| **claim == Claim::Mine).count();
    assert_eq!(mine, 1, "{first:?} {second:?}");
    let (winner, loser) = if first == Claim::Mine { (&a, &b) } else { (&b, &a) };

    let Claim::Taken { until } = claim(loser, 1_000).await else { panic!("it is free") };
    assert!(until > Duration::from_secs(25) && until <= winner.lease(), "{until:?}");
    assert!(winner.renew("web", "/job", 1_000).await.unwrap());
    assert!(!loser.renew("web", "/job", 1_000).await.unwrap());
    assert!(winner.finish("web", "/job", 1_000).await.unwrap());
    assert_eq!(claim(loser, 1_000).await, Claim::Done);

    // The next time: its host dies in the run, so that its lease comes to an end.
    assert_eq!(claim(winner, 2_000).await, Claim::Mine);
    assert!(matches!(claim(loser, 2_000).await, Claim::Taken { .. }));
    let mut admin = server.admin(location.url.rsplit('/').next().unwrap()).await;
    sqlx::query("UPDATE cairn_host.job SET lease_until = now() - interval '1 s'").execute(&mut admin).await.unwrap();
    assert_eq!(claim(loser, 2_000).await, Claim::Mine);
    assert!(!winner.renew("web", "/job", 2_000).await.unwrap(), "what was taken over cannot be renewed");
    assert!(!winner.finish("web", "/job", 2_000).await.unwrap());
    assert!(loser.finish("web", "/job", 2_000).await.unwrap());
    assert_eq!(claim(winner, 2_000).await, Claim::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_hosts_never_run_a_job_twice() {
    let Some(server) = server() else { return };
    let database = Database::open(&server.database().await).await.unwrap();
    let claims: Vec<_> = (0..8).map(|_| Arc::new(database.claims().unwrap())).collect();
    for due in (1..=20).map(|minute| minute * 60_000) {
        let claiming = claims.iter().map(|host| {
            let host = Arc::clone(host);
            tokio::spawn(async move {
                let claim = host.claim("web", "/job", due).await.unwrap();
                if claim == Claim::Mine {
                    assert!(host.finish("web", "/job", due).await.unwrap());
                }
                claim
            })
        });
        let outcomes = futures::future::join_all(claiming).await;
        let mine = outcomes.iter().filter(|claim| matches!(claim, Ok(Claim::Mine))).count();
        assert_eq!(mine, 1, "{outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_going_away_is_told_by_readiness() {
    let Some(mut server) = harness::postgres::Server::start() else { return };
    let database = Database::open(&server.database().await).await.unwrap();
    database.pools(&BTreeMap::from([("shop".to_owned(), Duration::from_secs(1))])).await.unwrap();
    assert_eq!(database.failure(), None);
    server.kill();
    let mut waited = Duration::ZERO;
    while database.failure().is_none() {
        assert!(waited < Duration::from_secs(30), "nothing was noticed");
        tokio::time::sleep(Duration::from_millis(200)).await;
        waited += Duration::from_millis(200);
    }
}
