//! The queue against a real mail server: what was queued arrives, once.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use cairn_notification::{
    app::{App, SEND_PATH},
    domain::{Attachment, BookingConfirmed, Code, Envelope, MailError, Message, Recipient, Trip},
    store,
};
use cairn_shared::{
    Component, Db, Env, Sql, Timestamp,
    component::{self, router},
    config::Config,
    http::{Request, Response},
    params,
    time::{DAY, MINUTE, SECOND},
    upstream::{Upstream, UpstreamError},
    validate::Email,
};
use cairn_tests::doubles::{Budget, Mailbox, mailbox::Faults};

/// Remembers what it was asked to wake.
#[derive(Default)]
struct Woken(RefCell<Vec<String>>);

#[cairn_shared::async_trait(?Send)]
impl Upstream for Woken {
    async fn send(&self, service: &str, _: Request) -> Result<Response, UpstreamError> {
        Err(UpstreamError::UnknownService(service.to_owned()))
    }

    async fn wake(&self, service: &str, path: &str) {
        self.0.borrow_mut().push(format!("{service}{path}"));
    }
}

struct World {
    app: Rc<App>,
    mailbox: Mailbox,
    now: Rc<Cell<Timestamp>>,
    woken: Rc<Woken>,
}

async fn world() -> World {
    let mailbox = Mailbox::start("127.0.0.1:0", "127.0.0.1:0").await.unwrap();
    let port = mailbox.smtp_addr().port().to_string();
    let now = Rc::new(Cell::new("2026-11-22T06:00:00Z".parse().unwrap()));
    let (clock, woken) = (now.clone(), Rc::new(Woken::default()));
    let env = Env::new("notification", Rc::new(move || clock.get()), woken.clone());
    let config = Config::of(&[
        ("email_host", "127.0.0.1"),
        ("email_port", &port),
        ("email_from", "High Trails <desk@trails.example.in>"),
        ("site_name", "High Trails"),
        ("frontend_url", "https://trails.example.in/"),
    ]);
    let app = App::load(config, Db::for_test().await.unwrap(), env).unwrap();
    component::prepare(&app).await.unwrap();
    World { app: Rc::new(app), mailbox, now, woken }
}

fn envelope(key: &str, message: Message) -> Envelope {
    let to = Recipient { name: "Asha Rao".into(), email: Email::parse("asha@example.org").unwrap() };
    Envelope { key: key.into(), to, message, attachments: Vec::new() }
}

fn code(key: &str) -> Envelope {
    envelope(key, Message::LoginCode(Code { code: "482913".into(), valid_minutes: 10 }))
}

fn confirmed(trek_name: &str) -> Envelope {
    let day = |text: &str| text.parse().unwrap();
    let trip = Trip {
        booking_id: "68f0a1b2c3d4e5f607182930".into(),
        booking_code: "BT07182930".into(),
        trek_name: trek_name.into(),
        start_date: day("2026-12-05"),
        end_date: day("2026-12-06"),
        participants: vec!["Asha Rao".into()],
    };
    let message =
        Message::BookingConfirmed(BookingConfirmed { trip, total: None, requests: "Window seat <please>".into() });
    Envelope {
        attachments: vec![Attachment {
            file_name: "Invoice-BT07182930.pdf".into(),
            content_type: "application/pdf".into(),
            content: b"%PDF-1.7\n\x00\xff.\r\n.\n".to_vec(),
        }],
        ..envelope("confirmed-1", message)
    }
}

impl World {
    /// Runs the job as the host does.
    async fn send(&self) -> u16 {
        self.post(SEND_PATH).await
    }

    async fn post(&self, path: &str) -> u16 {
        router::<App>().handle(self.app.clone(), self.app.env(), Request::new("POST", path)).await.status
    }

    fn wait(&self, millis: i64) {
        self.now.set(self.now.get().plus(millis));
    }

    async fn column(&self, column: &str) -> String {
        let select = format!("SELECT CAST({column} AS TEXT) AS value FROM mails");
        self.app.db.query_one(&select, params![]).await.unwrap().get("value").unwrap()
    }

    fn arrived(&self) -> usize {
        self.mailbox.messages().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_with_a_pdf_arrives_as_text_and_html() {
    let world = world().await;
    world.app.enqueue(&confirmed("Fort loop")).await.unwrap();
    assert_eq!(*world.woken.0.borrow(), ["notification/_jobs/send"]);
    assert_eq!(world.send().await, 204);
    let mail = world.mailbox.wait_for("asha@example.org", "Fort loop", Duration::from_secs(5)).await.unwrap();
    assert_eq!(mail.subject(), "Booking confirmed: Fort loop, 05/12/2026");
    assert_eq!(mail.from().unwrap().to_string(), "High Trails <desk@trails.example.in>");
    assert!(mail.text().contains("Hello Asha Rao,") && mail.text().contains("05/12/2026 to 06/12/2026"));
    assert!(mail.html().contains("Window seat &lt;please&gt;") && !mail.html().contains("<please>"));
    let pdf = mail.attachment("Invoice-BT07182930.pdf").unwrap();
    assert_eq!(
        (pdf.media_type.as_str(), &pdf.content[..]),
        ("application/pdf", b"%PDF-1.7\n\x00\xff.\r\n.\n".as_slice())
    );
    assert_eq!(world.column("status").await, "sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_one_mail() {
    let world = world().await;
    for _ in 0..2 {
        world.app.enqueue(&code("login-1")).await.unwrap();
        world.send().await;
    }
    world.app.enqueue(&code("login-1")).await.unwrap();
    world.send().await;
    assert_eq!(world.arrived(), 1);
    world.app.enqueue(&code("login-2")).await.unwrap();
    world.send().await;
    assert_eq!(world.arrived(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_down_mails_are_kept_and_sent_when_it_is_back() {
    let world = world().await;
    world.mailbox.set_faults(Faults { refuse: true, ..Faults::default() });
    world.app.enqueue(&confirmed("Fort loop")).await.unwrap();
    assert_eq!(world.send().await, 503);
    assert_eq!((world.column("status").await, world.column("attempts").await), ("queued".into(), "1".into()));
    world.mailbox.set_faults(Faults::default());
    assert_eq!(world.send().await, 204);
    assert_eq!(world.arrived(), 0, "not before its time");
    world.wait(10 * SECOND);
    assert_eq!(world.send().await, 204);
    assert_eq!(world.arrived(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_refused_does_not_hold_up_the_others() {
    let world = world().await;
    world.app.enqueue(&confirmed("Fort loop")).await.unwrap();
    world.wait(1);
    world.app.enqueue(&code("login-1")).await.unwrap();
    let faults = Faults { reject_next: Budget::Times(1), ..Faults::default() };
    world.mailbox.set_faults(faults);
    assert_eq!(world.send().await, 204);
    let subjects =
        |world: &World| world.mailbox.messages().iter().map(|mail| mail.subject().to_owned()).collect::<Vec<_>>();
    assert_eq!(subjects(&world), ["Your High Trails login code"]);
    world.wait(10 * SECOND);
    world.send().await;
    assert_eq!(subjects(&world).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_gone_from_the_database_after_sending() {
    let world = world().await;
    world.app.enqueue(&code("login-1")).await.unwrap();
    assert!(world.column("text_body").await.contains("482913"));
    world.send().await;
    assert!(world.mailbox.messages()[0].text().contains("482913"));
    assert_eq!((world.column("text_body").await, world.column("html_body").await), (String::new(), String::new()));
    assert!(!world.column("subject").await.contains("482913"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_not_valid_any_more_is_not_sent() {
    let world = world().await;
    world.app.enqueue(&code("login-1")).await.unwrap();
    world.wait(10 * MINUTE);
    assert_eq!(world.send().await, 204);
    assert_eq!(world.arrived(), 0);
    assert_eq!((world.column("status").await, world.column("text_body").await), ("failed".into(), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_three_days_a_mail_is_given_up() {
    let world = world().await;
    world.mailbox.set_faults(Faults { refuse: true, ..Faults::default() });
    world.app.enqueue(&confirmed("Fort loop")).await.unwrap();
    let mut attempts = 0;
    while world.column("status").await == "queued" {
        world.send().await;
        world.wait(30 * MINUTE);
        attempts += 1;
    }
    assert_eq!(world.column("status").await, "failed");
    assert!((100..200).contains(&attempts), "{attempts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_sends_its_mail_again_only_after_its_claim() {
    let world = world().await;
    world.app.enqueue(&confirmed("Fort loop")).await.unwrap();
    let now = world.now.get();
    store::mail_claim(&world.app.db, now, now.plus(5 * MINUTE)).await.unwrap().unwrap();
    world.send().await;
    assert_eq!(world.arrived(), 0, "somebody else is sending it");
    world.wait(5 * MINUTE);
    world.send().await;
    assert_eq!(world.arrived(), 1);
    assert_eq!(world.column("attempts").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_taken_for_dead_does_not_undo_what_another_did() {
    let world = world().await;
    world.app.enqueue(&confirmed("Fort loop")).await.unwrap();
    let now = world.now.get();
    let slow = store::mail_claim(&world.app.db, now, now.plus(5 * MINUTE)).await.unwrap().unwrap();
    world.wait(5 * MINUTE);
    world.send().await;
    store::mail_postpone(&world.app.db, &slow, world.now.get(), "timeout").await.unwrap();
    assert_eq!(world.column("status").await, "sent");
    world.send().await;
    assert_eq!(world.arrived(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_is_sent_in_several_runs() {
    let world = world().await;
    for n in 0..25 {
        world.app.enqueue(&code(&format!("login-{n}"))).await.unwrap();
    }
    world.woken.0.borrow_mut().clear();
    world.send().await;
    assert_eq!(world.arrived(), 20);
    assert_eq!(*world.woken.0.borrow(), ["notification/_jobs/send"]);
    world.send().await;
    assert_eq!(world.arrived(), 25);
    assert_eq!(world.woken.0.borrow().len(), 1, "nothing is left to wake for");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_add_a_header_or_a_recipient() {
    let world = world().await;
    let evil = "Fort\r\nBcc: victim@example.org\r\n\r\n.\r\nMAIL FROM:<x@y.zz>";
    let mut mail = confirmed(evil);
    mail.to.name = format!("\"Asha\" <victim@example.org>, {evil}");
    world.app.enqueue(&mail).await.unwrap();
    assert_eq!(world.send().await, 204);
    let sent = &world.mailbox.messages()[0];
    assert_eq!(world.arrived(), 1);
    assert_eq!(sent.to().len(), 1);
    assert!(sent.is_to("asha@example.org") && !sent.is_to("victim@example.org"));
    assert_eq!(sent.attachments().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_at_once() {
    let world = world().await;
    let mut bad = confirmed("Fort loop");
    bad.attachments[0].content = vec![0; 10 * 1024 * 1024 + 1];
    for mail in [bad, code(""), envelope("k", Message::LoginCode(Code { code: "<b>".into(), valid_minutes: 10 }))] {
        assert!(matches!(world.app.enqueue(&mail).await, Err(MailError::Invalid(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_mails_are_forgotten_and_open_ones_kept() {
    let world = world().await;
    world.app.enqueue(&confirmed("Fort loop")).await.unwrap();
    world.send().await;
    world.wait(91 * DAY);
    world.app.enqueue(&code("login-1")).await.unwrap();
    assert_eq!(world.post("/_jobs/purge").await, 204);
    assert_eq!(world.column("mail_key").await, "login-1");
    let files = world.app.db.query_one("SELECT COUNT(*) AS n FROM mail_attachments", params![]).await.unwrap();
    assert_eq!(files.get::<i64>("n").unwrap(), 0);
}

#[tokio::test]
async fn everything_wrong_with_the_configuration_is_named_together() {
    let config = Config::of(&[("email_port", "465"), ("email_from", "nobody")]);
    let Err(problem) = App::load(config, Db::for_test().await.unwrap(), Env::for_test("notification")) else {
        panic!("it was accepted");
    };
    for name in ["email_port", "email_from", "frontend_url"] {
        assert!(problem.contains(name), "{name}: {problem}");
    }
}

#[tokio::test]
async fn without_a_mail_server_mails_are_queued_and_kept() {
    let db = Db::for_test().await.unwrap();
    let config = Config::of(&[("frontend_url", "http://localhost:3000")]);
    let app = Rc::new(App::load(config, db, Env::for_test("notification")).unwrap());
    component::prepare(&*app).await.unwrap();
    app.enqueue(&code("login-1")).await.unwrap();
    let response = router::<App>().handle(app.clone(), app.env(), Request::new("POST", SEND_PATH)).await;
    assert_eq!(response.status, 503);
    let row = app.db.query_one("SELECT status, attempts FROM mails", params![]).await.unwrap();
    assert_eq!((row.get::<String>("status").unwrap(), row.get::<i64>("attempts").unwrap()), ("queued".into(), 0));
}
