//! For tests: a file system of its own that is so small that it fills.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Mounted where it lies until it is dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None, and said, where this test may not mount one.
    pub(crate) fn mount(kib: u32) -> Option<Self> {
        Self::mount_with(&format!("size={kib}k,mode=700"))
    }

    /// One that has so many names.
    pub(crate) fn mount_with_names(kib: u32, names: u32) -> Option<Self> {
        Self::mount_with(&format!("size={kib}k,mode=700,nr_inodes={names}"))
    }

    #[expect(
        clippy::print_stdout,
        reason = "a skipped test is for who reads the output"
    )]
    fn mount_with(options: &str) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at.path())
            .output();
        match mounted {
            Ok(out) if out.status.success() => Some(Self(at)),
            _ => {
                println!("SKIPPED: a small file system can't be mounted here (that takes root)");
                None
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills what is free, as another program would; gives the file that does.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path().join("other");
        let mut file = fs::OpenOptions::new();
        let mut file = file.append(true).create(true).open(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        path
    }

    /// Takes all names that are left; gives the folder that holds them.
    pub(crate) fn take_names(&self) -> PathBuf {
        let folder = self.path().join("names");
        fs::create_dir(&folder).unwrap();
        let made = |number: u32| fs::write(folder.join(number.to_string()), b"");
        (0..).take_while(|number| made(*number).is_ok()).count();
        folder
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: nothing may be left mounted, whatever a failed test has open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
