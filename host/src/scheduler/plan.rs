//! What is to run next: the scheduler without clock, tasks or network.
//!
//! Time comes in as an argument, decisions go out as values. The unit is a
//! target, a path of a component: whatever causes a run of it, there is never
//! more than one at once, and never more than one waiting.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use super::{Cron, CronError, JobStatus, LastRun, WakeError};
use crate::manifest::Job;

/// Attempts of a wake, after the first one, before it is given up.
pub(super) const RETRIES_MAX: u32 = 5;
/// Wait before the first retry; each further one takes twice as long.
pub(super) const RETRY_FIRST_MS: i64 = 1_000;
/// Targets that wakes may add to those of the manifest.
const WOKEN_TARGETS_MAX: usize = 1_024;
const PATH_BYTES_MAX: usize = 256;
/// A clock that goes back by more than this was set anew.
const CLOCK_BACK_MAX_MS: i64 = 60_000;

pub(super) type TargetId = u64;

/// A run to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub id: TargetId,
    pub component: Arc<str>,
    pub path: Arc<str>,
    /// The manifest has it in a schedule.
    pub scheduled: bool,
    /// The latest of its times that it is for, if it is for one.
    pub due_ms: Option<i64>,
    /// Somebody waits for it besides.
    pub wanted: bool,
}

/// What a finished run leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It succeeded.
    Completed,
    /// It failed, and runs again when its time comes.
    FailedUntilNextTime,
    /// It failed, and runs again at this time.
    RetryAt(i64),
    /// It failed too often.
    GaveUp,
}

#[derive(Debug)]
pub(super) struct Plan {
    targets: BTreeMap<TargetId, Target>,
    ids: HashMap<Arc<str>, HashMap<Arc<str>, TargetId>>,
    next_id: TargetId,
    /// How many targets are not in the manifest.
    woken: usize,
    queue: VecDeque<TargetId>,
    running: usize,
    running_max: usize,
    last_now: i64,
    stopped: bool,
}

#[derive(Debug)]
struct Target {
    component: Arc<str>,
    path: Arc<str>,
    timers: Vec<Timer>,
    phase: Phase,
    /// Woken while it ran: what the run has seen may be out of date.
    again: bool,
    /// Somebody waits for it to succeed, so that a failure is retried.
    wanted: bool,
    retries: u32,
    retry_at: Option<i64>,
    /// The latest of its times that no run was started for.
    due: Option<i64>,
    last: Option<LastRun>,
}

#[derive(Debug)]
struct Timer {
    cron: Cron,
    utc_offset_minutes: i32,
    next: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Queued,
    Running,
}

impl Plan {
    /// A plan for `jobs`, each with its component.
    pub(super) fn new(
        jobs: impl IntoIterator<Item = (String, Job)>,
        running_max: usize,
        now: i64,
    ) -> Result<Self, CronError> {
        let mut plan = Self {
            targets: BTreeMap::new(),
            ids: HashMap::new(),
            next_id: 0,
            woken: 0,
            queue: VecDeque::new(),
            running: 0,
            running_max: running_max.max(1),
            last_now: now,
            stopped: false,
        };
        for (component, job) in jobs {
            let cron: Cron = job.cron.parse()?;
            let next = cron.next_after(now, job.utc_offset_minutes);
            let id = plan.target(&component, &job.path);
            if let Some(target) = plan.targets.get_mut(&id) {
                target.timers.push(Timer { cron, utc_offset_minutes: job.utc_offset_minutes, next });
            }
        }
        Ok(plan)
    }

    /// Asks for a run soon. Tells whether that changed anything.
    pub(super) fn wake(&mut self, component: &str, path: &str) -> Result<bool, WakeError> {
        if self.stopped {
            return Err(WakeError::Stopped);
        }
        let known = self.ids.get(component).and_then(|paths| paths.get(path));
        let id = match known {
            Some(id) => *id,
            None => self.add_woken(component, path)?,
        };
        let Some(target) = self.targets.get_mut(&id) else {
            return Ok(false);
        };
        target.wanted = true;
        match target.phase {
            Phase::Running => target.again = true,
            // It runs after its back-off: a burst of wakes must not undo that.
            Phase::Idle if target.retries > 0 && target.retry_at.is_some() => {}
            Phase::Idle => {
                target.retry_at = None;
                target.phase = Phase::Queued;
                self.queue.push_back(id);
                return Ok(true);
            }
            Phase::Queued => {}
        }
        Ok(false)
    }

    fn add_woken(&mut self, component: &str, path: &str) -> Result<TargetId, WakeError> {
        if !path.starts_with('/') || path.len() > PATH_BYTES_MAX {
            return Err(WakeError::Path);
        }
        if self.woken == WOKEN_TARGETS_MAX {
            return Err(WakeError::TooMany);
        }
        self.woken += 1;
        Ok(self.target(component, path))
    }

    fn target(&mut self, component: &str, path: &str) -> TargetId {
        if let Some(id) = self.ids.get(component).and_then(|paths| paths.get(path)) {
            return *id;
        }
        let id = self.next_id;
        self.next_id += 1;
        let (component, path): (Arc<str>, Arc<str>) = (component.into(), path.into());
        let paths = self.ids.entry(Arc::clone(&component)).or_default();
        paths.insert(Arc::clone(&path), id);
        let target = Target {
            component,
            path,
            timers: Vec::new(),
            phase: Phase::Idle,
            again: false,
            wanted: false,
            retries: 0,
            retry_at: None,
            due: None,
            last: None,
        };
        self.targets.insert(id, target);
        id
    }

    /// Queues what is due at `now`, and gives the scheduled runs skipped because
    /// the one before was not over. However many times were missed, they count as one.
    pub(super) fn advance(&mut self, now: i64) -> Vec<Run> {
        let set_back = now < self.last_now - CLOCK_BACK_MAX_MS;
        self.last_now = now;
        let mut skipped = Vec::new();
        for (id, target) in &mut self.targets {
            let due = target.advance(now, set_back);
            match (due, target.phase) {
                (Due::Nothing, _) => {}
                (_, Phase::Idle) => {
                    target.phase = Phase::Queued;
                    target.retry_at = None;
                    self.queue.push_back(*id);
                }
                (Due::Timer, Phase::Queued | Phase::Running) => skipped.push(target.run(*id)),
                (Due::Retry, Phase::Queued | Phase::Running) => target.retry_at = None,
            }
        }
        skipped
    }

    /// The next run to start, if one waits and there is room for it.
    pub(super) fn start(&mut self) -> Option<Run> {
        if self.stopped || self.running == self.running_max {
            return None;
        }
        let id = self.queue.pop_front()?;
        let target = self.targets.get_mut(&id)?;
        target.phase = Phase::Running;
        self.running += 1;
        let run = target.run(id);
        target.due = None;
        Some(run)
    }

    /// Records that a run was not begun, because it may only begin at another time.
    pub(super) fn postpone(&mut self, run: &Run, at: i64) {
        if let Some(target) = self.targets.get_mut(&run.id) {
            target.due = target.due.max(run.due_ms);
            target.retry_at = Some(at);
        }
        self.pass(run);
    }

    /// Records that a run need not begin, because another host has done it.
    pub(super) fn pass(&mut self, run: &Run) {
        self.running -= 1;
        let Some(target) = self.targets.get_mut(&run.id) else {
            return;
        };
        target.phase = Phase::Idle;
        if std::mem::take(&mut target.again) {
            target.wanted = true;
            target.retry_at = None;
            target.phase = Phase::Queued;
            self.queue.push_back(run.id);
        }
    }

    /// Records the end of a run that began at `started`.
    pub(super) fn finish(&mut self, id: TargetId, last: LastRun, now: i64) -> Option<After> {
        let target = self.targets.get_mut(&id)?;
        self.running -= 1;
        target.phase = Phase::Idle;
        let succeeded = last.failure.is_none();
        target.last = Some(last);
        let after = target.settle(succeeded, now);
        if std::mem::take(&mut target.again) && target.retry_at.is_none() {
            target.wanted = true;
            target.phase = Phase::Queued;
            self.queue.push_back(id);
        }
        self.forget_if_idle(id);
        Some(after)
    }

    /// Targets that only wakes named are kept no longer than they are needed.
    fn forget_if_idle(&mut self, id: TargetId) {
        let Some(target) = self.targets.get(&id) else {
            return;
        };
        if target.phase == Phase::Idle && target.timers.is_empty() && target.retry_at.is_none() {
            if let Some(paths) = self.ids.get_mut(&target.component) {
                paths.remove(&target.path);
            }
            self.woken = self.woken.saturating_sub(1);
            self.targets.remove(&id);
        }
    }

    /// When [`Self::advance`] has something to do next.
    pub(super) fn next_at(&self) -> Option<i64> {
        let times = self.targets.values().flat_map(|target| {
            let timers = target.timers.iter().filter_map(|timer| timer.next);
            timers.chain(target.retry_at)
        });
        times.min()
    }

    /// Starts and queues nothing from now on.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.queue.clear();
    }

    pub(super) fn status(&self) -> Vec<JobStatus> {
        let scheduled = self.targets.values().filter(|target| !target.timers.is_empty());
        scheduled.map(Target::status).collect()
    }
}

enum Due {
    Nothing,
    Timer,
    Retry,
}

impl Target {
    fn run(&self, id: TargetId) -> Run {
        Run {
            id,
            component: Arc::clone(&self.component),
            path: Arc::clone(&self.path),
            scheduled: !self.timers.is_empty(),
            due_ms: self.due,
            wanted: self.wanted,
        }
    }

    fn advance(&mut self, now: i64, set_back: bool) -> Due {
        let mut due = match self.retry_at {
            Some(at) if at <= now || set_back => Due::Retry,
            _ => Due::Nothing,
        };
        for timer in &mut self.timers {
            let is_due = timer.next.is_some_and(|next| next <= now);
            if is_due {
                self.due = self.due.max(timer.next);
            }
            if is_due || set_back {
                timer.next = timer.cron.next_after(now, timer.utc_offset_minutes);
            }
            if is_due {
                due = Due::Timer;
            }
        }
        due
    }

    /// Decides what a finished run leads to.
    fn settle(&mut self, succeeded: bool, now: i64) -> After {
        if succeeded {
            self.wanted = false;
            self.retries = 0;
            return After::Completed;
        }
        if !self.wanted {
            return After::FailedUntilNextTime;
        }
        if self.retries == RETRIES_MAX {
            self.wanted = false;
            self.retries = 0;
            return After::GaveUp;
        }
        let at = now.saturating_add(RETRY_FIRST_MS << self.retries);
        self.retries += 1;
        self.retry_at = Some(at);
        After::RetryAt(at)
    }

    fn status(&self) -> JobStatus {
        JobStatus {
            component: self.component.to_string(),
            path: self.path.to_string(),
            crons: self.timers.iter().map(|timer| timer.cron.to_string()).collect(),
            next_ms: self.timers.iter().filter_map(|timer| timer.next).min(),
            running: self.phase == Phase::Running,
            last: self.last.clone(),
        }
    }
}
