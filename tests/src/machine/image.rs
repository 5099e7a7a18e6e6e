//! The disk that machines begin with: a distribution's userland with its own kernel and service manager, made once.
//!
//! No machine writes to it: each writes to a layer of its own above.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    distribution::{Distribution, Suite, made_once, must},
    programs::as_root,
};

/// What makes a userland a machine; another list makes other images.
const INCLUDED: &str = "dbus,iproute2,linux-image-cloud-amd64,qemu-guest-agent,systemd-sysv,udev";
/// Room for what a test lays there; the file is sparse.
const SIZE: &str = "2G";

/// A network that asks for its address, as most do.
const NETWORK: &str = "[Match]\nName=e*\n[Network]\nDHCP=yes\n";

/// Each machine is one of its own from its first boot on, and its journal survives the next.
const PREPARE: &str = "systemctl enable systemd-networkd; : >/etc/machine-id; echo machine >/etc/hostname; \
    mkdir -p /var/log/journal; rm -f /var/cache/apt/archives/*.deb; \
    cp /boot/vmlinuz-* /kernel; cp /boot/initrd.img-* /initrd; chmod 644 /kernel /initrd";

/// See the module.
#[derive(Debug)]
pub struct Image(PathBuf);

impl Image {
    /// That of `suite`.
    ///
    /// # Errors
    /// It can't be made.
    pub fn of(suite: &Suite) -> anyhow::Result<Self> {
        let made = made_once(&format!("{}-machine", suite.name), |half| {
            fs::create_dir(half)?;
            make(suite, half)
        });
        made.map(Self)
    }

    /// One of its files.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn make(suite: &Suite, folder: &Path) -> anyhow::Result<()> {
    let root = Distribution::with(suite, INCLUDED, &folder.join("root"))?;
    root.write("/etc/systemd/network/all.network", NETWORK)?;
    root.shell(PREPARE)?;
    for name in ["kernel", "initrd"] {
        must(as_root("mv").arg(root.path(name)).arg(folder.join(name)))?;
    }
    filled(&root.path("/"), &folder.join("disk"), SIZE)
}

/// Makes the file system of this size at `disk`, with all that `folder` holds.
pub(super) fn filled(folder: &Path, disk: &Path, size: &str) -> anyhow::Result<()> {
    must(
        as_root("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .args([folder, disk])
            .arg(size),
    )
    .map(drop)
}
