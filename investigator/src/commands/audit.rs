//! `fieldseal audit`: downloads the custody log, checks all of it, and prints who did what when.

use std::io::{self, Write as _};

use evidence::count;
use serde_json::json;

use crate::{
    audit::{Fault, Outcome, contact, words},
    cli::Audit,
    exit::Exit,
    home::Home,
    inert::inert,
    session::Session,
    trust,
};

/// Runs it.
///
/// # Errors
/// The log can't be fetched, or the server shows another one than before.
pub fn run(args: &Audit, home: Home) -> anyhow::Result<Exit> {
    // Contact itself demands that the log continues what was seen before; so look at that first.
    let session = Session::open(home)?;
    let policies = trust::policies(&session.home, &session.believed)?;
    let mut outcome = contact::examine(&session, &policies)?;
    if let Some(case) = &args.case {
        outcome.rows = contact::filter(&session, case)?.choose(outcome.rows);
    }
    let holds = outcome.faults.is_empty();
    if args.json {
        print_json(&session, &outcome)?;
    } else {
        let mut names = words::Names::of(&policies);
        if let Ok(answer) = session.remote.hosts() {
            let rows = answer.hosts.into_iter();
            names.hosts = rows.map(|h| (h.agent, h.hostname)).collect();
        }
        print(&session, &outcome, &names)?;
    }
    Ok(if holds { Exit::Done } else { Exit::Failed })
}

fn print_json(session: &Session, outcome: &Outcome) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let checkpoint = &session.checkpoint;
    let object = json!({
        "origin": checkpoint.origin,
        "checkpoint": { "size": checkpoint.size, "root": checkpoint.root },
        "holds": outcome.faults.is_empty(),
        "audit": outcome,
    });
    serde_json::to_writer_pretty(&mut out, &object)?;
    Ok(writeln!(out)?)
}

fn print(session: &Session, outcome: &Outcome, names: &words::Names) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for row in &outcome.rows {
        writeln!(out, "{}", words::line(row, names))?;
    }
    for Fault { index, text } in &outcome.faults {
        let place = index.map_or_else(|| "the log".to_owned(), |i| format!("leaf {i}"));
        writeln!(out, "DOES NOT FIT, {place}: {}", inert(text))?;
    }
    let verdict = if outcome.faults.is_empty() {
        "The log holds: every leaf is signed by who may, the tree is as signed, and nothing seen before was changed."
    } else {
        "THE LOG DOES NOT HOLD: see above. Keep this output and tell the deployment's auditors."
    };
    if outcome.withheld > 0 {
        let those = count::of(outcome.withheld, "leaf is", "leaves are");
        writeln!(
            out,
            "{those} of other agencies: counted into the tree by hash, not read here."
        )?;
    }
    writeln!(
        out,
        "{verdict}\n{}: {}, root {}",
        inert(&session.checkpoint.origin),
        count::of(outcome.size, "leaf", "leaves"),
        outcome.root
    )?;
    Ok(())
}
