//! The userland of a Linux distribution in a folder, to install packages in: made once by debootstrap, and copied.
//!
//! It is entered by a change of root in namespaces of its own, so that nothing of it outlives a command. It has no service
//! manager that runs; who needs one plays it (`packaged.rs`).

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::programs::{self, Outcome, as_root};

/// What a small installation lacks and tests need; another list makes other roots.
const INCLUDED: &str = "curl,python3,python3-apt,systemd";

/// Enters the root `$1`, with this host's devices and the network, and runs the rest in it.
const ENTER: &str = r#"
set -e
root=$1
shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
"#;

/// See the module. What is here is removed when it is dropped.
#[derive(Debug)]
pub struct Distribution {
    root: PathBuf,
}

/// A suite, and where its packages come from.
#[derive(Debug, Clone)]
pub struct Suite {
    /// As in `bookworm`.
    pub name: String,
    /// Its archive.
    pub archive: String,
    /// How debootstrap goes about a suite that is younger than itself.
    way: &'static str,
    /// Whether its archive's signature is looked at: not where this system has no key of it.
    pub is_verified: bool,
}

impl Suite {
    /// This system's own, from where it gets its own packages.
    ///
    /// # Errors
    /// It is no Debian and no Ubuntu, or apt has no list.
    pub fn own() -> anyhow::Result<Self> {
        let release = fs::read_to_string("/etc/os-release")?;
        let name = release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .context("this system's release has no name")?
            .to_owned();
        let mut ask = Command::new("apt-get");
        ask.args(["indextargets", "--format", "$(CODENAME) $(REPO_URI)"]);
        let told = programs::run(&mut ask, &|_: &str| {})?.out;
        let archive = told
            .lines()
            .find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '))
            .context("apt has no list of this system's packages. Run apt-get update.")?;
        Ok(Self {
            archive: archive.to_owned(),
            way: way_of(
                archive
                    .trim_end_matches('/')
                    .rsplit('/')
                    .next()
                    .unwrap_or_default(),
            ),
            name,
            is_verified: true,
        })
    }

    /// Another one, of Debian or of Ubuntu, from where this system gets its own packages: mirrors hold both side by side.
    ///
    /// # Errors
    /// As for [`Self::own`].
    pub fn other(distribution: &str, name: &str) -> anyhow::Result<Self> {
        let own = Self::own()?.archive;
        let (host, _) = own
            .trim_end_matches('/')
            .rsplit_once('/')
            .context("apt's list lies nowhere")?;
        // Where debootstrap looks for it; a Debian has no package of Ubuntu's keys.
        let keys = format!("/usr/share/keyrings/{distribution}-archive-keyring.gpg");
        Ok(Self {
            archive: format!("{host}/{distribution}"),
            way: way_of(distribution),
            name: name.to_owned(),
            is_verified: Path::new(&keys).is_file(),
        })
    }
}

/// By the names of the suites that began it: debootstrap has only these two, and names of suites that lead to them.
fn way_of(distribution: &str) -> &'static str {
    match distribution {
        "ubuntu" => "/usr/share/debootstrap/scripts/gutsy",
        _ => "/usr/share/debootstrap/scripts/sid",
    }
}

impl Distribution {
    /// A fresh one of `suite` in the new folder `root`.
    ///
    /// # Errors
    /// It can't be made: that needs root, debootstrap, and the archive.
    pub fn install(suite: &Suite, root: &Path) -> anyhow::Result<Self> {
        Self::with(suite, INCLUDED, root)
    }

    /// The same with other packages beside the least.
    ///
    /// # Errors
    /// As for [`Self::install`].
    pub fn with(suite: &Suite, included: &str, root: &Path) -> anyhow::Result<Self> {
        let base = base(suite, included)?;
        must(
            as_root("cp")
                .args(["-a", "--reflink=auto"])
                .args([&base, root]),
        )?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Where `path`, which is absolute, lies for us.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A command in it, to be given further arguments; what it leaves running ends with it.
    pub fn command(&self, program: &str) -> Command {
        self.enter(&["--mount", "--pid", "--fork", "--kill-child"], program)
    }

    /// A program in it that runs on beside us: the process is its own, so that signals reach it.
    pub fn service(&self, program: &str) -> Command {
        self.enter(&["--mount"], program)
    }

    fn enter(&self, how: &[&str], program: &str) -> Command {
        let mut enter = as_root("unshare");
        enter
            .args(how)
            .args(["sh", "-c", ENTER, "enter"])
            .arg(&self.root)
            .arg(program);
        enter
    }

    /// Runs a command in it to its end, whatever its exit code.
    ///
    /// # Errors
    /// It can't be started.
    pub fn run<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> anyhow::Result<Outcome> {
        programs::run(self.command(program).args(arguments), &|_: &str| {})
    }

    /// Runs lines of shell in it that must go well; gives what they print.
    ///
    /// # Errors
    /// They don't.
    pub fn shell(&self, lines: &str) -> anyhow::Result<String> {
        must(self.command("sh").args(["-euc", lines]))
    }

    /// Copies a file of ours to `path` in it.
    ///
    /// # Errors
    /// It can't be copied.
    pub fn bring(&self, file: &Path, path: &str) -> anyhow::Result<()> {
        must(as_root("cp").arg("-r").arg(file).arg(self.path(path))).map(drop)
    }

    /// Writes `text` to `path` in it, with the mode 0755.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new()?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        must(
            as_root("install")
                .args(["-D", "-m", "755"])
                .args([file.path(), &self.path(path)]),
        )
        .map(drop)
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        // Files of its users are not ours to remove.
        let _left = as_root("rm").arg("-rf").arg(&self.root).status();
    }
}

/// Runs a command that must end well; gives what it prints.
///
/// # Errors
/// It doesn't.
pub fn must(command: &mut Command) -> anyhow::Result<String> {
    let ended = programs::run(command, &|_: &str| {})?;
    ensure!(ended.code == 0, "{command:?} ended with {ended:#?}");
    Ok(ended.out)
}

/// The suite's root that others are copied from.
fn base(suite: &Suite, included: &str) -> anyhow::Result<PathBuf> {
    let name = format!("{}-{}", suite.name, included.replace(',', "-"));
    made_once(&name, |half| {
        let mut make = as_root("debootstrap");
        make.args(["--variant=minbase", &format!("--include={included}")]);
        if !suite.is_verified {
            make.arg("--no-check-gpg");
        }
        make.arg(&suite.name)
            .arg(half)
            .args([&*suite.archive, suite.way]);
        must(&mut make).context("the root of a distribution could not be made. That needs root, debootstrap and the archive.")
            .map(drop)
    })
}

/// What `make` makes at the path that it is given, below the folder that cargo builds into: made once, and kept.
///
/// # Errors
/// It can't be made.
pub(crate) fn made_once(
    name: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let build = own
        .ancestors()
        .find(|folder| folder.ends_with("debug") || folder.ends_with("release"));
    let folder = build
        .and_then(Path::parent)
        .context("this program was built nowhere")?
        .join("roots");
    fs::create_dir_all(&folder)?;
    let made = folder.join(name);
    // Another test may be making it.
    let lock = File::create(folder.join(format!("{name}.lock")))?;
    lock.lock()?;
    if made.is_dir() {
        return Ok(made);
    }
    let half = folder.join(format!("{name}.half"));
    must(as_root("rm").arg("-rf").arg(&half))?;
    make(&half)?;
    must(as_root("mv").args([&half, &made]))?;
    Ok(made)
}
