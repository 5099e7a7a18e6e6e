//! Extended attributes of an open file: names, and values in base64.

use rustix::{fd::AsFd, io::Errno};
use serde_json::{Map, Value};

/// The kernel's own bound on a list of names and on one value.
const AT_MOST_BYTES: usize = 64 * 1024;

/// All extended attributes of `file`; none where the file system has none.
///
/// # Errors
/// They are there and can't be read.
pub fn read(file: impl AsFd) -> Result<Map<String, Value>, Errno> {
    let mut found = Map::new();
    // Asked for the length first: nearly every file has none, and that costs no buffer.
    let length = match rustix::fs::flistxattr(&file, &mut [0_u8; 0][..]) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(0) => return Ok(found),
        other => other?,
    };
    let mut names = vec![0_u8; length.min(AT_MOST_BYTES)];
    let length = rustix::fs::flistxattr(&file, &mut names[..])?;
    names.truncate(length);
    for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let value = value(&file, name)?;
        let text = data_encoding::BASE64.encode(&value);
        found.insert(String::from_utf8_lossy(name).into_owned(), text.into());
    }
    Ok(found)
}

fn value(file: impl AsFd, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0_u8; AT_MOST_BYTES];
    match rustix::fs::fgetxattr(file, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(value)
        }
        // It was removed after it was listed.
        Err(Errno::NODATA) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
