//! The way to the spool: what a collection asks of it, whoever holds the link.
//!
//! A local collection holds the link itself; the service hears other messages on the same link while a collection
//! runs, and hands on what answers a question here.

use std::{
    fs::File,
    sync::{Mutex, PoisonError},
};

use evidence::ids::CollectionId;

use crate::link::{FromReader, FromSpool, Link, LinkError, VERSION, Wrapping};
use crate::platform::handle::OwnedFd;

/// Asks the spool. Called from several threads at once.
pub trait SpoolPort: Sync {
    /// Says `message` (`Begin`, `OpenSlot`, `Sealed` or `End`) and waits for what answers it
    /// ([`FromSpool::answers`]). While it waits it calls `give_up` at least once a second, and returns
    /// [`LinkError::GivenUp`] when that says so.
    ///
    /// # Errors
    /// The link failed, the spool said [`FromSpool::Failed`], or the wait was given up.
    fn ask(
        &self,
        message: &FromReader,
        give_up: &dyn Fn() -> bool,
    ) -> Result<(FromSpool, Option<OwnedFd>), LinkError>;

    /// Says `message` (`Discard`), which has no answer.
    ///
    /// # Errors
    /// The link failed.
    fn tell(&self, message: &FromReader) -> Result<(), LinkError>;

    /// Whether the spool's half is gone; asked often, so that nothing is read that nobody can keep.
    fn is_gone(&self) -> bool;
}

/// The link of a local collection, which nobody else uses.
#[derive(Debug)]
pub struct LinkPort(Mutex<Link>);

impl LinkPort {
    /// Greets the other half.
    ///
    /// # Errors
    /// It is gone, or of another version.
    pub fn greet(mut link: Link) -> Result<Self, LinkError> {
        let hello = FromReader::Hello {
            v: VERSION,
            policy_version: 0,
            agent: None,
        };
        link.send(&hello, None)?;
        match hear(&mut link)?.0 {
            FromSpool::Welcome { v: VERSION } => Ok(Self(Mutex::new(link))),
            other => Err(out_of_turn(&other)),
        }
    }
}

impl SpoolPort for LinkPort {
    fn ask(
        &self,
        message: &FromReader,
        _give_up: &dyn Fn() -> bool,
    ) -> Result<(FromSpool, Option<OwnedFd>), LinkError> {
        let mut link = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        link.send(message, None)?;
        let heard = hear(&mut link)?;
        if heard.0.answers(message) {
            Ok(heard)
        } else {
            Err(out_of_turn(&heard.0))
        }
    }

    fn tell(&self, message: &FromReader) -> Result<(), LinkError> {
        let mut link = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        link.send(message, None)
    }

    fn is_gone(&self) -> bool {
        // Between questions there is nothing to hear but the end.
        let link = self.0.try_lock();
        link.is_ok_and(|link| link.has_something().unwrap_or(true))
    }
}

fn hear(link: &mut Link) -> Result<(FromSpool, Option<OwnedFd>), LinkError> {
    match link.receive::<FromSpool>()? {
        Some((FromSpool::Failed { text }, _)) => Err(LinkError::Failed(text)),
        Some(heard) => Ok(heard),
        None => Err(LinkError::Closed),
    }
}

fn out_of_turn(said: &FromSpool) -> LinkError {
    LinkError::OutOfTurn(format!("{said:?}"))
}

/// Why one file of the spool can't be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The link failed, and with it the run.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// This file is lost; another may be had.
    #[error("the output can't take more: {0}")]
    Failed(String),
    /// The descriptor that came is no fresh regular file.
    #[error(
        "the spool handed something other than an empty file. Both halves must be of one version."
    )]
    NotAnEmptyFile,
}

/// An empty file to write a part into.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u32,
    pub(super) file: File,
    pub(super) floor_bytes: u64,
}

/// Begins `collection`, or goes on with it; gives how many parts are durable.
pub(super) fn begin(
    port: &dyn SpoolPort,
    collection: CollectionId,
    wrapping: Wrapping,
    seal_certificate_pem: Option<String>,
    closing_bytes: u64,
) -> Result<u32, LinkError> {
    let begin = FromReader::Begin {
        collection,
        wrapping,
        seal_certificate_pem,
        closing_bytes,
    };
    match port.ask(&begin, &|| false)?.0 {
        FromSpool::Ready { durable, .. } => Ok(durable),
        other => Err(out_of_turn(&other)),
    }
}

/// Asks for an empty file.
pub(super) fn open_slot(
    port: &dyn SpoolPort,
    collection: CollectionId,
    number: u32,
    closing: bool,
    give_up: &dyn Fn() -> bool,
) -> Result<Slot, SlotError> {
    let ask = FromReader::OpenSlot {
        collection,
        slot: number,
        closing,
    };
    match port.ask(&ask, give_up)? {
        (FromSpool::SlotOpened { floor_bytes, .. }, Some(handed)) => {
            let file = File::from(handed);
            let seen = file.metadata().map_err(|_| SlotError::NotAnEmptyFile)?;
            if !seen.is_file() || seen.len() != 0 {
                return Err(SlotError::NotAnEmptyFile);
            }
            Ok(Slot {
                number,
                file,
                floor_bytes,
            })
        }
        (FromSpool::SlotFailed { text, .. }, _) => Err(SlotError::Failed(text)),
        (other, _) => Err(out_of_turn(&other).into()),
    }
}

/// What was sealed, as the spool must find it.
#[derive(Debug)]
pub(super) struct SealedSlot {
    pub(super) slot: u32,
    pub(super) part: u32,
    pub(super) size_bytes: u64,
    pub(super) statement: String,
}

/// Hands a sealed part over, and waits until it is durable.
pub(super) fn seal(
    port: &dyn SpoolPort,
    collection: CollectionId,
    sealed: SealedSlot,
) -> Result<(), SlotError> {
    let said = FromReader::Sealed {
        collection,
        slot: sealed.slot,
        part: sealed.part,
        size_bytes: sealed.size_bytes,
        statement: sealed.statement,
    };
    match port.ask(&said, &|| false)?.0 {
        FromSpool::Durable { .. } => Ok(()),
        FromSpool::SlotFailed { text, .. } => Err(SlotError::Failed(text)),
        other => Err(out_of_turn(&other).into()),
    }
}

/// Ends `collection`.
pub(super) fn end(port: &dyn SpoolPort, collection: CollectionId) -> Result<(), LinkError> {
    let end = FromReader::End { collection };
    match port.ask(&end, &|| false)?.0 {
        FromSpool::Ended { .. } => Ok(()),
        other => Err(out_of_turn(&other)),
    }
}
