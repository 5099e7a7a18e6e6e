//! A courier that runs in a thread, and the reader's end of its link.

use std::{
    fs::File,
    io::Write as _,
    os::fd::OwnedFd,
    path::Path,
    thread::{self, JoinHandle},
};

use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId},
    instant::Instant,
    keys::SigningKey,
    seal::self_signed_seal,
    statement::{CertificateDer, Measured, Statement, Wrapping as Wrapped},
};

use super::pki::Pki;
use crate::{
    courier::{
        context::CourierError,
        folder::{Folder, Settings, Version},
        service,
    },
    link::{FromReader, FromSpool, Link, VERSION, Wrapping},
    platform::{sandbox::Walls, socket},
    stop::Stop,
};

/// The agent of every test here.
pub(in crate::courier) const AGENT: AgentId = AgentId::from_bytes([7; 16]);
/// Its only collection.
pub(in crate::courier) const COLLECTION: CollectionId = CollectionId::from_bytes([3; 16]);

/// A running courier.
pub(in crate::courier) struct Courier {
    pub(in crate::courier) link: Link,
    /// Receipts that came in between.
    pub(in crate::courier) receipts: Vec<OwnedFd>,
    stop: Stop,
    thread: Option<JoinHandle<Result<(), CourierError>>>,
}

impl Courier {
    /// Makes an enrolled folder in `state`.
    pub(in crate::courier) fn enrol(
        state: &Path,
        pki: &Pki,
        server: &str,
        is_fresh: bool,
    ) -> Folder {
        let folder = Folder::below(state);
        let settings = Settings {
            v: Version,
            agent: AGENT,
            server: server.to_owned(),
            proxy: None,
            spool_quota_bytes: 1 << 40,
            min_free_bytes: Some(0),
        };
        let identity = pki.agent(AGENT, is_fresh);
        let (key, chain) = (&identity.key_pem, &identity.chain_pem);
        folder
            .prepare(&settings, &pki.root_pem, key, chain)
            .unwrap();
        folder.confirm().unwrap();
        folder
    }

    /// Starts it, and greets it.
    pub(in crate::courier) fn start(state: &Path) -> Self {
        let mut courier = Self::start_ungreeted(state);
        courier.greet_as(Some(AGENT));
        assert_eq!(courier.hear().0, FromSpool::Welcome { v: VERSION });
        courier
    }

    pub(in crate::courier) fn start_ungreeted(state: &Path) -> Self {
        let (ours, theirs) = socket::pair().unwrap();
        let stop = Stop::default();
        let (dir, stopped) = (state.to_path_buf(), stop.clone());
        let thread = thread::spawn(move || service::run(&dir, theirs, Walls::default(), &stopped));
        Self {
            link: Link::new(ours),
            receipts: Vec::new(),
            stop,
            thread: Some(thread),
        }
    }

    /// Greets it as the reader of this agent.
    pub(in crate::courier) fn greet_as(&mut self, agent: Option<AgentId>) {
        self.say(&FromReader::Hello {
            v: VERSION,
            policy_version: 1,
            agent,
        });
    }

    pub(in crate::courier) fn say(&mut self, message: &FromReader) {
        self.link.send(message, None).unwrap();
    }

    pub(in crate::courier) fn hear(&mut self) -> (FromSpool, Option<OwnedFd>) {
        loop {
            match self.link.expect() {
                (FromSpool::Receipt {}, Some(handed)) => self.receipts.push(handed),
                heard => return heard,
            }
        }
    }

    /// Begins the collection; says how many parts are durable.
    pub(in crate::courier) fn begin(&mut self) -> u32 {
        self.begin_other(COLLECTION)
    }

    /// The same of another one.
    pub(in crate::courier) fn begin_other(&mut self, collection: CollectionId) -> u32 {
        self.say(&FromReader::Begin {
            collection,
            wrapping: Wrapping::Age,
            seal_certificate_pem: None,
            closing_bytes: 0,
        });
        match self.hear().0 {
            FromSpool::Ready { durable, .. } => durable,
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::courier) fn open(&mut self, slot: u32) {
        self.say(&FromReader::OpenSlot {
            collection: COLLECTION,
            slot,
            closing: false,
        });
    }

    /// Seals `bytes` as `part`, through a slot of the same number.
    pub(in crate::courier) fn seal(&mut self, part: u32, bytes: &[u8]) {
        self.open(part);
        self.fill(part, bytes);
    }

    /// Takes the file that was asked for, and seals `bytes` in it.
    pub(in crate::courier) fn fill(&mut self, part: u32, bytes: &[u8]) {
        let (said, handed) = self.hear();
        assert!(
            matches!(said, FromSpool::SlotOpened { slot, .. } if slot == part),
            "{said:?}"
        );
        File::from(handed.unwrap()).write_all(bytes).unwrap();
        self.say(&FromReader::Sealed {
            collection: COLLECTION,
            slot: part,
            part,
            size_bytes: bytes.len() as u64,
            statement: part_of(part, bytes),
        });
        let durable = FromSpool::Durable {
            collection: COLLECTION,
            part,
        };
        assert_eq!(self.hear().0, durable);
    }

    /// Stops it as a service manager would, its reader with it; gives how it ended.
    pub(in crate::courier) fn stop(mut self) -> Result<(), CourierError> {
        self.tell_to_stop();
        self.leave();
        self.thread.take().unwrap().join().unwrap()
    }

    /// Tells it to stop, and nothing to its reader.
    pub(in crate::courier) fn tell_to_stop(&self) {
        self.stop.tell();
    }

    /// The reader closes its end of the link.
    fn leave(&mut self) {
        let (other, _) = socket::pair().unwrap();
        self.link = Link::new(other);
    }

    /// Waits until it ends of itself.
    pub(in crate::courier) fn ended(mut self) -> Result<(), CourierError> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.tell_to_stop();
        self.leave();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking());
        }
    }
}

/// The statement of a part that holds `bytes`.
pub(in crate::courier) fn part_of(part: u32, bytes: &[u8]) -> String {
    let key = SigningKey::generate().unwrap();
    let now = Instant::now();
    let measured = Measured {
        sha256: Digest::of(bytes),
        size_bytes: bytes.len() as u64,
    };
    let statement = Statement {
        v: 1,
        collection: COLLECTION,
        agent: AGENT,
        part,
        last: false,
        plain: measured,
        ciphertext: Some(measured),
        previous: None,
        order: None,
        wrapping: Wrapped {
            kind: "age".into(),
            recipients: Vec::new(),
        },
        certificates: vec![CertificateDer(self_signed_seal(&key, AGENT, now).unwrap())],
        time: now,
    };
    let json = statement.sign(&key).unwrap().to_json().unwrap();
    String::from_utf8(json).unwrap()
}
