//! The empty folders by which a part alone tells which system it is from.

use std::path::Path;

use super::{
    part::{OpenPart, PartError},
    stored,
};
use crate::files::open::open_folder;

/// The host's folder and its entry: the only folder entries that an archive may hold.
const TELLING: [(&str, &str); 3] = [
    ("/etc", "fs/$rootfs$/etc/"),
    ("/var", "fs/$rootfs$/var/"),
    ("/run", "fs/$rootfs$/run/"),
];

/// Adds those that are there, each with its line in files.jsonl, which seals it.
pub(super) fn add(part: &mut OpenPart, root: &Path) -> Result<(), PartError> {
    for (path, entry) in TELLING {
        let path = Path::new(path);
        let Ok(folder) = open_folder(root, path) else {
            continue;
        };
        part.folder(entry)?;
        let mut record = stored::record("collection", path, folder.stat());
        record.entry = Some(entry.to_owned());
        part.file_record(&record)?;
    }
    Ok(())
}
