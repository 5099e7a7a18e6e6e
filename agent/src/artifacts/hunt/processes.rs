//! Looks for processes by name, program, command line and the content of the program. A program is read only where all
//! else fits already, and once however many processes run it.

use std::{collections::BTreeMap, sync::LazyLock};

use evidence::{digest::Digest, gap::Reason};
use serde_json::Value;

use super::{
    HITS, Hits, IGNORE_CASE, MATCHED, MD5, SHA1, SHA256,
    asked::{Fault, Options},
    digests::Digests,
    option,
    patterns::{Names, Patterns},
    refuse, tell_others,
};
use crate::{
    artifacts::{
        Artifact, Asked, Extent, Field, OptionField, OptionKind, Record, Request, Sink, Stopped,
        processes::{self, Look},
        running_executables::{MOST_BYTES, digest_each, programs},
        source::{number, put},
    },
    files::{Bounds, digest::Digesting, record::field},
};

/// The kernel's name of a process holds no more.
const COMM_BYTES: usize = 15;

/// The artifact.
#[derive(Debug)]
pub struct HuntProcesses;

/// Fields of `processes` that take too long to read of every process.
const NOT_TOLD: &[&str] = &[
    "environment",
    "environment_b64",
    "open_files",
    "sockets",
    "maps",
];

static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let told = processes::FIELDS.iter();
    let told = told.filter(|f| !NOT_TOLD.contains(&f.name)).copied();
    let own = [
        field(
            "sha256",
            "string, hex",
            "SHA-256 of the program, where it was asked for",
        ),
        field(
            "md5",
            "string, hex",
            "MD5 of the same, where it was asked for",
        ),
        field(
            "sha1",
            "string, hex",
            "SHA-1 of the same, where it was asked for",
        ),
        MATCHED,
    ];
    told.chain(own).collect()
});

const OPTIONS: &[OptionField] = &[
    option(
        "names",
        OptionKind::Texts,
        "the kernel's name for it, or the last name of its program's path; one of these",
    ),
    option(
        "executables",
        OptionKind::Texts,
        "patterns of its program's path; one of these",
    ),
    option(
        "command_lines",
        OptionKind::Texts,
        "texts that stand somewhere in its arguments, which are joined by one blank each; one of these",
    ),
    option(
        "command_line_globs",
        OptionKind::Texts,
        "patterns of its whole command line; one of these",
    ),
    SHA256,
    MD5,
    SHA1,
    IGNORE_CASE,
    HITS,
    option(
        "hash_file_bytes",
        OptionKind::Number,
        "the longest program that is read; 2 GiB",
    ),
    option(
        "hidden_probe_ms",
        OptionKind::Number,
        "how long to look for processes that are not listed",
    ),
];

impl Artifact for HuntProcesses {
    fn name(&self) -> &'static str {
        "hunt_processes"
    }

    fn about(&self) -> &'static str {
        "Processes that fit all criteria: name, program and its content, command line."
    }

    fn volatile(&self) -> bool {
        true
    }

    fn needs_running(&self) -> bool {
        true
    }

    fn asked(&self) -> Asked {
        Asked::Criteria
    }

    fn extent(&self) -> Extent {
        Extent::Users("uid_real")
    }

    fn options(&self) -> &'static [OptionField] {
        OPTIONS
    }

    fn fields(&self) -> &'static [Field] {
        &FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let read = Options::of(self, request.options).and_then(Criteria::read);
        let criteria = match read {
            Ok(criteria) => criteria,
            Err(fault) => return refuse(&fault, sink),
        };
        let mut hunt = Hunt {
            bounds: request.bounds,
            hits: Hits::of(request),
            candidates: BTreeMap::new(),
            others: 0,
        };
        processes::each(request, sink, &mut |mut look, context, sink| {
            if hunt.hits.are_over() || !look.glance(context) {
                return look.tell_missed(sink);
            }
            if let Some(fits) = hunt.judge(&criteria, &mut look) {
                match criteria.digests {
                    // Read later, and once for all that run it.
                    Some(_) => hunt.keep(look.pid(), look.record(), fits),
                    None => hunt.hit(&mut look, fits, &[], sink)?,
                }
            }
            look.tell_missed(sink)
        })?;
        if let Some(digests) = &criteria.digests {
            hunt.by_content(request, digests, sink)?;
        }
        hunt.hits.tell(sink)?;
        tell_others(hunt.others, "processes", sink)
    }
}

/// What is looked for: all that is given must hold.
#[derive(Debug)]
struct Criteria {
    names: Option<Names>,
    executables: Option<Patterns>,
    command_lines: Option<Vec<Vec<u8>>>,
    command_line_globs: Option<Patterns>,
    digests: Option<Digests>,
    ignore_case: bool,
}

impl Criteria {
    fn read(options: Options<'_>) -> Result<Self, Fault> {
        let ignore_case = options.on("ignore_case");
        let folded = |texts: Vec<&str>| {
            let texts = texts.into_iter().map(|t| fold(t.as_bytes(), ignore_case));
            texts.collect::<Vec<_>>()
        };
        let criteria = Self {
            names: Names::read(options, "names")?,
            executables: Patterns::of_paths(options, "executables")?,
            command_lines: options.texts("command_lines")?.map(folded),
            command_line_globs: Patterns::of_texts(options, "command_line_globs")?,
            digests: Digests::read(options)?,
            ignore_case,
        };
        let is_given = criteria.names.is_some()
            || criteria.executables.is_some()
            || criteria.command_lines.is_some()
            || criteria.command_line_globs.is_some()
            || criteria.digests.is_some();
        match is_given {
            true => Ok(criteria),
            false => Err(Fault::new("criteria", "there is no criterion")),
        }
    }

    /// What of the cheap criteria it fits; `None` where one fails.
    fn cheap(&self, record: &Record) -> Option<Vec<String>> {
        let mut fits = Vec::new();
        let exe = exact(record, "exe").unwrap_or_default();
        let exe = exe.strip_suffix(b" (deleted)").unwrap_or(&exe);
        if let Some(names) = &self.names {
            fits.push(format!("name {}", named(names, record, exe)?));
        }
        if let Some(patterns) = &self.executables {
            fits.push(format!("executable {}", patterns.find(exe)?));
        }
        if self.command_lines.is_none() && self.command_line_globs.is_none() {
            return Some(fits);
        }
        let line = command_line(record);
        if let Some(texts) = &self.command_lines {
            let line = fold(&line, self.ignore_case);
            let stands = |text: &&Vec<u8>| line.windows(text.len()).any(|w| w == text.as_slice());
            let text = texts.iter().find(stands)?;
            fits.push(format!("command line {}", String::from_utf8_lossy(text)));
        }
        if let Some(patterns) = &self.command_line_globs {
            fits.push(format!("command line {}", patterns.find(&line)?));
        }
        Some(fits)
    }
}

/// The name by which it fits: the kernel's, which is cut, or its program's.
fn named(names: &Names, record: &Record, exe: &[u8]) -> Option<String> {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let comm = exact(record, "name").unwrap_or_default();
    if names.has(&comm) || (comm.len() == COMM_BYTES && names.has_longer(&comm)) {
        return Some(text(&comm));
    }
    let program = exe.rsplit(|b| *b == b'/').next()?;
    (!program.is_empty() && names.has(program)).then(|| text(program))
}

/// The arguments, joined by one blank each.
fn command_line(record: &Record) -> Vec<u8> {
    if record.contains_key("cmdline_b64") {
        let bytes = exact(record, "cmdline").unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        return bytes.split(|b| *b == 0).collect::<Vec<_>>().join(&b' ');
    }
    let words = record.get("cmdline").and_then(Value::as_array);
    let words = words.into_iter().flatten().filter_map(Value::as_str);
    words.collect::<Vec<_>>().join(" ").into_bytes()
}

/// The exact bytes of a text in a record.
fn exact(record: &Record, key: &str) -> Option<Vec<u8>> {
    let coded = record.get(&format!("{key}_b64")).and_then(Value::as_str);
    match coded {
        Some(coded) => data_encoding::BASE64.decode(coded.as_bytes()).ok(),
        None => Some(record.get(key)?.as_str()?.as_bytes().to_owned()),
    }
}

fn fold(text: &[u8], ignore_case: bool) -> Vec<u8> {
    match ignore_case {
        true => text.to_ascii_lowercase(),
        false => text.to_owned(),
    }
}

/// A hit: its fields beside what the process is.
type Digested = [(&'static str, String)];

/// A process of which all but the content of its program fits.
struct Candidate {
    /// With its number, names one process.
    start_ticks: Value,
    hidden: Value,
    fits: Vec<String>,
    digests: Vec<(&'static str, String)>,
}

struct Hunt<'a> {
    bounds: Option<&'a Bounds>,
    hits: Hits,
    candidates: BTreeMap<u32, Candidate>,
    /// Processes of users whom the scope leaves out.
    others: u64,
}

impl Hunt<'_> {
    /// What of the cheap criteria it fits, if it is in the scope and fits all.
    fn judge(&mut self, criteria: &Criteria, look: &mut Look) -> Option<Vec<String>> {
        let record = look.record();
        let uid = record.get("uid_real").and_then(Value::as_u64);
        let uid = uid.and_then(|uid| u32::try_from(uid).ok());
        if self.bounds.is_some_and(|bounds| bounds.user(uid).is_err()) {
            self.others += 1;
            return None;
        }
        criteria.cheap(record)
    }

    fn keep(&mut self, pid: u32, record: &Record, fits: Vec<String>) {
        if !record.contains_key("exe") {
            return;
        }
        let fact = |key| record.get(key).cloned().unwrap_or_default();
        let candidate = Candidate {
            start_ticks: fact("start_ticks"),
            hidden: fact("hidden"),
            fits,
            digests: Vec::new(),
        };
        self.candidates.insert(pid, candidate);
    }

    fn hit(
        &self,
        look: &mut Look,
        fits: Vec<String>,
        digests: &Digested,
        sink: &mut dyn Sink,
    ) -> Result<(), Stopped> {
        if !self.hits.take() {
            return Ok(());
        }
        look.surroundings();
        let record = look.record();
        for (name, digest) in digests {
            put(record, name, digest.clone());
        }
        put(record, "matched", fits);
        sink.record(std::mem::take(record))
    }

    /// Reads the programs of the candidates, and tells those whose content fits.
    fn by_content(
        &mut self,
        request: &Request<'_>,
        digests: &Digests,
        sink: &mut dyn Sink,
    ) -> Result<(), Stopped> {
        let programs = {
            let wanted = |pid| self.candidates.contains_key(&pid);
            programs(&request.root.join("proc"), &wanted, sink)?
        };
        let most = number(request, "hash_file_bytes", MOST_BYTES);
        let mut digesting = Digesting::new(digests.wanted(u64::MAX));
        let mut hits = BTreeMap::new();
        digest_each(
            request,
            programs,
            most,
            &mut digesting,
            sink,
            &mut |done, sink| {
                let seen = match &done.outcome {
                    Ok(seen) => seen,
                    Err(error) => {
                        return sink.gap(
                            done.what.subject(),
                            Reason::ReadError,
                            &error.to_string(),
                        );
                    }
                };
                let (md5, sha1) = (seen.md5.clone(), seen.sha1.clone());
                let Some(fits) = digests.find((seen.sha256, md5.as_deref(), sha1.as_deref()))
                else {
                    return Ok(());
                };
                let told = told(seen.sha256, md5, sha1);
                for pid in &done.what.pids {
                    hits.insert(*pid, (fits.clone(), told.clone()));
                }
                Ok(())
            },
        )?;
        self.candidates.retain(|pid, candidate| {
            let Some((fits, digests)) = hits.remove(pid) else {
                return false;
            };
            candidate.fits.push(fits);
            candidate.digests = digests;
            true
        });
        self.tell_candidates(request, sink)
    }

    /// Looks at them again: a process that is another by now is none of them.
    fn tell_candidates(
        &mut self,
        request: &Request<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Stopped> {
        let mut candidates = std::mem::take(&mut self.candidates);
        if candidates.is_empty() {
            return Ok(());
        }
        let wanted = candidates.keys().copied().collect();
        processes::each_of(request, &wanted, sink, &mut |mut look, context, sink| {
            let is_there = look.glance(context);
            let Some(candidate) = candidates.remove(&look.pid()) else {
                return Ok(());
            };
            let now = look
                .record()
                .get("start_ticks")
                .cloned()
                .unwrap_or_default();
            if !is_there || now != candidate.start_ticks {
                let subject = format!("/proc/{}", look.pid());
                let text = format!(
                    "it ended before it was told; it fitted: {}",
                    candidate.fits.join(", ")
                );
                return sink.gap(subject, Reason::Vanished, &text);
            }
            put(look.record(), "hidden", candidate.hidden);
            self.hit(&mut look, candidate.fits, &candidate.digests, sink)?;
            look.tell_missed(sink)
        })
    }
}

fn told(sha256: Digest, md5: Option<String>, sha1: Option<String>) -> Vec<(&'static str, String)> {
    let more = [md5.map(|d| ("md5", d)), sha1.map(|d| ("sha1", d))];
    let all = std::iter::once(("sha256", sha256.to_string()));
    all.chain(more.into_iter().flatten()).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
