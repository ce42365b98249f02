//! What changed, as far as it may be told.

use serde_json::{Map, Value};

/// Stands for what is not told.
const HIDDEN: &str = "(hidden)";

/// A change of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// As `order.cancel`: the record's kind and what was done.
    pub(super) action: String,
    pub(super) subject: String,
    /// None: whoever is behind the request.
    pub(super) actor: Option<String>,
    before: Value,
    after: Value,
    hidden: &'static [&'static str],
}

impl Change {
    /// A record as it was and as it is, `Value::Null` where there is none.
    pub fn new(action: impl Into<String>, subject: impl ToString, before: Value, after: Value) -> Self {
        Self { action: action.into(), subject: subject.to_string(), actor: None, before, after, hidden: &[] }
    }

    /// By somebody else than who is behind the request.
    pub fn by(self, actor: impl ToString) -> Self {
        Self { actor: Some(actor.to_string()), ..self }
    }

    /// Fields of these names, at whatever depth, are said to have changed and not how.
    pub fn hiding(self, fields: &'static [&'static str]) -> Self {
        Self { hidden: fields, ..self }
    }

    /// What differs, as it was and as it is; none when nothing does.
    pub(super) fn differing(&self) -> Option<(Value, Value)> {
        let (mut before, mut after) = differing(&self.before, &self.after)?;
        hide(&mut before, self.hidden);
        hide(&mut after, self.hidden);
        Some((before, after))
    }
}

/// The parts of two values that differ. Of lists, the elements by their index.
fn differing(before: &Value, after: &Value) -> Option<(Value, Value)> {
    if before == after {
        return None;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
            Some(parts(keys.map(|key| (key.clone(), before.get(key), after.get(key)))))
        }
        (Value::Array(before), Value::Array(after)) => {
            let indexes = 0..before.len().max(after.len());
            Some(parts(indexes.map(|at| (at.to_string(), before.get(at), after.get(at)))))
        }
        _ => Some((before.clone(), after.clone())),
    }
}

fn parts<'a>(members: impl Iterator<Item = (String, Option<&'a Value>, Option<&'a Value>)>) -> (Value, Value) {
    let (mut before, mut after) = (Map::new(), Map::new());
    for (key, was, is) in members {
        let pair = match (was, is) {
            (Some(was), Some(is)) => differing(was, is).map(|(was, is)| (Some(was), Some(is))),
            (was, is) => Some((was.cloned(), is.cloned())),
        };
        let Some((was, is)) = pair else { continue };
        before.extend(was.map(|was| (key.clone(), was)));
        after.extend(is.map(|is| (key, is)));
    }
    (before.into(), after.into())
}

fn hide(value: &mut Value, hidden: &[&str]) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if hidden.contains(&name.as_str()) { *value = HIDDEN.into() } else { hide(value, hidden) }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| hide(element, hidden)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let before = json!({ "a": 1, "b": { "c": 2, "d": 3 }, "list": [1, { "x": 1, "y": 2 }], "gone": true });
        let after = json!({ "a": 1, "b": { "c": 2, "d": 4 }, "list": [1, { "x": 1, "y": 3 }, 5], "new": null });
        let told = Change::new("thing.change", "t", before, after).differing().unwrap();
        assert_eq!(told.0, json!({ "b": { "d": 3 }, "list": { "1": { "y": 2 } }, "gone": true }));
        assert_eq!(told.1, json!({ "b": { "d": 4 }, "list": { "1": { "y": 3 }, "2": 5 }, "new": null }));
        assert_eq!(Change::new("thing.change", "t", json!({ "a": 1 }), json!({ "a": 1 })).differing(), None);
    }

    #[test]
    fn what_is_hidden_is_said_to_have_changed_and_not_how() {
        let person = |illness: &str| json!({ "people": [{ "name": "A", "illness": illness }], "n": 1 });
        let change = Change::new("thing.change", "t", person("x"), person("y")).hiding(&["illness"]);
        let told = json!({ "people": { "0": { "illness": HIDDEN } } });
        assert_eq!(change.differing(), Some((told.clone(), told)));
        let made = Change::new("thing.made", "t", Value::Null, person("x")).hiding(&["illness"]).differing().unwrap();
        assert_eq!(made, (Value::Null, json!({ "people": [{ "name": "A", "illness": HIDDEN }], "n": 1 })));
    }
}
