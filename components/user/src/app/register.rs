//! Registration: a form, a code by mail, an account.

use cairn_shared::{Timestamp, validate::Email};

use super::{App, LoggedIn};
use crate::{
    domain::{
        AccountError, Mail, Message, Registration,
        code::{self, Purpose},
        password::Password,
    },
    store,
};

/// What somebody filled in, parsed.
pub struct NewRegistration {
    pub email: Email,
    pub name: String,
    pub username: String,
    pub password: Password,
    pub phone: Option<String>,
}

fn mail_scope(email: &str) -> String {
    format!("register:{email}")
}

impl App {
    /// Keeps a registration until its code is typed, and mails the code.
    ///
    /// A repeat replaces what waits, once a minute. If the process dies before the
    /// mail is queued the registration waits without a mail, and a repeat is possible
    /// after that minute. If the mail is refused nothing is kept.
    ///
    /// # Errors
    /// The address or the user name is taken, a mail went out less than a minute ago,
    /// or no mail can be queued.
    pub async fn register(&self, new: NewRegistration) -> Result<(), AccountError> {
        let email = new.email.as_str();
        self.refuse_taken(email, &new.username).await?;
        let registration = Registration {
            email: email.to_owned(),
            name: new.name,
            username: new.username,
            password_hash: self.hash(&new.password)?,
            phone: new.phone,
        };
        let now = self.env.now();
        let saved = self.db.transaction(async |tx| {
            self.mail_mark(tx, &mail_scope(email)).await?;
            store::registration_save(tx, &registration, now.plus(code::VALID), now).await?;
            self.code_issue(tx, Purpose::Register, email, 1).await
        });
        let code = saved.await?;
        let Err(cause) = self.mail_registration_code(&registration, code, now).await else { return Ok(()) };
        let undo = self.db.transaction(async |tx| {
            store::registration_delete(tx, email).await?;
            store::mail_mark_delete(tx, &mail_scope(email)).await
        });
        undo.await?;
        Err(AccountError::MailUnavailable(cause))
    }

    async fn refuse_taken(&self, email: &str, username: &str) -> Result<(), AccountError> {
        if store::account_fetch_by_email(&self.db, email).await?.is_some() {
            return Err(AccountError::EmailTaken);
        }
        if store::account_fetch_by_username(&self.db, username).await?.is_some() {
            return Err(AccountError::UsernameTaken);
        }
        Ok(())
    }

    async fn mail_registration_code(
        &self,
        registration: &Registration,
        code: String,
        at: Timestamp,
    ) -> Result<(), String> {
        let email = &registration.email;
        let mail = Mail {
            key: format!("registration-code-{email}-{}", at.millis()),
            name: registration.name.clone(),
            email: email.clone(),
            message: Message::RegistrationCode { code, valid_minutes: code::VALID_MINUTES },
        };
        self.peers.enqueue(mail).await
    }

    /// Mails another code for a registration that waits. Whether one does is not told.
    ///
    /// # Errors
    /// A mail went out less than a minute ago, or none can be queued.
    pub async fn register_resend(&self, email: &Email) -> Result<(), AccountError> {
        let email = email.as_str();
        let now = self.env.now();
        let renewed = self.db.transaction(async |tx| {
            self.mail_mark(tx, &mail_scope(email)).await?;
            let waiting = store::registration_fetch(tx, email, now).await?;
            let before = store::code_fetch(tx, Purpose::Register, email, now).await?;
            let Some((registration, before)) = waiting.zip(before).filter(|(_, before)| before.sends < code::SENDS_MAX)
            else {
                return Ok(None);
            };
            store::registration_extend(tx, email, now.plus(code::VALID)).await?;
            let code = self.code_issue(tx, Purpose::Register, email, before.sends + 1).await?;
            Ok::<_, AccountError>(Some((registration, code)))
        });
        let Some((registration, code)) = renewed.await? else { return Ok(()) };
        let Err(cause) = self.mail_registration_code(&registration, code, now).await else { return Ok(()) };
        self.db.transaction(async |tx| store::mail_mark_delete(tx, &mail_scope(email)).await).await?;
        Err(AccountError::MailUnavailable(cause))
    }

    /// Makes the account of a registration whose code was typed, and logs it in.
    ///
    /// The code is used up in the transaction that makes the account, so of two that
    /// come at once one has it. If the process dies after it the welcome is not sent
    /// and the person logs in with the password.
    ///
    /// # Errors
    /// The code is not good, or the address or user name was taken meanwhile.
    pub async fn register_verify(&self, email: &Email, code: &str) -> Result<LoggedIn, AccountError> {
        let email = email.as_str();
        let now = self.env.now();
        let stored = self.code_check(Purpose::Register, email, code).await?;
        let made = self.db.transaction(async |tx| {
            if !store::code_use(tx, Purpose::Register, email, &stored.digest).await? {
                return Err(AccountError::BadCode);
            }
            let registration = store::registration_fetch(tx, email, now).await?.ok_or(AccountError::BadCode)?;
            store::registration_delete(tx, email).await?;
            let account = registration.account(self.env.id(), now);
            self.account_create(tx, &account).await?;
            Ok(account)
        });
        let account = made.await?;
        self.env.wake_relay().await;
        let mail = Mail {
            key: format!("welcome-{}", account.id),
            name: account.name.clone(),
            email: account.email.clone(),
            message: Message::Welcome { username: account.username.clone() },
        };
        if let Err(cause) = self.peers.enqueue(mail).await {
            cairn_shared::log::warn("a welcome mail was not queued", &[("user", &account.id), ("cause", &cause)]);
        }
        self.log_in(account)
    }
}
