//! Hits out of parts that lie in a folder.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::ensure;
use evidence::ids::OrderId;

use super::{Keys, PartHits, read, show, show::Style};
use crate::{commands::files, exit::Exit, inert::inert};

/// No part with hits that is read here is longer.
const PART_BYTES: u64 = 1 << 30;

/// Shows the hits of `order` in the parts below `folder`.
///
/// # Errors
/// There is no part of it, or the output can't be written.
pub fn show(folder: &Path, order: OrderId, keys: &Keys, style: Style) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    show::head(&mut out, style)?;
    let (all, mut exit) = of_order(folder, order, keys)?;
    for part in all {
        exit = exit.worse(tell(&mut out, style, &part)?);
    }
    out.flush()?;
    Ok(exit)
}

/// Writes the hits of a part; what its hunt could not look at goes to standard error.
pub(super) fn tell(out: &mut dyn io::Write, style: Style, part: &PartHits) -> anyhow::Result<Exit> {
    for hit in &part.hits {
        show::hit(out, style, hit)?;
    }
    for gap in &part.gaps {
        writeln!(io::stderr(), "not looked at: {}", inert(gap))?;
    }
    Ok(match part.gaps.is_empty() {
        true => Exit::Done,
        false => Exit::Partial,
    })
}

/// What the parts below `folder` that were made on `order` say. A part that is not genuine is said and gives nothing.
///
/// # Errors
/// The folder can't be read, or holds no part of the order.
pub fn of_order(
    folder: &Path,
    order: OrderId,
    keys: &Keys,
) -> anyhow::Result<(Vec<PartHits>, Exit)> {
    let files::Found { parts, .. } = files::parts(&[folder.to_owned()])?;
    let (mut all, mut exit) = (Vec::new(), Exit::Done);
    for path in parts {
        let name = path.display().to_string();
        let beside = files::beside(&path)?;
        let read = files::read(&path, PART_BYTES)
            .and_then(|bytes| read::part(&name, &bytes, &beside, keys));
        match read {
            Ok(part) if part.order.is_some_and(|(id, _)| id == order) => all.push(part),
            Ok(_) => {}
            Err(error) => {
                writeln!(io::stderr(), "{}", inert(&format!("{error:#}")))?;
                exit = exit.worse(Exit::Partial);
            }
        }
    }
    ensure!(
        !all.is_empty(),
        "No part of {order} lies in {}. Fetch it with `fieldseal fetch {order}`.",
        folder.display()
    );
    Ok((all, exit))
}
