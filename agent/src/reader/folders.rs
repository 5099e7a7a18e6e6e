//! The empty folders by which a part alone tells which system it is from.

use std::path::Path;

use evidence::{instant::Instant, records::LogLine};

use super::{
    part::{OpenPart, PartError},
    stored,
};
use crate::{
    files::{OpenError, open::open_folder},
    platform::tree::Errno,
};

/// The host's folder and its entry: the only folder entries that an archive may hold.
const TELLING: [(&str, &str); 3] = [
    ("/etc", "fs/$rootfs$/etc/"),
    ("/var", "fs/$rootfs$/var/"),
    ("/run", "fs/$rootfs$/run/"),
];

/// Adds those that are there, each with its line in files.jsonl, which seals it. One that is there and can't be
/// opened as a folder has a line in log.jsonl: nobody asked for it, so it is no gap, and what it holds is another's.
pub(super) fn add(part: &mut OpenPart, root: &Path) -> Result<(), PartError> {
    for (path, entry) in TELLING {
        let path = Path::new(path);
        let folder = match open_folder(root, path) {
            Ok(folder) => folder,
            Err(OpenError::System {
                source: Errno::NOENT,
                ..
            }) => continue,
            Err(error) => {
                part.log(&LogLine {
                    time: Instant::now(),
                    message: format!("a folder that tells the system has no entry: {error}"),
                    artifact: None,
                })?;
                continue;
            }
        };
        part.folder(entry)?;
        let mut record = stored::record("collection", path, folder.stat());
        record.entry = Some(entry.to_owned());
        part.file_record(&record)?;
    }
    Ok(())
}
