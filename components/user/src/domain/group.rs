//! Groups lend their members permissions.

use std::collections::BTreeSet;

use cairn_shared::{Id, Timestamp};
use serde_json::{Map, Value};

/// Every permission there is, as category and name.
pub const PERMISSIONS: [(&str, &str); 19] = [
    ("stats", "treks"),
    ("stats", "bookings"),
    ("stats", "region"),
    ("stats", "sales"),
    ("stats", "users"),
    ("stats", "ongoingTreks"),
    ("actions", "manageTreks"),
    ("actions", "manageWeekendGetaways"),
    ("actions", "manageRegions"),
    ("actions", "manageBookings"),
    ("actions", "manageUsers"),
    ("actions", "manageTeam"),
    ("actions", "supportTickets"),
    ("actions", "salesDashboard"),
    ("actions", "manageLeads"),
    ("actions", "trekSections"),
    ("actions", "manageUserGroups"),
    ("actions", "manageBlogs"),
    ("actions", "manageCareers"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub id: Id,
    pub name: String,
    pub description: String,
    pub permissions: Permissions,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The permissions that are held, as `stats.users` or `actions.manageUsers`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(BTreeSet<String>);

impl Permissions {
    /// From names; unknown ones are left out.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        let known =
            |name: &String| PERMISSIONS.iter().any(|(category, one)| name.split_once('.') == Some((category, one)));
        Self(names.into_iter().filter(known).collect())
    }

    /// From the form clients use, `{"stats": {"users": true}, "actions": {…}}`.
    /// Unknown and false ones are left out.
    pub fn from_object(object: &Value) -> Self {
        let held = PERMISSIONS.iter().filter(|(category, name)| object[category][name] == Value::Bool(true));
        Self(held.map(|(category, name)| format!("{category}.{name}")).collect())
    }

    /// In the form clients use, every permission named.
    pub fn to_object(&self) -> Value {
        let mut object = Map::new();
        for (category, name) in PERMISSIONS {
            let held = self.0.contains(&format!("{category}.{name}"));
            let category = object.entry(category).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(names) = category {
                names.insert(name.to_owned(), Value::Bool(held));
            }
        }
        Value::Object(object)
    }

    pub fn into_names(self) -> Vec<String> {
        self.0.into_iter().collect()
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_permissions_that_exist_are_held() {
        let held = Permissions::from_object(&json!({
            "stats": { "users": true, "sales": false, "everything": true },
            "actions": { "manageBlogs": "true", "manageLeads": true },
            "sections": { "users": true },
        }));
        assert_eq!(held.names().collect::<Vec<_>>(), ["actions.manageLeads", "stats.users"]);
        assert_eq!(Permissions::from_object(&held.to_object()), held);
        assert_eq!(Permissions::of(["stats.users".into(), "stats.nothing".into(), "x".into()]).names().count(), 1);
        assert_eq!(held.to_object()["actions"]["manageTreks"], false);
    }
}
