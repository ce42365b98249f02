//! What people change about their own account, and admins about those of others.

use cairn_shared::{Id, identity::Role, time::MINUTE, validate::Email};
use serde_json::{Value, json};

use super::{App, LoggedIn};
use crate::{
    domain::{
        Account, AccountError, Contact, Group,
        password::{self, Password, Verdict},
        session::token_hash,
    },
    store,
};

/// How long a reset link is good.
pub const RESET_VALID_MINUTES: u32 = 10;
const RESET_VALID: i64 = RESET_VALID_MINUTES as i64 * MINUTE;

/// What a person says about themselves; absent stays, empty clears.
#[derive(Debug, Default)]
pub struct Profile {
    pub name: Option<String>,
    pub email: Option<Email>,
    pub phone: Option<String>,
    pub address: Option<String>,
    pub city: Option<String>,
    pub state: Option<String>,
    pub zip_code: Option<String>,
    pub country: Option<String>,
}

impl Profile {
    fn apply(&self, account: &mut Account) {
        let set = |field: &mut Option<String>, given: &Option<String>| {
            if let Some(given) = given {
                *field = Some(given.clone()).filter(|text| !text.is_empty());
            }
        };
        if let Some(name) = self.name.as_ref().filter(|name| !name.is_empty()) {
            account.name.clone_from(name);
        }
        let Contact { phone, address, city, state, zip_code, country, profile_image: _ } = &mut account.contact;
        set(phone, &self.phone);
        set(address, &self.address);
        set(city, &self.city);
        set(state, &self.state);
        set(zip_code, &self.zip_code);
        set(country, &self.country);
    }
}

impl App {
    /// # Errors
    /// There is none of that id.
    pub async fn account(&self, id: Id) -> Result<Account, AccountError> {
        store::account_fetch(&self.db, id).await?.ok_or(AccountError::NotFound)
    }

    /// Changes what a person says about themselves.
    ///
    /// # Errors
    /// Another e-mail address was given: taken, or not proven.
    pub async fn profile_change(&self, id: Id, profile: Profile) -> Result<Account, AccountError> {
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                let mut account = store::account_fetch(tx, id).await?.ok_or(AccountError::NotFound)?;
                if let Some(email) = profile.email.as_ref().filter(|email| email.as_str() != account.email) {
                    let taken = store::account_fetch_by_email(tx, email.as_str()).await?.is_some();
                    return Err(if taken { AccountError::EmailTaken } else { AccountError::EmailChange });
                }
                profile.apply(&mut account);
                store::account_set_profile(tx, id, &account.name, &account.contact, now).await?;
                account.updated_at = now;
                Ok(account)
            })
            .await
    }

    /// Sets a new password for somebody who knows the old one. All sessions end; the
    /// answer begins a new one.
    ///
    /// # Errors
    /// The current password is another.
    pub async fn password_change(&self, id: Id, current: &str, new: &Password) -> Result<LoggedIn, AccountError> {
        let account = self.account(id).await?;
        if password::check(current, &account.password_hash) == Verdict::Wrong {
            return Err(AccountError::WrongPassword);
        }
        let hash = self.hash(new)?;
        let now = self.env.now();
        let changed = self.db.transaction(async |tx| {
            if !store::account_set_password(tx, id, &account.password_hash, &hash, now).await? {
                return Err(AccountError::WrongPassword);
            }
            store::account_fetch(tx, id).await?.ok_or(AccountError::NotFound)
        });
        self.log_in(changed.await?)
    }

    /// Makes a reset link's token for an account. Whoever has it can set a password,
    /// so it goes into a mail and nowhere else.
    ///
    /// # Errors
    /// The database's.
    pub async fn reset_issue(&self, account: Id) -> Result<String, AccountError> {
        let mut bytes = [0; 32];
        cairn_shared::id::random(&mut bytes);
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let expires_at = self.env.now().plus(RESET_VALID);
        self.db.transaction(async |tx| store::reset_save(tx, account, &token_hash(&token), expires_at).await).await?;
        Ok(token)
    }

    /// Sets a new password by a mailed link. The link is used up, all sessions end, and
    /// the address is proven, as the mail arrived.
    ///
    /// # Errors
    /// The link is not good, or not any more.
    pub async fn password_reset(&self, token: &str, new: &Password) -> Result<LoggedIn, AccountError> {
        let token = token_hash(token);
        let id = store::reset_fetch(&self.db, &token, self.env.now()).await?.ok_or(AccountError::BadResetLink)?;
        let hash = self.hash(new)?;
        let now = self.env.now();
        let changed = self.db.transaction(async |tx| {
            if !store::reset_use(tx, &token).await? {
                return Err(AccountError::BadResetLink);
            }
            let account = store::account_fetch(tx, id)
                .await?
                .filter(|account| account.active)
                .ok_or(AccountError::BadResetLink)?;
            store::account_set_password(tx, id, &account.password_hash, &hash, now).await?;
            store::account_verify(tx, id, now).await?;
            store::failures_forget(tx, &account.email).await?;
            store::account_fetch(tx, id).await?.ok_or(AccountError::BadResetLink)
        });
        self.log_in(changed.await?)
    }

    /// Sets somebody's role; their sessions end. Of two admins who demote each other at
    /// once one stays: the count is taken in the transaction.
    ///
    /// # Errors
    /// It is the caller's own role, or there would be no admin left.
    pub async fn role_change(&self, by: Id, id: Id, role: Role) -> Result<Account, AccountError> {
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                let account = store::account_fetch(tx, id).await?.ok_or(AccountError::NotFound)?;
                if account.role == role {
                    return Ok(account);
                }
                if by == id {
                    return Err(AccountError::OwnRole);
                }
                if role != Role::Admin && store::admin_count(tx).await? <= 1 {
                    return Err(AccountError::LastAdmin);
                }
                store::account_set_role(tx, id, role, now).await?;
                self.note(tx, "user.role", id, super::role(account.role), super::role(role)).await?;
                Ok(Account { role, updated_at: now, ..account })
            })
            .await
    }

    /// Puts somebody into a group, or into none.
    ///
    /// # Errors
    /// There is no such person or group.
    pub async fn group_assign(&self, id: Id, group_id: Option<Id>) -> Result<Account, AccountError> {
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                let account = store::account_fetch(tx, id).await?.ok_or(AccountError::NotFound)?;
                let group = match group_id {
                    None => None,
                    Some(group_id) => Some(store::group_fetch(tx, group_id).await?.ok_or(AccountError::GroupNotFound)?),
                };
                store::account_set_group(tx, id, group_id, now).await?;
                self.note(tx, "user.group", id, named(account.group.as_ref()), named(group.as_ref())).await?;
                Ok(Account { group, updated_at: now, ..account })
            })
            .await
    }

    /// Sets the phone number of an account that has none; otherwise changes nothing.
    ///
    /// # Errors
    /// There is no such account.
    pub async fn phone_fill(&self, id: Id, phone: &str) -> Result<(), AccountError> {
        self.account(id).await?;
        Ok(store::account_fill_phone(&self.db, id, phone, self.env.now()).await?)
    }
}

/// A group that somebody is in, for the audit.
fn named(group: Option<&Group>) -> Value {
    json!({ "group": group.map(|group| json!({ "id": group.id, "name": group.name })) })
}
