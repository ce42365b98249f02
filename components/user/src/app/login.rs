//! Logging in and out, and whose session a token is.

use cairn_shared::{DbError, time::MINUTE, validate::Email};

use super::{App, seconds_until};
use crate::{
    domain::{
        Account, AccountError, Mail, Message,
        code::{self, Purpose},
        password::{self, Password, Verdict},
        session::token_hash,
    },
    store,
};

/// Wrong passwords for one address in [`FAILURES_WINDOW`] before more are refused.
const FAILURES_MAX: i64 = 20;
const FAILURES_WINDOW: i64 = 15 * MINUTE;

/// A session that has just begun.
pub struct LoggedIn {
    pub token: String,
    pub account: Account,
}

/// What a right password leads to.
pub enum Login {
    Done(Box<LoggedIn>),
    /// A code was mailed, as the address is not proven.
    CodeNeeded(cairn_shared::Id),
}

/// Why a token tells of nobody.
#[derive(Debug)]
pub enum NotAuthenticated {
    InvalidToken,
    NoAccount,
    Unavailable(DbError),
}

fn mail_scope(email: &str) -> String {
    format!("login:{email}")
}

impl App {
    /// # Errors
    /// The token cannot be written; there is no such account.
    pub(super) fn log_in(&self, account: Account) -> Result<LoggedIn, AccountError> {
        let token = self
            .sessions
            .issue(self.env.id(), account.id, account.token_version, self.env.now())
            .map_err(super::failed)?;
        Ok(LoggedIn { token, account })
    }

    /// Checks a password. An unknown address costs the time of a known one.
    ///
    /// # Errors
    /// The address or the password is wrong, or both were wrong too often.
    pub async fn login(&self, email: &Email, password: &str) -> Result<Login, AccountError> {
        let now = self.env.now();
        let window = now.plus(-FAILURES_WINDOW);
        if let Some((failures, since)) = store::failures_fetch(&self.db, email.as_str(), window).await?
            && failures >= FAILURES_MAX
        {
            return Err(AccountError::TooManyFailures(seconds_until(since.plus(FAILURES_WINDOW).since(now))));
        }
        let found = store::account_fetch_by_email(&self.db, email.as_str()).await?;
        let hash = found.as_ref().map_or(password::NOBODY, |account| &account.password_hash);
        let verdict = password::check(password, hash);
        let Some(account) = found.filter(|account| account.active && verdict != Verdict::Wrong) else {
            self.db.transaction(async |tx| store::failures_note(tx, email.as_str(), window, now).await).await?;
            return Err(AccountError::WrongCredentials);
        };
        self.note_login(&account, password, verdict).await?;
        if account.verified {
            return Ok(Login::Done(Box::new(self.log_in(account)?)));
        }
        self.mail_login_code(&account, true).await?;
        Ok(Login::CodeNeeded(account.id))
    }

    /// Forgets earlier failures, and hashes the password anew if its hash is outdated.
    async fn note_login(&self, account: &Account, password: &str, verdict: Verdict) -> Result<(), AccountError> {
        let outdated = (verdict == Verdict::RightOutdated).then(|| Password::parse(password).ok()).flatten();
        let rehashed = outdated.map(|password| self.hash(&password)).transpose()?;
        let rehashed = rehashed.as_deref().map(|new| (account.password_hash.as_str(), new));
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                store::failures_forget(tx, &account.email).await?;
                store::account_note_login(tx, account.id, now, rehashed).await
            })
            .await?;
        Ok(())
    }

    /// Mails a login code. After a password, a code that was mailed within the last
    /// minute stays the one to type; without one, nothing is sent unless a password
    /// login waits for its code.
    async fn mail_login_code(&self, account: &Account, after_password: bool) -> Result<(), AccountError> {
        let (subject, email) = (account.id.to_string(), account.email.as_str());
        let now = self.env.now();
        let issued = self.db.transaction(async |tx| {
            let before = store::code_fetch(tx, Purpose::Login, &subject, now).await?;
            let sends = match &before {
                _ if after_password => 0,
                Some(before) if before.sends < code::SENDS_MAX => before.sends,
                _ => return Ok(None),
            };
            if after_password {
                match self.mail_mark(tx, &mail_scope(email)).await {
                    Err(AccountError::TooSoon(_)) if before.is_some() => return Ok(None),
                    other => other?,
                }
            }
            self.code_issue(tx, Purpose::Login, &subject, sends + 1).await.map(Some)
        });
        let Some(code) = issued.await? else { return Ok(()) };
        let mail = Mail {
            key: format!("login-code-{subject}-{}", now.millis()),
            name: account.name.clone(),
            email: account.email.clone(),
            message: Message::LoginCode { code, valid_minutes: code::VALID_MINUTES },
        };
        let Err(cause) = self.peers.enqueue(mail).await else { return Ok(()) };
        self.db.transaction(async |tx| store::mail_mark_delete(tx, &mail_scope(email)).await).await?;
        Err(AccountError::MailUnavailable(cause))
    }

    /// Mails another login code while a password login waits for one. Whether one
    /// does is not told.
    ///
    /// # Errors
    /// A mail went out less than a minute ago, or none can be queued.
    pub async fn login_resend(&self, email: &Email) -> Result<(), AccountError> {
        self.db.transaction(async |tx| self.mail_mark(tx, &mail_scope(email.as_str())).await).await?;
        match store::account_fetch_by_email(&self.db, email.as_str()).await? {
            Some(account) if account.active => self.mail_login_code(&account, false).await,
            _ => Ok(()),
        }
    }

    /// Ends a login that waited for its code; the address is proven from now on.
    ///
    /// # Errors
    /// The code is not good.
    pub async fn login_verify(&self, email: &Email, code: &str) -> Result<LoggedIn, AccountError> {
        let found = store::account_fetch_by_email(&self.db, email.as_str()).await?;
        let mut account = found.filter(|account| account.active).ok_or(AccountError::BadCode)?;
        let (subject, now) = (account.id.to_string(), self.env.now());
        let stored = self.code_check(Purpose::Login, &subject, code).await?;
        let used = self.db.transaction(async |tx| {
            if !store::code_use(tx, Purpose::Login, &subject, &stored.digest).await? {
                return Err(AccountError::BadCode);
            }
            Ok(store::account_verify(tx, account.id, now).await?)
        });
        used.await?;
        account.verified = true;
        self.log_in(account)
    }

    /// Ends a session. A token that is none of ours ends nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn logout(&self, token: &str) -> Result<(), AccountError> {
        let now = self.env.now();
        let Some(session) = self.sessions.read(token, now) else { return Ok(()) };
        Ok(store::session_revoke(&self.db, &token_hash(token), session.expires_at, now).await?)
    }

    /// The account a session token belongs to: one check of a signature, one query.
    ///
    /// # Errors
    /// [`NotAuthenticated`] tells whose fault it is.
    pub async fn authenticate(&self, token: &str) -> Result<Account, NotAuthenticated> {
        let session = self.sessions.read(token, self.env.now()).ok_or(NotAuthenticated::InvalidToken)?;
        let found = store::session_fetch(&self.db, session.account, &token_hash(token)).await;
        let (account, revoked) = found.map_err(NotAuthenticated::Unavailable)?.ok_or(NotAuthenticated::NoAccount)?;
        if !account.active {
            return Err(NotAuthenticated::NoAccount);
        }
        if revoked || account.token_version != session.token_version {
            return Err(NotAuthenticated::InvalidToken);
        }
        Ok(account)
    }
}
