//! Which files belong together: a part, its encrypted form, and what lies beside it.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use evidence::{
    verify::{Beside, Paper},
    wrap::Identity,
};

use super::aside::{self, Aside, Met};
use crate::{
    exit::{OrMisuse as _, misuse},
    inert::inert,
};

/// How the names of what lies beside a part end.
const STATEMENT: &str = ".statement.json";
const STAMP: &str = ".tsr";
const RECEIPT: &str = ".receipt";
/// Receipts of a whole collection.
pub const ENROLMENT: &str = "enrolment";
/// Receipts of a whole collection: of a revocation.
pub const REVOCATION: &str = "revocation";
/// Receipts of a whole collection: that its parts have expired.
pub const EXPIRY: &str = "expiry";

/// No statement is longer.
const BESIDE_BYTES: u64 = 4 << 20;
/// Receipts of one kind in one folder: a seal key is renewed every few years, and agents are not revoked often.
const PAPERS_READ: usize = 64;
/// No key file or certificate file is longer.
const KEY_BYTES: u64 = 1 << 20;

/// The certificate of a key made for the run, which an agent lays beside a local collection.
pub(super) const RUN_CERTIFICATE: &str = "seal.crt";

/// What the paths name.
#[derive(Debug)]
pub struct Found {
    /// The parts.
    pub parts: Vec<PathBuf>,
    /// What lies among them and is not taken into account.
    pub aside: Vec<Aside>,
}

/// The parts that the paths name: files as given, folders searched (not through links).
///
/// # Errors
/// A path can't be read, or there is no part at all.
pub fn parts(paths: &[PathBuf]) -> anyhow::Result<Found> {
    let (mut found, mut aside) = (BTreeSet::new(), Vec::new());
    for path in paths {
        let is_folder = fs::metadata(path)
            .with_context(|| format!("{} can't be read. Check the path.", path.display()))
            .or_misuse()?
            .is_dir();
        if is_folder {
            let (parts, told) = search(path)?;
            found.extend(parts);
            aside.extend(told);
        } else {
            found.insert(path.clone());
        }
    }
    if found.is_empty() {
        let mut would_be = aside.iter().filter(|a| is_part(Path::new(&a.file)));
        let told = would_be.next().map_or_else(String::new, |one| {
            format!(" {}: {}", inert(&one.file), one.why)
        });
        return Err(misuse(format!(
            "There is no part (part-NNNN.zip or .zip.age) there. Name parts or their folder.{told}"
        )));
    }
    // A file that was named by itself is taken into account, wherever it lies.
    aside.retain(|one: &Aside| !found.contains(Path::new(&one.file)));
    aside.dedup();
    Ok(Found {
        parts: found.into_iter().collect(),
        aside: aside::bounded(aside),
    })
}

fn search(folder: &Path) -> anyhow::Result<(BTreeSet<PathBuf>, Vec<Aside>)> {
    let (mut parts, mut met) = (BTreeSet::new(), Met::default());
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.with_context(|| format!("{} can't be listed.", folder.display()))?;
        let kind = entry.file_type();
        let path = entry.into_path();
        if kind.is_dir() {
            met.folder(path);
        } else if !kind.is_file() {
            met.no_file(path);
        } else if is_part(&path) {
            parts.insert(path);
        } else {
            met.file(path);
        }
    }
    let told = met.told(folder, &parts);
    Ok((parts, told))
}

/// Whether the name is that of a part; what was extracted from one is not taken for evidence.
pub(super) fn is_part(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    let number = name
        .strip_prefix("part-")
        .and_then(|n| n.strip_suffix(".age").unwrap_or(n).strip_suffix(".zip"));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// `part-0001` for `part-0001.zip` and `part-0001.zip.age`.
pub fn stem(part: &Path) -> PathBuf {
    let name = part
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let stem = name.strip_suffix(".age").unwrap_or(&name);
    part.with_file_name(stem.strip_suffix(".zip").unwrap_or(stem))
}

/// `part-0001` for `part-0001.statement.json` and its like.
pub(super) fn stem_of_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = [STATEMENT, STAMP, RECEIPT]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))?;
    let digits = stem.strip_prefix("part-")?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| path.with_file_name(stem))
}

/// Whether it is the name of a receipt of the whole collection.
pub(super) fn is_paper(name: &str) -> bool {
    let of = |kind: &&str| number_of_paper(name, kind).is_some();
    [ENROLMENT, REVOCATION, EXPIRY].iter().any(of)
}

/// Whether it is the name of such a receipt of this kind.
pub(super) fn is_paper_of(name: &str, kind: &str) -> bool {
    number_of_paper(name, kind).is_some()
}

/// Reads what lies beside a part.
///
/// # Errors
/// It is there and can't be read.
pub fn beside(part: &Path) -> anyhow::Result<Beside> {
    let stem = stem(part);
    let next_to = |ending: &str| {
        let mut name = stem.clone().into_os_string();
        name.push(ending);
        read_if_there(&PathBuf::from(name))
    };
    Ok(Beside {
        statement: next_to(STATEMENT)?,
        stamp: next_to(STAMP)?,
        receipt: next_to(RECEIPT)?,
        enrolments: papers(part, ENROLMENT)?,
        revocations: papers(part, REVOCATION)?,
    })
}

/// `KIND.receipt` and every `KIND-N.receipt` in the folder of `part`, by number: none hides behind one that is missing.
///
/// # Errors
/// The folder or one of them can't be read.
pub fn papers(part: &Path, kind: &str) -> anyhow::Result<Vec<Paper>> {
    let folder = folder_of(part);
    let shown = || format!("{} can't be listed.", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(shown)? {
        let name = entry.with_context(shown)?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(number) = number_of_paper(name, kind) {
            found.push((number, name.to_owned()));
        }
    }
    found.sort();
    let mut papers = Vec::new();
    for (at, (_, name)) in found.into_iter().enumerate() {
        // Beyond the limit they are not read, and refused by their own check: nothing is passed over.
        let bytes = if at < PAPERS_READ {
            read_if_there(&part.with_file_name(&name))?
        } else {
            None
        };
        let bytes = bytes.unwrap_or_default();
        papers.push(Paper { name, bytes });
    }
    Ok(papers)
}

fn folder_of(part: &Path) -> &Path {
    let parent = part.parent().filter(|p| !p.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// 1 for `KIND.receipt`, N for `KIND-N.receipt`.
fn number_of_paper(name: &str, kind: &str) -> Option<u64> {
    let rest = name.strip_prefix(kind)?.strip_suffix(".receipt")?;
    if rest.is_empty() {
        return Some(1);
    }
    let digits = rest.strip_prefix('-')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// What is no regular file, or longer than such a file may be, is none of ours: handed on empty, it
/// is refused by its own check, and the other parts are judged all the same.
///
/// # Errors
/// It is there and can't be read.
pub(crate) fn read_if_there(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::symlink_metadata(path) {
        Ok(seen) if seen.is_file() && seen.len() <= BESIDE_BYTES => {
            read(path, BESIDE_BYTES).map(Some)
        }
        Ok(_) => Ok(Some(Vec::new())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} can't be read.", path.display())),
    }
}

/// The identities of a key file.
///
/// # Errors
/// It can't be read, or holds no identity.
pub fn identities(path: &Path) -> anyhow::Result<Vec<Identity>> {
    let bytes = zeroize::Zeroizing::new(read(path, KEY_BYTES)?);
    let text = std::str::from_utf8(&bytes)
        .with_context(|| format!("{} is not a text file.", path.display()))?;
    Identity::parse_file(text).with_context(|| format!("{} can't be used.", path.display()))
}

/// So much room is left where a file is read to its end, which is looked for there.
const GROWTH_BYTES: u64 = 64;

/// Reads a small file whole.
///
/// # Errors
/// It can't be read, or is longer than `limit_bytes`.
pub fn read(path: &Path, limit_bytes: u64) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let file = fs::File::open(path).with_context(|| format!("{shown} can't be opened."))?;
    // Read in place: one that grows would leave what it held behind, and it may be a key.
    let length_bytes = file.metadata().map_or(0, |found| found.len());
    let room = length_bytes.min(limit_bytes) + GROWTH_BYTES;
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
    file.take(limit_bytes + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("{shown} can't be read."))?;
    if bytes.len() as u64 > limit_bytes {
        bail!("{shown} is longer than such a file may be.");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_known_by_their_names() {
        for (name, part) in [
            ("part-0001.zip", true),
            ("x/part-0001.zip.age", true),
            ("part-0001.statement.json", false),
            ("part-.zip", false),
            ("part-1a.zip", false),
            ("backup.zip", false),
        ] {
            assert_eq!(is_part(Path::new(name)), part, "{name}");
        }
        assert_eq!(
            stem(Path::new("x/part-0001.zip.age")),
            Path::new("x/part-0001")
        );
    }
}
