//! The operator's socket: a file that only the user who runs the host can open.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use crate::server::Listener;

/// Longest path of a socket, in bytes; the operating system sets it.
pub const SOCKET_PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error(
        "the path of the operator's socket, {}, has more than {SOCKET_PATH_BYTES_MAX} bytes; \
         choose a shorter one with --socket", .0.display()
    )]
    TooLong(PathBuf),
    #[error("a host is running already: it listens at {}; use another --data folder, or another --socket", .0.display())]
    InUse(PathBuf),
    #[error("{} is no socket and was left alone; choose another --socket", .0.display())]
    Other(PathBuf),
    #[error("the operator's socket {} cannot be made: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// A socket's file, removed with the value.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    /// Device and inode: another host may have put its own in the place of ours.
    file: (u64, u64),
}

impl Socket {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // What cannot be removed is found to be nobody's at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Client = ();

    async fn accept(&self) -> io::Result<(UnixStream, ())> {
        UnixListener::accept(self).await.map(|(stream, _)| (stream, ()))
    }
}

/// Listens at `path`, in the place of a socket that a host left behind.
///
/// # Errors
/// See [`SocketError`].
pub fn listen(path: &Path) -> Result<(Socket, UnixListener), SocketError> {
    let while_made = folder(path).join(".123456/s");
    if path.as_os_str().len().max(while_made.as_os_str().len()) > SOCKET_PATH_BYTES_MAX {
        return Err(SocketError::TooLong(path.to_owned()));
    }
    check_free(path)?;
    bind(path).map_err(|error| SocketError::Io { path: path.to_owned(), error })
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Refuses a path at which somebody listens, or that is something else.
fn check_free(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => Err(SocketError::Other(path.to_owned())),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(SocketError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(SocketError::Io { path: path.to_owned(), error }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(SocketError::Io { path: path.to_owned(), error }),
    }
}

/// Binds in a folder that nobody else can enter and moves the socket from there, so
/// that at no moment others could connect, and a stale one is replaced at once.
fn bind(path: &Path) -> io::Result<(Socket, UnixListener)> {
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    let private = tempfile::Builder::new().prefix(".").rand_bytes(6).tempdir_in(folder)?;
    let made = private.path().join("s");
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
    fs::rename(&made, path)?;
    Ok((Socket { path: path.to_owned(), file: identity(path)? }, listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_its_owners_alone_and_goes_with_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("operator.sock");
        let (socket, _listener) = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left there");
        UnixStream::connect(socket.path()).await.unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_a_killed_host_left_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.sock");
        let (socket, listener) = listen(&path).unwrap();
        assert!(matches!(listen(&path), Err(SocketError::InUse(_))));
        drop(listener);
        std::mem::forget(socket);
        let (_socket, _listener) = listen(&path).unwrap();
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn another_hosts_socket_in_our_place_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.sock");
        let (first, listener) = listen(&path).unwrap();
        drop(listener);
        let (_second, _listener) = listen(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_a_socket_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(matches!(listen(&file), Err(SocketError::Other(_))));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        let long = dir.path().join("x".repeat(SOCKET_PATH_BYTES_MAX));
        let error = listen(&long).unwrap_err().to_string();
        assert!(error.ends_with("bytes; choose a shorter one with --socket"), "{error}");
    }
}
