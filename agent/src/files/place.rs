//! Where a folder lies: on a local file system, on a distant one, or in a tree that the kernel makes up.

use crate::platform::handle::AsFd;
use crate::platform::tree::{self, Errno};

/// The nature of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A disk of this host, or its memory.
    Local,
    /// Layers of other folders, which would be read twice.
    Overlay,
    /// Another machine, or a program that answers.
    Distant,
    /// Made up by the kernel: /proc and its like.
    Virtual,
}

/// Magic numbers of statfs(2), from linux/magic.h and the file systems' own sources.
const KNOWN: &[(u64, Place)] = &[
    (0x6969, Place::Distant),      // nfs
    (0xff53_4d42, Place::Distant), // cifs
    (0xfe53_4d42, Place::Distant), // smb2, smb3
    (0x517b, Place::Distant),      // smbfs
    (0x564c, Place::Distant),      // ncp
    (0x6573_5546, Place::Distant), // fuse
    (0x0102_1997, Place::Distant), // 9p
    (0x00c3_6400, Place::Distant), // ceph
    (0x5346_414f, Place::Distant), // afs (OpenAFS)
    (0x6b41_4653, Place::Distant), // afs (kernel)
    (0x7375_7245, Place::Distant), // coda
    (0x0bd0_0bd0, Place::Distant), // lustre
    (0x4750_4653, Place::Distant), // gpfs
    (0x786f_4256, Place::Distant), // vboxsf
    (0x0187, Place::Distant),      // autofs: entering it would mount
    (0x794c_7630, Place::Overlay),
    (0x9fa0, Place::Virtual),      // proc
    (0x6265_6572, Place::Virtual), // sysfs
    (0x0027_e0eb, Place::Virtual), // cgroup
    (0x6367_7270, Place::Virtual), // cgroup2
    (0x6462_6720, Place::Virtual), // debugfs
    (0x7472_6163, Place::Virtual), // tracefs
    (0x7363_6673, Place::Virtual), // securityfs
    (0xcafe_4a11, Place::Virtual), // bpf
    (0x6265_6570, Place::Virtual), // configfs
    (0x6165_676c, Place::Virtual), // pstore
    (0xde5e_81e4, Place::Virtual), // efivarfs
    (0x1cd1, Place::Virtual),      // devpts
    (0x1980_0202, Place::Virtual), // mqueue
    (0x9584_58f6, Place::Virtual), // hugetlbfs
    (0x4249_4e4d, Place::Virtual), // binfmt_misc
    (0xf97c_ff8c, Place::Virtual), // selinuxfs
    (0x4341_5d53, Place::Virtual), // smackfs
    (0x6e73_6673, Place::Virtual), // nsfs
    (0x6759_6969, Place::Virtual), // rpc_pipefs
];

/// Where what is open as `fd` lies; a file system that nobody listed counts as local.
///
/// # Errors
/// As the system says.
pub fn place_of(fd: impl AsFd) -> Result<Place, Errno> {
    tree::file_system(fd).map(known)
}

/// Where the folder `name` lies, found without opening or mounting it.
///
/// # Errors
/// As the system says.
pub fn place_of_entry(folder: impl AsFd, name: &std::ffi::CStr) -> Result<Place, Errno> {
    tree::file_system_of(folder, name).map(known)
}

fn known(magic: u64) -> Place {
    KNOWN
        .iter()
        .find(|(known, _)| *known == magic)
        .map_or(Place::Local, |(_, place)| *place)
}
