//! Services that can't work here say so and end with a code of their own: whoever watches them starts them no more.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{
    fs::{self, File},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Command, Output, Stdio},
};

const UNFIT: Option<i32> = Some(78);

fn agent(args: &[&str], state: &Path) -> Output {
    // Where a half meets the other.
    let (ours, _theirs) = UnixStream::pair().unwrap();
    Command::new(env!("CARGO_BIN_EXE_fieldseal-agent"))
        .args(args)
        .arg("--state")
        .arg(state)
        .stdin(Stdio::from(OwnedFd::from(ours)))
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_host_that_is_not_enrolled_runs_nothing() {
    let state = tempfile::tempdir().unwrap();
    for args in [&["run"][..], &["half", "courier"]] {
        let ended = agent(args, state.path());
        assert_eq!(ended.status.code(), UNFIT, "{args:?} {}", said(&ended));
        assert!(
            said(&ended).contains("fieldseal-agent enrol"),
            "{}",
            said(&ended)
        );
    }
}

#[test]
fn a_second_agent_on_the_same_state_says_why_it_ends_and_is_started_again() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("reader");
    fs::create_dir(&folder).unwrap();
    // As the first one's reader holds it, which may have been told to end and hang on a disk.
    let held = File::open(&folder).unwrap();
    held.lock().unwrap();
    // With a deployment file it would enrol, were it alone.
    let file = state.path().join("deployment.json");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let ended = agent(&["half", "reader", "--deployment", file], state.path());
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    assert!(
        said(&ended).contains("another reader uses"),
        "{}",
        said(&ended)
    );
}
