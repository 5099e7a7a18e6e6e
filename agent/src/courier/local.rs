//! The spool-only half of a local collection: serves one collection over the link, and ends.

use std::path::Path;

use super::{
    leftovers,
    room::Floor,
    spool::{Spool, SpoolError},
};
use crate::link::{FromReader, FromSpool, Link, LinkError, VERSION};
use crate::platform::handle::{AsFd as _, OwnedFd};

/// Serves one collection over `socket` into `output`, then returns.
///
/// # Errors
/// The folder can't be written, or the reader broke the protocol. The reader was told.
pub fn serve(socket: OwnedFd, output: &Path, floor: Floor) -> Result<(), SpoolError> {
    let mut link = Link::new(socket);
    let outcome = converse(&mut link, output, floor);
    if let Err(error) = &outcome {
        let text = error.to_string();
        // The reader may be gone already; then there is nobody to tell.
        let _ = link.send(&FromSpool::Failed { text }, None);
    }
    outcome
}

fn converse(link: &mut Link, output: &Path, floor: Floor) -> Result<(), SpoolError> {
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
        closing_bytes,
    } = begin
    else {
        return Err(LinkError::OutOfTurn("no beginning".into()).into());
    };
    leftovers::tidy(output);
    let mut spool = Spool::begin(output, collection, wrapping, floor)?;
    if let Some(pem) = seal_certificate_pem {
        spool.write_beside("seal.crt", pem.as_bytes())?;
    }
    // A run that could not be brought to an end is not begun.
    spool.reserve(closing_bytes)?;
    let (device, inode) = spool.identity()?;
    let ready = FromSpool::Ready {
        collection,
        device,
        inode,
        durable: spool.durable(),
    };
    link.send(&ready, None)?;
    while let Some((message, _)) = link.receive::<FromReader>()? {
        let is_end = matches!(message, FromReader::End { .. });
        answer(&mut spool, link, message)?;
        if is_end {
            break;
        }
    }
    Ok(())
}

pub(crate) fn answer(
    spool: &mut Spool,
    link: &mut Link,
    message: FromReader,
) -> Result<(), SpoolError> {
    let collection = spool.collection();
    match message {
        FromReader::OpenSlot { slot, closing, .. } => {
            let floor_bytes = spool.floor_bytes()?;
            match spool.open_slot(slot, closing) {
                Ok(file) => {
                    let opened = FromSpool::SlotOpened {
                        collection,
                        slot,
                        floor_bytes,
                    };
                    Ok(link.send(&opened, Some(file.as_fd()))?)
                }
                Err(error) => slot_failed(spool, link, slot, error),
            }
        }
        FromReader::Sealed {
            slot,
            part,
            size_bytes,
            statement,
            ..
        } => match spool.seal(slot, part, size_bytes, &statement) {
            Ok(_) => Ok(link.send(&FromSpool::Durable { collection, part }, None)?),
            Err(error) => slot_failed(spool, link, slot, error),
        },
        FromReader::Discard { slot, .. } => {
            spool.discard(slot);
            Ok(())
        }
        FromReader::End { .. } => Ok(link.send(&FromSpool::Ended { collection }, None)?),
        other => Err(LinkError::OutOfTurn(format!("{other:?}")).into()),
    }
}

/// One file is lost; the rest of the conversation is not.
fn slot_failed(
    spool: &Spool,
    link: &mut Link,
    slot: u32,
    error: SpoolError,
) -> Result<(), SpoolError> {
    if !error.is_of_one_slot() {
        return Err(error);
    }
    let failed = FromSpool::SlotFailed {
        collection: spool.collection(),
        slot,
        text: error.to_string(),
    };
    Ok(link.send(&failed, None)?)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write as _, thread};

    use evidence::ids::CollectionId;

    use super::*;
    use crate::{link::Wrapping, platform::socket};

    const ID: CollectionId = CollectionId::from_bytes([0; 16]);

    fn open(slot: u32) -> FromReader {
        FromReader::OpenSlot {
            collection: ID,
            slot,
            closing: false,
        }
    }

    fn hear(link: &mut Link) -> (FromSpool, Option<OwnedFd>) {
        link.expect()
    }

    /// Starts a spool half and begins a collection.
    fn begun(folder: &Path) -> (Link, thread::JoinHandle<Result<(), SpoolError>>) {
        let (ours, theirs) = socket::pair().unwrap();
        let output = folder.to_path_buf();
        let half = thread::spawn(move || serve(theirs, &output, Floor::NONE));
        let mut link = Link::new(ours);
        let hello = FromReader::Hello {
            v: VERSION,
            policy_version: 0,
            agent: None,
        };
        link.send(&hello, None).unwrap();
        assert_eq!(hear(&mut link).0, FromSpool::Welcome { v: VERSION });
        let begin = FromReader::Begin {
            collection: ID,
            wrapping: Wrapping::None,
            seal_certificate_pem: Some("pem".into()),
            closing_bytes: 1 << 16,
        };
        link.send(&begin, None).unwrap();
        assert!(matches!(
            hear(&mut link).0,
            FromSpool::Ready { durable: 0, .. }
        ));
        (link, half)
    }

    fn opened(link: &mut Link, slot: u32) -> File {
        link.send(&open(slot), None).unwrap();
        let (said, handed) = hear(link);
        assert!(said.answers(&open(slot)), "{said:?}");
        handed.unwrap().into()
    }

    fn sealed(slot: u32, part: u32, bytes: &[u8]) -> FromReader {
        FromReader::Sealed {
            collection: ID,
            slot,
            part,
            size_bytes: bytes.len() as u64,
            statement: "{}".into(),
        }
    }

    #[test]
    fn a_failed_file_does_not_end_the_conversation() {
        let folder = tempfile::tempdir().unwrap();
        let (mut link, half) = begun(folder.path());
        let mut one = opened(&mut link, 1);
        let mut two = opened(&mut link, 2);
        one.write_all(b"evidenc").unwrap();
        two.write_all(b"evidence").unwrap();
        link.send(&sealed(1, 1, b"evidence"), None).unwrap();
        assert!(matches!(
            hear(&mut link).0,
            FromSpool::SlotFailed { slot: 1, .. }
        ));
        let said = sealed(2, 1, b"evidence");
        link.send(&said, None).unwrap();
        assert!(hear(&mut link).0.answers(&said));
        let end = FromReader::End { collection: ID };
        link.send(&end, None).unwrap();
        assert!(hear(&mut link).0.answers(&end));
        half.join().unwrap().unwrap();
        let inside = folder.path().join(ID.to_string());
        let mut names: Vec<_> = std::fs::read_dir(inside)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected = ["part-0001.statement.json", "part-0001.zip", "seal.crt"];
        assert_eq!(names, expected);
    }

    #[test]
    fn refuses_a_number_twice_and_parts_out_of_turn() {
        for bad in [open(1), sealed(1, 2, b""), sealed(9, 1, b"")] {
            let folder = tempfile::tempdir().unwrap();
            let (mut link, half) = begun(folder.path());
            let _file = opened(&mut link, 1);
            link.send(&bad, None).unwrap();
            assert!(matches!(hear(&mut link).0, FromSpool::Failed { .. }));
            assert!(half.join().unwrap().is_err());
        }
    }
}
