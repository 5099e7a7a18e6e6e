//! A set of digests to look for: up to 100,000, each found in constant time.

use std::collections::HashSet;

use data_encoding::HEXLOWER_PERMISSIVE;
use evidence::digest::Digest;

use super::asked::{Fault, Options};
use crate::files::digest::Wanted;

/// Digests of one hunt: some MiB of memory.
const MOST: usize = 100_000;
/// How many bytes of a SHA-256 name it: among 100,000, a file fits one by chance once in 10^14.
const HEAD_BYTES: usize = 8;

/// The digests, one of which fits.
#[derive(Debug, Default)]
pub(super) struct Digests {
    sha256: HashSet<[u8; 32]>,
    heads: HashSet<[u8; HEAD_BYTES]>,
    md5: HashSet<[u8; 16]>,
    sha1: HashSet<[u8; 20]>,
}

impl Digests {
    /// Those of `options`; `None` where there are none.
    pub(super) fn read(options: Options<'_>) -> Result<Option<Self>, Fault> {
        let mut read = Self::default();
        let (mut count, mut is_given) = (0, false);
        for option in ["sha256", "md5", "sha1"] {
            let Some(words) = options.words(option)? else {
                continue;
            };
            is_given = true;
            count += words.len();
            if count > MOST {
                return Err(Fault::new(option, "there are more than 100,000 digests"));
            }
            for word in words {
                let taken = read.take(option, word);
                taken.ok_or_else(|| Fault::unfit(option, word, "digest of this kind"))?;
            }
        }
        Ok(is_given.then_some(read))
    }

    fn take(&mut self, option: &str, word: &str) -> Option<()> {
        let bytes = HEXLOWER_PERMISSIVE.decode(word.as_bytes()).ok()?;
        match (option, bytes.len()) {
            ("sha256", HEAD_BYTES) => drop(self.heads.insert(bytes.try_into().ok()?)),
            ("sha256", _) => drop(self.sha256.insert(bytes.try_into().ok()?)),
            ("md5", _) => drop(self.md5.insert(bytes.try_into().ok()?)),
            _ => drop(self.sha1.insert(bytes.try_into().ok()?)),
        }
        Some(())
    }

    /// What must be computed.
    pub(super) fn wanted(&self, sparse_limit_bytes: u64) -> Wanted {
        Wanted {
            md5: !self.md5.is_empty(),
            sha1: !self.sha1.is_empty(),
            sparse_limit_bytes,
        }
    }

    /// Which of these digests fits, as it was asked for.
    pub(super) fn find(
        &self,
        (sha256, md5, sha1): (Digest, Option<&str>, Option<&str>),
    ) -> Option<String> {
        if self.sha256.contains(&sha256.0) {
            return Some(format!("sha256 {sha256}"));
        }
        let head = sha256.0.first_chunk::<HEAD_BYTES>()?;
        if self.heads.contains(head) {
            return Some(format!("sha256 {}", HEXLOWER_PERMISSIVE.encode(head)));
        }
        let bytes = |hex: &str| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
        let has_md5 = |hex: &&str| bytes(hex).is_some_and(|b| self.md5.contains(&b[..]));
        if let Some(md5) = md5.filter(has_md5) {
            return Some(format!("md5 {md5}"));
        }
        let has_sha1 = |hex: &&str| bytes(hex).is_some_and(|b| self.sha1.contains(&b[..]));
        sha1.filter(has_sha1).map(|sha1| format!("sha1 {sha1}"))
    }
}
