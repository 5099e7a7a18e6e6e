//! `fieldseal kit build`: certifies a kit, has it ordered, and writes it once enough people have signed.

use std::io::{self, Write as _};

use anyhow::{Context as _, ensure};
use evidence::{ids::OrderId, instant::Instant};
use protocol::policy::Role;
use serde_json::json;

use crate::{
    cli::{BuildKit, Kit},
    countersign::Asked,
    exit::Exit,
    home::Home,
    kit::{
        order,
        programs::{self, Program},
        waiting::Waiting,
        write::{self, Contents},
    },
    session::Session,
};

/// Runs it.
///
/// # Errors
/// The server does not take the kit or its order, or the folder can't be written.
pub fn run(args: &Kit, home: Home) -> anyhow::Result<Exit> {
    match args {
        Kit::Build(args) => build(args, home),
    }
}

fn build(args: &BuildKit, home: Home) -> anyhow::Result<Exit> {
    // Before anything is certified or signed.
    let programs = programs::find(&args.agents)?;
    let session = Session::open(home)?;
    session.demand(Role::Investigator)?;
    let order = match args.order {
        Some(order) => order,
        None => order::draw_up(&session, args, Instant::now())?,
    };
    finish(&session, args, order, &programs)
}

/// Writes the kit of an order that has its signatures.
fn finish(
    session: &Session,
    args: &BuildKit,
    order: OrderId,
    programs: &[Program],
) -> anyhow::Result<Exit> {
    let asked = Asked::get(session, order, &session.remote.hosts()?.hosts)?;
    let terms = asked
        .order
        .kit
        .as_ref()
        .with_context(|| format!("The order {order} is for no kit."))?;
    ensure!(
        Instant::now() < asked.order.expires && asked.status.cancel.is_none(),
        "The order {order} has ended. Build a new kit."
    );
    let approval = asked.approval(session)?;
    if approval.lacking() > 0 {
        let text = format!(
            "{}\nThen write the kit: fieldseal kit build --order {order} --output {}",
            approval.in_words(&asked.order),
            args.output.display()
        );
        writeln!(io::stderr(), "{text}")?;
        return Ok(Exit::Partial);
    }
    let waiting = Waiting::of(&session.home, terms.kit)?;
    let contents = Contents {
        order: &asked.order,
        envelope: &asked.envelope,
        waiting: &waiting,
        programs,
    };
    let sums_sha256 = write::write(session, &contents, &args.output)?;
    let kit = waiting.kit;
    let agent = waiting.agent;
    waiting.forget(&session.home)?;
    let mut out = io::stdout().lock();
    if args.json {
        let object = json!({
            "kit": kit,
            "agent": agent,
            "order": order,
            "output": args.output.display().to_string(),
            "sums_sha256": sums_sha256,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(
            out,
            "The kit {kit} is in {}.\nThe SHA-256 of its SHA256SUMS is\n  {sums_sha256}\nIts key is nowhere else. Where the stick is lost: fieldseal revoke {agent}",
            args.output.display()
        )?;
    }
    out.flush()?;
    Ok(Exit::Done)
}
