//! Key files: PEM, PKCS #8 for private keys and SPKI for public ones.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes,
        spki::der::pem::LineEnding,
    },
};

use super::KeyError;

/// How the names of public keys in a folder end.
const PUBLIC_EXTENSIONS: [&str; 2] = ["pub", "pem"];

/// A public key whose components may run.
#[derive(Debug)]
pub(super) struct TrustedKey {
    /// Its file's name.
    pub name: String,
    pub key: VerifyingKey,
}

/// The trusted keys in a file or folder; at least one.
pub(super) fn read_trusted(path: PathBuf) -> Result<Vec<TrustedKey>, KeyError> {
    if !path.is_dir() {
        return Ok(vec![read_public(&path)?]);
    }
    let unreadable = |error| KeyError::Read { path: path.clone(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(&path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| PUBLIC_EXTENSIONS.contains(&extension)) {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(KeyError::None(path));
    }
    files.sort();
    files.iter().map(|file| read_public(file)).collect()
}

fn read(path: &Path) -> Result<String, KeyError> {
    fs::read_to_string(path).map_err(|error| KeyError::Read { path: path.to_owned(), error })
}

fn read_public(path: &Path) -> Result<TrustedKey, KeyError> {
    let key = VerifyingKey::from_public_key_pem(&read(path)?)
        .map_err(|_| KeyError::Form { path: path.to_owned(), kind: "public" })?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(TrustedKey { name, key })
}

/// The private key in a file.
///
/// # Errors
/// When the file cannot be read or holds no such key.
pub fn read_private(path: &Path) -> Result<SigningKey, KeyError> {
    SigningKey::from_pkcs8_pem(&read(path)?).map_err(|_| KeyError::Form { path: path.to_owned(), kind: "private" })
}

/// Writes a new key: the private one to `path`, for its owner only, and the public one
/// beside it with `.pub` at its end. Gives the name of the public one.
///
/// # Errors
/// When one of the files exists or cannot be written.
pub fn generate(path: &Path) -> Result<PathBuf, KeyError> {
    let mut seed = [0; ed25519_dalek::SECRET_KEY_LENGTH];
    getrandom::fill(&mut seed).map_err(KeyError::Random)?;
    let key = SigningKey::from_bytes(&seed);
    // Without the public key in it: so old versions of OpenSSL read it too.
    let pair = KeypairBytes { secret_key: seed, public_key: None };
    let public = PathBuf::from(format!("{}.pub", path.display()));
    let unencodable = |path: &Path| KeyError::Write { path: path.to_owned(), error: io::ErrorKind::InvalidData.into() };
    let private_pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(|_| unencodable(path))?;
    let public_pem = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|_| unencodable(&public))?;
    write_new(path, private_pem.as_bytes(), 0o600)?;
    write_new(&public, public_pem.as_bytes(), 0o644)?;
    Ok(public)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| KeyError::Write { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::{Policy, SignatureError, sign};

    fn component() -> Vec<u8> {
        wat::parse_str("(component)").unwrap()
    }

    #[test]
    fn a_generated_key_signs_what_its_public_part_trusts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cairn.key");
        let public = generate(&path).unwrap();
        let signed = sign(&component(), &read_private(&path).unwrap()).unwrap();
        assert_eq!(Policy::trusting(&public).unwrap().check(&signed), Ok(()));
        assert_eq!(Policy::trusting(dir.path()).unwrap().check(&signed), Ok(()));
        let other = dir.path().join("other.key");
        generate(&other).unwrap();
        let foreign = sign(&component(), &read_private(&other).unwrap()).unwrap();
        assert_eq!(Policy::trusting(&public).unwrap().check(&foreign), Err(SignatureError::Untrusted));
    }

    #[cfg(unix)]
    #[test]
    fn a_private_key_is_for_its_owner_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cairn.key");
        generate(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&path).unwrap();
        assert!(matches!(generate(&path), Err(KeyError::Write { .. })));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn files_that_are_no_keys_are_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Policy::trusting(dir.path()), Err(KeyError::None(_))));
        let path = dir.path().join("wrong.pub");
        fs::write(&path, "no key").unwrap();
        let error = Policy::trusting(dir.path()).unwrap_err().to_string();
        assert!(error.contains("wrong.pub is no Ed25519 public key"), "{error}");
        assert!(matches!(read_private(&path), Err(KeyError::Form { kind: "private", .. })));
        assert!(matches!(Policy::trusting(dir.path().join("none")), Err(KeyError::Read { .. })));
    }

    #[test]
    fn a_key_that_openssl_made_is_read() {
        // The example of RFC 8410, which everybody knows; `openssl genpkey` writes the same form.
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let dir = tempfile::tempdir().unwrap();
        let (key, trusted) = (dir.path().join("k"), dir.path().join("k.pub"));
        fs::write(&key, private).unwrap();
        fs::write(&trusted, public).unwrap();
        let signed = sign(&component(), &read_private(&key).unwrap()).unwrap();
        assert_eq!(Policy::trusting(&trusted).unwrap().check(&signed), Ok(()));
    }
}
