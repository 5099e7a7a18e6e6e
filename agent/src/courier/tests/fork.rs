//! A cloned identity: told to the reader, and one of its own taken up by both halves or by none, wherever it is cut off.

use evidence::ids::AgentId;
use protocol::enrolment::EnrolResponse;
use rcgen::{CertificateSigningRequestParams, PublicKeyData as _};

use super::{World, bytes, enrolment::facts};
use crate::{
    courier::{
        service::CourierError,
        testing::{AGENT, Act, Courier, until},
    },
    link::{FromReader, FromSpool, VERSION},
};

const REQUEST: &str = "the reader's request";

/// A courier that has been told that its identity is cloned, and whose reader has asked for another.
fn asked(world: &World) -> Courier {
    let mut courier = Courier::start_ungreeted(world.state.path());
    courier.greet_as(Some(AGENT));
    assert_eq!(courier.hear().0, FromSpool::Welcome { v: VERSION });
    assert_eq!(courier.hear().0, FromSpool::Cloned {});
    ask(&mut courier);
    courier
}

fn ask(courier: &mut Courier) {
    courier.say(&FromReader::Fork {
        envelope: REQUEST.into(),
        host: facts(),
    });
}

/// The agent that the reader is handed.
fn handed(courier: &mut Courier) -> AgentId {
    let (said, file) = courier.hear();
    assert_eq!(said, FromSpool::Forked {});
    let text = std::io::read_to_string(std::fs::File::from(file.unwrap())).unwrap();
    let answer: EnrolResponse = serde_json::from_str(&text).unwrap();
    answer.agent
}

fn key_of(csr_pem: &str) -> Vec<u8> {
    let csr = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
    csr.public_key.subject_public_key_info()
}

fn cloned() -> World {
    let world = World::new();
    world.server.with(|s| s.is_cloned = true);
    world
}

/// The courier is this agent and no other, with a key of its own, and goes on as it.
fn is(world: &World, agent: AgentId, old_key: &str) {
    world.server.with(|s| s.is_cloned = false);
    let mut courier = Courier::start_ungreeted(world.state.path());
    courier.greet_as(Some(agent));
    assert_eq!(courier.hear().0, FromSpool::Welcome { v: VERSION });
    assert_eq!(world.folder.settings().unwrap().agent, agent);
    let key = world.folder.text(&world.folder.key(agent)).unwrap();
    assert_ne!(key, old_key);
    let folder = world.state.path().join("courier");
    for gone in ["tls.key", "tls.crt", "fork.key", "courier.toml.pending"] {
        assert!(!folder.join(gone).exists(), "{gone}");
    }
    courier.stop().unwrap();
}

fn key(world: &World) -> String {
    world.folder.text(&world.folder.key(AGENT)).unwrap()
}

#[test]
fn a_cloned_agent_becomes_another_once_the_reader_keeps_it() {
    let world = cloned();
    let old_key = key(&world);
    let mut courier = asked(&world);
    let agent = handed(&mut courier);
    assert_eq!(world.folder.settings().unwrap().agent, AGENT, "not before");
    courier.say(&FromReader::ForkKept { agent });
    let ended = courier.ended();
    assert!(
        matches!(ended, Err(CourierError::Forked(a)) if a == agent),
        "{ended:?}"
    );
    is(&world, agent, &old_key);
}

#[test]
fn what_lies_in_the_spool_is_delivered_under_the_old_identity_first() {
    let world = cloned();
    world
        .server
        .fault("POST", "/v1/parts", Act::Refuse(503, Some(1)));
    let mut courier = Courier::start(world.state.path());
    assert_eq!(courier.hear().0, FromSpool::Cloned {});
    courier.begin();
    courier.seal(1, &bytes(1000));
    ask(&mut courier);
    handed(&mut courier);
    assert!(world.server.part(1).is_some());
    let requests = world.server.with(|s| s.requests.clone());
    let place = |what: &str| requests.iter().position(|r| r.starts_with(what)).unwrap();
    assert!(place("PATCH /v1/parts/") < place("POST /v1/agent/fork"));
    courier.stop().unwrap();
}

#[test]
fn a_part_that_the_server_never_takes_does_not_hold_it_up() {
    let world = cloned();
    world
        .server
        .fault("POST", "/v1/parts", Act::Refuse(422, None));
    let mut courier = Courier::start(world.state.path());
    assert_eq!(courier.hear().0, FromSpool::Cloned {});
    courier.begin();
    courier.seal(1, &bytes(1000));
    ask(&mut courier);
    handed(&mut courier);
    assert!(world.server.is_faultless());
    courier.stop().unwrap();
}

#[test]
fn killed_at_any_step_it_goes_on_and_is_one_agent_or_the_other() {
    let world = cloned();
    let old_key = key(&world);
    // The server has answered, and nobody has heard it.
    world.server.fault("POST", "/v1/agent/fork", Act::CutAnswer);
    let courier = asked(&world);
    until("it was asked", || world.server.with(|s| s.forks.len()) > 0);
    courier.stop().unwrap();
    // The reader has heard it, and not kept it.
    let mut courier = asked(&world);
    let agent = handed(&mut courier);
    courier.stop().unwrap();
    assert_eq!(world.folder.settings().unwrap().agent, AGENT);
    assert_eq!(key(&world), old_key);
    // The reader has kept it, and its word was not heard.
    let mut courier = asked(&world);
    assert_eq!(handed(&mut courier), agent);
    courier.stop().unwrap();
    let requests = world.server.with(|s| s.forks.clone());
    assert!(requests.len() >= 3);
    let keys = requests.iter().map(|r| key_of(&r.tls_csr));
    assert_eq!(
        keys.collect::<std::collections::BTreeSet<_>>().len(),
        1,
        "one key for all tries"
    );
    let mut courier = Courier::start_ungreeted(world.state.path());
    courier.greet_as(Some(agent));
    let ended = courier.ended();
    assert!(
        matches!(ended, Err(CourierError::Forked(a)) if a == agent),
        "{ended:?}"
    );
    is(&world, agent, &old_key);
}

#[test]
fn a_reader_of_another_agent_is_not_served() {
    let world = World::new();
    let mut courier = Courier::start_ungreeted(world.state.path());
    courier.greet_as(Some(AgentId::from_bytes([9; 16])));
    let ended = courier.ended();
    assert!(
        matches!(ended, Err(CourierError::OtherAgent(_))),
        "{ended:?}"
    );
    assert_eq!(world.folder.settings().unwrap().agent, AGENT);
}

#[test]
fn each_start_says_that_it_is_another() {
    let world = World::new();
    let instances = || -> Vec<String> {
        let requests = world.server.with(|s| s.requests.clone());
        let asked = requests.iter().filter_map(|r| r.split("instance=").nth(1));
        asked
            .map(|r| r.split('&').next().unwrap().to_owned())
            .collect()
    };
    for starts in 1..=2 {
        let courier = world.start();
        until("it asks", || instances().len() >= starts);
        courier.stop().unwrap();
    }
    let said = instances();
    assert_ne!(said.first(), said.last());
    assert!(said.iter().all(|id| id.len() == 32));
}
