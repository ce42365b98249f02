//! Where everything happens: time, chance, and work of which one piece goes on at a time.
//!
//! A piece of work runs until it passes a step or waits; then it stands until it is
//! resumed, or is dropped as by a crash. What it waits for of the real world (a statement
//! on its way through SQLite's thread) is no step: others do not come in between.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use cairn_shared::{
    Timestamp, async_trait,
    conduct::{Conductor, Step, conducted_by},
};
use futures::future::LocalBoxFuture;

use crate::chance::Chance;

/// Real time in which a piece of work comes to its next step, or waits for ever.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// The longest that a step takes, in ms.
const STEP_MAX: i64 = 3;

/// Where a piece of work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    AtStep,
    /// It waits until then, in ms.
    Until(i64),
}

/// How often the database fails, in ten thousand steps.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFaults {
    pub before: u32,
    pub after: u32,
}

pub struct Stage {
    now: Cell<i64>,
    pub chance: RefCell<Chance>,
    paused: Cell<Option<Pause>>,
    /// Whether it is looked at from outside, so that nothing happens.
    aside: Cell<bool>,
    pub disk: Cell<DiskFaults>,
    /// Whether something was made to fail since it was last asked.
    failed: Cell<bool>,
    /// Whether something was committed since it was last asked.
    committed: Cell<bool>,
    /// What happened, oldest first.
    history: RefCell<Vec<String>>,
    /// Whether everything is said at once.
    aloud: bool,
}

impl Stage {
    pub fn new(seed: u64, start: Timestamp, aloud: bool) -> Rc<Self> {
        Rc::new(Self {
            now: Cell::new(start.millis()),
            chance: RefCell::new(Chance::new(seed)),
            paused: Cell::default(),
            aside: Cell::default(),
            disk: Cell::default(),
            failed: Cell::default(),
            committed: Cell::default(),
            history: RefCell::default(),
            aloud,
        })
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.get())
    }

    pub fn advance(&self, millis: i64) {
        self.now.set(self.now.get() + millis);
    }

    pub fn hits(&self, times: u32) -> bool {
        self.chance.borrow_mut().hits(times)
    }

    pub fn below(&self, end: usize) -> usize {
        self.chance.borrow_mut().below(end)
    }

    pub fn between(&self, least: i64, most: i64) -> i64 {
        self.chance.borrow_mut().between(least, most)
    }

    pub fn note(&self, line: impl Into<String>) {
        let line = format!("{} {}", self.now(), line.into());
        if self.aloud {
            println!("{line}");
        }
        self.history.borrow_mut().push(line);
    }

    pub fn history(&self) -> Vec<String> {
        self.history.borrow().clone()
    }

    /// Something does not work, as it was made not to.
    pub fn fail(&self, what: &str) {
        self.failed.set(true);
        self.note(format!("    {what}"));
    }

    pub fn take_failed(&self) -> bool {
        self.failed.take()
    }

    pub fn take_committed(&self) -> bool {
        self.committed.take()
    }

    /// Others may come in between, or everything may end.
    pub async fn step(&self) {
        self.pause(Pause::AtStep).await;
    }

    async fn pause(&self, pause: Pause) {
        let mut asked = false;
        poll_fn(|_| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            self.paused.set(Some(pause));
            Poll::Pending
        })
        .await;
    }

    /// Lets a piece of work go on to where it stands next; none: it has ended.
    ///
    /// # Panics
    /// When it waits for something that never happens.
    pub async fn resume<T>(&self, work: &mut LocalBoxFuture<'static, T>) -> Result<T, Pause> {
        self.advance(self.between(0, STEP_MAX));
        let next = poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(end) => Poll::Ready(Ok(end)),
            Poll::Pending => match self.paused.take() {
                Some(pause) => Poll::Ready(Err(pause)),
                None => Poll::Pending,
            },
        });
        let next = tokio::time::timeout(HANGS_AFTER, next).await;
        next.expect("work goes on until its next step, and waits for nobody in the middle of one")
    }

    /// Looks at things without changing what happens.
    pub async fn aside<T>(&self, look: impl Future<Output = T>) -> T {
        let before = self.aside.replace(true);
        let seen = look.await;
        self.aside.set(before);
        seen
    }

    /// Takes over this thread.
    pub fn take_over(self: &Rc<Self>) {
        conducted_by(Some(self.clone()));
    }
}

#[async_trait(?Send)]
impl Conductor for Stage {
    async fn pass(&self, step: Step) -> Result<(), String> {
        if self.aside.get() {
            return Ok(());
        }
        if step == Step::Committed {
            self.committed.set(true);
        }
        self.step().await;
        let disk = self.disk.get();
        let (times, what) = match step {
            Step::Begin => (disk.before, "the database is not reached"),
            Step::Committed => (disk.after, "the database has committed and does not say so"),
        };
        if self.hits(times) {
            self.fail(what);
            return Err(what.into());
        }
        Ok(())
    }

    async fn sleep(&self, millis: u64) {
        let until = self.now.get().saturating_add_unsigned(millis);
        self.pause(Pause::Until(until)).await;
    }

    fn random(&self, bytes: &mut [u8]) {
        self.chance.borrow_mut().fill(bytes);
    }

    fn log(&self, line: &str) {
        self.note(format!("    {line}"));
    }
}
