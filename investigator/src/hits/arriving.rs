//! Parts of a hunt straight from the server, as they arrive: each is opened and verified in memory, and kept nowhere.

use std::io::Read as _;

use anyhow::{Context as _, bail, ensure};
use data_encoding::BASE64;
use evidence::{
    digest::Digest,
    ids::OrderId,
    verify::{Beside, Paper},
};

use super::{Keys, PartHits, read};
use crate::{
    remote::Remote,
    stream::{self, Framed},
};

/// No part is taken into memory that is longer.
const PART_BYTES: u64 = 256 << 20;

/// The parts of one order, each looked at once.
#[derive(Debug)]
pub struct Arriving {
    order: OrderId,
    keys: Keys,
    cursor: u64,
}

impl Arriving {
    /// From the order's first part on.
    pub const fn new(order: OrderId, keys: Keys) -> Self {
        Self {
            order,
            keys,
            cursor: 0,
        }
    }

    /// Hands over what is in each part that is new; of one that is not genuine or can't be read, why.
    ///
    /// # Errors
    /// The server refuses, or `take` fails.
    pub fn look(
        &mut self,
        remote: &Remote,
        take: &mut dyn FnMut(anyhow::Result<PartHits>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self {
            order,
            keys,
            cursor,
        } = self;
        *cursor = stream::each(remote, *order, *cursor, &mut |framed| {
            take(one(remote, *order, keys, framed))
        })?;
        Ok(())
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
