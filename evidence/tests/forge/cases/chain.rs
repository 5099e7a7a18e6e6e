//! Several parts: missing, doubled, swapped, broken, foreign.

use serde_json::{Value, json};

use super::super::{
    Case, Files,
    deployment::{Deployment, Sealer},
    draft::{Draft, file_record, folder, line},
};

/// A part and what lies beside it.
struct Link {
    draft: Draft,
    zip: Vec<u8>,
}

/// Parts that follow one another, as many as there are changes.
fn chain(world: &Deployment, changes: &[fn(&mut Draft)]) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut so_far = Value::Null;
    for (at, change) in changes.iter().enumerate() {
        let mut draft = Draft::ordered(world);
        change(&mut draft);
        so_far = plus(&so_far, &draft.counted());
        draft.record["counts_so_far"] = so_far.clone();
        if let Some(before) = links.last() {
            draft = draft.follow(u32::try_from(at + 1).unwrap(), &before.zip, so_far.clone());
        }
        if at + 1 < changes.len() {
            draft = draft.not_last();
        }
        let zip = draft.zip(&world.agent);
        links.push(Link { draft, zip });
    }
    links
}

fn plus(a: &Value, b: &Value) -> Value {
    let mut sum = b.clone();
    for (name, value) in sum.as_object_mut().unwrap() {
        *value = (value.as_u64().unwrap() + a[name].as_u64().unwrap_or(0)).into();
    }
    sum
}

fn put(files: &mut Files, number: u32, link: &Link, before: Option<&Link>, by: &Sealer) {
    let before = before.map(|b| b.zip.as_slice());
    let statement = link.draft.statement(&link.zip, None, before, by);
    files.extend(folder(number, link.zip.clone(), &statement, by));
}

/// The parts of `links` whose numbers stand in `which`.
fn some(world: &Deployment, links: &[Link], which: &[usize]) -> Files {
    let mut files = Files::new();
    for &number in which {
        let before = number.checked_sub(2).map(|at| &links[at]);
        put(
            &mut files,
            u32::try_from(number).unwrap(),
            &links[number - 1],
            before,
            &world.agent,
        );
    }
    files
}

/// Stores pieces of /var/big, of which the first has `number` 1.
fn piece(draft: &mut Draft, number: u32, last: bool) {
    let (entry, bytes) = (format!("pieces/big/{number:06}"), [b'a' + number as u8; 10]);
    let sha256 = evidence::digest::Digest::of(&bytes);
    let mut record = file_record("/var/big", &entry, &bytes);
    for gone in ["entry", "size_bytes", "sha256"] {
        record.as_object_mut().unwrap().remove(gone);
    }
    record["pieces"] = json!([{
        "entry": entry, "number": number, "offset_bytes": (number - 1) * 10, "size_bytes": 10,
        "sha256": sha256, "last": last,
    }]);
    if last {
        let whole: Vec<u8> = (1..=number).flat_map(|n| [b'a' + n as u8; 10]).collect();
        record["size_bytes"] = whole.len().into();
        record["sha256"] = json!(evidence::digest::Digest::of(&whole));
    }
    draft.files.extend(line(&record));
    draft.content.insert(2, (entry, bytes.to_vec()));
}

fn link_to_first(draft: &mut Draft) {
    let mut link = file_record("/etc/alias", "", b"");
    for gone in ["entry", "size_bytes", "sha256"] {
        link.as_object_mut().unwrap().remove(gone);
    }
    link["hard_link_of"] = "fs/$rootfs$/etc/only-in-1".into();
    draft.files.extend(line(&link));
}

pub(super) fn cases(world: &Deployment) -> Vec<Case> {
    let three = chain(
        world,
        &[
            |d| {
                d.store("/etc/only-in-1", b"1");
                let stored = d.content.pop().unwrap();
                d.content.insert(2, stored);
                piece(d, 1, false);
            },
            |d| {
                piece(d, 2, true);
                link_to_first(d);
            },
            |_| (),
        ],
    );
    let holed = chain(world, &[|d| piece(d, 1, false), |d| piece(d, 3, true)]);
    let mut cases = vec![
        Case::genuine(
            "genuine-three-parts",
            "Three parts: a file in two pieces, and a further name of a file of part 1.",
            some(world, &three, &[1, 2, 3]),
        ),
        Case::reserved(
            "chain-part-missing",
            "Part 2 is missing.",
            some(world, &three, &[1, 3]),
            &["part-missing"],
        ),
        Case::reserved(
            "chain-first-missing",
            "Part 1 is missing.",
            some(world, &three, &[2, 3]),
            &["part-missing"],
        ),
        Case::reserved(
            "chain-last-missing",
            "The last part is missing.",
            some(world, &three, &[1, 2]),
            &["last-missing"],
        ),
        Case::reserved(
            "chain-piece-missing",
            "A file's second piece is missing, though all parts are there.",
            some(world, &holed, &[1, 2]),
            &["piece-missing"],
        ),
    ];
    cases.extend(forged(world));
    cases
}

fn forged(world: &Deployment) -> Vec<Case> {
    let two = || chain(world, &[|_| (), |d| d.store("/etc/second", b"2")]);
    // Another second part, sealed by the agent itself.
    let other = chain(world, &[|_| (), |d| d.store("/etc/second", b"3")]);
    let mut doubled = some(world, &two(), &[1, 2]);
    let mut twin = Files::new();
    put(&mut twin, 3, &other[1], Some(&other[0]), &world.agent);
    doubled.extend(twin);

    let mut broken = two();
    broken[1].draft.record["previous_sha256"] = json!(evidence::digest::Digest::of(b"other"));
    reseal(&mut broken[1], world);
    let mut broken_files = some(world, &broken, &[1, 2]);
    put_as_said(
        &mut broken_files,
        2,
        &broken[1],
        Some(b"other"),
        &world.agent,
    );

    let mut after = two();
    after[0].draft.record["last"] = true.into();
    reseal(&mut after[0], world);
    let first = after[0].zip.clone();
    after[1].draft.record["previous_sha256"] = json!(evidence::digest::Digest::of(&first));
    reseal(&mut after[1], world);

    let mut numbers = two();
    numbers[0].draft.record["previous_sha256"] = json!(evidence::digest::Digest::of(b"other"));
    reseal(&mut numbers[0], world);
    let mut named = Files::new();
    put_as_said(&mut named, 1, &numbers[0], Some(b"other"), &world.agent);

    let mut again = chain(world, &[|d| d.record["attempt"] = 2.into(), |_| ()]);
    again[1].draft.record["attempt"] = 1.into();
    reseal(&mut again[1], world);

    let mut swapped = two();
    for (link, number) in swapped.iter_mut().zip([2, 1]) {
        link.draft.record["part"] = number.into();
        reseal(link, world);
    }
    let mut swapped_files = Files::new();
    put(&mut swapped_files, 1, &swapped[0], None, &world.agent);
    put_as_said(&mut swapped_files, 2, &swapped[1], None, &world.agent);
    let before = two();
    put_as_said(
        &mut swapped_files,
        2,
        &swapped[1],
        Some(&before[0].zip),
        &world.agent,
    );

    vec![
        Case::forged(
            "chain-two-of-one-number",
            "Two different parts claim number 2.",
            doubled,
            &["chain-duplicate"],
        ),
        Case::forged(
            "chain-broken",
            "Part 2 follows on another part 1.",
            broken_files,
            &["chain-previous"],
        ),
        Case::forged(
            "chain-after-last",
            "Part 1 says that it is the last.",
            some(world, &after, &[1, 2]),
            &["chain-after-last"],
        ),
        Case::forged(
            "chain-attempt-falls",
            "Part 2 is of an earlier attempt than part 1.",
            some(world, &again, &[1, 2]),
            &["chain-previous"],
        ),
        Case::forged(
            "chain-first-names-one",
            "Part 1 names a part before it.",
            named,
            &["chain-previous", "last-missing"],
        ),
        Case::forged(
            "chain-reordered",
            "The agent's own two parts bear each other's numbers.",
            swapped_files,
            &["chain-after-last", "chain-previous", "count-mismatch"],
        ),
        foreign(
            world,
            "chain-foreign-agent",
            "Part 2 is another agent's.",
            |d| d.record["agent"] = json!(super::super::deployment::OTHER_AGENT),
            &world.other,
        ),
        foreign(
            world,
            "chain-foreign-host",
            "Part 2 names another host.",
            |d| d.record["host"] = json!(evidence::ids::HostId::from_bytes([9; 16])),
            &world.agent,
        )
        .and("enrolment-mismatch"),
        foreign(
            world,
            "chain-foreign-case",
            "Part 2 names another host's order.",
            |d| {
                d.record["order_sha256"] = Value::Null;
                d.record["order"] = Value::Null;
                d.order.clear();
                d.record["requester"] = Value::Null;
                d.record["signers"] = json!([]);
            },
            &world.agent,
        ),
    ]
}

impl Case {
    /// With one more reason.
    fn and(mut self, code: &'static str) -> Self {
        self.codes.push(code);
        self.codes.sort_unstable();
        self
    }
}

/// Part 2 changed and sealed by `by`.
fn foreign(
    world: &Deployment,
    name: &'static str,
    about: &'static str,
    change: fn(&mut Draft),
    by: &Sealer,
) -> Case {
    let mut links = chain(world, &[|_| (), |_| ()]);
    change(&mut links[1].draft);
    links[1].zip = links[1].draft.zip(by);
    let mut files = some(world, &links, &[1]);
    put(&mut files, 2, &links[1], Some(&links[0]), by);
    Case::forged(name, about, files, &["chain-foreign"])
}

fn reseal(link: &mut Link, world: &Deployment) {
    link.zip = link.draft.zip(&world.agent);
}

/// With a statement that names `before` as collection.json does.
fn put_as_said(files: &mut Files, number: u32, link: &Link, before: Option<&[u8]>, by: &Sealer) {
    let statement = link.draft.statement(&link.zip, None, before, by);
    files.extend(folder(number, link.zip.clone(), &statement, by));
}
