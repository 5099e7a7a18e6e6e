//! The spool as a service: empty files for the reader, sealed parts made durable, and a reader that waits while the
//! spool is full.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use evidence::ids::CollectionId;

use super::{
    context::{Context, CourierError},
    pause::Tray,
    room::Floor,
    shelf,
    spool::{Spool, SpoolError},
};
use crate::link::{FromReader, FromSpool, LinkError, Wrapping};
use crate::platform::handle::AsFd as _;

/// More questions than any reader has open at once.
const QUESTIONS_MAX: usize = 256;
/// More collections than any reader has begun at once: the one that runs, and those that make way for it.
const COLLECTIONS_MAX: usize = 32;
/// How often it is looked whether there is room again; a delivery tells it at once.
const LOOK: Duration = Duration::from_secs(1);
/// Beside a collection's parts: the reader has ended it.
pub(super) const ENDED: &str = "ended";

/// What the reader asks of the spool.
pub(super) type Questions = Tray<FromReader>;

/// An empty tray of questions.
pub(super) fn questions() -> Questions {
    Tray::of(QUESTIONS_MAX)
}

/// Takes a question without waiting.
pub(super) fn ask(
    context: &Context,
    questions: &Questions,
    asked: FromReader,
) -> Result<(), CourierError> {
    let too_many = |_| out_of_turn("too many questions at once");
    questions.put(asked, &context.bell).map_err(too_many)
}

/// Answers what the reader asks of the spool, in order; only files for which there is no room wait.
pub(super) fn serve(context: &Context, questions: &Questions) -> Result<(), CourierError> {
    let mut slots = Slots {
        context,
        floor: context
            .settings
            .min_free_bytes
            .map_or_else(Floor::default, Floor::at_least),
        begun: BTreeMap::new(),
        waiting: VecDeque::new(),
        left: Vec::new(),
    };
    while !context.has_ended() {
        match questions.take() {
            Some(asked) => slots.answer_or_leave(asked)?,
            None => slots.rest(questions)?,
        }
    }
    Ok(())
}

struct Slots<'c> {
    context: &'c Context,
    floor: Floor,
    begun: BTreeMap<CollectionId, Spool>,
    waiting: VecDeque<(CollectionId, u32)>,
    /// Begins and ends for which a full disk had no room: a reader that hears nothing waits, and loses nothing.
    left: Vec<FromReader>,
}

impl Slots<'_> {
    fn answer_or_leave(&mut self, asked: FromReader) -> Result<(), CourierError> {
        let is_left = matches!(asked, FromReader::Begin { .. } | FromReader::End { .. });
        let again = is_left.then(|| asked.clone());
        match (self.answer(asked), again) {
            (Err(CourierError::Spool(error)), Some(again)) if error.is_full() => {
                let what = "a collection waits for room on the disk";
                self.context.note(what, &error.to_string());
                self.left.push(again);
                Ok(())
            }
            (answered, _) => answered,
        }
    }

    fn answer(&mut self, asked: FromReader) -> Result<(), CourierError> {
        match asked {
            FromReader::Begin {
                collection,
                wrapping: Wrapping::Age,
                seal_certificate_pem: None,
                closing_bytes,
            } => self.begin(collection, closing_bytes),
            FromReader::OpenSlot {
                collection,
                slot,
                closing,
            } => self.open(collection, slot, closing),
            FromReader::Sealed {
                collection,
                slot,
                part,
                size_bytes,
                statement,
            } => self.seal(collection, slot, part, size_bytes, &statement),
            FromReader::Discard { collection, slot } => {
                self.waiting.retain(|one| *one != (collection, slot));
                self.spool(collection)?.discard(slot);
                Ok(())
            }
            FromReader::End { collection } => self.end(collection),
            // A part that is not encrypted among them: this half must see ciphertext only.
            _ => Err(out_of_turn("no question for this spool")),
        }
    }

    fn spool(&mut self, collection: CollectionId) -> Result<&mut Spool, CourierError> {
        let found = self.begun.get_mut(&collection);
        found.ok_or_else(|| out_of_turn("a collection that has not begun"))
    }

    /// Begins a collection, or goes on with one that made way for another: what was open of that is of nobody any more.
    fn begin(&mut self, collection: CollectionId, closing_bytes: u64) -> Result<(), CourierError> {
        // Its lock goes first, and the files of the last time with it.
        self.begun.remove(&collection);
        self.waiting.retain(|(one, _)| *one != collection);
        if self.begun.len() >= COLLECTIONS_MAX {
            return Err(out_of_turn("a collection that can't begin"));
        }
        let parent = self.context.folder.spool();
        let begin = || Spool::begin(&parent, collection, Wrapping::Age, self.floor);
        let spare = &self.context.spare;
        let mut spool = spare.make_way(begin, SpoolError::is_full)?;
        if let Err(error) = spool.reserve(closing_bytes) {
            // No part is begun before it is had.
            let what = "the spool has no room for the end of the collection yet";
            self.context.note(what, &error.to_string());
        }
        let (device, inode) = spool.identity()?;
        let durable = spool.durable();
        self.begun.insert(collection, spool);
        self.context.set_collecting(true);
        let ready = FromSpool::Ready {
            collection,
            device,
            inode,
            durable,
        };
        self.context.say(&ready, None)
    }

    fn open(
        &mut self,
        collection: CollectionId,
        slot: u32,
        closing: bool,
    ) -> Result<(), CourierError> {
        let is_full = !closing && !self.has_room(collection)?;
        if !is_full {
            return self.hand_out(collection, slot, closing);
        }
        if self.waiting.len() >= QUESTIONS_MAX {
            return Err(out_of_turn("too many files at once"));
        }
        if self.waiting.is_empty() {
            tracing::warn!(
                "the spool is full: the collection waits for delivery or for disk space"
            );
        }
        self.waiting.push_back((collection, slot));
        Ok(())
    }

    /// Whether quota and disk allow one more file.
    fn has_room(&mut self, collection: CollectionId) -> Result<bool, CourierError> {
        let usage = shelf::usage(&self.context.folder.spool())?;
        // With nothing to deliver there is nothing to wait for: a quota below a part's size must not stop everything.
        let is_over = usage.sealed_parts > 0
            && usage.sealed_bytes.saturating_add(usage.open_bytes)
                >= self.context.settings.spool_quota_bytes;
        if is_over {
            return Ok(false);
        }
        match self.spool(collection)?.has_room() {
            Ok(()) => Ok(true),
            Err(SpoolError::NoRoom { .. }) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    fn hand_out(
        &mut self,
        collection: CollectionId,
        slot: u32,
        closing: bool,
    ) -> Result<(), CourierError> {
        let spool = self.spool(collection)?;
        let floor_bytes = spool.floor_bytes()?;
        let opened = spool.open_slot(slot, closing).and_then(|file| {
            let copy = file.as_fd().try_clone_to_owned();
            copy.map_err(|source| SpoolError::File {
                what: "handed over",
                path: "the empty file".into(),
                source,
            })
        });
        match opened {
            Ok(file) => {
                let said = FromSpool::SlotOpened {
                    collection,
                    slot,
                    floor_bytes,
                };
                self.context.say(&said, Some(&file))
            }
            Err(error) => self.slot_failed(collection, slot, error),
        }
    }

    fn seal(
        &mut self,
        collection: CollectionId,
        slot: u32,
        part: u32,
        size_bytes: u64,
        statement: &str,
    ) -> Result<(), CourierError> {
        let spool = self.spool(collection)?;
        match spool.seal(slot, part, size_bytes, statement) {
            Ok(_) => {
                let durable = FromSpool::Durable { collection, part };
                self.context.say(&durable, None)?;
                self.context.part_sealed();
                Ok(())
            }
            Err(error) => self.slot_failed(collection, slot, error),
        }
    }

    /// One file is lost; the rest of the conversation is not.
    fn slot_failed(
        &mut self,
        collection: CollectionId,
        slot: u32,
        error: SpoolError,
    ) -> Result<(), CourierError> {
        if !error.is_of_one_slot() {
            return Err(error.into());
        }
        self.context
            .note("a file of the spool failed", &error.to_string());
        self.spool(collection)?.discard(slot);
        let failed = FromSpool::SlotFailed {
            collection,
            slot,
            text: error.to_string(),
        };
        self.context.say(&failed, None)
    }

    fn end(&mut self, collection: CollectionId) -> Result<(), CourierError> {
        let spare = &self.context.spare;
        let spool = self.spool(collection)?;
        spare.make_way(|| spool.write_beside(ENDED, b""), SpoolError::is_full)?;
        self.waiting.retain(|(one, _)| *one != collection);
        self.begun.remove(&collection);
        self.context.set_collecting(!self.begun.is_empty());
        self.context.say(&FromSpool::Ended { collection }, None)
    }

    /// Waits for a question, or for room where a file waits for it.
    fn rest(&mut self, questions: &Questions) -> Result<(), CourierError> {
        let delivered = self.context.delivered();
        let is_waited = !self.waiting.is_empty() || !self.left.is_empty();
        let look = is_waited.then(|| Instant::now() + LOOK);
        self.context.wait_until(look, || {
            !questions.is_empty() || (look.is_some() && self.context.delivered() != delivered)
        });
        for asked in std::mem::take(&mut self.left) {
            self.answer_or_leave(asked)?;
        }
        while let Some(&(collection, slot)) = self.waiting.front() {
            if self.context.has_ended() || !self.has_room(collection)? {
                break;
            }
            self.waiting.pop_front();
            self.hand_out(collection, slot, false)?;
        }
        Ok(())
    }
}

fn out_of_turn(what: &str) -> CourierError {
    LinkError::OutOfTurn(what.to_owned()).into()
}
