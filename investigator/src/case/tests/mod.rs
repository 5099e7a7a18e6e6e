//! Cases out of real archives: what is loaded, what is not, and what can be read of it.

mod document;
mod loading;
mod reading;
mod refusing;
mod unknown;

use std::path::{Path, PathBuf};

use evidence::verify::Options;

use super::{
    load::Outcome,
    read::{Database, Rows, Value},
    testing::{self, Draft},
};

/// A folder with evidence and a database.
struct Stage {
    dir: tempfile::TempDir,
    options: Options,
}

impl Stage {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            options: Options {
                trust: testing::trust(),
                ..Options::default()
            },
        }
    }

    fn evidence(&self) -> PathBuf {
        self.dir.path().join("evidence")
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("case.sqlite")
    }

    fn load(&self) -> Outcome {
        testing::load(&self.evidence(), &self.database(), &self.options)
    }

    /// Strangers are let in.
    fn load_unknown(&self) -> Outcome {
        testing::load_from(&self.evidence(), &self.database(), &self.options, true)
    }

    fn open(&self) -> Database {
        Database::open_read(&self.database()).unwrap()
    }

    fn query(&self, sql: &str) -> Vec<Vec<Value>> {
        query(&self.open(), sql).unwrap()
    }

    fn number(&self, sql: &str) -> i64 {
        match self.query(sql).as_slice() {
            [row] => match row.as_slice() {
                [Value::Integer(number)] => *number,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

#[derive(Default)]
struct All(Vec<Vec<Value>>);

impl Rows for All {
    fn columns(&mut self, _: &[String]) -> anyhow::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: Vec<Value>) -> anyhow::Result<bool> {
        self.0.push(values);
        Ok(true)
    }
}

fn query(database: &Database, sql: &str) -> anyhow::Result<Vec<Vec<Value>>> {
    let mut all = All::default();
    database.query(sql, &mut all)?;
    Ok(all.0)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Two hosts: processes, sessions, hashes, files, a gap.
fn two_hosts(stage: &Stage) {
    for (number, name) in [(1, "web-1"), (2, "db-1")] {
        let hidden = format!(
            r#"{{"pid":4,"ppid":2,"name":"kworker","exe":"/tmp/.x/miner","cmdline":["miner","--pool=evil.example"],"start_time":"2026-11-19T0{number}:00:00.000000000Z","hidden":true}}"#
        );
        let draft = Draft {
            collection: number,
            host: number,
            agent: number,
            hostname: name.to_owned(),
            gaps: 1,
            ..Draft::default()
        };
        draft
            .result(
                "processes",
                &[
                    r#"{"pid":1,"ppid":0,"name":"init","exe":"/sbin/init","start_time":"2026-11-01T00:00:00.000000000Z"}"#,
                    r#"{"pid":2,"ppid":1,"name":"sshd","exe":"/usr/sbin/sshd","start_time":"2026-11-02T00:00:00.000000000Z"}"#,
                    &hidden,
                ],
            )
            .result(
                "sessions",
                &[r#"{"source":"/var/log/wtmp","user":"root","host":"10.0.0.9","line":"pts/0","time":"2026-11-18T23:59:59.000000001Z"}"#],
            )
            .result(
                "running_executables",
                &[&format!(r#"{{"exe":"/tmp/.x/miner","sha256":"{}","pids":[4]}}"#, "ab".repeat(32))],
            )
            .file(b"/var/log/auth.log", b"Accepted publickey for root\n")
            .file(b"/var/log/odd-\xff", b"x")
            .make(&stage.evidence());
    }
}
