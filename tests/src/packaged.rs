//! A release's folder out of the programs that tests have, made once; and packages of it in a distribution's root.

use std::{
    collections::hash_map::DefaultHasher,
    ffi::OsStr,
    fs::{self, File},
    hash::{Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::{
    distribution::{Distribution, must},
    programs::Programs,
};

/// What the packages' scripts are told is `systemctl`: enabling is done, as in any root; the rest is for a running service
/// manager, and is written down for whoever plays it.
const SYSTEMCTL: &str = r#"#!/bin/sh
case " $* " in
*" enable "* | *" disable "* | *" is-enabled "*) SYSTEMD_OFFLINE=1 exec "$0.real" "$@" ;;
*" is-active "*) exit 3 ;;
*" show "*) cat /run/systemctl.show 2>/dev/null || true ;;
*) echo "$*" >>/run/systemctl.log ;;
esac
"#;

/// See the module.
#[derive(Debug)]
pub struct Packaged {
    folder: PathBuf,
    /// None where they are a release's, under the names that it has for them.
    programs: Option<PathBuf>,
}

impl Packaged {
    /// Makes it, or takes the one that was made of the same.
    ///
    /// # Errors
    /// `packaging/release.sh` fails.
    pub fn make() -> anyhow::Result<Self> {
        let programs = Programs::build()?.path("");
        let target = programs.parent().context("the programs lie nowhere")?;
        let folder = target.join("packaged");
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        let made = folder.join(format!("{:016x}", state_of(&programs)?));
        if !made.is_dir() {
            for old in fs::read_dir(&folder)?.filter_map(Result::ok) {
                if old.path().is_dir() {
                    fs::remove_dir_all(old.path())?;
                }
            }
            let half = folder.join("half");
            let mut release = Command::new(source().join("packaging/release.sh"));
            release.arg("--from").arg(&programs).arg(&half);
            must(&mut release)?;
            fs::rename(&half, &made)?;
        }
        Ok(Self {
            folder: made,
            programs: Some(programs),
        })
    }

    /// One that was made before, by whatever way.
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            programs: None,
        }
    }

    /// Packages of the same programs that count as newer, made in `dir`, which must not be there yet.
    ///
    /// # Errors
    /// `packaging/packages.sh` fails.
    pub fn newer(&self, dir: &Path) -> anyhow::Result<Self> {
        let mut pack = Command::new(source().join("packaging/packages.sh"));
        pack.env("FIELDSEAL_REVISION", "2");
        let renamed = dir.with_extension("programs");
        let programs = match &self.programs {
            Some(programs) => programs,
            None => self.rename_to(&renamed)?,
        };
        must(pack.arg(programs).arg(dir).arg("gzip"))?;
        Ok(Self {
            folder: dir.to_owned(),
            programs: self.programs.clone(),
        })
    }

    /// The programs of a release under their own names in `folder`.
    fn rename_to<'f>(&self, folder: &'f Path) -> anyhow::Result<&'f Path> {
        fs::create_dir(folder)?;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.split_once("-linux-"));
            if let Some((name, _)) = name {
                fs::copy(entry.path(), folder.join(name))?;
            }
        }
        Ok(folder)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The package of this name and kind (`deb`, `rpm`).
    ///
    /// # Errors
    /// There is not one.
    pub fn package(&self, name: &str, kind: &str) -> anyhow::Result<PathBuf> {
        let separator = if kind == "deb" { '_' } else { '-' };
        let is_it = |path: &PathBuf| {
            let file = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let rest = file
                .strip_prefix(name)
                .and_then(|r| r.strip_prefix(separator));
            path.extension().is_some_and(|e| e == kind)
                && rest.is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()))
        };
        let all = fs::read_dir(&self.folder)?.filter_map(|e| Some(e.ok()?.path()));
        let found: Vec<_> = all.filter(is_it).collect();
        ensure!(found.len() == 1, "packages of {name}: {found:?}");
        Ok(found[0].clone())
    }
}

/// Plays a running service manager to the scripts of packages in `root`, from here on.
///
/// # Errors
/// The root can't be written to.
pub fn play_systemd(root: &Distribution) -> anyhow::Result<()> {
    // In its place: rpm gives scripts a path of its own.
    let place = root.shell(
        "it=$(command -v systemctl); mv $it $it.real; mkdir -p /run/systemd/system; echo $it",
    )?;
    root.write(place.trim(), SYSTEMCTL)
}

/// What the service manager says of any unit from here on, as `systemctl show` does; nothing where it is empty.
///
/// # Errors
/// The root can't be written to.
pub fn systemd_says(root: &Distribution, shown: &str) -> anyhow::Result<()> {
    root.write("/run/systemctl.show", shown)
}

/// Leaves nothing of that behind.
///
/// # Errors
/// The root can't be written to.
pub fn stop_playing(root: &Distribution) -> anyhow::Result<()> {
    let back = "it=$(command -v systemctl); mv $it.real $it; rm -r /run/systemd /run/systemctl.*";
    root.shell(back).map(drop)
}

/// What the service manager was asked for since it was last looked.
///
/// # Errors
/// The root can't be read.
pub fn asked_of_systemd(root: &Distribution) -> anyhow::Result<Vec<String>> {
    let asked =
        root.shell("touch /run/systemctl.log; cat /run/systemctl.log; : >/run/systemctl.log")?;
    Ok(asked.lines().map(str::to_owned).collect())
}

/// The source's root.
pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A number that is another one when what a release is made of is another.
fn state_of(programs: &Path) -> anyhow::Result<u64> {
    let mut hash = DefaultHasher::new();
    for name in ["fieldseal-agent", "fieldseal-server", "fieldseal"] {
        let seen = fs::metadata(programs.join(name))?;
        (name, seen.len(), seen.modified()?).hash(&mut hash);
    }
    let mut waiting = vec![source().join("packaging")];
    let manifests = ["agent", "collector-server", "investigator"];
    waiting.extend(manifests.map(|m| source().join(m).join("Cargo.toml")));
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let mut below: Vec<_> = fs::read_dir(&path)?
                .filter_map(|e| Some(e.ok()?.path()))
                .collect();
            below.sort();
            waiting.extend(below);
        } else {
            (path.as_os_str(), fs::read(&path)?).hash(&mut hash);
        }
    }
    Ok(hash.finish())
}
