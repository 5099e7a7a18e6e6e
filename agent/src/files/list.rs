//! Listing a folder through getdents, a buffer at a time, so that a folder of a million names takes no more memory
//! than one of ten.

use std::{ffi::CString, mem::MaybeUninit};

use rustix::{fs::RawDir, io::Errno};

use super::open::Folder;

/// One buffer of names: some hundred usual ones, and at least a few of the longest.
const BUFFER_BYTES: usize = 8 * 1024;

/// The next names in `folder`, none when all have been given. The kernel keeps the place between calls.
///
/// # Errors
/// As the system says; the folder can't be listed any further then.
pub fn next_names(folder: &Folder) -> Result<Vec<CString>, Errno> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER_BYTES];
    let mut names = Vec::new();
    let mut entries = RawDir::new(folder, &mut buffer);
    // A buffer may hold nothing but `.` and `..`: ask again then.
    while names.is_empty() || !entries.is_buffer_empty() {
        match entries.next() {
            None => break,
            Some(entry) => {
                let entry = entry?;
                let name = entry.file_name();
                if name != c"." && name != c".." {
                    names.push(name.to_owned());
                }
            }
        }
    }
    Ok(names)
}
