//! `fieldseal verify`: checks parts, prints the verdict with every reason, writes the report.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;
use evidence::verify::{self, Options};

use super::{expired, files};
use crate::{
    check::{self, Checked},
    cli::{Grounds, Verify},
    custody,
    exit::{Exit, OrMisuse as _},
    home::Home,
    report,
    session::Session,
};

/// No root document and no policy is longer.
const DOCUMENT_BYTES: u64 = 4 << 20;

/// Runs it.
///
/// # Errors
/// A path, the root or the key file can't be read, the report can't be written, or what was
/// found can't be recorded.
pub fn run(args: &Verify, home: impl FnOnce() -> anyhow::Result<Home>) -> anyhow::Result<Exit> {
    let options = options(&args.grounds).or_misuse()?;
    let expired = expired::told(&args.paths);
    let Checked {
        check,
        reports,
        aside,
        verdict,
    } = match check::paths(&args.paths, &options) {
        // Nothing but what proves the parts is left.
        Err(error) if !expired.is_empty() && Exit::of(&error) == Exit::Usage => {
            expired::show(&expired, args.json)?;
            return Ok(Exit::Partial);
        }
        checked => checked?,
    };
    if let Some(path) = &args.report {
        let text = if report::is_page(path) {
            report::html::page(&check, &reports, &aside)
        } else {
            report::text::whole(&check, &reports, &aside)
        };
        fs::write(path, text).with_context(|| format!("{} can't be written.", path.display()))?;
    }
    let mut out = io::stdout().lock();
    if args.json {
        let json = report::Json::new(verdict, &check, &reports, &aside);
        serde_json::to_writer_pretty(&mut out, &json)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", report::text::whole(&check, &reports, &aside))?;
        for line in &expired {
            writeln!(out, "{line}")?;
        }
    }
    out.flush()?;
    let exit = Exit::from(verdict);
    if args.record {
        let session = Session::open(home()?)?;
        let tell =
            &mut |part: custody::Recorded| Ok(writeln!(io::stderr(), "{}", part.in_words())?);
        let recorded = custody::record(&session, || session.unlock(), &reports, tell)?;
        return Ok(exit.worse(recorded));
    }
    Ok(exit)
}

/// What the command line gives a check to rest on.
///
/// # Errors
/// One of the files can't be read, or is something else.
pub fn options(args: &Grounds) -> anyhow::Result<Options> {
    let mut options = Options::default();
    if let Some(path) = &args.trust {
        options.trust = trust(path)?;
    }
    if let Some(path) = &args.tsa_trust {
        options.stamp_trust = trust(path)?;
    }
    for path in &args.root {
        let json = files::read(path, DOCUMENT_BYTES)?;
        let root = verify::Root::open(&json)
            .with_context(|| format!("{} is no root to trust.", path.display()))?;
        options.roots.push(root);
    }
    for path in &args.policy {
        options.policies.push(files::read(path, DOCUMENT_BYTES)?);
    }
    if let Some(path) = &args.identity {
        options.identities = files::identities(path)?;
    }
    Ok(options)
}

/// A root certificate.
///
/// # Errors
/// It can't be read, or is none.
pub(super) fn trust(path: &Path) -> anyhow::Result<verify::Trust> {
    let pem = files::read(path, 1 << 20)?;
    verify::Trust::from_pem(&String::from_utf8_lossy(&pem))
        .with_context(|| format!("{} is not a root certificate.", path.display()))
}
