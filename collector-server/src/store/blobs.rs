//! Ciphertext by its digest, in a folder seen through `object_store`.
//!
//! A blob appears whole or not at all, and is never changed. The names come from
//! digests only: nothing that a client says becomes a path.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use evidence::digest::Digest;
use futures_util::stream::BoxStream;
use object_store::{
    GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _, local::LocalFileSystem,
    path::Path as Key,
};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::keyfile::sync_dir;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The folder refused.
    #[error(
        "The blob {digest} could not be stored or read. Check the evidence folder's disk and rights."
    )]
    Store {
        /// Which.
        digest: Digest,
        /// What the store said.
        source: object_store::Error,
    },
    /// A file could not be moved into the folder, or removed from it.
    #[error(
        "{path} could not be moved into the store or out of it. Check that it lies on the same file system, and its rights."
    )]
    Move {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The blobs below one folder.
pub struct Blobs {
    store: LocalFileSystem,
    shelving: RwLock<()>,
}

impl Blobs {
    /// The store in an existing folder.
    ///
    /// # Errors
    /// The folder is missing.
    pub fn open(dir: &Path) -> Result<Self, object_store::Error> {
        Ok(Self {
            store: LocalFileSystem::new_with_prefix(dir)?,
            shelving: RwLock::default(),
        })
    }

    /// The size of a blob, none if it is not there.
    ///
    /// # Errors
    /// The store failed.
    pub async fn size_bytes(&self, digest: Digest) -> Result<Option<u64>, BlobError> {
        match self.store.head(&key(digest)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(BlobError::Store { digest, source }),
        }
    }

    /// To be held while a blob is moved to its place.
    pub async fn coming(&self) -> RwLockReadGuard<'_, ()> {
        self.shelving.read().await
    }

    /// To be held while somebody looks whether a blob is needed, and removes it: nothing goes that has just come.
    pub async fn going(&self) -> RwLockWriteGuard<'_, ()> {
        self.shelving.write().await
    }

    /// Deletes a blob durably; one that is not there is no failure.
    ///
    /// # Errors
    /// The system refuses.
    pub fn remove(&self, digest: Digest) -> Result<(), BlobError> {
        let failed = |source| BlobError::Store { digest, source };
        let place = self.store.path_to_filesystem(&key(digest));
        let place = place.map_err(failed)?;
        let removed = || match fs::remove_file(&place) {
            Ok(()) => place.parent().map_or(Ok(()), sync_dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed().map_err(|source| BlobError::Move {
            path: place.clone(),
            source,
        })
    }

    /// Moves a synced file, whose digest was checked, to its place, durably.
    ///
    /// # Errors
    /// The system refuses; the file is where it was, or in its place.
    pub fn adopt(&self, file: &Path, digest: Digest) -> Result<(), BlobError> {
        let place = self
            .store
            .path_to_filesystem(&key(digest))
            .map_err(|source| BlobError::Store { digest, source })?;
        let moved = || -> io::Result<()> {
            let shelf = place.parent().ok_or(io::ErrorKind::InvalidInput)?;
            fs::create_dir_all(shelf)?;
            shelf.parent().map_or(Ok(()), sync_dir)?;
            fs::rename(file, &place)?;
            sync_dir(shelf)
        };
        moved().map_err(|source| BlobError::Move {
            path: file.to_owned(),
            source,
        })
    }

    /// A blob's bytes within `range`, piece by piece.
    ///
    /// # Errors
    /// The blob is missing or the store failed.
    pub async fn read(
        &self,
        digest: Digest,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, object_store::Result<Bytes>>, BlobError> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let found = self.store.get_opts(&key(digest), options).await;
        Ok(found
            .map_err(|source| BlobError::Store { digest, source })?
            .into_stream())
    }
}

/// 256 shelves, so that no folder holds everything.
fn key(digest: Digest) -> Key {
    let name = digest.to_string();
    Key::from_iter([&name[..2], &name[..]])
}
