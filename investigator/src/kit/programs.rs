//! The agent's programs in a kit: which system each is for, by what it is made of.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use crate::exit::misuse;

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

/// The named programs, else the one beside this program.
///
/// # Errors
/// One is not there, is no program for a system that we know, or two are for one.
pub fn find(named: &[PathBuf]) -> anyhow::Result<Vec<Program>> {
    let mut found: Vec<Program> = Vec::new();
    let paths = match named {
        [] => vec![beside()?],
        named => named.to_vec(),
    };
    for path in paths {
        let program = read(&path)?;
        let is_same = |p: &Program| (p.os, p.arch) == (program.os, program.arch);
        if let Some(other) = found.iter().find(|p| is_same(p)) {
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
    let own = std::env::current_exe().context("This program doesn't know where it lies.")?;
    let beside = own.with_file_name("fieldseal-agent");
    ensure!(
        beside.is_file(),
        "{} is not there. Name the agent's program with --agent.",
        beside.display()
    );
    Ok(beside)
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

    #[test]
    fn a_program_is_known_by_its_head() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let mut elf = vec![0; 64];
        elf[..4].copy_from_slice(b"\x7fELF");
        elf[18] = 0x3e;
        let linux = file("a", &elf);
        let mut pe = vec![0; 70];
        pe[..2].copy_from_slice(b"MZ");
        pe[60] = 64;
        pe[64..68].copy_from_slice(b"PE\0\0");
        pe[68..70].copy_from_slice(&0x8664_u16.to_le_bytes());
        let windows = file("b", &pe);
        let found = find(&[linux.clone(), windows]).unwrap();
        let kinds: Vec<_> = found.iter().map(|p| (p.os, p.arch)).collect();
        assert_eq!(kinds, [("linux", "x86_64"), ("windows", "x86_64")]);
        assert!(find(&[linux.clone(), linux]).is_err());
        assert!(find(&[file("c", b"#!/bin/sh\n")]).is_err());
    }
}
