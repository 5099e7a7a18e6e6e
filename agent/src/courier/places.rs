//! Where the uploads that were begun stand at the server: in memory, and for the next run in a note beside each part.
//!
//! The note is worth trying and no more: without it an upload is found again or begun anew at the next start, and the
//! disk that is too full for it is emptied by delivering all the same.

use std::{collections::BTreeMap, fs};

use evidence::ids::CollectionId;

use super::{
    context::Context,
    disk::{self, DiskError},
    shelf::Waiting,
};

/// No place of an upload is longer.
const PLACE_BYTES_MAX: usize = 256;

/// Those of this run.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<(CollectionId, u32), String>);

impl Places {
    /// Where the upload of `waiting` stands, if one was begun.
    pub(super) fn of(&self, waiting: &Waiting) -> Option<String> {
        let noted = || plain(&fs::read_to_string(note(waiting)).ok()?);
        self.0.get(&waiting.key()).cloned().or_else(noted)
    }

    /// The upload of `waiting` stands there from now on.
    pub(super) fn keep(&mut self, context: &Context, waiting: &Waiting, place: &str) {
        self.0.insert(waiting.key(), place.to_owned());
        if let Err(error) = disk::write_durable(&note(waiting), place.as_bytes()) {
            context.note("the place of an upload is not noted", &error.to_text());
        }
    }

    /// It stands nowhere any more.
    pub(super) fn forget(&mut self, waiting: &Waiting) -> Result<(), DiskError> {
        self.0.remove(&waiting.key());
        disk::remove(&note(waiting))
    }
}

fn note(waiting: &Waiting) -> std::path::PathBuf {
    waiting.beside("upload")
}

/// An absolute path below `/v1/` at the same server, and nothing else.
pub(super) fn plain(text: &str) -> Option<String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.".contains(&b);
    let is_good = text.starts_with("/v1/")
        && text.len() <= PLACE_BYTES_MAX
        && text.bytes().all(is_plain)
        && !text.contains("..");
    is_good.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_plain_path_at_the_same_server() {
        assert_eq!(
            plain("/v1/parts/abc-1_2.3"),
            Some("/v1/parts/abc-1_2.3".to_owned())
        );
        let long = format!("/v1/parts/{}", "a".repeat(PLACE_BYTES_MAX));
        for bad in [
            "",
            "/",
            "/v2/parts/a",
            "https://elsewhere/v1/parts/a",
            "//elsewhere/v1/parts/a",
            "/v1/../secret",
            "/v1/parts/a?x=1",
            "/v1/parts/a b",
            "/v1/parts/a\r\nx: y",
            &long,
        ] {
            assert_eq!(plain(bad), None, "{bad}");
        }
    }
}
