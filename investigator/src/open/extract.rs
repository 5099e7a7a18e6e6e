//! One plain part into a new folder: its entries as files, with their times.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use evidence::{
    archive::{self, Limits},
    digest::Digest,
    envelope, names,
    records::{CollectionRecord, FileRecord, Piece, Times},
};

use super::{
    Say,
    names::{Names, Rules},
    times,
};
use crate::{commands::files, private};

/// The folder of files that were joined from their pieces, among those of the parts.
pub const JOINED: &str = "joined";
/// No line of files.jsonl is longer; one that is, is passed over.
const LINE_BYTES: u64 = 16 << 20;
/// So many changed names are said, and the rest counted.
const RENAMED_SAID: u64 = 20;
/// No collection.json is longer.
const RECORD_BYTES: u64 = 4 << 20;

/// An extracted part.
#[derive(Debug)]
pub struct Extracted {
    /// Whether the ZIP was without fault and every file could be written.
    pub is_whole: bool,
    /// Pieces of files that are larger than a part.
    pub(super) pieces: Vec<PieceFile>,
}

/// A piece, extracted.
#[derive(Debug)]
pub(super) struct PieceFile {
    /// The file that it is a piece of, and the attempt that collected it.
    pub(super) of: (u32, Vec<u8>),
    /// Where it lies.
    pub(super) file: Option<PathBuf>,
    /// What its record says.
    pub(super) piece: Piece,
    /// Digest and length of the whole file, in the record of the last piece.
    pub(super) whole: Option<(Digest, u64)>,
    /// The whole file's times.
    pub(super) times: Times,
}

/// Where each entry lies now.
type Written = HashMap<String, PathBuf>;

/// Extracts `zip` into a new folder below `root`, named after the part.
///
/// # Errors
/// The folder is there already; the disk fails or is full.
pub fn extract(zip: &Path, root: &Path, say: &mut Say<'_>) -> anyhow::Result<Extracted> {
    let folder = new_folder(root, zip)?;
    let (written, mut is_whole) = write_entries(zip, &folder, say)?;
    let mut extracted = Extracted {
        is_whole: true,
        pieces: Vec::new(),
    };
    if let Some(index) = written.get("files.jsonl") {
        let attempt = attempt(&written);
        is_whole &= follow_index(index, attempt, &written, &mut extracted)
            .with_context(|| format!("{} can't be read.", index.display()))?;
    }
    extracted.is_whole = is_whole;
    say(&format!("{} extracted", folder.display()))?;
    Ok(extracted)
}

/// Stops before anything is written where something of the same name was extracted below `root` before.
///
/// # Errors
/// Something lies there.
pub fn check_free(root: &Path, zips: &[PathBuf]) -> anyhow::Result<()> {
    let folders = zips.iter().map(|zip| folder_of(root, zip));
    for folder in folders.chain([root.join(JOINED)]) {
        ensure!(
            folder.symlink_metadata().is_err(),
            "{} is there already: something was extracted here before, and nothing is overwritten. \
             Name another folder with --extract, or move that one away.",
            folder.display()
        );
    }
    Ok(())
}

fn folder_of(root: &Path, zip: &Path) -> PathBuf {
    root.join(files::stem(zip).file_name().unwrap_or_default())
}

/// A new folder named after the part: two parts never share one.
fn new_folder(root: &Path, zip: &Path) -> anyhow::Result<PathBuf> {
    let folder = folder_of(root, zip);
    private::create_folder(root).with_context(|| format!("{} can't be made.", root.display()))?;
    std::fs::create_dir(&folder).with_context(|| {
        format!(
            "{} can't be made. Choose a folder where it is free.",
            folder.display()
        )
    })?;
    Ok(folder)
}

fn write_entries(zip: &Path, folder: &Path, say: &mut Say<'_>) -> anyhow::Result<(Written, bool)> {
    let file = File::open(zip).with_context(|| format!("{} can't be opened.", zip.display()))?;
    let rules = Rules::of(folder)
        .with_context(|| format!("Nothing can be written below {}.", folder.display()))?;
    let (mut paths, mut written) = (Names::new(rules), Written::new());
    let (mut is_whole, mut renamed) = (true, 0_u64);
    let report = archive::read(BufReader::new(file), &Limits::default(), |entry, plain| {
        if names::check(&entry.name).is_err() || entry.is_folder() {
            return Ok(());
        }
        let path = paths.file(&entry.name);
        if path != Path::new(&entry.name) {
            renamed += 1;
            if renamed <= RENAMED_SAID {
                say(&format!("{} lies under {}", entry.name, path.display()))?;
            }
        }
        let target = folder.join(path);
        match write(plain, &target) {
            Ok(()) => {
                written.insert(entry.name.clone(), target);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                is_whole = false;
                say(&format!("{} can't be written here: {error}", entry.name))
            }
            Err(error) => Err(error),
        }
    })
    .with_context(|| format!("{} can't be extracted.", zip.display()))?;
    if renamed > RENAMED_SAID {
        let more = renamed - RENAMED_SAID;
        let verb = if more == 1 { "lies" } else { "lie" };
        say(&format!(
            "{more} more {verb} under other names, with %XX or ~N in them"
        ))?;
    }
    for fault in &report.faults {
        say(&format!("fault in {}: {fault}", zip.display()))?;
    }
    Ok((written, is_whole && report.faults.is_empty()))
}

/// Writes a new file; what can't be read to its end is a fault that the reader reports.
fn write(plain: &mut dyn Read, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file = BufWriter::with_capacity(1 << 17, private::new_file(target)?);
    let mut buffer = vec![0; 1 << 16];
    while let Ok(got @ 1..) = plain.read(&mut buffer) {
        file.write_all(&buffer[..got])?;
    }
    file.flush()
}

fn attempt(written: &Written) -> u32 {
    let record = written
        .get("collection.json")
        .and_then(|path| files::read(path, RECORD_BYTES).ok())
        .and_then(|bytes| CollectionRecord::parse(&bytes).ok());
    record.map_or(1, |r| r.attempt)
}

/// Restores times and keeps the pieces; says whether every line could be read.
fn follow_index(
    index: &Path,
    attempt: u32,
    written: &Written,
    extracted: &mut Extracted,
) -> io::Result<bool> {
    let mut lines = BufReader::new(File::open(index)?);
    let mut is_whole = true;
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut lines).take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(is_whole);
        }
        let Ok(record) = envelope::parse_strict::<FileRecord>(&line) else {
            is_whole = false;
            continue;
        };
        let path = record.entry.as_ref().and_then(|name| written.get(name));
        if let Some(path) = path {
            is_whole &= times::restore(path, &record.times).is_ok();
        }
        keep_pieces(record, attempt, written, extracted);
    }
}

fn keep_pieces(record: FileRecord, attempt: u32, written: &Written, extracted: &mut Extracted) {
    let exact = record
        .path_b64
        .as_ref()
        .and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok())
        .unwrap_or_else(|| record.path.into_bytes());
    let whole = record.sha256.zip(record.size_bytes);
    for piece in record.pieces {
        extracted.pieces.push(PieceFile {
            of: (attempt, exact.clone()),
            file: written.get(&piece.entry).cloned(),
            whole: whole.filter(|_| piece.last),
            times: record.times,
            piece,
        });
    }
}
