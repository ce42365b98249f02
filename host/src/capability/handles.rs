//! What an instance holds of a capability: how much of it, and each as long as it lives.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::Mutex;

/// How many things of one kind an instance holds.
#[derive(Debug, Clone, Default)]
pub struct Handles(Arc<AtomicUsize>);

/// One of these things. It counts until it is dropped.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>);

impl Handles {
    /// One more, unless there are `max` already.
    pub(super) fn take(&self, max: usize) -> Option<Counted> {
        let more = |count: usize| (count < max).then_some(count + 1);
        self.0.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Counted(self.0.clone()))
    }

    /// One more, however many there are.
    pub(super) fn add(&self) -> Counted {
        self.0.fetch_add(1, Relaxed);
        Counted(self.0.clone())
    }

    /// Whether there are any.
    #[must_use]
    pub fn any(&self) -> bool {
        self.0.load(Relaxed) > 0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What a guest's handle of a connection to a database stands for.
pub struct Connection<S> {
    /// Statements of one connection run one after the other.
    session: Arc<Mutex<S>>,
    _counted: Counted,
}

impl<S> Connection<S> {
    pub(super) fn new(session: S, counted: Counted) -> Self {
        Self { session: Arc::new(Mutex::new(session)), _counted: counted }
    }

    pub(super) fn session(&self) -> Arc<Mutex<S>> {
        Arc::clone(&self.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_than_may_be_until_one_is_dropped() {
        let handles = Handles::default();
        let first = handles.take(2).unwrap();
        let _second = handles.clone().take(2).unwrap();
        assert!(handles.take(2).is_none() && handles.any());
        drop(first);
        assert!(handles.take(2).is_some());
    }
}
