//! `fieldseal audit`: downloads the custody log, checks all of it, and prints who did what when.

use std::io::{self, Write as _};

use anyhow::{Context as _, ensure};
use evidence::count;
use protocol::messages::{MAX_LEAVES, WITHHELD};
use serde_json::json;

use crate::{
    audit::{Examiner, Fault, Outcome, case::CaseFilter, words},
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
    let mut examiner = Examiner::new(&policies);
    download(&session, &mut examiner)?;
    let mut outcome = examiner.finish(&session.checkpoint, session.seen_before.as_ref());
    if let Some(case) = &args.case {
        outcome.rows = filter(&session, case)?.choose(outcome.rows);
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

/// Reads exactly the leaves that the checkpoint speaks of.
fn download(session: &Session, examiner: &mut Examiner) -> anyhow::Result<()> {
    let size = session.checkpoint.size;
    while examiner.size() < size {
        let from = examiner.size();
        let count = (size - from).min(MAX_LEAVES);
        let answer = session.remote.leaves(from, count)?;
        ensure!(
            answer.from == from && !answer.leaves.is_empty() && answer.leaves.len() as u64 <= count,
            "The server shows other leaves than were asked for. It holds some back, or is at fault."
        );
        for leaf in &answer.leaves {
            if let Some(hash) = leaf.strip_prefix(WITHHELD) {
                let hash = hash.parse().ok();
                examiner.withheld(hash.context("The server shows a leaf's hash that is none.")?);
                continue;
            }
            let leaf = data_encoding::BASE64.decode(leaf.as_bytes());
            examiner.leaf(&leaf.context("The server shows a leaf that is not base64.")?);
        }
    }
    Ok(())
}

fn filter(session: &Session, case: &str) -> anyhow::Result<CaseFilter> {
    let mut filter = CaseFilter::default();
    let orders = session.remote.orders()?.orders.into_iter();
    filter
        .orders
        .extend(orders.filter(|o| o.case == case).map(|o| o.order));
    let collections = session.remote.collections(None)?.collections.into_iter();
    for row in collections.filter(|c| c.case.as_deref() == Some(case)) {
        filter.collections.insert(row.collection);
        filter.agents.insert(row.agent);
    }
    Ok(filter)
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
