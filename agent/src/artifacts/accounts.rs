//! Accounts and groups: a record each from passwd and group, the state (never the hash) of each shadow entry, and the
//! files themselves. Names come from these files alone: no name service is asked, as that would open sockets.

use std::path::{Path, PathBuf};

use evidence::gap::Reason;
use serde_json::{Map, Value};

use super::source::put_bytes;
use super::{Artifact, Field, Record, Request, Sink, Stopped};
use crate::files::{
    OpenError, read_small,
    record::field,
    rules::{Rule, rule, sweep},
};

/// More than any account file in use; what lies beyond is a gap.
const FILE_BYTES: u64 = 8 * 1024 * 1024;

const FIELDS: &[Field] = &[
    field(
        "kind",
        "string",
        "account, group, password_state or malformed",
    ),
    field("name", "string", "name of the account or group"),
    field(
        "name_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field("uid", "integer", "the account's id"),
    field("gid", "integer", "the group's id"),
    field("about", "string", "the account's comment (GECOS)"),
    field(
        "about_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field("home", "string", "home folder"),
    field(
        "home_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field("shell", "string", "login shell"),
    field(
        "shell_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field("members", "array of strings", "the group's members"),
    field(
        "password",
        "string",
        "empty, locked, none, set or in_shadow; never the hash",
    ),
    field(
        "scheme",
        "string",
        "how the password is hashed, by its mark ($6$, $y$, ...)",
    ),
    field(
        "changed_day",
        "integer, days since 1970",
        "last change of the password",
    ),
    field(
        "expires_day",
        "integer, days since 1970",
        "end of the account",
    ),
    field("line", "integer", "line of the file"),
    field("source", "string", "the file"),
];

const RULES: &[Rule] = &[
    rule("/etc/{passwd,group,shadow,gshadow,subuid,subgid}{,-}"),
    rule("/etc/{login.defs,shells,nsswitch.conf,sudoers,doas.conf,adduser.conf}"),
    rule("/etc/sudoers.d/**"),
    rule("/etc/security/**"),
    rule("/var/lib/AccountsService/**"),
    rule("/var/db/sudo/lectured/*"),
    rule("/var/lib/sudo/lectured/*"),
    rule("/run/sudo/ts/*"),
];

/// The artifact.
#[derive(Debug)]
pub struct Accounts;

impl Artifact for Accounts {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn about(&self) -> &'static str {
        "Accounts, groups and the state of their passwords."
    }

    fn files(&self) -> Vec<&'static str> {
        RULES.iter().map(|r| r.pattern).collect()
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let parsers: [(&str, Parse); 3] = [
            ("/etc/passwd", account),
            ("/etc/group", group),
            ("/etc/shadow", shadow),
        ];
        for (path, parse) in parsers {
            match read_small(request.root, Path::new(path), FILE_BYTES) {
                Ok(bytes) => lines(path, &bytes, parse, sink)?,
                Err(error) => sink.gap(path, error.reason(), &error.to_string())?,
            }
        }
        sweep(request.place(), RULES, &[], sink)
    }
}

type Parse = fn(&[&[u8]]) -> Option<Record>;

fn lines(path: &str, bytes: &[u8], parse: Parse, sink: &mut dyn Sink) -> Result<(), Stopped> {
    if bytes.len() as u64 >= FILE_BYTES {
        sink.gap(
            path,
            Reason::Limit,
            "Longer than 8 MiB; no records of what is beyond.",
        )?;
    }
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let parts: Vec<&[u8]> = line.split(|b| *b == b':').collect();
        let mut record = parse(&parts).unwrap_or_else(|| Map::from_iter([kind("malformed")]));
        record.insert("line".to_owned(), (number + 1).into());
        record.insert("source".to_owned(), path.into());
        sink.record(record)?;
    }
    Ok(())
}

fn kind(kind: &str) -> (String, Value) {
    ("kind".to_owned(), kind.into())
}

fn number(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn account(parts: &[&[u8]]) -> Option<Record> {
    let [name, password, uid, gid, about, home, shell] = parts else {
        return None;
    };
    let mut record = Map::from_iter([kind("account")]);
    put_bytes(&mut record, "name", name);
    record.insert("uid".to_owned(), number(uid)?.into());
    record.insert("gid".to_owned(), number(gid)?.into());
    put_bytes(&mut record, "about", about);
    put_bytes(&mut record, "home", home);
    put_bytes(&mut record, "shell", shell);
    put_password(&mut record, password);
    Some(record)
}

fn group(parts: &[&[u8]]) -> Option<Record> {
    let [name, _, gid, members] = parts else {
        return None;
    };
    let mut record = Map::from_iter([kind("group")]);
    put_bytes(&mut record, "name", name);
    record.insert("gid".to_owned(), number(gid)?.into());
    let members: Vec<Value> = members
        .split(|b| *b == b',')
        .filter(|m| !m.is_empty())
        .map(|m| String::from_utf8_lossy(m).into_owned().into())
        .collect();
    record.insert("members".to_owned(), members.into());
    Some(record)
}

fn shadow(parts: &[&[u8]]) -> Option<Record> {
    let [name, password, changed, .., expires, _] = parts else {
        return None;
    };
    let mut record = Map::from_iter([kind("password_state")]);
    put_bytes(&mut record, "name", name);
    put_password(&mut record, password);
    for (key, day) in [("changed_day", changed), ("expires_day", expires)] {
        if let Some(day) = number(day) {
            record.insert(key.to_owned(), day.into());
        }
    }
    Some(record)
}

/// The state of a password field; the hash itself stays in the file.
fn put_password(record: &mut Record, password: &[u8]) {
    let state = match password {
        b"" => "empty",
        b"x" => "in_shadow",
        b"*" | b"!*" | b"!!" | b"!" => "none",
        [b'!', ..] => "locked",
        _ => "set",
    };
    record.insert("password".to_owned(), state.into());
    let mut marks = password.split(|b| *b == b'$').skip(1);
    if let (Some(mark), Some(_)) = (marks.next(), marks.next()) {
        let mark = String::from_utf8_lossy(mark)
            .chars()
            .take(16)
            .collect::<String>();
        record.insert("scheme".to_owned(), mark.into());
    }
}

/// Folders of the system that passwd gives to daemons: no one's home.
const SHARED: &[&str] = &[
    "/",
    "/bin",
    "/sbin",
    "/usr/bin",
    "/usr/sbin",
    "/dev",
    "/proc",
    "/sys",
    "/run",
];

/// Every home folder that passwd names, and root's. Rules for homes look below /home as well.
///
/// # Errors
/// passwd can't be read; the usual homes are known all the same.
pub(crate) fn homes(root: &Path) -> (Vec<PathBuf>, Option<OpenError>) {
    let mut homes = vec![PathBuf::from("/root")];
    let (bytes, error) = match read_small(root, Path::new("/etc/passwd"), FILE_BYTES) {
        Ok(bytes) => (bytes, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    for line in bytes.split(|b| *b == b'\n') {
        if let Some(home) = line.split(|b| *b == b':').nth(5) {
            use crate::platform::names::OsStrExt as _;
            let home = PathBuf::from(std::ffi::OsStr::from_bytes(home));
            let is_shared = SHARED.iter().any(|shared| home == Path::new(shared));
            if home.is_absolute() && !is_shared {
                homes.push(home);
            }
        }
    }
    homes.sort();
    homes.dedup();
    (homes, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::testing::MemorySink;

    fn tree(passwd: &[u8], shadow: &str) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("etc")).unwrap();
        std::fs::write(tree.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(tree.path().join("etc/group"), "adm:x:4:bob,eve\n").unwrap();
        std::fs::write(tree.path().join("etc/shadow"), shadow).unwrap();
        tree
    }

    #[test]
    fn the_hash_stays_out_of_the_records() {
        let tree = tree(
            b"bob:x:1000:1000:,,,:/home/bob:/bin/sh\n",
            "bob:$y$j9T$SECRET:19000:0:99999:7:::\n",
        );
        let sink = MemorySink::run(&Accounts, tree.path(), Value::Null);
        let state = sink
            .records
            .iter()
            .find(|r| r["kind"] == "password_state")
            .unwrap();
        assert_eq!(state["password"], "set");
        assert_eq!(state["scheme"], "y");
        assert_eq!(state["changed_day"], 19000);
        assert!(!format!("{:?}", sink.records).contains("SECRET"));
        assert!(sink.undeclared(&Accounts).is_empty());
        assert!(sink.files.contains(&PathBuf::from("/etc/shadow")));
    }

    #[test]
    fn broken_lines_are_said_to_be_so() {
        let tree = tree(b"\xff:x\n::::::\nroot:x:zero:0::/:/\n\0\n", "x\n:::\n");
        let sink = MemorySink::run(&Accounts, tree.path(), Value::Null);
        let broken = sink
            .records
            .iter()
            .filter(|r| r["kind"] == "malformed")
            .count();
        assert_eq!(broken, 6);
    }
}
