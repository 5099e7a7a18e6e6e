//! Encrypted parts: opened, closed, damaged, and encrypted to others.

use super::super::{
    Case, Files, Given, authority,
    deployment::{Deployment, SECOND_VAULT, STRANGERS_VAULT},
    draft::{Draft, encrypted},
};

/// A part on an order, encrypted to the vault.
pub(super) struct Sealed {
    pub(super) plain: Vec<u8>,
    pub(super) cipher: Vec<u8>,
    pub(super) draft: Draft,
}

pub(super) fn sealed(world: &Deployment) -> Sealed {
    let mut draft = Draft::ordered(world);
    draft.record["unencrypted"] = false.into();
    let plain = draft.zip(&world.agent);
    Sealed {
        cipher: encrypted(&plain),
        plain,
        draft,
    }
}

/// The encrypted part and its statement.
pub(super) fn files(world: &Deployment, sealed: &Sealed) -> Files {
    let by = &world.agent;
    let statement = sealed
        .draft
        .statement(&sealed.plain, Some(&sealed.cipher), None, by);
    let json = statement.sign(&by.key).unwrap().to_json().unwrap();
    Files::from([
        ("part-0001.zip.age".to_owned(), sealed.cipher.clone()),
        ("part-0001.statement.json".to_owned(), json),
    ])
}

pub(super) fn cases(world: &Deployment) -> Vec<Case> {
    let opened = [Given::Trust, Given::Identity];
    let good = sealed(world);
    let with = |cipher: Vec<u8>| {
        let mut all = files(world, &good);
        all.insert("part-0001.zip.age".into(), cipher);
        all
    };
    let mut flipped = good.cipher.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut head = good.cipher.clone();
    // The last line of the head authenticates it.
    let mac = head.windows(5).position(|w| w == b"\n--- ").unwrap() + 5;
    head[mac] = if head[mac] == b'A' { b'B' } else { b'A' };
    let cut = good.cipher[..good.cipher.len() - 1].to_vec();
    let again = encrypted(&good.plain);
    let mut absent = files(world, &good);
    absent.remove("part-0001.statement.json");
    let mut beside = files(world, &good);
    beside.insert("part-0001.zip".into(), good.plain.clone());
    let closed = ["content-unread"];
    let mut cases = vec![
        Case::genuine(
            "genuine-encrypted",
            "An encrypted part, opened with the vault's key.",
            files(world, &good),
        )
        .given(&opened),
        Case::genuine(
            "genuine-encrypted-beside",
            "An encrypted part with its opened copy beside it.",
            beside,
        ),
        Case::reserved(
            "genuine-encrypted-closed",
            "An encrypted part, checked without the vault's key.",
            files(world, &good),
            &closed,
        ),
        Case::reserved(
            "cipher-wrong-key",
            "An encrypted part, and a key that does not open it.",
            files(world, &good),
            &["identity-wrong"],
        )
        .given(&[Given::Trust, Given::OtherIdentity]),
        Case::forged(
            "cipher-bit",
            "A bit of the ciphertext is flipped.",
            with(flipped.clone()),
            &["decrypt-failed", "statement-mismatch"],
        )
        .given(&opened),
        Case::forged(
            "cipher-bit-closed",
            "The same, seen without the vault's key.",
            with(flipped),
            &["content-unread", "statement-mismatch"],
        ),
        Case::forged(
            "cipher-head",
            "The head of the encrypted file is changed.",
            with(head),
            &["decrypt-failed", "statement-mismatch"],
        )
        .given(&opened),
        Case::forged(
            "cipher-cut",
            "The encrypted file is cut by a byte.",
            with(cut),
            &["decrypt-failed", "statement-mismatch"],
        )
        .given(&opened),
        Case::forged(
            "cipher-made-again",
            "The genuine contents, encrypted once more by somebody else.",
            with(again),
            &["receipt-invalid", "statement-mismatch"],
        )
        .given(&opened),
        Case::reserved(
            "cipher-no-statement",
            "The statement of an encrypted part is missing.",
            absent,
            &["content-unread", "statement-absent"],
        ),
    ];
    cases.push(recipient(world, &good));
    cases.extend(heads(world, &good));
    cases
}

/// The agent encrypted to somebody more than the order names.
fn recipient(world: &Deployment, good: &Sealed) -> Case {
    let stranger = STRANGERS_VAULT.parse::<evidence::wrap::Identity>().unwrap();
    let stranger = stranger.recipient().to_string();
    let all = [
        authority::recipient(),
        SECOND_VAULT.to_owned(),
        stranger.clone(),
    ];
    let cipher = evidence::wrap::wrap(&all.map(|r| r.parse().unwrap()), &good.plain).unwrap();
    let by = &world.agent;
    let mut statement = good.draft.statement(&good.plain, Some(&cipher), None, by);
    statement.wrapping.recipients.push(stranger);
    let json = statement.sign(&by.key).unwrap().to_json().unwrap();
    let all = Files::from([
        ("part-0001.zip.age".to_owned(), cipher),
        ("part-0001.statement.json".to_owned(), json),
    ]);
    Case::forged(
        "cipher-foreign-recipient",
        "The part is encrypted to somebody whom the order does not name.",
        all,
        &["recipient-foreign"],
    )
    .given(&[Given::Trust, Given::Identity])
}

/// The statement lists the vault, and the file is encrypted to another number of keys.
fn heads(world: &Deployment, good: &Sealed) -> Vec<Case> {
    let to = |recipients: &[String]| {
        let to: Vec<_> = recipients.iter().map(|r| r.parse().unwrap()).collect();
        let cipher = evidence::wrap::wrap(&to, &good.plain).unwrap();
        files(
            world,
            &Sealed {
                cipher,
                plain: good.plain.clone(),
                draft: good.draft.clone(),
            },
        )
    };
    let vault = [authority::recipient(), SECOND_VAULT.to_owned()];
    let stranger = STRANGERS_VAULT.parse::<evidence::wrap::Identity>().unwrap();
    let more = to(&[&vault[..], &[stranger.recipient().to_string()]].concat());
    vec![
        Case::forged(
            "cipher-one-more",
            "The part is encrypted to one more key than its statement lists.",
            more.clone(),
            &["recipient-foreign"],
        )
        .given(&[Given::Trust, Given::Identity]),
        Case::forged(
            "cipher-one-more-closed",
            "The same, seen without the vault's key.",
            more,
            &["content-unread", "recipient-foreign"],
        ),
        Case::forged(
            "cipher-one-less",
            "The part is encrypted to one key less than its statement lists.",
            to(&vault[..1]),
            &["statement-mismatch"],
        )
        .given(&[Given::Trust, Given::Identity]),
    ]
}
