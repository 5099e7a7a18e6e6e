//! An enrolled host, and a courier on a real spool that does what a test says.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::fd::AsFd as _,
    path::PathBuf,
    thread::{self, JoinHandle},
};

use evidence::{
    custody::tree::Tree,
    envelope::Envelope,
    gap::Gap,
    ids::{AgentId, CollectionId},
    instant::Instant,
    keys::PublicKey,
    records::CollectionRecord,
    wrap::UnwrapReader,
};
use protocol::{
    messages::{HandedOrder, Report},
    order::RefusalNotice,
    profile::Limits,
};

use super::super::{Given, ServiceError, run};
use crate::{
    courier::{local, room::Floor, spool::Spool},
    link::{FromReader, FromSpool, Link, VERSION},
    platform::{journal::Journal, sandbox::Walls, socket},
    reader::{
        orders::House,
        state::{Known, State},
        testing::World,
        waits,
    },
    stop::Stop,
};

pub(super) const AGENT: AgentId = AgentId::from_bytes([1; 16]);
/// One volatile artifact and two that are not: two parts at the least.
pub(super) const PROFILE: &str = "v: 1\nname: small\nabout: For tests\nartifacts:\n- name: mounts\n- name: accounts\n- name: system\n";

/// A host with an enrolled agent.
pub(super) struct Host {
    pub(super) world: World,
    pub(super) seal_key: PublicKey,
    pub(super) stop: Stop,
    pub(super) says: waits::Host,
    /// The host's own limits.
    pub(super) limits: Limits,
    folder: tempfile::TempDir,
}

impl Host {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// One of a deployment that `change` has changed.
    pub(super) fn with(change: impl FnOnce(&mut World)) -> Self {
        let (mut world, folder) = (World::new(), tempfile::tempdir().unwrap());
        change(&mut world);
        let mut state = State::open(&folder.path().join("reader")).unwrap();
        state.keep(world.enrolment(AGENT)).unwrap();
        let seal = state.known().enrolment.as_ref().unwrap().seal().unwrap();
        fs::create_dir(folder.path().join("host")).unwrap();
        Self {
            world,
            folder,
            seal_key: seal.key().public(),
            stop: Stop::default(),
            says: waits::Host::default(),
            limits: Limits::default(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the reader; the courier has greeted it.
    pub(super) fn start(&self) -> Courier<'_> {
        self.start_at(Instant::now)
    }

    pub(super) fn start_at(&self, clock: fn() -> Instant) -> Courier<'_> {
        let (ours, theirs) = socket::pair().unwrap();
        let given = Given {
            state: State::open(&self.path("reader")).unwrap(),
            socket: theirs,
            journal: Journal::silent(),
            house: House {
                root: self.path("host"),
                own: Vec::new(),
                limits: self.limits.clone(),
                background: false,
                walls: Walls::default(),
                host: self.says,
            },
            clock,
            stop: self.stop.clone(),
        };
        let reader = thread::spawn(move || run(given));
        let mut courier = Courier {
            link: Some(Link::new(ours)),
            reader: Some(reader),
            spools: HashMap::new(),
            folder: self.path("spool"),
            world: &self.world,
            has_time: true,
            log: Tree::default(),
            is_reachable: true,
            dead_after: None,
            pieces: Vec::new(),
        };
        let hello = courier.next();
        assert!(
            matches!(hello, FromReader::Hello { v: VERSION, .. }),
            "{hello:?}"
        );
        courier.say(&FromSpool::Welcome { v: VERSION });
        let walls = courier.next();
        assert!(matches!(walls, FromReader::Walls { .. }), "{walls:?}");
        let used = courier.next();
        assert!(matches!(used, FromReader::Used { .. }), "{used:?}");
        courier
    }

    /// What the state says now.
    pub(super) fn known(&self) -> Known {
        State::look(&self.path("reader")).unwrap()
    }
}

/// The other end of the link.
pub(super) struct Courier<'w> {
    link: Option<Link>,
    reader: Option<JoinHandle<Result<(), ServiceError>>>,
    spools: HashMap<CollectionId, Spool>,
    folder: PathBuf,
    world: &'w World,
    /// Whether a server answers with its time.
    pub(super) has_time: bool,
    /// The custody log that the server shows.
    pub(super) log: Tree,
    /// Whether the server answers questions about it.
    pub(super) is_reachable: bool,
    /// Falls silent when asked to make this part durable, as if killed.
    pub(super) dead_after: Option<u32>,
    /// Pieces of the live log: documents' envelopes and contents.
    pub(super) pieces: Vec<(String, String)>,
}

impl Courier<'_> {
    pub(super) fn link(&mut self) -> &mut Link {
        self.link.as_mut().unwrap()
    }

    pub(super) fn say(&mut self, said: &FromSpool) {
        // The reader may have gone in this moment; whoever waits for its answer sees that.
        let _ = self.link().send(said, None);
    }

    fn next(&mut self) -> FromReader {
        self.link().expect().0
    }

    pub(super) fn hand(&mut self, said: &FromSpool, document: &[u8]) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(document).unwrap();
        self.link().send(said, Some(file.as_fd())).unwrap();
    }

    pub(super) fn order(&mut self, handed: &HandedOrder) {
        self.hand(&FromSpool::Order {}, &serde_json::to_vec(handed).unwrap());
    }

    /// Does a courier's work until the reader says something that `wanted` takes.
    pub(super) fn until<T>(&mut self, mut wanted: impl FnMut(&FromReader) -> Option<T>) -> T {
        loop {
            let message = self.next();
            if let Some(found) = wanted(&message) {
                return found;
            }
            assert!(self.serve(message), "the courier is dead");
        }
    }

    /// As [`Self::until`], and serves what it waited for too.
    pub(super) fn serving_until(&mut self, wanted: impl Fn(&FromReader) -> bool) {
        loop {
            let message = self.next();
            let is_wanted = wanted(&message);
            assert!(self.serve(message), "the courier is dead");
            if is_wanted {
                return;
            }
        }
    }

    /// Serves until the reader closes the link; how its service ended.
    pub(super) fn serving_to_the_end(mut self) -> Result<(), ServiceError> {
        while let Ok(Some((message, _))) = self.link().receive::<FromReader>() {
            assert!(self.serve(message), "the courier is dead");
        }
        self.leave()
    }

    /// Serves until it dies by `dead_after`.
    pub(super) fn until_dead(&mut self) {
        loop {
            let message = self.next();
            if !self.serve(message) {
                return;
            }
        }
    }

    fn serve(&mut self, message: FromReader) -> bool {
        match message {
            FromReader::AskTime { nonce } => {
                let signed = self
                    .has_time
                    .then(|| self.world.signed_time(&nonce, Instant::now()));
                self.say(&FromSpool::Time { nonce, signed });
            }
            FromReader::Begin {
                collection,
                wrapping,
                ..
            } => {
                self.spools.remove(&collection);
                let spool = Spool::begin(&self.folder, collection, wrapping, Floor::NONE).unwrap();
                let (device, inode) = spool.identity().unwrap();
                let durable = spool.durable();
                self.spools.insert(collection, spool);
                self.say(&FromSpool::Ready {
                    collection,
                    device,
                    inode,
                    durable,
                });
            }
            FromReader::Sealed { part, .. } if Some(part) == self.dead_after => return false,
            FromReader::OpenSlot { collection, .. }
            | FromReader::Sealed { collection, .. }
            | FromReader::Discard { collection, .. }
            | FromReader::End { collection } => {
                let spool = self.spools.get_mut(&collection).unwrap();
                local::answer(spool, self.link.as_mut().unwrap(), message).unwrap();
            }
            FromReader::AskCheckpoint {} => {
                let is_there = self.is_reachable && self.log.size() > 0;
                let note = is_there.then(|| self.world.checkpoint(&self.log));
                self.say(&FromSpool::Checkpoint { note });
            }
            FromReader::AskConsistency { from, to } => {
                let proof = self.log.prove_consistency(from, to).unwrap_or_default();
                let proof = self.is_reachable.then_some(proof);
                self.say(&FromSpool::Consistency { from, to, proof });
            }
            FromReader::LogPiece { piece, content } => self.pieces.push((piece, content)),
            FromReader::Report { .. }
            | FromReader::Used { .. }
            | FromReader::Holds { .. }
            | FromReader::RenewSeal { .. }
            | FromReader::Fork { .. } => {}
            other => panic!("{other:?}"),
        }
        true
    }

    /// Serves until the reader has asked what the log is.
    pub(super) fn checkpoint_asked(&mut self) {
        self.serving_until(|said| matches!(said, FromReader::AskCheckpoint {}));
    }

    pub(super) fn accepted(&mut self) -> CollectionId {
        self.until(|said| match said {
            FromReader::Report {
                report: Report::Accepted { collection, .. },
            } => Some(*collection),
            _ => None,
        })
    }

    pub(super) fn ended(&mut self) -> (u32, Option<String>) {
        self.until(|said| match said {
            FromReader::Report {
                report: Report::Ended {
                    parts, ended_early, ..
                },
            } => Some((*parts, ended_early.clone())),
            _ => None,
        })
    }

    pub(super) fn refused(&mut self, host: &Host) -> RefusalNotice {
        let notice = self.until(|said| match said {
            FromReader::Report {
                report: Report::Refused { notice },
            } => Some(notice.clone()),
            FromReader::Report {
                report: Report::Accepted { .. },
            } => panic!("accepted"),
            _ => None,
        });
        let envelope = Envelope::parse(notice.as_bytes()).unwrap();
        RefusalNotice::open(&envelope, &host.seal_key).unwrap()
    }

    /// Goes away; how the reader's service ends.
    pub(super) fn leave(mut self) -> Result<(), ServiceError> {
        self.link = None;
        self.reader.take().unwrap().join().unwrap()
    }

    /// Stays until the reader's service has ended by itself.
    pub(super) fn ending(mut self) -> Result<(), ServiceError> {
        while let Ok(Some((message, _))) = self.link().receive::<FromReader>() {
            self.serve_quietly(message);
        }
        self.leave()
    }

    fn serve_quietly(&mut self, message: FromReader) {
        if let FromReader::AskTime { nonce } = message {
            self.say(&FromSpool::Time {
                nonce,
                signed: None,
            });
        }
    }
}

/// The names of the parts that are durable.
pub(super) fn parts(host: &Host, collection: CollectionId) -> Vec<String> {
    let folder = host.path("spool").join(collection.to_string());
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|n| n.ends_with(".zip.age")).collect();
    names.sort();
    names
}

/// collection.json of a part, opened with a key of the vault.
pub(super) fn record(host: &Host, collection: CollectionId, name: &str) -> CollectionRecord {
    serde_json::from_slice(&entry(host, collection, name, "collection.json")).unwrap()
}

/// gaps.jsonl of a part.
pub(super) fn gaps(host: &Host, collection: CollectionId, name: &str) -> Vec<Gap> {
    let lines = entry(host, collection, name, "gaps.jsonl");
    let read = |line: &str| serde_json::from_str(line).unwrap();
    String::from_utf8(lines)
        .unwrap()
        .lines()
        .map(read)
        .collect()
}

/// A part, opened with a key of the vault.
pub(super) fn plain(host: &Host, collection: CollectionId, part: &str) -> Vec<u8> {
    let folder = host.path("spool").join(collection.to_string());
    let file = File::open(folder.join(part)).unwrap();
    let mut plain = Vec::new();
    let mut unwrapped = UnwrapReader::new(&host.world.vault[..1], file).unwrap();
    unwrapped.read_to_end(&mut plain).unwrap();
    plain
}

fn entry(host: &Host, collection: CollectionId, part: &str, entry: &str) -> Vec<u8> {
    entry_of(host, collection, part, entry).unwrap()
}

/// An entry of a part, where it has it.
pub(super) fn entry_of(
    host: &Host,
    collection: CollectionId,
    part: &str,
    entry: &str,
) -> Option<Vec<u8>> {
    let plain = plain(host, collection, part);
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(plain)).unwrap();
    let mut bytes = Vec::new();
    let mut found = zip.by_name(entry).ok()?;
    found.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}
