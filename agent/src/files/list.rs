//! Listing a folder a buffer at a time, so that a folder of a million names takes no more memory than one of ten.

pub use crate::platform::tree::Listed;

use super::open::Folder;
use crate::platform::tree::{self, Errno};

/// The next names in `folder`, none when all have been given. The kernel keeps the place between calls.
///
/// # Errors
/// As the system says; the folder can't be listed any further then.
pub fn next_names(folder: &Folder) -> Result<Vec<Listed>, Errno> {
    tree::next_names(folder)
}
