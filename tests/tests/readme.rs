//! What the documents tell to type does what they say.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_tests::system::{ADMIN, System, cairn};

/// The block of commands after a mark in a document.
fn block(document: &str, mark: &str) -> Result<String> {
    let text = std::fs::read_to_string(format!("{}/../{document}", env!("CARGO_MANIFEST_DIR")))?;
    let after = text.split(mark).nth(1).with_context(|| format!("{document} has no {mark}"))?;
    let block = after.split("```sh\n").nth(1).and_then(|block| block.split("```").next());
    Ok(block.with_context(|| format!("after {mark} there is no block"))?.to_owned())
}

/// What the commands print, all of which succeed.
fn run(commands: &mut Command) -> Result<String> {
    let output = tokio::task::block_in_place(|| commands.output())?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}\n{printed}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(printed.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_of_the_readme_works() -> Result<()> {
    let system = System::start().await?;
    let tour = block("README.md", "<!-- tour -->")?
        .replace("http://127.0.0.1:3000", &system.base)
        .replace("http://127.0.0.1:8025", &system.mailbox.base_url())
        .replace("http://127.0.0.1:8026", &system.razorpay.base_url())
        .replace("admin@cairn.example", ADMIN.0)
        .replace("walk-the-ridge", ADMIN.1)
        .replace("invoice.pdf", &std::env::temp_dir().join("cairn-tour-invoice.pdf").to_string_lossy());
    let printed = run(Command::new("bash").args(["-euo", "pipefail", "-c", &tour]))?;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_operators_guide_replace_a_component() -> Result<()> {
    let system = System::start().await?;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let new = system.data().join("new.wasm").display().to_string();
    let commands = block("docs/operating.md", "<!-- replacing -->")?.replace("new.wasm", &new);
    let host = cairn()?.get_program().to_string_lossy().into_owned();
    let prelude = format!("cairn() {{ '{host}' \"$@\" --data '{}'; }}\n", system.data().display());
    let commands = prelude + &commands;
    let printed = run(Command::new("bash").current_dir(root).args(["-euo", "pipefail", "-c", &commands]))?;
    for line in [
        "COMPONENT     VERSION",
        "50 % of the requests for 2 s…",
        "promoted: it has all requests",
        "previous",
        "booking    debug  its own",
        "component replaced",
        "rolled back by the operator",
        "log level set by the operator",
        "booking    info   the host's",
    ] {
        ensure!(printed.contains(line), "{line} is missing in:\n{printed}");
    }
    Ok(())
}
