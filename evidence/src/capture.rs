//! Which capture of a standing order or a watch a collection is, and what caused it: `capture` of collection.json.

use serde::{Deserialize, Serialize};

use crate::{instant::Instant, records::text_and_bytes};

/// See the module. Unknown fields are ignored, as everywhere in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The capture of this order on this host, from 1.
    pub number: u32,
    /// Of a standing order: when it was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Instant>,
    /// Of a standing order: how many turns since the capture before passed without one.
    #[serde(default, skip_serializing_if = "is_none")]
    pub missed: u64,
    /// Of a watch: since when everything that happened is in this capture or in those before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_since: Option<Instant>,
    /// Of a watch: what changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Changed>,
    /// Of a watch: how many paths changed that the order's scope leaves out.
    #[serde(default, skip_serializing_if = "is_none")]
    pub out_of_scope: u64,
    /// Of a watch: when it may have missed something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blind: Vec<Blind>,
}

fn is_none(number: &u64) -> bool {
    *number == 0
}

/// One path that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The path as text for people.
    pub path: String,
    /// The exact bytes of the path, base64, where `path` isn't they.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
    /// What happened to it, the last of it.
    pub event: Happened,
    /// When it was first seen to change.
    pub first: Instant,
    /// When last.
    pub last: Instant,
    /// How often.
    pub times: u64,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// It was not there before.
    Appeared,
    /// Its contents or its metadata changed, or another took its place.
    Changed,
    /// It is not there any more.
    Removed,
}

/// A stretch of time in which a watch may have missed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blind {
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
    /// Why.
    pub why: String,
}

impl Changed {
    /// A change of the path with these bytes.
    pub fn new(
        path: &[u8],
        event: Happened,
        (first, last): (Instant, Instant),
        times: u64,
    ) -> Self {
        let (path, path_b64) = text_and_bytes(path);
        Self {
            path,
            path_b64,
            event,
            first,
            last,
            times,
        }
    }

    /// The exact bytes of the path; none where they don't read.
    pub fn path_bytes(&self) -> Option<Vec<u8>> {
        match &self.path_b64 {
            None => Some(self.path.clone().into_bytes()),
            Some(bytes) => data_encoding::BASE64.decode(bytes.as_bytes()).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_bytes_and_what_is_unknown_is_ignored() {
        let at = Instant { seconds: 1, ns: 2 };
        let odd = Changed::new(b"/var/\xff", Happened::Appeared, (at, at), 1);
        assert_eq!(odd.path_bytes().unwrap(), b"/var/\xff");
        let plain = Changed::new(b"/a", Happened::Removed, (at, at), 3);
        assert_eq!(
            (plain.path_bytes().unwrap().as_slice(), &plain.path_b64),
            (b"/a".as_slice(), &None)
        );
        let read: Capture =
            serde_json::from_str(r#"{"number":2,"missed":1,"later":true}"#).unwrap();
        assert_eq!((read.number, read.missed, read.due), (2, 1, None));
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            r#"{"number":2,"missed":1}"#
        );
    }
}
