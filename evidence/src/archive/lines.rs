//! Records as they stand in the archive, so that they can be made where they are found and handed on without being
//! taken apart again.

use serde::Serialize;

/// Lines of JSON, one a record, each ended by a newline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    text: Vec<u8>,
    count: u64,
}

impl Lines {
    /// Adds `record` as a line. Where it has no JSON, nothing is added.
    ///
    /// # Errors
    /// It has no JSON.
    pub fn push(&mut self, record: &impl Serialize) -> Result<(), serde_json::Error> {
        let before = self.text.len();
        if let Err(error) = serde_json::to_writer(&mut self.text, record) {
            self.text.truncate(before);
            return Err(error);
        }
        self.text.push(b'\n');
        self.count += 1;
        Ok(())
    }

    /// The lines themselves.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_has_no_json_leaves_nothing_behind() {
        let mut lines = Lines::default();
        lines.push(&"a\nb").unwrap();
        // JSON has no key but text.
        lines.push(&BTreeMap::from([((1, 2), 3)])).unwrap_err();
        lines.push(&[1, 2]).unwrap();
        assert_eq!(lines.text(), b"\"a\\nb\"\n[1,2]\n");
        assert_eq!(lines.count(), 2);
    }
}
