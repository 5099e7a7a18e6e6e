//! Whole runs over a real spool half: what artifacts say ends in parts that the archive's reader accepts.

mod dead_disk;
mod fixture;
mod hostile;
mod rest;
mod scope;
mod stopping;
mod waiting;

use std::{fs, os::unix::fs::symlink, path::Path};

use evidence::{
    digest::Digest,
    gap::{Gap, Reason, Severity},
    records::{FileRecord, LogLine},
};
use fixture::{Fixture, files, record, says, volatile};
use serde_json::Value;

#[test]
fn records_stream_and_files_named_meanwhile_follow_in_the_first_part() {
    let host = Fixture::new();
    host.put("etc/passwd", b"root:x:0:0");
    let parts = host.collect(&[volatile("test", |sink| {
        sink.record(record(1))?;
        sink.file(Path::new("/etc/passwd"))?;
        sink.record(record(2))
    })]);
    assert_eq!(parts.len(), 1);
    let part = &parts[0];
    assert_eq!(part.lines::<Value>("results/test.jsonl").len(), 2);
    assert_eq!(part.entries["fs/$rootfs$/etc/passwd"], b"root:x:0:0");
    let file = part.file("/etc/passwd");
    assert_eq!(file.sha256, Some(Digest::of(b"root:x:0:0")));
    assert!(!file.changed_while_read);
    assert!(part.entries.contains_key("fs/$rootfs$/etc/"));
    assert_eq!(part.record().counts.gaps, 0);
    assert!(part.record().last);
}

#[test]
fn a_telling_folder_that_is_none_is_told_in_the_log() {
    let host = Fixture::new();
    host.put("etc", b"a file");
    host.put("elsewhere/x", b"x");
    symlink("elsewhere", host.path("run")).unwrap();
    let parts = host.collect(&[volatile("test", |sink| sink.record(record(1)))]);
    let part = &parts[0];
    let entries: Vec<_> = part.entries.keys().filter(|e| e.ends_with('/')).collect();
    assert!(entries.is_empty(), "{entries:?}");
    let lines: Vec<LogLine> = part.lines("log.jsonl");
    for (path, times) in [("/etc", 1), ("/run", 1), ("/var", 0)] {
        let told = lines.iter().filter(|l| l.message.contains(path)).count();
        assert_eq!(told, times, "{path} {lines:?}");
    }
    assert_eq!(part.record().counts.gaps, 0);
}

#[test]
fn the_volatile_are_sealed_alone_before_anything_else_is_gathered() {
    let host = Fixture::new();
    host.put("a", b"x");
    let parts = host.collect(&[
        volatile("first", |sink| sink.record(record(1))),
        says("later", |sink| {
            sink.record(record(2))?;
            sink.file(Path::new("/a"))
        }),
    ]);
    let first = &parts[0];
    assert!(first.entries.contains_key("results/first.jsonl"));
    assert!(!first.entries.contains_key("results/later.jsonl"));
    assert_eq!(first.record().counts.files, 0);
    let later = parts[1..]
        .iter()
        .filter(|p| p.entries.contains_key("results/later.jsonl"));
    assert_eq!(later.count(), 1);
    let all = parts.last().unwrap().record();
    assert!(all.last);
    assert_eq!((all.counts_so_far.records, all.counts_so_far.files), (2, 1));
}

#[test]
fn many_files_on_several_lanes_come_once_each_and_the_chain_holds() {
    let mut host = Fixture::new();
    host.part_bytes = 1 << 20;
    for n in 0..400 {
        let mut bytes = vec![0; 20_000];
        getrandom::fill(&mut bytes).unwrap();
        host.put(&format!("many/{n}"), &bytes);
    }
    let parts = host.collect(&[says("many", |sink| {
        (0..400).try_for_each(|n| sink.file(Path::new(&format!("/many/{n}"))))
    })]);
    assert!(parts.len() > 4);
    let mut stored = 0;
    for part in &parts {
        for file in part.lines::<FileRecord>("files.jsonl") {
            let Some(entry) = file.entry.filter(|e| e.contains("many")) else {
                continue;
            };
            assert_eq!(file.sha256, Some(Digest::of(&part.entries[&entry])));
            stored += 1;
        }
    }
    assert_eq!(stored, 400);
    for (index, part) in parts.iter().enumerate() {
        let record = part.record();
        assert_eq!(record.part as usize, index + 1);
        assert_eq!(record.last, index + 1 == parts.len());
        let before = index.checked_sub(1).map(|b| Digest::of(&parts[b].bytes));
        assert_eq!(record.previous_sha256, before);
    }
}

#[test]
fn one_inode_is_stored_once_and_recorded_under_each_name() {
    let host = Fixture::new();
    host.put("a", b"same");
    fs::hard_link(host.path("a"), host.path("b")).unwrap();
    let parts = host.collect(&[files("test", &["/a", "/b"])]);
    let all: Vec<FileRecord> = parts.iter().flat_map(|p| p.lines("files.jsonl")).collect();
    let entries: Vec<_> = all.iter().filter_map(|f| f.entry.clone()).collect();
    let first = entries.iter().find(|e| !e.ends_with('/')).unwrap();
    let second = all.iter().find(|f| f.hard_link_of.is_some()).unwrap();
    assert_eq!(second.hard_link_of.as_ref(), Some(first));
    assert_eq!(second.entry, None);
    assert_eq!(parts.last().unwrap().record().counts_so_far.files, 1);
}

#[test]
fn links_are_records_and_never_lead_out_of_the_root() {
    let host = Fixture::new();
    host.put("real", b"bytes");
    symlink("real", host.path("link")).unwrap();
    symlink("/../../../../etc/hostname", host.path("out")).unwrap();
    let parts = host.collect(&[volatile("test", |sink| {
        sink.file(Path::new("/link"))?;
        sink.file(Path::new("/out"))
    })]);
    let part = &parts[0];
    assert_eq!(part.file("/link").target.as_deref(), Some("/real"));
    assert_eq!(part.entries["fs/$rootfs$/real"], b"bytes");
    assert!(!part.entries.contains_key("fs/$rootfs$/etc/hostname"));
    assert_eq!(part.lines::<Gap>("gaps.jsonl").len(), 1);
}

#[test]
fn what_is_not_there_is_a_gap_and_never_an_empty_entry() {
    let host = Fixture::new();
    let parts = host.collect(&[files("test", &["/none"])]);
    let gaps = fixture::gaps(&parts);
    assert_eq!(gaps[0].reason, Reason::NotFound);
    assert_eq!(gaps[0].subject, "/none");
    assert!(
        !parts
            .iter()
            .any(|p| p.entries.contains_key("fs/$rootfs$/none"))
    );
}

#[test]
fn a_file_larger_than_a_part_is_stored_in_pieces_that_join() {
    let mut host = Fixture::new();
    host.part_bytes = 4 << 20;
    // Random, so that it doesn't compress into one part.
    let mut bytes = vec![0; 7 << 20];
    getrandom::fill(&mut bytes).unwrap();
    host.put("big", &bytes);
    let parts = host.collect(&[files("test", &["/big"])]);
    assert!(parts.len() > 1);
    let mut joined = Vec::new();
    let mut whole = None;
    for part in &parts {
        for line in part.lines::<FileRecord>("files.jsonl") {
            for piece in &line.pieces {
                assert_eq!(piece.offset_bytes, joined.len() as u64);
                joined.extend_from_slice(&part.entries[&piece.entry]);
                whole = line.sha256;
            }
        }
    }
    assert!(joined == bytes);
    assert_eq!(whole, Some(Digest::of(&bytes)));
}

#[test]
fn own_output_is_never_collected() {
    let host = Fixture::new();
    host.put("own/output/part-0001.zip", b"ours");
    let parts = host.collect(&[files("test", &["/own/output/part-0001.zip"])]);
    assert_eq!(parts.last().unwrap().record().counts_so_far.files, 0);
}

#[test]
fn an_unknown_artifact_and_an_unknown_option_are_gaps() {
    let mut host = Fixture::new();
    host.wants("nosuch", Value::Null);
    host.wants("test", serde_json::json!({"nosuch": 1}));
    let parts = host.collect(&[says("test", |sink| sink.record(record(1)))]);
    let gaps = fixture::gaps(&parts);
    let of = |reason| gaps.iter().find(|g| g.reason == reason).unwrap();
    assert_eq!(of(Reason::UnknownArtifact).artifact, "nosuch");
    assert_eq!(of(Reason::UnknownArtifact).severity, Severity::Serious);
    assert_eq!(of(Reason::Unsupported).subject, "nosuch");
}

#[test]
fn a_limit_on_memory_keeps_lanes_few_and_parts_small_and_is_told_where_it_cannot_be_held() {
    let mut host = Fixture::new();
    host.limits.memory_bytes = 8 << 20;
    let paths: Vec<String> = (0..2500).map(|n| format!("/{n}")).collect();
    for path in &paths {
        host.put(&path[1..], b"x");
    }
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let parts = host.collect(&[files("test", &paths)]);
    let last = parts.last().unwrap().record();
    assert_eq!(last.limits["lanes"], 1);
    assert_eq!(last.limits["memory_bytes"], 8 << 20);
    assert_eq!(last.counts_so_far.files, 2500);
    assert!(parts.iter().all(|p| p.record().counts.files <= 1000));
    let gaps = fixture::gaps(&parts);
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        (gaps[0].subject.as_str(), gaps[0].reason),
        ("memory_bytes", Reason::Limit)
    );
}

#[test]
fn limits_on_files_leave_out_the_rest_and_say_how_much() {
    let mut host = Fixture::new();
    for n in 0..5 {
        host.put(&n.to_string(), b"x");
    }
    host.limits.files = 2;
    let parts = host.collect(&[files("test", &["/0", "/1", "/2", "/3", "/4"])]);
    assert_eq!(parts.last().unwrap().record().counts_so_far.files, 2);
    let gaps = fixture::gaps(&parts);
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        (gaps[0].reason, gaps[0].severity),
        (Reason::Limit, Severity::Serious)
    );
    assert!(gaps[0].text.starts_with("3 files"), "{}", gaps[0].text);
}
