//! The worked example of PROTOCOL.md: made by the code, so that it can't rot, and read back as it is printed.

mod chapters;
mod host;
pub(crate) mod keys;

use std::fs;

use evidence::envelope::Envelope;
use protocol::{messages::HandedOrder, order::RefusalNotice};

use self::{
    chapters::{example, json, payload},
    host::Host,
};
use crate::document::{self, EXAMPLE};

#[test]
fn the_worked_example_is_what_the_code_makes() {
    let text = document::text();
    let (_, found) = text.split_once(EXAMPLE).unwrap();
    assert!(
        found == example(),
        "make it again: cargo test -p fieldseal-protocol --test specification -- --ignored"
    );
}

#[test]
fn the_worked_example_holds_as_it_is_printed() {
    let text = document::text();
    let (_, chapter) = text.split_once(EXAMPLE).unwrap();
    let after = |title: &str| {
        let (_, rest) = chapter.split_once(&format!("\n{title}:\n\n")).unwrap();
        let lines = rest.lines().map_while(|line| line.strip_prefix("    "));
        lines.collect::<Vec<_>>()
    };
    let envelope = Envelope::parse(after("The order's envelope")[0].as_bytes()).unwrap();
    assert_eq!(payload(&envelope), after("The order, the payload")[0]);
    let proof = after("The root, which the order signs, and the second host's proof")[1];
    let host = Host {
        proof: serde_json::from_str(proof).unwrap(),
        ..Host::new()
    };
    assert_eq!(host.judge(&envelope).unwrap(), ["ann"]);
    let digests = after("`handed_digest` as the server has it, and as the agent has it");
    let [with, without] = [host.proof, None].map(|proof| HandedOrder {
        order: json(&envelope),
        proof,
    });
    assert_eq!(
        digests,
        [with.digest().to_string(), without.digest().to_string()]
    );
    let notice = after("The notice, the payload")[0];
    let notice: RefusalNotice = serde_json::from_str(notice).unwrap();
    assert_eq!(notice.handed_digest, without.digest());
    assert_eq!(notice.order_digest, envelope.digest());
}

#[test]
#[ignore = "writes the worked example into PROTOCOL.md"]
fn write() {
    let text = document::text();
    let (before, _) = text.split_once(EXAMPLE).unwrap();
    fs::write(document::path(), format!("{before}{EXAMPLE}{}", example())).unwrap();
}
