//! What an answer to an enrolment must be to be kept, and that nothing is kept otherwise.

use std::{io::Write as _, os::fd::AsFd as _, thread};

use evidence::{digest::Digest, keys::PublicKey};

use super::*;
use crate::{platform::socket, reader::testing::World};

const AGENT: AgentId = AgentId::from_bytes([3; 16]);

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    /// A host that was given the files of `world`.
    fn new(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        world.write_trust(folder.path());
        Self { folder }
    }

    fn reader(&self) -> PathBuf {
        self.folder.path().join("reader")
    }

    /// Enrols with a courier that passes on what `answer` makes of the request.
    fn enrol(
        &self,
        answer: impl FnOnce(&str, HostId) -> EnrolResponse,
    ) -> Result<AgentId, EnrolError> {
        let (ours, theirs) = socket::pair().unwrap();
        let args = Args {
            folder: self.reader(),
            trust_dir: self.folder.path().to_path_buf(),
            token: self.folder.path().join("token"),
            root: self.folder.path().to_path_buf(),
        };
        let reader = thread::spawn(move || run(&args, theirs, Instant::now));
        let mut link = Link::new(ours);
        let told = converse(&mut link, answer);
        let outcome = reader.join().unwrap();
        match &outcome {
            Ok(agent) => assert!(
                matches!(told, Some(FromReader::EnrolmentKept { agent: a, .. }) if a == *agent)
            ),
            Err(_) => assert!(matches!(told, Some(FromReader::Failed { .. })), "{told:?}"),
        }
        outcome
    }

    fn refuses(&self, answer: impl FnOnce(&str, HostId) -> EnrolResponse) -> EnrolError {
        let error = self.enrol(answer).unwrap_err();
        assert!(State::look(&self.reader()).is_ok_and(|k| k.enrolment.is_none()));
        error
    }
}

/// The reader's last word.
fn converse(
    link: &mut Link,
    answer: impl FnOnce(&str, HostId) -> EnrolResponse,
) -> Option<FromReader> {
    let next = |link: &mut Link| Some(link.receive::<FromReader>().ok()??.0);
    match next(link)? {
        FromReader::Hello {
            v: VERSION,
            policy_version: 0,
            agent: None,
        } => {}
        other => return Some(other),
    }
    link.send(&FromSpool::Welcome { v: VERSION }, None).unwrap();
    let (csr_pem, host) = match next(link)? {
        FromReader::SealRequest { csr_pem, host } => (csr_pem, host),
        other => return Some(other),
    };
    let answer = serde_json::to_vec(&answer(&csr_pem, host.id)).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&answer).unwrap();
    link.send(&FromSpool::Enrolled {}, Some(file.as_fd()))
        .unwrap();
    next(link)
}

#[test]
fn what_follows_from_the_pinned_root_is_kept() {
    let world = World::new();
    let host = Host::new(&world);
    let agent = host
        .enrol(|csr, id| world.enrolled(AGENT, id, csr))
        .unwrap();
    assert_eq!(agent, AGENT);
    let known = State::look(&host.reader()).unwrap();
    let enrolment = known.enrolment.as_ref().unwrap();
    assert_eq!(enrolment.seal().unwrap().agent(), AGENT);
    assert!(crate::reader::trust::Trust::of(&known).is_ok());
    // A second time it is refused, and the first stays.
    let again = host.enrol(|csr, id| world.enrolled(AGENT, id, csr));
    assert!(matches!(again, Err(EnrolError::AlreadyEnrolled(AGENT))));
    assert!(State::look(&host.reader()).unwrap().enrolment.is_some());
}

#[test]
fn a_server_of_another_deployment_is_refused() {
    let (world, other) = (World::new(), World::new());
    let host = Host::new(&world);
    let error = host.refuses(|csr, id| other.enrolled(AGENT, id, csr));
    assert!(matches!(error, EnrolError::Document(_)), "{error:?}");
    // Its policy is genuine, its authority another's.
    let error = host.refuses(|csr, id| EnrolResponse {
        seal_chain: other.enrolled(AGENT, id, csr).seal_chain,
        ..world.enrolled(AGENT, id, csr)
    });
    assert!(matches!(error, EnrolError::Seal(_)), "{error:?}");
}

#[test]
fn a_certificate_for_another_key_or_agent_is_refused() {
    let world = World::new();
    let host = Host::new(&world);
    let other = renewal::csr(&SigningKey::generate().unwrap()).unwrap();
    let error = host.refuses(|csr, id| EnrolResponse {
        seal_chain: world.enrolled(AGENT, id, &other).seal_chain,
        ..world.enrolled(AGENT, id, csr)
    });
    assert!(matches!(error, EnrolError::Seal(RenewalError::OtherKey)));
    let error = host.refuses(|csr, id| EnrolResponse {
        agent: AgentId::from_bytes([4; 16]),
        ..world.enrolled(AGENT, id, csr)
    });
    assert!(matches!(error, EnrolError::Seal(RenewalError::Fault(_))));
}

#[test]
fn an_enrolment_that_the_log_does_not_tell_is_refused() {
    let (world, other) = (World::new(), World::new());
    let host = Host::new(&world);
    type Spoil<'w> = Box<dyn Fn(&World, HostId, &PublicKey) -> String + 'w>;
    let stranger = SigningKey::generate().unwrap().public();
    let cases: [Spoil<'_>; 4] = [
        Box::new(|_, _, _| "{}".to_owned()),
        Box::new(|_, id, key| other.receipt(AGENT, id, key)),
        Box::new(|world, id, _| world.receipt(AGENT, id, &stranger)),
        Box::new(|world, _, key| world.receipt(AGENT, HostId::from_bytes([9; 16]), key)),
    ];
    for (i, spoil) in cases.iter().enumerate() {
        let error = host.refuses(|csr, id| {
            let good = world.enrolled(AGENT, id, csr);
            let key = crate::reader::testing::csr_key(csr);
            EnrolResponse {
                receipt: spoil(&world, id, &key),
                ..good
            }
        });
        assert!(matches!(error, EnrolError::Receipt(_)), "{i}: {error:?}");
    }
}

#[test]
fn a_root_or_token_that_does_not_hold_is_refused() {
    let (world, other) = (World::new(), World::new());
    let host = Host::new(&world);
    std::fs::write(host.folder.path().join("token"), other.token_text()).unwrap();
    let error = host.refuses(|csr, id| world.enrolled(AGENT, id, csr));
    assert!(matches!(error, EnrolError::Document(_)), "{error:?}");
    let spoilt = world
        .root_text()
        .replacen("\"sig\":\"ME", "\"sig\":\"MA", 1);
    assert_ne!(
        Digest::of(spoilt.as_bytes()),
        Digest::of(world.root_text().as_bytes())
    );
    std::fs::write(host.folder.path().join("root.json"), spoilt).unwrap();
    assert!(
        host.enrol(|csr, id| world.enrolled(AGENT, id, csr))
            .is_err()
    );
}
