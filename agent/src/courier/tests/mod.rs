//! The courier against a real TLS server that misbehaves, and a reader that is played by the test.

mod conversation;
mod delivery;
mod enrolment;
mod fork;
mod full_disk;
mod health;
mod kill;
mod live;
mod orders;
mod reports;
mod ways;

use std::{path::Path, sync::Arc};

use super::{
    folder::Folder,
    testing::{Courier, Pki, Server},
};
use crate::small_disk::SmallDisk;

/// A deployment, a server, and an enrolled host.
struct World {
    state: tempfile::TempDir,
    server: Server,
    pki: Arc<Pki>,
    folder: Folder,
}

impl World {
    fn new() -> Self {
        Self::with_certificate(true)
    }

    fn with_certificate(is_fresh: bool) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), is_fresh)
    }

    /// On a disk of its own, which can be filled.
    fn on(disk: &SmallDisk) -> Self {
        Self::in_folder(tempfile::tempdir_in(disk.path()).unwrap(), true)
    }

    fn in_folder(state: tempfile::TempDir, is_fresh: bool) -> Self {
        let pki = Arc::new(Pki::new());
        let server = Server::start(&pki);
        let folder = Courier::enrol(state.path(), &pki, &server.url(), is_fresh);
        Self {
            state,
            server,
            pki,
            folder,
        }
    }

    fn start(&self) -> Courier {
        Courier::start(self.state.path())
    }

    fn set(&self, change: impl FnOnce(&mut super::folder::Settings)) {
        let mut settings = self.folder.settings().unwrap();
        change(&mut settings);
        let text = toml::to_string(&settings).unwrap();
        std::fs::write(self.folder.settings_path(), text).unwrap();
    }

    /// The names in the collection's folder.
    fn names(&self) -> Vec<String> {
        let collection = super::testing::COLLECTION.to_string();
        names(&self.folder.spool().join(collection))
    }

    fn has(&self, name: &str) -> bool {
        self.names().iter().any(|n| n == name)
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Bytes that look like ciphertext, of more than one request where that is wanted.
fn bytes(length: usize) -> Vec<u8> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        out.extend_from_slice(&seed.to_le_bytes());
    }
    out.truncate(length);
    out
}
