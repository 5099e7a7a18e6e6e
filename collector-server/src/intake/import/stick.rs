//! What lies on a stick: found by its name, opened without following a link, never more than fits.
//!
//! The stick is a stranger's until its signatures hold. Only plain files are read, each up to a size that is known before.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use evidence::ids::CollectionId;
use protocol::kit::layout;
use walkdir::WalkDir;

use super::{
    fault::Fault,
    usage::{LEAF, USE},
};

/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 50_000;
/// The longest small file: a statement, a use, a leaf.
pub(crate) const SMALL_BYTES: u64 = 128 << 10;

/// One collection's folder.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) collection: CollectionId,
    pub(crate) folder: PathBuf,
}

/// The collections in `path`, below its `evidence/`, or that `path` itself is; in the order of their ids.
///
/// # Errors
/// A folder can't be read.
pub(crate) fn collections(path: &Path) -> io::Result<Vec<Found>> {
    if let Some(collection) = named(path) {
        let folder = path.to_owned();
        return Ok(vec![Found { collection, folder }]);
    }
    let mut found = Vec::new();
    let below = path.join(layout::EVIDENCE);
    for base in [path, &below] {
        // A link is no folder here: it could lead anywhere.
        if base == below && !fs::symlink_metadata(base).is_ok_and(|m| m.is_dir()) {
            continue;
        }
        for entry in WalkDir::new(base)
            .min_depth(1)
            .max_depth(1)
            .into_iter()
            .take(MAX_ENTRIES)
        {
            let entry = entry?;
            if let Some(collection) = named(entry.path()) {
                let folder = entry.into_path();
                found.push(Found { collection, folder });
            }
        }
    }
    found.sort_by_key(|f| (f.collection, f.folder.clone()));
    Ok(found)
}

fn named(path: &Path) -> Option<CollectionId> {
    path.file_name()?.to_str()?.parse().ok()
}

impl Found {
    /// Whether it is a folder, and no link to one.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match fs::symlink_metadata(&self.folder) {
            Ok(found) if found.is_dir() => Ok(()),
            _ => Err(Fault::NotAFile(self.collection.to_string())),
        }
    }

    /// The names of its entries.
    pub(crate) fn names(&self) -> Result<Vec<String>, Fault> {
        let walk = WalkDir::new(&self.folder).min_depth(1).max_depth(1);
        let mut names = Vec::new();
        for entry in walk.into_iter().take(MAX_ENTRIES) {
            let unreadable = |e: walkdir::Error| Fault::unreadable(&self.collection.to_string(), e);
            let entry = entry.map_err(unreadable)?;
            names.extend(entry.file_name().to_str().map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The numbers of its parts: of what was sealed, or stated.
    pub(crate) fn parts(&self) -> Result<BTreeSet<u32>, Fault> {
        Ok(self.names()?.iter().filter_map(|n| part_of(n)).collect())
    }

    /// A plain file of at most `limit_bytes`, and its size.
    pub(crate) fn open(&self, name: &str, limit_bytes: u64) -> Result<(File, u64), Fault> {
        open_plain(&self.folder.join(name), limit_bytes).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Fault::Missing(name.to_owned()),
            io::ErrorKind::InvalidInput => Fault::NotAFile(name.to_owned()),
            _ => Fault::unreadable(name, error),
        })
    }

    /// The bytes of a small file.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let (file, _) = self.open(name, SMALL_BYTES)?;
        let mut bytes = Vec::new();
        let read = file.take(SMALL_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| Fault::unreadable(name, error))?;
        Ok(bytes)
    }
}

impl Found {
    /// Copies it to `to`, so that whoever judges the copy finds there what is wrong here: where a plain file or folder
    /// should be and something else is, the copy has the other of the two.
    pub(crate) fn copy_to(&self, to: &Path) -> io::Result<()> {
        if self.check().is_err() {
            return File::create_new(to).map(drop);
        }
        open_dir(to)?;
        for entry in WalkDir::new(&self.folder)
            .min_depth(1)
            .max_depth(1)
            .into_iter()
            .take(MAX_ENTRIES)
        {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            if part_of(name).is_none() && name != USE && name != LEAF {
                continue;
            }
            match open_plain(entry.path(), u64::MAX) {
                Ok((mut file, _)) => copy(&mut file, &to.join(name))?,
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    fs::create_dir(to.join(name))?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn copy(from: &mut File, to: &Path) -> io::Result<()> {
    let mut copy = File::create_new(to)?;
    io::copy(from, &mut copy)?;
    open_to_all(to, 0o644)
}

/// A new folder that the server's user can read, whoever makes it.
pub(crate) fn open_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir(dir)?;
    open_to_all(dir, 0o755)
}

/// # Platform behaviour
/// On Unix the mode is set; elsewhere the folder's rights are inherited.
fn open_to_all(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    let _ = (path, mode);
    Ok(())
}

/// The bytes of a small plain file.
pub(crate) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let (file, _) = open_plain(path, SMALL_BYTES)?;
    let mut bytes = Vec::new();
    file.take(SMALL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The file of a part's ciphertext.
pub(crate) fn sealed(part: u32) -> String {
    format!("part-{part:04}.zip.age")
}

/// The file of its statement.
pub(crate) fn stated(part: u32) -> String {
    format!("part-{part:04}.statement.json")
}

fn part_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("part-")?.split('.').next()?;
    let part = digits.parse().ok()?;
    (name == sealed(part) || name == stated(part)).then_some(part)
}

/// Opens a plain file of at most `limit_bytes`; of anything else the kind of the error is `InvalidInput`.
///
/// # Platform behaviour
/// On Unix a link is not followed and a pipe not waited for; elsewhere a link is looked for before.
fn open_plain(path: &Path, limit_bytes: u64) -> io::Result<(File, u64)> {
    let no_file = || io::Error::from(io::ErrorKind::InvalidInput);
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(no_file());
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    let found = file.metadata()?;
    match found.is_file() && found.len() <= limit_bytes {
        true => Ok((file, found.len())),
        false => Err(no_file()),
    }
}
