//! Which version of each component is in force, and which were before.
//!
//! Pure: what is decided here is written by [`super::version_files`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::swap::Rollback;

/// Versions kept of each component, the current one included.
pub const VERSIONS_KEPT: usize = 5;
/// The form of the record; another form is refused.
pub const FORMAT: u32 = 1;

/// The versions of all components of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// Counts changes. What came in one step goes back in one.
    step: u64,
    components: BTreeMap<String, Kept>,
}

impl Default for Record {
    fn default() -> Self {
        Self { format: FORMAT, step: 0, components: BTreeMap::new() }
    }
}

/// What is kept of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub current: Entry,
    /// SHA-256 of the file that the manifest names, when it was last decided which
    /// version is in force. A file that differs was deployed since, and wins.
    pub deployed: String,
    /// Versions before, the latest first; none of them twice.
    pub before: Vec<Entry>,
    /// The last time that the host itself took a version out of force.
    pub rollback: Option<Rollback>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// SHA-256 of its bytes, in hex.
    pub hash: String,
    /// When it came into force last: UTC in milliseconds since 1970.
    pub since_ms: i64,
    /// The step that brought it.
    pub step: u64,
    /// Why it was taken out of force, if it was rolled back.
    pub rolled_back: Option<String>,
}

/// A version that comes into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub component: String,
    pub hash: String,
    /// SHA-256 of the file that the manifest names.
    pub deployed: String,
}

impl Record {
    /// Whether this program can read it.
    #[must_use]
    pub fn is_known_format(&self) -> bool {
        self.format == FORMAT
    }

    /// What is kept of a component.
    #[must_use]
    pub fn get(&self, component: &str) -> Option<&Kept> {
        self.components.get(component)
    }

    /// What is kept of each component.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Kept)> {
        self.components.iter().map(|(id, kept)| (id.as_str(), kept))
    }

    /// Components that are no longer part of the application are forgotten.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.components.retain(|id, _| is_there(id));
    }

    /// These versions came into force together.
    pub fn replace(&mut self, changes: &[Change], now_ms: i64) {
        self.step += 1;
        let step = self.step;
        for Change { component, hash, deployed } in changes {
            let entry = Entry { hash: hash.clone(), since_ms: now_ms, step, rolled_back: None };
            match self.components.get_mut(component) {
                None => {
                    let kept = Kept { current: entry, deployed: deployed.clone(), before: Vec::new(), rollback: None };
                    self.components.insert(component.clone(), kept);
                }
                Some(kept) => {
                    kept.deployed.clone_from(deployed);
                    if kept.current.hash != *hash {
                        kept.put_in_force(entry, None);
                    }
                }
            }
        }
    }

    /// What goes back when `component` does, and to which version: all that came in one
    /// step with its current one. Nothing if there is no version to go back to.
    #[must_use]
    pub fn way_back(&self, component: &str) -> Option<Vec<(String, String)>> {
        let step = self.get(component)?.current.step;
        let together = self.components.iter().filter(|(_, kept)| kept.current.step == step);
        together.map(|(id, kept)| Some((id.clone(), kept.previous()?.hash.clone()))).collect()
    }

    /// These versions are in force again, and those that were are not to be gone back to.
    pub fn go_back(&mut self, changes: &[Change], reason: &str, now_ms: i64) {
        for Change { component, hash, deployed } in changes {
            let Some(kept) = self.components.get_mut(component) else { continue };
            // The step that it came with, so that it goes further back with the same others.
            let known = kept.before.iter().find(|entry| entry.hash == *hash);
            let step = known.map_or(self.step, |entry| entry.step);
            let entry = Entry { hash: hash.clone(), since_ms: now_ms, step, rolled_back: None };
            kept.deployed.clone_from(deployed);
            kept.put_in_force(entry, Some(reason.to_owned()));
        }
    }

    /// A version was tried and did not do well. `automatic` if the host itself decided so.
    pub fn reject(&mut self, component: &str, hash: &str, tried_ms: i64, reason: &str, now_ms: i64, automatic: bool) {
        let step = self.step;
        let Some(kept) = self.components.get_mut(component) else { return };
        kept.before.retain(|entry| entry.hash != hash);
        let rolled_back = Some(reason.to_owned());
        kept.before.insert(0, Entry { hash: hash.to_owned(), since_ms: tried_ms, step, rolled_back });
        kept.prune();
        if automatic {
            kept.rollback = Some(Rollback {
                component: component.to_owned(),
                hash: hash.to_owned(),
                reason: reason.to_owned(),
                at_ms: now_ms,
            });
        }
    }

    /// Every version that is kept.
    #[must_use]
    pub fn hashes(&self) -> BTreeSet<&str> {
        let kept = self.components.values();
        kept.flat_map(|kept| kept.before.iter().chain([&kept.current])).map(|entry| entry.hash.as_str()).collect()
    }
}

impl Kept {
    /// The version that a rollback goes back to: the last one that was not rolled back itself.
    #[must_use]
    pub fn previous(&self) -> Option<&Entry> {
        self.before.iter().find(|entry| entry.rolled_back.is_none())
    }

    fn put_in_force(&mut self, entry: Entry, rolled_back: Option<String>) {
        self.before.retain(|before| before.hash != entry.hash);
        let left = std::mem::replace(&mut self.current, entry);
        self.before.insert(0, Entry { rolled_back, ..left });
        self.prune();
    }

    /// Keeps the latest versions, and of the older ones the one to go back to.
    fn prune(&mut self) {
        let keep = VERSIONS_KEPT - 1;
        if self.before.len() <= keep {
            return;
        }
        let previous = self.before.iter().position(|entry| entry.rolled_back.is_none());
        match previous {
            Some(at) if at >= keep => {
                self.before.swap(keep - 1, at);
                self.before.truncate(keep);
            }
            _ => self.before.truncate(keep),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(component: &str, hash: &str) -> Change {
        Change { component: component.into(), hash: hash.into(), deployed: "file".into() }
    }

    fn started() -> Record {
        let mut record = Record::default();
        record.replace(&[change("a", "a1"), change("b", "b1")], 1);
        record
    }

    fn current(record: &Record, component: &str) -> String {
        record.get(component).unwrap().current.hash.clone()
    }

    fn back(record: &mut Record, component: &str) -> bool {
        let Some(way) = record.way_back(component) else { return false };
        let changes: Vec<_> = way.iter().map(|(component, hash)| change(component, hash)).collect();
        record.go_back(&changes, "by the operator", 9);
        true
    }

    #[test]
    fn going_back_twice_goes_further_back_and_never_to_what_was_rolled_back() {
        let mut record = started();
        for hash in ["a2", "a3"] {
            record.replace(&[change("a", hash)], 2);
        }
        assert!(back(&mut record, "a"));
        assert_eq!(current(&record, "a"), "a2");
        assert!(back(&mut record, "a"));
        assert_eq!(current(&record, "a"), "a1");
        assert!(!back(&mut record, "a"));
        let reasons = record.get("a").unwrap().before.iter().map(|entry| entry.rolled_back.as_deref());
        assert_eq!(reasons.collect::<Vec<_>>(), [Some("by the operator"); 2]);
        record.replace(&[change("a", "a3")], 3);
        assert!(back(&mut record, "a"), "a version that is given again may be gone back from again");
        assert_eq!(current(&record, "a"), "a1");
    }

    #[test]
    fn what_came_together_goes_back_together_unless_it_has_moved_on() {
        let mut record = started();
        record.replace(&[change("a", "a2"), change("b", "b2")], 2);
        let mut moved_on = record.clone();
        assert!(back(&mut record, "a"));
        assert_eq!((current(&record, "a"), current(&record, "b")), ("a1".into(), "b1".into()));

        moved_on.replace(&[change("b", "b3")], 3);
        assert!(back(&mut moved_on, "a"));
        assert_eq!((current(&moved_on, "a"), current(&moved_on, "b")), ("a1".into(), "b3".into()));
    }

    #[test]
    fn only_the_latest_versions_are_kept_and_one_to_go_back_to() {
        let mut record = started();
        for number in 2..20 {
            record.replace(&[change("a", &format!("a{number}"))], number);
        }
        let kept = record.get("a").unwrap();
        let hashes: Vec<_> = kept.before.iter().map(|entry| entry.hash.as_str()).collect();
        assert_eq!(hashes, ["a18", "a17", "a16", "a15"]);
        for number in 0..20 {
            record.reject("a", &format!("bad{number}"), number, "errors", number, true);
        }
        let kept = record.get("a").unwrap();
        assert_eq!(kept.before.len() + 1, VERSIONS_KEPT);
        assert_eq!(kept.previous().unwrap().hash, "a18");
        assert_eq!(kept.rollback.as_ref().unwrap().hash, "bad19");
        assert_eq!(record.hashes().len(), VERSIONS_KEPT + 1);
    }

    #[test]
    fn a_record_survives_being_written_and_read() {
        let mut record = started();
        record.reject("a", "bad", 3, "it trapped", 4, true);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
