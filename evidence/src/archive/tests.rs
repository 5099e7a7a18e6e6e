//! Whole parts: written, read by others' tools, and mutilated at every byte.

use std::{
    collections::BTreeMap,
    io::{self, Cursor, Read, Write},
    process::Command,
};

use super::*;
use crate::{
    gap::{Gap, Reason, Severity},
    ids::CollectionId,
    instant::Instant,
    names,
    records::{CollectionRecord, Counts, FileRecord, FileType, HostIdentity, LogLine, VERSION},
    wrap::{self, Identity, UnwrapReader},
};

const TIME: Instant = Instant {
    seconds: 1_700_000_001,
    ns: 5,
};

fn collection(counts: Counts) -> CollectionRecord {
    CollectionRecord {
        v: VERSION,
        collection: CollectionId::from_bytes([1; 16]),
        agent: None,
        host: None,
        order: None,
        order_sha256: None,
        policy_sha256: None,
        requester: None,
        signers: Vec::new(),
        case: None,
        host_identity: HostIdentity::default(),
        clock: None,
        boot_time: None,
        monotonic_ns: None,
        agent_version: "0.1.0".into(),
        agent_sha256: None,
        profile: None,
        limits: BTreeMap::new(),
        part: 1,
        previous_sha256: None,
        last: true,
        attempt: 1,
        ended_early: None,
        counts,
        counts_so_far: counts,
        sandbox: String::new(),
        started: TIME,
        ended: TIME,
        unencrypted: true,
        refusals: Vec::new(),
        capture: None,
        field: None,
        dead_disk: None,
    }
}

/// A part holding `files`, results, a gap and a folder.
fn part(files: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    let mut part = PartWriter::new(Vec::new(), PartLimits::default(), TIME);
    part.begin_results("processes").unwrap();
    for pid in 0..50 {
        part.record(&serde_json::json!({ "pid": pid })).unwrap();
    }
    part.end_results().unwrap();
    part.folder(names::FOLDERS[0]).unwrap();
    for (path, contents) in files {
        let name = names::unix_entry(path);
        let stored = part.content(&name, &contents[..]).unwrap();
        let mut record = FileRecord::new("files", path, FileType::File);
        record.entry = Some(name);
        record.size_bytes = Some(stored.size_bytes);
        record.sha256 = Some(stored.sha256);
        part.file(&record).unwrap();
    }
    let gap = Gap {
        artifact: "files".into(),
        subject: "/root/x".into(),
        path_b64: None,
        reason: Reason::NotFound,
        severity: Severity::Serious,
        text: String::new(),
        time: TIME,
    };
    part.gap(&gap).unwrap();
    let line = LogLine {
        time: TIME,
        message: "done".into(),
        artifact: None,
    };
    part.log(&line).unwrap();
    let collection = collection(part.counts());
    let closing = Closing {
        collection: &collection,
        order: b"{}",
        policy: b"",
    };
    let sealed = part
        .seal(&closing, |sums| io::Result::Ok(sums[..8].to_vec()))
        .unwrap();
    assert_eq!(sealed.sha256, crate::digest::Digest::of(&sealed.inner));
    assert_eq!(sealed.size_bytes, sealed.inner.len() as u64);
    sealed.inner
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(step).collect()
}

fn nasty() -> Vec<(&'static [u8], Vec<u8>)> {
    vec![
        (b"/etc/passwd", b"root:x:0:0::/root:/bin/sh\n".repeat(50)),
        (b"/empty", Vec::new()),
        (b"/new\nline", b"x".to_vec()),
        (b"/back\\slash;1", b"y".to_vec()),
        (b"/not\xff\xfeutf8", b"z".to_vec()),
        (b"/100%", b"p".to_vec()),
        ("/ünï \u{202e}cod".as_bytes(), b"u".to_vec()),
        (b"/ -dash", b"d".to_vec()),
        (b"/noise", noise(300_000)),
        (b"/zeros", vec![0; 3_000_000]),
    ]
}

fn contents(bytes: &[u8]) -> (Report, BTreeMap<String, Vec<u8>>) {
    let mut seen = BTreeMap::new();
    let report = read(Cursor::new(bytes), &Limits::default(), |entry, plain| {
        let mut bytes = Vec::new();
        plain.read_to_end(&mut bytes)?;
        seen.insert(entry.name.clone(), bytes);
        Ok(())
    })
    .unwrap();
    (report, seen)
}

#[test]
fn what_was_written_is_read_without_a_fault() {
    let files = nasty();
    let (report, seen) = contents(&part(&files));
    assert_eq!(report.faults, []);
    for (path, contents) in &files {
        assert_eq!(&seen[&names::unix_entry(path)], contents);
    }
    let names: Vec<_> = report.entries.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names[names.len() - 8..], RECORDS);
    let sums = String::from_utf8(seen[SUMS].clone()).unwrap();
    let listed: Vec<_> = sums.lines().map(|line| &line[66..]).collect();
    let wanted: Vec<_> = names[..names.len() - 2]
        .iter()
        .filter(|n| !n.ends_with('/'))
        .collect();
    assert!(listed.iter().eq(wanted.into_iter()));
    let record = CollectionRecord::parse(&seen["collection.json"]).unwrap();
    assert_eq!(
        (
            record.counts.files,
            record.counts.records,
            record.counts.serious_gaps
        ),
        (10, 50, 1)
    );
}

#[test]
fn other_tools_read_it_without_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-0001.zip");
    std::fs::write(&path, part(&nasty())).unwrap();
    let python =
        "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); sys.exit(z.testzip() is not None)";
    for tool in [
        &["unzip", "-tqq"][..],
        &["7z", "t"],
        &["bsdtar", "-xOf"],
        &["python3", "-c", python],
    ] {
        let done = Command::new(tool[0]).args(&tool[1..]).arg(&path).output();
        let done = done.unwrap_or_else(|e| panic!("{} is needed: {e}", tool[0]));
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() && said.is_empty(), "{tool:?}: {said}");
    }
    check_sums(folder.path(), &path);
}

/// What we tell people to run: extract, then `sha256sum -c`.
fn check_sums(folder: &std::path::Path, zip: &std::path::Path) {
    let ran = |command: &mut Command| command.output().ok().filter(|done| done.status.success());
    if Command::new("unzip").arg("-v").output().is_err() {
        return;
    }
    let unzip = ran(Command::new("unzip")
        .arg("-qq")
        .arg(zip)
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8"));
    assert!(unzip.is_some(), "unzip");
    let sums = Command::new("sha256sum")
        .args(["--strict", "-c", SUMS])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        sums.status.success(),
        "{}",
        String::from_utf8_lossy(&sums.stderr)
    );
}

#[test]
fn no_mutilation_makes_it_panic_and_few_pass_unnoticed() {
    let whole = part(&[(b"/etc/passwd", b"root\n".repeat(40)), (b"/n", noise(100))]);
    let report = contents(&whole).0;
    assert_eq!(report.faults, []);
    let entries = report.entries.len();
    let mut unnoticed = Vec::new();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            if contents(&bytes).0.faults.is_empty() {
                unnoticed.push(at);
            }
        }
    }
    // What means nothing: of each entry the two versions' low bits and the maker's, permission
    // bits, spare attributes; and padding bits in a last byte of deflate.
    unnoticed.dedup();
    assert!(
        unnoticed.len() <= 14 * entries,
        "{} in {entries} entries",
        unnoticed.len()
    );
    for length in 0..whole.len() {
        assert!(
            !contents(&whole[..length]).0.faults.is_empty(),
            "cut at {length}"
        );
    }
}

fn codes(bytes: &[u8]) -> Vec<&'static str> {
    contents(bytes)
        .0
        .faults
        .iter()
        .map(|fault| fault.code.code())
        .collect()
}

#[test]
fn bytes_before_between_and_after_are_told() {
    let whole = part(&[(b"/a", b"a".to_vec())]);
    let before = [b"x".to_vec(), whole.clone()].concat();
    assert!(codes(&before).contains(&"zip-directory"));
    let after = [whole.clone(), b"x".to_vec()].concat();
    assert!(codes(&after).contains(&"zip-trailing-bytes"));
    let twice = [whole.clone(), whole].concat();
    assert!(!codes(&twice).is_empty());
    assert_eq!(codes(b""), ["zip-no-end"]);
}

#[test]
fn what_others_write_against_the_rules_is_told() {
    use zip::{ZipWriter, write::SimpleFileOptions};
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let plain = SimpleFileOptions::default().unix_permissions(0o600);
    zip.start_file("fs/../../etc/passwd", plain).unwrap();
    zip.write_all(b"x").unwrap();
    zip.add_symlink("fs/link", "/etc/shadow", plain).unwrap();
    zip.add_directory("fs/folder/", plain).unwrap();
    zip.set_comment("hello").unwrap();
    let codes = codes(&zip.finish().unwrap().into_inner());
    for code in ["zip-name", "zip-file-type", "zip-comment"] {
        assert!(codes.contains(&code), "{code}: {codes:?}");
    }
}

#[test]
fn limits_hold() {
    let bytes = part(&[(b"/zeros", vec![0; 3_000_000])]);
    let limits = Limits {
        plain_bytes: 1_000_000,
        ..Limits::default()
    };
    let mut seen_bytes = 0;
    let report = read(Cursor::new(&bytes), &limits, |_, plain| {
        seen_bytes += io::copy(plain, &mut io::sink())?;
        Ok(())
    })
    .unwrap();
    assert!(seen_bytes < 1_000_000);
    assert!(
        report
            .faults
            .iter()
            .all(|fault| fault.code == FaultCode::Limit)
    );
    let limits = Limits {
        entries: 3,
        ..Limits::default()
    };
    let report = read(Cursor::new(&bytes), &limits, |_, _| Ok(())).unwrap();
    assert_eq!(report.faults[0].code, FaultCode::Limit);
}

#[test]
fn a_part_says_when_it_is_due() {
    let limits = PartLimits {
        entries: 2,
        ..PartLimits::default()
    };
    let mut part = PartWriter::new(Vec::new(), limits, TIME);
    part.content("fs/a", &b"a"[..]).unwrap();
    assert!(!part.due());
    part.content("fs/b", &b"b"[..]).unwrap();
    assert!(part.due());
    let limits = PartLimits {
        size_bytes: 10_000,
        ..PartLimits::default()
    };
    let mut part = PartWriter::new(Vec::new(), limits, TIME);
    part.content("fs/a", &noise(20_000)[..]).unwrap();
    assert!(part.due() && part.room_bytes() == 0);
    // Zeros take nothing in the archive, and as much as ever once unpacked.
    let limits = PartLimits {
        plain_bytes: 10_000,
        ..PartLimits::default()
    };
    let mut part = PartWriter::new(Vec::new(), limits, TIME);
    part.content("fs/a", &[0; 9_999][..]).unwrap();
    assert!(!part.due() && part.room_bytes() == 1);
    part.content("fs/b", &[0; 1][..]).unwrap();
    assert!(part.due() && part.room_bytes() == 0 && part.size_bytes() < 1000);
    // Records count into the plain bytes too.
    let mut part = PartWriter::new(Vec::new(), limits, TIME);
    part.begin_results("a").unwrap();
    part.record(&"x".repeat(9_000)).unwrap();
    assert!(!part.due());
    part.record(&"x".repeat(1_000)).unwrap();
    assert!(part.due());
}

/// A gap that holds `text`.
fn gap(text: String) -> Gap {
    Gap {
        artifact: "a".into(),
        subject: "b".into(),
        path_b64: None,
        reason: Reason::Limit,
        severity: Severity::Ordinary,
        text,
        time: TIME,
    }
}

/// Adds one line of files.jsonl, gaps.jsonl or log.jsonl, with `text` in it.
type AddLine = fn(&mut PartWriter<Vec<u8>>, String) -> Result<(), WriteError>;

/// What waits in memory for the end of a part, each kind by itself.
const WAITING: [(&str, AddLine); 3] = [
    ("files.jsonl", |part, text| {
        let path = format!("/{text}");
        part.file(&FileRecord::new("a", path.as_bytes(), FileType::File))
    }),
    ("gaps.jsonl", |part, text| part.gap(&gap(text))),
    ("log.jsonl", |part, text| {
        part.log(&LogLine {
            time: TIME,
            message: text,
            artifact: None,
        })
    }),
];

#[test]
fn a_part_is_due_by_the_index_that_waits_in_memory() {
    let limits = PartLimits {
        index_bytes: 40_000,
        ..PartLimits::default()
    };
    // Text that doesn't get smaller by deflating than half.
    let text = |seed: u8| -> String {
        let bytes = noise(4_000 + usize::from(seed));
        bytes.iter().map(|b| format!("{:02x}", b ^ seed)).collect()
    };
    for (name, add) in WAITING {
        let mut part = PartWriter::new(Vec::new(), limits, TIME);
        let mut lines = 0;
        while !part.due() && lines < 200 {
            add(&mut part, text(lines)).unwrap();
            lines += 1;
        }
        assert!((4..100).contains(&lines), "{name}: due after {lines} lines");
        assert!(part.size_bytes() == 0 && part.room_bytes() > 0, "{name}");
    }
    // The sums wait too: entries with nothing in them, but for their names.
    let mut part = PartWriter::new(Vec::new(), limits, TIME);
    let mut entries = 0;
    while !part.due() && entries < 1000 {
        part.content(&format!("fs/{}{entries}", "n".repeat(100)), &b""[..])
            .unwrap();
        entries += 1;
    }
    // 64 digits, two blanks, the name, a line feed.
    assert!((220..250).contains(&entries), "due after {entries} entries");
}

#[test]
fn a_part_is_due_by_one_record_file_that_a_verifier_would_find_too_long() {
    let limits = PartLimits {
        record_file_bytes: 10_000,
        ..PartLimits::default()
    };
    for (name, add) in WAITING {
        let mut part = PartWriter::new(Vec::new(), limits, TIME);
        add(&mut part, "x".repeat(3_000)).unwrap();
        assert!(!part.due(), "{name}");
        add(&mut part, "x".repeat(7_000)).unwrap();
        assert!(part.due(), "{name}");
    }
    let mut part = PartWriter::new(Vec::new(), limits, TIME);
    part.begin_results("a").unwrap();
    part.record(&"x".repeat(9_000)).unwrap();
    assert!(!part.due());
    part.end_results().unwrap();
    // The next artifact's results are a file of their own.
    part.begin_results("b").unwrap();
    part.record(&"x".repeat(9_000)).unwrap();
    assert!(!part.due());
    part.record(&"x".repeat(1_000)).unwrap();
    assert!(part.due());
}

#[test]
fn more_than_65535_entries_need_zip64() {
    let mut zip = StreamZip::new(Vec::new(), TIME);
    for number in 0..66_000 {
        zip.entry(&format!("fs/{number}"), &b""[..]).unwrap();
    }
    let (report, _) = contents(&zip.finish().unwrap());
    assert_eq!((report.faults.len(), report.entries.len()), (0, 66_000));
}

#[test]
fn a_stranger_following_the_specification_is_read_without_a_fault() {
    let python = r#"
import sys, zipfile
class Pipe:
    def write(self, b): return sys.stdout.buffer.write(b)
    def flush(self): pass
with zipfile.ZipFile(Pipe(), "w") as z:
    for name, method, wide in [("fs/a", 8, False), ("fs/b", 0, True), ("fs/\u00fc", 8, True)]:
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = 0o100600 << 16, method
        with z.open(info, "w", force_zip64=wide) as entry:
            entry.write(b"hello" * 100)
"#;
    let Ok(done) = Command::new("python3").args(["-c", python]).output() else {
        return;
    };
    let (report, seen) = contents(&done.stdout);
    assert_eq!((report.faults, seen.len()), (Vec::new(), 3));
    assert!(seen.values().all(|bytes| *bytes == b"hello".repeat(100)));
}

#[test]
#[ignore = "half a minute: more than 4 GiB pass through"]
fn an_entry_that_grows_past_4_gib_breaks_nothing() {
    let length = (4 << 30) + 4_321;
    let mut zip = StreamZip::new(Vec::new(), TIME);
    let stored = zip.entry("fs/log", io::repeat(0).take(length)).unwrap();
    assert_eq!(stored.size_bytes, length);
    zip.entry("fs/after", &b"x"[..]).unwrap();
    let bytes = zip.finish().unwrap();
    let report = read(Cursor::new(&bytes), &Limits::default(), |_, _| Ok(())).unwrap();
    assert_eq!(
        (report.faults, report.entries[0].size_bytes),
        (Vec::new(), length)
    );
}

/// An encrypted one too, whose entry's data end where one of the encryption's pieces of 64 KiB does.
#[test]
fn it_is_read_wherever_its_entries_end() {
    let key = [Identity::generate()];
    let noise = noise(64 << 10);
    for missing in 0..100 {
        let mut zip = StreamZip::new(Vec::new(), TIME);
        for (name, bytes) in [("fs/a", &noise[missing..]), ("fs/b", b"b")] {
            zip.entry(name, bytes).unwrap();
        }
        let secret = wrap::wrap(&[key[0].recipient()], &zip.finish().unwrap()).unwrap();
        let plain = UnwrapReader::new(&key, Cursor::new(&secret)).unwrap();
        let read = read(plain, &Limits::default(), |_, _| Ok(())).unwrap();
        assert!(read.faults.is_empty(), "{missing}: {:?}", read.faults);
    }
}
