//! The documents name what is there: every path in back-ticks exists.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "KEYS.md",
    "README.md",
    "SECURITY.md",
    "docs/backup.md",
    "docs/guest.md",
    "docs/packages.md",
    "packaging/README.md",
];

/// Where a path that is short may begin: the text around it says of which crate it speaks.
const BASES: &[&str] = &[
    "",
    "agent/src",
    "collector-server/src",
    "evidence/src",
    "investigator/src",
    "protocol/src",
    "packaging",
];

/// First components of what is no part of the repository: a host's folders, what programs make, an archive's entries.
const ELSEWHERE: &[&str] = &[
    "", "target", "results", "srv", "keys", "server", "stick", "trust",
];
/// Made by fuzzers, or with a part to fill in.
const MADE: &[&str] = &["fuzz/artifacts", "fuzz/seeds/TARGET"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Paths in back-ticks: a slash and an extension, or a slash at the end; nothing with a blank or a sign of a command.
fn paths(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    // A block that is indented holds commands and pictures.
    for line in text.lines().filter(|l| !l.starts_with("    ")) {
        for quoted in line.split('`').skip(1).step_by(2) {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            let has_extension = |p: &str| {
                let last = p.rsplit('/').next().unwrap_or_default();
                p.contains('/') && last.contains('.')
            };
            if quoted.chars().all(is_plain) && (quoted.ends_with('/') || has_extension(quoted)) {
                found.push(quoted);
            }
        }
    }
    found
}

fn is_elsewhere(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    ELSEWHERE.contains(&first) || MADE.iter().any(|made| path.starts_with(made))
}

fn exists(path: &str) -> bool {
    BASES.iter().any(|base| {
        let at = root().join(base).join(path);
        match path.ends_with('/') {
            true => at.is_dir(),
            false => at.is_file(),
        }
    })
}

#[test]
fn every_path_in_the_documents_exists() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for path in paths(&text).into_iter().filter(|p| !is_elsewhere(p)) {
            seen += 1;
            if !exists(path) {
                wrong.push(format!("{document}: {path}"));
            }
        }
    }
    assert!(wrong.is_empty(), "paths that are not there: {wrong:#?}");
    assert!(seen > 40, "{seen}");
}

#[test]
fn a_path_that_is_not_there_is_noticed() {
    let text = "Read `uploads/` and `serve/mod.rs`, not `a/b` or `1/2 x.y`.\n    `made/up.rs`\n";
    assert_eq!(paths(text), ["uploads/", "serve/mod.rs"]);
    assert!(!exists("uploads/") && exists("serve/mod.rs"));
    assert!(!exists("agent/src/platform/none.rs") && !exists("serve/mod.rs/"));
}
