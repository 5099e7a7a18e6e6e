//! Enrolment: kept by both halves or by none.

use std::{fs, sync::Arc, thread, time::Duration};

use evidence::{
    digest::Digest,
    ids::{AgentId, HostId},
};
use protocol::enrolment::{EnrolResponse, HostFacts};

use super::names;
use crate::{
    courier::{
        enrol::{self, EnrolArgs, EnrolError, Wait},
        folder::Folder,
        http::HttpError,
        testing::{Act, Pki, Server},
    },
    link::{FromReader, FromSpool, Link, VERSION},
    platform::socket,
    reader::testing::csr_key,
};

pub(super) fn facts() -> HostFacts {
    HostFacts {
        id: HostId::from_bytes([1; 16]),
        hostname: "host".into(),
        os: "linux".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
        system: "Debian".into(),
        agent_version: "0".into(),
    }
}

/// Plays the reader: asks as often as it is shown whom the server obeys, and keeps the enrolment or refuses it; gives what
/// it heard last.
fn reader(mut link: Link, keeps: bool) -> FromSpool {
    let hello = FromReader::Hello {
        v: VERSION,
        policy_version: 0,
        agent: None,
    };
    link.send(&hello, None).unwrap();
    let (said, _) = link.receive::<FromSpool>().unwrap().unwrap();
    assert_eq!(said, FromSpool::Welcome { v: VERSION });
    let asked = FromReader::SealRequest {
        csr_pem: "csr".into(),
        host: facts(),
    };
    let (said, file) = loop {
        let (said, file) = link.receive::<FromSpool>().unwrap().unwrap();
        match (&said, file) {
            (_, None) => return said,
            (FromSpool::Trust {}, Some(_)) => link.send(&asked, None).unwrap(),
            (_, Some(file)) => break (said, file),
        }
    };
    let text = std::io::read_to_string(fs::File::from(file)).unwrap();
    let answer: EnrolResponse = serde_json::from_str(&text).unwrap();
    let answer = if keeps {
        FromReader::EnrolmentKept {
            agent: answer.agent,
            root_sha256: Digest::of(b""),
        }
    } else {
        FromReader::Failed {
            text: "the policy is forged".into(),
        }
    };
    link.send(&answer, None).unwrap();
    said
}

struct World {
    pki: Arc<Pki>,
    server: Server,
    state: tempfile::TempDir,
    root_pem: String,
    wait: Duration,
}

impl World {
    fn new() -> Self {
        let pki = Arc::new(Pki::new());
        Self {
            server: Server::start(&pki),
            state: tempfile::tempdir().unwrap(),
            root_pem: pki.root_pem.clone(),
            wait: Duration::from_secs(60),
            pki,
        }
    }

    fn enrol(&self, token: &str, keeps: bool) -> (Result<AgentId, EnrolError>, FromSpool) {
        let (ours, theirs) = socket::pair().unwrap();
        let reader = thread::spawn(move || reader(Link::new(theirs), keeps));
        let args = self.args(token, Wait::For(self.wait));
        let outcome = enrol::run(args, ours);
        (outcome, reader.join().unwrap())
    }

    /// Enrols as a host does at which nobody is.
    fn enrol_unattended(&self) -> Result<AgentId, EnrolError> {
        let (ours, theirs) = socket::pair().unwrap();
        let reader = thread::spawn(move || reader(Link::new(theirs), true));
        let outcome = enrol::run(self.args("token", Wait::ForEver), ours);
        reader.join().unwrap();
        outcome
    }

    fn args(&self, token: &str, wait: Wait) -> EnrolArgs {
        EnrolArgs {
            server: self.server.url(),
            proxy: None,
            root_pem: self.root_pem.clone(),
            token: token.into(),
            state_dir: self.state.path().to_path_buf(),
            wait,
        }
    }

    fn is_enrolled(&self) -> bool {
        Folder::below(self.state.path()).is_enrolled()
    }
}

#[test]
fn a_host_is_enrolled_once() {
    let world = World::new();
    let (outcome, heard) = world.enrol("token", true);
    assert_eq!(outcome.unwrap(), AgentId::from_bytes([7; 16]));
    assert_eq!(heard, FromSpool::Enrolled {});
    assert!(world.is_enrolled());
    let (outcome, heard) = world.enrol("token", true);
    assert!(matches!(outcome, Err(EnrolError::AlreadyEnrolled(_))));
    assert!(matches!(heard, FromSpool::Failed { text } if text.contains("enrolled already")));
    // And the courier can begin.
    let courier = crate::courier::testing::Courier::start(world.state.path());
    courier.stop().unwrap();
}

#[test]
fn a_reader_that_refuses_leaves_the_host_not_enrolled() {
    let world = World::new();
    let (outcome, _) = world.enrol("token", false);
    assert!(matches!(outcome, Err(EnrolError::Reader(why)) if why.contains("forged")));
    assert!(!world.is_enrolled());
    assert!(world.enrol("token", true).0.is_ok());
}

#[test]
fn the_servers_reason_reaches_the_person() {
    let world = World::new();
    let (outcome, heard) = world.enrol("other", true);
    assert!(matches!(outcome, Err(EnrolError::Server(_))));
    assert!(matches!(heard, FromSpool::Failed { text } if text.contains("Ask for another")));
    assert!(!world.is_enrolled());
    assert!(
        names(&world.state.path().join("courier"))
            .iter()
            .all(|n| n != "tls.key")
    );
}

#[test]
fn a_certificate_for_another_agent_or_key_is_not_kept() {
    let world = World::new();
    let other = AgentId::from_bytes([8; 16]);
    let agent = AgentId::from_bytes([7; 16]);
    let foreign = Pki::new();
    for chain in [
        world.pki.agent(agent, true).chain_pem,
        world.pki.agent(other, true).chain_pem,
        foreign.agent(agent, true).chain_pem,
        "garbage".to_owned(),
    ] {
        let lie = EnrolResponse {
            v: 1,
            agent,
            tls_chain: chain,
            seal_chain: String::new(),
            policy: String::new(),
            receipt: String::new(),
        };
        let lie = Act::Lie(serde_json::to_vec(&lie).unwrap());
        world.server.fault("POST", "/v1/enrol", lie);
        let (outcome, _) = world.enrol("token", true);
        assert!(matches!(outcome, Err(EnrolError::Tls(_))), "{outcome:?}");
        assert!(!world.is_enrolled());
    }
}

#[test]
fn a_server_that_is_busy_or_not_there_yet_is_waited_for() {
    let world = World::new();
    world.server.vanish();
    let (outcome, _) = thread::scope(|scope| {
        let enrolling = scope.spawn(|| world.enrol("token", true));
        thread::sleep(Duration::from_millis(200));
        world
            .server
            .fault("POST", "/v1/enrol", Act::Refuse(503, Some(0)));
        world.server.come_back();
        enrolling.join().unwrap()
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(world.server.is_faultless());
    assert!(world.is_enrolled());
}

#[test]
fn the_wait_for_a_server_has_an_end() {
    let mut world = World::new();
    world.server.vanish();
    world.wait = Duration::ZERO;
    let (outcome, _) = world.enrol("token", true);
    assert!(matches!(
        outcome,
        Err(EnrolError::Server(HttpError::Network(_)))
    ));
}

#[test]
fn who_lost_the_answer_asks_again_with_the_same_keys() {
    let world = World::new();
    world.server.fault("POST", "/v1/enrol", Act::CutAnswer);
    let (outcome, _) = world.enrol("token", true);
    assert!(outcome.is_ok(), "{outcome:?}");
    let asked = world.server.with(|s| s.enrolments.clone());
    assert_eq!(asked.len(), 2);
    let keys = asked.iter().map(|a| csr_key(&a.tls_csr).key_id());
    assert_eq!(keys.collect::<std::collections::HashSet<_>>().len(), 1);
}

#[test]
fn a_server_of_another_deployment_is_called_one_at_once() {
    let mut world = World::new();
    world.root_pem = Pki::new().root_pem.clone();
    let (outcome, heard) = world.enrol("token", true);
    assert!(matches!(
        outcome,
        Err(EnrolError::Server(HttpError::Certificate { .. }))
    ));
    let FromSpool::Failed { text } = heard else {
        panic!("{heard:?}")
    };
    assert!(text.contains("not signed by the root given"), "{text}");
    assert!(!text.contains("can't be reached"), "{text}");
}

#[test]
fn where_nobody_is_a_refusal_is_no_end() {
    let world = World::new();
    for status in [422, 500, 409] {
        world
            .server
            .fault("POST", "/v1/enrol", Act::Refuse(status, None));
    }
    assert!(world.enrol_unattended().is_ok());
    assert!(world.server.is_faultless() && world.is_enrolled());
}

#[test]
fn a_reader_that_is_enrolled_already_is_followed_or_told_apart() {
    let world = World::new();
    let agent = AgentId::from_bytes([7; 16]);
    let met = |agent| {
        let (ours, theirs) = socket::pair().unwrap();
        let hello = FromReader::Hello {
            v: VERSION,
            policy_version: 1,
            agent: Some(agent),
        };
        let mut link = Link::new(theirs);
        link.send(&hello, None).unwrap();
        enrol::run(world.args("token", Wait::ForEver), ours)
    };
    assert!(matches!(met(agent), Err(EnrolError::Halved(a)) if a == agent));
    // Cut off between the reader's word and our own last step.
    let folder = Folder::below(world.state.path());
    let settings = crate::courier::folder::tests::settings(&world.server.url());
    folder.prepare(&settings, "root", "key", "chain").unwrap();
    assert!(matches!(met(agent), Err(EnrolError::TakenUp(a)) if a == agent));
    assert!(world.is_enrolled());
}
