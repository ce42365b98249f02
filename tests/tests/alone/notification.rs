//! The notification service, with a real mail server's double behind it.

use cairn_tests::{doubles::Mailbox, trekker::MAIL_MAX};
use wasmtime::component::Val;

use crate::{
    stage::{Alone, Stage},
    val::{case, done, failure, record, text},
};

async fn with_mailbox() -> (Alone, Mailbox) {
    let mailbox = Mailbox::start("127.0.0.1:0", "127.0.0.1:0").await.unwrap();
    let (host, port) = (mailbox.smtp_addr().ip().to_string(), mailbox.smtp_addr().port().to_string());
    let variables = [("email_host", host.as_str()), ("email_port", port.as_str()), ("site_name", "Cairn <Tests>")];
    (Stage::with("notification", &variables).start().await, mailbox)
}

impl Alone {
    async fn enqueue_welcome(&self, key: &str, name: &str, email: &str, username: &str) -> Val {
        let envelope = record([
            ("key", text(key)),
            ("to", record([("name", text(name)), ("email", text(email))])),
            ("message", case("welcome", record([("username", text(username))]))),
            ("attachments", Val::List(Vec::new())),
        ]);
        self.call("cairn:notification/mail", "enqueue", vec![envelope]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_enqueued_twice_under_one_key_is_sent_once() {
    let (notification, mailbox) = with_mailbox().await;
    for _ in 0..2 {
        assert_eq!(notification.enqueue_welcome("welcome-1", "Meera", "meera@example.org", "meera").await, done());
    }
    assert_eq!(notification.enqueue_welcome("welcome-2", "Ravi", "ravi@example.org", "ravi").await, done());
    mailbox.wait_for("meera@example.org", "Welcome", MAIL_MAX).await.unwrap();
    mailbox.wait_for("ravi@example.org", "Welcome", MAIL_MAX).await.unwrap();
    // Everything that is due has been sent once this run is over.
    let sent = notification.running.post("notification", "/_jobs/send").await.unwrap();
    assert_eq!(sent.status, 204);
    assert_eq!(mailbox.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_call_themselves_is_text_in_a_mail_and_never_markup() {
    let (notification, mailbox) = with_mailbox().await;
    let name = "<img src=x onerror=alert(1)> & Co";
    assert_eq!(notification.enqueue_welcome("welcome-1", name, "meera@example.org", "\"><script>").await, done());
    let mail = mailbox.wait_for("meera@example.org", "Welcome to Cairn <Tests>", MAIL_MAX).await.unwrap();
    let html = mail.html();
    assert!(html.contains("&lt;img") && html.contains("&amp; Co") && html.contains("&lt;script&gt;"), "{html}");
    assert!(!html.contains("<img src=x") && !html.contains("<script") && !html.contains("<Tests>"), "{html}");
    assert!(mail.text().contains(name), "{}", mail.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_none_is_refused_at_once() {
    let (notification, _mailbox) = with_mailbox().await;
    for address in ["nobody", "a@b.org\r\nBcc: c@d.org"] {
        let refused = notification.enqueue_welcome("welcome-1", "Nobody", address, "nobody").await;
        assert_eq!(failure(&refused), "invalid", "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_sent_once_under_its_key_and_names_its_booking() {
    let (notification, mailbox) = with_mailbox().await;
    let address = record([
        ("key", text("booking/1/trip-reminder")),
        ("to", record([("name", text("Meera")), ("email", text("meera@example.org"))])),
        ("attachments", Val::List(Vec::new())),
    ]);
    let trip = record([
        ("booking-id", text("68f0a1b2c3d4e5f607182930")),
        ("booking-code", text("BT07182930")),
        ("trek-name", text("Fort <loop>")),
        ("start-date", Val::S64(1_790_000_000_000)),
        ("end-date", Val::S64(1_790_086_400_000)),
        ("participants", Val::List(vec![text("Meera"), text("Ravi")])),
    ]);
    for _ in 0..2 {
        let sent =
            notification.call("cairn:notification/notices", "trip-reminder", vec![address.clone(), trip.clone()]);
        assert_eq!(sent.await, done());
    }
    let mail = mailbox.wait_for("meera@example.org", "begins soon", MAIL_MAX).await.unwrap();
    assert!(mail.text().contains("BT07182930") && mail.text().contains("Meera, Ravi"), "{}", mail.text());
    assert!(mail.html().contains("Fort &lt;loop&gt;"), "{}", mail.html());
    assert_eq!(mailbox.messages().len(), 1);
}
