//! Loads evidence into the databases of its cases: verified first, a part whole or not at all, each part once.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use anyhow::Context as _;
use evidence::{
    instant::Instant,
    verify::{Options, PartReport, Verdict},
};
use rusqlite::{Connection, params};
use serde::Serialize;

pub use super::verified::Refused;
use super::{
    catalog::Catalog,
    file, indexes,
    lines::Tally,
    part::{self, Genuine, Standing},
    schema,
    verified::{self, Judged},
};
use crate::home::Home;

/// So many rows go into one transaction; a part is never cut.
const ROWS_AT_ONCE: u64 = 200_000;
/// What new evidence grows to in a database, at least: where it outgrows what is there, indexes are made anew.
const GROWTH: u64 = 4;

/// Where the databases are.
#[derive(Debug, Clone)]
pub enum Place {
    /// In the tool's folder, one for each case.
    Home(Home),
    /// In this one file.
    File(PathBuf),
}

/// What loading has done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// Parts that are new.
    pub loaded: u64,
    /// Parts that were there already.
    pub kept: u64,
    /// Records that are new.
    pub records: u64,
    /// Lines that are no records; each stands in `load_faults`.
    pub faults: u64,
    /// Of those that are new or were there: genuine, with reservations.
    pub reserved: u64,
    /// Of those that are new or were there: nothing shows who sealed them.
    pub unknown: u64,
    /// Parts that were not loaded.
    pub refused: Vec<Refused>,
    /// The databases that were written, by case.
    pub databases: BTreeMap<String, PathBuf>,
}

/// Loads parts, into one database or several.
pub struct Loader<'o> {
    place: Place,
    case: Option<String>,
    options: &'o Options,
    allow_unknown: bool,
    incoming_bytes: u64,
    open: BTreeMap<String, Writer>,
    outcome: Outcome,
}

impl<'o> Loader<'o> {
    /// A loader. `case` is for parts that name none; one that names another is refused.
    pub fn new(place: Place, case: Option<String>, options: &'o Options) -> Self {
        Self {
            place,
            case,
            options,
            allow_unknown: false,
            incoming_bytes: 0,
            open: BTreeMap::new(),
            outcome: Outcome::default(),
        }
    }

    /// Whether sound parts are loaded too of which nothing shows who sealed them: each signer under a host of its own.
    #[must_use]
    pub fn allow_unknown(mut self, allow: bool) -> Self {
        self.allow_unknown = allow;
        self
    }

    /// Verifies and loads the parts; `say` hears of each part what became of it.
    ///
    /// While a portion is loaded, the next is verified.
    ///
    /// # Errors
    /// A database can't be written. What was loaded before stays.
    pub fn load(
        mut self,
        paths: &[PathBuf],
        say: &mut dyn FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let lengths = paths
            .iter()
            .map(|path| fs::metadata(path).map_or(0, |m| m.len()));
        self.incoming_bytes = lengths.sum();
        let (options, allow_unknown) = (self.options, self.allow_unknown);
        thread::scope(|scope| {
            let (judged, next) = mpsc::sync_channel::<Judged>(1);
            scope.spawn(move || {
                for portion in verified::portions(paths) {
                    // The other end hangs up when a database fails.
                    let portion = verified::judge(portion, options, allow_unknown);
                    if judged.send(portion).is_err() {
                        return;
                    }
                }
            });
            for portion in next {
                self.portion(portion, say)?;
            }
            anyhow::Ok(())
        })?;
        let alone = self.open.len() == 1;
        for writer in self.open.values_mut() {
            // Of a part that is not genuine nobody knows the case; where there is one, it is noted there.
            if alone {
                writer.note_refused(&self.outcome.refused)?;
            }
            writer.finish()?;
        }
        Ok(self.outcome)
    }

    fn portion(
        &mut self,
        portion: Judged,
        say: &mut dyn FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for refused in portion.refused {
            self.refuse(refused, say)?;
        }
        for (report, path) in &portion.genuine {
            self.one(report, path, say)?;
        }
        for writer in self.open.values_mut() {
            writer.commit()?;
        }
        Ok(())
    }

    fn one(
        &mut self,
        report: &PartReport,
        path: &Path,
        say: &mut dyn FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Some(record) = &report.record else {
            return Ok(());
        };
        let case = match self.case_of(record.case.as_deref()) {
            Ok(case) => case,
            Err(why) => return self.refuse(Refused::of(report, why, false), say),
        };
        let genuine = Genuine {
            report,
            record,
            path,
            identities: &self.options.identities,
        };
        let writer = match self.writer(&case)? {
            Ok(writer) => writer,
            Err(why) => return self.refuse(Refused::of(report, why, false), say),
        };
        let taken = writer.take(&genuine)?;
        if !matches!(taken, Taken::Refused(_)) {
            let is_reserved = report.findings.verdict() == Verdict::GenuineReserved;
            self.outcome.reserved += u64::from(is_reserved);
            self.outcome.unknown += u64::from(!verified::is_known(report));
        }
        match taken {
            Taken::New(tally) => {
                self.outcome.loaded += 1;
                self.outcome.records += tally.records;
                self.outcome.faults += tally.faults;
                say(&format!(
                    "part {} of {}: {} records",
                    record.part, record.collection, tally.records
                ))
            }
            Taken::There => {
                self.outcome.kept += 1;
                say(&format!(
                    "part {} of {}: was there",
                    record.part, record.collection
                ))
            }
            Taken::Refused(why) => self.refuse(Refused::of(report, why, false), say),
        }
    }

    /// The case that a part goes to.
    fn case_of(&self, own: Option<&str>) -> Result<String, String> {
        match (&self.case, own) {
            (Some(told), Some(own)) if told != own => Err(format!(
                "It belongs to the case {own:?}. Load it without --case, or with that one."
            )),
            (Some(told), _) => Ok(told.clone()),
            (None, Some(own)) => Ok(own.to_owned()),
            (None, None) => Err("It names no case. Say which with --case.".to_owned()),
        }
    }

    /// The database of a case; the inner error says that the file is another case's.
    fn writer(&mut self, case: &str) -> anyhow::Result<Result<&mut Writer, String>> {
        if !self.open.contains_key(case) {
            let path = match &self.place {
                Place::Home(home) => file::database_of(home, case),
                Place::File(path) => path.clone(),
            };
            // One file is open once: two cases never share one.
            let writer = if self.open.values().any(|w| w.path == path) {
                Err(self.open.keys().next().cloned().unwrap_or_default())
            } else {
                Writer::open(&path, case, self.incoming_bytes)?
            };
            match writer {
                Ok(writer) => {
                    self.outcome.databases.insert(case.to_owned(), path);
                    self.open.insert(case.to_owned(), writer);
                }
                Err(other) => {
                    return Ok(Err(format!(
                        "{} is the database of the case {other:?}. Name another file with --database.",
                        path.display()
                    )));
                }
            }
        }
        let writer = self
            .open
            .get_mut(case)
            .context("The database is not open.")?;
        Ok(Ok(writer))
    }

    fn refuse(
        &mut self,
        refused: Refused,
        say: &mut dyn FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let head = if refused.not_genuine {
            "NOT GENUINE, not loaded"
        } else {
            "not loaded"
        };
        say(&format!("{}: {head}: {}", refused.path, refused.why))?;
        self.outcome.refused.push(refused);
        Ok(())
    }
}

/// What became of a part.
enum Taken {
    New(Tally),
    There,
    Refused(String),
}

/// One database that is written.
struct Writer {
    path: PathBuf,
    connection: Connection,
    catalog: Catalog,
    waiting_rows: u64,
    in_transaction: bool,
    /// Whether so much comes that indexes are better made anew, once it is there.
    is_much: bool,
    is_changed: bool,
}

impl Writer {
    fn open(path: &Path, case: &str, incoming_bytes: u64) -> anyhow::Result<Result<Self, String>> {
        let connection = schema::open_to_write(path)?;
        let mut writer = Self {
            path: path.to_owned(),
            connection,
            catalog: Catalog::default(),
            waiting_rows: 0,
            in_transaction: false,
            is_much: false,
            is_changed: false,
        };
        writer.begin()?;
        if let Some(other) = file::claim(&writer.connection, path, case)? {
            return Ok(Err(other));
        }
        let there_bytes = fs::metadata(path).map_or(0, |m| m.len());
        writer.is_much = incoming_bytes.saturating_mul(GROWTH) > there_bytes;
        writer.catalog = Catalog::read(&writer.connection)?;
        writer.catalog.declare(&writer.connection)?;
        writer.commit()?;
        Ok(Ok(writer))
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        if !self.in_transaction {
            self.connection
                .execute_batch("BEGIN IMMEDIATE")
                .with_context(|| {
                    let shown = self.path.display();
                    format!("{shown} can't be written. Wait until no other load runs.")
                })?;
            self.in_transaction = true;
        }
        Ok(())
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        if self.in_transaction {
            self.connection.execute_batch("COMMIT").with_context(|| {
                format!(
                    "{} can't be written. Make room on its disk.",
                    self.path.display()
                )
            })?;
            (self.in_transaction, self.waiting_rows) = (false, 0);
        }
        Ok(())
    }

    fn take(&mut self, part: &Genuine<'_>) -> anyhow::Result<Taken> {
        self.begin()?;
        match part::standing(&self.connection, part)? {
            Standing::There => {
                self.found_again(part)?;
                return Ok(Taken::There);
            }
            Standing::Against(why) => return Ok(Taken::Refused(why)),
            Standing::New => {}
        }
        if self.is_much && !self.is_changed {
            indexes::drop_all(&self.connection)?;
        }
        self.is_changed = true;
        self.connection.execute_batch("SAVEPOINT part")?;
        match part::load(&self.connection, &mut self.catalog, part) {
            Ok(tally) => {
                self.connection.execute_batch("RELEASE part")?;
                self.waiting_rows += tally.records;
                if self.waiting_rows >= ROWS_AT_ONCE {
                    self.commit()?;
                }
                Ok(Taken::New(tally))
            }
            Err(error) if error.is::<rusqlite::Error>() => {
                // The database itself fails; nothing of this transaction stays.
                Err(error).with_context(|| format!("{} can't be written.", self.path.display()))
            }
            Err(error) => {
                self.connection
                    .execute_batch("ROLLBACK TO part; RELEASE part")?;
                self.catalog = Catalog::read(&self.connection)?;
                Ok(Taken::Refused(format!("{error:#}")))
            }
        }
    }

    /// A part that was moved is found where it lies now.
    fn found_again(&self, part: &Genuine<'_>) -> anyhow::Result<()> {
        let (collection, number) = (part.collection(), part.record.part);
        let sql = "SELECT path FROM parts WHERE collection = ?1 AND part = ?2";
        let known: String = self
            .connection
            .query_row(sql, params![collection, number], |row| row.get(0))?;
        if !Path::new(&known).exists() {
            self.connection.execute(
                "UPDATE parts SET path = ?3, encrypted = ?4 WHERE collection = ?1 AND part = ?2",
                params![
                    collection,
                    number,
                    part::absolute(part.path),
                    part.report.encrypted
                ],
            )?;
        }
        Ok(())
    }

    fn note_refused(&mut self, refused: &[Refused]) -> anyhow::Result<()> {
        self.begin()?;
        let sql = "INSERT OR REPLACE INTO refused_parts VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let mut insert = self.connection.prepare(sql)?;
        let now = Instant::now().to_rfc3339();
        for one in refused {
            let Refused {
                path,
                sha256,
                collection,
                part,
                why,
                ..
            } = one;
            insert.execute(params![path, sha256, collection, part, why, now])?;
        }
        Ok(())
    }

    /// Makes what was loaded quick to read, and the file one again.
    fn finish(&mut self) -> anyhow::Result<()> {
        self.commit()?;
        let connection = &self.connection;
        let finished = indexes::create(connection, &self.catalog)
            .and_then(|()| indexes::timeline(connection, &self.catalog))
            .and_then(|()| match self.is_changed {
                true => indexes::analyse(connection),
                false => Ok(()),
            })
            .and_then(|()| {
                let now = Instant::now().to_rfc3339().unwrap_or_default();
                schema::set_info(connection, "loaded", &now)?;
                schema::set_info(connection, "loaded_by", env!("CARGO_PKG_VERSION"))
            });
        finished
            .with_context(|| format!("{} can't be indexed. Load again.", self.path.display()))?;
        // Where a reader looks on, the file stays as it is, and is as good.
        let _best_effort: Result<String, _> =
            connection.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0));
        Ok(())
    }
}
