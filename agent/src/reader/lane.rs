//! One lane of a run: fills a part of its own from first byte to seal, then the next.
//!
//! A ZIP takes one entry at a time, so what two lanes write never meets; both compress at once.

use std::{
    fs::File,
    io::{self, Read},
    sync::{Arc, atomic::Ordering},
};

use evidence::{
    archive::Lines,
    gap::{Gap, Reason, Severity},
    instant::Instant,
    records::{FileRecord, LogLine, text_and_bytes},
};
use protocol::live::Line;

use super::{
    chain::{Run, Trouble},
    fetch::{Begin, End, Fetched, FileGap},
    folders,
    inbox::{Inbox, Incoming},
    part::{OpenPart, PartError},
    pieces, room, stored, weight,
};
use crate::files::{Outside, Stat};

/// A part that is being filled.
struct Open {
    slot: u32,
    part: OpenPart,
    /// A further descriptor of its file, to ask for free space.
    file: File,
    floor_bytes: u64,
    /// Records since the free space was last looked at.
    unseen: u64,
    /// Less is free than shall stay free: nothing more goes into this part.
    is_short: bool,
}

/// After so many records it is looked how much space is free.
const RECORDS_A_LOOK: u64 = 256;

/// See the module.
pub(super) struct Lane<'r> {
    run: &'r Run<'r>,
    id: usize,
    open: Option<Open>,
    /// Whether what is opened now is for the chain's end.
    is_closing: bool,
}

impl<'r> Lane<'r> {
    /// A lane without a part; `id` is its own.
    pub(super) fn new(run: &'r Run<'r>, id: usize) -> Self {
        Self {
            run,
            id,
            open: None,
            is_closing: false,
        }
    }

    /// From here on it only ends the chain: its part is opened whatever stops the run.
    pub(super) fn begin_closing(&mut self) {
        self.is_closing = true;
    }

    /// Writes into the open part on behalf of `artifact`; the next one is opened where none is.
    pub(super) fn write<T>(
        &mut self,
        artifact: &str,
        write: impl FnOnce(&mut OpenPart) -> Result<T, PartError>,
    ) -> Result<T, Trouble> {
        self.ensure()?;
        let Some(open) = &mut self.open else {
            return Err(Trouble::Stopped);
        };
        if !artifact.is_empty() {
            self.run.shared.tally.touched(artifact, self.id);
        }
        match write(&mut open.part) {
            Ok(done) => {
                self.run.set_counts(self.id, open.part.counts());
                Ok(done)
            }
            Err(error) => Err(self.failed(error.into())),
        }
    }

    /// Writes records of `artifact`, whose stream is opened where it isn't.
    pub(super) fn records(&mut self, artifact: &str, lines: &Lines) -> Result<(), Trouble> {
        self.write(artifact, |part| part.records(artifact, lines))?;
        let is_due = |open: &mut Open| {
            open.unseen += lines.count();
            open.unseen >= RECORDS_A_LOOK
        };
        if self.open.as_mut().is_some_and(is_due) {
            let has_space = self.has_space(0);
            if let Some(open) = &mut self.open {
                (open.unseen, open.is_short) = (0, !has_space);
            }
        }
        Ok(())
    }

    /// Ends the open stream of records, if there is one.
    pub(super) fn end_results(&mut self) -> Result<(), Trouble> {
        if let Some(open) = &mut self.open
            && let Err(error) = open.part.end_results()
        {
            return Err(self.failed(error.into()));
        }
        Ok(())
    }

    /// Whether the part must be closed before `artifact` can write more records.
    pub(super) fn is_full_for(&self, artifact: &str) -> bool {
        let is_full = |open: &Open| {
            open.is_short || open.part.is_due() || open.part.has_ended_results(artifact)
        };
        self.open.as_ref().is_some_and(is_full)
    }

    /// Notes a gap.
    pub(super) fn gap(
        &mut self,
        artifact: &str,
        subject: &[u8],
        (reason, severity): (Reason, Severity),
        text: &str,
    ) -> Result<(), Trouble> {
        let (subject, path_b64) = text_and_bytes(subject);
        let gap = Gap {
            artifact: artifact.to_owned(),
            subject,
            path_b64,
            reason,
            severity,
            text: text.to_owned(),
            time: Instant::now(),
        };
        self.note_gap(gap)
    }

    fn note_gap(&mut self, gap: Gap) -> Result<(), Trouble> {
        self.write(&gap.artifact, |part| part.gap(&gap))?;
        self.run.watch.line(&Line::Gap(gap));
        Ok(())
    }

    /// Notes what the agent did.
    pub(super) fn log(&mut self, artifact: Option<&str>, message: String) -> Result<(), Trouble> {
        self.log_line(LogLine {
            time: Instant::now(),
            message,
            artifact: artifact.map(str::to_owned),
        })
    }

    /// The same of what was noticed before.
    pub(super) fn log_line(&mut self, line: LogLine) -> Result<(), Trouble> {
        // On nobody's behalf: a line of the log alone makes no artifact unfinished.
        self.write("", |part| part.log(&line))?;
        self.run.watch.line(&Line::Log(line));
        Ok(())
    }

    /// Stores all that `inbox` gives until it ends.
    pub(super) fn store_all(&mut self, inbox: &mut Inbox) -> Result<(), Trouble> {
        while let Some(word) = inbox.next() {
            self.hear(word, inbox)?;
        }
        Ok(())
    }

    /// Deals with one word of `inbox`, and with the contents that follow it.
    pub(super) fn hear(&mut self, word: Fetched, inbox: &mut Inbox) -> Result<(), Trouble> {
        match word {
            Fetched::Record(record) => self.file_record(&record),
            Fetched::Gap(FileGap {
                artifact,
                subject,
                reason,
                text,
            }) => {
                let weight = (reason, weight::of_file(artifact, reason));
                self.gap(artifact, &subject, weight, &text)
            }
            Fetched::Begin(begin) => self.file(*begin, inbox),
            // A pause cuts the file that is being read; it is read again, whole, when the run is taken up.
            Fetched::Settled(_) if self.run.is_paused() => Ok(()),
            Fetched::Settled(artifact) => {
                self.run.shared.tally.settled(artifact);
                self.tell_outside(artifact)?;
                if self.open.as_ref().is_some_and(|o| o.part.is_due()) {
                    self.close(false, None)?;
                }
                Ok(())
            }
            // Only after a file whose beginning could not be written.
            Fetched::Chunk(_) | Fetched::End(_) => Ok(()),
        }
    }

    /// Tells how much of `artifact` the order's scope left out, once it is gathered.
    pub(super) fn tell_outside(&mut self, artifact: &str) -> Result<(), Trouble> {
        if self.run.shared.bounds.is_none() {
            return Ok(());
        }
        let counts = self.run.shared.tally.take_outside(artifact, self.id);
        self.outside(artifact, counts)
    }

    /// One gap for each reason. No name: it may be what the scope protects.
    pub(super) fn outside(&mut self, artifact: &str, counts: [u64; 3]) -> Result<(), Trouble> {
        for (why, count) in Outside::ALL.into_iter().zip(counts) {
            if count > 0 {
                let text = format!("{count} files and folders were left out: {}", why.words());
                let weight = (Reason::OutOfScope, Severity::Ordinary);
                self.gap(artifact, b"scope", weight, &text)?;
            }
        }
        Ok(())
    }

    /// Adds a line to files.jsonl.
    pub(super) fn file_record(&mut self, record: &FileRecord) -> Result<(), Trouble> {
        self.write(&record.artifact, |part| part.file_record(record))
    }

    fn file(&mut self, begin: Begin, inbox: &mut Inbox) -> Result<(), Trouble> {
        let is_fit = begin.size_bytes <= self.run.shared.plan.content_bytes();
        if is_fit {
            self.make_room(&begin.entry, begin.size_bytes)?;
        }
        if !self.has_space(begin.size_bytes) {
            // A fresh part may lie where there is room, or be waited for until there is. One without files makes none.
            if self.makes_room() {
                self.close(false, None)?;
                self.ensure()?;
            }
            if !self.has_space(begin.size_bytes) {
                return self.no_space(begin, inbox);
            }
        }
        if !is_fit {
            return pieces::store(self, begin, inbox);
        }
        let mut incoming = Incoming::new(inbox);
        let Begin { record, entry, .. } = &begin;
        let (shared, id) = (Arc::clone(&self.run.shared), self.id);
        let counted = Counted {
            source: &mut incoming,
            used: |bytes| shared.room.used(id, bytes),
        };
        let stored = self.write(&record.artifact, |part| part.content(entry, counted))?;
        let end = incoming.finish();
        let mut record = begin.record;
        record.entry = Some(begin.entry);
        record.sha256 = Some(stored.sha256);
        stored::add_read(
            &mut record,
            &begin.before,
            end.after.as_ref(),
            stored.size_bytes,
        );
        self.file_record(&record)?;
        self.end_gap(&record, end)
    }

    /// The gap of a file that could not be read to its end.
    pub(super) fn end_gap(&mut self, record: &FileRecord, end: End) -> Result<(), Trouble> {
        let Some((reason, text)) = end.fault else {
            return Ok(());
        };
        let gap = Gap {
            artifact: record.artifact.clone(),
            subject: record.path.clone(),
            path_b64: record.path_b64.clone(),
            reason,
            severity: weight::of_file(&record.artifact, reason),
            text,
            time: Instant::now(),
        };
        self.note_gap(gap)
    }

    /// Closes the part where `entry` of `size_bytes` doesn't fit it.
    fn make_room(&mut self, entry: &str, size_bytes: u64) -> Result<(), Trouble> {
        let fits = |o: &Open| {
            !o.part.is_due() && o.part.room_bytes() >= size_bytes && !o.part.has_entry(entry)
        };
        if !self.open.as_ref().is_none_or(fits) {
            self.close(false, None)?;
        }
        self.ensure()
    }

    /// Whether the disk has `more_bytes` above what shall stay free and what the other lanes are about to write; they
    /// are promised to this one then.
    fn has_space(&self, more_bytes: u64) -> bool {
        let has = |open: &Open| {
            let place = (&open.file, open.floor_bytes);
            let room = &self.run.shared.room;
            room.promise(self.id, place, open.part.counts(), more_bytes)
        };
        self.open.as_ref().is_none_or(has)
    }

    /// Whether something is gained by closing the part: it holds files, or nothing more can be written anyway.
    fn makes_room(&self) -> bool {
        self.open.as_ref().is_none_or(|open| {
            open.part.counts().files > 0 || room::is_used_up(&open.file, open.floor_bytes)
        })
    }

    /// The room that the part has left, for a piece of a file; a fresh part where it has little.
    pub(super) fn room_for_piece(&mut self, least_bytes: u64) -> Result<u64, Trouble> {
        let little = |o: &Open| o.part.is_due() || o.part.room_bytes() < least_bytes;
        if self.open.as_ref().is_some_and(little) {
            self.close(false, None)?;
        }
        self.ensure()?;
        Ok(self.open.as_ref().map_or(0, |o| o.part.room_bytes()))
    }

    fn no_space(&mut self, begin: Begin, inbox: &mut Inbox) -> Result<(), Trouble> {
        let text = "there is not enough free space for it where the output goes";
        let mut record = begin.record;
        record.why_no_entry = Some(text.to_owned());
        record.only_extents.clear();
        let without_room = &self.run.shared.without_room;
        without_room.fetch_add(1, Ordering::Relaxed);
        self.file_record(&record)?;
        let fault = Some((Reason::Limit, text.to_owned()));
        self.end_gap(&record, End { after: None, fault })?;
        Incoming::new(inbox).finish();
        Ok(())
    }

    /// Opens a part where none is.
    pub(super) fn ensure(&mut self) -> Result<(), Trouble> {
        if self.open.is_some() {
            return Ok(());
        }
        let slot = match self.run.open_slot(self.is_closing) {
            Ok(slot) => slot,
            Err(trouble) => return Err(self.failed(trouble)),
        };
        if let Ok(stat) = Stat::of_open(&slot.file) {
            self.run.shared.add_own_part(stat.identity());
        }
        let opened = slot.file.try_clone().map_err(PartError::Write);
        let opened = opened.map_err(Trouble::from).and_then(|file| {
            let mut part = self.run.new_part(slot.file)?;
            folders::add(&mut part, &self.run.shared.plan.root)?;
            Ok(Open {
                slot: slot.number,
                part,
                file,
                floor_bytes: slot.floor_bytes,
                unseen: 0,
                is_short: false,
            })
        });
        match opened {
            Ok(open) => {
                self.open = Some(open);
                Ok(())
            }
            Err(trouble) => {
                self.run.discard(slot.number);
                Err(self.failed(trouble))
            }
        }
    }

    /// Whether a part is open.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Seals the open part, if there is one.
    pub(super) fn close(&mut self, last: bool, ended_early: Option<String>) -> Result<(), Trouble> {
        self.end_results()?;
        let Some(Open { slot, part, .. }) = self.open.take() else {
            return Ok(());
        };
        let sealed = self.run.seal(self.id, (slot, part), last, ended_early);
        self.run.shared.room.release(self.id);
        sealed.map_err(|trouble| {
            self.run.discard(slot);
            self.failed(trouble)
        })
    }

    /// The open part is given up: what was in it is lost, and the run stops.
    fn failed(&mut self, trouble: Trouble) -> Trouble {
        if let Some(open) = self.open.take() {
            self.run.discard(open.slot);
        }
        self.run.shared.room.release(self.id);
        self.run.set_counts(self.id, Default::default());
        let shared = &self.run.shared;
        match &trouble {
            Trouble::Stopped => {}
            Trouble::Lost(text) => {
                shared.tally.lost(self.id);
                shared.stop(Reason::Limit, text.clone());
            }
            Trouble::Fatal(error) => shared.stop(Reason::Interrupted, error.to_string()),
        }
        trouble
    }
}

/// Tells how much of a file has come by.
struct Counted<R, U> {
    source: R,
    used: U,
}

impl<R: Read, U: Fn(u64)> Read for Counted<R, U> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        (self.used)(count as u64);
        Ok(count)
    }
}
