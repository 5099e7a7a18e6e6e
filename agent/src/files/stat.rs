//! What the system says of a file, taken by statx: type, identity, owner, and all times in ns.

use std::ffi::CStr;

use evidence::instant::Instant;

use crate::platform::handle::AsFd;
use crate::platform::tree::{self, Errno};

/// The type of an entry in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file: the only kind whose contents are read.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, never followed by the kernel on our behalf.
    Link,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// None of these.
    Unknown,
}

impl Kind {
    /// The word that stands in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Link => "link",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::CharacterDevice => "character_device",
            Self::BlockDevice => "block_device",
            Self::Unknown => "unknown",
        }
    }
}

/// Everything that statx tells of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its type.
    pub kind: Kind,
    /// Type and permission bits as the system keeps them.
    pub mode: u32,
    /// The owner's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// How many names it has.
    pub links: u64,
    /// The device it lies on, major in the upper half.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// The length that the system claims.
    pub size_bytes: u64,
    /// What it takes on disk.
    pub allocated_bytes: u64,
    /// Last read, where the mount keeps it.
    pub accessed: Instant,
    /// Last change of the contents.
    pub modified: Instant,
    /// Last change of contents or metadata.
    pub changed: Instant,
    /// When it was made, where the file system knows.
    pub born: Option<Instant>,
    /// chattr +i.
    pub immutable: bool,
    /// chattr +a.
    pub append_only: bool,
    /// Opening it would mount something.
    pub automount: bool,
}

impl Stat {
    /// Of `name` in `folder`, without following a link, mounting anything, or asking a distant server.
    ///
    /// # Errors
    /// As the system says.
    pub fn of_entry(folder: impl AsFd, name: &CStr) -> Result<Self, Errno> {
        tree::stat_entry(folder, name)
    }

    /// Of what is open as `file`.
    ///
    /// # Errors
    /// As the system says.
    pub fn of_open(file: impl AsFd) -> Result<Self, Errno> {
        tree::stat_open(file)
    }

    /// Whether both are the same object: its type, device and inode agree.
    pub fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.device == other.device && self.inode == other.inode
    }

    /// Whether the contents or metadata differ between the two looks (a later access time alone is no change).
    pub fn has_changed(&self, later: &Self) -> bool {
        self.size_bytes != later.size_bytes
            || self.modified != later.modified
            || self.changed != later.changed
    }

    /// Device and inode, by which a file is known whatever its name.
    pub fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}
