//! `/proc/PID/fd`: what a process has open.

use std::io::{Error, Result};
use std::path::Path;

use serde_json::{Value, json};

use crate::platform::procfs;

/// More open files of one process than are listed.
const MOST: usize = 16_384;

/// One open descriptor.
#[derive(Debug, Clone)]
pub(crate) struct Descriptor {
    pub(crate) number: u32,
    pub(crate) target: Vec<u8>,
}

impl Descriptor {
    /// The socket's inode, if it is one.
    pub(crate) fn socket(&self) -> Option<u64> {
        let text = std::str::from_utf8(&self.target).ok()?;
        let number = text.strip_prefix("socket:[")?.strip_suffix(']')?;
        number.parse().ok()
    }

    /// Whether it is a file that only ever lived in memory.
    pub(crate) fn in_memory(&self) -> bool {
        self.target.starts_with(b"/memfd:")
    }

    /// As it stands in a record.
    pub(crate) fn describe(&self) -> Value {
        let mut told = json!({
            "fd": self.number,
            "target": String::from_utf8_lossy(&self.target),
            "deleted": self.target.ends_with(b" (deleted)"),
        });
        if std::str::from_utf8(&self.target).is_err() {
            told["target_b64"] = data_encoding::BASE64.encode(&self.target).into();
        }
        told
    }
}

/// The open descriptors of the process at `process`; whether some were left out; and the first
/// error that was not a descriptor closed meanwhile.
pub(crate) fn list(process: &Path) -> Result<(Vec<Descriptor>, bool, Option<Error>)> {
    let folder = process.join("fd");
    let numbers = procfs::pids(&folder)?;
    let cut = numbers.len() > MOST;
    let mut open = Vec::new();
    let mut failed = None;
    for number in numbers.into_iter().take(MOST) {
        match procfs::link(&folder.join(number.to_string())) {
            Ok((_, target)) => open.push(Descriptor { number, target }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Ok((open, cut, failed))
}
