//! Compiled components kept on disk.
//!
//! Compiling takes most of a second a component; loading what an earlier start
//! compiled takes milliseconds. A file is used only when the engine is configured
//! as it was, the file is this user's alone to write, and its checksum holds. This
//! module knows bytes and keys, and nothing of what a component imports or exports.

use std::{
    fs,
    hash::{Hash as _, Hasher},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use crate::{
    candidate,
    compiler::{CompileError, Compiler},
};

/// Largest component accepted, in bytes.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// Compiled components kept: some versions back of each component of an application.
const KEPT_MAX: usize = 128;

/// A folder of compiled components.
#[derive(Debug, Clone)]
pub struct CompiledCache {
    dir: PathBuf,
    compiler: Compiler,
}

impl CompiledCache {
    /// Uses `dir`, which is made with access for its owner only, for what `compiler` makes.
    ///
    /// # Errors
    /// When the folder cannot be made or its mode not be set.
    pub fn open(dir: &Path, compiler: Compiler) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        restrict_to_owner(dir)?;
        Ok(Self { dir: dir.to_owned(), compiler })
    }

    /// The compiled form of `bytes`, from the folder or compiled now and kept there.
    ///
    /// `hash` is the SHA-256 of `bytes` in hex.
    ///
    /// # Errors
    /// When the bytes cannot be compiled. A folder that cannot be read or written costs
    /// time, not the start.
    pub fn compile(&self, engine: &Engine, bytes: &[u8], hash: &str) -> wasmtime::Result<Component> {
        if bytes.len() > COMPONENT_BYTES_MAX {
            let refusal =
                format!("the component has {} bytes; at most {COMPONENT_BYTES_MAX} are accepted", bytes.len());
            return Err(CompileError::Invalid(refusal).into());
        }
        let path = self.path(engine, hash);
        if let Some(component) = load(engine, &path) {
            return Ok(component);
        }
        let code = self.compiler.compile(engine, &candidate::as_release(bytes))?;
        if let Err(error) = self.keep(&code, &path) {
            tracing::warn!(%error, path = %path.display(), "a compiled component could not be kept");
            return deserialize(engine, &code);
        }
        // Code in a file is shared with the page cache; code in memory is not.
        load(engine, &path).map_or_else(|| deserialize(engine, &code), Ok)
    }

    fn path(&self, engine: &Engine, hash: &str) -> PathBuf {
        let mut configuration = Fnv::default();
        engine.precompile_compatibility_hash().hash(&mut configuration);
        self.dir.join(format!("{hash}-{:016x}.cwasm", configuration.finish()))
    }

    fn keep(&self, code: &[u8], path: &Path) -> io::Result<()> {
        write_atomically(&checksum_path(path), checksum(code).as_bytes())?;
        write_atomically(path, code)?;
        self.prune()
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

/// Loads a compiled component if its checksum holds; otherwise it is compiled anew.
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let code = fs::read(path).ok()?;
    let expected = fs::read_to_string(checksum_path(path)).ok()?;
    if !is_ours(path) {
        tracing::warn!(path = %path.display(), "a kept component could have been written by others and is compiled anew");
        return None;
    }
    if checksum(&code) != expected {
        tracing::warn!(path = %path.display(), "a kept component is damaged and is compiled anew");
        return None;
    }
    match deserialize_file(engine, path) {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "a kept component is of no use and is compiled anew");
            None
        }
    }
}

#[expect(
    unsafe_code,
    reason = "machine code is loaded from a file: the folder and the file are ours alone to \
              write, the file was written by `keep` and its checksum has just been verified"
)]
fn deserialize_file(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file holds what our compiler gave, see the reason above.
    unsafe { Component::deserialize_file(engine, path) }
}

#[expect(
    unsafe_code,
    reason = "machine code is loaded that our own compiler gave just now, with its checksum verified"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what our compiler gave, see the reason above.
    unsafe { Component::deserialize(engine, code) }
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
    let mut file = create_for_owner(&temporary)?;
    file.write_all(bytes)?;
    drop(file);
    fs::rename(&temporary, path)
}

#[cfg(unix)]
fn create_for_owner(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_for_owner(path: &Path) -> io::Result<fs::File> {
    fs::File::create(path)
}

#[cfg(unix)]
fn restrict_to_owner(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

/// Whether only this user can have written a file.
#[cfg(unix)]
#[expect(unsafe_code, reason = "the standard library does not tell which user a process runs as")]
fn is_ours(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    // SAFETY: it takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    fs::metadata(path).is_ok_and(|file| file.uid() == user && file.mode() & WRITABLE_BY_OTHERS == 0)
}

#[cfg(not(unix))]
fn is_ours(_path: &Path) -> bool {
    true
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
