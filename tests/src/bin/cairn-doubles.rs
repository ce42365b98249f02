//! Starts the doubles of the outside services and says where they listen, one a line:
//!
//! ```text
//! razorpay http://127.0.0.1:8026
//! mailbox-smtp smtp://127.0.0.1:1025
//! mailbox-http http://127.0.0.1:8025
//! ```
//!
//! Ends on Ctrl-C or SIGTERM. `--help` lists the settings.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use cairn_tests::doubles::Mailbox;
use cairn_tests::doubles::razorpay::{Razorpay, Settings};

/// Flag, environment variable, default. A flag wins over the environment.
const OPTIONS: [(&str, &str, &str); 8] = [
    ("razorpay-listen", "RAZORPAY_LISTEN", "127.0.0.1:8026"),
    ("razorpay-key-id", "RAZORPAY_KEY_ID", "rzp_test_double"),
    ("razorpay-key-secret", "RAZORPAY_KEY_SECRET", "rzp_double_secret"),
    ("razorpay-webhook-secret", "RAZORPAY_WEBHOOK_SECRET", "rzp_double_webhook_secret"),
    ("razorpay-webhook-url", "RAZORPAY_WEBHOOK_URL", "http://127.0.0.1:3000/api/payments/webhook"),
    ("razorpay-webhook-retry-ms", "RAZORPAY_WEBHOOK_RETRY_MS", "200,500,1000,2000,5000,10000"),
    ("smtp-listen", "MAILBOX_SMTP_LISTEN", "127.0.0.1:1025"),
    ("mailbox-listen", "MAILBOX_HTTP_LISTEN", "127.0.0.1:8025"),
];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cairn-doubles: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let Some(options) = options(std::env::args().skip(1))? else {
        return help();
    };
    let option = |name: &str| options.get(name).cloned().unwrap_or_default();
    let settings = Settings {
        key_id: option("razorpay-key-id"),
        key_secret: option("razorpay-key-secret"),
        webhook_secret: option("razorpay-webhook-secret"),
        webhook_url: option("razorpay-webhook-url"),
        webhook_retry_after: milliseconds(&option("razorpay-webhook-retry-ms"))?,
    };
    // Before the ports are open: who has seen a line below may send a signal.
    let ended = end_signal()?;
    let listen = option("razorpay-listen");
    let razorpay = Razorpay::start_with(&listen, settings).await.with_context(|| format!("listening on {listen}"))?;
    let (smtp, http) = (option("smtp-listen"), option("mailbox-listen"));
    let mailbox = Mailbox::start(&smtp, &http).await.with_context(|| format!("listening on {smtp} and {http}"))?;

    let mut out = std::io::stdout().lock();
    writeln!(out, "razorpay {}", razorpay.base_url())?;
    writeln!(out, "mailbox-smtp smtp://{}", mailbox.smtp_addr())?;
    writeln!(out, "mailbox-http {}", mailbox.base_url())?;
    out.flush()?;
    drop(out);

    ended.await;
    Ok(())
}

/// Resolves at the first Ctrl-C or SIGTERM from now on.
#[cfg(unix)]
fn end_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Resolves at the first Ctrl-C from now on.
#[cfg(not(unix))]
fn end_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("cairn-doubles: no signals, ending: {error}");
        }
    })
}

/// Flag → value; `None` if help is asked for.
fn options(mut args: impl Iterator<Item = String>) -> anyhow::Result<Option<BTreeMap<&'static str, String>>> {
    let mut options: BTreeMap<&'static str, String> = OPTIONS
        .iter()
        .map(|(flag, variable, default)| (*flag, std::env::var(variable).unwrap_or_else(|_| (*default).to_owned())))
        .collect();
    while let Some(arg) = args.next() {
        if arg == "--help" || arg == "-h" {
            return Ok(None);
        }
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let Some((flag, ..)) = OPTIONS.iter().find(|(flag, ..)| name.strip_prefix("--") == Some(flag)) else {
            bail!("unknown option {name}, see --help");
        };
        let value = inline.or_else(|| args.next()).with_context(|| format!("{name} needs a value"))?;
        options.insert(flag, value);
    }
    Ok(Some(options))
}

fn milliseconds(list: &str) -> anyhow::Result<Vec<Duration>> {
    list.split(',')
        .filter(|item| !item.is_empty())
        .map(|item| {
            item.trim()
                .parse()
                .map(Duration::from_millis)
                .with_context(|| format!("{item:?} is no number of milliseconds"))
        })
        .collect()
}

fn help() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Doubles of the payment provider and the mail server.\n")?;
    for (flag, variable, default) in OPTIONS {
        writeln!(out, "  --{flag} <value>\n      or {variable}, default {default}")?;
    }
    Ok(())
}
