//! Two hundred runs, and that a seed decides everything.

use std::sync::Mutex;

use cairn_simulation::{play::Numbers, run, run_all};

const SEEDS: u64 = 200;

/// Lines of a history that failed which are shown.
const SHOWN: usize = 400;

#[test]
fn nothing_is_oversold_lost_or_doubled_whatever_goes_wrong() {
    let failed = Mutex::new(Vec::new());
    let sums = Mutex::new([0; 4]);
    run_all(1, SEEDS, |run| {
        let Numbers { bookings, confirmed, cancelled, payments, .. } = run.numbers;
        let all = [bookings, confirmed, cancelled, payments];
        sums.lock().unwrap().iter_mut().zip(all).for_each(|(sum, number)| *sum += number);
        if run.problem.is_some() {
            failed.lock().unwrap().push(run);
        }
    })
    .unwrap();
    let sums = sums.into_inner().unwrap();
    assert!(sums.iter().all(|sum| *sum > 100), "hardly anything happened: {sums:?}");
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
