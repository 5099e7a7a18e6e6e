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

/// No statement is longer.
const BESIDE_BYTES: u64 = 4 << 20;
/// Receipts of one kind in one folder: a seal key is renewed every few years, and agents are not revoked often.
const PAPERS_READ: usize = 64;
/// No key file or certificate file is longer.
const KEY_BYTES: u64 = 1 << 20;

/// The parts that the paths name: files as given, folders searched (not through links).
///
/// # Errors
/// A path can't be read, or there is no part at all.
pub fn parts(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    for path in paths {
        let is_folder = fs::metadata(path)
            .with_context(|| format!("{} can't be read. Check the path.", path.display()))?
            .is_dir();
        if !is_folder {
            found.insert(path.clone());
            continue;
        }
        for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
            let entry = entry.with_context(|| format!("{} can't be listed.", path.display()))?;
            if entry.file_type().is_file() && is_part(entry.path()) {
                found.insert(entry.into_path());
            }
        }
    }
    if found.is_empty() {
        bail!("There is no part (part-NNNN.zip or .zip.age) there. Name parts or their folder.");
    }
    Ok(found.into_iter().collect())
}

/// Whether the name is that of a part; what was extracted from one is not taken for evidence.
fn is_part(path: &Path) -> bool {
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
        statement: next_to(".statement.json")?,
        stamp: next_to(".tsr")?,
        receipt: next_to(".receipt")?,
        enrolments: papers(part, "enrolment")?,
        revocations: papers(part, "revocation")?,
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
pub(super) fn number_of_paper(name: &str, kind: &str) -> Option<u64> {
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
fn read_if_there(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
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

/// Reads a small file whole.
///
/// # Errors
/// It can't be read, or is longer than `limit_bytes`.
pub fn read(path: &Path, limit_bytes: u64) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let file = fs::File::open(path).with_context(|| format!("{shown} can't be opened."))?;
    let mut bytes = Vec::new();
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
