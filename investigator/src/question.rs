//! A hunt as a profile: what the person looks for becomes the text that is signed and that an approver is shown.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use evidence::instant::Instant;
use protocol::profile::Profile;
use serde::Serialize;

use crate::{
    cli::Criteria,
    commands::files,
    exit::{OrMisuse as _, misuse},
};

/// Digests of one hunt.
const MOST_DIGESTS: usize = 100_000;
/// So many are named whole; of more, each by its first 16 digits, so that the order stays small.
const WHOLE_DIGESTS: usize = 20_000;
/// So many hex digits name a SHA-256.
const HEAD_DIGITS: usize = 16;
/// Digests in one line of the profile.
const IN_A_LINE: usize = 4;
/// 100,000 digests with remarks behind them.
const LIST_BYTES: u64 = 64 << 20;

/// What the hunt costs a host at most; a hunt stores no file's content.
const LIMITS: &str = "limits: {wall_seconds: 3600, memory_bytes: 67108864}\n";

/// A list of digests, and what it is called.
#[derive(Debug, Clone)]
pub struct List {
    /// Its name, for who has to correct it.
    pub name: String,
    /// A digest at the start of each line; empty lines and `#` are passed over.
    pub text: String,
}

impl List {
    /// The list in a file.
    ///
    /// # Errors
    /// It can't be read, or is no text: mistakes of the command line.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let bytes = files::read(path, LIST_BYTES).or_misuse()?;
        let text = String::from_utf8(bytes).with_context(|| format!("{name} is not text."));
        Ok(Self {
            text: text.or_misuse()?,
            name,
        })
    }
}

/// The profile's text.
///
/// # Errors
/// Nothing is looked for, or something of it can't be: mistakes of the command line.
pub fn profile(args: &Criteria, list: Option<&List>) -> anyhow::Result<String> {
    let mut text =
        String::from("v: 1\nname: hunt\nabout: Records of what fits, no contents\nartifacts:\n");
    let files = of_files(args, list)?;
    let asked = [
        ("hunt_processes", of_processes(args)?),
        ("hunt_connections", of_connections(args)?),
        ("hunt_files", files.clone()),
    ];
    if asked.iter().all(|(_, options)| options.is_empty()) {
        return Err(misuse(
            "Nothing is looked for. Name a file, a process or a connection, as in --sha256, --process-name or --port.",
        ));
    }
    for (name, options) in &asked {
        if !options.is_empty() {
            write!(text, "  - name: {name}\n    options:\n{options}")?;
        }
    }
    if files.is_empty() {
        if !args.paths.is_empty() {
            return Err(misuse(
                "A path says where to look for files. Say what to look for, too.",
            ));
        }
    } else {
        let everywhere = ["/".to_owned()];
        let paths = match args.paths.is_empty() {
            true => &everywhere[..],
            false => &args.paths,
        };
        writeln!(text, "paths: {}", json(&paths)?)?;
    }
    text.push_str(LIMITS);
    Profile::parse(&text).or_misuse()?;
    Ok(text)
}

/// The options of one artifact, as lines of YAML; JSON is YAML.
#[derive(Debug, Default, Clone)]
struct Lines(String);

impl Lines {
    fn put(&mut self, option: &str, value: impl Serialize) -> anyhow::Result<()> {
        Ok(writeln!(self.0, "      {option}: {}", json(&value)?)?)
    }

    fn list<T: Serialize>(&mut self, option: &str, values: &[T]) -> anyhow::Result<()> {
        match values.is_empty() {
            true => Ok(()),
            false => self.put(option, values),
        }
    }

    fn one(&mut self, option: &str, value: Option<impl Serialize>) -> anyhow::Result<()> {
        value.map_or(Ok(()), |value| self.put(option, value))
    }

    /// Digests, some a line.
    fn digests(&mut self, option: &str, digests: &[String]) -> anyhow::Result<()> {
        if digests.is_empty() {
            return Ok(());
        }
        writeln!(self.0, "      {option}: |")?;
        for line in digests.chunks(IN_A_LINE) {
            writeln!(self.0, "        {}", line.join(" "))?;
        }
        Ok(())
    }
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)?)
}

fn of_files(args: &Criteria, list: Option<&List>) -> anyhow::Result<String> {
    let mut lines = Lines::default();
    let digests = Digests::of(args, list)?;
    lines.digests("sha256", &digests.sha256)?;
    lines.digests("sha1", &digests.sha1)?;
    lines.digests("md5", &digests.md5)?;
    lines.list("names", &args.names)?;
    lines.list("globs", &args.globs)?;
    lines.one("at_least_bytes", args.larger)?;
    lines.one("at_most_bytes", args.smaller)?;
    for (option, time) in [
        ("modified_from", args.modified_since),
        ("modified_until", args.modified_before),
        ("changed_from", args.changed_since),
        ("changed_until", args.changed_before),
        ("born_from", args.born_since),
        ("born_until", args.born_before),
    ] {
        lines.one(option, time.and_then(Instant::to_rfc3339))?;
    }
    with_case(lines, args)
}

fn of_processes(args: &Criteria) -> anyhow::Result<String> {
    let mut lines = Lines::default();
    let digest = |text: &String| read_sha256(text).ok_or_else(|| no_digest(text));
    let hashes = args.process_hashes.iter().map(digest);
    lines.digests("sha256", &hashes.collect::<Result<Vec<_>, _>>()?)?;
    lines.list("names", &args.process_names)?;
    lines.list("executables", &args.process_paths)?;
    lines.list("command_lines", &args.command_lines)?;
    with_case(lines, args)
}

fn of_connections(args: &Criteria) -> anyhow::Result<String> {
    let mut lines = Lines::default();
    lines.list("remote", &args.connected_to)?;
    lines.list("ports", &args.ports)?;
    lines.list("protocols", &args.protocols)?;
    Ok(lines.0)
}

fn with_case(mut lines: Lines, args: &Criteria) -> anyhow::Result<String> {
    if args.ignore_case && !lines.0.is_empty() {
        lines.put("ignore_case", true)?;
    }
    Ok(lines.0)
}

/// What files are known by.
#[derive(Debug, Default)]
struct Digests {
    sha256: Vec<String>,
    sha1: Vec<String>,
    md5: Vec<String>,
}

impl Digests {
    fn of(args: &Criteria, list: Option<&List>) -> anyhow::Result<Self> {
        let mut digests = Self::default();
        for text in &args.sha256 {
            digests
                .sha256
                .push(read_sha256(text).ok_or_else(|| no_digest(text))?);
        }
        if let Some(list) = list {
            digests.read(list)?;
        }
        for list in [&mut digests.sha256, &mut digests.sha1, &mut digests.md5] {
            list.sort();
            list.dedup();
        }
        let count = digests.sha256.len() + digests.sha1.len() + digests.md5.len();
        if count > MOST_DIGESTS {
            return Err(misuse(format!(
                "There are {count} digests, and one hunt takes 100,000. Make several hunts of them."
            )));
        }
        if digests.sha256.len() > WHOLE_DIGESTS {
            for digest in &mut digests.sha256 {
                digest.truncate(HEAD_DIGITS);
            }
            digests.sha256.dedup();
        }
        Ok(digests)
    }

    /// The first word of each line, by its length; empty lines and `#` are passed over.
    fn read(&mut self, List { name, text }: &List) -> anyhow::Result<()> {
        for (number, line) in text.lines().enumerate() {
            let Some(word) = line
                .split([' ', '\t', ',', ';'])
                .next()
                .filter(|w| !w.is_empty())
            else {
                continue;
            };
            if word.starts_with('#') {
                continue;
            }
            let word = word.to_ascii_lowercase();
            let is_hex = word.bytes().all(|b| b.is_ascii_hexdigit());
            match word.len() {
                64 if is_hex => self.sha256.push(word),
                40 if is_hex => self.sha1.push(word),
                32 if is_hex => self.md5.push(word),
                _ => {
                    let at = number + 1;
                    return Err(misuse(format!(
                        "Line {at} of {name} begins with no digest. Correct it, or put # before it."
                    )));
                }
            }
        }
        Ok(())
    }
}

fn read_sha256(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let fits = matches!(text.len(), 64 | HEAD_DIGITS);
    (fits && text.bytes().all(|b| b.is_ascii_hexdigit())).then_some(text)
}

fn no_digest(text: &str) -> anyhow::Error {
    let shown: String = text.chars().take(80).collect();
    misuse(format!(
        "{shown:?} is no SHA-256. Write its 64 hex digits, or the first 16 of them."
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        cli::{self, Cli, Command},
        exit::Exit,
    };

    fn asked(args: &cli::Hunt) -> anyhow::Result<String> {
        let list = args.hashes.as_deref().map(List::read).transpose()?;
        profile(&args.criteria, list.as_ref())
    }

    fn args(more: &[&str]) -> Box<cli::Hunt> {
        let base = [
            "fieldseal",
            "hunt",
            "--where",
            "*",
            "--case",
            "1",
            "--reason",
            "r",
        ];
        let cli = Cli::try_parse_from(base.iter().chain(more)).unwrap();
        let Command::Hunt(hunt) = cli.command else {
            panic!()
        };
        hunt
    }

    #[test]
    fn what_is_looked_for_is_readable_in_the_profile() {
        let digest = "ab".repeat(32);
        let text = asked(&args(&[
            "--sha256",
            &digest.to_uppercase(),
            "--name",
            "a\"b: #c",
            "--larger",
            "2K",
            "--changed-since",
            "2026-11-24T00:00:00Z",
            "--path",
            "/srv",
            "--process-name",
            "sshd",
            "--port",
            "22",
            "--connected-to",
            "10.0.0.0/8",
        ]))
        .unwrap();
        let read = Profile::parse(&text).unwrap();
        let options = &read.chosen("hunt_files").unwrap().options;
        assert_eq!(options["sha256"].as_str().unwrap().trim(), digest);
        assert_eq!(options["names"][0], "a\"b: #c");
        assert_eq!(options["at_least_bytes"], 2048);
        assert_eq!(options["changed_from"], "2026-11-24T00:00:00.000000000Z");
        assert_eq!(read.paths, ["/srv"]);
        assert_eq!(
            read.chosen("hunt_connections").unwrap().options["ports"][0],
            22
        );
        assert_eq!(
            read.chosen("hunt_processes").unwrap().options["names"][0],
            "sshd"
        );
        assert!(text.contains(&digest), "{text}");
    }

    #[test]
    fn what_can_not_be_looked_for_is_a_mistake_of_the_command_line() {
        for bad in [
            &[][..],
            &["--path", "/srv"],
            &["--path", "srv", "--name", "x"],
            &["--sha256", "12"],
            &["--process-hash", "xyz"],
            &["--hashes", "/no/such/file"],
        ] {
            let error = asked(&args(bad)).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::Usage, "{bad:?} {error:#}");
        }
    }

    #[test]
    fn a_list_of_a_hundred_thousand_digests_fits_a_profile() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        let mut text = String::from("# known bad\n\n");
        for number in 0..99_998_u64 {
            let digest = evidence::digest::Digest::of(&number.to_be_bytes());
            writeln!(text, "{digest}  name {number}").unwrap();
        }
        text += "d41d8cd98f00b204e9800998ecf8427e\nda39a3ee5e6b4b0d3255bfef95601890afd80709,x\n";
        std::fs::write(&list, &text).unwrap();
        let hunt = |path: &Path| asked(&args(&["--hashes", path.to_str().unwrap()]));
        let read = Profile::parse(&hunt(&list).unwrap()).unwrap();
        let options = &read.chosen("hunt_files").unwrap().options;
        let words = options["sha256"].as_str().unwrap().split_whitespace();
        assert_eq!(words.clone().count(), 99_998);
        assert!(words.clone().all(|w| w.len() == HEAD_DIGITS));
        assert!(options.contains_key("md5") && options.contains_key("sha1"));
        std::fs::write(&list, text + "no digest\n").unwrap();
        assert!(hunt(&list).is_err());
    }
}
