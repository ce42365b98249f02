//! Natively: who may take the place of the clock's ticking, of chance and of the disk.
//!
//! A component waits, draws random ids, and has statements run. On a thread with a
//! [`Conductor`] it does so as that one decides, so that a simulation can repeat what
//! happened to the last detail, let others come in between any two steps, and have the
//! database fail or everything end at any of them. Without one nothing changes.

use std::{cell::RefCell, rc::Rc};

/// A place at which others may come in, or everything may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A transaction, or a statement by itself, is about to begin.
    Begin,
    /// What it changed is on disk, and nobody has been told yet.
    Committed,
}

/// Decides what happens on its thread.
#[crate::async_trait(?Send)]
pub trait Conductor {
    /// Passes a step.
    ///
    /// # Errors
    /// The database fails here: before it did anything, or after it did all.
    async fn pass(&self, step: Step) -> Result<(), String>;

    /// Waits so many ms.
    async fn sleep(&self, millis: u64);

    fn random(&self, bytes: &mut [u8]);

    /// Takes a log line.
    fn log(&self, line: &str);
}

thread_local! {
    static CONDUCTOR: RefCell<Option<Rc<dyn Conductor>>> = const { RefCell::new(None) };
}

/// Who decides on this thread from now on; none: the machine.
pub fn conducted_by(conductor: Option<Rc<dyn Conductor>>) {
    CONDUCTOR.set(conductor);
}

pub(crate) fn conductor() -> Option<Rc<dyn Conductor>> {
    CONDUCTOR.with_borrow(Clone::clone)
}

pub(crate) async fn pass(step: Step) -> Result<(), crate::DbError> {
    match conductor() {
        Some(conductor) => conductor.pass(step).await.map_err(crate::DbError::Other),
        None => Ok(()),
    }
}
