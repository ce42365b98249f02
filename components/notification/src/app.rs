//! Use cases of the notification service: queue a mail, send what is due.

use cairn_shared::{
    Component, Db, Env, Error, Result,
    config::Config,
    http::Router,
    log,
    migrations::Migration,
    time::{DAY, MINUTE, SECOND},
};

use crate::{
    domain::{Envelope, Mail, MailError},
    mime::{self, Sender},
    smtp::{Connection, Server, SmtpError},
    store,
    wording::{self, Site},
};

/// Where the host has due mails sent.
pub const SEND_PATH: &str = "/_jobs/send";

/// Mails of one run.
const RUN_MAILS_MAX: usize = 20;

/// How long a run takes on new mails.
const RUN_TIME_MAX: i64 = 15 * SECOND;

/// How long a run has to send the mail that it claimed.
const CLAIM_TIME: i64 = 5 * MINUTE;

/// How long finished mails are kept, and their keys remembered.
const KEPT_FOR: i64 = 90 * DAY;

pub struct App {
    pub db: Db,
    pub env: Env,
    pub site: Site,
    pub sender: Sender,
    /// None where mails are only queued: an instance of this service that another
    /// component carries inside itself is not told of the mail server.
    pub server: Option<Server>,
}

impl Component for App {
    const NAME: &'static str = "notification";
    const MIGRATIONS: &'static [Migration] = cairn_shared::migrations!["0001_mails"];
    const JOBS: &'static [&'static str] = &[SEND_PATH];
    const VARIABLES: &'static [&'static str] = &[
        "email_host",
        "email_port",
        "email_user",
        "email_pass",
        "email_from",
        "site_name",
        "support_phone",
        "frontend_url",
    ];

    fn load(mut config: Config, db: Db, env: Env) -> Result<Self, String> {
        let site = Site {
            name: config.optional("site_name").unwrap_or_else(|| "Cairn".into()),
            support_phone: config.optional("support_phone"),
            frontend_url: config.required("frontend_url").trim_end_matches('/').to_owned(),
            zone: env.zone,
        };
        let sender = sender(&mut config, &site);
        let server = server(&mut config, &sender);
        config.finish()?;
        Ok(Self { db, env, site, sender, server })
    }

    fn db(&self) -> &Db {
        &self.db
    }

    fn env(&self) -> &Env {
        &self.env
    }

    fn routes() -> Router<Self> {
        crate::http::routes()
    }
}

/// The configured sender, or nobody at the mail account or at the site.
fn sender(config: &mut Config, site: &Site) -> Sender {
    let account = config.optional("email_user").filter(|user| user.contains('@'));
    let site_host =
        site.frontend_url.split("//").last().unwrap_or_default().split(['/', ':']).next().unwrap_or_default();
    let text = config.optional("email_from").or(account).unwrap_or_else(|| format!("noreply@{site_host}"));
    Sender::parse(&text).unwrap_or_else(|problem| {
        config.problem(format!("variable `email_from`: {problem}"));
        Sender { name: String::new(), address: String::new() }
    })
}

/// The mail server, where one is named.
fn server(config: &mut Config, sender: &Sender) -> Option<Server> {
    let port = config.parsed("email_port", 587);
    if port == 465 {
        config.problem("variable `email_port`: TLS from the start (465) is not spoken here; give a relay that takes mail without it");
    }
    let login = config.optional("email_user").map(|user| (user, config.optional("email_pass").unwrap_or_default()));
    let host = config.optional("email_host")?;
    Some(Server { host, port, login, own_name: sender.domain().to_owned() })
}

/// How a run over the queue ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunEnd {
    /// Nothing is due any more, or the rest is for the next run.
    Done,
    /// The mail server cannot be used now.
    NoServer,
}

impl App {
    /// Queues a mail durably, rendered as it will be sent.
    ///
    /// One transaction: a crash before its commit has queued nothing and the sender
    /// asks again; after it the mail is there and a repeated call changes nothing.
    /// The call to the background job may be lost: the schedule runs it as well.
    ///
    /// # Errors
    /// [`MailError::Invalid`] for what can never be sent.
    pub async fn enqueue(&self, envelope: &Envelope) -> Result<(), MailError> {
        envelope.validate()?;
        let mail = self.render(envelope);
        let queued = self.db.transaction(async |tx| {
            let new = store::mail_insert(tx, &mail).await?;
            if new {
                for (position, file) in (0..).zip(&envelope.attachments) {
                    store::attachment_insert(tx, mail.id, position, file).await?;
                }
            }
            Ok::<_, MailError>(new)
        });
        if queued.await? {
            self.env.upstream.wake(self.env.service, SEND_PATH).await;
        }
        Ok(())
    }

    fn render(&self, envelope: &Envelope) -> Mail {
        let now = self.env.now();
        let letter = wording::letter(&self.site, envelope);
        Mail {
            id: self.env.id(),
            key: envelope.key.clone(),
            kind: envelope.message.kind().to_owned(),
            recipient_name: envelope.to.name.clone(),
            recipient: envelope.to.email.to_string(),
            text: letter.text(),
            html: letter.html(&self.site.name),
            subject: letter.subject,
            secret: envelope.message.code().is_some(),
            attempts: 0,
            give_up_at: envelope.message.give_up_at(now),
            created_at: now,
        }
    }

    /// Sends what is due, and asks to be run again if it did not get through.
    ///
    /// Each mail is claimed right before it is sent and noted right after, so a crash
    /// between the server's yes and our note sends this one mail again when the claim
    /// has run out, and no other. Two runs at once claim different mails.
    ///
    /// # Errors
    /// 503 when the mail server cannot be used; the mails stay in the queue.
    pub async fn send_due(&self) -> Result<()> {
        let Some(server) = &self.server else {
            return Err(Error::unavailable("variable `email_host` is not set; mails are kept"));
        };
        if self.run(server).await? == RunEnd::NoServer {
            return Err(Error::unavailable("the mail server cannot be used; mails are kept"));
        }
        if store::mail_is_due(&self.db, self.env.now()).await? {
            self.env.upstream.wake(self.env.service, SEND_PATH).await;
        }
        Ok(())
    }

    async fn run(&self, server: &Server) -> Result<RunEnd> {
        let started = self.env.now();
        let mut connection = None;
        for _ in 0..RUN_MAILS_MAX {
            let now = self.env.now();
            if now.since(started) > RUN_TIME_MAX {
                break;
            }
            let Some(mail) = store::mail_claim(&self.db, now, now.plus(CLAIM_TIME)).await? else { break };
            if mail.give_up_at <= now {
                self.give_up(&mail, "it was not sent in time").await?;
                continue;
            }
            match self.send(server, &mut connection, &mail).await? {
                Ok(()) => self.note_sent(&mail).await?,
                Err(error) => {
                    self.note_failed(&mail, &error).await?;
                    if matches!(error, SmtpError::Connection(_)) {
                        return Ok(RunEnd::NoServer);
                    }
                }
            }
        }
        connection.into_iter().for_each(Connection::close);
        Ok(RunEnd::Done)
    }

    /// Sends a mail over the run's connection, which the first one opens.
    async fn send(
        &self,
        server: &Server,
        connection: &mut Option<Connection>,
        mail: &Mail,
    ) -> Result<Result<(), SmtpError>> {
        let attachments = store::attachment_list(&self.db, mail.id).await?;
        let message = mime::compose(mail, &attachments, &self.sender).map_err(Error::internal)?;
        let open = match connection {
            Some(open) => open,
            None => match Connection::open(server) {
                Ok(opened) => connection.insert(opened),
                Err(error) => return Ok(Err(error)),
            },
        };
        Ok(open.send(&self.sender.address, &mail.recipient, &message))
    }

    async fn note_sent(&self, mail: &Mail) -> Result<()> {
        store::mail_sent(&self.db, mail, self.env.now()).await?;
        log::info("mail sent", &[("kind", &mail.kind), ("domain", &mail.domain()), ("attempts", &mail.attempts)]);
        Ok(())
    }

    /// The error may repeat the recipient's address: it goes to the table, not to the log.
    async fn note_failed(&self, mail: &Mail, error: &SmtpError) -> Result<()> {
        let cause = match error {
            SmtpError::Connection(_) => "the mail server cannot be used",
            SmtpError::Refused(_) => "the mail server refused it",
        };
        let Some(next) = mail.next_attempt(self.env.now()) else {
            return self.give_up(mail, &error.to_string()).await;
        };
        store::mail_postpone(&self.db, mail, next, &error.to_string()).await?;
        let fields: [(&str, &dyn std::fmt::Display); 5] = [
            ("kind", &mail.kind),
            ("domain", &mail.domain()),
            ("attempts", &mail.attempts),
            ("cause", &cause),
            ("next_attempt", &next),
        ];
        log::warn("mail not sent yet", &fields);
        Ok(())
    }

    async fn give_up(&self, mail: &Mail, error: &str) -> Result<()> {
        store::mail_fail(&self.db, mail, self.env.now(), error).await?;
        log::error(
            "mail given up",
            &[("kind", &mail.kind), ("domain", &mail.domain()), ("attempts", &mail.attempts), ("mail", &mail.id)],
        );
        Ok(())
    }

    /// Forgets old mails.
    ///
    /// # Errors
    /// The database's.
    pub async fn purge(&self) -> Result<()> {
        let before = self.env.now().plus(-KEPT_FOR);
        let purged = self.db.transaction(async |tx| store::mail_purge(tx, before).await).await?;
        if purged > 0 {
            log::info("old mails forgotten", &[("mails", &purged)]);
        }
        Ok(())
    }
}
