//! A kit without our stick: pushed as one folder by tar over ssh, started there, its evidence pulled back by scp and dropped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    process::{Command, Stdio},
};

use fieldseal_tests::{
    args,
    kit::{self, OPERATOR, finished, json, small, whole},
    sshd::Sshd,
    stick::wait_until,
};
use serde_json::Value;

#[test]
fn a_kit_is_pushed_started_and_pulled_back_by_anybodys_tools() {
    let dir = tempfile::tempdir().unwrap();
    let stage = kit::stage(&dir.path().join("stage")).unwrap();
    let built = dir.path().join("kit");
    let outcome = small(&stage, &built, &args!["--uses", "1"]).unwrap();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let order = json(&outcome.out).unwrap()["order"]
        .as_str()
        .unwrap()
        .to_owned();

    let host = Sshd::start(&dir.path().join("sshd")).unwrap();
    let there = dir.path().join("on the host");
    let there = there.to_str().unwrap();
    let mut tar = Command::new("tar");
    let packed = tar.arg("-C").arg(&built).args(["-cf", "-", "."]);
    let mut packed = packed.stdout(Stdio::piped()).spawn().unwrap();
    let unpack = format!("mkdir -p '{there}' && tar -C '{there}' -xf -");
    let mut pushed = host.ssh();
    let pushed = pushed
        .arg(unpack)
        .stdin(packed.stdout.take().unwrap())
        .status();
    assert!(pushed.unwrap().success() && packed.wait().unwrap().success());
    let start = format!(
        "sh '{there}/run.sh' --operator '{OPERATOR}' --location 'Room 1' --foreground --json"
    );
    whole(&finished(host.ssh().arg(start)).unwrap()).unwrap();

    let drop_folder = stage.path("server/drop");
    let (partial, name) = (
        drop_folder.join("host-1.partial"),
        drop_folder.join("host-1"),
    );
    // As SFTP takes it: the path as it is.
    let pulled = host.pull(&format!("{there}/evidence"), &partial).status();
    assert!(pulled.unwrap().success());
    assert!(
        host.ssh()
            .arg(format!("rm -r '{there}'"))
            .status()
            .unwrap()
            .success()
    );
    fs::rename(&partial, &name).unwrap();
    wait_until("it is taken in", || Ok(!name.exists())).unwrap();
    let report = fs::read_to_string(drop_folder.join("host-1.report.json")).unwrap();
    let one = &json(&report).unwrap()["collections"][0];
    assert_eq!(
        (&one["outcome"], &one["whole"]),
        (&"taken_in".into(), &true.into())
    );
    let parts = one["parts"].as_array().unwrap();
    assert!(
        parts.iter().all(|p| p["receipt"] != Value::Null),
        "{report}"
    );

    let fetched = stage.path("fetched");
    let outcome = stage
        .fieldseal(&args!["fetch", order, "--output", fetched])
        .unwrap();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let verified = kit::verify(&stage, &fetched).unwrap();
    assert!([0, 2].contains(&verified.code), "{verified:?}");
    kit::lacks(
        &verified,
        &[
            "receipt-absent",
            "kit-mismatch",
            "signer-unknown",
            "enrolment-absent",
        ],
    )
    .unwrap();
}
