//! The registry, walked: what holds for every artifact.

use std::collections::BTreeSet;
use std::path::Path;

use super::testing::MemorySink;
use super::*;

#[test]
fn names_are_unique_and_in_form() {
    let mut seen = BTreeSet::new();
    for artifact in ARTIFACTS {
        let name = artifact.name();
        assert!(seen.insert(name), "{name} twice");
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        );
        assert!(artifact.about().ends_with('.'), "{name}: one sentence");
    }
}

#[test]
fn fields_are_unique_and_told() {
    for artifact in ARTIFACTS {
        let mut seen = BTreeSet::new();
        for field in artifact.fields() {
            assert!(
                seen.insert(field.name),
                "{}: {} twice",
                artifact.name(),
                field.name
            );
            assert!(
                !field.kind.is_empty() && !field.about.is_empty(),
                "{}",
                field.name
            );
        }
    }
}

#[test]
fn the_volatile_come_first() {
    let volatile: Vec<bool> = ARTIFACTS.iter().map(|a| a.volatile()).collect();
    assert!(volatile.is_sorted_by(|a, b| a >= b), "{volatile:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn every_key_of_volatile_records_is_declared() {
    let options = serde_json::json!({"environment": true, "hidden_probe_ms": 0});
    for artifact in ARTIFACTS.iter().filter(|a| a.volatile()) {
        let sink = MemorySink::run(*artifact, Path::new("/"), options.clone());
        assert_eq!(
            sink.undeclared(*artifact),
            Vec::<String>::new(),
            "{}",
            artifact.name()
        );
    }
}

#[test]
fn an_empty_tree_is_told_and_panics_nothing() {
    let root = tempfile::tempdir().unwrap();
    for artifact in ARTIFACTS {
        let sink = MemorySink::run(*artifact, root.path(), serde_json::Value::Null);
        assert_eq!(
            sink.undeclared(*artifact),
            Vec::<String>::new(),
            "{}",
            artifact.name()
        );
    }
}
