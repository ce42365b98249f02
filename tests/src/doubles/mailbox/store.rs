//! The mails that came in, bounded, newest last, and who waits for one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::faults::Faults;
use super::message::Message;

/// Mails that are kept; the oldest are forgotten.
pub const MESSAGES_MAX: usize = 10_000;
/// The largest mail.
pub const MESSAGE_BYTES_MAX: usize = 25 * 1024 * 1024;
/// All mails together; the oldest are forgotten. Memory, so less than the other two allow.
pub const MAILBOX_BYTES_MAX: usize = 512 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Entry {
    pub message: Arc<Message>,
    /// Somebody has opened it.
    pub read: bool,
    /// A test has waited for it.
    pub taken: bool,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    entries: VecDeque<Entry>,
    bytes: usize,
    pub faults: Faults,
}

impl Store {
    pub fn push(&mut self, message: Message) {
        self.bytes += message.raw.len();
        self.entries.push_back(Entry { message: Arc::new(message), read: false, taken: false });
        while self.entries.len() > MESSAGES_MAX || self.bytes > MAILBOX_BYTES_MAX {
            match self.entries.pop_front() {
                Some(oldest) => self.bytes -= oldest.message.raw.len(),
                None => break,
            }
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn unread(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.read).count()
    }

    /// Newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev()
    }

    /// Oldest first.
    pub fn oldest_first(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// By id, or the newest one by the word `latest`.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|entry| id == "latest" || entry.message.id == id)
    }

    /// The oldest mail that fits and that nobody has taken yet.
    pub fn take(&mut self, fits: impl Fn(&Message) -> bool) -> Option<Arc<Message>> {
        let entry = self.entries.iter_mut().find(|entry| !entry.taken && fits(&entry.message))?;
        entry.taken = true;
        Some(Arc::clone(&entry.message))
    }

    pub fn remove(&mut self, goes: impl Fn(&Message) -> bool) {
        self.entries.retain(|entry| !goes(&entry.message));
        self.bytes = self.entries.iter().map(|entry| entry.message.raw.len()).sum();
    }
}
