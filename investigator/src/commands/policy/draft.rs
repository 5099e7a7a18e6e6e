//! `fieldseal policy draft`: the policy in force with the next version, a new end, and the changes asked for.

use std::io::{self, Write as _};

use anyhow::{Context as _, ensure};
use evidence::instant::Instant;
use protocol::{person, policy::Person, policy::Policy};

use crate::{
    cli::DraftPolicy,
    commands::files,
    exit::{Exit, OrMisuse as _},
    home::Home,
    policy::{
        changes,
        check::{self, Beside},
        document,
        edit::Edits,
    },
    session::Session,
};

/// Runs it. The draft says nothing to anybody until root keys have signed it.
///
/// # Errors
/// The server can't be reached, a change makes no sense, or what comes of it would not work.
pub(super) fn run(
    args: &DraftPolicy,
    home: impl FnOnce() -> anyhow::Result<Home>,
) -> anyhow::Result<Exit> {
    let (old, is_draft) = base(args, home)?;
    let (mut new, now) = (old.clone(), Instant::now());
    if !is_draft {
        // What is signed is followed; a draft is gone on with.
        new.version = old.version.checked_add(1).context("No version is left.")?;
    }
    new.expires = Instant {
        ns: 0,
        ..args.expires.after(now)
    };
    if let Some(path) = &args.root {
        let roots = document::roots(&[path])?;
        let (root, _) = roots.first().context("There is no root.")?;
        ensure!(
            root.deployment == new.deployment,
            "{} is of another deployment. Name this one's.",
            path.display()
        );
        new.root_version = root.version;
    }
    edits(args)?.apply(&mut new)?;
    let beside = Beside {
        old: (!is_draft).then_some(&old),
        root: None,
        new_server_keys: false,
        now,
    };
    check::policy(&new, beside).context("The draft would not do. Nothing was written.")?;
    document::write_draft(&args.output, &new)?;
    let mut say = io::stderr();
    for line in changes::of_policy(&old, &new) {
        writeln!(say, "  {line}")?;
    }
    writeln!(
        io::stdout(),
        "{} is the draft of policy {}. It counts once root keys have signed it: fieldseal policy sign",
        args.output.display(),
        new.version
    )?;
    Ok(Exit::Done)
}

/// What the draft begins with, and whether that is a draft itself.
fn base(
    args: &DraftPolicy,
    home: impl FnOnce() -> anyhow::Result<Home>,
) -> anyhow::Result<(Policy, bool)> {
    match &args.from {
        Some(path) => {
            let (policy, envelope) = document::policy(path)?;
            Ok((policy, envelope.is_none()))
        }
        None => Ok((Session::open(home()?)?.believed.policy, false)),
    }
}

fn edits(args: &DraftPolicy) -> anyhow::Result<Edits> {
    let people = |paths: &[std::path::PathBuf]| -> anyhow::Result<Vec<Person>> {
        paths.iter().map(|path| read_person(path)).collect()
    };
    Ok(Edits {
        remove: args.remove.clone(),
        replace: people(&args.replace)?,
        add: people(&args.add)?,
        thresholds: args.thresholds.clone(),
        vaults: args.vaults.clone(),
        remove_vaults: args.remove_vaults.clone(),
    })
}

fn read_person(path: &std::path::Path) -> anyhow::Result<Person> {
    let bytes = files::read(path, person::MAX_PERSON_BYTES as u64).or_misuse()?;
    person::read(&bytes)
        .with_context(|| {
            let shown = path.display();
            format!(
                "{shown} is no person's file. Name the person.json that `fieldseal keys new` made."
            )
        })
        .or_misuse()
}
