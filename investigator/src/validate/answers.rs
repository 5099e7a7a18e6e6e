//! The known answers: a disk, written down file by file, and what a collection from it must say.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use evidence::{digest::Digest, gap::Reason};
use serde::Deserialize;
use serde_json::{Map, Value};

const ANSWERS: &str = include_str!("answers.json");

/// The document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    /// What it is, for people.
    #[serde(rename = "about")]
    _about: String,
    /// The disk.
    pub(super) disk: Vec<Item>,
    /// What each artifact says, record by record. What has a `path` has the file's own facts beside.
    pub(super) records: BTreeMap<String, Vec<Map<String, Value>>>,
    /// What there is nothing of.
    pub(super) gaps: Vec<KnownGap>,
    /// The files that each artifact takes.
    pub(super) taken: BTreeMap<String, BTreeSet<String>>,
    /// Those of them that are recorded without their contents.
    pub(super) left_out: Vec<String>,
}

/// A gap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownGap {
    /// Of which artifact.
    pub(super) artifact: String,
    /// What is missing.
    pub(super) subject: String,
    /// Why.
    pub(super) reason: Reason,
}

/// One thing on the disk.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    /// Its path, as text.
    pub(super) path: String,
    /// Its exact bytes, base64, where the text isn't they.
    pub(super) path_b64: Option<String>,
    /// What it is.
    #[serde(flatten)]
    pub(super) content: Content,
    /// Permissions, octal.
    pub(super) mode: Option<String>,
    /// When it was last changed, RFC 3339.
    pub(super) modified: Option<String>,
    /// The digests of its content.
    #[serde(flatten)]
    pub(super) digests: Option<Digests>,
}

/// What something on the disk is.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    /// A hole of so many bytes, and a text after it.
    Hole {
        /// The hole.
        hole_bytes: u64,
        /// What comes after.
        text: String,
    },
    /// A text.
    Text {
        /// All of it.
        text: String,
    },
    /// Bytes.
    Bytes {
        /// Base64.
        base64: String,
    },
    /// A text again and again.
    Pattern {
        /// The text.
        pattern: String,
        /// Cut here.
        size_bytes: u64,
    },
    /// A link.
    Link {
        /// Where to.
        target: String,
    },
    /// A second name of a file.
    SecondName {
        /// The first.
        same_as: String,
    },
    /// A pipe.
    Pipe {
        /// It is one.
        #[serde(rename = "fifo")]
        _fifo: bool,
    },
}

/// The digests of a content, as other programs have computed them.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Digests {
    /// SHA-256.
    pub(super) sha256: Digest,
    /// SHA-1.
    pub(super) sha1: String,
    /// MD5.
    pub(super) md5: String,
}

impl Answers {
    /// The document that this program carries.
    ///
    /// # Errors
    /// It is malformed.
    pub(super) fn read() -> anyhow::Result<Self> {
        serde_json::from_str(ANSWERS).context("The known answers are malformed.")
    }

    /// The digest of the document.
    pub(super) fn digest() -> Digest {
        Digest::of(ANSWERS.as_bytes())
    }

    /// What lies at `path`, as text; what has two names, under the first.
    pub(super) fn item(&self, path: &str) -> Option<&Item> {
        let item = self.disk.iter().find(|item| item.path == path)?;
        match &item.content {
            Content::SecondName { same_as } => self.item(same_as),
            _ => Some(item),
        }
    }

    /// Where `path` leads, links of the disk followed.
    pub(super) fn led_to<'a>(&'a self, path: &'a str) -> &'a str {
        match self.item(path).map(|item| &item.content) {
            Some(Content::Link { target }) if target.starts_with('/') => self.led_to(target),
            _ => path,
        }
    }
}

impl Item {
    /// Its path below `root`, exact.
    pub(super) fn place(&self, root: &Path) -> PathBuf {
        let exact = self.path_b64.as_ref();
        let exact = exact.and_then(|b| data_encoding::BASE64.decode(b.as_bytes()).ok());
        root.join(below(
            exact.unwrap_or_else(|| self.path.clone().into_bytes()),
        ))
    }
}

/// A host path in its exact bytes, without the leading slash.
fn below(bytes: Vec<u8>) -> PathBuf {
    let path = PathBuf::from(OsString::from_vec(bytes));
    path.strip_prefix("/").map(Path::to_owned).unwrap_or(path)
}
