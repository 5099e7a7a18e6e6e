//! Holds the arrows between the crates, and keeps code of one operating system in its place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path, path::PathBuf};

const ARROWS: &[(&str, &[&str])] = &[
    ("evidence", &[]),
    ("protocol", &["evidence"]),
    ("agent", &["evidence", "protocol"]),
    ("collector-server", &["evidence", "protocol"]),
    ("investigator", &["evidence", "protocol"]),
    ("packaging", &["agent", "collector-server", "investigator"]),
];

/// The agent's folder for all that differs by system.
const OS_FOLDER: &str = "agent/src/platform";

/// What only code of one system says. Conditions are named whole or cut after their bracket, as rustfmt may cut them.
const OS_MARKS: &[&str] = &[
    "cfg(windows",
    "cfg(unix",
    "cfg(target_",
    "cfg(not(",
    "cfg(all(",
    "cfg(any(",
    "cfg!(",
    "cfg_attr(",
    "os::unix",
    "os::linux",
    "os::windows",
    "os::fd",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn crates_depend_only_along_the_arrows() {
    for (name, allowed) in ARROWS {
        let text = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(found) = manifest.get(table).and_then(|t| t.as_table()) else {
                continue;
            };
            for (other, _) in ARROWS {
                assert!(
                    !found.contains_key(*other) || allowed.contains(other),
                    "{name} must not depend on {other} ({table})"
                );
            }
        }
    }
}

/// Dependencies that no code names, and why they are there.
const UNNAMED: &[(&str, &str)] = &[("sha2-for-cms", "turns on a feature of another crate")];

#[test]
fn every_dependency_is_named_by_code() {
    let mut crates: Vec<_> = ARROWS.iter().map(|(name, _)| *name).collect();
    crates.push("tests");
    let mut listed = BTreeSet::new();
    let mut unused = Vec::new();
    for name in crates {
        let folder = root().join(name);
        let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let mut code = String::new();
        sources(&folder, &mut |_, text| code.push_str(text));
        for dependency in dependencies(&text.parse().unwrap()) {
            let module = match dependency.as_str() {
                "md-5" => "md5".to_owned(),
                other => other.replace('-', "_"),
            };
            let uses = [
                format!("{module}::"),
                format!("use {module} as"),
                format!("use {module};"),
            ];
            if !uses.iter().any(|u| code.contains(u.as_str()))
                && UNNAMED.iter().all(|(known, _)| *known != dependency)
            {
                unused.push(format!("{name}: {dependency}"));
            }
            listed.insert(dependency);
        }
    }
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    for offered in manifest["workspace"]["dependencies"]
        .as_table()
        .unwrap()
        .keys()
    {
        if !listed.contains(offered) {
            unused.push(format!("the workspace: {offered}"));
        }
    }
    assert!(
        unused.is_empty(),
        "dependencies that no code uses: {unused:?}"
    );
}

/// The names of all that a manifest depends on, whatever for.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(|t| t.as_table()) {
        tables.extend(targets.values().filter_map(|t| t.as_table()));
    }
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let found = tables
        .iter()
        .flat_map(|t| kinds.iter().filter_map(|k| t.get(*k)));
    found
        .filter_map(|t| t.as_table())
        .flat_map(|t| t.keys().cloned())
        .collect()
}

#[test]
fn evidence_has_no_sockets_and_no_database() {
    let text = fs::read_to_string(root().join("evidence/Cargo.toml")).unwrap();
    for banned in [
        "tokio",
        "ureq",
        "sqlx",
        "rustls.workspace",
        "axum",
        "rustix",
    ] {
        assert!(!text.contains(banned), "evidence must not need {banned}");
    }
}

#[test]
fn code_of_one_system_stands_in_its_folder() {
    let mut wrong = Vec::new();
    sources(&root().join("agent/src"), &mut |path, text| {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        if !shown.starts_with(OS_FOLDER)
            && !is_of_tests(&shown)
            && let Some(line) = os_specific(text)
        {
            wrong.push(format!("{shown}: {line}"));
        }
    });
    assert!(
        wrong.is_empty(),
        "code of one system outside its folder: {wrong:#?}"
    );
}

/// Whether a file of the agent holds tests only.
fn is_of_tests(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || path.contains("/testing")
}

/// The first line that only code of one system says; none in comments and test modules, which stand last in a file.
fn os_specific(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,") {
            // `mod tests;` stands in a file of its own; `mod tests {` goes on to the end of this one.
            let next = lines.find(|l| !l.starts_with("#[")).unwrap_or_default();
            if next.contains("mod ") && next.ends_with('{') {
                return None;
            }
            continue;
        }
        if !line.starts_with("//") && OS_MARKS.iter().any(|mark| line.contains(mark)) {
            return Some(line);
        }
    }
    None
}

#[test]
fn code_of_one_system_is_known_by_every_way_to_write_it() {
    for told in [
        "#[cfg(unix)]\nfn f() {}",
        "#[cfg(not(target_os = \"linux\"))]\nfn f() {}",
        "#[cfg(all(unix, target_os = \"linux\"))]\nfn f() {}",
        "#[cfg(any(\n    unix,\n    windows,\n))]\nfn f() {}",
        "if cfg!(windows) {}",
        "use std::os::unix::fs::MetadataExt as _;",
        "use std::{fs, os::linux::fs::MetadataExt as _};",
        "std::os::windows::io::AsHandle",
        "#[cfg(test)]\nmod tests;\n#[cfg(unix)]\nfn f() {}",
    ] {
        assert!(os_specific(told).is_some(), "{told}");
    }
    for free in [
        "// cfg(unix) in words",
        "#[cfg(test)]\nmod tests {\n    use std::os::unix::fs::symlink;\n}",
        "#[cfg(all(test, target_os = \"linux\"))]\nmod live_tests;",
    ] {
        assert_eq!(os_specific(free), None, "{free}");
    }
}

#[test]
fn every_file_says_what_it_holds() {
    let mut wrong = Vec::new();
    for (name, _) in ARROWS {
        sources(&root().join(name).join("src"), &mut |path, text| {
            if !text.starts_with("//!") || text.contains("(placeholder") && text.lines().count() > 3
            {
                wrong.push(path.display().to_string());
            }
        });
    }
    assert!(
        wrong.is_empty(),
        "files without a first line of `//!`: {wrong:?}"
    );
}

fn sources(folder: &Path, see: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, see);
        } else if path.extension().is_some_and(|e| e == "rs") {
            see(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}
