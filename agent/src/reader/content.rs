//! Stores one file of the host: opened without following links, read once, told whether it changed.
//!
//! Every failure becomes a gap; a file that broke off keeps what was read and says so.

use std::{
    fs::File,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use evidence::{
    gap::{Reason, Severity},
    names,
    records::{FileRecord, FileType, ReadBy},
};

use super::{
    pieces,
    pipeline::{Pipeline, PipelineError},
    stored,
};
use crate::files::{self, OpenError, Opened, Stat, digest, open::open_parent, xattrs};

/// How far past its first length a growing file is followed.
const GROWTH_BYTES: u64 = 64 * 1024 * 1024;
/// A link that dissect wants as a file under both names.
const STORED_TWICE: &str = "/etc/os-release";

/// Above the names of files that have none of their own any more.
const OPEN_ROOT: &str = "fs/$open$";
/// A sparse file claiming more than this is not stored.
const SPARSE_BYTES: u64 = 1 << 30;

/// Stores the file at the host path `path`, or says why not.
pub(super) fn store(
    pipeline: &mut Pipeline<'_>,
    artifact: &str,
    path: &Path,
) -> Result<(), PipelineError> {
    let own = match files::resolve(pipeline.root(), path) {
        Ok(own) => own,
        Err(error) => return not_opened(pipeline, artifact, path, &error),
    };
    if pipeline.is_own_output(&own) {
        return Ok(());
    }
    if own != path && path != Path::new(STORED_TWICE) {
        record_link(pipeline, artifact, path, &own)?;
        return store_plain(pipeline, artifact, &own, &own);
    }
    store_plain(pipeline, artifact, path, &own)
}

/// Stores a file that only a descriptor still names (deleted, or in memory).
pub(super) fn store_open(
    pipeline: &mut Pipeline<'_>,
    artifact: &str,
    name: &str,
    file: File,
) -> Result<(), PipelineError> {
    let entry = names::entry(OPEN_ROOT, name.as_bytes(), b'/');
    let stat = match Stat::of_open(&file) {
        Ok(stat) => stat,
        Err(error) => {
            let text = error.to_string();
            return pipeline.gap(artifact, name, Reason::ReadError, Severity::Ordinary, &text);
        }
    };
    let mut record = stored::record(artifact, Path::new(name), &stat);
    record.read_by = Some(ReadBy::Proc);
    copy(pipeline, artifact, &entry, file, &stat, record)
}

fn store_plain(
    pipeline: &mut Pipeline<'_>,
    artifact: &str,
    path: &Path,
    own: &PathBuf,
) -> Result<(), PipelineError> {
    let opened = match files::open_file(pipeline.root(), own) {
        Ok(opened) => opened,
        Err(OpenError::NotAFile { kind, .. }) => {
            return record_only(pipeline, artifact, path, own, kind);
        }
        Err(error) => return not_opened(pipeline, artifact, path, &error),
    };
    let Opened { file, before, .. } = opened;
    let mut record = stored::record(artifact, path, &before);
    if let Ok(found) = xattrs::read(&file) {
        stored::add_xattrs(&mut record, found);
    }
    if pipeline.is_own_part(before.identity()) {
        return Ok(());
    }
    if let Some(first) = pipeline.first_name(before.identity())
        && path == own
    {
        record.why_no_entry = Some("stored once, under the first name".to_owned());
        record.hard_link_of = Some(first);
        return pipeline.file_record(record);
    }
    let entry = names::unix_entry(path.as_os_str().as_bytes());
    if before.size_bytes <= pipeline.part_bytes() {
        pipeline.remember(before.identity(), entry.clone());
    }
    copy(pipeline, artifact, &entry, file, &before, record)
}

/// Reads `file` to its end, or to a limit, into `entry` of a part that has room for it.
fn copy(
    pipeline: &mut Pipeline<'_>,
    artifact: &str,
    entry: &str,
    mut file: File,
    before: &Stat,
    mut record: FileRecord,
) -> Result<(), PipelineError> {
    let subject = record.path.clone();
    if digest::is_sparse(before) && before.size_bytes > SPARSE_BYTES {
        let text = "a sparse file whose holes are more than may be stored";
        record.why_no_entry = Some(text.to_owned());
        pipeline.gap(artifact, &subject, Reason::Limit, Severity::Ordinary, text)?;
        return pipeline.file_record(record);
    }
    let limit = before.size_bytes.saturating_add(GROWTH_BYTES);
    if before.size_bytes > pipeline.part_bytes() {
        return pieces::store(pipeline, file, before, limit, &record);
    }
    if pipeline.part()?.has_entry(entry) || !pipeline.has_room(before.size_bytes) {
        pipeline.close_part()?;
    }
    let source = (&mut file).take(limit);
    let stored = pipeline.part()?.content(entry, source)?;
    let after = Stat::of_open(&file).ok();
    let read = stored.size_bytes;
    record.entry = Some(entry.to_owned());
    record.sha256 = Some(stored.sha256);
    stored::add_read(&mut record, before, after.as_ref(), read);
    pipeline.file_record(record)?;
    if let Some(error) = stored.read_error {
        let text = format!("only its first {read} bytes could be read: {error}");
        return pipeline.gap(
            artifact,
            &subject,
            Reason::ReadError,
            Severity::Ordinary,
            &text,
        );
    }
    if read == limit {
        let text = format!("it grew while it was read; only its first {read} bytes are here");
        return pipeline.gap(artifact, &subject, Reason::Limit, Severity::Ordinary, &text);
    }
    Ok(())
}

fn record_link(
    pipeline: &mut Pipeline<'_>,
    artifact: &str,
    path: &Path,
    own: &Path,
) -> Result<(), PipelineError> {
    let bytes = path.as_os_str().as_bytes();
    let mut record = FileRecord::new(artifact, bytes, FileType::Link);
    record.why_no_entry = Some("it leads through links; see the target's own record".to_owned());
    stored::add_target(&mut record, own);
    pipeline.file_record(record)
}

fn record_only(
    pipeline: &mut Pipeline<'_>,
    artifact: &str,
    path: &Path,
    own: &Path,
    kind: &str,
) -> Result<(), PipelineError> {
    let looked = open_parent(pipeline.root(), own).and_then(|(folder, name)| folder.look(&name));
    match looked {
        Ok(stat) => {
            let mut record = stored::record(artifact, path, &stat);
            record.why_no_entry = Some(format!("a {kind} is recorded, never opened"));
            pipeline.file_record(record)
        }
        Err(error) => not_opened(pipeline, artifact, path, &error),
    }
}

fn not_opened(
    pipeline: &mut Pipeline<'_>,
    artifact: &str,
    path: &Path,
    error: &OpenError,
) -> Result<(), PipelineError> {
    pipeline.path_gap(artifact, path, error.reason(), &error.to_string())
}
