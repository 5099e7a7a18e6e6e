//! Policy and order: by the wrong hands, of another text, too late.

use serde_json::{Value, json};

use super::super::{
    Case, DAY, Given, at, authority, certificate::key, deployment::Deployment, draft::Draft,
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
            "order-lacking",
            "collection.json names an order, and none is there.",
            ordered(world, |d| {
                d.order.clear();
                d.record["order_sha256"] = Value::Null;
            }),
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
    cases.push(threshold(world));
    cases
}

/// The policy wants two and one signed.
fn threshold(world: &Deployment) -> Case {
    let mut policy = authority::policy(world);
    policy["thresholds"] = json!({"triage": 2, "files": 2});
    policy["expires"] = json!(at(300 * DAY));
    let envelope = evidence::envelope::Envelope::sign_document(
        evidence::envelope::POLICY,
        &policy,
        &world.root.key,
    )
    .unwrap();
    let files = ordered(world, |d| {
        d.policy = envelope.to_json().unwrap();
        d.record["policy_sha256"] = json!(envelope.digest());
    });
    Case::forged(
        "order-below-threshold",
        "The policy demands two signatures and the order has one.",
        files,
        &["order-unsigned"],
    )
    .given(&[Given::Trust])
}
