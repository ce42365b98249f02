//! Customers whom staff book for.

use cairn_shared::{DbError, Id, identity::Role, validate::Email};

use super::App;
use crate::{
    domain::{Account, AccountError, Contact, password, phone_digits, username_base},
    store,
};

/// How often a name is numbered before an account gets its id as user name.
const USERNAME_TRIES_MAX: u32 = 50;

/// An account that staff make.
#[derive(Debug, Clone)]
pub struct NewCustomer {
    pub name: String,
    pub email: Email,
    /// Normalised.
    pub phone: String,
    pub contact: Contact,
}

impl App {
    /// The account that has a phone number, however it was written; the oldest if
    /// several have it.
    ///
    /// # Errors
    /// The database's.
    pub async fn customer_by_phone(&self, phone: &str) -> Result<Option<Account>, AccountError> {
        Ok(store::account_fetch_by_phone(&self.db, &phone_digits(phone)).await?)
    }

    /// Makes a verified account for a customer, with a password that nobody knows: they
    /// get in by a code or by a reset.
    ///
    /// One transaction: a crash leaves all of it or nothing. Two at once: the unique
    /// address lets one in.
    ///
    /// # Errors
    /// [`AccountError::EmailTaken`] or [`AccountError::PhoneTaken`]: there is such an account.
    pub async fn customer_create(&self, new: &NewCustomer) -> Result<Account, AccountError> {
        let now = self.env.now();
        let account = Account {
            id: self.env.id(),
            name: new.name.clone(),
            email: new.email.to_string(),
            username: String::new(),
            password_hash: password::NOBODY.to_owned(),
            role: Role::User,
            group: None,
            contact: Contact { phone: Some(new.phone.clone()), ..new.contact.clone() },
            verified: true,
            active: true,
            created_by_staff: true,
            token_version: 0,
            created_at: now,
            updated_at: now,
        };
        let made = self.db.transaction(async |tx| {
            if store::account_fetch_by_phone(tx, &phone_digits(&new.phone)).await?.is_some() {
                return Err(AccountError::PhoneTaken);
            }
            if store::account_fetch_by_email(tx, new.email.as_str()).await?.is_some() {
                return Err(AccountError::EmailTaken);
            }
            let username = free_username(tx, &new.name, account.id).await?;
            let account = Account { username, ..account.clone() };
            self.account_create(tx, &account).await?;
            Ok(account)
        });
        let account = made.await?;
        self.env.wake_relay().await;
        Ok(account)
    }
}

/// The name in lower case without spaces, numbered if it is taken.
async fn free_username(sql: &impl cairn_shared::Sql, name: &str, id: Id) -> Result<String, DbError> {
    let base = username_base(name);
    for number in 0..USERNAME_TRIES_MAX {
        let username = if number == 0 { base.clone() } else { format!("{base}{number}") };
        if !username.is_empty() && store::account_fetch_by_username(sql, &username).await?.is_none() {
            return Ok(username);
        }
    }
    Ok(id.to_string())
}
