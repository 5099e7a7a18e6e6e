//! `fieldseal form`: verifies collections, and fills in the chain-of-custody form of each.

use std::io::{self, Write as _};

use anyhow::Context as _;
use evidence::verify::{CollectionReport, Options};

use super::verify;
use crate::{
    check, cli,
    exit::{Exit, OrMisuse as _, misuse},
    form::{self, Form},
    inert::inert,
    private, report,
};

/// Runs it.
///
/// # Errors
/// A path or a key can't be read, no key opens the parts, or the form can't be written.
pub fn run(args: &cli::Form) -> anyhow::Result<Exit> {
    let options = verify::options(&args.grounds).or_misuse()?;
    let checked = check::paths(&args.paths, &options)?;
    for one in &checked.aside {
        writeln!(io::stderr(), "{}: {}", inert(&one.file), one.why)?;
    }
    for report in &checked.reports {
        demand_opened(report, &options)?;
    }
    let forms = checked.reports.iter();
    let forms: Vec<Form> = forms
        .map(|report| Form::of(&checked.check, report))
        .collect::<anyhow::Result<_>>()?;
    let text = match report::is_page(&args.output) {
        true => form::page(&forms)?,
        false => form::whole(&forms),
    };
    let shown = args.output.display();
    // It names people, hosts and places.
    private::create(&args.output, text.as_bytes()).with_context(|| {
        format!("{shown} can't be written. Choose a new file in a folder that you may write to.")
    })?;
    for report in &checked.reports {
        let of = report
            .collection
            .map_or_else(String::new, |id| format!(" {id}"));
        writeln!(io::stdout(), "{}:{of}", report.verdict.headline())?;
    }
    writeln!(io::stdout(), "The form is in {shown}.")?;
    Ok(Exit::from(checked.verdict))
}

/// Without the contents there is nothing to fill in; what could not be read for its faults gets its form.
fn demand_opened(report: &CollectionReport, options: &Options) -> anyhow::Result<()> {
    let is_closed = |part: &&evidence::verify::PartReport| {
        part.encrypted
            && !part.opened
            && part.findings.verdict() != evidence::verify::Verdict::NotGenuine
    };
    let Some(part) = report.parts.iter().find(is_closed) else {
        return Ok(());
    };
    let why = match options.identities.is_empty() {
        true => "Name the file with the vault's key with --identity.",
        false => {
            "None of the keys in the file opens it. Name the vault's, or that of whoever ordered it."
        }
    };
    Err(misuse(format!("{} is encrypted. {why}", inert(&part.file))))
}
