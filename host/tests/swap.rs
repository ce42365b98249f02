//! Components are replaced while requests run.

mod harness;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use harness::*;
use host::host::{
    Running,
    swap::{Replacement, Step, SwapError, VersionState},
};

async fn both(dir: &TestDir) -> Running {
    start(dir, &both_manifest()).await
}

fn both_manifest() -> String {
    manifest(&[("caller", &guest("caller"), "/...", ""), ("callee", &guest("callee"), "", "")])
}

/// Asks until told to stop; gives how many were answered, and fails at the first that is not.
fn load(running: &Running, done: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<u32>> {
    let address = running.http_addr();
    let client = |done: Arc<AtomicBool>| async move {
        let mut answered = 0;
        while !done.load(Relaxed) {
            let answer = get(address, "/double/21").await;
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "42"));
            answered += 1;
        }
        answered
    };
    (0..4).map(|_| tokio::spawn(client(Arc::clone(done)))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_because_of_swaps_and_rollbacks() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    let done = Arc::new(AtomicBool::new(false));
    let clients = load(&running, &done);
    for mark in 0..3 {
        let from = current(&running, "callee");
        let swapped = swap(&running, "callee", marked("callee", mark)).await.unwrap();
        assert_eq!((swapped[0].component.as_str(), &swapped[0].from), ("callee", &from));
        assert_eq!(swapped[0].to, current(&running, "callee"));
        swap_all(&running, [("caller", marked("caller", mark)), ("callee", marked("callee", 100 + mark))], None)
            .await
            .unwrap();
        running.swapper().roll_back("caller").await.unwrap();
    }
    done.store(true, Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_on_the_version_it_began_with() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    // Going back later needs no compiler, so that it happens while the request runs.
    swap(&running, "callee", marked("callee", 0)).await.unwrap();
    let address = running.http_addr();
    let asked = tokio::spawn(async move { get(address, "/say/sleep").await.body });
    let callee = running.registry().get("callee").unwrap().clone();
    while callee.running() == 0 {
        tokio::task::yield_now().await;
    }
    let before = callee.current().unwrap();
    let (requests_before, _) = before.counts();
    running.swapper().roll_back("callee").await.unwrap();
    assert_eq!(before.counts().0, requests_before, "the request still runs");
    assert_eq!(asked.await.unwrap(), "slept");
    callee.idle().await;
    assert_eq!(before.counts(), (requests_before + 1, 0), "it was counted on the version before");
    assert_eq!(before.idle_count(), 0, "which keeps no instance");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_calls_of_one_request_go_to_one_version() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    swap(&running, "callee", callee("new")).await.unwrap();
    let address = running.http_addr();
    let asked = tokio::spawn(async move { get(address, "/pair/").await.body });
    let service = running.registry().get("callee").unwrap().clone();
    while service.running() == 0 {
        tokio::task::yield_now().await;
    }
    running.swapper().roll_back("callee").await.unwrap();
    assert_eq!(get(address, "/say/variant").await.body, "good", "new requests go to the version before");
    assert_eq!(asked.await.unwrap(), "new slept new", "and one that runs keeps to its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_nothing_uses_is_dropped() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    let first = Arc::downgrade(&running.registry().get("callee").unwrap().current().unwrap());
    assert_eq!(get(running.http_addr(), "/double/21").await.body, "42");
    swap(&running, "callee", marked("callee", 1)).await.unwrap();
    assert!(first.upgrade().is_some(), "it is kept to go back to");
    swap(&running, "callee", marked("callee", 2)).await.unwrap();
    assert!(first.upgrade().is_none(), "and no longer than that");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_components_are_replaced_in_one_step_or_not_at_all() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    let before = ["caller", "callee"].map(|component| current(&running, component));
    let unfit = std::fs::read(guest("streaming")).unwrap();
    refusals(swap_all(&running, [("caller", marked("caller", 1)), ("callee", unfit)], None).await);
    assert_eq!(["caller", "callee"].map(|component| current(&running, component)), before);

    let steps = Mutex::new(Vec::new());
    let replacements =
        ["caller", "callee"].map(|name| Replacement { component: name.to_owned(), bytes: marked(name, 1) }).to_vec();
    let noted = |step| steps.lock().unwrap().push(step);
    let swapped = running.swapper().swap(replacements, None, &noted).await.unwrap();
    assert_eq!(
        swapped.iter().map(|swapped| swapped.from.clone()).collect::<Vec<_>>(),
        [&before[1], &before[0]].map(String::clone)
    );
    let of = |name: &str| name.to_owned();
    assert_eq!(
        steps.into_inner().unwrap(),
        [
            Step::Storing,
            Step::Compiling { component: of("caller") },
            Step::Storing,
            Step::Compiling { component: of("callee") },
            Step::Checking,
            Step::Probing { component: of("callee") },
            Step::Preparing { component: of("callee") },
            Step::Probing { component: of("caller") },
            Step::Preparing { component: of("caller") },
            Step::Switching,
        ],
        "who is called is prepared before who calls"
    );
    let back = running.swapper().roll_back("caller").await.unwrap();
    assert_eq!(back.len(), 2, "what came together goes back together");
    assert_eq!(["caller", "callee"].map(|component| current(&running, component)), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_again_goes_further_back() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    let mut versions = vec![current(&running, "callee")];
    for mark in 1..=2 {
        versions.push(swap(&running, "callee", marked("callee", mark)).await.unwrap()[0].to.clone());
    }
    let shown = |running: &Running| {
        let versions = running.swapper().versions("callee").unwrap().into_iter();
        versions.map(|version| (version.hash, version.state, version.rolled_back)).collect::<Vec<_>>()
    };
    let reason = || Some("rolled back by the operator".to_owned());
    running.swapper().roll_back("callee").await.unwrap();
    assert_eq!(
        shown(&running),
        [
            (versions[1].clone(), VersionState::Current, None),
            (versions[2].clone(), VersionState::Kept, reason()),
            (versions[0].clone(), VersionState::Previous, None),
        ]
    );
    let steps = running.swapper().roll_back("callee").await.unwrap();
    assert_eq!(steps[0].to, versions[0]);
    assert_eq!(running.swapper().roll_back("callee").await, Err(SwapError::NoPrevious("callee".to_owned())));
    assert_eq!(get(running.http_addr(), "/double/21").await.body, "42");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_runs_already_is_no_change() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    let same = std::fs::read(guest("callee")).unwrap();
    assert_eq!(swap(&running, "callee", same).await, Ok(Vec::new()));
    assert_eq!(running.swapper().versions("callee").unwrap().len(), 1);
    assert!(matches!(swap(&running, "nobody", Vec::new()).await, Err(SwapError::NoComponent(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_at_the_same_time_all_take_place() {
    let dir = TestDir::new();
    let running = Arc::new(both(&dir).await);
    let swaps = (0..6).map(|mark| {
        let (running, name) = (Arc::clone(&running), if mark % 2 == 0 { "caller" } else { "callee" });
        tokio::spawn(async move { swap(&running, name, marked(name, mark)).await.unwrap() })
    });
    for swapped in futures::future::join_all(swaps).await {
        assert_eq!(swapped.unwrap().len(), 1);
    }
    for component in ["caller", "callee"] {
        assert_eq!(running.swapper().versions(component).unwrap().len(), 4);
    }
    assert_eq!(get(running.http_addr(), "/double/21").await.body, "42");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_force_survives_a_restart() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    swap(&running, "callee", callee("first")).await.unwrap();
    swap(&running, "callee", callee("second")).await.unwrap();
    assert!(running.stop().await);

    let running = both(&dir).await;
    assert_eq!(get(running.http_addr(), "/say/variant").await.body, "second");
    running.swapper().roll_back("callee").await.unwrap();
    assert_eq!(get(running.http_addr(), "/say/variant").await.body, "first");
    assert!(running.stop().await);

    let running = both(&dir).await;
    assert_eq!(get(running.http_addr(), "/say/variant").await.body, "first");
    running.swapper().roll_back("callee").await.unwrap();
    assert_eq!(get(running.http_addr(), "/say/variant").await.body, "good", "the manifest's file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deployed_after_a_swap_wins_and_can_be_gone_back_from() {
    let dir = TestDir::new();
    let file = dir.path().join("callee.wasm");
    std::fs::copy(guest("callee"), &file).unwrap();
    let text = manifest(&[("caller", &guest("caller"), "/...", ""), ("callee", &file, "", "")]);
    let variant = async |running: &Running| get(running.http_addr(), "/say/variant").await.body;

    let running = start(&dir, &text).await;
    swap(&running, "callee", callee("swapped")).await.unwrap();
    running.stop().await;
    std::fs::write(&file, callee("deploy")).unwrap();

    let running = start(&dir, &text).await;
    assert_eq!(variant(&running).await, "deploy");
    running.swapper().roll_back("callee").await.unwrap();
    assert_eq!(variant(&running).await, "swapped");
    running.stop().await;

    let running = start(&dir, &text).await;
    assert_eq!(variant(&running).await, "swapped", "the file has not changed since it was gone back from");
    running.swapper().roll_back("callee").await.unwrap();
    assert_eq!(variant(&running).await, "good", "though its file was overwritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_damaged_on_disk_is_not_run() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    swap(&running, "callee", callee("new")).await.unwrap();
    let hash = current(&running, "callee");
    running.stop().await;
    std::fs::write(dir.path().join(format!("versions/{hash}.wasm")), callee("trap")).unwrap();
    let error = start_error(&dir, &both_manifest()).await;
    assert_eq!(error.0.len(), 1);
    assert!(error.0[0].contains("its SHA-256 is not its name"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_latest_versions_are_kept() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    for mark in 0..8 {
        swap(&running, "callee", marked("callee", mark)).await.unwrap();
    }
    assert_eq!(running.swapper().versions("callee").unwrap().len(), 5);
    // They are removed in the background.
    let count = || std::fs::read_dir(dir.path().join("versions")).unwrap().count();
    for _ in 0..100 {
        if count() == 5 + 1 + 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} files are there, not five of one component, one of the other and the record", count());
}
