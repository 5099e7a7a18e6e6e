//! What a reader is willing to spend on an archive from a stranger; all checked while streaming.

use crate::names;

/// Limits of a reader. There is no limit on ratios: zeros at 1,000:1 are genuine evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Plain bytes of a part, all entries together.
    pub plain_bytes: u64,
    /// Entries of a part.
    pub entries: u64,
    /// Plain bytes of one entry that isn't content from the host.
    pub record_file_bytes: u64,
    /// Bytes of the central directory, which is held in memory.
    pub directory_bytes: u64,
    /// Faults that are named; what comes after is only said to be more.
    pub faults: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            plain_bytes: 8 << 30,
            entries: 200_000,
            record_file_bytes: 64_000_000,
            directory_bytes: 64 << 20,
            faults: 1_000,
        }
    }
}

impl Limits {
    /// The most plain bytes that the entry `name` may have.
    pub fn entry_bytes(&self, name: &str) -> u64 {
        if names::is_content(name) {
            self.plain_bytes
        } else {
            self.record_file_bytes
        }
    }
}
