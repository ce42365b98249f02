//! A store in memory: bounded, fast, and gone with the host.
//!
//! For what may be lost at any time, such as counters of a rate limit. When it
//! is full, what was written longest ago makes room.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bounds of one store in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    pub entries_max: usize,
    /// Keys and values together, in bytes.
    pub bytes_max: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { entries_max: 100_000, bytes_max: 32 << 20 }
    }
}

#[derive(Debug)]
pub(super) struct Memory {
    limits: MemoryLimits,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    entries: HashMap<String, Entry>,
    /// Keys by the time of their last write, oldest first.
    by_age: BTreeMap<u64, String>,
    writes: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    written: u64,
}

impl Memory {
    pub(super) fn new(limits: MemoryLimits) -> Self {
        Self { limits, content: Mutex::default() }
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.content().entries.get(key).map(|entry| entry.value.clone())
    }

    pub(super) fn exists(&self, key: &str) -> bool {
        self.content().entries.contains_key(key)
    }

    /// False if the entry alone is larger than the store may be.
    pub(super) fn set(&self, key: String, value: Vec<u8>) -> bool {
        self.put(&mut self.content(), key, value)
    }

    /// Sets the entry if it still is as it was `seen`, and tells whether it was; nothing
    /// if the entry alone is larger than the store may be.
    pub(super) fn swap(&self, key: &str, seen: Option<&[u8]>, value: Vec<u8>) -> Option<bool> {
        let mut content = self.content();
        if content.entries.get(key).map(|entry| entry.value.as_slice()) != seen {
            return Some(false);
        }
        self.put(&mut content, key.to_owned(), value).then_some(true)
    }

    fn put(&self, content: &mut Content, key: String, value: Vec<u8>) -> bool {
        let bytes = key.len() + value.len();
        if bytes > self.limits.bytes_max || self.limits.entries_max == 0 {
            return false;
        }
        content.remove(&key);
        while content.entries.len() >= self.limits.entries_max || content.bytes + bytes > self.limits.bytes_max {
            content.remove_oldest();
        }
        content.insert(key, value);
        true
    }

    pub(super) fn delete(&self, key: &str) {
        self.content().remove(key);
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.content().entries.keys().cloned().collect()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn insert(&mut self, key: String, value: Vec<u8>) {
        self.writes += 1;
        self.bytes += key.len() + value.len();
        self.by_age.insert(self.writes, key.clone());
        let written = self.writes;
        self.entries.insert(key, Entry { value, written });
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= key.len() + entry.value.len();
            self.by_age.remove(&entry.written);
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, key)) = self.by_age.pop_first()
            && let Some(entry) = self.entries.remove(&key)
        {
            self.bytes -= key.len() + entry.value.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(entries_max: usize, bytes_max: usize) -> Memory {
        Memory::new(MemoryLimits { entries_max, bytes_max })
    }

    #[test]
    fn a_full_store_forgets_what_was_written_longest_ago() {
        let store = store(2, 1000);
        for key in ["a", "b", "a", "c"] {
            assert!(store.set(key.to_owned(), b"v".to_vec()));
        }
        assert!(store.exists("a") && store.exists("c") && !store.exists("b"));
    }

    #[test]
    fn bytes_are_bounded_like_entries() {
        let store = store(100, 10);
        assert!(store.set("a".to_owned(), vec![0; 8]));
        assert!(store.set("b".to_owned(), vec![0; 4]));
        assert_eq!(store.keys(), ["b"]);
        assert!(!store.set("c".to_owned(), vec![0; 10]));
        store.delete("b");
        assert_eq!(store.content().bytes, 0);
        assert!(store.content().by_age.is_empty());
    }
}
