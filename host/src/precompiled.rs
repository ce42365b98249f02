//! Compiled components kept on disk.
//!
//! Compiling takes most of a second a component; loading what an earlier start
//! compiled takes milliseconds. A file is used only when the engine is configured
//! as it was and the file's checksum holds. This module knows bytes and keys, and
//! nothing of what a component imports or exports.

use std::{
    fs,
    hash::{Hash as _, Hasher},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use crate::candidate;

/// Largest component accepted, in bytes.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// Compiled components kept: some versions back of each component of an application.
const KEPT_MAX: usize = 128;

/// A folder of compiled components.
#[derive(Debug, Clone)]
pub struct CompiledCache {
    dir: PathBuf,
}

impl CompiledCache {
    /// Uses `dir`, which is made with access for its owner only.
    ///
    /// # Errors
    /// When the folder cannot be made or its mode not be set.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        restrict_to_owner(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The compiled form of `bytes`, from the folder or compiled now and kept there.
    ///
    /// `hash` is the SHA-256 of `bytes` in hex.
    ///
    /// # Errors
    /// When the bytes are no valid component. A folder that cannot be read or
    /// written costs time, not the start.
    pub fn compile(&self, engine: &Engine, bytes: &[u8], hash: &str) -> wasmtime::Result<Component> {
        if bytes.len() > COMPONENT_BYTES_MAX {
            wasmtime::bail!("the component has {} bytes; at most {COMPONENT_BYTES_MAX} are accepted", bytes.len());
        }
        let path = self.path(engine, hash);
        if let Some(component) = load(engine, &path) {
            return Ok(component);
        }
        let component = Component::from_binary(engine, &candidate::as_release(bytes))?;
        let kept = self.keep(&component, &path);
        give_back_memory();
        match kept {
            // Code in a file is shared with the page cache; code from the compiler is not.
            Ok(()) => Ok(load(engine, &path).unwrap_or(component)),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a compiled component could not be kept");
                Ok(component)
            }
        }
    }

    fn path(&self, engine: &Engine, hash: &str) -> PathBuf {
        let mut configuration = Fnv::default();
        engine.precompile_compatibility_hash().hash(&mut configuration);
        self.dir.join(format!("{hash}-{:016x}.cwasm", configuration.finish()))
    }

    fn keep(&self, component: &Component, path: &Path) -> wasmtime::Result<()> {
        let code = component.serialize()?;
        write_atomically(&checksum_path(path), checksum(&code).as_bytes())?;
        write_atomically(path, &code)?;
        self.prune()?;
        Ok(())
    }

    /// Removes the oldest files where there are too many.
    fn prune(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "cwasm") {
                // Another host that shares the folder may have removed it meanwhile.
                let written = fs::metadata(&path).and_then(|metadata| metadata.modified());
                kept.extend(written.ok().map(|written| (written, path)));
            }
        }
        kept.sort();
        for (_, path) in kept.iter().take(kept.len().saturating_sub(KEPT_MAX)) {
            // What cannot be removed now is tried again with the next one.
            let _ = fs::remove_file(path);
            let _ = fs::remove_file(checksum_path(path));
        }
        Ok(())
    }
}

/// Returns to the system what the compiler used: hundreds of megabytes that the
/// allocator would hold on to, and that are never needed again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the only way to ask the allocator of the C library")]
fn give_back_memory() {
    // SAFETY: it takes no pointer and may be called at any time from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back_memory() {}

/// Loads a compiled component if its checksum holds; otherwise it is compiled anew.
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let code = fs::read(path).ok()?;
    let expected = fs::read_to_string(checksum_path(path)).ok()?;
    if checksum(&code) != expected {
        tracing::warn!(path = %path.display(), "a kept component is damaged and is compiled anew");
        return None;
    }
    match deserialize(engine, path) {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "a kept component is of no use and is compiled anew");
            None
        }
    }
}

#[expect(
    unsafe_code,
    reason = "machine code is loaded from a file: the folder is ours alone (mode 0700), the \
              file was written by `keep` and its checksum has just been verified"
)]
fn deserialize(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file holds what `Component::serialize` gave, see the reason above.
    unsafe { Component::deserialize_file(engine, path) }
}

fn checksum_path(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

fn checksum(code: &[u8]) -> String {
    hex(&Sha256::digest(code))
}

/// The SHA-256 of a component's bytes, in hex: what versions are known by.
#[must_use]
pub fn content_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes a file that appears whole or not at all.
fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Several hosts may share the folder: each writes a temporary file of its own.
    let temporary = path.with_extension(format!("{}-{:?}.tmp", std::process::id(), std::thread::current().id()));
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

#[cfg(unix)]
fn restrict_to_owner(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn restrict_to_owner(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// FNV-1a: a hash that, unlike the standard library's, is the same in every build,
/// so that kept files survive an update of the compiler.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
