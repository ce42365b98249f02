//! The binary `cairn-doubles` as a person or a script uses it.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use cairn_tests::client::Client;

/// Ends the process also when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if it has ended already, which is what is wanted.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn it_says_where_it_listens_and_ends_cleanly_on_sigterm() -> Result<()> {
    let child = Command::new(env!("CARGO_BIN_EXE_cairn-doubles"))
        .args(["--razorpay-listen=127.0.0.1:0", "--smtp-listen", "127.0.0.1:0", "--mailbox-listen", "127.0.0.1:0"])
        .env("RAZORPAY_KEY_ID", "rzp_test_other")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut running = Running(child);
    let stdout = running.0.stdout.take().context("its output")?;
    let mut places = Vec::new();
    for line in BufReader::new(stdout).lines().take(3) {
        places.push(line?);
    }
    let [razorpay, smtp, mailbox] = &places[..] else { anyhow::bail!("{places:?}") };
    let razorpay = razorpay.strip_prefix("razorpay ").context("a URL")?;
    ensure!(smtp.starts_with("mailbox-smtp smtp://127.0.0.1:"), "{smtp}");
    let mailbox = mailbox.strip_prefix("mailbox-http ").context("a URL")?;

    let state = Client::new(razorpay).get("/_ctl/state").await?;
    assert_eq!(state.json["settings"]["key_id"], "rzp_test_other");
    assert_eq!(Client::new(mailbox).get("/api/v1/messages").await?.json["total"], 0);

    let signalled = Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status()?;
    ensure!(signalled.success());
    assert!(running.0.wait()?.success());
    Ok(())
}

#[test]
fn an_unknown_option_is_refused_by_name() -> Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_cairn-doubles")).arg("--colour").output()?;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--colour"));
    Ok(())
}
