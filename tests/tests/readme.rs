//! The README's tour does what it says.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_tests::system::{ADMIN, System};

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_of_the_readme_works() -> Result<()> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"))?;
    let after = readme.split("<!-- tour -->").nth(1).context("the README marks its tour")?;
    let tour =
        after.split("```sh\n").nth(1).and_then(|block| block.split("```").next()).context("the tour is a block")?;
    let system = System::start().await?;
    let tour = tour
        .replace("http://127.0.0.1:3000", &system.base)
        .replace("http://127.0.0.1:8025", &system.mailbox.base_url())
        .replace("http://127.0.0.1:8026", &system.razorpay.base_url())
        .replace("admin@cairn.example", ADMIN.0)
        .replace("walk-the-ridge", ADMIN.1)
        .replace("invoice.pdf", &std::env::temp_dir().join("cairn-tour-invoice.pdf").to_string_lossy());
    let run = || Command::new("bash").args(["-euo", "pipefail", "-c", &tour]).output();
    let output = tokio::task::block_in_place(run)?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}\n{printed}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    for line in [
        r#""discount":640"#,
        r#""status":"captured""#,
        "Participant details updated successfully",
        "Booking confirmed: Hosamale Mist Ridge",
        "%PDF-",
        r#""totalRevenue":6163.2"#,
        r#""totalSales":"#,
    ] {
        ensure!(printed.contains(line), "{line} is missing in:\n{printed}");
    }
    Ok(())
}
