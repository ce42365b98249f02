//! Accounts and groups as clients see them. Nothing here can carry a password, a
//! code or a token.

use cairn_shared::{Id, Timestamp, identity::Role};
use serde::Serialize;
use serde_json::Value;

use crate::domain::{Account, Group};

/// What everybody's view of an account has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Person {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
    email: String,
    username: String,
    is_admin: bool,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zip_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_image: Option<String>,
    is_verified: bool,
    created_at: Timestamp,
}

impl Person {
    fn new(account: Account) -> (Self, Option<Group>, Timestamp) {
        let contact = account.contact;
        let person = Self {
            id: account.id,
            name: account.name,
            email: account.email,
            username: account.username,
            is_admin: account.role == Role::Admin,
            role: account.role,
            phone: contact.phone,
            address: contact.address,
            city: contact.city,
            state: contact.state,
            zip_code: contact.zip_code,
            country: contact.country,
            profile_image: contact.profile_image,
            is_verified: account.verified,
            created_at: account.created_at,
        };
        (person, account.group, account.updated_at)
    }
}

/// A group as the session's user has it.
#[derive(Serialize)]
struct SessionGroup {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
    permissions: Value,
}

/// The person a session is of.
#[derive(Serialize)]
pub struct AuthUser {
    #[serde(flatten)]
    person: Person,
    group: Option<SessionGroup>,
}

impl AuthUser {
    pub fn new(account: Account) -> Self {
        let (person, group, _) = Person::new(account);
        let group = group.map(|group| SessionGroup {
            id: group.id,
            name: group.name,
            permissions: group.permissions.to_object(),
        });
        Self { person, group }
    }
}

/// As [`AuthUser`], without a `group` key where there is none.
#[derive(Serialize)]
pub struct Me {
    #[serde(flatten)]
    person: Person,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<SessionGroup>,
}

impl Me {
    pub fn new(account: Account) -> Self {
        let AuthUser { person, group } = AuthUser::new(account);
        Self { person, group }
    }
}

#[derive(Serialize)]
struct GroupName {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
}

/// An account in a list for staff.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDoc {
    #[serde(flatten)]
    person: Person,
    /// Always empty: clients know the key, and none shows it here.
    wishlist: [Id; 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupName>,
    updated_at: Timestamp,
}

impl UserDoc {
    pub fn new(account: Account) -> Self {
        let (person, group, updated_at) = Person::new(account);
        let group = group.map(|group| GroupName { id: group.id, name: group.name });
        Self { person, wishlist: [], group, updated_at }
    }
}

/// A whole group.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupDoc {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
    description: String,
    permissions: Value,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl GroupDoc {
    pub fn new(group: Group) -> Self {
        Self {
            id: group.id,
            permissions: group.permissions.to_object(),
            name: group.name,
            description: group.description,
            created_at: group.created_at,
            updated_at: group.updated_at,
        }
    }
}
