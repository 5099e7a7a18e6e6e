//! The fuzzers in short: every target on its seeds, on what was found before, and on thousands of bent copies.
//!
//! The same functions run under `cargo fuzz` for as long as one likes; see CONTRIBUTING.md.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a test fails by panicking, and the files are shared with the fuzzers' own crate"
)]

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

#[path = "../../fuzz/src/genuine.rs"]
mod genuine;
#[path = "../../fuzz/src/targets.rs"]
mod targets;

use targets::{TARGETS, Target};

/// Bent copies of each seed.
const COPIES: u32 = 400;
/// Bent copies of each of the many committed ways to cheat, which are bent already.
const COPIES_OF_VECTORS: u32 = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds")
}

/// Not by way of `seeds`, which need not be there.
fn vectors_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/vectors")
}

/// What the files of the tamper vectors are seeds of, by the ends of their names.
const VECTORS: &[(&str, &[&str])] = &[
    (".zip", &["archive", "part"]),
    (".statement.json", &["envelope", "statement", "beside"]),
    (".receipt", &["receipt", "beside"]),
    (".tsr", &["seal", "beside"]),
];

/// Genuine evidence of a whole deployment, and every known way to cheat.
fn vectors() -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let mut all: BTreeMap<String, Vec<(String, Vec<u8>)>> = BTreeMap::new();
    for vector in fs::read_dir(vectors_folder()).unwrap() {
        let vector = vector.unwrap().path();
        for file in fs::read_dir(vector).into_iter().flatten() {
            let path = file.unwrap().path();
            let name = path.display().to_string();
            let kinds = VECTORS.iter().filter(|(end, _)| name.ends_with(end));
            for target in kinds.flat_map(|(_, targets)| *targets) {
                let seeds = all.entry((*target).to_owned()).or_default();
                seeds.push((name.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    all
}

/// The seeds of each target: those made now, and the committed ones.
fn seeds() -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let mut all: BTreeMap<String, Vec<(String, Vec<u8>)>> = BTreeMap::new();
    for (target, name, bytes) in genuine::seeds() {
        let seeds = all.entry(target.to_owned()).or_default();
        seeds.push((name.to_owned(), bytes));
    }
    // Nothing was found yet where the folder is missing.
    for target in fs::read_dir(folder()).into_iter().flatten() {
        let target = target.unwrap();
        let name = target.file_name().into_string().unwrap();
        let seeds = all.entry(name).or_default();
        for file in fs::read_dir(target.path()).unwrap() {
            let path = file.unwrap().path();
            seeds.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    all
}

/// A small generator of numbers that is the same everywhere, so that a failure comes again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound.max(1)
    }

    /// Flips, cuts, doubles or inserts, up to four times.
    fn bend(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(5) {
                _ if bytes.is_empty() => bytes.push(0),
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = [0, 0xFF, b'"', b'}', b'%', b'\n'][self.below(6)],
                2 => bytes.truncate(at),
                3 => {
                    let end = (at + 1 + self.below(16)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => drop(bytes.splice(at..(at + self.below(8)).min(bytes.len()), [])),
            }
        }
    }
}

fn play(name: &str, target: Target, bytes: &[u8]) {
    let outcome = std::panic::catch_unwind(|| target(bytes));
    if outcome.is_err() {
        let found = std::env::temp_dir().join(format!("fieldseal-found-{name}"));
        let kept = fs::write(&found, bytes);
        panic!(
            "{name} broke; its input lies in {} ({kept:?})",
            found.display()
        );
    }
}

/// Plays every seed and `copies` bent ones of each.
fn play_all(seeds: &BTreeMap<String, Vec<(String, Vec<u8>)>>, copies: u32) {
    for (name, target) in TARGETS {
        for (seed, bytes) in seeds.get(*name).into_iter().flatten() {
            play(name, *target, bytes);
            let mut numbers = Numbers(0x2545_F491_4F6C_DD1D ^ seed.len() as u64);
            for _ in 0..copies {
                let mut bent = bytes.clone();
                numbers.bend(&mut bent);
                play(name, *target, &bent);
            }
        }
    }
}

#[test]
fn every_target_stands_its_seeds_and_bent_copies_of_them() {
    for (name, target) in TARGETS {
        play(name, *target, b"");
    }
    play_all(&seeds(), COPIES);
}

#[test]
fn every_target_stands_the_known_ways_to_cheat() {
    let vectors = vectors();
    assert!(vectors.values().map(Vec::len).sum::<usize>() > 100);
    play_all(&vectors, COPIES_OF_VECTORS);
}

#[test]
fn every_target_has_a_seed_and_every_seed_a_target() {
    let targets: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let seeds = seeds();
    for name in &targets {
        assert!(seeds.contains_key(name), "{name} has no seed");
        let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
        let binary = targets.join(format!("{name}.rs"));
        assert!(binary.is_file(), "{} is missing", binary.display());
    }
    for name in seeds.keys() {
        assert!(targets.contains(name), "seeds/{name} belongs to no target");
    }
}

/// The genuine seeds are what they say: a target that refuses them at the door tests nothing.
#[test]
fn genuine_seeds_are_taken() {
    use evidence::{custody::receipt::Receipt, envelope, envelope::Envelope, statement};
    let report = evidence::archive::read(
        std::io::Cursor::new(genuine::PART.as_slice()),
        &evidence::archive::Limits::default(),
        |_, _| Ok(()),
    );
    assert_eq!(report.unwrap().faults.len(), 0);
    let trust = evidence::seal::Trust::default();
    let expected = evidence::seal::Expected {
        trust: &trust,
        agent: None,
        at: None,
    };
    statement::verify(&genuine::statement(), expected).unwrap();
    let receipt = Receipt::parse(&genuine::receipt()).unwrap();
    receipt.verify(genuine::log_signer().public()).unwrap();
    let world = &*genuine::DEPLOYMENT;
    let signed = |kind: &str, payload, by| Envelope::sign(kind, payload, &genuine::key(by));
    let policy = genuine::payload(envelope::POLICY, &world.policy);
    let policy = signed(envelope::POLICY, policy, 1);
    protocol::policy::Policy::open(&policy, &world.root).unwrap();
    let none = std::collections::BTreeSet::new();
    let situation = protocol::order_check::Situation {
        policy: &world.policy,
        root: &world.root,
        subject: &world.subject,
        kit: None,
        now: genuine::NOW,
        highest_signed: None,
        used: &none,
        cancelled: &none,
        class_of: &|_| Some(protocol::policy::Class::Triage),
    };
    let order = genuine::payload(envelope::ORDER, &world.order);
    let order = signed(envelope::ORDER, order, 2);
    protocol::order_check::check(&order, Some(&world.proof), &situation).unwrap();
}

/// Writes the seeds into `fuzz/corpus`, where `cargo fuzz` looks: `cargo test --test fuzz_seeds -- --ignored`.
#[test]
#[ignore = "it writes into the sources' folder; run it before a long run of the fuzzers"]
fn write_the_corpus() {
    for (target, seeds) in seeds().into_iter().chain(vectors()) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(target);
        fs::create_dir_all(&corpus).unwrap();
        for (_, bytes) in seeds {
            let name = evidence::digest::Digest::of(&bytes).to_string();
            fs::write(corpus.join(name), bytes).unwrap();
        }
    }
}
