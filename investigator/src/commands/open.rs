//! `fieldseal open`: decrypts each part, and extracts them one folder a part.
//!
//! It writes only new files below the folders that it was given; `verify` says what they are worth.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use evidence::{
    digest::DigestWriter,
    wrap::{Identity, UnwrapReader},
};

use super::{aside::Aside, files};
use crate::{
    cli::Open,
    exit::{Exit, OrMisuse as _, misuse},
    inert::inert,
    open::{self, Extracted},
    private,
};

/// Runs it.
///
/// # Errors
/// A part can't be decrypted, or a file can't be written. Nothing half written stays.
pub fn run(args: &Open) -> anyhow::Result<Exit> {
    let mut say = |line: &str| writeln!(io::stdout().lock(), "{}", inert(line));
    let plain = decrypt_all(args, &mut say)?;
    let Some(root) = &args.extract else {
        return Ok(Exit::Done);
    };
    let folders = by_folder(&plain, root);
    for (folder, zips) in &folders {
        open::check_free(folder, zips)?;
    }
    let mut is_whole = true;
    for (folder, zips) in folders {
        let mut extracted: Vec<Extracted> = Vec::new();
        for zip in zips {
            let part = open::extract(&zip, &folder, &mut say)?;
            is_whole &= part.is_whole;
            extracted.push(part);
        }
        is_whole &= open::join(&extracted, &folder.join(open::JOINED), &mut say)?;
    }
    Ok(if is_whole { Exit::Done } else { Exit::Partial })
}

/// Decrypts what is encrypted; gives every plain part, those that were given so included.
fn decrypt_all(
    args: &Open,
    say: &mut dyn FnMut(&str) -> io::Result<()>,
) -> anyhow::Result<Vec<PathBuf>> {
    let identities = match &args.identity {
        Some(path) => files::identities(path).or_misuse()?,
        None => Vec::new(),
    };
    let files::Found { parts, aside } = files::parts(&args.parts)?;
    for Aside { file, why } in &aside {
        writeln!(io::stderr(), "{}: {why}", inert(file))?;
    }
    let is_encrypted = |part: &&PathBuf| part.extension().is_some_and(|e| e == "age");
    let (encrypted, given): (Vec<_>, Vec<_>) = parts.iter().partition(is_encrypted);
    if encrypted.is_empty() && args.extract.is_none() {
        let why = "None of these is an encrypted part (.zip.age). Name those, or say --extract.";
        return Err(misuse(why));
    }
    if !encrypted.is_empty() && identities.is_empty() {
        let why = "Encrypted parts need the vault's key. Name its file with --identity.";
        return Err(misuse(why));
    }
    let mut plain = Vec::new();
    for part in encrypted {
        let output = match &args.output {
            Some(output) => output.clone(),
            None => part.parent().unwrap_or(Path::new("")).to_owned(),
        };
        let opened = decrypt(part, &identities, &output)?;
        say(&format!("{} opened", opened.display()))?;
        plain.push(opened);
    }
    plain.extend(given.into_iter().cloned());
    plain.sort();
    plain.dedup();
    Ok(plain)
}

/// Parts by the folder to extract them into: parts from several folders do not share one.
fn by_folder(plain: &[PathBuf], root: &Path) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut parents: BTreeMap<&Path, Vec<PathBuf>> = BTreeMap::new();
    for zip in plain {
        let parent = zip.parent().unwrap_or(Path::new(""));
        parents.entry(parent).or_default().push(zip.clone());
    }
    if parents.len() == 1 {
        return parents
            .into_values()
            .map(|zips| (root.to_owned(), zips))
            .collect();
    }
    let mut folders = BTreeMap::new();
    for (number, (parent, zips)) in parents.into_iter().enumerate() {
        let name = parent.file_name().unwrap_or_default();
        let mut folder = root.join(name);
        if name.is_empty() || folders.contains_key(&folder) {
            folder = root.join(format!("{}-{number}", name.to_string_lossy()));
        }
        folders.insert(folder, zips);
    }
    folders
}

/// Decrypts `part` into the folder, under its own name without `.age`.
fn decrypt(part: &Path, identities: &[Identity], output: &Path) -> anyhow::Result<PathBuf> {
    let shown = part.display();
    let Some(name) = part.file_stem() else {
        bail!("{shown} has no name.");
    };
    let target = output.join(name);
    if fs::symlink_metadata(&target).is_ok() {
        return same_as(part, identities, target);
    }
    if !output.as_os_str().is_empty() {
        private::create_folder(output)
            .with_context(|| format!("{} can't be made.", output.display()))?;
    }
    // What is not whole must not look whole: the name comes last.
    let unfinished = output.join(format!(
        ".{}.{}.unfinished",
        name.to_string_lossy(),
        std::process::id()
    ));
    let copied = copy_new(&mut plain_of(part, identities)?, &unfinished);
    if let Err(error) = copied {
        let _best_effort = fs::remove_file(&unfinished);
        return Err(error).with_context(|| format!("{shown} can't be decrypted whole."));
    }
    fs::rename(&unfinished, &target)
        .with_context(|| format!("{} can't be written.", target.display()))?;
    Ok(target)
}

/// What lies there already is kept where it is the same, and never overwritten.
fn same_as(part: &Path, identities: &[Identity], target: PathBuf) -> anyhow::Result<PathBuf> {
    let digest = |from: &mut dyn Read| -> io::Result<_> {
        let mut digest = DigestWriter::new(io::sink());
        io::copy(from, &mut digest)?;
        let (_, sha256, size_bytes) = digest.finish();
        Ok((sha256, size_bytes))
    };
    let shown = part.display();
    let inside = digest(&mut plain_of(part, identities)?)
        .with_context(|| format!("{shown} can't be decrypted whole."))?;
    let there = File::open(&target)
        .and_then(|mut file| digest(&mut file))
        .with_context(|| format!("{} can't be read.", target.display()))?;
    if inside != there {
        bail!(
            "{} is there already, and is something else. Choose another folder with --output.",
            target.display()
        );
    }
    Ok(target)
}

/// What is in an encrypted part.
///
/// # Errors
/// It can't be read, or none of the keys opens it.
pub(crate) fn plain_of(
    part: &Path,
    identities: &[Identity],
) -> anyhow::Result<UnwrapReader<BufReader<File>>> {
    let shown = part.display();
    let file = File::open(part).with_context(|| format!("{shown} can't be opened."))?;
    UnwrapReader::new(identities, BufReader::with_capacity(1 << 17, file))
        .with_context(|| format!("{shown} can't be decrypted."))
}

fn copy_new(from: &mut impl Read, to: &Path) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 17, private::new_file(to)?);
    io::copy(from, &mut file)?;
    file.flush()?;
    file.get_ref().sync_all()
}
