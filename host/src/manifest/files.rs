//! The files a manifest points to: whether they exist, and what a component sees of them.

use std::path::{Component as PathPart, Path, PathBuf};

use super::{Application, Component, Files, Problem, Problems, Source};

/// Files that one component may see.
const FILES_MAX: usize = 10_000;
/// Folders within folders.
const DEPTH_MAX: usize = 32;

/// One file of the host and where a component sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountedFile {
    /// Absolute path in the component.
    pub destination: String,
    /// Path on the host.
    pub source: PathBuf,
}

impl Application {
    /// Looks whether every file that the manifest names is there.
    ///
    /// # Errors
    ///
    /// One problem for each that is not.
    pub fn check_files(&self) -> Result<(), Problems> {
        let mut problems = Vec::new();
        for component in &self.components {
            // What is elsewhere is looked for when the application starts.
            if let Source::File(path) = &component.source
                && let Err(message) = check_source(&self.dir.join(path))
            {
                let message = format!("component `{}`: {message}", component.id);
                let at = component.source_at;
                problems.push(Problem { at, message });
            }
            problems.extend(self.mount(component).err().unwrap_or_default());
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Problems::new(&self.file, problems))
    }

    /// The files that `component` sees, by their path in it.
    ///
    /// # Errors
    ///
    /// If a folder or file is missing or unreadable, or there are too many.
    pub fn mounted_files(&self, component: &Component) -> Result<Vec<MountedFile>, Problems> {
        self.mount(component).map_err(|problems| Problems::new(&self.file, problems))
    }

    fn mount(&self, component: &Component) -> Result<Vec<MountedFile>, Vec<Problem>> {
        let mut mounted = Vec::new();
        let mut problems = Vec::new();
        for files in &component.files {
            if let Err(message) = expand(&self.dir, files, &mut mounted) {
                let message = format!("component `{}`: {message}", component.id);
                problems.push(Problem { at: files.at, message });
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let excluded = excluded(&component.exclude_files);
        mounted.retain(|file| {
            let below = below(&self.dir, &file.source);
            !excluded.iter().any(|pattern| pattern.matches_path(below))
        });
        mounted.sort();
        mounted.dedup_by(|later, earlier| later.destination == earlier.destination);
        Ok(mounted)
    }
}

/// Whether `pattern` may stand in `files` as a string, else the end of a sentence about it.
pub(super) fn check_pattern(pattern: &str) -> Result<(), String> {
    let path = Path::new(pattern);
    if pattern.is_empty() || path.has_root() {
        return Err("must be a path relative to the manifest".to_owned());
    }
    if path.components().any(|part| part == PathPart::ParentDir) {
        return Err("leaves the folder of the manifest; use `{ source, destination }`".to_owned());
    }
    if matches!(path.components().next_back(), None | Some(PathPart::CurDir)) {
        return Err("names a folder; write `**/*`, or use `{ source, destination }`".to_owned());
    }
    glob::Pattern::new(pattern).map(|_| ()).map_err(|error| format!("is no valid pattern: {}", error.msg))
}

fn check_source(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(format!("{shown} is no file; give the path of a `.wasm` file")),
        Err(error) => Err(format!("{shown}: {error}; build the component first")),
    }
}

fn excluded(patterns: &[String]) -> Vec<glob::Pattern> {
    patterns.iter().filter_map(|pattern| glob::Pattern::new(pattern.trim_start_matches("./")).ok()).collect()
}

/// A path as it is below the manifest's folder. What matches a pattern in the current
/// folder comes without that folder's name.
fn below<'a>(dir: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(dir).unwrap_or(path)
}

fn expand(dir: &Path, files: &Files, mounted: &mut Vec<MountedFile>) -> Result<(), String> {
    let source = dir.join(&files.source);
    if files.pattern {
        return expand_pattern(dir, &files.source.to_string_lossy(), mounted);
    }
    let metadata = std::fs::metadata(&source).map_err(|e| format!("{}: {e}", source.display()))?;
    if metadata.is_dir() {
        return expand_folder(&source, files.destination.trim_end_matches('/'), 0, mounted);
    }
    mount_file(source, files.destination.clone(), mounted)
}

/// Files that match keep their path below the manifest's folder.
fn expand_pattern(dir: &Path, pattern: &str, mounted: &mut Vec<MountedFile>) -> Result<(), String> {
    let is_glob = glob::Pattern::escape(pattern) != pattern;
    if !is_glob && !dir.join(pattern).exists() {
        return Err(format!("{} does not exist", dir.join(pattern).display()));
    }
    // A plain folder means everything in it.
    let everything = if dir.join(pattern).is_dir() { "/**/*" } else { "" };
    let escaped = glob::Pattern::escape(&dir.to_string_lossy());
    let paths = glob::glob(&format!("{escaped}/{pattern}{everything}"))
        .map_err(|error| format!("\"{pattern}\" is no valid pattern: {}", error.msg))?;
    for path in paths {
        let path = path.map_err(|error| error.to_string())?;
        if path.is_file() {
            let destination = format!("/{}", below(dir, &path).display());
            mount_file(path, destination, mounted)?;
        }
    }
    Ok(())
}

fn expand_folder(folder: &Path, destination: &str, depth: usize, mounted: &mut Vec<MountedFile>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    if depth == DEPTH_MAX {
        return Err(format!("{} is deeper than {DEPTH_MAX} folders", folder.display()));
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let destination = format!("{destination}/{name}");
        if path.is_dir() {
            expand_folder(&path, &destination, depth + 1, mounted)?;
        } else {
            mount_file(path, destination, mounted)?;
        }
    }
    Ok(())
}

fn mount_file(source: PathBuf, destination: String, mounted: &mut Vec<MountedFile>) -> Result<(), String> {
    if mounted.len() == FILES_MAX {
        return Err(format!("a component sees at most {FILES_MAX} files"));
    }
    mounted.push(MountedFile { destination, source });
    Ok(())
}
