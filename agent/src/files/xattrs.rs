//! Extended attributes of an open file: names, and values in base64.

use serde_json::{Map, Value};

use super::system::{self, Errno};
use crate::platform::handle::AsFd;

/// The kernel's own bound on a list of names and on one value.
const AT_MOST_BYTES: usize = 64 * 1024;

/// All extended attributes of `file`; none where the file system has none.
///
/// # Errors
/// They are there and can't be read.
pub fn read(file: impl AsFd) -> Result<Map<String, Value>, Errno> {
    let mut found = Map::new();
    let names = system::attribute_names(&file, AT_MOST_BYTES)?;
    for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let value = system::attribute(&file, name, AT_MOST_BYTES)?;
        let text = data_encoding::BASE64.encode(&value);
        found.insert(String::from_utf8_lossy(name).into_owned(), text.into());
    }
    Ok(found)
}
