//! `fieldseal retention`: how long evidence is kept, and what expires when.

use std::io::{self, Write as _};

use evidence::instant::Instant;
use protocol::{policy::Role, retention::DueRow};
use serde_json::json;

use super::table;
use crate::{
    cli::{Retention, RetentionDue, SetRetention, ShowRetention},
    exit::Exit,
    home::Home,
    inert::{inert, inert_whole},
    retention::{self, Shown, Wish},
    session::Session,
    trust,
};

/// Runs it.
///
/// # Errors
/// The person may not, or the server can't be reached or refuses.
pub fn run(args: &Retention, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    match args {
        Retention::Show(args) => show(args, &session),
        Retention::Set(args) => set(args, &session),
        Retention::Due(args) => due(args, &session),
    }
}

fn rules(session: &Session) -> anyhow::Result<Vec<Shown>> {
    let policies = trust::policies(&session.home, &session.believed)?;
    retention::read(session.remote.retention()?, &policies)
}

fn show(args: &ShowRetention, session: &Session) -> anyhow::Result<Exit> {
    let mut shown = rules(session)?;
    shown.retain(|one| args.all || one.row.in_force);
    let mut out = io::stdout().lock();
    if args.json {
        let rows = shown.iter().map(|one| {
            json!({"rule": one.rule, "rule_sha256": one.sha256, "signed": one.is_signed,
                "in_force": one.row.in_force, "taken": one.row.taken, "counts_from": one.row.counts_from})
        });
        serde_json::to_writer_pretty(&mut out, &json!({"rules": rows.collect::<Vec<_>>()}))?;
        writeln!(out)?;
    } else if shown.is_empty() {
        writeln!(out, "No rule is in force: nothing expires.")?;
    } else {
        table::write(&mut out, &rule_rows(&shown))?;
    }
    Ok(match shown.iter().all(|one| one.is_signed) {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

fn rule_rows(shown: &[Shown]) -> Vec<Vec<String>> {
    let head = [
        "AGENCY",
        "CASE",
        "RULE",
        "KEEPS",
        "BY",
        "COUNTS FROM",
        "STATE",
        "REASON",
    ];
    let mut rows = vec![table::row(head)];
    rows.extend(shown.iter().map(|one| {
        let state = match (one.is_signed, one.row.in_force) {
            (false, _) => "NOT SIGNED BY WHO MAY",
            (true, true) => "in force",
            (true, false) => "replaced",
        };
        vec![
            one.rule.agency.to_string(),
            one.rule.case.clone().unwrap_or_else(|| "all others".into()),
            one.rule.version.to_string(),
            retention::keeps(one.rule.keep_days),
            one.rule.by.to_string(),
            table::time(one.row.counts_from),
            state.to_owned(),
            one.rule.reason.clone(),
        ]
    }));
    rows
}

fn set(args: &SetRetention, session: &Session) -> anyhow::Result<Exit> {
    session.demand(Role::Admin)?;
    let wish = Wish {
        agencies: args.agencies.clone(),
        case: args.case.clone(),
        keep_days: args.days.filter(|_| !args.for_ever),
        reason: args.reason.clone(),
    };
    let drafts = retention::draft(session, &wish, &rules(session)?)?;
    for rule in &drafts {
        writeln!(
            io::stderr(),
            "To be signed by {}: {} keeps each collection {} after its last part was received; then its contents are deleted, unless a hold keeps them.",
            session.me.id,
            inert_whole(&rule.to_string()),
            retention::keeps(rule.keep_days),
        )?;
    }
    let key = session.unlock()?;
    let mut out = io::stdout().lock();
    for rule in &drafts {
        let proven = retention::hand_in(session, rule, &key)?;
        match args.json {
            true => writeln!(out, "{}", json!({"rule": rule, "leaf": proven.index}))?,
            false => writeln!(
                out,
                "{} is in force: leaf {} of the custody log",
                inert(&rule.to_string()),
                proven.index
            )?,
        }
    }
    Ok(Exit::Done)
}

fn due(args: &RetentionDue, session: &Session) -> anyhow::Result<Exit> {
    let mut rows = session.remote.due()?.collections;
    if let Some(within) = args.within {
        let until = within.after(Instant::now());
        rows.retain(|row| row.expired.is_none() && row.due.is_some_and(|due| due <= until));
    }
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &json!({ "collections": rows }))?;
        writeln!(out)?;
        return Ok(Exit::Done);
    }
    let known = rules(session)?;
    let mut lines = vec![table::row([
        "COLLECTION",
        "CASE",
        "HOST",
        "RECEIVED",
        "EXPIRES",
        "RULE",
        "KEPT BY",
    ])];
    lines.extend(rows.iter().map(|row| due_row(row, &known)));
    table::write(&mut out, &lines)?;
    Ok(Exit::Done)
}

fn due_row(row: &DueRow, known: &[Shown]) -> Vec<String> {
    let rule = known.iter().find(|one| Some(one.sha256) == row.rule_sha256);
    let expires = match (row.expired, row.due) {
        (Some(at), _) => format!("expired {}", table::time(at)),
        (None, due) => table::time_or_never(due),
    };
    let mut keeps: Vec<String> = row.holds.iter().map(ToString::to_string).collect();
    if !row.complete {
        keeps.push("parts missing".to_owned());
    }
    vec![
        row.collection.to_string(),
        row.case.clone().unwrap_or_default(),
        row.hostname.clone(),
        table::time(row.received),
        expires,
        rule.map_or_else(|| "none".to_owned(), |one| one.rule.to_string()),
        keeps.join(" "),
    ]
}
