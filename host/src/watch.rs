//! Replacing components whose files change, for whoever works on them.
//!
//! Files are looked at again and again; that works on every file system, and a build
//! is far slower. What changed is tried once it has stopped changing, all of it in
//! one step, since components that were built together belong together.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    host::swap::{Replacement, Swapper},
    manifest::{Application, Source},
    precompiled::{COMPONENT_BYTES_MAX, content_hash},
    registry::Registry,
};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);

/// What tells a file from what it was, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    modified: SystemTime,
    bytes: u64,
}

fn mark(path: &Path) -> Option<Mark> {
    let file = fs::metadata(path).ok()?;
    Some(Mark { modified: file.modified().ok()?, bytes: file.len() })
}

/// The files of an application's components, as they were.
pub struct Watch {
    /// The file of each component.
    sources: Vec<(String, PathBuf)>,
    /// The files when they were last looked at.
    seen: Vec<Option<Mark>>,
    /// The files when they were last tried.
    tried: Vec<Option<Mark>>,
}

impl Watch {
    /// Watches from now on. To be made before the application starts, so that nothing
    /// changes unseen meanwhile.
    #[must_use]
    pub fn new(application: &Application) -> Self {
        let files = application.components.iter().filter_map(|component| match &component.source {
            Source::File(path) => Some((component.id.clone(), application.dir.join(path))),
            // It is known by its content, and so does not change.
            Source::Remote(_) => None,
        });
        Self::of(files.collect())
    }

    fn of(sources: Vec<(String, PathBuf)>) -> Self {
        let seen: Vec<_> = sources.iter().map(|(_, path)| mark(path)).collect();
        Self { sources, tried: seen.clone(), seen }
    }

    /// What has changed since it was tried; nothing while a file still changes or is
    /// missing, as one is that is being written.
    fn changed(&mut self) -> Vec<&(String, PathBuf)> {
        let now: Vec<_> = self.sources.iter().map(|(_, path)| mark(path)).collect();
        let settled = now == self.seen && now.iter().all(Option::is_some);
        self.seen = now;
        if !settled {
            return Vec::new();
        }
        let tried = std::mem::replace(&mut self.tried, self.seen.clone());
        let marks = tried.iter().zip(&self.seen);
        self.sources.iter().zip(marks).filter(|(_, (then, now))| then != now).map(|(source, _)| source).collect()
    }

    /// Replaces each component whose file changes, until the task is dropped. A version
    /// that is refused is told of, and the one before goes on.
    pub async fn run(mut self, swapper: Arc<Swapper>, registry: Arc<Registry>) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        tracing::info!(files = self.sources.len(), "watching the files of the components");
        loop {
            looks.tick().await;
            let changed = self.changed().into_iter();
            let replacements: Vec<Replacement> = changed.filter_map(|source| read(&registry, source)).collect();
            if !replacements.is_empty() {
                replace(&swapper, replacements).await;
            }
        }
    }
}

/// The file of a component, if it is another than the component runs.
fn read(registry: &Registry, (component, path): &(String, PathBuf)) -> Option<Replacement> {
    let read = match fs::metadata(path) {
        Ok(file) if file.len() > COMPONENT_BYTES_MAX as u64 => {
            tracing::warn!(component, path = %path.display(), bytes = file.len(), "the rebuilt component is too large");
            return None;
        }
        _ => fs::read(path),
    };
    match read {
        Ok(bytes) => {
            let current = registry.get(component).and_then(|service| service.current());
            let same = current.is_some_and(|version| version.compiled.hash == content_hash(&bytes));
            (!same).then(|| Replacement { component: component.clone(), bytes })
        }
        Err(error) => {
            tracing::warn!(component, path = %path.display(), %error, "the rebuilt component cannot be read");
            None
        }
    }
}

async fn replace(swapper: &Arc<Swapper>, replacements: Vec<Replacement>) {
    let components: Vec<String> = replacements.iter().map(|replacement| replacement.component.clone()).collect();
    let components = components.join(", ");
    match swapper.swap(replacements, None, &|_| {}).await {
        Ok(_) => tracing::info!(components, "rebuilt and replaced"),
        Err(refusal) => tracing::warn!(components, %refusal, "rebuilt, but not replaced: the version before goes on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_once_it_has_settled_and_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let source = |name: &str| (name.to_owned(), dir.path().join(name));
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("a", "1");
        write("b", "1");
        let mut watch = Watch::of(vec![source("a"), source("b")]);
        let mut changed = || watch.changed().into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert!(changed().is_empty());
        write("a", "22");
        assert!(changed().is_empty(), "it may still be written");
        write("b", "333");
        assert!(changed().is_empty(), "something may still be written");
        assert_eq!(changed(), ["a", "b"]);
        assert!(changed().is_empty());
        fs::remove_file(dir.path().join("a")).unwrap();
        assert!(changed().is_empty());
        assert!(changed().is_empty(), "a file that is missing is being written");
        write("a", "4444");
        assert!(changed().is_empty());
        assert_eq!(changed(), ["a"]);
    }
}
