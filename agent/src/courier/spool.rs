//! The spool-only half: owns the output folder, makes empty part files, and makes them durable.
//!
//! It names every file itself, and reads none of what is written into them but to check that
//! what lies there is what was sealed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use evidence::{
    digest::{Digest, DigestWriter},
    ids::CollectionId,
};

use crate::link::{FromReader, FromSpool, Link, LinkError, VERSION, Wrapping};

/// Why the spool's half stopped.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The link failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The folder or a file in it failed.
    #[error("{path} can't be {what}: {source}. Check the folder's rights and free space.")]
    File {
        /// What was tried: "created", "made durable".
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// What lies in the file is not what was sealed.
    #[error("{0} doesn't hold what was sealed. The medium may be failing; use another one.")]
    Damaged(PathBuf),
}

/// Serves one collection over `socket`, then returns.
///
/// # Errors
/// The folder can't be written, or the reader broke the protocol. The reader was told.
pub fn serve(socket: OwnedFd, output: &Path) -> Result<(), SpoolError> {
    let mut link = Link::new(socket);
    let outcome = converse(&mut link, output);
    if let Err(error) = &outcome {
        let text = error.to_string();
        // The reader may be gone already; then there is nobody to tell.
        let _ = link.send(&FromSpool::Failed { text }, None);
    }
    outcome
}

fn converse(link: &mut Link, output: &Path) -> Result<(), SpoolError> {
    let Some((first, _)) = link.receive::<FromReader>()? else {
        return Ok(());
    };
    let FromReader::Hello { v: VERSION, .. } = first else {
        return Err(LinkError::OutOfTurn("no greeting".into()).into());
    };
    link.send(&FromSpool::Welcome { v: VERSION }, None)?;
    let Some((begin, _)) = link.receive::<FromReader>()? else {
        return Ok(());
    };
    let FromReader::Begin {
        collection,
        wrapping,
        seal_certificate_pem,
    } = begin
    else {
        return Err(LinkError::OutOfTurn("no beginning".into()).into());
    };
    let mut spool = Spool::create(output, collection, wrapping)?;
    if let Some(pem) = seal_certificate_pem {
        spool.write_beside("seal.crt", pem.as_bytes())?;
    }
    let (device, inode) = spool.identity()?;
    let ready = FromSpool::Ready {
        collection,
        device,
        inode,
    };
    link.send(&ready, None)?;
    spool.serve(link)
}

/// The folder of one collection, and the part that is being written.
#[derive(Debug)]
struct Spool {
    collection: CollectionId,
    folder: PathBuf,
    wrapping: Wrapping,
    open: Option<(u32, File)>,
    durable: u32,
}

impl Spool {
    fn create(
        output: &Path,
        collection: CollectionId,
        wrapping: Wrapping,
    ) -> Result<Self, SpoolError> {
        let folder = output.join(collection.to_string());
        // For its owner only: an unencrypted part is evidence that anyone could read.
        let mut maker = fs::DirBuilder::new();
        maker.recursive(true).mode(0o700);
        maker
            .create(&folder)
            .map_err(|e| failed("created", &folder, e))?;
        Ok(Self {
            collection,
            folder,
            wrapping,
            open: None,
            durable: 0,
        })
    }

    fn identity(&self) -> Result<(u64, u64), SpoolError> {
        let seen = fs::metadata(&self.folder).map_err(|e| failed("read", &self.folder, e))?;
        Ok((seen.dev(), seen.ino()))
    }

    fn serve(&mut self, link: &mut Link) -> Result<(), SpoolError> {
        let collection = self.collection;
        loop {
            match link.receive::<FromReader>()?.map(|(message, _)| message) {
                Some(FromReader::OpenSlot { slot, .. }) if slot == self.next() => {
                    let file = self.open_part(slot)?;
                    let opened = FromSpool::SlotOpened { collection, slot };
                    link.send(&opened, Some(file.as_fd()))?;
                    self.open = Some((slot, file));
                }
                Some(FromReader::Sealed {
                    part,
                    size_bytes,
                    sha256,
                    statement,
                    ..
                }) => {
                    self.seal(part, size_bytes, sha256, &statement)?;
                    link.send(&FromSpool::Durable { collection, part }, None)?;
                }
                Some(FromReader::End { .. }) => {
                    self.discard();
                    link.send(&FromSpool::Ended { collection }, None)?;
                    return Ok(());
                }
                Some(other) => {
                    self.discard();
                    return Err(LinkError::OutOfTurn(format!("{other:?}")).into());
                }
                None => {
                    self.discard();
                    return Ok(());
                }
            }
        }
    }

    /// The number of the only part that may be opened now.
    fn next(&self) -> u32 {
        if self.open.is_some() {
            0
        } else {
            self.durable + 1
        }
    }

    fn part_path(&self, part: u32) -> PathBuf {
        let ending = match self.wrapping {
            Wrapping::Age => "zip.age",
            Wrapping::None => "zip",
        };
        self.folder.join(format!("part-{part:04}.{ending}"))
    }

    fn open_part(&self, part: u32) -> Result<File, SpoolError> {
        let path = partial(&self.part_path(part));
        create_new(&path)
    }

    fn seal(
        &mut self,
        part: u32,
        size_bytes: u64,
        sha256: Digest,
        statement: &str,
    ) -> Result<(), SpoolError> {
        let Some((_, file)) = self.open.take_if(|(number, _)| *number == part) else {
            return Err(LinkError::OutOfTurn(format!("part {part} is not open")).into());
        };
        let path = self.part_path(part);
        file.sync_all()
            .map_err(|e| failed("made durable", &path, e))?;
        drop(file);
        check(&partial(&path), size_bytes, sha256)?;
        self.write_beside(
            &format!("part-{part:04}.statement.json"),
            statement.as_bytes(),
        )?;
        fs::rename(partial(&path), &path).map_err(|e| failed("named", &path, e))?;
        sync_folder(&self.folder)?;
        self.durable = part;
        Ok(())
    }

    /// Writes a small file whole or not at all.
    fn write_beside(&self, name: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        let path = self.folder.join(name);
        let mut file = create_new(&partial(&path))?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(partial(&path), &path))
            .map_err(|e| failed("written", &path, e))
    }

    /// Removes the part that was not sealed: nothing in it can be proven.
    fn discard(&mut self) {
        if let Some((part, _)) = self.open.take() {
            // It stays behind under its `.partial` name where even removing fails.
            let _ = fs::remove_file(partial(&self.part_path(part)));
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.discard();
    }
}

/// Reads the file back and compares: the reader's descriptor is the only other way into it.
fn check(path: &Path, size_bytes: u64, sha256: Digest) -> Result<(), SpoolError> {
    let mut file = OpenOptions::new()
        .read(true)
        .open(path)
        .map_err(|e| failed("read back", path, e))?;
    let mut hash = DigestWriter::new(io::sink());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file
            .read(&mut buffer)
            .map_err(|e| failed("read back", path, e))?;
        if count == 0 {
            break;
        }
        hash.write_all(&buffer[..count])
            .map_err(|e| failed("read back", path, e))?;
    }
    let (_, found, length) = hash.finish();
    if (found, length) == (sha256, size_bytes) {
        Ok(())
    } else {
        Err(SpoolError::Damaged(path.to_path_buf()))
    }
}

fn create_new(path: &Path) -> Result<File, SpoolError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| failed("created", path, e))
}

fn sync_folder(folder: &Path) -> Result<(), SpoolError> {
    File::open(folder)
        .and_then(|handle| handle.sync_all())
        .map_err(|e| failed("made durable", folder, e))
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> SpoolError {
    SpoolError::File {
        what,
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::platform::socket;

    const ID: CollectionId = CollectionId::from_bytes([0; 16]);

    fn hello() -> FromReader {
        FromReader::Hello {
            v: VERSION,
            policy_version: 0,
        }
    }

    fn begin() -> FromReader {
        FromReader::Begin {
            collection: ID,
            wrapping: Wrapping::None,
            seal_certificate_pem: Some("pem".into()),
        }
    }

    fn open(slot: u32) -> FromReader {
        FromReader::OpenSlot {
            collection: ID,
            slot,
        }
    }

    fn hear(link: &mut Link) -> (FromSpool, Option<OwnedFd>) {
        link.receive().unwrap().unwrap()
    }

    /// Starts a spool half and opens part 1.
    fn opened(folder: &Path) -> (Link, File, thread::JoinHandle<Result<(), SpoolError>>) {
        let (ours, theirs) = socket::pair().unwrap();
        let output = folder.to_path_buf();
        let half = thread::spawn(move || serve(theirs, &output));
        let mut link = Link::new(ours);
        link.send(&hello(), None).unwrap();
        assert_eq!(hear(&mut link).0, FromSpool::Welcome { v: VERSION });
        link.send(&begin(), None).unwrap();
        assert!(matches!(hear(&mut link).0, FromSpool::Ready { .. }));
        link.send(&open(1), None).unwrap();
        let (said, handed) = hear(&mut link);
        assert!(matches!(said, FromSpool::SlotOpened { slot: 1, .. }));
        (link, handed.unwrap().into(), half)
    }

    fn names(folder: &Path) -> Vec<String> {
        let inside = folder.join(ID.to_string());
        let mut names: Vec<_> = fs::read_dir(inside)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn sealed(bytes: &[u8]) -> FromReader {
        FromReader::Sealed {
            collection: ID,
            slot: 1,
            part: 1,
            size_bytes: bytes.len() as u64,
            sha256: Digest::of(bytes),
            statement: "{}".into(),
        }
    }

    #[test]
    fn a_sealed_part_gets_its_name_and_its_statement() {
        let folder = tempfile::tempdir().unwrap();
        let (mut link, mut file, half) = opened(folder.path());
        file.write_all(b"evidence").unwrap();
        link.send(&sealed(b"evidence"), None).unwrap();
        assert!(matches!(
            hear(&mut link).0,
            FromSpool::Durable { part: 1, .. }
        ));
        link.send(&FromReader::End { collection: ID }, None)
            .unwrap();
        assert_eq!(hear(&mut link).0, FromSpool::Ended { collection: ID });
        half.join().unwrap().unwrap();
        let expected = ["part-0001.statement.json", "part-0001.zip", "seal.crt"];
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn an_unsealed_part_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file, half) = opened(folder.path());
        drop((link, file));
        half.join().unwrap().unwrap();
        assert_eq!(names(folder.path()), ["seal.crt"]);
    }

    #[test]
    fn refuses_a_part_that_is_not_what_was_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut link, mut file, half) = opened(folder.path());
        file.write_all(b"evidencE").unwrap();
        link.send(&sealed(b"evidence"), None).unwrap();
        assert!(matches!(hear(&mut link).0, FromSpool::Failed { .. }));
        assert!(half.join().unwrap().is_err());
    }

    #[test]
    fn refuses_parts_out_of_turn() {
        let folder = tempfile::tempdir().unwrap();
        let (mut link, _file, half) = opened(folder.path());
        link.send(&open(2), None).unwrap();
        assert!(matches!(hear(&mut link).0, FromSpool::Failed { .. }));
        assert!(half.join().unwrap().is_err());
    }
}
