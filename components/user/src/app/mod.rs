//! Use cases of the user service: load, decide, commit.
//!
//! Passwords are hashed before a transaction begins, never in one; mails are queued
//! after it has committed. Every write is one transaction, so a crash leaves all of
//! it or nothing; what a crash between a commit and a mail costs is said at the use case.

mod accounts;
mod customers;
mod groups;
mod login;
mod register;

use cairn_shared::{
    Component, Db, Env, Id, Tx, async_trait,
    audit::{self, Change},
    config::Config,
    events::{self, Event},
    http::Router,
    identity::Role,
    migrations::Migration,
    validate::Email,
};
use serde::Serialize;
use serde_json::{Value, json};

pub use accounts::Profile;
pub use customers::NewCustomer;
pub use groups::GroupChange;
pub use login::{LoggedIn, Login, NotAuthenticated};
pub use register::NewRegistration;

use crate::{
    domain::{
        Account, AccountError, Contact, Mail,
        code::{self, CodeKey, Purpose, Scope},
        password::{Password, SALT_BYTES},
        session::{Lifetime, SECRET_CHARS_MIN, Sessions},
    },
    store::{self, StoredCode},
};

/// What this service asks of others.
#[async_trait(?Send)]
pub trait Peers {
    /// Queues a mail durably. The error says why it is not queued.
    async fn enqueue(&self, mail: Mail) -> Result<(), String>;
}

pub struct App {
    pub db: Db,
    pub env: Env,
    peers: Box<dyn Peers>,
    pub sessions: Sessions,
    codes: CodeKey,
    /// Cookies are for secure connections and other sites, too.
    pub production: bool,
    first_admin: Option<(Email, Password)>,
}

impl Component for App {
    const NAME: &'static str = "user";
    const MIGRATIONS: &'static [Migration] = cairn_shared::migrations!["0001_accounts", "0002_customers"];
    const JOBS: &'static [&'static str] = &[events::RELAY_PATH, audit::SEAL_PATH];
    const AUDIT: Option<audit::Access> =
        Some(audit::Access { list: "/api/users/audit", check: "/api/users/audit/check", permission: None });
    const VARIABLES: &'static [&'static str] =
        &["jwt_secret", "jwt_expire", "node_env", "cairn_admin_email", "cairn_admin_password"];

    fn load(config: Config, db: Db, env: Env) -> Result<Self, String> {
        #[cfg(target_family = "wasm")]
        let peers = Box::new(crate::rpc::Links);
        #[cfg(not(target_family = "wasm"))]
        let peers = Box::new(NoPeers);
        Self::new(config, db, env, peers)
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

    async fn start(&self) -> Result<(), String> {
        self.make_first_admin().await.map_err(|error| format!("the first admin could not be made: {error:?}"))
    }
}

/// What `user.registered` tells.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserRegistered<'a> {
    user_id: Id,
    name: &'a str,
    /// Instant in ms.
    created_at: i64,
}

impl App {
    /// # Errors
    /// One message that names everything that is wrong with the configuration.
    pub fn new(mut config: Config, db: Db, env: Env, peers: Box<dyn Peers>) -> Result<Self, String> {
        let secret = config.required("jwt_secret");
        if !secret.is_empty() && secret.chars().count() < SECRET_CHARS_MIN {
            config.problem(format!("variable `jwt_secret` has to have at least {SECRET_CHARS_MIN} characters"));
        }
        let lifetime = config.parsed("jwt_expire", Lifetime::MONTH);
        let production = config.optional("node_env").as_deref() == Some("production");
        let first_admin = first_admin(&mut config);
        config.finish()?;
        Ok(Self {
            db,
            env,
            peers,
            sessions: Sessions::new(&secret, lifetime),
            codes: CodeKey::derive(&secret)?,
            production,
            first_admin,
        })
    }

    /// Makes the admin who is configured where there is none yet. Running it again,
    /// or twice at once, changes nothing: the transaction looks before it writes. An
    /// account that has the address already becomes admin and keeps its password.
    async fn make_first_admin(&self) -> Result<(), AccountError> {
        if store::admin_count(&self.db).await? > 0 {
            return Ok(());
        }
        let Some((email, password)) = &self.first_admin else {
            cairn_shared::log::warn("there is no admin: set cairn_admin_email and cairn_admin_password", &[]);
            return Ok(());
        };
        let hash = self.hash(password)?;
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                if store::admin_count(tx).await? > 0 {
                    return Ok(());
                }
                if let Some(account) = store::account_fetch_by_email(tx, email.as_str()).await? {
                    store::account_verify(tx, account.id, now).await?;
                    store::account_set_role(tx, account.id, Role::Admin, now).await?;
                    return self.note(tx, "user.role", account.id, role(account.role), role(Role::Admin)).await;
                }
                let account = Account {
                    id: self.env.id(),
                    name: "Administrator".into(),
                    email: email.to_string(),
                    username: email.to_string(),
                    password_hash: hash.clone(),
                    role: Role::Admin,
                    group: None,
                    contact: Contact::default(),
                    verified: true,
                    active: true,
                    created_by_staff: false,
                    token_version: 0,
                    created_at: now,
                    updated_at: now,
                };
                self.account_create(tx, &account).await?;
                self.note(tx, "user.create", account.id, Value::Null, role(account.role)).await
            })
            .await
    }

    /// Notes a change of what somebody may do, in its transaction.
    async fn note(&self, tx: &Tx, action: &str, subject: Id, before: Value, after: Value) -> Result<(), AccountError> {
        Ok(audit::note(tx, &self.env, Change::new(action, subject, before, after)).await?)
    }

    /// Stores a new account and tells of it, in one transaction.
    async fn account_create(&self, tx: &Tx, account: &Account) -> Result<(), AccountError> {
        store::account_insert(tx, account).await?;
        let data = UserRegistered { user_id: account.id, name: &account.name, created_at: account.created_at.millis() };
        let event = Event::new(&self.env, "user.registered", account.id, &data)?;
        Ok(events::emit(tx, &event, &["admin"]).await?)
    }

    fn hash(&self, password: &Password) -> Result<String, AccountError> {
        let mut salt = [0; SALT_BYTES];
        cairn_shared::id::random(&mut salt);
        password.hash(salt).map_err(failed)
    }

    /// A new code for a subject, in place of an earlier one; the code itself is for the mail.
    async fn code_issue(&self, tx: &Tx, purpose: Purpose, subject: &str, sends: i64) -> Result<String, AccountError> {
        let issued_at = self.env.now();
        let code = code::draw(cairn_shared::id::random);
        let digest = self.codes.digest(Scope { purpose, subject, issued_at }, &code);
        store::code_save(tx, purpose, subject, &StoredCode { digest, issued_at, sends }, issued_at.plus(code::VALID))
            .await?;
        Ok(code)
    }

    /// Tries a code. The try counts whatever comes of it; the code is used up later,
    /// in the transaction that acts on it.
    async fn code_check(&self, purpose: Purpose, subject: &str, code: &str) -> Result<StoredCode, AccountError> {
        let stored = store::code_try(&self.db, purpose, subject, self.env.now()).await?.ok_or(AccountError::BadCode)?;
        let scope = Scope { purpose, subject, issued_at: stored.issued_at };
        if self.codes.matches(scope, code, &stored.digest) { Ok(stored) } else { Err(AccountError::BadCode) }
    }

    /// Refuses a second mail to somebody within a minute.
    async fn mail_mark(&self, tx: &Tx, scope: &str) -> Result<(), AccountError> {
        let now = self.env.now();
        match store::mail_mark(tx, scope, now).await? {
            None => Ok(()),
            Some(sent_at) => Err(AccountError::TooSoon(seconds_until(sent_at.plus(code::RESEND_AFTER).since(now)))),
        }
    }
}

/// A role, for the audit.
fn role(role: Role) -> Value {
    json!({ "role": role })
}

/// Whole seconds, at least one.
fn seconds_until(millis: i64) -> u32 {
    u32::try_from((millis + 999) / 1000).unwrap_or(0).max(1)
}

fn failed(cause: String) -> AccountError {
    AccountError::Failed(cairn_shared::Error::internal(cause))
}

fn first_admin(config: &mut Config) -> Option<(Email, Password)> {
    let (email, password) = match (config.optional("cairn_admin_email"), config.optional("cairn_admin_password")) {
        (None, None) => return None,
        (Some(email), Some(password)) => (email, password),
        _ => {
            config.problem("variables `cairn_admin_email` and `cairn_admin_password` go together");
            return None;
        }
    };
    let email =
        Email::parse(&email).map_err(|problem| config.problem(format!("variable `cairn_admin_email`: {problem}"))).ok();
    let password = Password::parse(&password)
        .map_err(|problem| config.problem(format!("variable `cairn_admin_password`: {problem}")))
        .ok();
    email.zip(password)
}

/// For a service that runs alone.
#[cfg(not(target_family = "wasm"))]
struct NoPeers;

#[cfg(not(target_family = "wasm"))]
#[async_trait(?Send)]
impl Peers for NoPeers {
    async fn enqueue(&self, _: Mail) -> Result<(), String> {
        Err("there is no notification service here".into())
    }
}
