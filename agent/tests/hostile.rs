//! A hostile tree walked by the real program as nobody: what may not be read is told, the rest is there, and the
//! investigator's rules hold.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, fs::symlink},
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// Runs the agent as nobody where we are root, else as who we are.
fn as_nobody(folder: &Path, args: &[&str]) -> Output {
    let program = folder.join("fieldseal-agent");
    fs::copy(env!("CARGO_BIN_EXE_fieldseal-agent"), &program).unwrap();
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(&program);
        command
    } else {
        Command::new(&program)
    };
    command.args(args).output().unwrap()
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_hostile_tree_walked_as_nobody_ends_in_records_and_gaps() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), 0o755);
    let tree = folder.path().join("tree");
    let output = folder.path().join("output");
    for made in [&tree, &output, &tree.join("closed")] {
        fs::create_dir(made).unwrap();
    }
    open(&output, 0o777);
    fs::write(tree.join("closed/inside"), "x").unwrap();
    fs::write(tree.join("secret"), "x").unwrap();
    fs::write(tree.join(std::ffi::OsStr::from_bytes(b"b\xffd\nname")), "x").unwrap();
    symlink("loop", tree.join("loop")).unwrap();
    symlink("..", tree.join("up")).unwrap();
    open(&tree.join("secret"), 0o000);
    open(&tree.join("closed"), 0o000);
    let profile = folder.path().join("walk.yaml");
    let yaml = format!(
        "v: 1\nname: walk\nabout: a walk\nartifacts: [{{name: file_hashes}}]\npaths: [{}]\n",
        tree.display()
    );
    fs::write(&profile, yaml).unwrap();
    let args = [
        "collect",
        "--unencrypted",
        "--json",
        "--foreground",
        "--profile",
    ];
    let paths = [
        profile.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ];
    let out = as_nobody(folder.path(), &[&args[..], &paths[..]].concat());
    open(&tree.join("closed"), 0o755);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    let collected = Path::new(said["folder"].as_str().unwrap());
    let (mut records, mut gaps) = (Vec::new(), Vec::new());
    for part in 1..=said["parts"].as_array().unwrap().len() {
        let zip = fs::File::open(collected.join(format!("part-{part:04}.zip"))).unwrap();
        let mut zip = zip::ZipArchive::new(zip).unwrap();
        for (name, lines) in [
            ("results/file_hashes.jsonl", &mut records),
            ("gaps.jsonl", &mut gaps),
        ] {
            let Ok(entry) = zip.by_name(name) else {
                continue;
            };
            let values = serde_json::Deserializer::from_reader(entry).into_iter::<Value>();
            lines.extend(values.map(Result::unwrap));
        }
    }
    // The tree's root, and six below it; what is in the closed folder nobody can know.
    assert_eq!(records.len(), 6, "{records:#?}");
    let denied: Vec<&str> = gaps
        .iter()
        .filter(|g| g["reason"] == "permission_denied")
        .map(|g| g["subject"].as_str().unwrap())
        .collect();
    assert!(denied.iter().any(|s| s.ends_with("/secret")), "{gaps:#?}");
    assert!(denied.iter().any(|s| s.ends_with("/closed")), "{gaps:#?}");
    let strange = records.iter().find(|r| r["path_b64"].is_string()).unwrap();
    assert_eq!(strange["sha256"].as_str().unwrap().len(), 64);
}
