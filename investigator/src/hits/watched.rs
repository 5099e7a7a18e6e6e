//! Hits straight from the server, as parts arrive: each is opened and verified in memory, and kept nowhere.

use std::io::{self, Read as _, Write as _};

use anyhow::{Context as _, bail, ensure};
use data_encoding::BASE64;
use evidence::{
    digest::Digest,
    ids::OrderId,
    verify::{Beside, Paper},
};

use super::{Keys, PartHits, fetched, read, show, show::Style};
use crate::{
    exit::Exit,
    follow::View,
    inert::inert,
    remote::Remote,
    stream::{self, Framed},
};

/// No part is taken into memory that is longer.
const PART_BYTES: u64 = 256 << 20;

/// Reads the parts of an order that are new, and shows what is in them.
pub struct Watched<'s> {
    remote: &'s Remote,
    order: OrderId,
    keys: Keys,
    style: Style,
    cursor: u64,
    /// How many parts the server had at the last look.
    parts: u64,
    begun: bool,
    exit: Exit,
}

impl<'s> Watched<'s> {
    /// From the order's first part on.
    pub const fn new(remote: &'s Remote, order: OrderId, keys: Keys, style: Style) -> Self {
        Self {
            remote,
            order,
            keys,
            style,
            cursor: 0,
            parts: 0,
            begun: false,
            exit: Exit::Done,
        }
    }

    /// Looks where the server has more parts than before.
    ///
    /// # Errors
    /// The server refuses, or nothing can be shown.
    pub fn news(&mut self, view: &View) -> anyhow::Result<()> {
        let parts = view.hosts.iter().map(|h| u64::from(h.parts_received)).sum();
        if parts > self.parts {
            self.parts = parts;
            self.look()?;
        }
        Ok(())
    }

    /// Looks once more, and says how it went.
    ///
    /// # Errors
    /// The server refuses, or nothing can be shown.
    pub fn end(&mut self) -> anyhow::Result<Exit> {
        self.look()?;
        Ok(self.exit)
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if !self.begun {
            show::head(&mut out, self.style)?;
            self.begun = true;
        }
        let Self {
            remote,
            order,
            keys,
            style,
            cursor,
            exit,
            ..
        } = self;
        *cursor = stream::each(remote, *order, *cursor, &mut |framed| {
            let how = match one(remote, *order, keys, framed) {
                Ok(part) => fetched::tell(&mut out, *style, &part)?,
                Err(error) => {
                    writeln!(io::stderr(), "{}", inert(&format!("{error:#}")))?;
                    Exit::Partial
                }
            };
            *exit = exit.worse(how);
            Ok(())
        })?;
        Ok(out.flush()?)
    }
}

fn one(
    remote: &Remote,
    order: OrderId,
    keys: &Keys,
    Framed { head, content }: Framed,
) -> anyhow::Result<PartHits> {
    let name = format!("Part {} of {}", head.part.part, head.collection);
    if let Some(expired) = &head.expired {
        bail!("{name} is gone: it {expired}.");
    }
    let bytes = match content {
        Some(bytes) => bytes,
        None => download(remote, &head, &name)?,
    };
    ensure!(
        Digest::of(&bytes) == head.part.stored_sha256,
        "{name} has not the digest that was sealed. Tell the server's operator."
    );
    let paper = |name: &str, text: String| Paper {
        name: name.to_owned(),
        bytes: text.into_bytes(),
    };
    let stamp = head
        .tsr
        .map(|tsr| BASE64.decode(tsr.as_bytes()))
        .transpose();
    let beside = Beside {
        statement: Some(head.statement.into_bytes()),
        stamp: stamp.context("A time stamp is no base64.")?,
        receipt: Some(head.receipt.into_bytes()),
        enrolments: vec![paper("enrolment.receipt", head.enrolment)],
        revocations: head
            .revocation
            .into_iter()
            .map(|text| paper("revocation.receipt", text))
            .collect(),
    };
    let part = read::part(&name, &bytes, &beside, keys)?;
    ensure!(
        part.order.is_some_and(|(id, _)| id == order),
        "{name} is of another order. Tell the server's operator."
    );
    Ok(part)
}

fn download(
    remote: &Remote,
    head: &protocol::messages::PartFrame,
    name: &str,
) -> anyhow::Result<Vec<u8>> {
    let row = &head.part;
    ensure!(
        row.size_bytes <= PART_BYTES,
        "{name} is longer than 256 MiB. Fetch the order, and look with --fetched."
    );
    let got = remote.part(head.collection, row.part, row.stored_sha256, 0)?;
    let mut bytes = Vec::new();
    let read = got.body.take(row.size_bytes).read_to_end(&mut bytes);
    read.with_context(|| format!("{name} broke off. Try again."))?;
    Ok(bytes)
}
