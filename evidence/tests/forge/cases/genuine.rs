//! Genuine evidence in every form.

use std::path::Path;

use evidence::{
    archive::{Closing, PartLimits, PartWriter},
    records::{CollectionRecord, FileRecord},
    seal,
};

use super::super::{
    Case, Files, Given, at, authority,
    deployment::{AGENT, Deployment},
    draft::{Draft, SEALED, folder},
};

/// A part on an order with all that the server gives to it.
pub(super) fn with_receipts(world: &Deployment) -> Files {
    let mut files = Draft::ordered(world).folder(&world.agent);
    let leaf = authority::received(
        1,
        &files["part-0001.zip"],
        &files["part-0001.statement.json"],
    );
    let server = world.time_key();
    let receipt = authority::receipt(&world.log, leaf, at(60), &server);
    files.insert("part-0001.receipt".into(), receipt);
    let leaf = authority::enrolled(AGENT, world.agent.key.public().key_id());
    let receipt = authority::receipt(&world.log, leaf, at(-900_000), &server);
    files.insert("enrolment.receipt".into(), receipt);
    files
}

/// The same with a time stamp of a real authority.
pub(super) fn with_stamp(world: &Deployment, stamps: &Path) -> Files {
    let mut files = with_receipts(world);
    let stamp = std::fs::read(stamps.join("genuine.tsr")).unwrap_or_default();
    files.insert("part-0001.tsr".into(), stamp);
    files
}

pub(super) fn cases(world: &Deployment, stamps: &Path) -> Vec<Case> {
    let both = [Given::Trust, Given::StampTrust];
    vec![
        Case::genuine(
            "genuine-streamed",
            "The same, as an agent streams it: deflated, with data descriptors and zip64 fields.",
            streamed(world),
        ),
        Case::genuine(
            "genuine-receipts",
            "With the server's receipt and the agent's enrolment.",
            with_receipts(world),
        )
        .notes(&["receipt-time"]),
        Case::genuine(
            "genuine-stamped",
            "With a time stamp of an authority that is trusted.",
            with_stamp(world, stamps),
        )
        .given(&both)
        .notes(&["stamp-time"]),
        Case::genuine(
            "genuine-stamp-unanchored",
            "With a time stamp of an authority that nobody knows: no time rests on it.",
            with_stamp(world, stamps),
        )
        .notes(&["receipt-time", "stamp-unanchored"]),
        Case::genuine(
            "genuine-clock-wrong",
            "The host's clock was an hour ahead, and the part says so.",
            {
                let mut draft = Draft::ordered(world);
                draft.record["clock"]["offset_ms"] = 3_600_000.into();
                draft.folder(&world.agent)
            },
        )
        .notes(&["clock-wrong"]),
    ]
}

/// Written by the agent's own writer.
fn streamed(world: &Deployment) -> Files {
    let draft = Draft::ordered(world);
    let mut writer = PartWriter::new(Vec::new(), PartLimits::default(), at(0));
    let text = String::from_utf8(draft.files.clone()).unwrap();
    let records: Vec<FileRecord> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    writer.folder("fs/$rootfs$/etc/").unwrap();
    writer
        .content("fs/$rootfs$/etc/hostname", &b"host-1\n"[..])
        .unwrap();
    for record in &records {
        writer.file(record).unwrap();
    }
    writer.begin_results("processes").unwrap();
    for pid in 1..=2 {
        writer.record(&serde_json::json!({"pid": pid})).unwrap();
    }
    writer.end_results().unwrap();
    let mut record = draft.record.clone();
    record["counts"] = serde_json::to_value(writer.counts()).unwrap();
    record["counts_so_far"] = record["counts"].clone();
    let collection: CollectionRecord = serde_json::from_value(record).unwrap();
    let closing = Closing {
        collection: &collection,
        order: &draft.order,
        policy: &draft.policy,
    };
    let by = &world.agent;
    let sealed = writer
        .seal(&closing, |sums| {
            seal::sign(sums, &by.key, &by.chain, at(SEALED))
        })
        .unwrap();
    let statement = draft.statement(&sealed.inner, None, None, by);
    folder(1, sealed.inner, &statement, by)
}
