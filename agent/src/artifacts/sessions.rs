//! Who is logged in, who was, and who tried: utmp, wtmp, btmp, lastlog and systemd's sessions.

mod records;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _};

use evidence::gap::Reason;

use super::passwd::Names;
use super::source::{put, reason_of, text};
use super::{Artifact, Field, Record, Request, Sink, Stopped};
use crate::files::record::field;
use crate::platform::procfs;
use records::{last, layout, login};

/// A history past this size is read only up to it.
const CAP: usize = 64 << 20;

/// The histories, with their rotated forms, and where each may lie.
const LOGINS: [&str; 10] = [
    "/run/utmp",
    "/var/log/wtmp",
    "/var/log/wtmp.1",
    "/var/log/wtmp.2.gz",
    "/var/log/wtmp.3.gz",
    "/var/log/wtmp.4.gz",
    "/var/log/btmp",
    "/var/log/btmp.1",
    "/var/log/btmp.2.gz",
    "/var/log/btmp.3.gz",
];

/// What followed lastlog and wtmp on newer systems: databases, taken whole.
const DATABASES: [&str; 2] = ["/var/lib/wtmpdb/wtmp.db", "/var/lib/lastlog/lastlog2.db"];

/// The logins of the host.
#[derive(Debug)]
pub struct Sessions;

const FIELDS: &[Field] = &[
    field("source", "string", "The file that it stands in."),
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

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        for path in LOGINS {
            logins(request, path, sink)?;
        }
        last_logins(request, sink)?;
        present(request, sink)?;
        for path in DATABASES {
            if procfs::identity(&request.root.join(&path[1..])).is_ok() {
                sink.file(std::path::Path::new(path))?;
            }
        }
        Ok(())
    }
}

/// The file, unpacked where it is packed, up to the cap; `None` where there is none.
fn read(
    request: &Request<'_>,
    path: &str,
    sink: &mut dyn Sink,
) -> Result<Option<Vec<u8>>, Stopped> {
    let read = procfs::open_regular(&request.root.join(&path[1..])).and_then(|file| {
        let mut bytes = Vec::new();
        let most = CAP as u64 + 1;
        if path.ends_with(".gz") {
            let unpacked = flate2::read::MultiGzDecoder::new(file);
            unpacked.take(most).read_to_end(&mut bytes)?;
        } else {
            file.take(most).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    });
    match read {
        Ok(mut bytes) => {
            if bytes.len() > CAP {
                bytes.truncate(CAP);
                let text = format!("only its first {CAP} bytes were read");
                sink.gap(path, Reason::Limit, &text)?;
            }
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            sink.gap(path, reason_of(&error), &error.to_string())?;
            Ok(None)
        }
    }
}

fn logins(request: &Request<'_>, path: &str, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let Some(bytes) = read(request, path, sink)? else {
        return Ok(());
    };
    let layout = layout(&bytes);
    let pieces = bytes.chunks_exact(layout.size);
    let left = pieces.remainder().len();
    for (at, piece) in pieces.enumerate() {
        if let Some(mut record) = login(piece, layout) {
            put(&mut record, "source", path);
            put(&mut record, "position", at * layout.size);
            sink.record(record)?;
        }
    }
    if left > 0 && bytes.len() < CAP {
        let text = format!("{left} bytes after the last whole record");
        sink.gap(path, Reason::Malformed, &text)?;
    }
    Ok(())
}

/// Lastlog is indexed by user id and sparse, up to a terabyte: known users are looked up, and the
/// first stretch is read for the users who are no longer known.
fn last_logins(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    const PATH: &str = "/var/log/lastlog";
    const STRETCH: u32 = 16_384;
    let whole = request.root.join(&PATH[1..]);
    let opened = procfs::open_regular(&whole).and_then(|f| Ok((f, procfs::identity(&whole)?)));
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
    let entries = match std::fs::read_dir(request.root.join(&FOLDER[1..])) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return sink.gap(FOLDER, reason_of(&error), &error.to_string()),
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
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
        put(&mut record, "properties", properties);
        sink.record(record)?;
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
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
