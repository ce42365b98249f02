//! Work that services ask for and nobody waits for.
//!
//! It runs on threads of its own, so that what blocks there (mail goes out over a
//! blocking socket) does not hold up requests. Each piece of work runs once at a time,
//! and asking for it while it waits changes nothing.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc::sync_channel},
    thread,
};

use anyhow::{Result, anyhow};
use cairn_shared::{http::Request, upstream::Upstream};
use tokio::{
    sync::{Mutex as Turn, mpsc},
    task::LocalSet,
};

use super::services::{Node, World};

/// A service and a private path of it.
type Job = (String, String);

/// Sends mail, and so blocks.
const BLOCKING: &str = "notification";

/// What was asked for and has not begun.
#[derive(Default)]
pub struct Wakes {
    waiting: Mutex<HashSet<Job>>,
    doors: OnceLock<Doors>,
}

struct Doors {
    blocking: mpsc::UnboundedSender<Job>,
    other: mpsc::UnboundedSender<Job>,
}

impl Wakes {
    /// Asks for work; the number of those that wait is that of distinct jobs.
    pub fn ask(&self, service: &str, path: &str) {
        let job = (service.to_owned(), path.to_owned());
        let Some(doors) = self.doors.get() else { return };
        if !self.waiting().insert(job.clone()) {
            return;
        }
        let door = if service == BLOCKING { &doors.blocking } else { &doors.other };
        if door.send(job.clone()).is_err() {
            eprintln!("background work is not done any more: {job:?}");
        }
    }

    fn begun(&self, job: &Job) {
        self.waiting().remove(job);
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashSet<Job>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the threads.
///
/// # Errors
/// A thread or a service does not start.
pub fn start(world: &Arc<World>) -> Result<()> {
    let (blocking, blocking_jobs) = mpsc::unbounded_channel();
    let (other, other_jobs) = mpsc::unbounded_channel();
    for (name, jobs) in [("background-mail", blocking_jobs), ("background", other_jobs)] {
        let (told, started) = sync_channel(1);
        let world = world.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let made = runtime_and_node(&world);
            let outcome = made.as_ref().map(drop).map_err(|error| anyhow!("{error:#}"));
            if told.send(outcome).is_ok()
                && let Ok((runtime, node)) = made
            {
                LocalSet::new().block_on(&runtime, run(Rc::new(node), world, jobs));
            }
        })?;
        started.recv()??;
    }
    let doors = world.wakes.doors.set(Doors { blocking, other });
    doors.map_err(|_| anyhow!("background work was started twice"))
}

fn runtime_and_node(world: &Arc<World>) -> Result<(tokio::runtime::Runtime, Node)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let node = Node::new(world)?;
    Ok((runtime, node))
}

async fn run(node: Rc<Node>, world: Arc<World>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let turns: RefCell<HashMap<Job, Rc<Turn<()>>>> = RefCell::default();
    while let Some(job) = jobs.recv().await {
        let turn = turns.borrow_mut().entry(job.clone()).or_default().clone();
        let (node, world) = (node.clone(), world.clone());
        tokio::task::spawn_local(async move {
            let _alone = turn.lock().await;
            world.wakes.begun(&job);
            let (service, path) = &job;
            match node.neighbours().send(service, Request::new("POST", path)).await {
                Ok(response) if response.status < 300 => {}
                outcome => {
                    eprintln!("background work {service} {path} failed: {:?}", outcome.map(|response| response.status))
                }
            }
        });
    }
}
