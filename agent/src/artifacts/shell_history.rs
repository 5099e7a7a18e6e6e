//! Histories of shells and tools in every home, root's among them, and the start-up files that can move or silence
//! a history.

use super::{Artifact, Extent, Field, Request, Sink, Stopped};
use crate::{
    artifacts::accounts::homes,
    files::{
        record::field,
        rules::{Rule, rule, sweep},
    },
};

/// Each is looked for in every home and one folder below it (`.mysql_history` of a service lies so).
const RULES: &[Rule] = &[
    rule("~/.*history*"),
    rule("~/*/.*history*"),
    rule("~/.*[akz]sh*"),
    rule("~/*/.*[akz]sh*"),
    rule("~/.*rc"),
    rule("~/*/.*rc"),
    rule("~/.*_logout"),
    rule("~/.{profile,login,logout,zshenv,zprofile,zlogin,cshrc,tcshrc,kshrc,mkshrc}"),
    rule("~/.bash_sessions/**"),
    rule("~/.zsh_sessions/**"),
    rule(
        "~/.local/share/{fish,ion,xonsh,osh,elvish,nushell,powershell}/**/*{history,hist,.json,.db}*",
    ),
    rule("~/.local/share/powershell/PSReadLine/*"),
    rule("~/.local/state/{bash,zsh,less}/*"),
    rule("~/.config/{fish,elvish,ion,xonsh,nushell,powershell}/**"),
    rule("~/.elvish/**"),
    rule(
        "~/.{viminfo,nviminfo,lesshst,lesshist,wget-hsts,selected_editor,gitconfig,sqlite_history,rediscli_history}",
    ),
    rule("~/.{lastlogin,recently-used,xsession-errors,xsession-errors.old}"),
    rule("~/.local/share/{nano,recently-used.xbel,nvim}/**"),
    rule("~/.local/share/recently-used.xbel"),
    rule("~/.local/share/Trash/info/*"),
    rule("~/.local/share/gvfs-metadata/*"),
    rule("~/.nano/*"),
    rule("~/.config/**"),
];

/// The artifact.
#[derive(Debug)]
pub struct ShellHistory;

impl Artifact for ShellHistory {
    fn name(&self) -> &'static str {
        "shell_history"
    }

    fn about(&self) -> &'static str {
        "Histories and start-up files of shells and tools in every home."
    }

    fn files(&self) -> Vec<&'static str> {
        RULES.iter().map(|r| r.pattern).collect()
    }

    fn extent(&self) -> Extent {
        Extent::Files
    }

    fn fields(&self) -> &'static [Field] {
        HISTFILE_FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let (homes, error) = homes(request.root);
        if let Some(error) = error {
            let text = format!("{error} Homes other than root's are missing.");
            sink.gap("/etc/passwd", error.reason(), &text)?;
        }
        sweep(request.place(), RULES, &homes, sink)?;
        moved::collect(request, &homes, sink)
    }
}

const HISTFILE_FIELDS: &[Field] = &[
    field("path", "string", "the start-up file"),
    field(
        "path_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field("uid", "integer", "its owner"),
    field("modified", "string, RFC 3339", "its mtime"),
    field("changed", "string, RFC 3339", "its ctime"),
    field("line", "integer", "its line"),
    field(
        "setting",
        "string",
        "the line that moves or silences a history",
    ),
    field(
        "setting_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
];

/// Histories that a start-up file sends elsewhere or switches off.
mod moved {
    use std::{
        collections::BTreeSet,
        io::Read as _,
        path::{Path, PathBuf},
    };

    use serde_json::Map;

    use crate::platform::names::OsStrExt as _;
    use crate::{
        artifacts::{
            Request, Sink, Stopped,
            source::{put, put_bytes, time},
        },
        files::{Bounds, Kind, OpenError, Outside, Stat, open::open_parent, resolve},
    };

    const STARTUP: &[&str] = &[
        ".bashrc",
        ".profile",
        ".bash_profile",
        ".bash_login",
        ".zshrc",
        ".zshenv",
        ".kshrc",
        ".mkshrc",
    ];
    const SYSTEM: &[&str] = &[
        "/etc/profile",
        "/etc/bash.bashrc",
        "/etc/bashrc",
        "/etc/zsh/zshrc",
        "/etc/environment",
    ];
    const FILE_BYTES: u64 = 1024 * 1024;

    /// A start-up file.
    struct Startup<'a> {
        path: &'a Path,
        home: &'a Path,
        stat: Stat,
        bytes: Vec<u8>,
    }

    pub(super) fn collect(
        request: &Request<'_>,
        homes: &[PathBuf],
        sink: &mut dyn Sink,
    ) -> Result<(), Stopped> {
        for path in SYSTEM.iter().map(Path::new) {
            match read(request, path) {
                Ok(Ok((stat, bytes))) => {
                    let home = Path::new("/root");
                    let startup = Startup {
                        path,
                        home,
                        stat,
                        bytes,
                    };
                    one(request, &startup, sink)?;
                }
                Ok(Err(why)) => sink.out_of_scope(why, 1),
                Err(_) => {}
            }
        }
        // A home behind a link is told where it is, as the sweep tells it.
        let led = |home: &PathBuf| resolve(request.root, home).unwrap_or_else(|_| home.clone());
        let homes: BTreeSet<PathBuf> = homes.iter().map(led).collect();
        for home in &homes {
            for path in STARTUP.iter().map(|name| home.join(name)) {
                // The sweep above says what can't be read, and counts what the scope leaves out.
                if let Ok(Ok((stat, bytes))) = read(request, &path) {
                    let path = &path;
                    let startup = Startup {
                        path,
                        home,
                        stat,
                        bytes,
                    };
                    one(request, &startup, sink)?;
                }
            }
        }
        Ok(())
    }

    /// What a start-up file is and holds, its links followed; or why the order's scope leaves it unopened.
    fn read(
        request: &Request<'_>,
        path: &Path,
    ) -> Result<Result<(Stat, Vec<u8>), Outside>, OpenError> {
        let (root, bounds) = request.place();
        let within = |path: &Path| bounds.map_or(Ok(()), |b| b.path(path));
        // Looked at first: only what is there is left out.
        let own = resolve(root, path)?;
        let (folder, name) = open_parent(root, &own)?;
        let looked = folder.look(&name)?;
        let judge = |bounds: &Bounds| {
            bounds.links(root, path)?;
            bounds.file(&looked)
        };
        let judged = within(path)
            .and_then(|()| within(&own))
            .and_then(|()| bounds.map_or(Ok(()), judge));
        if let Err(why) = judged {
            return Ok(Err(why));
        }
        let opened = folder.open(&name, &looked)?;
        let mut bytes = Vec::new();
        let read = opened.file.take(FILE_BYTES).read_to_end(&mut bytes);
        // What came before the fault is as good as what a short file holds.
        let _whole = read.is_ok();
        Ok(Ok((opened.before, bytes)))
    }

    fn one(
        request: &Request<'_>,
        startup: &Startup<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Stopped> {
        for (number, line) in startup.bytes.split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            let names = |word: &[u8]| line.windows(word.len()).any(|w| w == word);
            if line.starts_with(b"#")
                || !(names(b"HISTFILE") || names(b"HISTSIZE") || names(b"set +o history"))
            {
                continue;
            }
            let stat = &startup.stat;
            let mut record = Map::new();
            put_bytes(&mut record, "path", startup.path.as_os_str().as_bytes());
            put(&mut record, "uid", stat.uid);
            for (key, at) in [("modified", stat.modified), ("changed", stat.changed)] {
                put(&mut record, key, time(at.seconds, at.ns));
            }
            put(&mut record, "line", number + 1);
            put_bytes(&mut record, "setting", line);
            sink.record(record)?;
            if let Some(to) = target(line, startup.home) {
                take(request, &to, sink)?;
            }
        }
        Ok(())
    }

    /// Takes a history that lies elsewhere, where it is there at all. It is only looked at: the sink judges and opens it.
    fn take(request: &Request<'_>, path: &Path, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let (root, bounds) = request.place();
        if let Some(Err(why)) = bounds.map(|b| b.path(path)) {
            sink.out_of_scope(why, 1);
            return Ok(());
        }
        let looked = open_parent(root, path).and_then(|(folder, name)| folder.look(&name));
        match looked {
            Ok(stat) if stat.kind == Kind::File => sink.file(path),
            _ => Ok(()),
        }
    }

    /// Where `HIST FILE=...` leads; only a plain path, `~` or `$HOME` is understood.
    pub(super) fn target(line: &[u8], home: &Path) -> Option<PathBuf> {
        let at = line.windows(9).position(|w| w == b"HISTFILE=")?;
        let value = &line[at + 9..];
        let end = value
            .iter()
            .position(|b| b" ;&|\t".contains(b))
            .unwrap_or(value.len());
        let value: Vec<u8> = value[..end]
            .iter()
            .copied()
            .filter(|b| !b"\"'".contains(b))
            .collect();
        for prefix in [&b"~/"[..], b"$HOME/", b"${HOME}/"] {
            if let Some(rest) = value.strip_prefix(prefix) {
                return Some(home.join(std::ffi::OsStr::from_bytes(rest)));
            }
        }
        let is_plain =
            value.starts_with(b"/") && !value.contains(&b'$') && !value.starts_with(b"/dev/");
        is_plain.then(|| PathBuf::from(std::ffi::OsStr::from_bytes(&value)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::artifacts::testing::MemorySink;

    #[test]
    fn a_moved_history_is_found() {
        let tree = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = tree.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("etc/passwd", "bob:x:1:1::/srv/bob:/bin/sh\n");
        put(
            "srv/bob/.bashrc",
            "x=1\nexport HISTFILE=\"$HOME/kept/h\"; x\nunset HISTFILE\n",
        );
        put("srv/bob/kept/h", "rm -rf /\n");
        put("root/.bash_history", "id\n");
        let sink = MemorySink::run(&ShellHistory, tree.path(), serde_json::Value::Null);
        for path in ["/srv/bob/kept/h", "/srv/bob/.bashrc", "/root/.bash_history"] {
            assert!(sink.files.contains(&PathBuf::from(path)), "{path}");
        }
        assert_eq!(sink.records.len(), 2);
        assert!(sink.undeclared(&ShellHistory).is_empty());
    }

    #[test]
    fn only_plain_targets_are_followed() {
        let target = |line: &[u8]| moved::target(line, Path::new("/h"));
        assert_eq!(target(b"HISTFILE=~/x"), Some(PathBuf::from("/h/x")));
        assert_eq!(target(b"HISTFILE=/dev/null"), None);
        assert_eq!(target(b"HISTFILE=/x/$(id)"), None);
        assert_eq!(target(b"unset HISTFILE"), None);
    }
}
