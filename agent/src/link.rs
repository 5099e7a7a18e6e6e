//! What the reader and the half that owns the spool may say to each other, and nothing else.
//!
//! One message is one packet of JSON with a ceiling on its length; unknown fields, unknown
//! messages and unexpected descriptors end the conversation. No message carries a path: the
//! spool makes every name itself, from numbers and parsed ids. Documents of the server that may
//! be long travel in a file, as a descriptor, and are read with a ceiling of their own.

use std::{io, time::Duration};

use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId},
};
use protocol::{enrolment::HostFacts, messages::Report};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::platform::handle::{BorrowedFd, OwnedFd};
use crate::platform::{program::Use, sandbox::Walls, socket};

/// The version of this message set; both halves come from one binary, so only equality is asked.
pub const VERSION: u32 = 7;

/// No message is longer. A statement with its certificates takes about 8 KiB.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// How a part is wrapped, which decides its file's ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrapping {
    /// An age file.
    Age,
    /// Not encrypted (a local collection that was told so).
    None,
}

/// What the reader says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromReader {
    /// The first message of every conversation.
    Hello {
        /// The message set's version.
        v: u32,
        /// The version of the policy that the reader holds; 0 before enrolment and without one.
        policy_version: u64,
        /// The agent that the reader is; none before enrolment and without one.
        agent: Option<AgentId>,
    },
    /// The walls around the reader, for who asks how the agent fares.
    Walls {
        /// Those that stand, and those that do not.
        walls: Walls,
    },
    /// What the reader has used of the host since it began; told now and then.
    Used {
        /// Its processor time and memory.
        used: Use,
    },
    /// A collection begins, or goes on after the halves were ended, or after it made way for another.
    Begin {
        /// The collection.
        collection: CollectionId,
        /// How every part of it is wrapped.
        wrapping: Wrapping,
        /// The certificate of a seal key made for the run, to lie beside the parts.
        seal_certificate_pem: Option<String>,
        /// What the part that ends the chain may need: the spool keeps so much room for it from here on.
        closing_bytes: u64,
    },
    /// Asks for an empty file to write a part into; several may be open at once. The answer may wait while
    /// there is no room.
    OpenSlot {
        /// The collection.
        collection: CollectionId,
        /// The reader's own number for the file, used once in a conversation.
        slot: u32,
        /// Whether it is for the small part that ends the chain, which the floor of free space doesn't hold up.
        closing: bool,
    },
    /// The part in that file is written to its end and sealed.
    Sealed {
        /// The collection.
        collection: CollectionId,
        /// The file.
        slot: u32,
        /// The part's number, from 1, in the order of sealing.
        part: u32,
        /// How many bytes lie in its file.
        size_bytes: u64,
        /// The signed statement, as it shall lie beside the part.
        statement: String,
    },
    /// The file is given up: nothing in it was sealed.
    Discard {
        /// The collection.
        collection: CollectionId,
        /// The file.
        slot: u32,
    },
    /// The collection's last part is sealed.
    End {
        /// The collection.
        collection: CollectionId,
    },
    /// Asks for the server's signed time over this nonce.
    AskTime {
        /// 128 random bits in hex.
        nonce: String,
    },
    /// Asks for the custody log's newest checkpoint.
    AskCheckpoint {},
    /// Asks for the proof that the custody log of the second size continues that of the first.
    AskConsistency {
        /// The earlier size.
        from: u64,
        /// The later size.
        to: u64,
    },
    /// What the server shall hear of an order.
    Report {
        /// The report.
        report: Report,
    },
    /// A piece of the log of the collection that runs. It may be lost.
    LogPiece {
        /// The envelope of its document.
        piece: String,
        /// Its encrypted content, base64.
        content: String,
    },
    /// The policy that the reader holds now, after it judged what it was handed.
    Holds {
        /// Its version.
        policy_version: u64,
    },
    /// Enrolment: the request for a seal certificate, and what the host is.
    SealRequest {
        /// The CSR, PEM.
        csr_pem: String,
        /// The host.
        host: HostFacts,
    },
    /// Enrolment: the answer held, and is kept.
    EnrolmentKept {
        /// The new agent.
        agent: AgentId,
        /// SHA-256 of the pinned root document's payload.
        root_sha256: Digest,
    },
    /// Renewal: the request for a seal certificate, in an envelope signed by the present seal key.
    RenewSeal {
        /// The envelope.
        envelope: String,
    },
    /// Cloned: the request for an identity of its own, signed by the present seal key, and the host under its new id.
    Fork {
        /// The envelope.
        envelope: String,
        /// The host.
        host: HostFacts,
    },
    /// Cloned: the answer held, and is kept. From here on the reader is this agent.
    ForkKept {
        /// The new agent.
        agent: AgentId,
    },
    /// What was asked for can't be done; the conversation ends here.
    Failed {
        /// Why, for people.
        text: String,
    },
}

/// What the spool's half, or the courier, says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromSpool {
    /// The answer to the first message.
    Welcome {
        /// The message set's version.
        v: u32,
    },
    /// The collection's folder is there. Its identity lets the reader leave it out.
    Ready {
        /// The collection.
        collection: CollectionId,
        /// The folder's device.
        device: u64,
        /// The folder's inode.
        inode: u64,
        /// How many parts are durable already: more than none where a collection goes on.
        durable: u32,
    },
    /// The empty file comes with this message as a descriptor.
    SlotOpened {
        /// The collection.
        collection: CollectionId,
        /// The file.
        slot: u32,
        /// So much must stay free where the file lies: the reader closes the part before less is.
        floor_bytes: u64,
    },
    /// The file can't be opened, or could not be made durable and is removed. The conversation goes on.
    SlotFailed {
        /// The collection.
        collection: CollectionId,
        /// The file.
        slot: u32,
        /// Why, for people.
        text: String,
    },
    /// The part and its statement have reached the disk under their final names.
    Durable {
        /// The collection.
        collection: CollectionId,
        /// The part's number.
        part: u32,
    },
    /// All that was sealed of the collection is durable.
    Ended {
        /// The collection.
        collection: CollectionId,
    },
    /// The server's signed time.
    Time {
        /// The nonce that was asked for.
        nonce: String,
        /// The envelope; none where no server answered.
        signed: Option<String>,
    },
    /// The custody log's newest checkpoint.
    Checkpoint {
        /// The signed note; none where no server answered.
        note: Option<String>,
    },
    /// The server's proof of consistency.
    Consistency {
        /// The earlier size.
        from: u64,
        /// The later size.
        to: u64,
        /// The proof (RFC 6962, 2.1.2), empty where the server has none; none where no server answered.
        proof: Option<Vec<Digest>>,
    },
    /// The receipt of a delivered part, in the file that comes as a descriptor.
    Receipt {},
    /// An order: a `HandedOrder` message, in the file that comes as a descriptor.
    Order {},
    /// The cancellation of an order: its envelope, in the file that comes as a descriptor.
    Cancel {},
    /// A newer policy: a `Trust` message, in the file that comes as a descriptor.
    Trust {},
    /// Enrolment: the server's `EnrolResponse`, in the file that comes as a descriptor.
    Enrolled {},
    /// Renewal: the new seal certificate and its issuing chain.
    SealRenewed {
        /// PEM.
        chain_pem: String,
    },
    /// The server says that this identity was met on two machines.
    Cloned {},
    /// Cloned: the server's `EnrolResponse`, in the file that comes as a descriptor.
    Forked {},
    /// It can't be done; the conversation ends here.
    Failed {
        /// Why, for people.
        text: String,
    },
}

impl FromSpool {
    /// Whether this is what `asked` waits for; every other message may come in between.
    pub fn answers(&self, asked: &FromReader) -> bool {
        match (asked, self) {
            (FromReader::Hello { .. }, Self::Welcome { .. }) | (_, Self::Failed { .. }) => true,
            (FromReader::Begin { collection: a, .. }, Self::Ready { collection: b, .. })
            | (FromReader::End { collection: a }, Self::Ended { collection: b }) => a == b,
            (
                FromReader::OpenSlot {
                    collection: a,
                    slot,
                    ..
                },
                Self::SlotOpened {
                    collection: b,
                    slot: opened,
                    ..
                }
                | Self::SlotFailed {
                    collection: b,
                    slot: opened,
                    ..
                },
            ) => (a, slot) == (b, opened),
            (
                FromReader::Sealed {
                    collection: a,
                    part,
                    ..
                },
                Self::Durable {
                    collection: b,
                    part: durable,
                },
            ) => (a, part) == (b, durable),
            (
                FromReader::Sealed {
                    collection: a,
                    slot,
                    ..
                },
                Self::SlotFailed {
                    collection: b,
                    slot: failed,
                    ..
                },
            ) => (a, slot) == (b, failed),
            (FromReader::AskTime { nonce: a }, Self::Time { nonce: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// Why the conversation can't go on.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error(
        "the link between the agent's halves broke. The other half may have been ended; start again."
    )]
    Socket(#[source] io::Error),
    /// The other half closed it.
    #[error("the other half of the agent is gone. See its messages above, and start again.")]
    Closed,
    /// The message is none of the set.
    #[error(
        "the other half said something that is not in the protocol. Both halves must be of one version."
    )]
    Malformed(#[source] serde_json::Error),
    /// The message is longer than the protocol allows.
    #[error(
        "a message of {0} bytes doesn't fit the link. This is a fault of ours; please report it."
    )]
    TooLong(usize),
    /// A message of the set, in the wrong place.
    #[error("the other half answered out of turn: {0}. Both halves must be of one version.")]
    OutOfTurn(String),
    /// The wait for an answer was given up, because the run must stop.
    #[error("the other half did not answer in time. Look at its messages, and start again.")]
    GivenUp,
    /// The spool's half could not do it.
    #[error("the output can't take the collection: {0}")]
    Failed(String),
}

/// One end of the link.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Link {
    /// Speaks over `socket`.
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            buffer: vec![0; MESSAGE_BYTES_MAX],
        }
    }

    /// Sends `message`, with a descriptor where the protocol has one.
    ///
    /// # Errors
    /// The message is too long, or the other half is gone.
    pub fn send<M: Serialize>(
        &mut self,
        message: &M,
        handed: Option<BorrowedFd<'_>>,
    ) -> Result<(), LinkError> {
        let bytes = serde_json::to_vec(message).map_err(LinkError::Malformed)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(LinkError::TooLong(bytes.len()));
        }
        socket::send(&self.socket, &bytes, handed).map_err(LinkError::Socket)
    }

    /// Whether there is something to hear, be it the link's end.
    ///
    /// # Errors
    /// The socket failed.
    pub fn has_something(&self) -> Result<bool, LinkError> {
        self.has_something_within(Duration::ZERO)
    }

    /// Waits until there is something to hear, be it the link's end, and no longer than this; says whether there is.
    ///
    /// # Errors
    /// The socket failed.
    pub fn has_something_within(&self, wait: Duration) -> Result<bool, LinkError> {
        socket::wait_readable(&self.socket, wait).map_err(LinkError::Socket)
    }

    /// Waits for the next message; `None` when the other half closed the link.
    ///
    /// # Errors
    /// The message is too long or none of the set.
    pub fn receive<M: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<(M, Option<OwnedFd>)>, LinkError> {
        let (length, handed) = match socket::receive(&self.socket, &mut self.buffer) {
            // It left without hearing our last words, which is an end as any other.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            other => other.map_err(LinkError::Socket)?,
        };
        if length == 0 {
            return Ok(None);
        }
        let message =
            serde_json::from_slice(&self.buffer[..length]).map_err(LinkError::Malformed)?;
        Ok(Some((message, handed)))
    }

    /// For tests: the next message. One that has not come after two minutes never will, and must not hold up all others.
    #[cfg(test)]
    pub fn expect<M: DeserializeOwned>(&mut self) -> (M, Option<OwnedFd>) {
        let wait = Duration::from_secs(120);
        let has_come = self.has_something_within(wait).unwrap();
        assert!(has_come, "the other half says nothing");
        self.receive().unwrap().expect("the other half is gone")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (Link, Link) {
        let (one, other) = socket::pair().unwrap();
        (Link::new(one), Link::new(other))
    }

    #[test]
    fn carries_a_message_and_a_descriptor() {
        let (mut spool, mut reader) = ends();
        let file = tempfile::tempfile().unwrap();
        let collection = CollectionId::from_bytes([1; 16]);
        let said = FromSpool::SlotOpened {
            collection,
            slot: 1,
            floor_bytes: 0,
        };
        spool
            .send(&said, Some(std::os::fd::AsFd::as_fd(&file)))
            .unwrap();
        let (heard, handed) = reader.receive::<FromSpool>().unwrap().unwrap();
        assert_eq!(heard, said);
        assert!(handed.is_some());
        drop(spool);
        assert!(reader.receive::<FromSpool>().unwrap().is_none());
    }

    #[test]
    fn a_half_that_leaves_without_hearing_our_last_words_has_closed_the_link() {
        let (mut reader, mut spool) = ends();
        let (nonce, signed) = ("00".repeat(16), None);
        spool
            .send(&FromSpool::Time { nonce, signed }, None)
            .unwrap();
        drop(reader.receive::<FromSpool>().unwrap());
        spool
            .send(&FromSpool::Checkpoint { note: None }, None)
            .unwrap();
        drop(reader);
        assert!(spool.receive::<FromReader>().unwrap().is_none());
    }

    #[test]
    fn refuses_what_is_not_in_the_set() {
        for text in [
            r#"{"say":"hello","v":7,"policy_version":0,"agent":null,"name":"../x"}"#,
            r#"{"say":"hello","v":7,"v":7,"policy_version":0}"#,
            r#"{"say":"hello","v":-1,"policy_version":0}"#,
            r#"{"say":"end","collection":"../x"}"#,
            r#"{"say":"holds","policy_version":1,"x":1}"#,
            r#"{"say":"run"}"#,
            "[]",
            "garbage",
        ] {
            let (one, mut other) = ends();
            socket::send(&one.socket, text.as_bytes(), None).unwrap();
            assert!(other.receive::<FromReader>().is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_a_message_past_the_ceiling() {
        let (one, mut other) = ends();
        socket::send(&one.socket, &vec![b' '; MESSAGE_BYTES_MAX + 1], None).unwrap();
        assert!(other.receive::<FromReader>().is_err());
    }
}
