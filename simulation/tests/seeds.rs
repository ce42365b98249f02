//! Two hundred runs, and that a seed decides everything.

use std::sync::Mutex;

use cairn_simulation::{play::Numbers, run, run_all};

const SEEDS: u64 = 200;

/// Lines of a history that failed which are shown.
const SHOWN: usize = 400;

#[test]
fn nothing_is_oversold_lost_or_doubled_whatever_goes_wrong() {
    let failed = Mutex::new(Vec::new());
    let sum = Mutex::new(Numbers::default());
    run_all(1, SEEDS, |run| {
        *sum.lock().unwrap() += run.numbers;
        if run.problem.is_some() {
            failed.lock().unwrap().push(run);
        }
    })
    .unwrap();
    let sum = sum.into_inner().unwrap();
    let Numbers { bookings, confirmed, cancelled, payments, transferred, cleared, chosen, gifts, shares, .. } = sum;
    let often = [bookings, confirmed, cancelled, payments].iter().all(|number| *number > 100);
    let at_times = [transferred, cleared, chosen, gifts].iter().all(|number| *number > 10);
    assert!(often && at_times && shares > 0, "hardly anything happened: {sum:?}");
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|run| run.seed);
    if let Some(run) = failed.first() {
        let from = run.history.len().saturating_sub(SHOWN);
        let seeds: Vec<_> = failed.iter().map(|run| run.seed).collect();
        panic!(
            "seeds {seeds:?}; seed {}: {}\n{}\nreplay it with: cargo xtask soak simulation --seed {}",
            run.seed,
            run.problem.as_deref().unwrap_or_default(),
            run.history[from..].join("\n"),
            run.seed
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in [3, 4] {
        let (one, other) = (run(seed, false).unwrap(), run(seed, false).unwrap());
        let differs = one.history.iter().zip(&other.history).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!((one.history.len(), one.numbers), (other.history.len(), other.numbers));
        assert!(one.numbers.requests > 100, "{:?}", one.numbers);
    }
    assert_ne!(run(3, false).unwrap().history, run(4, false).unwrap().history);
}
