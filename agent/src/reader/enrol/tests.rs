//! What an answer to an enrolment must be to be kept, and that nothing is kept otherwise.

use std::{io::Write as _, os::fd::AsFd as _, thread};

use evidence::{digest::Digest, envelope, keys::PublicKey};
use protocol::{deployment::Deployment, messages::Trust, profile::Limits};

use super::*;
use crate::{
    platform::socket,
    reader::testing::{World, text},
};

const AGENT: AgentId = AgentId::from_bytes([3; 16]);

struct Host {
    folder: tempfile::TempDir,
    from: Source,
    /// The `Trust` message that the courier passes on.
    trust: Vec<u8>,
}

impl Host {
    /// A host that was given the files of `world`.
    fn new(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        world.write_trust(folder.path());
        Self {
            from: Source::Folder {
                trust: folder.path().to_path_buf(),
                token: folder.path().join("token"),
            },
            trust: world.trust(&world.policy),
            folder,
        }
    }

    /// A host that was given this deployment file.
    fn with_file(world: &World, file: &Deployment, key: &SigningKey) -> Self {
        let host = Self::new(world);
        let path = host.folder.path().join("deployment.json");
        let signed = Envelope::sign_document(envelope::DEPLOYMENT, file, key).unwrap();
        std::fs::write(&path, text(&signed)).unwrap();
        Self {
            from: Source::File(path),
            ..host
        }
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
            from: self.from.clone(),
            root: self.folder.path().to_path_buf(),
        };
        let reader = thread::spawn(move || run(&args, theirs, Instant::now));
        let mut link = Link::new(ours);
        let told = converse(&mut link, &self.trust, answer);
        // As a courier that gives up.
        drop(link);
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
    trust: &[u8],
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
    hand(link, &FromSpool::Trust {}, trust);
    let (csr_pem, host) = match next(link)? {
        FromReader::SealRequest { csr_pem, host } => (csr_pem, host),
        other => return Some(other),
    };
    let answer = serde_json::to_vec(&answer(&csr_pem, host.id)).unwrap();
    hand(link, &FromSpool::Enrolled {}, &answer);
    next(link)
}

fn hand(link: &mut Link, message: &FromSpool, bytes: &[u8]) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    link.send(message, Some(file.as_fd())).unwrap();
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

#[test]
fn an_admins_file_enrols_and_its_limits_are_kept_beside_the_hosts_own() {
    let world = World::new();
    let host = Host::with_file(&world, &world.deployment(), &world.eve);
    host.enrol(|csr, id| world.enrolled(AGENT, id, csr))
        .unwrap();
    let known = State::look(&host.reader()).unwrap();
    let own = Limits {
        cpu_percent: 50,
        files: 7,
        ..Limits::default()
    };
    let both = known.stricter_limits(&own);
    assert_eq!((both.cpu_percent, both.files), (20, 7));
    let own = Limits {
        cpu_percent: 10,
        ..own
    };
    assert_eq!(known.stricter_limits(&own).cpu_percent, 10);
}

#[test]
fn a_false_file_is_refused_before_anything_is_asked_for() {
    let world = World::new();
    let ended = Deployment {
        expires: crate::reader::testing::later(-1),
        ..world.deployment()
    };
    let of_another = Deployment {
        agency: "navy".parse().unwrap(),
        ..world.deployment()
    };
    for (file, key) in [
        (world.deployment(), &world.ann),
        (ended, &world.eve),
        (of_another, &world.eve),
    ] {
        let host = Host::with_file(&world, &file, key);
        let error = host.refuses(|_, _| panic!("it asked"));
        assert!(matches!(error, EnrolError::Document(_)), "{error:?}");
    }
}

#[test]
fn who_was_refused_asks_again_with_the_same_key() {
    let (world, other) = (World::new(), World::new());
    let host = Host::new(&world);
    let mut keys = Vec::new();
    host.refuses(|csr, id| {
        keys.push(crate::reader::testing::csr_key(csr));
        other.enrolled(AGENT, id, csr)
    });
    host.enrol(|csr, id| {
        keys.push(crate::reader::testing::csr_key(csr));
        world.enrolled(AGENT, id, csr)
    })
    .unwrap();
    assert!(keys[0] == keys[1]);
    let known = State::look(&host.reader()).unwrap();
    assert!(known.candidate.is_none(), "it is the agent's now");
}

#[test]
fn a_root_that_follows_the_pinned_one_is_believed_and_kept() {
    let (mut world, pinned) = (World::new(), World::new());
    let mut host = Host::new(&world);
    let first = world.root_text();
    world.root.version = 2;
    world.policy.root_version = 2;
    let roots = vec![first, world.root_text()];
    let policy = world.policy_text(&world.policy);
    let trust = Trust {
        v: 1,
        roots,
        policy,
    };
    host.trust = serde_json::to_vec(&trust).unwrap();
    host.enrol(|csr, id| world.enrolled(AGENT, id, csr))
        .unwrap();
    let known = State::look(&host.reader()).unwrap();
    let trust = crate::reader::trust::Trust::of(&known).unwrap();
    assert_eq!(trust.root.version, 2);
    // Those of another deployment lead nowhere.
    let mut stranger = Host::new(&world);
    stranger.trust = pinned.trust(&pinned.policy);
    let error = stranger.refuses(|_, _| panic!("it asked"));
    assert!(matches!(error, EnrolError::Trust(_)), "{error:?}");
}

#[test]
fn keys_that_were_copied_before_they_were_certified_are_made_anew_with_another_host() {
    let world = World::new();
    let host = Host::new(&world);
    let (ours, theirs) = socket::pair().unwrap();
    let args = Args {
        folder: host.reader(),
        from: host.from.clone(),
        root: host.folder.path().to_path_buf(),
    };
    let reader = thread::spawn(move || run(&args, theirs, Instant::now));
    let mut link = Link::new(ours);
    let mut next = |said: &FromSpool, bytes: Option<&[u8]>| match bytes {
        Some(bytes) => hand(&mut link, said, bytes),
        None => link.send(said, None).unwrap(),
    };
    next(&FromSpool::Welcome { v: VERSION }, None);
    next(&FromSpool::Trust {}, Some(&host.trust));
    next(&FromSpool::Cloned {}, None);
    next(&FromSpool::Trust {}, Some(&host.trust));
    let mut asked = Vec::new();
    while asked.len() < 2 {
        if let (FromReader::SealRequest { csr_pem, host }, _) = link.expect() {
            let key = crate::reader::testing::csr_key(&csr_pem).key_id();
            asked.push((key, host.id));
        }
    }
    drop(link);
    assert!(reader.join().unwrap().is_err());
    assert!(asked[0].0 != asked[1].0 && asked[0].1 != asked[1].1);
    assert_eq!(State::look(&host.reader()).unwrap().host, asked[1].1);
}
