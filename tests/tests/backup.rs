//! Backups taken while people book and pay, and the system that comes back from them.

use std::{
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cairn_tests::{
    system::{System, cairn},
    trekker::{Trekker, expect, text},
};
use futures::future::try_join_all;

const TREK: &str = "68c5a7d0b3e19f4200002001";
const BATCH: &str = "68c5a7d0b3e19f4200004008";
const TREKKERS: usize = 8;
const SEATS: u32 = 2;
const BACKUPS: u64 = 3;
/// Long enough for every job that picks up what was under way.
const SETTLED_MAX: Duration = Duration::from_secs(200);

/// What somebody has been told of a booking, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Booked,
    Paid,
    Confirmed,
}

/// Everything that was acknowledged so far: whose booking, its id, and what.
type Log = Mutex<Vec<(usize, String, Told)>>;

async fn journey(system: &System, trekker: &Trekker, who: usize, log: &Log) -> Result<()> {
    let say = |id: &str, told| log.lock().map(|mut log| log.push((who, id.to_owned(), told))).ok().context("a log");
    let booking = trekker.book(TREK, BATCH, SEATS).await?;
    let id = text(&booking, "_id")?;
    say(id, Told::Booked)?;
    tokio::time::sleep(Duration::from_millis(40 * who as u64)).await;
    let order = trekker.order(id).await?;
    let paid = trekker.pay(system, &order)?;
    expect(trekker.verify(id, &paid).await?, 200)?;
    say(id, Told::Paid)?;
    expect(trekker.give_participants(id, SEATS).await?, 200)?;
    say(id, Told::Confirmed)
}

/// Runs a command of cairn's, which has to succeed.
async fn run(arguments: &[&str]) -> Result<()> {
    let mut command = cairn()?;
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(())
}

/// Takes a backup; gives what had been acknowledged before.
async fn back_up(system: &System, file: &Path, log: &Log) -> Result<Vec<(usize, String, Told)>> {
    let before = log.lock().ok().context("a log")?.clone();
    let (file, data) = (file.to_string_lossy(), system.data().to_string_lossy());
    run(&["backup", &file, "--data", &data]).await?;
    Ok(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_all_that_was_acknowledged_and_all_services_agree_after_it() -> Result<()> {
    let archives = tempfile::tempdir()?;
    let mut system = System::start().await?;
    let names: Vec<_> = (0..TREKKERS).map(|n| format!("Keeper {n}")).collect();
    let trekkers = try_join_all(names.iter().map(|name| Trekker::register(&system, name))).await?;

    let log = Log::default();
    let (running, trekkers_ref, log_ref) = (&system, &trekkers, &log);
    let journeys =
        try_join_all(trekkers.iter().enumerate().map(|(who, trekker)| journey(running, trekker, who, log_ref)));
    let archive = |n: u64| archives.path().join(format!("{n}.tar"));
    let backups = async {
        let mut taken = Vec::new();
        for n in 0..BACKUPS {
            tokio::time::sleep(Duration::from_millis(60)).await;
            taken.push(back_up(running, &archive(n), log_ref).await?);
        }
        anyhow::Ok(taken)
    };
    let (_, mut taken) = tokio::try_join!(journeys, backups)?;
    ensure!(log.lock().ok().context("a log")?.len() == 3 * TREKKERS, "everybody came to the end");
    taken.push(back_up(&system, &archive(BACKUPS), &log).await?);
    system.stop().await?;

    for (n, acknowledged) in (0..).zip(&taken) {
        std::fs::remove_dir_all(system.data())?;
        run(&["restore", &archive(n).to_string_lossy(), "--data", &system.data().to_string_lossy()]).await?;
        system.launch().await?;
        for (who, id, told) in acknowledged {
            let trekker = trekkers_ref.get(*who).context("a trekker")?;
            let booking = expect(trekker.booking(id).await?, 200)?;
            let expected: &[&str] = match told {
                Told::Booked => &["pending_payment", "payment_completed", "confirmed"],
                Told::Paid => &["payment_completed", "confirmed"],
                Told::Confirmed => &["confirmed"],
            };
            let status = text(&booking, "status")?;
            ensure!(expected.contains(&status), "backup {n}: {told:?} was acknowledged, and it is {status}");
        }
        settle(&system, &trekkers, taken.last().map(Vec::as_slice).unwrap_or_default())
            .await
            .with_context(|| format!("backup {n}"))?;
        system.stop().await?;
    }
    // Of the last one, nothing is missing.
    ensure!(taken.last().is_some_and(|last| last.len() == 3 * TREKKERS), "all was acknowledged by then");
    Ok(())
}

/// Waits until bookings, seats and money agree.
async fn settle(system: &System, trekkers: &[Trekker], all: &[(usize, String, Told)]) -> Result<()> {
    let admin = Trekker::admin(system).await?;
    let started = Instant::now();
    loop {
        let mut states = Vec::new();
        for (who, id, _) in all.iter().filter(|(_, _, told)| *told == Told::Booked) {
            let booking = trekkers.get(*who).context("a trekker")?.booking(id).await?;
            states.extend(booking.json["status"].as_str().map(str::to_owned));
        }
        let seated = ["pending_payment", "payment_completed", "confirmed"];
        let seats = states.iter().filter(|state| seated.contains(&state.as_str())).count() as u64 * u64::from(SEATS);
        let dashboard = expect(admin.get("/api/stats/dashboard").await?, 200)?;
        let list = expect(admin.get("/api/bookings?limit=100").await?, 200)?;
        let batch = expect(system.client().get(&format!("/api/batches/{BATCH}")).await?, 200)?;
        let (sales, revenue) = (&dashboard["totalSales"], &list["stats"]["totalRevenue"]);
        if batch["currentParticipants"] == seats && sales.as_f64() == revenue.as_f64() {
            return Ok(());
        }
        let found = format!("{states:?}, sales {sales} and revenue {revenue}, seats of {batch}");
        ensure!(started.elapsed() < SETTLED_MAX, "{found}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_run_is_backed_up_from_its_folder_and_bad_commands_change_nothing() -> Result<()> {
    let archives = tempfile::tempdir()?;
    let mut system = System::start().await?;
    let trekker = Trekker::register(&system, "Meera Rao").await?;
    let booking = trekker.book(TREK, BATCH, 1).await?;
    system.kill()?;

    let file = archives.path().join("backup.tar");
    let (file, data) = (file.to_string_lossy().into_owned(), system.data().to_string_lossy().into_owned());
    run(&["backup", &file, "--data", &data]).await?;
    let kept = std::fs::read(&file)?;
    let refused = |arguments: [&'static str; 1], reason: &'static str, rest: Vec<String>| async move {
        let arguments: Vec<&str> = arguments.into_iter().chain(rest.iter().map(String::as_str)).collect();
        let error = run(&arguments).await.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(error.contains(reason), "{reason:?} expected: {error:?}");
        anyhow::Ok(())
    };
    let to_data = vec![file.clone(), "--data".to_owned(), data.clone()];
    refused(["backup"], "exists already", to_data.clone()).await?;
    refused(["restore"], "is not empty; restore into a new folder", to_data.clone()).await?;
    std::fs::remove_dir_all(&data)?;
    let mut damaged = kept.clone();
    // Not in one place only: an archive also has bytes that mean nothing.
    for byte in damaged.iter_mut().step_by(kept.len() / 16) {
        *byte ^= 1;
    }
    std::fs::write(&file, damaged)?;
    refused(["restore"], "the archive is damaged", to_data).await?;
    ensure!(!Path::new(&data).exists(), "nothing was put into place");

    std::fs::write(&file, kept)?;
    run(&["restore", &file, "--data", &data]).await?;
    system.launch().await?;
    let again = expect(trekker.booking(text(&booking, "_id")?).await?, 200)?;
    ensure!(again["status"] == "pending_payment", "{again}");
    Ok(())
}
