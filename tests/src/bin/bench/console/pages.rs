//! The pages that are measured, and what plain SQLite is asked beside them.

use std::{path::Path, process::Command};

use anyhow::ensure;
use serde::Deserialize;

/// One page.
pub(super) struct Asked {
    /// What it is called.
    pub(super) name: String,
    /// Its address.
    pub(super) path: String,
    /// What must stand in it, lest an error were measured.
    pub(super) holds: String,
    /// The same question in SQL, where it makes sense.
    pub(super) sql: Option<String>,
}

fn asked(name: &str, path: &str, holds: &str, sql: Option<&str>) -> Asked {
    Asked {
        name: name.to_owned(),
        path: path.to_owned(),
        holds: holds.to_owned(),
        sql: sql.map(str::to_owned),
    }
}

const HASHES: &str = "/case/table?case=BENCH&source=file_hashes";

/// All of them.
///
/// # Errors
/// The database can't be asked how long its tables are.
pub(super) fn all(database: &Path) -> anyhow::Result<Vec<Asked>> {
    let known = Known::read(database)?;
    let mut pages = at_a_glance(&known.collection);
    pages.extend(tables(known.middle));
    pages.extend(filters(&known.host));
    pages.extend(searches());
    pages.extend(timelines());
    Ok(pages)
}

/// What of the case must be known to ask for some of its pages.
#[derive(Deserialize)]
struct Known {
    /// The number of a row in the middle of the longest table.
    middle: i64,
    /// One collection.
    collection: String,
    /// Its host.
    host: String,
}

impl Known {
    fn read(database: &Path) -> anyhow::Result<Self> {
        let script = "import json, sqlite3, sys\n\
            base = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)\n\
            one = lambda sql: base.execute(sql).fetchone()\n\
            middle = one('SELECT max(row_id) / 2 FROM file_hashes')[0]\n\
            collection, host = one('SELECT collection, host FROM collections ORDER BY host LIMIT 1')\n\
            print(json.dumps(dict(middle=middle, collection=collection, host=host)))\n";
        let mut python = Command::new("python3");
        let output = python.args(["-c", script]).arg(database).output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// A value in a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

fn at_a_glance(collection: &str) -> Vec<Asked> {
    let collection = encoded(collection);
    vec![
        asked("the cases", "/cases", "BENCH", None),
        asked(
            "the case: counts of all tables",
            "/case?case=BENCH",
            "file_hashes",
            None,
        ),
        asked(
            "the processes of one host as a tree",
            &format!("/case/processes?case=BENCH&collection={collection}"),
            "worker-",
            None,
        ),
        asked(
            "one record",
            "/case/record?case=BENCH&source=file_hashes&row=1000",
            "member_",
            Some("SELECT * FROM file_hashes WHERE row_id = 1000"),
        ),
    ]
}

fn tables(middle: i64) -> Vec<Asked> {
    let mut all = vec![
        asked(
            "a table, first page",
            HASHES,
            "member_",
            Some(
                "SELECT row_id, host, path, size_bytes, modified, sha256 FROM file_hashes ORDER BY row_id LIMIT 101",
            ),
        ),
        asked(
            "a table, a page in its middle",
            &format!("{HASHES}&row={middle}&after=null&second=null"),
            "member_",
            Some(&format!(
                "SELECT row_id, host, path, size_bytes, modified, sha256 FROM file_hashes WHERE row_id > {middle} \
                 ORDER BY row_id LIMIT 101"
            )),
        ),
        asked(
            "sorted by sha256, a page in its middle",
            &format!("{HASHES}&sort=sha256&after=%2280%22&second=%22%22&row=0"),
            "member_",
            Some(
                "SELECT row_id, host, path, size_bytes, modified, sha256 FROM file_hashes WHERE sha256 > '80' \
                 ORDER BY sha256 LIMIT 101",
            ),
        ),
        asked(
            "sorted by path, a page in its middle",
            &format!(
                "{HASHES}&sort=path&after=%22%2Fusr%2Fshare%2Fpackage-5%22&second=%22%22&row=0"
            ),
            "member_",
            None,
        ),
    ];
    for (source, columns) in [
        (
            "file_hashes",
            &["host", "path", "size_bytes", "modified", "sha256"][..],
        ),
        (
            "files",
            &[
                "host",
                "path",
                "size_bytes",
                "modified",
                "changed",
                "sha256",
            ],
        ),
        (
            "processes",
            &["host", "pid", "name", "user", "start_time", "exe"],
        ),
    ] {
        for column in columns {
            for (desc, way) in [("", "ASC"), ("&desc=yes", "DESC")] {
                all.push(asked(
                    &format!("{source} sorted by {column} {way}"),
                    &format!("/case/table?case=BENCH&source={source}&sort={column}{desc}"),
                    "aria-sort",
                    Some(&format!(
                        "SELECT row_id, * FROM {source} ORDER BY {column} {way} LIMIT 101"
                    )),
                ));
            }
        }
    }
    all
}

fn filters(host: &str) -> Vec<Asked> {
    let filter = |name: &str, what: &str, holds: &str, sql: Option<&str>| {
        asked(
            &format!("filter: {name}"),
            &format!("{HASHES}&{what}"),
            holds,
            sql,
        )
    };
    vec![
        filter(
            "a path is",
            "column=path&op=is&value=%2Fusr%2Fshare%2Fpackage-7%2Fmodules%2Funit-7%2Fmember_7.so",
            "member_7.so",
            Some(
                "SELECT * FROM file_hashes WHERE path = '/usr/share/package-7/modules/unit-7/member_7.so'",
            ),
        ),
        filter(
            "paths begin so (many), sorted by sha256",
            "column=path&op=begins&value=%2Fusr%2Fshare%2Fpackage-1&sort=sha256",
            "Records whose",
            None,
        ),
        filter(
            "a word that many have",
            "column=path&op=contains&value=member_4",
            "Records whose",
            None,
        ),
        filter(
            "a word that none has",
            "column=path&op=contains&value=nowhere",
            "Records whose",
            Some("SELECT * FROM file_hashes WHERE path LIKE '%nowhere%' LIMIT 101"),
        ),
        filter(
            "a word that none has, sorted by path",
            "column=path&op=contains&value=nowhere&sort=path",
            "Records whose",
            None,
        ),
        filter(
            "larger than, sorted by time",
            "column=size_bytes&op=atleast&value=90000&sort=modified&desc=yes",
            "member_",
            None,
        ),
        filter(
            "one host, sorted by path",
            &format!("column=host&op=is&value={}&sort=path", encoded(host)),
            "Records whose",
            None,
        ),
    ]
}

fn searches() -> Vec<Asked> {
    let search = |name: &str, words: &str, holds: &str, sql: Option<&str>| {
        asked(
            &format!("search: {name}"),
            &format!("/case/search?case=BENCH&words={words}"),
            holds,
            sql,
        )
    };
    let matches = |what: &str| {
        format!("SELECT rowid FROM search WHERE search MATCH '{what}' ORDER BY rowid LIMIT 101")
    };
    vec![
        search(
            "a word that all have",
            "modules",
            "member_",
            Some(&matches("modules")),
        ),
        search("a word that few have", "shard%3D777", "worker-", None),
        search(
            "two words that many have",
            "modules+member_7",
            "member_7",
            Some(&matches("modules \"member_7\"")),
        ),
        search("a phrase", "%22package+7+modules%22", "member_", None),
        search(
            "the beginning of a word",
            "pack*",
            "member_",
            Some(&matches("pack*")),
        ),
        search("a word that none has", "nowhere", "No record", None),
    ]
}

fn timelines() -> Vec<Asked> {
    let line = |name: &str, query: &str, sql: Option<&str>| {
        let path = format!("/case/timeline?case=BENCH{query}");
        asked(&format!("timeline: {name}"), &path, "events</span>", sql)
    };
    let zoom = |from: &str, to: &str| format!("&from={from}T00:00:00Z&to={to}T00:00:00Z");
    vec![
        line(
            "all of it",
            "",
            Some("SELECT substr(modified, 1, 10), count(*) FROM file_hashes GROUP BY 1"),
        ),
        line("a year of it", &zoom("2026-01-01", "2026-11-20"), None),
        line("a month of it", &zoom("2026-10-20", "2026-11-20"), None),
        line(
            "a day of it",
            &zoom("2026-11-18", "2026-11-19"),
            Some(
                "SELECT count(*) FROM file_hashes WHERE modified >= '2026-11-18' AND modified < '2026-11-19'",
            ),
        ),
    ]
}
