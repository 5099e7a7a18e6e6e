//! `fieldseal load`: verified evidence into the databases of its cases.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use evidence::verify::Options;

use super::{
    aside::Aside,
    files,
    verify::{self, trust},
};
use crate::{
    case::load::{Loader, Outcome, Place},
    cli::{Grounds, Load},
    exit::{Exit, OrMisuse as _},
    home::Home,
    inert::inert,
    keys,
};

/// Runs it.
///
/// # Errors
/// A path or a key can't be read, or a database can't be written.
pub fn run(args: &Load, home: impl FnOnce() -> anyhow::Result<Home>) -> anyhow::Result<Exit> {
    let mut options = verify::options(&args.grounds).or_misuse()?;
    let place = match (&args.database, home()) {
        (Some(file), home) => {
            if let Ok(home) = home {
                complete(&home, &mut options)?;
            }
            Place::File(file.clone())
        }
        (None, home) => {
            let home = home?;
            complete(&home, &mut options)?;
            Place::Home(home)
        }
    };
    let loader = Loader::new(place, args.case.clone(), &options).allow_unknown(args.allow_unknown);
    let outcome = load(loader, &args.paths)?;
    if args.json {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &outcome)?;
        writeln!(out)?;
    } else {
        tell(&outcome)?;
    }
    Ok(exit(&outcome))
}

/// Loads folders that were just fetched, each part into the database of its own case.
///
/// # Errors
/// As for [`run`].
pub fn fetched(home: &Home, folders: &[PathBuf], identity: Option<&Path>) -> anyhow::Result<Exit> {
    let grounds = Grounds {
        identity: identity.map(Path::to_owned),
        ..Grounds::default()
    };
    let mut options = verify::options(&grounds).or_misuse()?;
    complete(home, &mut options)?;
    let loader = Loader::new(Place::Home(home.clone()), None, &options);
    let outcome = load(loader, folders)?;
    tell(&outcome)?;
    Ok(exit(&outcome))
}

/// Adds what `fieldseal setup` has noted: the deployment's root, and the person's own key.
///
/// # Errors
/// They can't be read.
pub fn complete(home: &Home, options: &mut Options) -> anyhow::Result<()> {
    let Ok(settings) = home.settings() else {
        return Ok(());
    };
    if options.trust.is_empty() {
        options.trust = trust(&settings.root_certificate)?;
    }
    let own = settings.keys.join(keys::IDENTITY);
    if own.exists() {
        options.identities.extend(files::identities(&own)?);
    }
    Ok(())
}

fn load(loader: Loader<'_>, paths: &[PathBuf]) -> anyhow::Result<Outcome> {
    let files::Found { parts, aside } = files::parts(paths)?;
    for Aside { file, why } in &aside {
        writeln!(io::stderr(), "{}: {why}", inert(file))?;
    }
    loader
        .load(&parts, &mut |line| {
            Ok(writeln!(io::stderr(), "{}", inert(line))?)
        })
        .context("Not everything was loaded.")
}

fn tell(outcome: &Outcome) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (case, path) in &outcome.databases {
        writeln!(
            out,
            "case {}: {}",
            inert(case),
            inert(&path.display().to_string())
        )?;
    }
    writeln!(
        out,
        "{} new parts with {} records, {} were there, {} not loaded",
        outcome.loaded,
        outcome.records,
        outcome.kept,
        outcome.refused.len()
    )?;
    if outcome.reserved > 0 {
        writeln!(
            out,
            "{} parts are genuine with reservations: see `findings` in the table parts",
            outcome.reserved
        )?;
    }
    if outcome.unknown > 0 {
        writeln!(
            out,
            "ATTENTION: nothing shows who sealed {} parts; their hosts and collections are called by the signer",
            outcome.unknown
        )?;
    }
    if outcome.faults > 0 {
        writeln!(
            out,
            "{} lines are no records: see the table load_faults",
            outcome.faults
        )?;
    }
    Ok(())
}

fn exit(outcome: &Outcome) -> Exit {
    if outcome.refused.iter().any(|r| r.not_genuine) {
        Exit::Failed
    } else if outcome.faults > 0 || outcome.reserved > 0 || !outcome.refused.is_empty() {
        Exit::Partial
    } else {
        Exit::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_loaded_with_reservations_is_not_simply_done() {
        let outcome = Outcome {
            loaded: 2,
            ..Outcome::default()
        };
        assert_eq!(exit(&outcome), Exit::Done);
        let reserved = Outcome {
            reserved: 1,
            ..outcome
        };
        assert_eq!(exit(&reserved), Exit::Partial);
    }
}
