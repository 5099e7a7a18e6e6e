//! Bytes of a sealed part changed, cut or added, by somebody who has no key.

use super::super::{
    Case, Files,
    deployment::Deployment,
    draft::{Draft, Entries, folder, items, written},
    zip,
};

/// The part with `zip` in its place.
pub(super) fn replaced(world: &Deployment, zip: Vec<u8>) -> Files {
    let mut files = Draft::ordered(world).folder(&world.agent);
    files.insert("part-0001.zip".into(), zip);
    files
}

/// One entry changed after sealing; the ZIP itself is sound.
fn changed(world: &Deployment, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut entries: Entries = Draft::ordered(world).sealed(&world.agent);
    let entry = entries.iter_mut().find(|(n, _)| n == name).unwrap();
    change(&mut entry.1);
    written(&entries)
}

fn ordered(world: &Deployment, zip: Vec<u8>) -> Files {
    let draft = Draft::ordered(world);
    let good = draft.zip(&world.agent);
    let statement = draft.statement(&good, None, None, &world.agent);
    folder(1, zip, &statement, &world.agent)
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

pub(super) fn cases(world: &Deployment) -> Vec<Case> {
    let mut cases = entries(world);
    let good = Draft::ordered(world).zip(&world.agent);
    let whole = |name, about, zip: Vec<u8>, codes: &[&'static str], faults: &[&'static str]| {
        Case::forged(name, about, replaced(world, zip), codes).faults(faults)
    };
    let structure = ["statement-mismatch", "zip-structure"];
    cases.push(whole(
        "bytes-appended",
        "A byte stands behind the archive.",
        [&good[..], b"x"].concat(),
        &structure,
        &["zip-trailing-bytes"],
    ));
    cases.push(
        whole(
            "bytes-prefixed",
            "Bytes stand before the archive, as in a self-extracting program.",
            [b"#!", &good[..]].concat(),
            &structure,
            &["zip-directory"],
        )
        .missing(),
    );
    cases.push(
        whole(
            "bytes-truncated",
            "The last byte is missing.",
            good[..good.len() - 1].to_vec(),
            &structure,
            &["zip-no-end"],
        )
        .missing(),
    );
    cases.push(
        whole(
            "bytes-half",
            "Only the first half is there.",
            good[..good.len() / 2].to_vec(),
            &structure,
            &["zip-no-end"],
        )
        .missing(),
    );
    cases.push(
        whole(
            "bytes-none",
            "The file is empty.",
            Vec::new(),
            &structure,
            &["zip-no-end"],
        )
        .missing(),
    );
    cases.push(
        whole(
            "bytes-not-a-zip",
            "The file is something else.",
            b"This is a text.\n".to_vec(),
            &structure,
            &["zip-no-end"],
        )
        .missing(),
    );
    cases.push(stored_bit(world));
    cases
}

impl Case {
    /// Nothing inside can be found, so that nothing says whose part it is.
    fn missing(mut self) -> Self {
        self.codes = vec![
            "entry-order",
            "seal-missing",
            "statement-mismatch",
            "sums-missing",
            "zip-structure",
        ];
        self
    }
}

/// A bit of the stored data, without mending the checksum.
fn stored_bit(world: &Deployment) -> Case {
    let entries = Draft::ordered(world).sealed(&world.agent);
    let zip = zip::write(&items(&entries));
    let at = zip.data[1];
    let first = zip.bytes[at];
    let zip = zip.patch(at, &[first ^ 1]);
    Case::forged(
        "bytes-stored-bit",
        "A bit of a stored file is flipped, and the ZIP's checksum left as it was.",
        replaced(world, zip.bytes),
        &[
            "file-digest",
            "statement-mismatch",
            "sums-digest",
            "zip-entry",
        ],
    )
    .faults(&["zip-crc"])
}

fn entries(world: &Deployment) -> Vec<Case> {
    let case = |name, about, zip, codes: &[&'static str]| {
        let mut all = codes.to_vec();
        all.push("statement-mismatch");
        Case::forged(name, about, ordered(world, zip), &all)
    };
    let at = |name: &str| changed(world, name, |b| flip(b));
    vec![
        case(
            "entry-file-changed",
            "A bit of a collected file is changed.",
            at("fs/$rootfs$/etc/hostname"),
            &["sums-digest", "file-digest"],
        ),
        case(
            "entry-results-changed",
            "A record is changed.",
            changed(world, "results/processes.jsonl", |b| b[7] = b'9'),
            &["sums-digest"],
        ),
        case(
            "entry-results-emptied",
            "The records are emptied.",
            changed(world, "results/processes.jsonl", Vec::clear),
            &["sums-digest", "count-mismatch"],
        ),
        case(
            "entry-files-changed",
            "The index of files is emptied.",
            changed(world, "files.jsonl", Vec::clear),
            &["sums-digest", "count-mismatch", "file-unlisted"],
        ),
        case(
            "entry-gaps-changed",
            "A gap is made up.",
            changed(world, "gaps.jsonl", |b| b.push(b'\n')),
            &["sums-digest", "count-mismatch", "gaps", "record-malformed"],
        ),
        case(
            "entry-log-changed",
            "The log is emptied.",
            changed(world, "log.jsonl", Vec::clear),
            &["sums-digest"],
        ),
        case(
            "entry-order-emptied",
            "The order is emptied.",
            changed(world, "order.json", Vec::clear),
            &["sums-digest", "order-digest", "order-mismatch"],
        ),
        case(
            "entry-policy-emptied",
            "The policy is emptied.",
            changed(world, "policy.json", Vec::clear),
            &["sums-digest", "order-digest", "order-unsigned"],
        ),
        case(
            "entry-collection-changed",
            "The case in collection.json is changed.",
            changed(world, "collection.json", |b| {
                *b = String::from_utf8_lossy(b)
                    .replace("2026-1\"", "2026-9\"")
                    .into_bytes();
            }),
            &["sums-digest", "order-mismatch"],
        ),
        case(
            "entry-sums-bit",
            "A digit of SHA256SUMS is changed.",
            changed(world, "SHA256SUMS", |b| {
                b[0] = if b[0] == b'0' { b'1' } else { b'0' }
            }),
            &["sums-digest", "seal-invalid"],
        ),
        case(
            "entry-sums-emptied",
            "SHA256SUMS is emptied.",
            changed(world, "SHA256SUMS", Vec::clear),
            &["sums-unlisted", "seal-invalid"],
        ),
        case(
            "entry-seal-emptied",
            "The seal is emptied.",
            changed(world, "SHA256SUMS.p7s", Vec::clear),
            &["seal-invalid"],
        ),
        case(
            "entry-seal-bit",
            "A bit of the seal's signature is flipped.",
            changed(world, "SHA256SUMS.p7s", |b| *b.last_mut().unwrap() ^= 1),
            &["seal-invalid"],
        ),
        case(
            "entry-seal-longer",
            "A byte stands behind the seal.",
            changed(world, "SHA256SUMS.p7s", |b| b.push(0)),
            &["seal-invalid"],
        ),
    ]
}
