//! The console over a large case: each page of the evidence browser by real HTTP, cold and warm, and the same question
//! put to plain SQLite beside it.

mod http;
mod pages;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use evidence::wrap::Identity;
use fieldseal_tests::{browser, stage::Stage};
use rustix::fs::{Advice, fadvise};

use self::{http::Http, pages::Asked};
use crate::{
    case::archive::{Maker, Shape},
    hashing::megabytes,
    report::{Section, median},
};

/// No page may take longer.
const GOAL_MS: f64 = 1_000.0;
/// Records of one host.
const A_HOST: u32 = 100_000;
const CASE: &str = "BENCH";

/// Measures with `records` records; the database is kept below `work` for the next time.
///
/// # Errors
/// The case can't be made, or the console does not serve a page.
pub(crate) fn measure(work: &Path, records: u32, runs: u32) -> anyhow::Result<Section> {
    let work = work.join("console");
    fs::create_dir_all(&work)?;
    let mut section = Section::new(format!(
        "The console: a case of {records} records, each page by HTTP"
    ));
    let stage = stage(&work)?;
    let database = database(&stage, &work, records, &mut section)?;
    let home = stage.path("home/cases");
    fs::create_dir_all(&home)?;
    let served = home.join(format!("{CASE}.sqlite"));
    fs::hard_link(&database, &served)?;
    section.note(format!(
        "the database has {:.0} MB",
        megabytes(fs::metadata(&served)?.len())
    ));
    let (running, url) = browser::console(&stage, "home")?;
    let http = Http::enter(&url)?;
    let mut slowest = [(0.0, String::new()), (0.0, String::new())];
    for asked in pages::all(&served)? {
        let (cold, warm) = ask(&http, &served, &asked, runs, &mut section)?;
        for (worst, took) in slowest.iter_mut().zip([cold, warm]) {
            if took > worst.0 {
                *worst = (took, asked.name.clone());
            }
        }
    }
    running.stop()?;
    let [cold, warm] = slowest;
    section.note(format!("slowest: cold {}, warm {}", cold.1, warm.1));
    section.at_most("the slowest page, cold", "ms", cold.0, GOAL_MS);
    section.at_most("the slowest page, warm", "ms", warm.0, GOAL_MS);
    Ok(section)
}

fn quiet(_: &str) {}

/// A deployment to start the console in: it works for a person, and asks a server who that is.
fn stage(work: &Path) -> anyhow::Result<Stage> {
    let dir = work.join("stage");
    let _ = fs::remove_dir_all(&dir);
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    Stage::deployed(&dir, quiet, &people, &[], "bench")
}

/// The case, made by the real loader from sealed and encrypted evidence, or of the time before.
fn database(
    stage: &Stage,
    work: &Path,
    records: u32,
    section: &mut Section,
) -> anyhow::Result<PathBuf> {
    let database = work.join(format!("case-{records}.sqlite"));
    if database.exists() {
        section.note("the case is that of an earlier run");
        return Ok(database);
    }
    let (evidence, vault) = (work.join("evidence"), Identity::generate());
    let _ = fs::remove_dir_all(&evidence);
    let identity = work.join("vault.txt");
    fs::write(&identity, vault.to_text().as_bytes())?;
    let mut maker = Maker::new(&evidence, &vault, None)?;
    let mut left = records;
    for host in 0.. {
        if left == 0 {
            break;
        }
        let now = left.min(A_HOST);
        maker.host(host, Shape::bulk(now))?;
        left -= now;
    }
    let unfinished = database.with_extension("unfinished");
    let _ = fs::remove_file(&unfinished);
    let start = Instant::now();
    let loaded = stage
        .command("fieldseal")
        .arg("--home")
        .arg(work.join("loader"))
        .arg("load")
        .arg(&evidence)
        .args(["--allow-unknown", "--identity"])
        .arg(&identity)
        .arg("--database")
        .arg(&unfinished)
        .output()?;
    ensure!(loaded.status.code() == Some(2), "{loaded:?}");
    let rate = f64::from(records) / start.elapsed().as_secs_f64();
    section.figure("loading it, once", "rec/s", vec![rate]);
    fs::rename(&unfinished, &database)?;
    fs::remove_dir_all(&evidence)?;
    Ok(database)
}

/// The middle of several visits, cold and warm, and the same in plain SQLite.
fn ask(
    http: &Http,
    database: &Path,
    asked: &Asked,
    runs: u32,
    section: &mut Section,
) -> anyhow::Result<(f64, f64)> {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        forget(database)?;
        cold.push(visit(http, asked)?);
        warm.push(visit(http, asked)?);
    }
    let cold = section.figure(format!("{}, cold", asked.name), "ms", cold);
    let warm = section.figure(format!("{}, warm", asked.name), "ms", warm);
    if let Some(sql) = &asked.sql {
        match plain(database, sql, runs)? {
            None => section.skip("sqlite3 is not there, to put the same questions to it"),
            Some(took) => {
                let name = format!("{}: ratio to plain sqlite3", asked.name);
                section.figure(name, "x", vec![warm / took]);
            }
        }
    }
    Ok((cold, warm))
}

fn visit(http: &Http, asked: &Asked) -> anyhow::Result<f64> {
    let start = Instant::now();
    let page = http.get(&asked.path)?;
    let took = start.elapsed().as_secs_f64() * 1_000.0;
    ensure!(
        page.contains(&asked.holds),
        "{} does not hold {:?}: {page}",
        asked.path,
        asked.holds
    );
    Ok(took)
}

/// Takes the file out of the system's memory.
fn forget(database: &Path) -> anyhow::Result<()> {
    let file = File::open(database)?;
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed).context("the file's pages stay in memory")
}

/// The time of the whole program, without that of one that asks nothing.
fn plain(database: &Path, sql: &str, runs: u32) -> anyhow::Result<Option<f64>> {
    let timed = |sql: &str| -> anyhow::Result<Option<f64>> {
        let mut took = Vec::new();
        for _ in 0..runs.max(3) {
            let mut command = Command::new("sqlite3");
            command.arg("-readonly").arg(database).arg(sql);
            let start = Instant::now();
            let Ok(output) = command.output() else {
                return Ok(None);
            };
            ensure!(output.status.success(), "{sql}: {output:?}");
            took.push(start.elapsed().as_secs_f64() * 1_000.0);
        }
        Ok(Some(median(&took)))
    };
    let (Some(nothing), Some(all)) = (timed("SELECT 1")?, timed(sql)?) else {
        return Ok(None);
    };
    Ok(Some((all - nothing).max(0.1)))
}
