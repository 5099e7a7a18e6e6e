//! How much space stays free on the file system that takes the parts.

use std::{io, path::Path};

use crate::platform::disk::{self, Space};

/// The default: 1 GiB, or a twentieth of a smaller file system.
const DEFAULT_BYTES: u64 = 1 << 30;
const DEFAULT_SHARE: u64 = 20;

/// The space that is never used up, so that the host goes on working.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floor {
    bytes: Option<u64>,
}

impl Floor {
    /// No floor.
    pub const NONE: Self = Self { bytes: Some(0) };

    /// `bytes` stay free.
    pub const fn at_least(bytes: u64) -> Self {
        Self { bytes: Some(bytes) }
    }

    /// What is free at `path` for others than root, and what shall stay so. Where the file system does not know, the
    /// write itself will tell.
    ///
    /// # Errors
    /// The file system can't be asked.
    pub fn space(self, path: &Path) -> io::Result<(u64, u64)> {
        let Space {
            total_bytes: total,
            free_bytes: free,
        } = match disk::space(path) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok((u64::MAX, self.bytes.unwrap_or(0)));
            }
            other => other?,
        };
        let floor = self
            .bytes
            .unwrap_or(DEFAULT_BYTES.min(total / DEFAULT_SHARE));
        Ok((free, floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_at_most_a_gibibyte() {
        let folder = tempfile::tempdir().unwrap();
        let (_, floor) = Floor::default().space(folder.path()).unwrap();
        assert!(floor > 0 && floor <= DEFAULT_BYTES);
        assert_eq!(Floor::at_least(7).space(folder.path()).unwrap().1, 7);
    }

    #[test]
    fn where_nothing_is_known_the_write_itself_tells() {
        // As some drivers of sticks do.
        let unknown = Path::new("/proc");
        assert_eq!(Floor::default().space(unknown).unwrap(), (u64::MAX, 0));
        let asked = Floor::at_least(7).space(unknown).unwrap();
        assert_eq!(asked, (u64::MAX, 7));
    }
}
