//! Extended attributes of an open file: names and values, both as bytes.

use crate::platform::{
    handle::AsFd,
    tree::{self, Errno},
};

/// The kernel's own bound on a list of names and on one value.
const AT_MOST_BYTES: usize = 64 * 1024;

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, exactly; the kernel demands no text.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// All extended attributes of `file`; none where the file system has none.
///
/// # Errors
/// They are there and can't be read.
pub fn read(file: impl AsFd) -> Result<Vec<Attribute>, Errno> {
    let names = tree::attribute_names(&file, AT_MOST_BYTES)?;
    names
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let value = tree::attribute(&file, name, AT_MOST_BYTES)?;
            let name = name.to_owned();
            Ok(Attribute { name, value })
        })
        .collect()
}
