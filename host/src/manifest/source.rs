//! Where the code of a component is: a file, or one at a URL that is known by its digest.

use std::{net::IpAddr, path::PathBuf};

use http::Uri;
use toml::de::DeValue;

use super::{
    problem::Report,
    section::{At, Section},
};

/// Where the code of a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A `.wasm` file; relative to the manifest.
    File(PathBuf),
    /// A file elsewhere, which does not change.
    Remote(Remote),
}

impl Default for Source {
    fn default() -> Self {
        Self::File(PathBuf::new())
    }
}

/// A file at a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// By `https`, or by `http` from this machine.
    pub url: Uri,
    /// SHA-256 of the file, in lower case hex.
    pub sha256: String,
}

/// What `tool.cairn.source` names, else what `source` does; and where.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    own: Option<At<String>>,
) -> Option<At<Source>> {
    let remote = section.value("source").filter(|value| matches!(value.get_ref(), DeValue::Table(_)));
    match (own, remote) {
        (Some(own), Some(_)) => Some(file(own, report)),
        (Some(own), None) => {
            section.string(report, "source");
            Some(file(own, report))
        }
        (None, Some(_)) => {
            let component = section.name().to_owned();
            let mut table = section.section(report, "source")?.renamed(format!("the source of {component}"));
            let (remote, span) = (read_remote(&mut table, report), table.span());
            table.finish(report);
            Some(At { value: Source::Remote(remote?), span })
        }
        (None, None) => {
            section.required_string(report, "source", "\"path/to/file.wasm\"").map(|path| file(path, report))
        }
    }
}

fn file(path: At<String>, report: &mut Report<'_>) -> At<Source> {
    if path.value.is_empty() {
        report.add(&path.span, "the path is empty; give the path of a `.wasm` file");
    }
    At { value: Source::File(path.value.into()), span: path.span }
}

fn read_remote(table: &mut Section<'_, '_>, report: &mut Report<'_>) -> Option<Remote> {
    if table.has("registry") || table.has("package") {
        for key in ["registry", "package", "version"] {
            table.ignore(key);
        }
        let message = format!("{} is in a registry, which is not supported; give its `url` and `digest`", table.name());
        report.add(&table.span(), message);
        return None;
    }
    let url = table.required_string(report, "url", "\"https://…\"");
    let digest = table.required_string(report, "digest", "\"sha256:…\"");
    let url = url.and_then(|url| match parse_url(&url.value) {
        Ok(parsed) => Some(parsed),
        Err(problem) => {
            report.add(&url.span, format!("the URL \"{}\" {problem}", url.value));
            None
        }
    });
    let sha256 = digest.and_then(|digest| {
        let sha256 = parse_digest(&digest.value);
        if sha256.is_none() {
            let message = format!(
                "digest \"{}\" must be `sha256:` and the file's SHA-256 in 64 hexadecimal digits",
                digest.value
            );
            report.add(&digest.span, message);
        }
        sha256
    });
    Some(Remote { url: url?, sha256: sha256? })
}

/// The URL, or the end of a sentence about it.
fn parse_url(text: &str) -> Result<Uri, &'static str> {
    let url: Uri = text.parse().map_err(|_| "cannot be understood")?;
    let host = url.host().unwrap_or_default();
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("has a user name; leave credentials out of it");
    }
    match url.scheme_str() {
        Some("https") if !host.is_empty() => Ok(url),
        Some("http") if is_this_machine(host) => Ok(url),
        Some("http") => Err("is not encrypted; only a server on this machine may be reached by `http`, so use `https`"),
        _ => Err("must begin with `https://` and a host"),
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn parse_digest(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:")?;
    let valid = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    valid.then(|| digits.to_ascii_lowercase())
}
