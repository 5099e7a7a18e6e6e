//! Who is logged in, who was, and who tried: utmp, wtmp, btmp, lastlog and systemd's sessions.

mod records;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use evidence::gap::Reason;

use super::passwd::Names;
use super::source::{names, not_running, place, put, put_bytes, reason_of, text, time};
use super::{Artifact, Extent, Field, Record, Request, Sink, Stopped};
use crate::files::record::field;
use crate::platform::{names::OsStrExt as _, procfs};
use records::{last, layout, login};

/// A history past this size is read only up to it.
const CAP: usize = 64 << 20;

/// Who is logged in; the second on systems from before /run.
const PRESENT: [&str; 2] = ["/run/utmp", "/var/run/utmp"];

/// Where the histories lie, and their names; those that are rotated go on with `.` or `-`.
const HISTORIES: &str = "/var/log";
const NAMES: [&str; 2] = ["wtmp", "btmp"];

/// How packed files and databases begin: what is not unpacked here, and its name.
const STRANGE: [(&[u8], &str); 6] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x5d\0\0", "lzma"),
    (b"SQLite format 3\0", "a database"),
];
const GZIP: &[u8] = b"\x1f\x8b";

/// What followed lastlog and wtmp on newer systems: databases, taken whole.
const DATABASES: [&str; 2] = ["/var/lib/wtmpdb/wtmp.db", "/var/lib/lastlog/lastlog2.db"];

/// The logins of the host.
#[derive(Debug)]
pub struct Sessions;

const FIELDS: &[Field] = &[
    field("source", "string", "The file that it stands in."),
    field(
        "source_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field(
        "position",
        "integer, bytes",
        "Where in that file; of a packed one, once unpacked.",
    ),
    field(
        "type",
        "string",
        "user, login, dead, boot, run_level and so on; last; session.",
    ),
    field(
        "type_number",
        "integer",
        "The type as it stands in the record.",
    ),
    field("pid", "integer", "The process of the login."),
    field(
        "line",
        "string",
        "Terminal, or the service of a failed login.",
    ),
    field(
        "line_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("id", "string", "Terminal suffix, or a session's id."),
    field(
        "id_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("uid", "integer", "User id."),
    field(
        "user",
        "string or null",
        "User name; of lastlog from the host's passwd file.",
    ),
    field(
        "user_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field(
        "host",
        "string",
        "Remote host as the login service named it.",
    ),
    field(
        "host_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("address", "string or null", "Remote address."),
    field("exit_status", "integer", "Exit status of a dead session."),
    field("session", "integer", "Session number."),
    field("time", "time", "When."),
    field(
        "properties",
        "object of strings",
        "What systemd keeps of a present session.",
    ),
];

impl Artifact for Sessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn about(&self) -> &'static str {
        "Logged-in users and the history of logins and failed logins."
    }

    fn volatile(&self) -> bool {
        true
    }

    fn extent(&self) -> Extent {
        Extent::Events
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        if !logins(request, Path::new(PRESENT[0]), sink)? {
            logins(request, Path::new(PRESENT[1]), sink)?;
        }
        for name in names(request, HISTORIES, sink)?.unwrap_or_default() {
            if is_history(name.as_bytes()) {
                logins(request, &Path::new(HISTORIES).join(name), sink)?;
            }
        }
        last_logins(request, sink)?;
        if request.is_running {
            present(request, sink)?;
        } else {
            not_running("present sessions", sink)?;
        }
        for path in DATABASES {
            if place(request, path)
                .and_then(|p| procfs::identity(&p))
                .is_ok()
            {
                sink.file(std::path::Path::new(path))?;
            }
        }
        Ok(())
    }
}

/// `wtmp`, `wtmp.1`, `btmp-20250101.gz` and so on.
fn is_history(name: &[u8]) -> bool {
    let rest = NAMES.iter().find_map(|n| name.strip_prefix(n.as_bytes()));
    matches!(rest, Some([] | [b'.' | b'-', ..]))
}

/// What a history holds, by its first bytes.
enum Content {
    /// Records, unpacked where they were packed, up to the cap; with why they end early.
    Records(Vec<u8>, Option<std::io::Error>),
    /// What is not understood here.
    Strange(&'static str),
}

fn read(path: &Path) -> std::io::Result<Content> {
    let mut file = procfs::open_regular(path)?;
    let head = procfs::read_at(&file, 0, 16)?;
    if let Some((_, name)) = STRANGE.iter().find(|(mark, _)| head.starts_with(mark)) {
        return Ok(Content::Strange(name));
    }
    let mut bytes = Vec::new();
    let most = CAP as u64 + 1;
    let ended = if head.starts_with(GZIP) {
        let unpacked = flate2::read::MultiGzDecoder::new(file);
        unpacked.take(most).read_to_end(&mut bytes)
    } else {
        file.by_ref().take(most).read_to_end(&mut bytes)
    };
    Ok(Content::Records(bytes, ended.err()))
}

/// Tells the records of the file at `path`; whether there is one.
fn logins(request: &Request<'_>, path: &Path, sink: &mut dyn Sink) -> Result<bool, Stopped> {
    let found = place(request, path).and_then(|whole| read(&whole));
    let (mut bytes, error) = match found {
        Ok(Content::Records(bytes, error)) => (bytes, error),
        Ok(Content::Strange(what)) => {
            let text = format!("it is {what}, which is not unpacked here; the file is taken whole");
            sink.gap(path, Reason::Unsupported, &text)?;
            return sink.file(path).map(|()| true);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            sink.gap(path, reason_of(&error), &error.to_string())?;
            return Ok(true);
        }
    };
    let is_cut = bytes.len() > CAP;
    if is_cut {
        bytes.truncate(CAP);
        let text = format!("only its first {CAP} bytes were read");
        sink.gap(path, Reason::Limit, &text)?;
    }
    let layout = layout(&bytes);
    let pieces = bytes.chunks_exact(layout.size);
    let left = pieces.remainder().len();
    for (at, piece) in pieces.enumerate() {
        if let Some(mut record) = login(piece, layout) {
            put_bytes(&mut record, "source", path.as_os_str().as_bytes());
            put(&mut record, "position", at * layout.size);
            sink.record(record)?;
        }
    }
    match error {
        Some(error) => {
            let text = format!("not read to its end: {error}");
            sink.gap(path, reason_of(&error), &text)?;
        }
        None if left > 0 && !is_cut => {
            let text = format!("{left} bytes after the last whole record");
            sink.gap(path, Reason::Malformed, &text)?;
        }
        None => {}
    }
    Ok(true)
}

/// Lastlog is indexed by user id and sparse, up to a terabyte: known users are looked up, and the
/// first stretch is read for the users who are no longer known.
fn last_logins(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    const PATH: &str = "/var/log/lastlog";
    const STRETCH: u32 = 16_384;
    let opened = place(request, PATH)
        .and_then(|whole| Ok((procfs::open_regular(&whole)?, procfs::identity(&whole)?)));
    let (file, found) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return sink.gap(PATH, reason_of(&error), &error.to_string()),
    };
    // The size is a whole number of records; both layouts fit only by accident.
    let wide = found.size_bytes % 292 != 0 && found.size_bytes % 296 == 0;
    let size: u32 = if wide { 296 } else { 292 };
    let users = Names::users(request.root);
    let mut ids: BTreeSet<u32> = (0..STRETCH).collect();
    ids.extend(users.ids());
    let end = found.size_bytes / u64::from(size);
    for uid in ids.into_iter().take_while(|&id| u64::from(id) < end) {
        let position = u64::from(uid) * u64::from(size);
        match procfs::read_at(&file, position, size as usize) {
            Ok(bytes) => {
                if let Some(mut record) = last(&bytes) {
                    put(&mut record, "source", PATH);
                    put(&mut record, "position", position);
                    put(&mut record, "uid", uid);
                    put(&mut record, "user", users.of(uid));
                    sink.record(record)?;
                }
            }
            Err(error) => return sink.gap(PATH, reason_of(&error), &error.to_string()),
        }
    }
    if end > u64::from(STRETCH) {
        let text = format!("of ids from {STRETCH} on only those of known users were read");
        sink.gap(PATH, Reason::Limit, &text)?;
    }
    Ok(())
}

/// The sessions of now, as systemd's login service keeps them in files.
fn present(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    const FOLDER: &str = "/run/systemd/sessions";
    for name in names(request, FOLDER, sink)?.unwrap_or_default() {
        let name = name.to_string_lossy().into_owned();
        if name.ends_with(".ref") {
            continue;
        }
        let path = format!("{FOLDER}/{name}");
        let Some(text) = text(request, &path, 1 << 16, true, sink)? else {
            continue;
        };
        let mut record = Record::new();
        put(&mut record, "source", path);
        put(&mut record, "type", "session");
        put(&mut record, "id", name);
        let lines = text.lines().filter(|l| !l.starts_with('#'));
        let pairs = lines.filter_map(|l| l.split_once('='));
        let properties: Record = pairs.map(|(k, v)| (k.to_owned(), v.into())).collect();
        // Whose and when, as in every other record.
        let property = |key: &str| properties.get(key).and_then(serde_json::Value::as_str);
        if let Some(uid) = property("UID").and_then(|uid| uid.parse::<u32>().ok()) {
            put(&mut record, "uid", uid);
        }
        if let Some(user) = property("USER") {
            put(&mut record, "user", user);
        }
        if let Some(us) = property("REALTIME").and_then(|us| us.parse::<i64>().ok()) {
            let ns = us.rem_euclid(1_000_000) as u32 * 1000;
            put(&mut record, "time", time(us.div_euclid(1_000_000), ns));
        }
        put(&mut record, "properties", properties);
        sink.record(record)?;
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;
    use std::io::Write as _;

    use super::records::{NARROW, tests::sample};
    use super::*;
    use crate::artifacts::testing::MemorySink;

    #[test]
    fn reads_histories_packed_ones_too_and_tells_of_a_torn_end() {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("var/log");
        fs::create_dir_all(&log).unwrap();
        let mut bytes = sample(NARROW, b"eve").repeat(2);
        bytes.extend([7, 0, 0]);
        fs::write(log.join("wtmp"), &bytes).unwrap();
        let packed = fs::File::create(log.join("wtmp.2.gz")).unwrap();
        let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packed.write_all(&sample(NARROW, b"old")).unwrap();
        packed.finish().unwrap();
        let sink = MemorySink::run(&Sessions, root.path(), serde_json::Value::Null);
        let users: Vec<_> = sink.records.iter().map(|r| r["user"].clone()).collect();
        assert_eq!(users, ["eve", "eve", "old"]);
        assert_eq!(sink.gaps[0].reason, Reason::Malformed);
        assert_eq!(sink.undeclared(&Sessions), Vec::<String>::new());
    }

    /// The root of a running system.
    fn running() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        root
    }

    fn write(root: &Path, path: &str, bytes: &[u8]) {
        let at = root.join(&path[1..]);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn failed_logins_and_rotated_histories_of_every_name_are_read() {
        let root = tempfile::tempdir().unwrap();
        let mut failed = sample(NARROW, b"mallory");
        failed[0] = 6;
        let plain = [
            "/var/log/btmp",
            "/var/log/btmp-20250101",
            "/var/log/btmp.1",
            "/var/log/wtmp-20241231-1735603200",
            "/var/log/wtmp.2",
            "/var/log/wtmp.old",
            "/run/utmp",
        ];
        let packed = [
            "/var/log/btmp-20241201.gz",
            "/var/log/btmp.4.gz",
            "/var/log/wtmp.9",
        ];
        plain.iter().for_each(|p| write(root.path(), p, &failed));
        packed
            .iter()
            .for_each(|p| write(root.path(), p, &gzip(&failed)));
        // Neither is a history.
        write(root.path(), "/var/log/wtmpdb.log", &failed);
        write(root.path(), "/var/log/lwtmp", &failed);
        let sink = MemorySink::run(&Sessions, root.path(), serde_json::Value::Null);
        let mut sources: Vec<_> = sink
            .records
            .iter()
            .map(|r| r["source"].as_str().unwrap())
            .collect();
        let mut expected = [&plain[..], &packed[..]].concat();
        sources.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sources, expected);
        for record in &sink.records {
            assert_eq!(record["type"], "login");
            assert_eq!(record["type_number"], 6);
            assert_eq!(record["user"], "mallory");
            assert_eq!(record["line"], "pts/0");
            assert_eq!(record["host"], "host");
            assert_eq!(record["address"], "192.0.2.7");
            assert_eq!(record["position"], 0);
        }
        assert_eq!(sink.gaps, []);
    }

    #[test]
    fn what_is_not_unpacked_is_taken_whole_and_told() {
        let root = running();
        let strange = [
            "/var/log/btmp-20250101.xz",
            "/var/log/wtmp.2.bz2",
            "/var/log/wtmp.3.zst",
        ];
        let heads = [
            &b"\xfd7zXZ\0\0\x04x"[..],
            b"BZh91AY&SY",
            b"\x28\xb5\x2f\xfd\x04",
        ];
        for (path, head) in strange.iter().zip(heads) {
            write(root.path(), path, head);
        }
        let sink = MemorySink::run(&Sessions, root.path(), serde_json::Value::Null);
        assert!(sink.records.is_empty());
        assert_eq!(sink.files, strange.map(std::path::PathBuf::from));
        let told: Vec<_> = sink
            .gaps
            .iter()
            .map(|g| (g.subject.as_str(), g.reason))
            .collect();
        assert_eq!(told, strange.map(|s| (s, Reason::Unsupported)));
    }

    #[test]
    fn a_packed_history_that_is_torn_gives_what_it_has() {
        let root = running();
        let mut bytes = gzip(&sample(NARROW, b"eve"));
        bytes.truncate(bytes.len() - 8);
        write(root.path(), "/var/log/wtmp.2.gz", &bytes);
        let sink = MemorySink::run(&Sessions, root.path(), serde_json::Value::Null);
        assert_eq!(sink.records[0]["user"], "eve");
        assert_eq!(sink.gaps.len(), 1);
        assert_eq!(sink.gaps[0].reason, Reason::ReadError);
    }

    #[test]
    fn the_last_login_of_each_user_is_told_in_both_layouts() {
        for width in [4, 8] {
            let root = running();
            write(
                root.path(),
                "/etc/passwd",
                b"root:x:0:0::/:/bin/sh\nbob:x:2:2::/:/bin/sh\n",
            );
            let size = width + 288;
            let mut bytes = vec![0; size * 5];
            for uid in [2, 4] {
                let at = &mut bytes[uid * size..];
                at[..4].copy_from_slice(&1_700_000_000_u32.to_ne_bytes());
                at[width..width + 4].copy_from_slice(b"tty1");
                at[width + 32..width + 41].copy_from_slice(b"192.0.2.9");
            }
            write(root.path(), "/var/log/lastlog", &bytes);
            let sink = MemorySink::run(&Sessions, root.path(), serde_json::Value::Null);
            assert_eq!(sink.records.len(), 2, "{:?}", sink.records);
            let [bob, gone] = &sink.records[..] else {
                unreachable!()
            };
            assert_eq!((&bob["uid"], &bob["user"]), (&2.into(), &"bob".into()));
            assert_eq!(bob["type"], "last");
            assert_eq!(bob["source"], "/var/log/lastlog");
            assert_eq!(bob["position"], 2 * size);
            assert_eq!(bob["time"], "2023-11-14T22:13:20.000000000Z");
            assert_eq!(
                (&bob["line"], &bob["host"]),
                (&"tty1".into(), &"192.0.2.9".into())
            );
            // Nobody has the id any more.
            assert_eq!(
                (&gone["uid"], &gone["user"]),
                (&4.into(), &serde_json::Value::Null)
            );
            assert_eq!(sink.gaps, []);
        }
    }

    #[test]
    fn a_sparse_lastlog_costs_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("var/log")).unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(
            root.path().join("etc/passwd"),
            "far:x:3000000:1::/:/bin/sh\n",
        )
        .unwrap();
        let file = fs::File::create(root.path().join("var/log/lastlog")).unwrap();
        file.set_len(292 * 4_000_000_000).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 8], 292 * 3_000_000).unwrap();
        let sink = MemorySink::run(&Sessions, root.path(), serde_json::Value::Null);
        assert_eq!(sink.records.len(), 1);
        assert_eq!(sink.records[0]["user"], "far");
        assert_eq!(sink.gaps[0].reason, Reason::Limit);
    }

    #[test]
    fn sessions_of_now() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run/systemd/sessions");
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("3"),
            "# private\nUID=0\nREMOTE_HOST=192.0.2.1\n",
        )
        .unwrap();
        let sink = MemorySink::run(&Sessions, root.path(), serde_json::Value::Null);
        assert_eq!(sink.records[0]["properties"]["REMOTE_HOST"], "192.0.2.1");
        assert_eq!(sink.undeclared(&Sessions), Vec::<String>::new());
    }
}
