//! Legal holds: what each kind keeps, who places and lifts them, and that one which comes first wins.

use evidence::{
    custody::event::Action,
    digest::Digest,
    envelope::{self, Envelope},
    ids::{CollectionId, HoldId},
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    hold::{Covers, Hold, HoldLift, Holds, LiftHold, PlaceHold},
    retention::Due,
    version::VERSION,
};

use super::retention::{
    DAY, actions, collected, collections, in_days, is_stored, rule, set, started,
};
use crate::{
    expiry::{self, Outcome},
    store::{
        expiry::Change as ExpiryChange,
        index::{Change, IndexError},
    },
    testing::{Answer, Deployment, Running, TestAgent, later, name, text},
    tests::{evidence::upload, orders::ordered},
};

/// A hold for `lab`.
pub(super) fn hold(by: &str, covers: Covers) -> Hold {
    Hold {
        v: VERSION,
        id: HoldId::random().unwrap(),
        deployment: name("test"),
        agency: name("lab"),
        covers,
        by: name(by),
        time: Instant::now(),
        reason: "4 Gs 12/26".into(),
    }
}

pub(super) fn signed_hold(key: &SigningKey, hold: &Hold) -> Envelope {
    Envelope::sign_document(envelope::HOLD, hold, key).unwrap()
}

pub(super) fn lift_of(hold: &Hold, by: &str) -> HoldLift {
    HoldLift {
        v: VERSION,
        deployment: name("test"),
        hold: hold.id,
        hold_sha256: Digest::of(&serde_json::to_vec(hold).unwrap()),
        by: name(by),
        time: Instant::now(),
        reason: "the case is closed".into(),
    }
}

pub(super) fn signed_lift(key: &SigningKey, lift: &HoldLift) -> Envelope {
    Envelope::sign_document(envelope::HOLD_LIFT, lift, key).unwrap()
}

/// Hands the hold in, signed by who asks.
pub(super) async fn place(s: &Running<'_>, who: &str, hold: &Hold) -> Answer {
    let hold = text(&signed_hold(&s.deployment.person(who).signing, hold));
    s.post_as(who, "/v1/holds", &PlaceHold { v: VERSION, hold })
        .await
}

/// Lifts it, signed by who asks.
pub(super) async fn lift(s: &Running<'_>, who: &str, hold: &Hold) -> Answer {
    let key = &s.deployment.person(who).signing;
    let lift = text(&signed_lift(key, &lift_of(hold, who)));
    let path = format!("/v1/holds/{}/lift", hold.id);
    s.post_as(who, &path, &LiftHold { v: VERSION, lift }).await
}

/// A whole collection on an order of the case 2026-1.
async fn on_order(s: &Running<'_>, agent: &TestAgent) -> (evidence::ids::OrderId, CollectionId) {
    let (order, signed) = ordered(s, agent).await;
    let collection = CollectionId::random().unwrap();
    let part = agent.part_of(collection, 100, None, true, Some(signed.digest()));
    upload(s, agent, &part).await;
    (order.id, collection)
}

#[tokio::test]
async fn each_kind_of_hold_keeps_what_it_names_and_nothing_else() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let (held, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let (order, collection) = on_order(&s, &held).await;
    collected(&s, &other).await;
    assert_eq!(set(&s, "eve", &rule("eve", 1, Some(0))).await.status, 200);
    let kinds = [
        Covers::Case {
            case: "2026-1".into(),
        },
        Covers::Order { order },
        Covers::Host { host: held.host },
        Covers::Collection { collection },
    ];
    let mut holds = Vec::new();
    for covers in kinds {
        let hold = hold("bob", covers);
        assert_eq!(place(&s, "bob", &hold).await.status, 200);
        holds.push(hold);
    }
    assert_eq!(in_days(&s, 1).await, 1, "the other one");
    // Each of them alone is enough.
    for keeps in &holds {
        let told: Holds = s.get_as("aud", "/v1/holds").await.message();
        assert!(told.holds.iter().all(|row| row.collections == 1));
        let due: Due = s.get_as("eve", "/v1/retention/due").await.message();
        let row = due.collections.iter().find(|r| r.collection == collection);
        assert!(row.unwrap().holds.contains(&keeps.id));
        assert_eq!(in_days(&s, 2).await, 0);
        assert_eq!(lift(&s, "eve", keeps).await.status, 200);
    }
    assert_eq!(in_days(&s, 3).await, 1);
    let expired = collections(&s).await.collections;
    assert!(expired.iter().all(|row| row.expired.is_some() && !row.held));
}

#[tokio::test]
async fn placing_and_lifting_are_logged_once_by_who_did_it() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let hold = hold(
        "ann",
        Covers::Case {
            case: "2026-1".into(),
        },
    );
    for _ in 0..2 {
        assert_eq!(place(&s, "ann", &hold).await.status, 200);
    }
    // An investigator lifts nothing, and an admin not what she placed herself.
    assert_eq!(lift(&s, "ann", &hold).await.status, 403);
    let own = super::holds::hold("eve", hold.covers.clone());
    assert_eq!(place(&s, "eve", &own).await.status, 200);
    assert_eq!(lift(&s, "eve", &own).await.status, 403);
    let size = s.server.custody.size();
    let key = &d.person("eve").signing;
    let word = text(&signed_lift(key, &lift_of(&hold, "eve")));
    let path = format!("/v1/holds/{}/lift", hold.id);
    for _ in 0..2 {
        let lift = LiftHold {
            v: VERSION,
            lift: word.clone(),
        };
        assert_eq!(s.post_as("eve", &path, &lift).await.status, 200);
    }
    assert_eq!(s.server.custody.size(), size + 1);
    assert_eq!(lift(&s, "eve", &hold).await.status, 409, "another word");
    let by = |id: &str| d.person(id).signing.public().key_id();
    let actions = actions(&s).await;
    let held = actions.iter().find_map(|action| match action {
        Action::Held {
            hold: id, by_key, ..
        } if *id == hold.id => Some(*by_key),
        _ => None,
    });
    assert_eq!(held, Some(by("ann")));
    assert!(matches!(actions.last(),
        Some(Action::HoldLifted { by_key, .. }) if *by_key == by("eve")));
    let told: Holds = s.get_as("bob", "/v1/holds").await.message();
    let row = told.holds.iter().find(|row| row.lift.is_some()).unwrap();
    assert_eq!(row.lift.as_deref(), Some(word.as_str()));
}

#[tokio::test]
async fn who_only_looks_places_none_and_a_hold_names_something_that_is_there() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let case = || Covers::Case { case: "x".into() };
    assert_eq!(place(&s, "aud", &hold("aud", case())).await.status, 403);
    assert_eq!(place(&s, "ann", &hold("bob", case())).await.status, 403);
    assert_eq!(place(&s, "nan", &hold("nan", case())).await.status, 403);
    let collection = CollectionId::random().unwrap();
    let ghost = hold("ann", Covers::Collection { collection });
    assert_eq!(place(&s, "ann", &ghost).await.status, 404);
    let first = hold("ann", case());
    assert_eq!(place(&s, "ann", &first).await.status, 200);
    let other = Hold {
        reason: "another".into(),
        ..first
    };
    assert_eq!(place(&s, "ann", &other).await.status, 409);
}

#[tokio::test]
async fn a_hold_that_comes_while_the_server_looks_wins() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let agent = s.enrol("lab").await;
    let part = collected(&s, &agent).await;
    assert_eq!(set(&s, "eve", &rule("eve", 1, Some(0))).await.status, 200);
    let now = later(60);
    // The server has looked, and found it due.
    let due = s.server.index.due_at(now, 0).await.unwrap();
    assert_eq!(due, [part.said.collection]);
    let collection = due[0];
    let hold = hold("ann", Covers::Collection { collection });
    assert_eq!(place(&s, "ann", &hold).await.status, 200);
    let mark = ExpiryChange::Mark {
        collection,
        now,
        notice_ns: 0,
    };
    let refused = s.server.change(Change::Expiry(mark)).await;
    assert!(matches!(refused, Err(IndexError::Conflict(_))));
    assert_eq!(expiry::run(&s.server, now).await.unwrap(), Outcome::Done(0));
    assert!(is_stored(&s, &part).await);
    // And one that comes after it keeps nothing, and says so.
    assert_eq!(lift(&s, "eve", &hold).await.status, 200);
    assert_eq!(
        expiry::run(&s.server, later(DAY)).await.unwrap(),
        Outcome::Done(1)
    );
    let late = super::holds::hold("ann", Covers::Collection { collection });
    assert_eq!(place(&s, "ann", &late).await.status, 404);
}
