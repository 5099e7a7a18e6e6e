//! The custody log as this reader has seen it: what comes later must continue it, and a server that shows another log is
//! an alarm.
//!
//! Only what the log's key in the policy has signed counts. Nothing here waits or asks: it says what to ask for. A proof
//! that never comes proves nothing, so nothing is kept by it, and the question is put again.

use std::collections::VecDeque;

use evidence::{
    custody::{
        checkpoint::{Checkpoint, CheckpointError},
        note::{LogKey, NoteError},
        receipt::Receipt,
    },
    digest::Digest,
};
use serde::Deserialize;

/// So many proofs are waited for; the oldest is given up for one more, and asked for again some day.
const WAITING: usize = 64;

/// What follows from something that was seen.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing new.
    Nothing,
    /// The proof that the log of the second size continues that of the first must be had.
    Ask {
        /// The earlier size.
        from: u64,
        /// The later size.
        to: u64,
    },
    /// This note is the newest that is proven.
    Newer(String),
    /// It is no word of the log at all, for this reason.
    Worthless(String),
    /// The log is not the one that was seen before.
    Alarm(Alarm),
}

/// Two words of the log's key of which one denies the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// What was seen before.
    pub held: String,
    /// What is shown now.
    pub shown: String,
    /// What is wrong with it, for people.
    pub why: String,
}

/// What of a receipt is kept.
#[derive(Deserialize)]
struct Noted {
    checkpoint: String,
}

/// A note and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    note: String,
    says: Checkpoint,
}

/// What was shown, and waits for the proof that the later of both continues the earlier.
#[derive(Debug)]
struct Pair {
    held: Word,
    shown: Word,
}

impl Pair {
    fn in_order(&self) -> (&Word, &Word) {
        if self.held.says.size <= self.shown.says.size {
            (&self.held, &self.shown)
        } else {
            (&self.shown, &self.held)
        }
    }

    fn alarm(&self, why: String) -> Found {
        Found::Alarm(Alarm {
            held: self.held.note.clone(),
            shown: self.shown.note.clone(),
            why,
        })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Watcher {
    waiting: VecDeque<Pair>,
}

impl Watcher {
    /// A receipt was handed over; `held` is the note that is remembered.
    pub fn receipt(&mut self, receipt: &[u8], held: Option<&str>, key: &LogKey) -> Found {
        let proven = match Receipt::parse(receipt).and_then(|r| r.verify(key)) {
            Ok(proven) => proven,
            Err(error) => return Found::Worthless(error.to_string()),
        };
        match serde_json::from_slice(receipt) {
            Ok(Noted { checkpoint: note }) => {
                let says = proven.checkpoint;
                self.compare(Word { note, says }, held, key)
            }
            Err(error) => Found::Worthless(error.to_string()),
        }
    }

    /// The server says that this is its newest checkpoint.
    pub fn newest(&mut self, note: &str, held: Option<&str>, key: &LogKey) -> Found {
        let shown = match Checkpoint::verify(note, key) {
            Ok(says) => Word {
                note: note.to_owned(),
                says,
            },
            Err(error) => return Found::Worthless(error.to_string()),
        };
        match read(held, key) {
            // No proof leads back: it had more.
            Ok(Some(held)) if shown.says.size < held.says.size => {
                let (then, now) = (held.says.size, shown.says.size);
                let why = format!("it had {then} leaves and shows {now}");
                Pair { held, shown }.alarm(why)
            }
            _ => self.compare(shown, held, key),
        }
    }

    /// The server's proof; none where it could not be had, an empty one where the server has none.
    pub fn proof(
        &mut self,
        (from, to): (u64, u64),
        proof: Option<&[Digest]>,
        held: Option<&str>,
        key: &LogKey,
    ) -> Found {
        let sizes = |pair: &Pair| {
            let (earlier, later) = pair.in_order();
            (earlier.says.size, later.says.size)
        };
        let place = self.waiting.iter().position(|p| sizes(p) == (from, to));
        let (Some(pair), Some(proof)) = (place.and_then(|at| self.waiting.remove(at)), proof)
        else {
            return Found::Nothing;
        };
        let (earlier, later) = pair.in_order();
        if let Err(error) = earlier.says.verify_continued_by(&later.says, proof) {
            let error = error.to_string();
            let error = error.trim_end_matches('.');
            let why = format!("its {to} leaves don't continue the {from} before: {error}");
            return pair.alarm(why);
        }
        match held {
            Some(held) if held == pair.held.note && later.note == pair.shown.note => {
                Found::Newer(later.note.clone())
            }
            Some(held) if held == later.note => Found::Nothing,
            // Something else was proven meanwhile, and both must go together.
            _ => self.compare(pair.shown, held, key),
        }
    }

    fn compare(&mut self, shown: Word, held: Option<&str>, key: &LogKey) -> Found {
        let held = match read(held, key) {
            Ok(Some(held)) => held,
            Ok(None) => return Found::Newer(shown.note),
            Err(error) => return Found::Worthless(format!("what is remembered: {error}")),
        };
        let pair = Pair { held, shown };
        let (earlier, later) = pair.in_order();
        let (from, to) = (earlier.says.size, later.says.size);
        if from == to {
            if pair.held.says.root == pair.shown.says.root {
                return Found::Nothing;
            }
            return pair.alarm(format!("it has two faces with {to} leaves"));
        }
        if from == 0 {
            let is_newer = pair.shown.says.size == to;
            return if is_newer {
                Found::Newer(pair.shown.note)
            } else {
                Found::Nothing
            };
        }
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(pair);
        Found::Ask { from, to }
    }
}

/// The note in a receipt; none where it is no receipt.
pub fn noted(receipt: &str) -> Option<String> {
    let noted: Noted = serde_json::from_str(receipt).ok()?;
    Some(noted.checkpoint)
}

/// What is remembered; none where it is of another log, whose key the root's policy has replaced.
fn read(held: Option<&str>, key: &LogKey) -> Result<Option<Word>, CheckpointError> {
    let Some(note) = held else {
        return Ok(None);
    };
    match Checkpoint::verify(note, key) {
        Ok(says) => Ok(Some(Word {
            note: note.to_owned(),
            says,
        })),
        Err(CheckpointError::Note(NoteError::NotSigned(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
