//! A host with next to nothing on it: a kernel, busybox as its only tool, and the libraries that one program asks for.
//!
//! It is a folder that a process changes its root to, in a namespace of its own; nothing of it outlives the process.

use std::{
    ffi::OsStr,
    fs,
    io::Read as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::programs::{self, Outcome, as_root};

/// Root, and somebody without any right.
pub const ROOT: u32 = 0;
/// See [`ROOT`].
pub const SOMEBODY: u32 = 4711;

/// Where the stick is, seen from the host.
pub const STICK: &str = "/mnt";

/// What a user other than root may not read.
pub const SECRET: &str = "/etc/shadow";

/// Makes the host out of the folder `$1` with the stick `$2`, as the user `$3`, and runs the rest in it.
const ENTER: &str = r#"
set -e
root=$1 stick=$2 user=$3 writable=$4
shift 4
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind "$stick" "$root/mnt"
if [ "$writable" = no ]; then
    for place in "$root/dev" "$root/proc" "$root"; do mount -o remount,bind,ro "$place"; done
fi
exec chroot --userspec="$user:$user" "$root" /bin/env -i PATH=/bin "$@"
"#;

/// See the module.
#[derive(Debug)]
pub struct BareHost {
    root: PathBuf,
    is_writable: bool,
}

impl BareHost {
    /// Makes it in the new folder `root`, for `program`, with this machine's libraries or, of the same names, those in
    /// the folder `glibc`.
    ///
    /// # Errors
    /// There is no static busybox, a library is not there, or a file can't be written.
    pub fn install(root: &Path, program: &Path, glibc: Option<&Path>) -> anyhow::Result<Self> {
        for folder in ["bin", "dev", "etc", "home/alice", "mnt", "proc", "tmp"] {
            fs::create_dir_all(root.join(folder))?;
        }
        tools(&root.join("bin"))?;
        for library in libraries(program)? {
            let name = library.file_name().context("a library has a name")?;
            // Another glibc looks for its own where it would on any system.
            let (from, to) = match glibc {
                Some(folder) => (folder.join(name), Path::new("/lib64").join(name)),
                None => (library.clone(), library.clone()),
            };
            let to = root.join(to.strip_prefix("/")?);
            fs::create_dir_all(to.parent().context("a library lies in a folder")?)?;
            fs::copy(&from, &to).with_context(|| format!("{} can't be had", from.display()))?;
        }
        let files = [
            ("etc/hostname", "plc-gw-1\n"),
            (
                "etc/passwd",
                "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
            ),
            ("etc/group", "root:x:0:\nalice:x:1000:\n"),
            ("etc/shadow", "root:*:1::::::\n"),
            ("home/alice/note", "a note\n"),
        ];
        for (name, text) in files {
            fs::write(root.join(name), text)?;
        }
        fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
        let secret = root.join(SECRET.trim_start_matches('/'));
        fs::set_permissions(secret, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            root: root.to_owned(),
            is_writable: true,
        })
    }

    /// The same host, of which nothing can be written but the stick.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            is_writable: false,
            ..self
        }
    }

    /// Runs a command on it, as `user`, with `stick` plugged in.
    ///
    /// # Errors
    /// The host can't be made; that needs root.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        stick: &Path,
        user: u32,
        command: &[S],
    ) -> anyhow::Result<Outcome> {
        let mut enter = as_root("unshare");
        enter.args(["--mount", "--pid", "--fork", "--kill-child"]);
        enter.args(["sh", "-c", ENTER, "enter"]);
        enter.arg(&self.root).arg(stick).arg(user.to_string());
        enter.arg(if self.is_writable { "yes" } else { "no" });
        programs::run(enter.args(command), &|_: &str| {})
    }
}

/// Busybox, under the name of each of its tools.
fn tools(bin: &Path) -> anyhow::Result<()> {
    const MISSING: &str = "there is no static busybox. Install the package busybox-static.";
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let busybox = busybox
        .into_iter()
        .find(|path| path.is_file())
        .context(MISSING)?;
    ensure!(libraries(busybox)?.is_empty(), MISSING);
    fs::copy(busybox, bin.join("busybox"))?;
    let list = Command::new(busybox).arg("--list").output()?;
    for tool in String::from_utf8(list.stdout)?.lines() {
        if tool != "busybox" {
            symlink("busybox", bin.join(tool))?;
        }
    }
    Ok(())
}

/// The libraries of a program and what loads them, by their absolute paths; none of a static one.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut head = [0; 4];
    fs::File::open(program)?.read_exact(&mut head)?;
    ensure!(head == *b"\x7fELF", "{} is no program", program.display());
    let told = Command::new("ldd")
        .arg(program)
        .stderr(Stdio::null())
        .output()?;
    let told = String::from_utf8(told.stdout)?;
    let path = |line: &str| {
        let mut words = line.split_whitespace();
        words.find(|word| word.starts_with('/')).map(PathBuf::from)
    };
    Ok(told.lines().filter_map(path).collect())
}
