//! `fieldseal open`: decrypts each part, and extracts them one folder a part.
//!
//! It writes only new files below the folders that it was given; `verify` says what they are worth.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use evidence::{
    archive::{self, Limits},
    names,
    wrap::{Identity, UnwrapReader},
};

use super::files;
use crate::{cli::Open, exit::Exit, inert::inert};

/// Runs it.
///
/// # Errors
/// A part can't be decrypted, or a file can't be written. Nothing half written stays.
pub fn run(args: &Open) -> anyhow::Result<Exit> {
    let identities = files::identities(&args.identity)?;
    let mut parts = files::parts(&args.parts)?;
    parts.retain(|p| p.extension().is_some_and(|e| e == "age"));
    if parts.is_empty() {
        bail!("None of these is an encrypted part (.zip.age). Name those.");
    }
    fs::create_dir_all(&args.output)
        .with_context(|| format!("{} can't be made.", args.output.display()))?;
    let mut exit = Exit::Done;
    for part in &parts {
        let opened = decrypt(part, &identities, &args.output)?;
        say(&format!("{} opened", opened.display()))?;
        if let Some(root) = &args.extract
            && !extract(&opened, root)?
        {
            exit = Exit::Partial;
        }
    }
    Ok(exit)
}

/// Decrypts `part` into the folder, under its own name without `.age`.
fn decrypt(part: &Path, identities: &[Identity], output: &Path) -> anyhow::Result<PathBuf> {
    let shown = part.display();
    let file = File::open(part).with_context(|| format!("{shown} can't be opened."))?;
    let mut plain = UnwrapReader::new(identities, BufReader::with_capacity(1 << 17, file))
        .with_context(|| format!("{shown} can't be decrypted."))?;
    let Some(name) = part.file_stem() else {
        bail!("{shown} has no name.");
    };
    let target = output.join(name);
    // What is not whole must not look whole: the name comes last.
    let unfinished = output.join(format!(".{}.unfinished", name.to_string_lossy()));
    let copied = copy_new(&mut plain, &unfinished);
    if let Err(error) = copied {
        let _best_effort = fs::remove_file(&unfinished);
        return Err(error).with_context(|| format!("{shown} can't be decrypted whole."));
    }
    if target.exists() {
        let _best_effort = fs::remove_file(&unfinished);
        bail!(
            "{} is there already. Choose another folder.",
            target.display()
        );
    }
    fs::rename(&unfinished, &target)
        .with_context(|| format!("{} can't be written.", target.display()))?;
    Ok(target)
}

fn copy_new(from: &mut (impl Read + ?Sized), to: &Path) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 17, File::create_new(to)?);
    io::copy(from, &mut file)?;
    file.flush()?;
    file.get_ref().sync_all()
}

/// Extracts one part into a folder of its own; says whether the ZIP was without fault.
fn extract(zip: &Path, root: &Path) -> anyhow::Result<bool> {
    let folder = free_folder(root, zip)?;
    let file = File::open(zip).with_context(|| format!("{} can't be opened.", zip.display()))?;
    let mut taken = HashSet::new();
    let mut renamed = Vec::new();
    let report = archive::read(BufReader::new(file), &Limits::default(), |entry, plain| {
        if names::check(&entry.name).is_err() || entry.is_folder() {
            return Ok(());
        }
        let name = free_name(&entry.name, &mut taken);
        if name != entry.name {
            renamed.push((entry.name.clone(), name.clone()));
        }
        let target = folder.join(&name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        copy_new(plain, &target)
    })
    .with_context(|| format!("{} can't be extracted.", zip.display()))?;
    for (entry, name) in &renamed {
        say(&format!(
            "{entry} collides with another name and lies under {name}"
        ))?;
    }
    for fault in &report.faults {
        say(&format!("fault in {}: {fault}", zip.display()))?;
    }
    say(&format!("{} extracted", folder.display()))?;
    Ok(report.faults.is_empty())
}

/// A new folder named after the part: two parts never share one.
fn free_folder(root: &Path, zip: &Path) -> anyhow::Result<PathBuf> {
    let stem = files::stem(zip);
    let name = stem.file_name().unwrap_or_default();
    fs::create_dir_all(root).with_context(|| format!("{} can't be made.", root.display()))?;
    let folder = root.join(name);
    fs::create_dir(&folder).with_context(|| {
        format!(
            "{} can't be made. Choose a folder where it is free.",
            folder.display()
        )
    })?;
    Ok(folder)
}

/// A name whose file does not collide on file systems that fold case or drop final dots.
fn free_name(entry: &str, taken: &mut HashSet<String>) -> String {
    let name: Vec<String> = entry.split('/').map(windows_safe).collect();
    let name = name.join("/");
    let mut candidate = name.clone();
    let mut count = 1;
    while !taken.insert(candidate.to_lowercase()) {
        count += 1;
        candidate = format!("{name}~{count}");
    }
    candidate
}

/// Characters and endings that Windows can't hold, escaped as the archive's own names are.
fn windows_safe(component: &str) -> String {
    let mut safe = String::with_capacity(component.len());
    for c in component.chars() {
        if "<>:\"|?*".contains(c) {
            safe.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    if safe.ends_with(['.', ' ']) {
        let last = safe.pop().unwrap_or_default();
        safe.push_str(&format!("%{:02X}", u32::from(last)));
    }
    let base = safe
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let numbered = base.len() == 4
        && (base.starts_with("COM") || base.starts_with("LPT"))
        && base.ends_with(|c: char| c.is_ascii_digit());
    if numbered || matches!(base.as_str(), "CON" | "PRN" | "AUX" | "NUL") {
        safe.insert(0, '_');
    }
    safe
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", inert(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_collide_stay_apart() {
        let mut taken = HashSet::new();
        let names = ["fs/a/README", "fs/a/readme", "fs/a/Readme"];
        let free: HashSet<_> = names
            .iter()
            .map(|n| free_name(n, &mut taken).to_lowercase())
            .collect();
        assert_eq!(free.len(), 3);
        assert_eq!(windows_safe("a:b"), "a%3Ab");
        assert_eq!(windows_safe("x. "), "x.%20");
        assert_eq!(windows_safe("nul.txt"), "_nul.txt");
    }
}
