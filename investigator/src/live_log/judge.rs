//! Whether a piece is what its agent sealed, follows the one before, and opens.

use std::{collections::HashMap, io::Read as _};

use anyhow::{Context as _, ensure};
use data_encoding::BASE64;
use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    ids::{AgentId, CollectionId},
    seal::Trust,
    wrap::{Identity, UnwrapReader},
};
use protocol::{
    live::{Line, LogFrame, LogPiece, MAX_PIECE_BYTES},
    messages::HostRow,
    version,
};

use super::{Entry, Said};
use crate::seal_key;

/// Where the log of one host stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    collection: CollectionId,
    attempt: u32,
    piece: u32,
    document: Digest,
    is_over: bool,
}

/// See the module. It remembers where each host's log stands.
pub struct Judge<'a> {
    hosts: HashMap<AgentId, &'a HostRow>,
    trust: &'a Trust,
    identities: Vec<Identity>,
    order: Digest,
    places: HashMap<AgentId, Place>,
    faults: usize,
}

impl<'a> Judge<'a> {
    /// For pieces of `order`, sealed by agents of `hosts` under `trust`.
    pub fn new(
        hosts: &'a [HostRow],
        trust: &'a Trust,
        identities: Vec<Identity>,
        order: Digest,
    ) -> Self {
        Self {
            hosts: hosts.iter().map(|host| (host.agent, host)).collect(),
            trust,
            identities,
            order,
            places: HashMap::new(),
            faults: 0,
        }
    }

    /// How many pieces were missing, false, or could not be opened.
    pub const fn faults(&self) -> usize {
        self.faults
    }

    /// What a piece says, and what is to be said of it.
    pub fn take(&mut self, frame: &LogFrame) -> Vec<Entry> {
        let mut said = Vec::new();
        if let Err(error) = self.one(frame, &mut said) {
            let text = format!("a piece is not believed, and nothing of it is shown: {error:#}");
            self.fault(&mut said, text);
        }
        let entry = |said| Entry {
            agent: frame.agent,
            hostname: frame.hostname.clone(),
            said,
        };
        said.into_iter().map(entry).collect()
    }

    fn fault(&mut self, said: &mut Vec<Said>, text: String) {
        self.faults += 1;
        said.push(Said::Note(text));
    }

    fn one(&mut self, frame: &LogFrame, said: &mut Vec<Said>) -> anyhow::Result<()> {
        let (piece, document, content) = self.sealed(frame)?;
        self.follows(&piece, document, said)?;
        match self.open(&content) {
            Ok(plain) => said.extend(plain.split(|b| *b == b'\n').filter_map(line)),
            Err(error) => {
                let text = format!("piece {} can't be opened: {error:#}", piece.piece);
                self.fault(said, text);
            }
        }
        Ok(())
    }

    /// The piece, where its agent's seal key has signed it for this order and this content.
    fn sealed(&self, frame: &LogFrame) -> anyhow::Result<(LogPiece, Digest, Vec<u8>)> {
        let host = self.hosts.get(&frame.agent);
        let host = host.context("its host is not on the server's list")?;
        let envelope = Envelope::parse(frame.piece.as_bytes())?;
        let claimed: LogPiece = version::read(&envelope, envelope::LOG_PIECE, "log piece")?;
        let key = seal_key::of(frame.agent, &host.seal_chain, self.trust, claimed.time)?;
        let piece = LogPiece::open(&envelope, &key)?;
        ensure!(
            piece.agent == frame.agent && piece.order_digest == self.order,
            "it speaks of another agent or another order"
        );
        let content = BASE64.decode(frame.content.as_bytes());
        let content = content.context("its content is not base64")?;
        ensure!(
            piece.fits(&content) && content.len() <= MAX_PIECE_BYTES,
            "its content is not what was sealed"
        );
        Ok((piece, envelope.digest(), content))
    }

    /// Whether it comes after what came before; what lies between is told.
    fn follows(
        &mut self,
        piece: &LogPiece,
        document: Digest,
        said: &mut Vec<Said>,
    ) -> anyhow::Result<()> {
        let before = self.places.get(&piece.agent).copied();
        if let Some(before) = before {
            ensure!(
                before.collection == piece.collection,
                "it is of another collection"
            );
            ensure!(
                (piece.attempt, piece.piece) > (before.attempt, before.piece),
                "piece {} comes a second time, or late",
                piece.piece
            );
        }
        let here = before.filter(|b| b.attempt == piece.attempt);
        match (before, here) {
            (Some(before), None) => {
                let text = format!("the collection goes on: attempt {}", piece.attempt);
                said.push(Said::Note(text));
                if !before.is_over {
                    let text = "what the attempt before said last did not come".to_owned();
                    self.fault(said, text);
                }
            }
            (None, _) if piece.attempt > 1 => {
                let text = format!("earlier attempts than {} are not here", piece.attempt);
                self.fault(said, text);
            }
            _ => {}
        }
        self.missing(piece, here.map_or(0, |b| b.piece), said);
        let is_next = here.is_none_or(|b| b.piece + 1 == piece.piece);
        let named = here.map(|b| b.document);
        let is_swapped = is_next
            && match piece.piece {
                1 => piece.previous.is_some(),
                _ => named.is_some() && piece.previous != named,
            };
        if is_swapped {
            let text = format!(
                "piece {} does not name the one before: one of the two is false",
                piece.piece
            );
            self.fault(said, text);
        }
        let place = Place {
            collection: piece.collection,
            attempt: piece.attempt,
            piece: piece.piece,
            document,
            is_over: piece.last,
        };
        self.places.insert(piece.agent, place);
        Ok(())
    }

    fn missing(&mut self, piece: &LogPiece, last: u32, said: &mut Vec<Said>) {
        let (from, to) = (last.saturating_add(1), piece.piece.saturating_sub(1));
        let text = match to.checked_sub(from) {
            None => return,
            Some(0) => format!("piece {from} is missing; the archive has its lines"),
            Some(_) => format!("pieces {from} to {to} are missing; the archive has their lines"),
        };
        self.fault(said, text);
    }

    fn open(&self, content: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut plain = Vec::new();
        // Encryption only adds: the content's own limit bounds what comes.
        UnwrapReader::new(&self.identities, content)?.read_to_end(&mut plain)?;
        Ok(plain)
    }
}

/// What one line says; lines of later agents say nothing here.
fn line(json: &[u8]) -> Option<Said> {
    if json.is_empty() {
        return None;
    }
    match serde_json::from_slice(json) {
        Ok(Line::Unknown) => None,
        Ok(line) => Some(Said::Said(line)),
        Err(_) => Some(Said::Note("a line can't be read".to_owned())),
    }
}
