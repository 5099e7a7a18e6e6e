//! The list and the seal: made again without the key, swapped, or by a key that may not seal.

use super::{
    super::{
        Case, Given,
        deployment::{AGENT, Deployment, Sealer},
        draft::{Draft, Entries, folder, seal_entries, sums, written},
        log,
    },
    bytes::replaced,
    genuine::with_receipts,
};

fn at<'a>(entries: &'a mut Entries, name: &str) -> &'a mut Vec<u8> {
    &mut entries.iter_mut().find(|(n, _)| n == name).unwrap().1
}

/// SHA256SUMS changed after it was sealed; `again` seals the change by the agent's own key.
fn listed(world: &Deployment, again: bool, change: impl FnOnce(String) -> String) -> Vec<u8> {
    let mut entries = Draft::ordered(world).entries();
    let list = change(String::from_utf8(sums(&entries)).unwrap()).into_bytes();
    let by = &world.agent;
    let sealed = if again { list.clone() } else { sums(&entries) };
    let seal = evidence::seal::sign(&sealed, &by.key, &by.chain, super::super::at(30)).unwrap();
    entries.push(("SHA256SUMS".into(), list));
    entries.push(("SHA256SUMS.p7s".into(), seal));
    written(&entries)
}

/// A whole folder by `by`, who claims to be the agent.
fn by(sealer: &Sealer) -> super::super::Files {
    let posing = Sealer {
        agent: AGENT,
        ..sealer.clone()
    };
    Draft::local().folder(&posing)
}

pub(super) fn cases(world: &Deployment) -> Vec<Case> {
    let mut cases = lists(world);
    cases.extend(signers(world));
    cases.extend(statements(world));
    cases
}

fn lists(world: &Deployment) -> Vec<Case> {
    let case = |name, about, zip: Vec<u8>, codes: &[&'static str]| {
        let mut all = codes.to_vec();
        all.push("statement-mismatch");
        Case::forged(name, about, replaced(world, zip), &all)
    };
    let mut resummed = Draft::ordered(world).sealed(&world.agent);
    *at(&mut resummed, "fs/$rootfs$/etc/hostname") = b"host-2\n".to_vec();
    let list = sums(&resummed);
    *at(&mut resummed, "SHA256SUMS") = list;
    let mut removed = Draft::ordered(world).sealed(&world.agent);
    removed.retain(|(name, _)| name != "results/processes.jsonl");
    let mut removed_resummed = removed.clone();
    let list = sums(&removed_resummed);
    *at(&mut removed_resummed, "SHA256SUMS") = list;
    let mut added = Draft::ordered(world).sealed(&world.agent);
    added.insert(1, ("fs/$rootfs$/etc/evil".into(), b"evil".to_vec()));
    let mut behind = Draft::ordered(world).sealed(&world.agent);
    behind.push(("fs/$rootfs$/etc/evil".into(), b"evil".to_vec()));
    let mut renamed = Draft::ordered(world).sealed(&world.agent);
    renamed[1].0.push('s');
    let mut moved = Draft::ordered(world).sealed(&world.agent);
    moved.swap(1, 2);
    let without = |name: &str| {
        let mut entries = Draft::ordered(world).sealed(&world.agent);
        entries.retain(|(n, _)| n != name);
        written(&entries)
    };
    let mut unknown = Draft::ordered(world).entries();
    unknown.push(("notes.txt".into(), b"x".to_vec()));
    vec![
        case(
            "sums-made-again",
            "A file is changed and SHA256SUMS made to agree, without the key.",
            written(&resummed),
            &["file-digest", "seal-invalid"],
        ),
        case(
            "entry-removed",
            "The records are removed.",
            written(&removed),
            &["sums-absent", "count-mismatch"],
        ),
        case(
            "entry-removed-summed",
            "The records are removed and SHA256SUMS made to agree.",
            written(&removed_resummed),
            &["seal-invalid", "count-mismatch"],
        ),
        case(
            "entry-added",
            "A file is added in front.",
            written(&added),
            &["sums-unlisted", "file-unlisted", "count-mismatch"],
        ),
        case(
            "entry-added-behind",
            "A file is added behind the seal.",
            written(&behind),
            &[
                "sums-unlisted",
                "file-unlisted",
                "count-mismatch",
                "entry-order",
            ],
        ),
        case(
            "entry-renamed",
            "A file is renamed.",
            written(&renamed),
            &[
                "sums-absent",
                "sums-unlisted",
                "file-absent",
                "file-unlisted",
            ],
        ),
        case(
            "entry-moved",
            "Two entries change places.",
            written(&moved),
            &["sums-order"],
        ),
        case(
            "entry-no-sums",
            "SHA256SUMS is removed.",
            without("SHA256SUMS"),
            &["sums-missing"],
        ),
        case(
            "entry-no-seal",
            "The seal is removed.",
            without("SHA256SUMS.p7s"),
            &["seal-missing"],
        ),
        case(
            "entry-unknown",
            "The agent itself sealed an entry for which the format has no place.",
            written(&seal_entries(unknown, &world.agent, 30)),
            &["entry-unknown"],
        ),
        case(
            "sums-upper-case",
            "SHA256SUMS is written in capitals and sealed so.",
            listed(world, true, |s| {
                s.replace("  fs/$rootfs$/etc/hostname", "  FS/$rootfs$/etc/hostname")
            }),
            &["sums-absent", "sums-unlisted"],
        ),
        case(
            "sums-twice",
            "SHA256SUMS names an entry twice and is sealed so.",
            listed(world, true, |s| {
                let first = s.lines().next().unwrap().to_owned();
                format!("{first}\n{s}")
            }),
            &["sums-duplicate"],
        ),
        case(
            "sums-binary-mark",
            "SHA256SUMS marks an entry as binary and is sealed so.",
            listed(world, true, |s| s.replacen("  fs", " *fs", 1)),
            &["sums-grammar", "sums-unlisted"],
        ),
        case(
            "sums-order",
            "SHA256SUMS lists entries in another order and is sealed so.",
            listed(world, true, |s| {
                let mut l: Vec<_> = s.lines().collect();
                l.swap(0, 1);
                l.join("\n") + "\n"
            }),
            &["sums-order"],
        ),
        case(
            "sums-unlisted",
            "SHA256SUMS leaves an entry out and is sealed so.",
            listed(world, true, |s| {
                s.lines().skip(1).collect::<Vec<_>>().join("\n") + "\n"
            }),
            &["sums-unlisted"],
        ),
        case(
            "sums-after-seal",
            "SHA256SUMS has one more line feed than was sealed.",
            listed(world, false, |s| s + "\n"),
            &["sums-grammar", "seal-invalid"],
        ),
        case(
            "seal-of-another",
            "SHA256SUMS and seal are those of another part of the same agent.",
            of_another(world),
            &["sums-digest"],
        ),
    ]
}

/// The list and the seal of another archive, both genuine.
fn of_another(world: &Deployment) -> Vec<u8> {
    let mut entries = Draft::ordered(world).sealed(&world.agent);
    let mut other = Draft::ordered(world);
    other.content[1].1 = b"host-2\n".to_vec();
    let mut other = other.sealed(&world.agent);
    for name in ["SHA256SUMS", "SHA256SUMS.p7s"] {
        *at(&mut entries, name) = at(&mut other, name).clone();
    }
    written(&entries)
}

fn signers(world: &Deployment) -> Vec<Case> {
    let identity = ["seal-chain", "seal-identity", "statement-invalid"];
    let on_order = Draft::ordered(world).folder(&world.for_run());
    let mut trailing = with_receipts(world);
    trailing.remove("part-0001.statement.json");
    vec![
        Case::forged("seal-by-tls", "The part is sealed by the agent's TLS certificate.", by(&world.tls()), &identity),
        Case::forged("seal-by-server", "The part is sealed by the server's certificate.", by(&world.server()), &identity),
        Case::forged("seal-by-other-agent", "The part is sealed by another agent's seal.", by(&world.other), &["enrolment-absent", "seal-identity", "statement-invalid"]),
        Case::reserved("seal-by-stranger", "The part is sealed under a stranger's root: nobody vouches for it.", by(&world.foreign("Stranger")), &["signer-unknown"]),
        Case::forged("seal-by-namesake", "The part is sealed under a root and an authority that bear the names of the genuine ones.", by(&world.foreign("Fieldseal")), &["seal-chain", "statement-invalid"]),
        Case::forged("seal-by-stranger-on-order", "A part on an order of the deployment is sealed by a key that nobody vouches for.", on_order, &["seal-chain", "signer-unknown"]),
        Case::genuine("genuine-certificate-ended", "The seal's certificate had ended when the host sealed.", Draft::ordered(world).folder(&world.ended())).notes(&["certificate-ended"]),
        Case::reserved("genuine-local", "A host without enrolment: the key was made for the run.", Draft::local().folder(&world.for_run()), &["signer-unknown"]),
        Case::reserved("genuine-without-order", "An enrolled agent collected locally, on nobody's order, and nothing proves that the custody log knows its key.", Draft::local().folder(&world.agent), &["enrolment-absent"]).notes(&["order-absent"]).bare(),
        Case::reserved("genuine-no-trust", "A genuine part, checked without any root.", Draft::ordered(world).folder(&world.agent), &["signer-unknown"]).given(&[]),
        Case::reserved("statement-absent", "The statement of an enrolled agent's part is missing.", trailing, &["statement-absent"]),
    ]
    .into_iter()
    .map(|case| if case.name == "genuine-no-trust" { case.given(&[] as &[Given]) } else { case })
    .collect()
}

fn statements(world: &Deployment) -> Vec<Case> {
    let draft = Draft::ordered(world);
    let zip = draft.zip(&world.agent);
    let good = draft.statement(&zip, None, None, &world.agent);
    let put = |statement: &evidence::statement::Statement, by: &Sealer| {
        folder(1, zip.clone(), statement, by)
    };
    let mut other_part = good.clone();
    other_part.part = 2;
    let mut other_wrapping = good.clone();
    other_wrapping.wrapping.kind = "cms".into();
    let mut other_bytes = good.clone();
    other_bytes.plain.sha256 = evidence::digest::Digest::of(b"other");
    let mut version = put(&good, &world.agent);
    log::receipts(world, &mut version);
    let mut document = serde_json::to_value(&good).unwrap();
    document["v"] = 2.into();
    let newer = evidence::envelope::Envelope::sign_document(
        evidence::envelope::STATEMENT,
        &document,
        &world.agent.key,
    );
    let newer = newer.unwrap().to_json().unwrap();
    version.insert("part-0001.statement.json".into(), newer);
    let mut flipped = put(&good, &world.agent);
    log::receipts(world, &mut flipped);
    let bytes = flipped.get_mut("part-0001.statement.json").unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    vec![
        Case::forged(
            "statement-of-another-part",
            "The statement speaks of part 2.",
            put(&other_part, &world.agent),
            &["receipt-invalid", "statement-mismatch"],
        ),
        Case::forged(
            "statement-unknown-wrapping",
            "The statement names an encryption that is not known.",
            put(&other_wrapping, &world.agent),
            &["statement-mismatch"],
        ),
        Case::forged(
            "statement-of-other-bytes",
            "The statement is the agent's, over other bytes.",
            put(&other_bytes, &world.agent),
            &["statement-mismatch"],
        ),
        Case::forged(
            "statement-by-other-agent",
            "The statement is signed by another agent.",
            put(
                &draft.statement(&zip, None, None, &world.other),
                &world.other,
            ),
            &["enrolment-mismatch", "receipt-invalid", "statement-invalid"],
        ),
        Case::forged(
            "statement-by-other-key",
            "The statement is signed by a key that is not its certificate's.",
            put(&good, &world.other),
            &["statement-invalid"],
        ),
        Case::forged(
            "statement-changed",
            "A character of the statement is changed.",
            flipped,
            &["statement-invalid"],
        ),
        Case::forged(
            "statement-version",
            "The statement is of a version that is not known.",
            version,
            &["version-unknown"],
        ),
    ]
}
