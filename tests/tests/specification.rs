//! PROTOCOL.md's table of endpoints is the server's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use collector_server::{
    access::Who,
    router::{ROUTES, Route},
};
use protocol::policy::Role;

const HEAD: &str = "| method | path | who | at most | asks | answers | else |\n";

/// A row's first four cells, as the specification writes them.
fn row(route: &Route) -> [String; 4] {
    let path = route
        .path
        .split('/')
        .map(|segment| segment.trim_matches(['{', '}']))
        .zip(route.path.split('/'))
        .map(|(name, segment)| match name == segment {
            true => name.to_owned(),
            false => name.to_uppercase(),
        });
    let path: Vec<_> = path.collect();
    [
        route.method.to_owned(),
        format!("`{}`", path.join("/")),
        who(route.who),
        at_most(route.max_bytes),
    ]
}

fn who(who: Who) -> String {
    match who {
        Who::Anybody => "anybody".into(),
        Who::Agent => "agent".into(),
        Who::AgentToRenew => "agent (ended too)".into(),
        Who::People(roles) => people(roles).join(", "),
        Who::AgentOrPeople(roles) => format!("agent, {}", people(roles).join(", ")),
    }
}

fn people(roles: &[Role]) -> Vec<String> {
    let word = |role: &Role| serde_json::to_value(role).unwrap();
    let words = roles.iter().map(word);
    words.map(|w| w.as_str().unwrap().to_owned()).collect()
}

fn at_most(bytes: usize) -> String {
    match bytes {
        0 => "-".into(),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes >> 10),
    }
}

#[test]
fn the_table_of_endpoints_is_the_servers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/PROTOCOL.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once(HEAD).unwrap();
    let rows = table.lines().skip(1).take_while(|l| l.starts_with('|'));
    let said: Vec<[String; 4]> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').skip(1).map(str::trim).collect();
            [0, 1, 2, 3].map(|at| cells[at].to_owned())
        })
        .collect();
    let held: Vec<[String; 4]> = ROUTES.iter().map(row).collect();
    assert_eq!(said, held);
}
