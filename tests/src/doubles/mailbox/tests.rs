//! The double over real SMTP and HTTP.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use super::{Faults, Mailbox};
use crate::client::Client;
use crate::doubles::Budget;

/// Far longer than anything here takes: a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mail client that speaks plain SMTP.
struct Sender(BufStream<TcpStream>);

impl Sender {
    async fn connect(mailbox: &Mailbox) -> Result<Self> {
        let mut sender = Self(BufStream::new(TcpStream::connect(mailbox.smtp_addr()).await?));
        ensure!(sender.reply().await?.starts_with("220 "));
        Ok(sender)
    }

    async fn ready(mailbox: &Mailbox) -> Result<Self> {
        let mut sender = Self::connect(mailbox).await?;
        ensure!(sender.say("EHLO test").await?.starts_with("250"));
        Ok(sender)
    }

    async fn reply(&mut self) -> Result<String> {
        let mut whole = String::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                bail!("closed after {whole:?}");
            }
            whole.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(whole);
            }
        }
    }

    async fn say(&mut self, line: &str) -> Result<String> {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.0.flush().await?;
        self.reply().await
    }

    /// Sends a mail; `content` has its line ends and dots as they go over the wire.
    async fn send(&mut self, to: &[&str], content: &str) -> Result<String> {
        self.say("MAIL FROM:<office@example.org> BODY=8BITMIME").await?;
        for recipient in to {
            ensure!(self.say(&format!("RCPT TO:<{recipient}>")).await?.starts_with("250"));
        }
        ensure!(self.say("DATA").await?.starts_with("354"));
        self.say(&format!("{content}\r\n.")).await
    }
}

fn plain(to: &str, subject: &str, text: &str) -> String {
    format!("From: Office <office@example.org>\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{text}")
}

const WITH_INVOICE: &str = "From: \"Cairn Office\" <office@example.org>\r\n\
To: Meera Rao <meera@example.org>\r\n\
Subject: =?utf-8?B?UmVjaG51bmcg4oK5?=\r\n\
Message-ID: <one@example.org>\r\n\
Date: Sat, 12 Dec 2026 09:30:00 +0530\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=outer\r\n\r\n\
--outer\r\n\
Content-Type: multipart/alternative; boundary=inner\r\n\r\n\
--inner\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
You paid =E2=82=B9 2542.\r\n\
--inner\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>You paid</p>\r\n--inner--\r\n\
--outer\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\
Content-Disposition: attachment; filename=\"Invoice-1.pdf\"\r\n\r\nJVBERi0xLjc=\r\n--outer--";

async fn start() -> Result<(Mailbox, Client)> {
    let mailbox = Mailbox::start("127.0.0.1:0", "127.0.0.1:0").await?;
    let client = Client::new(mailbox.base_url());
    Ok((mailbox, client))
}

#[tokio::test]
async fn a_mail_with_an_attachment_is_readable_over_the_api() -> Result<()> {
    let (mailbox, client) = start().await?;
    Sender::ready(&mailbox).await?.send(&["meera@example.org", "audit@example.org"], WITH_INVOICE).await?;

    let list = client.get("/api/v1/messages").await?.json;
    assert_eq!(
        (&list["total"], &list["unread"], &list["count"], &list["messages_count"]),
        (&json!(1), &json!(1), &json!(1), &json!(1))
    );
    let row = &list["messages"][0];
    assert_eq!(row["Subject"], "Rechnung ₹");
    assert_eq!(row["From"], json!({ "Name": "Cairn Office", "Address": "office@example.org" }));
    assert_eq!(row["To"], json!([{ "Name": "Meera Rao", "Address": "meera@example.org" }]));
    assert_eq!(row["Bcc"], json!([{ "Name": "", "Address": "audit@example.org" }]));
    assert_eq!(
        (&row["Attachments"], &row["Snippet"], &row["Read"]),
        (&json!(1), &json!("You paid ₹ 2542."), &json!(false))
    );

    let id = row["ID"].as_str().context("an id")?;
    let mail = client.get(&format!("/api/v1/message/{id}")).await?.json;
    assert_eq!(mail["Text"].as_str().map(str::trim_end), Some("You paid ₹ 2542."));
    assert_eq!(mail["HTML"].as_str().map(str::trim_end), Some("<p>You paid</p>"));
    assert_eq!((&mail["MessageID"], &mail["Date"]), (&json!("one@example.org"), &json!("2026-12-12T04:00:00Z")));
    let file = &mail["Attachments"][0];
    assert_eq!(
        (&file["FileName"], &file["ContentType"], &file["Size"]),
        (&json!("Invoice-1.pdf"), &json!("application/pdf"), &json!(8))
    );
    let part = file["PartID"].as_str().context("a part")?;
    let part = client.get(&format!("/api/v1/message/{id}/part/{part}")).await?;
    assert_eq!((part.header("content-type"), &part.body[..]), (Some("application/pdf"), &b"%PDF-1.7"[..]));
    let raw = client.get(&format!("/api/v1/message/{id}/raw")).await?;
    assert_eq!(raw.body, format!("{WITH_INVOICE}\r\n"));
    assert_eq!(client.get("/api/v1/messages").await?.json["unread"], 0);
    assert_eq!(client.get("/api/v1/message/none").await?.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_test_gets_each_mail_once_and_in_order_also_when_it_waits_first() -> Result<()> {
    let (mailbox, _) = start().await?;
    let mut sender = Sender::ready(&mailbox).await?;
    let sending = async {
        sender.send(&["a@example.org"], &plain("a@example.org", "Code", "first")).await?;
        sender.send(&["a@example.org"], &plain("a@example.org", "Code", "second")).await?;
        sender.send(&["meera@example.org"], WITH_INVOICE).await
    };
    let waiting = async {
        let first = mailbox.wait_for("A@example.org", "Code", PATIENCE).await?;
        let second = mailbox.wait_for("a@example.org", "Code", PATIENCE).await?;
        assert_eq!((first.text().trim_end(), second.text().trim_end()), ("first", "second"));
        let invoice = mailbox.wait_for("meera@example.org", "Rechnung", PATIENCE).await?;
        let file = invoice.attachment("Invoice-1.pdf").context("the invoice")?;
        assert_eq!(&file.content[..], b"%PDF-1.7");
        anyhow::Ok(())
    };
    let (sent, waited) = tokio::join!(sending, waiting);
    sent?;
    waited?;
    let none = mailbox.wait_for("a@example.org", "Code", Duration::from_millis(20)).await;
    assert!(none.is_err_and(|error| error.there.len() == 3));
    Ok(())
}

#[tokio::test]
async fn dot_stuffing_is_undone_and_a_lone_stuffed_dot_does_not_end_the_mail() -> Result<()> {
    let (mailbox, _) = start().await?;
    let content = plain("a@example.org", "Dots", "..hidden\r\n..\r\nend");
    Sender::ready(&mailbox).await?.send(&["a@example.org"], &content).await?;
    let mail = mailbox.wait_for("a@example.org", "Dots", PATIENCE).await?;
    assert!(mail.raw().ends_with(b"\r\n.hidden\r\n.\r\nend\r\n"));
    Ok(())
}

#[tokio::test]
async fn commands_out_of_order_are_refused_and_the_connection_goes_on() -> Result<()> {
    let (mailbox, _) = start().await?;
    let mut sender = Sender::connect(&mailbox).await?;
    assert!(sender.say("MAIL FROM:<a@example.org>").await?.starts_with("503"));
    assert!(sender.say("EHLO test").await?.contains("SIZE 26214400"));
    assert!(sender.say("RCPT TO:<b@example.org>").await?.starts_with("503"));
    assert!(sender.say("DATA").await?.starts_with("503"));
    assert!(sender.say("MAIL FROM:<a@example.org> SIZE=26214401").await?.starts_with("552"));
    assert!(sender.say("MAIL FROM:<>").await?.starts_with("250"));
    assert!(sender.say("MAIL FROM:<>").await?.starts_with("503"));
    assert!(sender.say("RCPT TO:<nobody>").await?.starts_with("501"));
    assert!(sender.say("RSET").await?.starts_with("250"));
    assert!(sender.say("RCPT TO:<b@example.org>").await?.starts_with("503"));
    assert!(sender.say("NOOP").await?.starts_with("250"));
    assert!(sender.say("STARTTLS").await?.starts_with("502"));
    assert!(sender.say(&"x".repeat(20_000)).await?.starts_with("500"));
    assert!(sender.send(&["b@example.org"], &plain("b@example.org", "Still there", "x")).await?.starts_with("250"));
    assert!(sender.say("QUIT").await?.starts_with("221"));
    assert_eq!(mailbox.messages_to("b@example.org").len(), 1);
    Ok(())
}

#[tokio::test]
async fn any_credentials_are_accepted() -> Result<()> {
    let (mailbox, _) = start().await?;
    let mut sender = Sender::ready(&mailbox).await?;
    assert!(sender.say("AUTH PLAIN AGEAYg==").await?.starts_with("235"));
    assert!(sender.say("AUTH PLAIN").await?.starts_with("334"));
    assert!(sender.say("AGEAYg==").await?.starts_with("235"));
    assert!(sender.say("AUTH LOGIN").await?.starts_with("334 VXNlcm5hbWU6"));
    assert!(sender.say("YQ==").await?.starts_with("334 UGFzc3dvcmQ6"));
    assert!(sender.say("Yg==").await?.starts_with("235"));
    assert!(sender.say("AUTH CRAM-MD5").await?.starts_with("504"));
    Ok(())
}

#[tokio::test]
async fn a_mail_above_the_size_limit_is_refused_and_not_kept() -> Result<()> {
    let (mailbox, _) = start().await?;
    let line = format!("{}\r\n", "x".repeat(998));
    let content = plain("a@example.org", "Big", &line.repeat(super::MESSAGE_BYTES_MAX / line.len() + 1));
    let mut sender = Sender::ready(&mailbox).await?;
    assert!(sender.send(&["a@example.org"], &content).await?.starts_with("552"));
    assert!(sender.send(&["a@example.org"], &plain("a@example.org", "Small", "x")).await?.starts_with("250"));
    assert_eq!(mailbox.messages().len(), 1);
    Ok(())
}

#[tokio::test]
async fn mails_are_found_by_field_and_deleted_by_search_or_id() -> Result<()> {
    let (mailbox, client) = start().await?;
    let mut sender = Sender::ready(&mailbox).await?;
    for (to, subject, text) in [
        ("a@example.org", "Your code", "123456"),
        ("b@example.org", "Your code", "654321"),
        ("a@example.org", "Booking confirmed", "see you"),
    ] {
        sender.send(&[to], &plain(to, subject, text)).await?;
    }
    let count = async |query: &str| -> Result<Value> {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        Ok(client.get(&format!("/api/v1/search?query={query}")).await?.json["messages_count"].clone())
    };
    assert_eq!(count("to:a@example.org").await?, 2);
    assert_eq!(count("from:office subject:\"your code\"").await?, 2);
    assert_eq!(count("to:a@example.org subject:code").await?, 1);
    assert_eq!(count("654321").await?, 1);
    assert_eq!(count("-to:b@example.org").await?, 2);
    assert_eq!(count("has:attachment").await?, 0);

    let page = client.get("/api/v1/messages?start=1&limit=1").await?.json;
    assert_eq!(
        (&page["count"], &page["start"], &page["messages"][0]["Snippet"]),
        (&json!(1), &json!(1), &json!("654321"))
    );
    client.delete("/api/v1/search?query=to%3Ab%40example.org", &Value::Null).await?;
    let rest = client.get("/api/v1/messages").await?.json;
    assert_eq!(rest["total"], 2);
    client.delete("/api/v1/messages", &json!({ "IDs": [rest["messages"][0]["ID"]] })).await?;
    assert_eq!(mailbox.messages()[0].text().trim_end(), "123456");
    client.delete("/api/v1/messages", &Value::Null).await?;
    assert_eq!(client.get("/api/v1/messages").await?.json["total"], 0);
    Ok(())
}

#[tokio::test]
async fn faults_refuse_connections_and_reject_mails() -> Result<()> {
    let (mailbox, client) = start().await?;
    client.post("/_ctl/faults", &json!({ "refuse": true })).await?;
    let mut refused = TcpStream::connect(mailbox.smtp_addr()).await?;
    assert_eq!(refused.read(&mut [0; 16]).await?, 0);

    mailbox.set_faults(Faults { reject_next: Budget::Times(1), slow_ms: 1, ..Faults::default() });
    let mut sender = Sender::ready(&mailbox).await?;
    let mail = plain("a@example.org", "Again", "x");
    assert!(sender.send(&["a@example.org"], &mail).await?.starts_with("451"));
    assert!(mailbox.messages().is_empty());
    assert!(sender.send(&["a@example.org"], &mail).await?.starts_with("250"));
    assert_eq!(client.delete("/_ctl/faults", &Value::Null).await?.json["slow_ms"], 0);
    Ok(())
}

#[tokio::test]
async fn the_pages_show_a_mail_without_letting_its_html_act() -> Result<()> {
    let (mailbox, client) = start().await?;
    let hostile = "From: a@example.org\r\nTo: b@example.org\r\nSubject: <script>x</script>\r\n\
                   Content-Type: text/html\r\n\r\n<script>\"y\"</script>";
    Sender::ready(&mailbox).await?.send(&["b@example.org"], hostile).await?;
    let id = mailbox.messages()[0].id().to_owned();
    for path in ["/".to_owned(), format!("/view/{id}")] {
        let page = client.get(&path).await?;
        let text = String::from_utf8_lossy(&page.body);
        assert!(text.contains("&lt;script&gt;x&lt;/script&gt;") && !text.contains("<script"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_mail_handed_over_as_json_is_a_mail_like_any_other() -> Result<()> {
    let (mailbox, client) = start().await?;
    let ask = json!({
        "From": { "Name": "Cairn Büro", "Email": "office@example.org" },
        "To": [{ "Name": "Meera Rao", "Email": "meera@example.org" }],
        "Bcc": ["audit@example.org"],
        "Subject": "Rechnung ₹",
        "Text": "You paid ₹ 2542.",
        "HTML": "<p>You paid</p>",
        "Headers": { "X-Event": "booking-1" },
        "Attachments": [{ "Filename": "Invoice-1.pdf", "ContentType": "application/pdf", "Content": "JVBERi0xLjc=" }],
    });
    let sent = client.post("/api/v1/send", &ask).await?;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.json);
    let mail = mailbox.wait_for("audit@example.org", "Rechnung ₹", PATIENCE).await?;
    assert_eq!(sent.json["ID"], mail.id());
    assert_eq!(mail.from().map(ToString::to_string).as_deref(), Some("Cairn Büro <office@example.org>"));
    assert_eq!((mail.text().trim_end(), mail.html().trim_end()), ("You paid ₹ 2542.", "<p>You paid</p>"));
    assert_eq!(&mail.attachment("Invoice-1.pdf").context("the invoice")?.content[..], b"%PDF-1.7");
    assert!(String::from_utf8_lossy(mail.raw()).contains("X-Event: booking-1\r\n"));

    for broken in [
        json!({ "From": { "Email": "office@example.org" } }),
        json!({ "From": { "Email": "office@example.org" }, "To": [{ "Email": "nobody" }] }),
        json!({ "From": { "Email": "a@example.org" }, "To": [{ "Email": "b@example.org" }], "Headers": { "X": "a\r\nBcc: c@example.org" } }),
    ] {
        assert_eq!(client.post("/api/v1/send", &broken).await?.status, StatusCode::BAD_REQUEST, "{broken}");
    }
    mailbox.set_faults(Faults { reject_next: Budget::Times(1), ..Faults::default() });
    assert_eq!(client.post("/api/v1/send", &ask).await?.status, StatusCode::SERVICE_UNAVAILABLE);
    mailbox.set_faults(Faults { refuse: true, ..Faults::default() });
    assert!(client.post("/api/v1/send", &ask).await.is_err());
    assert_eq!(mailbox.messages().len(), 1);
    Ok(())
}
