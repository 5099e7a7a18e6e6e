//! The checks beside the tests say what they need where it is missing, and not what apt says of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

/// The Windows check on a machine with these programs before its own.
fn windows_check(programs: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    for (name, script) in programs {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let own = env::var("PATH").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/windows-check.sh");
    Command::new("bash")
        .arg(script)
        .env("PATH", format!("{}:{own}", folder.path().display()))
        .env("CARGO_TARGET_DIR", folder.path().join("target"))
        .output()
        .unwrap()
}

#[test]
fn the_windows_check_says_what_is_missing_and_how_to_get_it() {
    let compiler = ("x86_64-w64-mingw32-gcc", "exit 0");
    let knows = "echo '  Candidate: 99.0'\n\
                 echo '  Depends: libstd-rust-web-99.0'\n\
                 echo '  Depends: libllvm99'";
    let fails = "echo 'E: Unable to locate' >&2; exit 100";
    for (apt_cache, apt_get, told) in [
        ("exit 0", "exit 0", "apt knows no package rustc-web"),
        (
            "echo '  Candidate: 1.63.0'",
            "exit 0",
            "only in version 1.63.0",
        ),
        (
            "echo '  Candidate: 99.0'",
            "exit 0",
            "which library libstd-rust-web-dev brings",
        ),
        (
            knows,
            fails,
            "could not fetch rustc-web libstd-rust-web-dev rust-web-src libstd-rust-web-99.0 libllvm99",
        ),
    ] {
        let programs = [
            compiler,
            ("apt-cache", apt_cache),
            ("apt-get", apt_get),
            // Of dpkg, the comparison of versions is asked for alone.
            ("dpkg", "[ \"$2\" != 1.63.0 ]"),
        ];
        let out = windows_check(&programs);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(said.contains("The Windows check can't run here"), "{said}");
        assert!(said.contains(told), "{told} in {said}");
        assert!(said.contains("apt-get install gcc-mingw-w64"), "{said}");
    }
}

/// What `packaging/portable.sh --check` says of a program.
fn portable_check(program: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/portable.sh");
    let mut check = Command::new("bash");
    check.arg(script).arg("--check").arg(program);
    check.output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_old_hosts_could_not_start_is_not_called_portable() {
    // This very test is linked to this machine's own libraries.
    let own = portable_check(&env::current_exe().unwrap());
    let said = String::from_utf8_lossy(&own.stderr).into_owned();
    assert_eq!(own.status.code(), Some(1), "{said}");
    assert!(said.contains("it must run with 2.17"), "{said}");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert_eq!(portable_check(&manifest).status.code(), Some(1));
}
