//! `fieldseal hold`: places, lifts and lists legal holds.

use std::io::{self, Write as _};

use protocol::hold::Covers;
use serde_json::json;

use super::table;
use crate::{
    cli::{Hold, LiftHold, ListHolds, PlaceHold},
    exit::{Exit, misuse},
    hold::{self, Shown},
    home::Home,
    inert::{inert, inert_whole},
    session::Session,
    targets, trust,
};

/// Runs it.
///
/// # Errors
/// The person may not, or the server can't be reached or refuses.
pub fn run(args: &Hold, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    match args {
        Hold::Place(args) => place(args, &session),
        Hold::Lift(args) => lift(args, &session),
        Hold::List(args) => list(args, &session),
    }
}

fn holds(session: &Session) -> anyhow::Result<Vec<Shown>> {
    let policies = trust::policies(&session.home, &session.believed)?;
    hold::read(session.remote.holds()?, &policies)
}

fn place(args: &PlaceHold, session: &Session) -> anyhow::Result<Exit> {
    let draft = hold::draft(
        session,
        covers(args, session)?,
        args.agency.as_ref(),
        &args.reason,
    )?;
    let (kind, subject) = draft.covers.parts();
    writeln!(
        io::stderr(),
        "To be signed by {}: nothing of {kind} {} expires at {}, until an admin who is not you lifts hold {}.",
        session.me.id,
        inert_whole(&subject),
        draft.agency,
        draft.id,
    )?;
    let proven = hold::place(session, &draft, &session.unlock()?)?;
    let placed = session.remote.holds()?;
    let placed = hold::read(placed, &[])?;
    let covered = placed.iter().find(|one| one.hold.id == draft.id);
    let covered = covered.map_or(0, |one| one.row.collections);
    let mut out = io::stdout().lock();
    match args.json {
        true => writeln!(
            out,
            "{}",
            json!({"hold": draft.id, "collections": covered, "leaf": proven.index})
        )?,
        false => writeln!(
            out,
            "hold {} is placed and covers {} now: leaf {} of the custody log",
            draft.id,
            evidence::count::of(u64::from(covered), "collection", "collections"),
            proven.index
        )?,
    }
    Ok(Exit::Done)
}

/// What the command line names; one of the four is there.
fn covers(args: &PlaceHold, session: &Session) -> anyhow::Result<Covers> {
    if let Some(case) = &args.case {
        return Ok(Covers::Case { case: case.clone() });
    }
    if let Some(order) = args.order {
        return Ok(Covers::Order { order });
    }
    if let Some(collection) = args.collection {
        return Ok(Covers::Collection { collection });
    }
    let named = args.host.iter().cloned().collect::<Vec<_>>();
    let all = session.remote.hosts()?.hosts;
    match targets::by_name(&all, &named)?.hosts.as_slice() {
        [one] => Ok(Covers::Host { host: one.host }),
        _ => Err(misuse(
            "Several hosts have this name. Name one by its agent's id.",
        )),
    }
}

fn lift(args: &LiftHold, session: &Session) -> anyhow::Result<Exit> {
    let all = holds(session)?;
    let found = all.iter().find(|one| one.hold.id == args.hold);
    let shown = found.ok_or_else(|| {
        misuse(format!(
            "Your agencies have no hold {}. See `fieldseal hold list`.",
            args.hold
        ))
    })?;
    anyhow::ensure!(
        shown.is_signed,
        "Nobody who may has signed this hold: the server shows a forged one. Tell its operator."
    );
    let draft = hold::draft_lift(session, shown, &args.reason)?;
    let (kind, subject) = shown.hold.covers.parts();
    writeln!(
        io::stderr(),
        "To be signed by {}: hold {} of {} on {kind} {} ends ({}). What is due expires from then on.",
        session.me.id,
        shown.hold.id,
        inert(shown.hold.by.as_str()),
        inert_whole(&subject),
        inert_whole(&shown.hold.reason),
    )?;
    let proven = hold::lift(session, &draft, &session.unlock()?)?;
    let mut out = io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", json!({"hold": draft.hold, "leaf": proven.index}))?,
        false => writeln!(
            out,
            "hold {} is lifted: leaf {} of the custody log",
            draft.hold, proven.index
        )?,
    }
    Ok(Exit::Done)
}

fn list(args: &ListHolds, session: &Session) -> anyhow::Result<Exit> {
    let mut shown = holds(session)?;
    shown.retain(|one| args.all || one.is_in_force());
    let mut out = io::stdout().lock();
    if args.json {
        let rows = shown.iter().map(|one| {
            json!({"hold": one.hold, "hold_sha256": one.sha256, "signed": one.is_signed,
                "placed": one.row.placed, "lifted": one.row.lifted, "collections": one.row.collections})
        });
        serde_json::to_writer_pretty(&mut out, &json!({"holds": rows.collect::<Vec<_>>()}))?;
        writeln!(out)?;
    } else if shown.is_empty() {
        writeln!(out, "No hold is in force.")?;
    } else {
        table::write(&mut out, &hold_rows(&shown))?;
    }
    Ok(match shown.iter().all(|one| one.is_signed) {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

fn hold_rows(shown: &[Shown]) -> Vec<Vec<String>> {
    let head = [
        "HOLD",
        "AGENCY",
        "COVERS",
        "NOW",
        "BY",
        "PLACED",
        "STATE",
        "LEGAL BASIS",
    ];
    let mut rows = vec![table::row(head)];
    rows.extend(shown.iter().map(|one| {
        let (kind, subject) = one.hold.covers.parts();
        let state = match (one.is_signed, one.row.lifted) {
            (false, _) => "NOT SIGNED BY WHO MAY".to_owned(),
            (true, Some(at)) => format!("lifted {}", table::time(at)),
            (true, None) => "in force".to_owned(),
        };
        vec![
            one.hold.id.to_string(),
            one.hold.agency.to_string(),
            format!("{kind} {subject}"),
            one.row.collections.to_string(),
            one.hold.by.to_string(),
            table::time(one.row.placed),
            state,
            one.hold.reason.clone(),
        ]
    }));
    rows
}
