//! A case's database: records a second from sealed evidence to searchable rows, memory, and the time of a hunt's sum.

pub(crate) mod archive;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use evidence::wrap::Identity;

use self::archive::{Maker, Shape};
use crate::{
    hashing::megabytes,
    process::{self, Run},
    report::{Section, median},
};

const RATE_GOAL: (f64, f64) = (50_000.0, 35_000.0);
const MEMORY_GOAL: f64 = 512.0;
const HUNT_GOAL: f64 = 500.0;
const LOOK_UP_GOAL: f64 = 50.0;
const HUNTED_HOSTS: u32 = 5_000;
const ROWS_EACH: u32 = 20;

/// Rows are inserted from the plain lines by the SQLite in Python's library: no check, no index, no search.
const PEER: &str = "
import json, sqlite3, sys
lines, base = sys.argv[1:]
db = sqlite3.connect(base)
db.execute('PRAGMA journal_mode = WAL')
db.execute('PRAGMA synchronous = NORMAL')
keys = ['path', 'type', 'size_bytes', 'mode', 'uid', 'gid', 'links', 'device', 'inode', 'accessed', 'modified', 'changed',
        'born', 'sha256', 'read_bytes']
db.execute('CREATE TABLE t (%s)' % ', '.join(keys))
rows = (tuple(r.get(k) for k in keys) for r in map(json.loads, open(lines)))
db.executemany('INSERT INTO t VALUES (%s)' % ', '.join('?' * len(keys)), rows)
db.commit()
";

/// Measures with `records` records.
///
/// # Errors
/// The evidence can't be made, or the program fails on it.
pub(crate) fn measure(
    program: &Path,
    work: &Path,
    records: u32,
    runs: u32,
) -> anyhow::Result<Section> {
    let bench = Bench::new(program, work)?;
    let mut section = Section::new(format!("A case's database: {records} records, encrypted"));
    bench.bulk(records, runs, &mut section)?;
    bench.hunt(runs, &mut section)?;
    Ok(section)
}

struct Bench<'p> {
    program: &'p Path,
    work: PathBuf,
    vault: Identity,
}

impl<'p> Bench<'p> {
    fn new(program: &'p Path, work: &Path) -> anyhow::Result<Self> {
        let work = work.join("case");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work)?;
        let vault = Identity::generate();
        fs::write(work.join("vault.txt"), vault.to_text().as_bytes())?;
        Ok(Self {
            program,
            work,
            vault,
        })
    }

    /// One host with all the records.
    fn bulk(&self, records: u32, runs: u32, section: &mut Section) -> anyhow::Result<()> {
        let evidence = self.work.join("bulk");
        let lines = self.work.join("lines.jsonl");
        let mut maker = Maker::new(&evidence, &self.vault, Some(&lines))?;
        let made = maker.host(0, Shape::bulk(records))?;
        section.note(format!(
            "{} parts with {:.0} MB of record files",
            made.parts,
            megabytes(made.record_bytes)
        ));
        let (mut rates, mut memory, mut checks, mut peers) = (vec![], vec![], vec![], vec![]);
        let mut last = 0;
        for _ in 0..runs {
            let (database, run) = self.load(&evidence)?;
            rates.push(made.records as f64 / run.seconds);
            memory.push(megabytes(run.peak_bytes));
            last = fs::metadata(&database)?.len();
            let mut verify = self.fieldseal(&["verify"]);
            verify
                .arg(&evidence)
                .arg("--identity")
                .arg(self.work.join("vault.txt"));
            checks.push(process::run(verify, &[0, 2])?.seconds);
            if let Some(run) = self.peer(&lines)? {
                peers.push(f64::from(made.hashes) / run.seconds);
            }
        }
        let rate = section.figure("verified, loaded, indexed, searchable", "rec/s", rates);
        section.figure("of it: verifying alone (fieldseal verify)", "s", checks);
        let peak = section.figure("memory at its peak", "MB", memory);
        section.figure("the database", "MB", vec![megabytes(last)]);
        if peers.is_empty() {
            section.skip("python3 is not there, to insert the same lines by itself");
        } else {
            let name = "python3's sqlite3: file hashes inserted, nothing else";
            let peer = section.figure(name, "rec/s", peers);
            section.figure("ratio to it", "x", vec![rate / peer]);
        }
        section.at_least("records a second", "rec/s", rate, RATE_GOAL.0, RATE_GOAL.1);
        section.at_most("memory of a load", "MB", peak, MEMORY_GOAL);
        Ok(())
    }

    /// Many hosts with a few records each, and what is asked of them.
    fn hunt(&self, runs: u32, section: &mut Section) -> anyhow::Result<()> {
        let evidence = self.work.join("hunt");
        let mut maker = Maker::new(&evidence, &self.vault, None)?;
        for host in 0..HUNTED_HOSTS {
            maker.host(host, Shape::hunt(ROWS_EACH))?;
        }
        let (database, run) = self.load(&evidence)?;
        let rate = f64::from(HUNTED_HOSTS) / run.seconds;
        section.figure(
            format!("a hunt of {HUNTED_HOSTS} hosts loaded"),
            "hosts/s",
            vec![rate],
        );
        section.figure("memory at its peak", "MB", vec![megabytes(run.peak_bytes)]);
        let nothing = self.ask(&database, "SELECT 1", runs)?;
        section.note(format!(
            "starting the program and opening the case takes {nothing:.1} ms of each"
        ));
        let sum = "SELECT sha256, count(DISTINCT host) AS hosts FROM running_executables GROUP BY sha256 ORDER BY hosts";
        let sum = self.timed(
            &database,
            "a sum over all: on how many hosts is each program",
            sum,
            runs,
            section,
        )?;
        let one = format!(
            "SELECT count(DISTINCT host) FROM running_executables WHERE sha256 = '{}'",
            archive::digest(7)
        );
        let one = self.timed(
            &database,
            "on how many hosts is this one",
            &one,
            runs,
            section,
        )?;
        let by_host = "SELECT host, sum(rows) FROM part_rows WHERE source = 'running_executables' GROUP BY host";
        self.timed(&database, "rows of each host", by_host, runs, section)?;
        section.at_most("a hunt's sum", "ms", sum - nothing, HUNT_GOAL);
        section.at_most("a digest on 5,000 hosts", "ms", one - nothing, LOOK_UP_GOAL);
        Ok(())
    }

    fn load(&self, evidence: &Path) -> anyhow::Result<(PathBuf, Run)> {
        let database = self.work.join("case.sqlite");
        let _ = fs::remove_file(&database);
        let mut load = self.fieldseal(&["load"]);
        load.arg(evidence).arg("--database").arg(&database);
        load.arg("--identity").arg(self.work.join("vault.txt"));
        // Nobody vouches for a bench's seals: loaded, with that reservation.
        load.arg("--allow-unknown");
        let run = process::run(load, &[2])?;
        Ok((database, run))
    }

    fn timed(
        &self,
        database: &Path,
        name: &str,
        sql: &str,
        runs: u32,
        section: &mut Section,
    ) -> anyhow::Result<f64> {
        let took = self.ask(database, sql, runs)?;
        Ok(section.figure(name, "ms", vec![took]))
    }

    /// The middle of several runs of the whole program, in milliseconds.
    fn ask(&self, database: &Path, sql: &str, runs: u32) -> anyhow::Result<f64> {
        let mut took = Vec::new();
        for _ in 0..runs.max(3) {
            let mut query = self.fieldseal(&["query"]);
            query.arg(database).arg(sql).arg("--json");
            let start = Instant::now();
            let output = query.output().context("fieldseal can't be started")?;
            took.push(start.elapsed().as_secs_f64() * 1_000.0);
            ensure!(
                output.status.success() && !output.stdout.is_empty(),
                "{sql}: {output:?}"
            );
        }
        Ok(median(&took))
    }

    fn peer(&self, lines: &Path) -> anyhow::Result<Option<Run>> {
        let there = Command::new("python3").arg("--version").output();
        if !there.is_ok_and(|output| output.status.success()) {
            return Ok(None);
        }
        let base = self.work.join("peer.sqlite");
        let _ = fs::remove_file(&base);
        let mut insert = Command::new("python3");
        insert.args(["-c", PEER]).arg(lines).arg(&base);
        process::run(insert, &[0]).map(Some)
    }

    fn fieldseal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command
            .arg("--home")
            .arg(self.work.join("home"))
            .args(arguments);
        command
    }
}
