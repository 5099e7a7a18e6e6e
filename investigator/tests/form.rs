//! The chain-of-custody form on the vectors: filled in for what is genuine, marked for what is not, and nothing without the key.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const MARK: &str = "DO NOT RELY ON THIS";

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/vectors")
}

/// Fills the form in for a vector.
fn form(vector: &str, key: Option<&str>, output: &Path) -> Output {
    let trust = vectors().join("trust");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldseal"));
    command.arg("form").arg(vectors().join(vector));
    command.arg("--trust").arg(trust.join("root.crt"));
    if let Some(key) = key {
        command.arg("--identity").arg(trust.join(key));
    }
    command.arg("--output").arg(output).output().unwrap()
}

/// What the form holds, as a page and as text.
fn both(vector: &str, code: i32) -> [String; 2] {
    let dir = tempfile::tempdir().unwrap();
    ["form.html", "form.txt"].map(|name| {
        let path = dir.path().join(name);
        let done = form(vector, Some("vault.txt"), &path);
        assert_eq!(done.status.code(), Some(code), "{vector}: {done:?}");
        fs::read_to_string(path).unwrap()
    })
}

#[test]
fn a_genuine_collection_has_each_part_its_digests_and_receipts_and_rows_for_further_hands() {
    let part = vectors().join("genuine-encrypted/part-0001.zip.age");
    let sum = Command::new("sha256sum").arg(&part).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap()[..64].to_owned();
    let fingerprint = [&sum[..4], &sum[4..8], &sum[8..12], &sum[12..16]].join(" ");
    for text in both("genuine-encrypted", 0) {
        for held in [
            &sum,
            &fingerprint,
            "part-0001.zip.age",
            "Received by the server",
            "leaf ",
            "certifies it for whoever sealed",
            "Seal key (SHA-256)",
            "Witness",
        ] {
            assert!(text.contains(held), "{held}: {text}");
        }
        assert!(!text.contains(MARK) && !text.contains("N O T"), "{text}");
    }
    let [page, _] = both("genuine-encrypted", 0);
    let empty = "<tr><td></td><td></td><td></td><td></td></tr>";
    assert!(page.matches(empty).count() >= 6, "{page}");
    assert!(
        !page.contains("<script") && !page.contains("http://"),
        "{page}"
    );
}

#[test]
fn what_is_not_genuine_is_marked_in_large_letters_from_top_to_bottom() {
    for vector in [
        "entry-file-changed",
        "cipher-bit",
        "receipt-forged-checkpoint",
    ] {
        let [page, text] = both(vector, 1);
        assert!(page.matches(MARK).count() >= 2, "{vector}: {page}");
        assert!(page.contains(".void{font-size:2"), "{page}");
        assert!(text.contains("N O T   G E N U I N E"), "{vector}: {text}");
    }
}

#[test]
fn without_the_key_there_is_no_form_and_none_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("form.html");
    for (key, told) in [
        (None, "Name the file with the vault's key"),
        (Some("other-vault.txt"), "None of the keys"),
    ] {
        let refused = form("genuine-encrypted", key, &output);
        assert_eq!(refused.status.code(), Some(64), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(told), "{said}");
        assert!(!output.exists());
    }
    fs::write(&output, "mine").unwrap();
    let refused = form("genuine-encrypted", Some("vault.txt"), &output);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(fs::read_to_string(&output).unwrap(), "mine");
}
