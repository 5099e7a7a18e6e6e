//! A tree to hash that is the same everywhere: many small files, some large ones, made from a counter.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Small files: lengths from 512 bytes to 512 KiB, as many in each octave.
const SMALL: u32 = 16_000;
/// Large files.
const LARGE: u32 = 10;
/// The length of a large one.
const LARGE_BYTES: u64 = 25_000_000;

/// The tree below `work`; it is made where it is missing.
///
/// # Errors
/// It can't be written.
pub(crate) fn generated(work: &Path) -> anyhow::Result<PathBuf> {
    let tree = work.join("tree-v1");
    if !tree.is_dir() {
        let unfinished = work.join("tree-v1.partial");
        let _ = fs::remove_dir_all(&unfinished);
        generate(&unfinished, SMALL, LARGE)
            .with_context(|| format!("{} can't be filled", unfinished.display()))?;
        fs::rename(&unfinished, &tree)?;
    }
    Ok(tree)
}

fn generate(tree: &Path, small: u32, large: u32) -> anyhow::Result<()> {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    for index in 0..small {
        let folder = tree.join(format!("{:02}/{:02}", index / 1000, index / 40 % 25));
        fs::create_dir_all(&folder)?;
        let octave = numbers.next() % 10;
        let length = (512 << octave) + numbers.next() % (512 << octave);
        fill(
            &folder.join(format!("{index:05}.bin")),
            length,
            &mut numbers,
        )?;
    }
    let folder = tree.join("large");
    fs::create_dir_all(&folder)?;
    for index in 0..large {
        fill(
            &folder.join(format!("{index:02}.bin")),
            LARGE_BYTES,
            &mut numbers,
        )?;
    }
    Ok(())
}

fn fill(path: &Path, length: u64, numbers: &mut Numbers) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut left = length;
    while left > 0 {
        let bytes = numbers.next().to_le_bytes();
        let count = usize::try_from(left).map_or(bytes.len(), |l| l.min(bytes.len()));
        file.write_all(&bytes[..count])?;
        left -= count as u64;
    }
    file.flush()?;
    Ok(())
}

/// Marsaglia's xorshift: quick, and the same on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// What lies in a tree.
pub(crate) struct Contents {
    /// Regular files.
    pub(crate) files: u64,
    /// Their lengths together.
    pub(crate) bytes: u64,
}

/// Drops what the system keeps of a tree in memory.
///
/// # Errors
/// Something in it can't be opened.
pub(crate) fn cool(tree: &Path) -> anyhow::Result<()> {
    each_file(tree, &mut |path| {
        let file = File::open(path)?;
        // What was just written must reach the disk first.
        file.sync_data()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    })
}

/// Counts a tree, and reads it once so that it is warm.
///
/// # Errors
/// Something in it can't be read.
pub(crate) fn warm(tree: &Path) -> anyhow::Result<Contents> {
    let mut found = Contents { files: 0, bytes: 0 };
    each_file(tree, &mut |path| {
        found.files += 1;
        found.bytes += std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
        Ok(())
    })?;
    Ok(found)
}

fn each_file(tree: &Path, see: &mut dyn FnMut(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("{} can't be listed", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                see(&entry.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_tree_comes_out_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1"), folder.path().join("2"));
        generate(&one, 50, 0).unwrap();
        generate(&two, 50, 0).unwrap();
        let first = |tree: &Path| fs::read(tree.join("00/01/00049.bin")).unwrap();
        assert_eq!(first(&one), first(&two));
        let found = warm(&one).unwrap();
        assert_eq!(found.files, 50);
        assert!(found.bytes > 50 * 512);
    }
}
