//! From the host's small files to values in a record; a failed read becomes a reason, never an empty value.

use std::ffi::{CStr, OsStr, OsString};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use evidence::gap::Reason;
use evidence::instant::Instant;
use serde_json::Value;

use super::{Record, Request, Sink, Stopped};
use crate::{
    files::open::resolve,
    platform::{names::OsStrExt as _, procfs, tree},
};

/// Why a dead disk has nothing of an artifact.
pub(crate) const NOT_RUNNING: &str =
    "only a running system tells this, and this is a disk whose system does not run";

/// What a failed read of the host means in a gap.
pub(crate) fn reason_of(error: &Error) -> Reason {
    const ESRCH: i32 = 3;
    match error.kind() {
        _ if error.raw_os_error() == Some(ESRCH) => Reason::Vanished,
        ErrorKind::NotFound => Reason::NotFound,
        ErrorKind::PermissionDenied => Reason::PermissionDenied,
        ErrorKind::Unsupported => Reason::Unsupported,
        ErrorKind::InvalidInput => Reason::Replaced,
        _ => Reason::ReadError,
    }
}

/// Where on this machine the host's `path` lies. In the tree of a dead disk links are followed by hand, so that none
/// leads out of it; a running host's are the kernel's to follow.
pub(crate) fn place(request: &Request<'_>, path: impl AsRef<Path>) -> Result<PathBuf, Error> {
    let path = path.as_ref();
    let within = |path: &Path| request.root.join(path.strip_prefix("/").unwrap_or(path));
    match request.is_running {
        true => Ok(within(path)),
        false => Ok(within(&resolve(request.root, path)?)),
    }
}

/// Says of what only a running system tells that a dead disk has nothing of it.
pub(crate) fn not_running(subject: &str, sink: &mut dyn Sink) -> Result<(), Stopped> {
    sink.gap(subject, Reason::NotApplicable, NOT_RUNNING)
}

/// The bytes of the host's file at `path`, at most `cap` of them. That it is not there is an
/// answer where `optional`; everything else that fails is a gap.
pub(crate) fn bytes(
    request: &Request<'_>,
    path: &str,
    cap: usize,
    optional: bool,
    sink: &mut dyn Sink,
) -> Result<Option<Vec<u8>>, Stopped> {
    match place(request, path).and_then(|place| procfs::read_capped(&place, cap)) {
        Ok(read) => {
            if read.cut {
                sink.gap(
                    path,
                    Reason::Limit,
                    &format!("only its first {cap} bytes were read"),
                )?;
            }
            Ok(Some(read.bytes))
        }
        Err(error) if optional && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            sink.gap(path, reason_of(&error), &error.to_string())?;
            Ok(None)
        }
    }
}

/// As [`bytes`], as text for people.
pub(crate) fn text(
    request: &Request<'_>,
    path: &str,
    cap: usize,
    optional: bool,
    sink: &mut dyn Sink,
) -> Result<Option<String>, Stopped> {
    let read = bytes(request, path, cap, optional, sink)?;
    Ok(read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The names in the host's folder at `path`, in order; `None` where there is no such folder. Whatever
/// else fails is a gap, also halfway.
pub(crate) fn names(
    request: &Request<'_>,
    path: impl AsRef<Path>,
    sink: &mut dyn Sink,
) -> Result<Option<Vec<OsString>>, Stopped> {
    let path = path.as_ref();
    let folder = match place(request, path).and_then(|place| Ok(tree::open_root(&place)?)) {
        Ok(folder) => folder,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            sink.gap(path, reason_of(&error), &error.to_string())?;
            return Ok(Some(Vec::new()));
        }
    };
    let mut names = Vec::new();
    loop {
        match tree::next_names(&folder) {
            Ok(more) if more.is_empty() => break,
            Ok(more) => names.extend(more.into_iter().map(|e| name_of(&e.name))),
            Err(error) => {
                let error = Error::from(error);
                sink.gap(path, reason_of(&error), &error.to_string())?;
                break;
            }
        }
    }
    names.sort();
    Ok(Some(names))
}

fn name_of(name: &CStr) -> OsString {
    OsStr::from_bytes(name.to_bytes()).to_owned()
}

/// Whether the host has a procfs; if not, one gap says so.
pub(crate) fn has_procfs(request: &Request<'_>, sink: &mut dyn Sink) -> Result<bool, Stopped> {
    match procfs::present(&request.root.join("proc")) {
        Ok(()) => Ok(true),
        Err(error) => {
            let text = format!("no list of processes: {error}");
            sink.gap("/proc", reason_of(&error), &text)?;
            Ok(false)
        }
    }
}

/// Puts `value` under `key`.
pub(crate) fn put(record: &mut Record, key: &str, value: impl Into<Value>) {
    record.insert(key.to_owned(), value.into());
}

/// Puts `bytes` as text under `key`, and exactly under `key_b64` where the text isn't they.
pub(crate) fn put_bytes(record: &mut Record, key: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if matches!(text, std::borrow::Cow::Owned(_)) {
        let exact = data_encoding::BASE64.encode(bytes);
        record.insert(format!("{key}_b64"), exact.into());
    }
    record.insert(key.to_owned(), text.into_owned().into());
}

/// Puts the lines of `bytes` as texts under `key`, and all of them exactly under `key_b64` where the
/// texts aren't they.
pub(crate) fn put_lines(record: &mut Record, key: &str, bytes: &[u8]) {
    put_bytes(record, key, bytes);
    let text = String::from_utf8_lossy(bytes);
    put(record, key, text.lines().collect::<Vec<_>>());
}

/// A time as records hold it.
pub(crate) fn time(seconds: i64, ns: u32) -> Value {
    serde_json::to_value(Instant { seconds, ns }).unwrap_or(Value::Null)
}

/// The number option `name`, or `otherwise`.
pub(crate) fn number(request: &Request<'_>, name: &str, otherwise: u64) -> u64 {
    let given = request.options.get(name).and_then(Value::as_u64);
    given.unwrap_or(otherwise)
}

/// Whether the option `name` is on.
pub(crate) fn on(request: &Request<'_>, name: &str) -> bool {
    request.options.get(name).and_then(Value::as_bool) == Some(true)
}

/// The text of a file that holds one small fact.
pub(crate) fn small(request: &Request<'_>, path: &str) -> std::io::Result<String> {
    let read = procfs::read_capped(&place(request, path)?, 1 << 16)?;
    Ok(String::from_utf8_lossy(&read.bytes).into_owned())
}
