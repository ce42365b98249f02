//! A new version gets a share of the requests first, and all of them if it does well.

mod harness;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use harness::*;
use host::host::{
    Running,
    swap::{Canary, SwapError, VersionState},
};

const LONG: Duration = Duration::from_secs(600);

async fn one(dir: &TestDir) -> Running {
    start(dir, &manifest(&[("callee", &guest("callee"), "/...", "")])).await
}

async fn begin(running: &Running, variant: &str, share_percent: u8, hold: Duration) {
    let canary = Canary { share_percent, hold };
    let swapped = swap_all(running, [("callee", callee(variant))], Some(canary)).await.unwrap();
    assert_eq!(swapped.len(), 1);
    assert_ne!(current(running, "callee"), swapped[0].to, "the others stay");
}

/// What the callers number 0 to `count` are answered, each by its own token.
async fn answers(address: SocketAddr, count: u32) -> BTreeMap<u32, (u16, String)> {
    let mut answers = BTreeMap::new();
    for caller in 0..count {
        let request = http::Request::get("/variant").header("authorization", format!("Bearer {caller}"));
        let answer = send(address, request, "".into()).await;
        answers.insert(caller, (answer.status.as_u16(), answer.body));
    }
    answers
}

/// Asks until there is no canary any more.
async fn until_over(running: &Running) {
    for _ in 0..200 {
        answers(running.http_addr(), 20).await;
        if running.swapper().status().canary.is_none() {
            return;
        }
    }
    panic!("the canary goes on: {:?}", running.swapper().status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_gets_its_share_and_every_caller_keeps_to_one_version() {
    let dir = TestDir::new();
    let running = one(&dir).await;
    begin(&running, "new", 30, LONG).await;
    let first = answers(running.http_addr(), 300).await;
    let new = first.values().filter(|(_, variant)| variant == "new").count();
    assert!((60..=120).contains(&new), "{new} of 300 callers are far from 30 %");
    assert_eq!(answers(running.http_addr(), 300).await, first);

    let status = running.swapper().status().canary.unwrap();
    assert_eq!((status.share_percent, status.requests, status.errors), (30, 2 * new as u64, 0));
    assert_eq!(status.ends_ms - status.began_ms, 600_000);
    let versions = running.swapper().versions("callee").unwrap();
    assert_eq!(versions[0].state, VersionState::Canary { share_percent: 30 });
    assert_eq!(versions[1].state, VersionState::Current);
    assert_eq!(versions[0].hash, status.swapped[0].to);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_holds_gets_all_requests() {
    let dir = TestDir::new();
    let running = one(&dir).await;
    begin(&running, "new", 20, Duration::from_millis(700)).await;
    until_over(&running).await;
    assert!(answers(running.http_addr(), 30).await.values().all(|(_, variant)| variant == "new"));
    assert!(running.swapper().status().rollbacks.is_empty());
    running.swapper().roll_back("callee").await.unwrap();
    assert!(answers(running.http_addr(), 30).await.values().all(|(_, variant)| variant == "good"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_does_badly_is_rolled_back_and_the_reason_is_told() {
    for (variant, reason) in [("trap", "traps: "), ("error", "errors: "), ("slow", "slow: ")] {
        let dir = TestDir::new();
        let running = one(&dir).await;
        begin(&running, variant, 50, LONG).await;
        until_over(&running).await;
        let all_good = answers(running.http_addr(), 50).await;
        assert!(all_good.values().all(|answer| *answer == (200, "good".to_owned())), "{all_good:?}");

        let rollback = running.swapper().status().rollbacks.remove(0);
        let short = &rollback.hash[..8];
        assert!(rollback.reason.starts_with(&format!("callee@{short} has {reason}")), "{}", rollback.reason);
        let rejected = &running.swapper().versions("callee").unwrap()[1];
        assert_eq!((&rejected.hash, rejected.rolled_back.as_ref()), (&rollback.hash, Some(&rollback.reason)));
        let back = running.swapper().roll_back("callee").await;
        assert_eq!(back, Err(SwapError::NoPrevious("callee".to_owned())), "there is no way back to it");
        assert!(running.stop().await);
        let told = one(&dir).await.swapper().status().rollbacks;
        assert_eq!(told, [rollback], "a restart does not forget it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_the_current_version_do_not_suffer_from_a_canary() {
    let dir = TestDir::new();
    let running = one(&dir).await;
    let good = running.registry().get("callee").unwrap().current().unwrap();
    begin(&running, "trap", 50, LONG).await;
    until_over(&running).await;
    assert_eq!(good.counts().1, 0, "its circuit stays closed and no error is counted for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_hangs_leaves_room_for_the_others() {
    let dir = TestDir::new();
    let settings = "[component.callee.tool.cairn.limits]\nconcurrency = 4\nqueue = 1\n";
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", settings)])).await;
    begin(&running, "slow", 50, LONG).await;
    let address = running.http_addr();
    let all = (0..40).map(async |caller: u32| {
        // At no time more than four, so that there is room as long as the canary leaves some.
        tokio::time::sleep(Duration::from_millis(u64::from(caller) * 20)).await;
        let request = http::Request::get("/variant").header("authorization", format!("Bearer {caller}"));
        send(address, request, "".into()).await.status.as_u16()
    });
    let statuses = futures::future::join_all(all).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_components_of_a_request_are_of_the_canary_or_none() {
    let dir = TestDir::new();
    let text = manifest(&[("caller", &guest("caller"), "/...", ""), ("callee", &guest("callee"), "", "")]);
    let running = start(&dir, &text).await;
    let canary = Canary { share_percent: 50, hold: LONG };
    swap_all(&running, [("callee", callee("new")), ("caller", marked("caller", 1))], Some(canary)).await.unwrap();
    let services = ["caller", "callee"].map(|name| running.registry().get(name).unwrap().clone());
    let before = services.each_ref().map(|service| service.current().unwrap().counts().0);
    let mut on_canary = 0;
    for caller in 0..60 {
        let request = http::Request::get("/pair/").header("cookie", format!("session={caller}"));
        let answer = send(running.http_addr(), request, "".into()).await.body;
        assert!(["good slept good", "new slept new"].contains(&answer.as_str()), "{answer}");
        on_canary += u64::from(answer.starts_with("new"));
    }
    assert!((15..=45).contains(&on_canary), "{on_canary}");
    let after = services.each_ref().map(|service| service.current().unwrap().counts().0);
    assert_eq!([after[0] - before[0], after[1] - before[1]], [60 - on_canary, 3 * (60 - on_canary)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_ends_a_canary_and_another_swap_waits_for_its_end() {
    let dir = TestDir::new();
    let running = one(&dir).await;
    begin(&running, "new", 50, LONG).await;
    let refused = swap(&running, "callee", marked("callee", 1)).await;
    assert_eq!(refused, Err(SwapError::CanaryUnderWay("callee".to_owned())));
    let back = running.swapper().roll_back("callee").await.unwrap();
    assert_eq!(back[0].to, current(&running, "callee"));
    assert!(answers(running.http_addr(), 50).await.values().all(|(_, variant)| variant == "good"));
    let status = running.swapper().status();
    assert!(status.canary.is_none() && status.rollbacks.is_empty(), "it was not the host that decided: {status:?}");
    swap(&running, "callee", marked("callee", 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_and_calls_by_hand_go_to_the_current_version() {
    let dir = TestDir::new();
    let running = one(&dir).await;
    begin(&running, "new", 99, LONG).await;
    for _ in 0..20 {
        let answer = running.post("callee", "/variant").await.unwrap();
        assert_eq!(answer.body, b"good");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_ends_a_canary() {
    let dir = TestDir::new();
    let running = one(&dir).await;
    begin(&running, "new", 50, LONG).await;
    assert!(running.stop().await);
    let running = one(&dir).await;
    assert!(running.swapper().status().canary.is_none());
    assert!(answers(running.http_addr(), 20).await.values().all(|(_, variant)| variant == "good"));
}
