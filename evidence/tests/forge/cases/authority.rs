//! Policy and order: by the wrong hands, of another text, too late.

use evidence::keys::SigningKey;
use serde_json::{Value, json};

use super::super::{
    Case, at, authority,
    certificate::key,
    deployment::{Deployment, SECOND_VAULT, STRANGERS_VAULT},
    draft::Draft,
    log,
};

/// A part on an order that `change` has been at.
fn ordered(world: &Deployment, change: impl FnOnce(&mut Draft)) -> super::super::Files {
    let mut draft = Draft::ordered(world);
    change(&mut draft);
    draft.folder(&world.agent)
}

fn order_with(field: &str, value: Value) -> Value {
    let mut order = authority::order();
    order[field] = value;
    order
}

pub(super) fn cases(world: &Deployment) -> Vec<Case> {
    let (ann, eve, stranger) = (world.ann(), world.eve(), world.stranger());
    let mut lacking = ordered(world, |d| {
        d.order.clear();
        d.record["order_sha256"] = Value::Null;
    });
    log::give(world, &mut lacking, |_| true);
    let forged =
        |name, about, files, codes: &[&'static str]| Case::forged(name, about, files, codes);
    let mut cases = vec![
        forged(
            "policy-by-another-root",
            "The policy is signed by another root's key.",
            ordered(world, |d| d.put_policy(world, &key(41))),
            &["policy-untrusted"],
        ),
        forged(
            "policy-by-issuing",
            "The policy is signed by the issuing authority, which may not.",
            ordered(world, |d| d.put_policy(world, &key(2))),
            &["policy-untrusted"],
        ),
        forged(
            "policy-missing",
            "The part holds an order and no policy.",
            ordered(world, |d| {
                d.policy.clear();
                d.record["policy_sha256"] = Value::Null;
            }),
            &["order-unsigned"],
        ),
        forged(
            "policy-not-named",
            "The part holds a policy that collection.json does not name.",
            ordered(world, |d| d.record["policy_sha256"] = Value::Null),
            &["order-digest"],
        ),
        forged(
            "order-by-stranger",
            "The order is signed by nobody of the policy.",
            ordered(world, |d| d.put_order(&authority::order(), &stranger)),
            &["order-unsigned"],
        ),
        forged(
            "order-by-other-person",
            "The order names Ann and is signed by Eve.",
            ordered(world, |d| d.put_order(&authority::order(), &eve)),
            &["order-unsigned"],
        ),
        forged(
            "order-unknown-requester",
            "The order names a requester who is not in the policy.",
            ordered(world, |d| {
                d.put_order(&order_with("requester", json!("zoe")), &ann)
            }),
            &["order-mismatch", "order-unsigned"],
        ),
        forged(
            "order-digest",
            "collection.json names another order.",
            ordered(world, |d| {
                d.record["order_sha256"] = json!(evidence::digest::Digest::of(b"other"))
            }),
            &["order-digest"],
        ),
        forged(
            "order-made-up-signer",
            "collection.json says that Eve signed as well.",
            ordered(
                world,
                |d| d.record["signers"] = json!([d.record["requester"], {"name": "eve", "key_sha256": world.eve().public().key_id()}]),
            ),
            &["order-unsigned"],
        ),
        forged(
            "order-other-requester",
            "collection.json names Eve as the requester.",
            ordered(
                world,
                |d| {
                    d.record["requester"] =
                        json!({"name": "eve", "key_sha256": world.eve().public().key_id()})
                },
            ),
            &["order-mismatch", "order-unsigned"],
        ),
        forged(
            "order-other-case",
            "collection.json names another case than the order.",
            ordered(world, |d| d.record["case"] = "2026-9".into()),
            &["order-mismatch"],
        ),
        forged(
            "order-other-profile",
            "The order's profile is not the one that its digest names.",
            ordered(world, |d| {
                d.put_order(&order_with("profile", json!("v: 1\nname: wide\n")), &ann)
            }),
            &["order-mismatch"],
        ),
        forged(
            "order-other-policy",
            "The order was signed under another version of the policy.",
            ordered(world, |d| {
                d.put_order(&order_with("policy_version", json!(2)), &ann)
            }),
            &["order-mismatch"],
        ),
        forged(
            "order-version",
            "The order is of a version that is not known.",
            ordered(world, |d| d.put_order(&order_with("v", json!(2)), &ann)),
            &["version-unknown"],
        ),
        forged(
            "order-of-kit",
            "The order is for a kit, and the collection was made without one.",
            ordered(world, |d| {
                d.put_order(&order_with("kit", kit_terms(&[])), &ann)
            }),
            &["kit-mismatch"],
        ),
        forged(
            "kit-other-key",
            "The order is for a kit, and another key has sealed.",
            ordered(world, |d| {
                d.put_order(&order_with("kit", kit_terms(&[])), &ann);
                d.record["field"] = field();
            }),
            &["kit-mismatch"],
        ),
        forged(
            "kit-without-order",
            "collection.json names a kit, and the order is for agents.",
            ordered(world, |d| d.record["field"] = field()),
            &["kit-mismatch"],
        ),
        forged(
            "order-lacking",
            "collection.json names an order, and none is there.",
            lacking,
            &["order-mismatch"],
        ),
    ];
    cases.push(Case::reserved(
        "order-expired",
        "The collection was begun after the order had ended.",
        ordered(world, |d| {
            d.put_order(&order_with("expires", json!(at(-1))), &ann)
        }),
        &["order-expired"],
    ));
    cases.extend(thresholds(world));
    cases.extend(mandates(world));
    cases
}

const KIT: &str = "k-aeaqcaibaeaqcaibaeaqcaibae";

/// What an order says of a kit whose key has sealed nothing here.
fn kit_terms(hosts: &[&str]) -> Value {
    let key = evidence::digest::Digest::of(b"another key");
    json!({"kit": KIT, "key": key, "agency": "lab", "hosts": hosts, "uses": 1})
}

fn field() -> Value {
    json!({"kit": KIT, "operator": "Olga", "location": "Room 1"})
}

/// The policy with more people and another threshold.
fn policy(world: &Deployment, change: impl FnOnce(&mut Value)) -> Value {
    let mut policy = authority::policy(world);
    let ben = json!({
        "id": "ben", "name": "BEN of the lab", "roles": ["approver"], "agencies": ["lab"],
        "signing_key": key(8).public().to_pem().unwrap(),
        "tls_key": evidence::digest::Digest::of(b"ben"), "recipient": SECOND_VAULT,
    });
    policy["people"].as_array_mut().unwrap().push(ben);
    policy["thresholds"] = json!({"triage": 2, "files": 2});
    change(&mut policy);
    policy
}

/// The policy wants two.
fn thresholds(world: &Deployment) -> Vec<Case> {
    let (ann, ben) = (world.ann(), key(8));
    let signed = |by: &[&SigningKey], change: fn(&mut Value)| {
        ordered(world, |d| {
            d.put_policy_of(&policy(world, change), &world.root.key);
            d.put_order_by(&authority::order(), by);
        })
    };
    let unsigned = ["order-unsigned"];
    vec![
        Case::genuine(
            "genuine-approved",
            "The policy demands two signatures, and an approver has signed as well.",
            signed(&[&ann, &ben], |_| ()),
        ),
        Case::forged(
            "order-below-threshold",
            "The policy demands two signatures and the order has one.",
            signed(&[&ann], |_| ()),
            &unsigned,
        ),
        Case::forged(
            "order-signed-twice",
            "The policy demands two signatures and Ann has signed twice.",
            signed(&[&ann, &ann], |p| {
                p["people"][0]["roles"] = json!(["investigator", "approver"]);
            }),
            &unsigned,
        ),
        Case::forged(
            "order-approver-twice",
            "An approver has signed twice, to count for two.",
            signed(&[&ann, &ben, &ben], |p| {
                p["thresholds"] = json!({"triage": 3, "files": 3});
            }),
            &unsigned,
        ),
        Case::forged(
            "order-approved-by-admin",
            "The second signature is by an admin, who may not approve.",
            signed(&[&ann, &world.eve()], |_| ()),
            &unsigned,
        ),
        Case::forged(
            "order-approved-elsewhere",
            "The second signature is by an approver of another agency.",
            signed(&[&ann, &ben], |p| {
                p["people"][2]["agencies"] = json!(["north"])
            }),
            &unsigned,
        ),
    ]
}

/// Who may ask for what, by the rules that agents obey.
fn mandates(world: &Deployment) -> Vec<Case> {
    let (ann, eve) = (world.ann(), world.eve());
    let under = |change: fn(&mut Value)| {
        ordered(world, |d| {
            let mut policy = authority::policy(world);
            change(&mut policy);
            d.put_policy_of(&policy, &world.root.key);
        })
    };
    let by_admin = ordered(world, |d| {
        d.put_order(&order_with("requester", json!("eve")), &eve);
        let person = json!({"name": "eve", "key_sha256": eve.public().key_id()});
        d.record["requester"] = person.clone();
        d.record["signers"] = json!([person]);
    });
    let stranger = STRANGERS_VAULT.parse::<evidence::wrap::Identity>().unwrap();
    let recipients = |named: &[String]| {
        ordered(world, |d| {
            d.put_order(&order_with("recipients", json!(named)), &ann);
        })
    };
    let all = [authority::recipient(), SECOND_VAULT.to_owned()];
    let more = [&all[..], &[stranger.recipient().to_string()]].concat();
    vec![
        Case::forged(
            "order-by-admin",
            "The requester has signed, and is an admin and no investigator.",
            by_admin,
            &["order-unsigned"],
        ),
        Case::forged(
            "order-of-another-agency",
            "The requester is an investigator of another agency than the one whose vault is named.",
            under(|p| {
                p["people"][0]["agencies"] = json!(["north"]);
                p["vaults"]["north"] = p["vaults"]["lab"].clone();
                p["vaults"]["north"][0] = "age1north".into();
            }),
            &["order-unsigned", "recipient-foreign"],
        ),
        Case::forged(
            "order-leaves-vault-out",
            "The order leaves out a recipient of the vault.",
            recipients(&all[1..]),
            &["order-unsigned"],
        ),
        Case::forged(
            "order-foreign-recipient",
            "The order itself names a recipient that is not the requester's to name.",
            recipients(&more),
            &["recipient-foreign"],
        ),
        Case::forged(
            "policy-one-name-twice",
            "Two people of the policy have one id.",
            under(|p| p["people"][1]["id"] = "ann".into()),
            &["policy-untrusted"],
        ),
    ]
}
