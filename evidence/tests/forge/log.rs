//! The receipts that the server gave for genuine evidence, before anybody was at it.

use evidence::{
    custody::event::{Action, StoredPart},
    digest::Digest,
    seal::{self, Expected, Trust},
    statement::{self, Statement},
};

use super::{Files, at, authority, deployment::Deployment};

/// Adds the receipts that the server gave for what is on an order, where the case has none of its own: for
/// what the statements speak of, whatever was done to the parts since.
pub(crate) fn receipts(world: &Deployment, files: &mut Files) {
    give(world, files, |said| said.order.is_some());
}

/// The same for what `is_sent`.
pub(crate) fn give(world: &Deployment, files: &mut Files, is_sent: fn(&Statement) -> bool) {
    let statements: Vec<_> = files
        .iter()
        .filter_map(|(name, json)| Some((name.strip_suffix(".statement.json")?, json)))
        .filter_map(|(stem, json)| Some((stem.to_owned(), statement::read_unverified(json).ok()?)))
        .filter(|(_, (_, said))| is_sent(said))
        .collect();
    let is_enrolled = files.keys().any(|name| name.starts_with("enrolment"));
    let mut keys = Vec::new();
    for (stem, (envelope, said)) in statements {
        let leaf = received(&said, envelope.digest());
        let receipt = authority::receipt(&world.log, leaf, at(60), &world.time_key());
        files.entry(format!("{stem}.receipt")).or_insert(receipt);
        let enrolled = (said.agent, key(&said));
        if is_enrolled || keys.contains(&enrolled) {
            continue;
        }
        keys.push(enrolled);
        let name = match keys.len() {
            1 => "enrolment.receipt".to_owned(),
            number => format!("enrolment-{number}.receipt"),
        };
        let leaf = authority::enrolled(enrolled.0, enrolled.1);
        let receipt = authority::receipt(&world.log, leaf, at(-900_000), &world.time_key());
        files.insert(name, receipt);
    }
}

fn received(said: &Statement, statement_sha256: Digest) -> Action {
    Action::Received {
        part: StoredPart {
            collection: said.collection,
            part: said.part,
            stored_sha256: said.stored().sha256,
        },
        agent: said.agent,
        size_bytes: said.stored().size_bytes,
        statement_sha256,
    }
}

/// The key of the seal certificate that a statement carries.
fn key(said: &Statement) -> Digest {
    let chain: Vec<_> = said.certificates.iter().map(|c| c.0.clone()).collect();
    let expected = Expected {
        trust: &Trust::none(),
        agent: None,
        at: None,
    };
    let report = seal::check_certificates(&chain, expected, said.time);
    report.signer.unwrap().key.unwrap().key_id()
}
