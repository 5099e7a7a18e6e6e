//! Deleted and in-memory executables, copied while the process that holds them still lives.

use std::collections::BTreeSet;
use std::path::Path;

use evidence::gap::Reason;

use crate::artifacts::source::{number, reason_of};
use crate::artifacts::{Request, Sink, Stopped};
use crate::platform::procfs;

/// What one such file may weigh, and all of them together, unless the profile says otherwise.
const FILE_BYTES: u64 = 256 << 20;
const ALL_BYTES: u64 = 1 << 30;

/// Hands each such file over once, within limits: a memfd may claim a terabyte.
#[derive(Debug)]
pub(crate) struct Copies {
    seen: BTreeSet<(u64, u64)>,
    file_bytes: u64,
    left_bytes: u64,
}

impl Copies {
    /// With the limits of `request`.
    pub(crate) fn new(request: &Request<'_>) -> Self {
        Self {
            seen: BTreeSet::new(),
            file_bytes: number(request, "copy_file_bytes", FILE_BYTES),
            left_bytes: number(request, "copy_all_bytes", ALL_BYTES),
        }
    }

    /// Copies what `link` (below `/proc/PID`) leads to, under `name`; said to be `what` in a gap.
    pub(crate) fn take(
        &mut self,
        link: &Path,
        name: &str,
        sink: &mut dyn Sink,
    ) -> Result<(), Stopped> {
        let file = match procfs::identity(link) {
            // Nothing in it, or not a file to read: its record says that it is there.
            Ok(found) if found.size_bytes == 0 || !found.regular => return Ok(()),
            Ok(found) if !self.seen.insert((found.device, found.inode)) => return Ok(()),
            Ok(found) if found.size_bytes > self.file_bytes.min(self.left_bytes) => {
                let text = format!("{} bytes are more than may be copied", found.size_bytes);
                return sink.gap(name, Reason::Limit, &text);
            }
            Ok(found) => procfs::open_regular(link).map(|file| (file, found.size_bytes)),
            Err(error) => Err(error),
        };
        match file {
            Ok((file, size_bytes)) => {
                self.left_bytes = self.left_bytes.saturating_sub(size_bytes);
                sink.open_file(name, file)
            }
            Err(error) => {
                let reason = match reason_of(&error) {
                    Reason::NotFound => Reason::Vanished,
                    other => other,
                };
                sink.gap(name, reason, &error.to_string())
            }
        }
    }
}
