//! Long exports: everything arrives, and the host holds none of it.
//!
//! `CAIRN_EXPORT_BOOKINGS=100000 cargo test --release --workspace --test exports -- --nocapture`
//! measures with as many.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cairn_shared::{Db, DbError, Id, Sql as _, params};
use cairn_tests::{
    client::Client,
    system::{Engine, System},
    trekker::{Trekker, expect, text},
};
use serde_json::{Value, json};

const TREK: &str = "68c5a7d0b3e19f4200002001";
const BATCH: &str = "68c5a7d0b3e19f4200004008";

/// Bookings, unless the environment says otherwise.
const BOOKINGS: u32 = 20_000;

/// What the host's memory may grow by while it sends a file of any length.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

/// Longest time for one file.
const FILE_TIME_MAX: Duration = Duration::from_secs(300);

/// A figure of the process in KiB, as `VmRSS` or `VmHWM`.
fn memory_kib(pid: u32, figure: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(figure)).context("no such figure")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

/// So many copies of a booking in the database of a stopped host.
async fn multiply(system: &System, booking: &str, count: u32) -> Result<()> {
    let db = Db::open_file(&system.data().join("sqlite/booking.db")).await?;
    let row = db.query_one("SELECT document FROM bookings WHERE id = $1", params![booking]).await?;
    let mut document: Value = row.json("document")?;
    let copy = "INSERT INTO bookings (id, code, user_id, trek_id, batch_id, status, participants, seats, total, paid, refunded, \
                batch_start, search_text, document, version, created_at) \
                SELECT $1, code, user_id, trek_id, batch_id, status, participants, seats, total, paid, refunded, \
                batch_start, search_text, $2, version, created_at - $3 FROM bookings WHERE id = $4";
    let created_at = document["createdAt"].clone();
    let begin: cairn_shared::Timestamp = text(&json!({ "at": created_at }), "at")?.parse()?;
    for chunk in (0..count).collect::<Vec<_>>().chunks(5_000) {
        let mut rows = Vec::new();
        for number in chunk {
            let id = Id::derive(&["copy", &number.to_string()]);
            document["id"] = json!(id);
            document["createdAt"] = json!(begin.plus(-i64::from(*number)));
            rows.push(params![id, document.to_string(), i64::from(*number), booking]);
        }
        db.transaction(async |tx| {
            for row in &rows {
                tx.execute(copy, row.clone()).await?;
            }
            Ok::<_, DbError>(())
        })
        .await?;
    }
    Ok(())
}

/// A file, the time it took, and what the host's memory grew by meanwhile, in KiB.
async fn measured(system: &System, admin: &Client, target: &str) -> Result<(Vec<u8>, Duration, u64)> {
    let pid = system.pid().context("the system runs")?;
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("the peak could not be set back")?;
    let before = memory_kib(pid, "VmRSS")?;
    let began = Instant::now();
    let reply = admin.with_timeout(FILE_TIME_MAX).get(target).await?;
    let took = began.elapsed();
    ensure!(reply.status == 200, "{}", reply.json);
    ensure!(reply.header("x-cairn-continues").is_none(), "the host keeps to itself how it does it");
    Ok((reply.body.to_vec(), took, memory_kib(pid, "VmHWM")?.saturating_sub(before)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_bookings_are_no_more_to_hold_than_a_few() -> Result<()> {
    let count = std::env::var("CAIRN_EXPORT_BOOKINGS").map_or(Ok(BOOKINGS), |count| count.parse())?;
    let mut system = System::start().await?;
    let on_postgres = system.environment().iter().any(|(name, _)| name == "CAIRN_DATABASE_URL");
    let trekker = Trekker::register(&system, "Meera Rao").await?;
    let booking = trekker.book(TREK, BATCH, 1).await?;
    let id = text(&booking, "_id")?.to_owned();
    let order = trekker.order(&id).await?;
    let paid = trekker.pay(&system, &order)?;
    expect(trekker.verify(&id, &paid).await?, 200)?;
    let many = system.engine == Engine::Cairn && !on_postgres;
    let expected = if many { count + 1 } else { 1 };
    if many {
        system.stop().await?;
        multiply(&system, &id, count).await?;
        system.launch().await?;
    }
    let admin = Trekker::admin(&system).await?;
    // What is made once, instances and caches, is made before it counts.
    expect(admin.get("/api/bookings").await?, 200)?;
    for target in ["fileType=csv", "fileType=excel"] {
        measured(&system, &admin, &format!("/api/bookings/admin/export?{target}&endDate=2020-01-01")).await?;
    }
    let export = "/api/bookings/admin/export?fileType=";
    let (csv, took, growth) = measured(&system, &admin, &format!("{export}csv")).await?;
    println!("csv: {expected} bookings, {} bytes, {took:.2?}, memory grew by {growth} KiB", csv.len());
    ensure!(growth < GROWTH_KIB_MAX, "the host's memory grew by {growth} KiB");
    let csv = String::from_utf8(csv)?;
    let mut ids: Vec<_> = csv.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == expected as usize, "{} bookings of {expected}", ids.len());

    let (workbook, took, growth) = measured(&system, &admin, &format!("{export}excel")).await?;
    println!("excel: {expected} bookings, {} bytes, {took:.2?}, memory grew by {growth} KiB", workbook.len());
    ensure!(growth < GROWTH_KIB_MAX, "the host's memory grew by {growth} KiB");
    ensure!(workbook.starts_with(b"PK\x03\x04") && workbook[workbook.len() - 22..].starts_with(b"PK\x05\x06"));
    if let Some(folder) = std::env::var_os("CAIRN_EXPORTS_FOLDER") {
        fs::write(std::path::Path::new(&folder).join("all.xlsx"), &workbook)?;
    }

    let began = Instant::now();
    let pdf = admin.with_timeout(FILE_TIME_MAX).get(&format!("{export}pdf")).await?;
    if expected > 2_000 {
        ensure!(pdf.status == 400, "{}", pdf.json);
    } else {
        ensure!(pdf.status == 200 && pdf.body.starts_with(b"%PDF-"));
        println!("pdf: {expected} bookings, {} bytes, {:.2?}", pdf.body.len(), began.elapsed());
    }
    // The pieces are nobody's to ask for from outside.
    expect(admin.get("/_exports?export=%7B%7D").await?, 404)?;
    Ok(())
}
