//! The agent's programs in a kit: which system each is for, by what it is made of.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use crate::exit::misuse;

/// The agent's name.
const AGENT: &str = "fieldseal-agent";
/// The kinds of hosts that a kit can have a program for.
const KINDS: [(&str, &str); 4] = [
    ("linux", "x86_64"),
    ("linux", "aarch64"),
    ("windows", "x86_64"),
    ("windows", "aarch64"),
];

/// A program to put into a kit.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// `linux` or `windows`.
    pub os: &'static str,
    /// `x86_64` or `aarch64`.
    pub arch: &'static str,
}

impl Program {
    /// Whether both are for one kind of host.
    fn runs_where(&self, other: &Self) -> bool {
        (self.os, self.arch) == (other.os, other.arch)
    }
}

/// The named programs, else those beside this program.
///
/// # Errors
/// One is not there, is no program for a system that we know, or two are for one.
pub fn find(named: &[PathBuf]) -> anyhow::Result<Vec<Program>> {
    if named.is_empty() {
        return all_beside(&own()?);
    }
    let mut found: Vec<Program> = Vec::new();
    for path in named {
        let program = read(path)?;
        if let Some(other) = found.iter().find(|p| p.runs_where(&program)) {
            return Err(misuse(format!(
                "{} and {} are both for {} on {}. Give one.",
                other.path.display(),
                program.path.display(),
                program.os,
                program.arch
            )));
        }
        found.push(program);
    }
    Ok(found)
}

/// The agent's program that lies beside this one.
///
/// # Errors
/// There is none.
pub fn beside() -> anyhow::Result<PathBuf> {
    let plain = plain_beside(&own()?);
    ensure!(
        plain.is_file(),
        "{} is not there. Name the agent's program with --agent.",
        plain.display()
    );
    Ok(plain)
}

fn own() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("This program doesn't know where it lies.")
}

fn plain_beside(own: &Path) -> PathBuf {
    own.with_file_name(format!("{AGENT}{}", std::env::consts::EXE_SUFFIX))
}

/// The programs beside `own` that were built for kits; the machine's own agent where none of them is for its kind of
/// system.
fn all_beside(own: &Path) -> anyhow::Result<Vec<Program>> {
    let made_for_kits = KINDS.map(|(os, arch)| own.with_file_name(kit_program(os, arch)));
    let there = made_for_kits.iter().filter(|path| path.is_file());
    let mut found = there
        .map(|path| read(path))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let plain = plain_beside(own);
    if plain.is_file() {
        let plain = read(&plain)?;
        if !found.iter().any(|program| program.runs_where(&plain)) {
            found.push(plain);
        }
    }
    ensure!(
        !found.is_empty(),
        "{} is not there, nor is a program made for kits. Name the agent's program with --agent.",
        plain.display()
    );
    Ok(found)
}

/// The name of the program made for kits for this kind of host, as `packaging/portable.sh` gives it.
fn kit_program(os: &str, arch: &str) -> String {
    let end = if os == "windows" { ".exe" } else { "" };
    format!("{AGENT}-{os}-{arch}{end}")
}

fn read(path: &Path) -> anyhow::Result<Program> {
    let shown = path.display();
    let mut head = [0; 64];
    let mut file = File::open(path).with_context(|| format!("{shown} can't be read."))?;
    let machine = file.read_exact(&mut head).ok().and_then(|()| {
        if head.starts_with(b"\x7fELF") {
            return Some(("linux", u16::from_le_bytes([head[18], head[19]])));
        }
        // A DOS head, whose last field says where the real one begins.
        let start = u32::from_le_bytes([head[60], head[61], head[62], head[63]]);
        let mut pe = [0; 6];
        file.seek(SeekFrom::Start(start.into())).ok()?;
        file.read_exact(&mut pe).ok()?;
        (head.starts_with(b"MZ") && pe.starts_with(b"PE\0\0"))
            .then(|| ("windows", u16::from_le_bytes([pe[4], pe[5]])))
    });
    let (os, arch) = match machine {
        Some(("linux", 0x3e)) => ("linux", "x86_64"),
        Some(("linux", 0xb7)) => ("linux", "aarch64"),
        Some(("windows", 0x8664)) => ("windows", "x86_64"),
        Some(("windows", 0xaa64)) => ("windows", "aarch64"),
        _ => {
            return Err(misuse(format!(
                "{shown} is no program for Linux or Windows on x86_64 or aarch64."
            )));
        }
    };
    Ok(Program {
        path: path.to_owned(),
        os,
        arch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELF_X86_64: u8 = 0x3e;

    fn elf(machine: u8) -> Vec<u8> {
        let mut elf = vec![0; 64];
        elf[..4].copy_from_slice(b"\x7fELF");
        elf[18] = machine;
        elf
    }

    fn pe() -> Vec<u8> {
        let mut pe = vec![0; 70];
        pe[..2].copy_from_slice(b"MZ");
        pe[60] = 64;
        pe[64..68].copy_from_slice(b"PE\0\0");
        pe[68..70].copy_from_slice(&0x8664_u16.to_le_bytes());
        pe
    }

    #[test]
    fn a_program_is_known_by_its_head() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let (linux, windows) = (file("a", &elf(ELF_X86_64)), file("b", &pe()));
        let found = find(&[linux.clone(), windows]).unwrap();
        let kinds: Vec<_> = found.iter().map(|p| (p.os, p.arch)).collect();
        assert_eq!(kinds, [("linux", "x86_64"), ("windows", "x86_64")]);
        assert!(find(&[linux.clone(), linux]).is_err());
        assert!(find(&[file("c", b"#!/bin/sh\n")]).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn programs_made_for_kits_come_before_the_machines_own() {
        const ELF_AARCH64: u8 = 0xb7;
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("fieldseal");
        let lay = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        let names = || -> Vec<String> {
            let found = all_beside(&own).unwrap();
            let name = |p: &Program| p.path.file_name().unwrap().to_string_lossy().into_owned();
            found.iter().map(name).collect()
        };
        assert!(all_beside(&own).is_err());
        lay("fieldseal-agent", &elf(ELF_X86_64));
        assert_eq!(names(), ["fieldseal-agent"]);
        lay("fieldseal-agent-linux-aarch64", &elf(ELF_AARCH64));
        assert_eq!(
            names(),
            ["fieldseal-agent-linux-aarch64", "fieldseal-agent"]
        );
        lay("fieldseal-agent-linux-x86_64", &elf(ELF_X86_64));
        lay("fieldseal-agent-windows-x86_64.exe", &pe());
        let all = [
            "fieldseal-agent-linux-x86_64",
            "fieldseal-agent-linux-aarch64",
            "fieldseal-agent-windows-x86_64.exe",
        ];
        assert_eq!(names(), all);
    }
}
