//! How an image is formatted, mounted and mended: one row for each file system.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::programs::{as_root, system};

/// A file system that sticks come with, and ext4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// FAT32, by the package fusefat. It does not say how much space it has.
    Fat32,
    /// exFAT, by the package exfat-fuse.
    Exfat,
    /// NTFS, by the package ntfs-3g.
    Ntfs,
    /// ext4, by the kernel.
    Ext4,
}

impl Kind {
    /// Those that sticks come with.
    pub const STICKS: [Self; 3] = [Self::Fat32, Self::Exfat, Self::Ntfs];

    /// Whether its driver wants a device, and not a file.
    pub(super) const fn needs_device(self) -> bool {
        matches!(self, Self::Exfat | Self::Ext4)
    }

    /// What makes an image one of this kind.
    pub(super) fn formatted(self) -> Command {
        match self {
            Self::Fat32 => with("mkfs.vfat", &["-F", "32"]),
            Self::Exfat => with("mkfs.exfat", &[]),
            Self::Ntfs => with("mkfs.ntfs", &["--force", "--quick", "--quiet"]),
            Self::Ext4 => with("mkfs.ext4", &["-q"]),
        }
    }

    /// What mends an image that was pulled out.
    pub(super) fn mended(self) -> Command {
        match self {
            Self::Fat32 => with("fsck.vfat", &["-a"]),
            Self::Exfat => with("fsck.exfat", &["-y"]),
            Self::Ntfs => with("ntfsfix", &[]),
            Self::Ext4 => with("fsck.ext4", &["-p"]),
        }
    }

    /// Mounts `from`; gives the driver's process, where it stays one of ours.
    pub(super) fn mount(self, from: &Path, folder: &Path) -> anyhow::Result<Option<Child>> {
        let mut command = match self {
            Self::Fat32 => with("fusefat", &["-f", "-s", "-o", "rw+"]),
            Self::Exfat => as_root("mount.exfat-fuse"),
            Self::Ntfs => as_root("ntfs-3g"),
            Self::Ext4 => as_root("mount"),
        };
        command.arg(from).arg(folder);
        match self {
            Self::Fat32 => {}
            Self::Ntfs => {
                command.args(["-o", "no_detach"]);
            }
            Self::Exfat | Self::Ext4 => return super::done(&mut command).map(|_| None),
        }
        // Which takes nothing: what a driver is counted to have written is what it wrote to the stick.
        let deaf = || File::options().write(true).open("/dev/full");
        let quiet = command.stdin(Stdio::null()).stdout(deaf()?);
        Ok(Some(quiet.stderr(deaf()?).spawn()?))
    }
}

fn with(program: &str, arguments: &[&str]) -> Command {
    let mut command = system(program);
    command.args(arguments);
    command
}
