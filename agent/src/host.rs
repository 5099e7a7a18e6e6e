//! Which machine this is and which program reads it, for collection.json.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    path::Path,
    sync::OnceLock,
};

use evidence::{
    digest::{Digest, DigestWriter},
    ids::HostId,
    instant::Instant,
    records::HostIdentity,
};
use protocol::{enrolment::HostFacts, name::NotAName};

use crate::{files::open::read_small, platform::program};

mod hardware;

/// No file that tells of the machine is longer.
const FACT_BYTES_MAX: u64 = 64 * 1024;
/// The longest text that a host says of itself.
const FACT_BYTES: usize = 200;
/// What a disk does not tell.
const UNKNOWN: &str = "unknown";
const READ_BYTES: usize = 64 * 1024;

/// The running machine, as it describes itself; what can't be read stays out.
pub fn identity(root: &Path) -> HostIdentity {
    let (hostname, kernel) = program::host_and_kernel();
    HostIdentity {
        hostname,
        os: std::env::consts::OS.to_owned(),
        os_version: pretty_name(root),
        kernel,
        arch: std::env::consts::ARCH.to_owned(),
        machine_id: machine_id(root),
        hardware: hardware::of(root),
    }
}

/// The machine whose disk is mounted at `root`, as far as the disk tells.
pub fn of_disk(root: &Path) -> HostIdentity {
    HostIdentity {
        hostname: line(root, "/etc/hostname").unwrap_or_else(|| UNKNOWN.to_owned()),
        os: of_system(root).to_owned(),
        os_version: pretty_name(root),
        kernel: None,
        arch: UNKNOWN.to_owned(),
        machine_id: machine_id(root),
        hardware: None,
    }
}

/// What a host says of itself to the server; nothing is decided by it.
///
/// # Errors
/// The system or the architecture has a name that is none.
pub fn facts(identity: &HostIdentity, id: HostId) -> Result<HostFacts, NotAName> {
    Ok(HostFacts {
        id,
        hostname: tame(&identity.hostname),
        os: std::env::consts::OS.parse()?,
        arch: std::env::consts::ARCH.parse()?,
        system: system_of(identity),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

fn system_of(identity: &HostIdentity) -> String {
    let system = identity.os_version.as_ref().or(identity.kernel.as_ref());
    system.map_or_else(String::new, |text| tame(text))
}

/// The running system and its version, read once: behind the courier's walls it can't be read any more.
pub fn system() -> &'static str {
    static SYSTEM: OnceLock<String> = OnceLock::new();
    SYSTEM.get_or_init(|| system_of(&identity(Path::new("/"))))
}

/// Which system the disk has, by what only such a system has.
fn of_system(root: &Path) -> &'static str {
    match ["/etc/os-release", "/etc/passwd", "/etc/fstab"]
        .iter()
        .any(|p| small(root, p).is_some())
    {
        true => "linux",
        false => UNKNOWN,
    }
}

/// When the machine was started, from /proc/stat.
pub fn boot_time(root: &Path) -> Option<Instant> {
    let text = fact(&root.join("proc/stat"))?;
    let line = text.lines().find_map(|l| l.strip_prefix("btime "))?;
    let seconds = line.trim().parse().ok()?;
    Some(Instant { seconds, ns: 0 })
}

/// The digest of the program that runs, read once.
pub fn own_digest() -> Option<Digest> {
    static OWN: OnceLock<Option<Digest>> = OnceLock::new();
    *OWN.get_or_init(|| {
        let program = File::open(program::own_path().ok()?).ok()?;
        let mut program = BufReader::with_capacity(READ_BYTES, program);
        let mut hash = DigestWriter::new(io::sink());
        io::copy(&mut program, &mut hash).ok()?;
        Some(hash.finish().1)
    })
}

fn machine_id(root: &Path) -> Option<String> {
    line(root, "/etc/machine-id")
}

fn pretty_name(root: &Path) -> Option<String> {
    let text = small(root, "/etc/os-release")?;
    let value = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="))?;
    Some(tame(value.trim().trim_matches('"')))
}

/// The first line of a file that is no comment, where it says anything; as one short word, whatever the disk holds.
fn line(root: &Path, path: &str) -> Option<String> {
    let text = small(root, path)?;
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(tame(line))
}

/// At most so many bytes of it, and nothing in it that steers a terminal.
fn tame(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '?' } else { c };
    let mut tame: String = text.chars().map(plain).collect();
    tame.truncate(tame.floor_char_boundary(FACT_BYTES));
    tame
}

/// A small file of the tree, links kept inside it.
fn small(root: &Path, path: &str) -> Option<String> {
    let bytes = read_small(root, Path::new(path), FACT_BYTES_MAX).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn fact(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(FACT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_fixture() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::create_dir_all(root.path().join("proc")).unwrap();
        std::fs::write(root.path().join("etc/os-release"), "PRETTY_NAME=\"X 1\"\n").unwrap();
        std::fs::write(root.path().join("proc/stat"), "cpu 1\nbtime 17\n").unwrap();
        assert_eq!(identity(root.path()).os_version.as_deref(), Some("X 1"));
        std::fs::write(root.path().join("etc/machine-id"), "\n").unwrap();
        let hostile = "# a comment\n\n name\x1b[2J\u{e9}".to_owned() + &"\u{fffd}".repeat(200);
        std::fs::write(root.path().join("etc/hostname"), hostile).unwrap();
        let name = of_disk(root.path()).hostname;
        assert!(name.starts_with("name?[2J\u{e9}\u{fffd}") && name.len() <= FACT_BYTES);
        std::fs::write(root.path().join("etc/hostname"), "dead-1\n").unwrap();
        let dead = of_disk(root.path());
        assert_eq!((dead.hostname.as_str(), dead.machine_id), ("dead-1", None));
        assert_eq!((dead.arch.as_str(), dead.kernel), ("unknown", None));
        assert_eq!(boot_time(root.path()).unwrap().seconds, 17);
        assert!(own_digest().is_some());
    }
}
