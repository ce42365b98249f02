//! Who is calling, as the gateway found out.
//!
//! The gateway authenticates and passes the caller in a header that it strips from
//! outside requests. Only requests from inside reach a component, so it is trusted.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Id, Result,
    http::{FromRequest, Params, Request},
};

/// Carries the caller, or why there is none. Never accepted from outside.
pub const CALLER_HEADER: &str = "x-cairn-caller";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Admin,
}

/// A group of the caller's, with the permissions it lends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: Id,
    pub name: String,
    /// As `stats.users` or `actions.manageUsers`.
    pub permissions: Vec<String>,
}

/// A person who is logged in. As an extractor: 401 without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub id: Id,
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    pub role: Role,
    pub group: Option<Group>,
}

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    Caller(Box<Caller>),
    /// A token was given and is not good.
    InvalidToken,
    /// The token was good, its account is gone.
    NoAccount,
}

impl Identity {
    /// The header's value.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(value: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(value).ok()?).ok()
    }
}

impl Caller {
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Whether the caller may do what this permission covers. Admins may.
    pub fn may(&self, permission: &str) -> bool {
        self.is_admin() || self.group.as_ref().is_some_and(|group| group.permissions.iter().any(|p| p == permission))
    }

    /// # Errors
    /// 403 for everybody but admins.
    pub fn require_admin(&self) -> Result<()> {
        if self.is_admin() { Ok(()) } else { Err(Error::forbidden("Not authorized as an admin")) }
    }

    /// # Errors
    /// 403 without this permission.
    pub fn require(&self, permission: &str) -> Result<()> {
        self.require_any(&[permission])
    }

    /// # Errors
    /// 403 without any of these permissions.
    pub fn require_any(&self, permissions: &[&str]) -> Result<()> {
        if permissions.iter().any(|permission| self.may(permission)) {
            return Ok(());
        }
        let Some(group) = &self.group else {
            return Err(Error::forbidden("Access denied. No user group assigned."));
        };
        let error = match permissions {
            [one] => Error::forbidden("Access denied. Your user group does not have the required permissions.")
                .with("requiredPermission", *one),
            _ => Error::forbidden("Access denied. Your user group does not have any of the required permissions.")
                .with("requiredPermissions", permissions.to_vec()),
        };
        Err(error.with("currentGroup", group.name.as_str()))
    }
}

/// The cookie that carries a session token.
pub const SESSION_COOKIE: &str = "jwt";

/// A session token and how it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionToken<'r> {
    Bearer(&'r str),
    Cookie(&'r str),
}

impl<'r> SessionToken<'r> {
    /// The token of a request: a Bearer one wins, good or bad, over the cookie.
    pub fn of(headers: &'r [(String, String)]) -> Option<Self> {
        let values =
            |name: &'static str| headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str());
        let bearer = values("authorization").next().and_then(|value| value.strip_prefix("Bearer"));
        if let Some(token) = bearer {
            return Some(Self::Bearer(token.trim()));
        }
        let mut pairs =
            values("cookie").flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, token) = pairs.find(|(name, token)| *name == SESSION_COOKIE && !token.is_empty())?;
        Some(Self::Cookie(token))
    }

    pub fn text(self) -> &'r str {
        match self {
            Self::Bearer(token) | Self::Cookie(token) => token,
        }
    }
}

fn identity(request: &Request) -> Result<Option<Identity>> {
    let decode = |value| Identity::decode(value).ok_or_else(|| Error::internal("the caller header is malformed"));
    request.header(CALLER_HEADER).map(decode).transpose()
}

/// Who is calling, where somebody is.
pub(crate) fn caller_of(request: &Request) -> Option<Caller> {
    match identity(request) {
        Ok(Some(Identity::Caller(caller))) => Some(*caller),
        _ => None,
    }
}

impl FromRequest for Caller {
    fn from_request(request: &mut Request, _: &Params) -> Result<Self> {
        match identity(request)? {
            Some(Identity::Caller(caller)) => Ok(*caller),
            Some(Identity::NoAccount) => Err(Error::unauthorized("User not found")),
            Some(Identity::InvalidToken) | None => Err(Error::unauthorized("Not authorized to access this route")),
        }
    }
}

/// The caller where being logged in is a matter of choice.
impl FromRequest for Option<Caller> {
    fn from_request(request: &mut Request, _: &Params) -> Result<Self> {
        Ok(match identity(request)? {
            Some(Identity::Caller(caller)) => Some(*caller),
            _ => None,
        })
    }
}

/// An admin. As an extractor: 401 without login, 403 for others.
pub struct Admin(pub Caller);

impl FromRequest for Admin {
    fn from_request(request: &mut Request, params: &Params) -> Result<Self> {
        let caller = Caller::from_request(request, params)?;
        caller.require_admin()?;
        Ok(Self(caller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: Role, permissions: Option<&[&str]>) -> Caller {
        let id = Id::derive(&["test"]);
        let group = permissions.map(|p| Group {
            id,
            name: "Desk".into(),
            permissions: p.iter().map(ToString::to_string).collect(),
        });
        Caller { id, name: "मीरा".into(), email: "m@example.org".into(), phone: None, role, group }
    }

    #[test]
    fn a_caller_survives_the_header() {
        let identity = Identity::Caller(Box::new(caller(Role::User, Some(&["stats.users"]))));
        assert!(identity.encode().is_ascii());
        assert_eq!(Identity::decode(&identity.encode()), Some(identity));
    }

    #[test]
    fn a_bearer_token_wins_over_the_cookie() {
        let of = |headers: &[(&str, &str)]| {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            SessionToken::of(&headers).map(|token| (matches!(token, SessionToken::Cookie(_)), token.text().to_owned()))
        };
        let cookie = ("cookie", "a=b; jwt=good; c=d");
        assert_eq!(of(&[cookie, ("authorization", "Bearer bad")]), Some((false, "bad".into())));
        assert_eq!(of(&[cookie, ("authorization", "Basic x")]), Some((true, "good".into())));
        assert_eq!(of(&[cookie]), Some((true, "good".into())));
        assert_eq!(of(&[("cookie", "jwt=; a=b")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_permission_is_the_groups_or_the_admins() {
        assert!(caller(Role::Admin, None).require("actions.x").is_ok());
        assert!(caller(Role::User, Some(&["actions.x"])).require("actions.x").is_ok());
        for refused in [caller(Role::User, None), caller(Role::User, Some(&["actions.y"]))] {
            assert_eq!(refused.require("actions.x").unwrap_err().status(), 403);
        }
    }
}
