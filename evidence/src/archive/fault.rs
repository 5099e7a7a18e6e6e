//! Faults of an archive's form, each with a code that stays the same across versions.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What is wrong with an archive's form.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum FaultCode { $($(#[$doc])* $name,)* }

        impl FaultCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code in reports: stable.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

codes! {
    /// No end-of-directory record: cut short, or no ZIP.
    NoEnd = "zip-no-end",
    /// Bytes after the end.
    TrailingBytes = "zip-trailing-bytes",
    /// A comment, of the archive or of an entry.
    Comment = "zip-comment",
    /// More than one disk.
    Disks = "zip-disks",
    /// The zip64 records contradict the others, or are missing.
    Zip64 = "zip-zip64",
    /// The central directory isn't where, or as long as, the end record says.
    Directory = "zip-directory",
    /// The number of entries differs from the end record's.
    Count = "zip-count",
    /// The directory isn't in the order of the file.
    Order = "zip-order",
    /// Bytes that belong to no entry (before, between or after them).
    Gap = "zip-gap",
    /// Two entries share bytes.
    Overlap = "zip-overlap",
    /// The local header contradicts the central directory.
    LocalHeader = "zip-local-header",
    /// The data descriptor contradicts the central directory.
    Descriptor = "zip-descriptor",
    /// A method other than 0 and 8.
    Method = "zip-method",
    /// A flag other than bits 3 and 11 (encryption, patches, strong encryption).
    Flags = "zip-flags",
    /// An extra field other than zip64's.
    ExtraField = "zip-extra-field",
    /// Neither a regular file nor a permitted folder, or with set-id bits.
    FileType = "zip-file-type",
    /// A name that isn't UTF-8, or isn't marked as such.
    NameEncoding = "zip-name-encoding",
    /// A name that leads elsewhere or breaks the grammar.
    Name = "zip-name",
    /// Two entries of one name.
    Duplicate = "zip-duplicate",
    /// The contents aren't as long as said.
    Size = "zip-size",
    /// The contents don't match their CRC-32.
    Crc = "zip-crc",
    /// The contents don't inflate.
    Deflate = "zip-deflate",
    /// A limit of the reader was reached; what lies past it was not read.
    Limit = "zip-limit",
    /// There are more faults than are listed.
    More = "zip-more-faults",
}

/// One fault: what, where, and the figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub code: FaultCode,
    /// The entry, where it is about one. Hostile text: show it inert.
    pub entry: Option<String>,
    /// More for people. May hold hostile text.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.code(), self.detail)?;
        match &self.entry {
            // Debug form: control and bidi characters can't act on a terminal.
            Some(entry) => write!(f, " ({entry:?})"),
            None => Ok(()),
        }
    }
}

/// A list of faults that doesn't grow without end.
#[derive(Debug)]
pub(super) struct Faults {
    list: Vec<Fault>,
    limit: usize,
}

impl Faults {
    pub(super) fn new(limit: usize) -> Self {
        let list = Vec::new();
        Self { list, limit }
    }

    pub(super) fn add(&mut self, code: FaultCode, detail: impl Into<String>) {
        self.push(code, None, detail.into());
    }

    pub(super) fn add_to(&mut self, entry: &str, code: FaultCode, detail: impl Into<String>) {
        self.push(code, Some(entry.to_owned()), detail.into());
    }

    fn push(&mut self, code: FaultCode, entry: Option<String>, detail: String) {
        if self.list.len() < self.limit {
            self.list.push(Fault {
                code,
                entry,
                detail,
            });
        } else if self.list.len() == self.limit {
            let detail = "further faults are not listed".into();
            self.list.push(Fault {
                code: FaultCode::More,
                entry: None,
                detail,
            });
        }
    }

    pub(super) fn into_list(self) -> Vec<Fault> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_in_the_specification() {
        let format = include_str!("../../FORMAT.md");
        for code in FaultCode::ALL {
            assert!(format.contains(&format!("`{}`", code.code())), "{code:?}");
        }
    }

    #[test]
    fn the_list_does_not_grow_without_end() {
        let mut faults = Faults::new(2);
        (0..10).for_each(|_| faults.add(FaultCode::Gap, ""));
        let list = faults.into_list();
        assert_eq!((list.len(), list[2].code), (3, FaultCode::More));
    }
}
