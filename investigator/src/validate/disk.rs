//! Makes the disk of the known answers, and says what the system says of each thing on it.

use std::{
    fs::{self, File, FileTimes},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use evidence::instant::Instant;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Map, Value, json};

use super::answers::{Answers, Content, Item};

const PATTERN_BYTES: u64 = 1 << 16;

/// Makes the disk in the new folder `root`.
///
/// # Errors
/// The file system does not hold it.
pub(super) fn make(root: &Path, answers: &Answers) -> anyhow::Result<()> {
    fs::create_dir_all(root).with_context(|| format!("{} can't be made.", root.display()))?;
    for item in &answers.disk {
        let place = item.place(root);
        one(root, &place, item).with_context(|| {
            format!(
                "{} can't be made. Choose a folder on a file system of this system's own kind.",
                place.display()
            )
        })?;
    }
    Ok(())
}

fn one(root: &Path, place: &Path, item: &Item) -> anyhow::Result<()> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    match &item.content {
        Content::Link { target } => std::os::unix::fs::symlink(target, place)?,
        Content::SecondName { same_as } => {
            fs::hard_link(root.join(same_as.trim_start_matches('/')), place)?;
        }
        Content::Pipe { .. } => mknodat(CWD, place, FileType::Fifo, Mode::RUSR, 0)?,
        content => {
            let mut file = File::create_new(place)?;
            fill(&mut file, content)?;
            finish(&file, item)?;
        }
    }
    Ok(())
}

fn fill(file: &mut File, content: &Content) -> anyhow::Result<()> {
    match content {
        Content::Text { text } => file.write_all(text.as_bytes())?,
        Content::Bytes { base64 } => {
            file.write_all(&data_encoding::BASE64.decode(base64.as_bytes())?)?;
        }
        Content::Hole { hole_bytes, text } => {
            file.seek(SeekFrom::Start(*hole_bytes))?;
            file.write_all(text.as_bytes())?;
        }
        Content::Pattern {
            pattern,
            size_bytes,
        } => {
            let times = PATTERN_BYTES / pattern.len().max(1) as u64;
            let piece = pattern.repeat(usize::try_from(times)?);
            let mut left = *size_bytes;
            while left > 0 {
                let now = usize::try_from(left.min(piece.len() as u64))?;
                file.write_all(&piece.as_bytes()[..now])?;
                left -= now as u64;
            }
        }
        Content::Link { .. } | Content::SecondName { .. } | Content::Pipe { .. } => {}
    }
    Ok(())
}

fn finish(file: &File, item: &Item) -> anyhow::Result<()> {
    if let Some(mode) = &item.mode {
        let mode = u32::from_str_radix(mode, 8)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    if let Some(modified) = &item.modified {
        let time = Instant::parse(modified).context("a time of the answers is malformed")?;
        let times = FileTimes::new().set_modified(system_time(time));
        // Read long after it was changed, so that a read would move it.
        file.set_times(times.set_accessed(system_time(time)))?;
        let kept = file.metadata()?;
        ensure!(
            (kept.mtime(), kept.mtime_nsec()) == (time.seconds, i64::from(time.ns)),
            "the file system does not keep the time {modified}"
        );
    }
    Ok(())
}

fn system_time(time: Instant) -> SystemTime {
    let (whole, rest) = (
        time.seconds.unsigned_abs(),
        Duration::from_nanos(time.ns.into()),
    );
    let whole = Duration::from_secs(whole);
    match time.seconds < 0 {
        true => SystemTime::UNIX_EPOCH - whole + rest,
        false => SystemTime::UNIX_EPOCH + whole + rest,
    }
}

/// What the system says of the thing at `path` on the disk, in the words of a record; links are not followed.
///
/// # Errors
/// It is not there.
pub(super) fn facts(root: &Path, path: &Path) -> io::Result<Map<String, Value>> {
    let stat = fs::symlink_metadata(path)?;
    let host = Path::new("/").join(path.strip_prefix(root).unwrap_or(path));
    let mut facts = Map::new();
    let mut put = |key: &str, value: Value| facts.insert(key.to_owned(), value);
    put("path", host.to_string_lossy().into());
    if host.to_str().is_none() {
        let exact = data_encoding::BASE64.encode(host.as_os_str().as_bytes());
        put("path_b64", exact.into());
    }
    put("type", kind(&stat).into());
    if stat.is_file() {
        put("size_bytes", stat.len().into());
        put("allocated_bytes", (stat.blocks() * 512).into());
    }
    put("mode", format!("{:06o}", stat.mode()).into());
    put("uid", stat.uid().into());
    put("gid", stat.gid().into());
    put("links", stat.nlink().into());
    let (major, minor) = (rustix::fs::major(stat.dev()), rustix::fs::minor(stat.dev()));
    put("device", format!("{major}:{minor}").into());
    put("inode", stat.ino().into());
    put("accessed", time(stat.atime(), stat.atime_nsec()));
    put("modified", time(stat.mtime(), stat.mtime_nsec()));
    put("changed", time(stat.ctime(), stat.ctime_nsec()));
    if let Some(born) = stat
        .created()
        .ok()
        .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok())
    {
        let seconds = i64::try_from(born.as_secs()).unwrap_or(i64::MAX);
        put("born", time(seconds, born.subsec_nanos().into()));
    }
    if stat.is_symlink() {
        put("target", fs::read_link(path)?.to_string_lossy().into());
    }
    Ok(facts)
}

fn kind(stat: &fs::Metadata) -> &'static str {
    let kind = stat.file_type();
    match () {
        () if kind.is_dir() => "folder",
        () if kind.is_symlink() => "link",
        () if kind.is_fifo() => "fifo",
        () => "file",
    }
}

fn time(seconds: i64, ns: i64) -> Value {
    let ns = u32::try_from(ns).unwrap_or(0);
    json!(Instant { seconds, ns })
}
