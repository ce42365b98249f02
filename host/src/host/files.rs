//! The files that a component is granted, as folders that can be opened.
//!
//! A folder is opened where it is. Single files, patterns, and folders that the
//! component is to see as one are copied to a folder of its own first, as Spin does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::manifest::{Application, Component};

/// Folders of the host and where the component sees them.
///
/// # Errors
/// When a file is missing or cannot be copied.
pub(super) fn folders(
    application: &Application,
    component: &Component,
    data_dir: &Path,
) -> Result<Vec<(PathBuf, String)>, String> {
    if are_folders_apart(application, component) {
        let folders = component.files.iter();
        return Ok(folders.map(|files| (application.dir.join(&files.source), files.destination.clone())).collect());
    }
    let copies = data_dir.join("files").join(&component.id);
    copy_all(application, component, &copies)?;
    Ok(vec![(copies, "/".to_owned())])
}

/// Whether the component is granted whole folders, none within another.
fn are_folders_apart(application: &Application, component: &Component) -> bool {
    let destinations: Vec<&Path> = component.files.iter().map(|files| Path::new(&files.destination)).collect();
    let within = |inner: usize, outer: usize| {
        inner != outer && destinations.get(inner).zip(destinations.get(outer)).is_some_and(|(i, o)| i.starts_with(o))
    };
    let count = destinations.len();
    component.exclude_files.is_empty()
        && component.files.iter().all(|files| !files.pattern && application.dir.join(&files.source).is_dir())
        && !(0..count).any(|inner| (0..count).any(|outer| within(inner, outer)))
}

fn copy_all(application: &Application, component: &Component, copies: &Path) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("cannot copy to {}: {error}", path.display());
    let files = application.mounted_files(component).map_err(|problems| problems.to_string())?;
    if copies.exists() {
        fs::remove_dir_all(copies).map_err(|error| failed(copies, error))?;
    }
    fs::create_dir_all(copies).map_err(|error| failed(copies, error))?;
    for file in files {
        let target = copies.join(file.destination.trim_start_matches('/'));
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        }
        fs::copy(&file.source, &target).map_err(|error| failed(&target, error))?;
    }
    Ok(())
}
