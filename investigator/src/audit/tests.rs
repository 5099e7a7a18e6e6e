//! A small life of evidence, and every way in which a log can lie about one.

use evidence::{custody::event::Outcome as Found, ids::HostId, keys::SigningKey};

use super::{case::CaseFilter, *};
use crate::testing::{World, at};

const AGENT: AgentId = AgentId::from_bytes([1; 16]);
const ORDER: OrderId = OrderId::from_bytes([2; 16]);

fn part(number: u32) -> StoredPart {
    StoredPart {
        collection: CollectionId::from_bytes([3; 16]),
        part: number,
        stored_sha256: Digest::of(&number.to_le_bytes()),
    }
}

fn received(number: u32) -> Action {
    Action::Received {
        part: part(number),
        agent: AGENT,
        size_bytes: 7,
        statement_sha256: Digest::of(b"statement"),
    }
}

fn enrolled() -> Action {
    Action::Enrolled {
        agent: AGENT,
        host: HostId::from_bytes([1; 16]),
        token_sha256: Digest::of(b"token"),
        seal_key: Digest::of(b"seal"),
        tls_key: Digest::of(b"tls"),
        forked_from: None,
    }
}

fn verified() -> Action {
    Action::Verified {
        part: part(1),
        outcome: Found::Genuine,
    }
}

fn revoked() -> Action {
    Action::Revoked {
        agent: AGENT,
        invalid_from: at(9),
    }
}

fn signed(action: Action, key: &SigningKey) -> Vec<u8> {
    Event::sign(action, at(5), key).unwrap().to_json().unwrap()
}

/// Enrolled, ordered, received, fetched, verified, revoked: each by whom it is for.
fn life(world: &World) -> Vec<Vec<u8>> {
    let server = [
        Action::PolicyPublished {
            policy_sha256: Digest::of(b"policy"),
            version: 3,
        },
        enrolled(),
        Action::Ordered {
            order: ORDER,
            order_sha256: Digest::of(b"order"),
        },
        received(1),
        Action::Fetched {
            part: part(1),
            by_key: world.ann.public().key_id(),
        },
    ];
    let mut leaves: Vec<_> = server
        .into_iter()
        .map(|a| signed(a, &world.time_key))
        .collect();
    leaves.push(signed(verified(), &world.ann));
    leaves.push(signed(revoked(), &world.eve));
    leaves
}

fn checkpoint(leaves: &[Vec<u8>]) -> Checkpoint {
    let mut tree = Tree::default();
    for leaf in leaves {
        tree.push(leaf_hash(leaf));
    }
    Checkpoint {
        origin: "lab.example/log".into(),
        size: tree.size(),
        root: tree.root(),
    }
}

fn examine(world: &World, leaves: &[Vec<u8>]) -> Outcome {
    let mut examiner = Examiner::new(std::slice::from_ref(&world.policy));
    leaves.iter().for_each(|leaf| examiner.leaf(leaf));
    examiner.finish(&checkpoint(leaves), None)
}

#[test]
fn an_honest_log_holds_and_says_who_did_what() {
    let world = World::new();
    let outcome = examine(&world, &life(&world));
    assert_eq!(outcome.faults, []);
    let names = words::Names::of(std::slice::from_ref(&world.policy));
    let lines: Vec<_> = outcome
        .rows
        .iter()
        .map(|r| words::line(r, &names))
        .collect();
    assert!(
        lines[4].contains("server") && lines[4].contains("handed out to ann"),
        "{}",
        lines[4]
    );
    assert!(
        lines[5].contains("ann") && lines[5].contains("genuine and complete"),
        "{}",
        lines[5]
    );
    assert!(
        lines[6].contains("eve") && lines[6].contains("revoked"),
        "{}",
        lines[6]
    );
}

#[test]
fn of_leaves_of_other_agencies_the_hashes_suffice_and_are_counted() {
    let world = World::new();
    let leaves = life(&world);
    let mut examiner = Examiner::new(std::slice::from_ref(&world.policy));
    let foreign = signed(received(5), &world.time_key);
    examiner.withheld(leaf_hash(&foreign));
    leaves.iter().for_each(|leaf| examiner.leaf(leaf));
    let all: Vec<_> = std::iter::once(foreign).chain(leaves).collect();
    let outcome = examiner.finish(&checkpoint(&all), None);
    assert_eq!((outcome.faults, outcome.withheld), (Vec::new(), 1));
    assert_eq!(outcome.rows[0].index, 1);
}

#[test]
fn a_leaf_by_the_wrong_hand_is_named_with_its_place() {
    let world = World::new();
    let stranger = SigningKey::generate().unwrap();
    for (action, key) in [
        (received(2), &stranger),
        (received(2), &world.ann),
        (verified(), &world.time_key),
        (verified(), &world.eve),
        (revoked(), &world.ann),
    ] {
        let mut leaves = life(&world);
        leaves.push(signed(action.clone(), key));
        let faults = examine(&world, &leaves).faults;
        assert_eq!(faults.len(), 1, "{action:?}: {faults:?}");
        assert_eq!(faults[0].index, Some(7), "{action:?}");
    }
}

#[test]
fn what_does_not_follow_from_earlier_leaves_is_named() {
    let world = World::new();
    let other = AgentId::from_bytes([8; 16]);
    let by_server = [
        enrolled(),
        received(1),
        Action::Ordered {
            order: ORDER,
            order_sha256: Digest::of(b"order"),
        },
        Action::PolicyPublished {
            policy_sha256: Digest::of(b"old"),
            version: 2,
        },
        Action::Fetched {
            part: part(9),
            by_key: world.ann.public().key_id(),
        },
        Action::Quarantined { part: part(9) },
        Action::Received {
            part: part(2),
            agent: other,
            size_bytes: 7,
            statement_sha256: Digest::of(b"s"),
        },
        Action::Refused {
            agent: AGENT,
            order_sha256: Digest::of(b"never ordered"),
            notice_sha256: Digest::of(b"n"),
        },
        Action::Approved {
            order: ORDER,
            order_sha256: Digest::of(b"never ordered"),
            by_key: world.ann.public().key_id(),
        },
        Action::Renewed {
            agent: other,
            seal_key: None,
            tls_key: None,
        },
    ];
    for action in by_server {
        let mut leaves = life(&world);
        leaves.push(signed(action.clone(), &world.time_key));
        let faults = examine(&world, &leaves).faults;
        assert_eq!(faults.len(), 1, "{action:?}: {faults:?}");
    }
}

#[test]
fn changed_missing_and_unreadable_leaves_show() {
    let world = World::new();
    let leaves = life(&world);
    let (now, early) = (checkpoint(&leaves), checkpoint(&leaves[..4]));
    let shown = |leaves: &[Vec<u8>]| {
        let mut examiner = Examiner::new(std::slice::from_ref(&world.policy));
        leaves.iter().for_each(|leaf| examiner.leaf(leaf));
        examiner.finish(&now, Some(&early)).faults
    };
    assert_eq!(shown(&leaves), []);
    assert_eq!(shown(&leaves[..6]).len(), 1, "one leaf is held back");
    let mut changed = leaves.clone();
    // Signed as it should be, and yet not what was logged.
    let Action::Received {
        part,
        agent,
        statement_sha256,
        ..
    } = received(1)
    else {
        panic!()
    };
    let other = Action::Received {
        part,
        agent,
        size_bytes: 8,
        statement_sha256,
    };
    changed[3] = signed(other, &world.time_key);
    assert_eq!(
        shown(&changed).len(),
        2,
        "both checkpoints speak against it"
    );
    changed[3] = b"{}".to_vec();
    assert!(shown(&changed).iter().any(|f| f.index == Some(3)));
}

#[test]
fn later_events_by_somebody_known_are_passed_over() {
    let world = World::new();
    let later = br#"{"v":1,"time":"1970-01-01T00:00:07.000000000Z","event":"sold"}"#;
    let sign = |key: &SigningKey| {
        Envelope::sign(evidence::envelope::CUSTODY, later.to_vec(), key)
            .to_json()
            .unwrap()
    };
    assert_eq!(examine(&world, &[sign(&world.ann)]).faults, []);
    let stranger = SigningKey::generate().unwrap();
    assert_eq!(examine(&world, &[sign(&stranger)]).faults.len(), 1);
}

#[test]
fn a_case_is_its_orders_collections_and_agents() {
    let world = World::new();
    let mut leaves = life(&world);
    let refused = Action::Refused {
        agent: AGENT,
        order_sha256: Digest::of(b"order"),
        notice_sha256: Digest::of(b"n"),
    };
    leaves.push(signed(refused, &world.time_key));
    let rows = examine(&world, &leaves).rows;
    let filter = CaseFilter {
        orders: BTreeSet::from([ORDER]),
        ..CaseFilter::default()
    };
    let indexes: Vec<_> = filter
        .choose(rows.clone())
        .iter()
        .map(|r| r.index)
        .collect();
    assert_eq!(indexes, [2, 7]);
    let filter = CaseFilter {
        collections: BTreeSet::from([part(1).collection]),
        agents: BTreeSet::from([AGENT]),
        ..CaseFilter::default()
    };
    let indexes: Vec<_> = filter.choose(rows).iter().map(|r| r.index).collect();
    assert_eq!(indexes, [1, 3, 4, 5, 6]);
}

#[test]
fn nothing_expires_that_was_not_there_by_a_rule_that_nobody_set_and_no_hold_ends_that_was_not_placed()
 {
    let world = World::new();
    let (rule, key) = (Digest::of(b"rule"), Digest::of(b"key"));
    let hold = evidence::ids::HoldId::from_bytes([6; 16]);
    let ruled = Action::Retention {
        rule_sha256: rule,
        version: 1,
        by_key: key,
    };
    let held = Action::Held {
        hold,
        hold_sha256: key,
        by_key: key,
    };
    let lifted = Action::HoldLifted {
        hold,
        hold_sha256: key,
        lift_sha256: key,
        by_key: key,
    };
    let expired = |number: u32| Action::Expired {
        collection: part(number).collection,
        parts: vec![part(number).stored_sha256],
        rule_sha256: rule,
    };
    let faults = |actions: &[Action]| {
        let mut examiner = Examiner::new(std::slice::from_ref(&world.policy));
        for action in [enrolled(), received(1)].iter().chain(actions) {
            examiner.leaf(&signed(action.clone(), &world.time_key));
        }
        examiner.faults.len()
    };
    let (one, other) = (expired(1), expired(2));
    assert_eq!(
        faults(&[ruled.clone(), held.clone(), lifted.clone(), one.clone()]),
        0
    );
    assert_eq!(faults(&[one]), 1, "no rule");
    assert_eq!(faults(&[ruled.clone(), other]), 1, "another part");
    assert_eq!(faults(&[lifted]), 1);
    assert_eq!(faults(&[held.clone(), held]), 1);
    assert_eq!(faults(&[ruled.clone(), ruled]), 1);
}

#[test]
fn a_host_that_waited_is_decided_on_once_and_stays_out_where_it_was_turned_away() {
    let world = World::new();
    let (seal_key, some) = (Digest::of(b"seal"), Digest::of(b"some"));
    let host = evidence::ids::HostId::from_bytes([2; 16]);
    let admitted = Action::Admitted {
        host,
        seal_key,
        admission_sha256: some,
        by_key: some,
    };
    let turned_away = Action::TurnedAway {
        host,
        seal_key,
        admission_sha256: some,
        by_key: some,
    };
    let enrolled = Action::Enrolled {
        agent: AGENT,
        host,
        token_sha256: some,
        seal_key,
        tls_key: some,
        forked_from: None,
    };
    let faults = |actions: &[&Action]| {
        let mut examiner = Examiner::new(std::slice::from_ref(&world.policy));
        for action in actions {
            examiner.leaf(&signed((*action).clone(), &world.time_key));
        }
        examiner.faults.len()
    };
    assert_eq!(faults(&[&admitted, &enrolled]), 0);
    assert_eq!(faults(&[&admitted, &turned_away]), 1, "decided on twice");
    assert_eq!(faults(&[&turned_away, &enrolled]), 1, "let in all the same");
}
