//! Why a host does not reach its server: the real agent's own answer, for each thing that stands between them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use evidence::{envelope::Envelope, keys::SigningKey};
use fieldseal_tests::{
    args, kit::json, port, programs::Outcome, proxy::Proxy, running::Running, stage::Stage,
    stick::wait_until,
};
use serde_json::Value;

fn deployed(dir: &Path) -> Stage {
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    Stage::deployed(dir, |_| (), &people, &[], "asked").unwrap()
}

/// Writes a setting of the courier's over the one that is there.
fn set(stage: &Stage, name: &str, value: &str) {
    let path = stage.path("agent/courier/courier.toml");
    let mut settings: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    settings.insert(name.to_owned(), value.into());
    fs::write(&path, toml::to_string(&settings).unwrap()).unwrap();
}

fn examined(stage: &Stage) -> Outcome {
    let arguments = args!["doctor", "--state", stage.path("agent")];
    stage.run("fieldseal-agent", &arguments).unwrap()
}

/// That `step` is the first at fault, but for the clock; what is told of it.
#[track_caller]
fn fault(stage: &Stage, step: &str) -> String {
    let outcome = examined(stage);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let faults: Vec<_> = outcome
        .out
        .lines()
        .filter(|line| line.starts_with("FAULT"))
        .collect();
    let named = |name: &str| format!("FAULT {name} ");
    let mut others = faults
        .iter()
        .filter(|line| !line.starts_with(&named("clock")));
    let first = if step == "clock" {
        faults.first()
    } else {
        others.next()
    };
    assert!(first.unwrap().starts_with(&named(step)), "{outcome:?}");
    (*first.unwrap()).to_owned()
}

#[test]
fn each_obstacle_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = deployed(&dir.path().join("stage"));
    let url = stage.url();

    // Nobody runs the agent yet, and all else is well.
    assert!(fault(&stage, "running").contains("has not run yet"));
    stage.run_agent().unwrap();
    fieldseal_tests::stick::wait_until("the agent reaches its server", || {
        Ok(examined(&stage).code == 0)
    })
    .unwrap();
    let outcome = stage
        .run(
            "fieldseal-agent",
            &args!["doctor", "--json", "--state", stage.path("agent")],
        )
        .unwrap();
    let Value::Array(steps) = json(&outcome.out).unwrap() else {
        panic!("{outcome:?}");
    };
    let names: Vec<_> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    let all = [
        "enrolment",
        "name",
        "route",
        "server",
        "clock",
        "certificate",
        "agent",
        "running",
    ];
    assert_eq!(names, all);

    // What it left behind tells nothing of now.
    stage.stop_agent().unwrap();
    assert!(fault(&stage, "running").contains("does not run"));
    stage.run_agent().unwrap();

    set(&stage, "server", "https://no-such-host.invalid:8443");
    assert!(fault(&stage, "name").contains("no-such-host.invalid"));

    let nobody = port::free().unwrap().port();
    set(&stage, "server", &format!("https://localhost:{nobody}"));
    assert!(fault(&stage, "route").contains("nothing listens on that port"));

    let portal = TcpListener::bind("127.0.0.1:0").unwrap();
    set(
        &stage,
        "server",
        &format!("https://localhost:{}", portal.local_addr().unwrap().port()),
    );
    thread::spawn(move || sends_to_login(&portal));
    assert!(fault(&stage, "server").contains("captive portal"));

    let (inspector, running) = inspector(dir.path());
    set(&stage, "server", &format!("https://localhost:{inspector}"));
    let told = fault(&stage, "server");
    assert!(
        told.contains("not signed by the root given") && told.contains("must be exempted"),
        "{told}"
    );
    running.stop().unwrap();

    set(&stage, "server", &url);
    // 10 minutes: within every certificate, and too much.
    stage.go_on_by_seconds(600).unwrap();
    let told = fault(&stage, "clock");
    assert!(told.contains("+600.") || told.contains("+599."), "{told}");
    stage.go_on_by(100).unwrap();
    assert!(fault(&stage, "server").contains("Check this host's clock"));
    stage.go_on_by(0).unwrap();

    let status = args!["status", "--json", "--state", stage.path("agent")];
    let shown = json(&stage.run("fieldseal-agent", &status).unwrap().out).unwrap();
    let agent = shown["agent"].as_str().unwrap().to_owned();
    let revoked = stage
        .fieldseal(&args!["revoke", agent, "--from", "2026-01-01T00:00:00Z"])
        .unwrap();
    assert_eq!(revoked.code, 0, "{revoked:?}");
    assert!(fault(&stage, "agent").contains("revoked"));

    // A host that was switched off for so long: the server's own certificate was renewed meanwhile.
    stage.go_on_by(100).unwrap();
    stage.stop_agent().unwrap();
    stage.stop_server().unwrap();
    stage.serve().unwrap();
    assert!(fault(&stage, "certificate").contains("it ended"));
    stage.stop().unwrap();
}

/// What doctor says of a host that is not enrolled, its state in a folder that is not there.
fn before_enrolment(stage: &Stage, more: &[&str]) -> Outcome {
    let mut arguments = Vec::from(args!["doctor", "--state", stage.path("none")]);
    arguments.extend(more.iter().map(Into::into));
    let outcome = stage.run("fieldseal-agent", &arguments).unwrap();
    assert!(!stage.path("none").exists(), "something was made");
    assert_eq!(outcome.code, 1, "{outcome:?}");
    outcome
}

/// What it says of these steps, which are those at fault.
#[track_caller]
fn faults(outcome: &Outcome, steps: &[&str]) -> String {
    let lines = outcome.out.lines().filter_map(|l| l.strip_prefix("FAULT "));
    let lines: Vec<_> = lines.collect();
    let named = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    let found: Vec<_> = lines.iter().map(|line| named(line)).collect();
    assert_eq!(found, steps, "{outcome:?}");
    lines.join("\n")
}

#[test]
fn a_host_that_is_not_enrolled_learns_what_stands_in_the_way_and_uses_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let people: [(&str, &str, &[&str]); 2] = [
        ("ann", "Ann Example", &["investigator", "admin"]),
        ("bob", "Bob Example", &["approver"]),
    ];
    let mut stage = Stage::serving(&dir.path().join("stage"), |_| (), &people, &[]).unwrap();
    let file = stage.path("deployment.json");
    let given = file.display().to_string();
    let with = ["--deployment", given.as_str()];

    // Nothing was brought.
    let told = faults(&before_enrolment(&stage, &[]), &["enrolment"]);
    assert!(told.contains("/etc/fieldseal/deployment.json"), "{told}");
    let told = faults(&before_enrolment(&stage, &with), &["brought"]);
    assert!(told.contains("can't be read"), "{told}");

    // All is there; asking twice uses nothing up.
    stage
        .deployment_file("ann", "1", &["--label", "web"])
        .unwrap();
    let url = stage.url();
    for _ in 0..2 {
        let outcome = before_enrolment(&stage, &with);
        let told = faults(&outcome, &["enrolment"]);
        assert!(told.contains("nothing stands in the way"), "{told}");
        for said in [
            url.as_str(),
            "owner demo",
            "pinned root ",
            "labels web",
            "good until ",
            "would enrol one more host",
        ] {
            assert!(outcome.out.contains(said), "{said}: {outcome:?}");
        }
    }
    let json_too = ["--deployment", given.as_str(), "--json"];
    let Value::Array(steps) = json(&before_enrolment(&stage, &json_too).out).unwrap() else {
        panic!("no array");
    };
    let names: Vec<_> = steps.iter().map(|s| s["step"].as_str().unwrap()).collect();
    let all = [
        "brought",
        "name",
        "route",
        "server",
        "clock",
        "token",
        "enrolment",
    ];
    assert_eq!(names, all);

    // The file of somebody who may not, a network that is not this one, a time that is over.
    let genuine = fs::read(&file).unwrap();
    let envelope = Envelope::parse(genuine.trim_ascii()).unwrap();
    let bob = fs::read_to_string(stage.path("keys/bob/signing.key")).unwrap();
    let bob = SigningKey::from_pem(&bob).unwrap();
    let forged = Envelope::sign(envelope.payload_type(), envelope.payload().to_vec(), &bob);
    fs::write(&file, forged.to_json().unwrap()).unwrap();
    let told = faults(&before_enrolment(&stage, &with), &["token"]);
    assert!(told.contains("not signed by anybody who may"), "{told}");
    fs::remove_file(&file).unwrap();
    stage
        .deployment_file("ann", "1", &["--network", "192.0.2.0/24"])
        .unwrap();
    let told = faults(&before_enrolment(&stage, &with), &["token"]);
    assert!(told.contains("may not be used from 127.0.0.1"), "{told}");
    fs::write(&file, &genuine).unwrap();
    stage.go_on_by(2).unwrap();
    let told = faults(
        &before_enrolment(&stage, &with),
        &["brought", "clock", "token"],
    );
    assert!(told.contains("it ended"), "{told}");
    stage.go_on_by(0).unwrap();

    // The one use was left, and is none afterwards.
    stage.run_agent().unwrap();
    let listed = || stage.fieldseal(&args!["hosts", "--json"]).unwrap();
    fieldseal_tests::stick::wait_until("it enrols", || Ok(listed().out.contains("web"))).unwrap();
    let told = faults(&before_enrolment(&stage, &with), &["token"]);
    assert!(told.contains("used as often as it may be"), "{told}");
    assert_eq!(listed().out.matches("\"agent\":").count(), 1);

    stage.stop_server().unwrap();
    let told = faults(&before_enrolment(&stage, &with), &["route"]);
    assert!(told.contains("nothing listens on that port"), "{told}");
    stage.stop().unwrap();
}

#[test]
fn behind_a_captive_portal_an_agent_waits_and_delivers_once_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = deployed(&dir.path().join("stage"));
    let ordered = stage.collect_small(&[]).unwrap();
    stage.stop_server().unwrap();
    let portal = TcpListener::bind(stage.listen()).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_over);
    let portal = thread::spawn(move || sends_to_login_until(&portal, &seen));
    stage.run_agent().unwrap();
    let status = args!["status", "--json", "--state", stage.path("agent")];
    let shown = || json(&stage.run("fieldseal-agent", &status)?.out);
    wait_until("the trouble is told", || {
        let told = &shown()?["courier"]["last_error"]["text"];
        Ok(told
            .as_str()
            .is_some_and(|text| text.contains("captive portal")))
    })
    .unwrap();
    let shown = shown().unwrap();
    assert_eq!(shown["courier"]["last_contact"], Value::Null, "{shown}");
    is_over.store(true, Ordering::SeqCst);
    // Wakes the thread that accepts.
    let _ = TcpStream::connect(stage.listen());
    portal.join().unwrap();
    stage.serve().unwrap();
    let watch = args!["watch", ordered.order().unwrap(), "--for", "2m"];
    let watched = stage.fieldseal(&watch).unwrap();
    assert!([0, 2].contains(&watched.code), "{watched:?}");
    stage.stop().unwrap();
}

/// As a network does that wants a login first.
fn sends_to_login(listener: &TcpListener) {
    sends_to_login_until(listener, &AtomicBool::new(false));
}

fn sends_to_login_until(listener: &TcpListener, is_over: &AtomicBool) {
    for mut client in listener.incoming().flatten() {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let _ = client.read(&mut [0; 1024]);
        let _ = client.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n");
    }
}

/// A TLS server under a root of its own, as a proxy that looks into what passes.
fn inspector(dir: &Path) -> (u16, Running) {
    let (key, certificate) = (dir.join("key.pem"), dir.join("crt.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    assert!(made.unwrap().status.success());
    let port = port::free().unwrap().port();
    let mut command = Command::new("openssl");
    command.args([
        "s_server",
        "-quiet",
        "-www",
        "-accept",
        &format!("127.0.0.1:{port}"),
        "-key",
    ]);
    command.arg(&key).arg("-cert").arg(&certificate);
    let mut running = Running::start("openssl", &mut command, &dir.join("inspector.log")).unwrap();
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    running.wait_until("it listens", &listens).unwrap();
    (port, running)
}

#[test]
fn evidence_passes_a_real_proxy_that_wants_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = deployed(&dir.path().join("stage"));
    let proxy = Proxy::start(
        &dir.path().join("proxy"),
        ("u", "secret"),
        stage.listen().port(),
    )
    .unwrap();

    set(&stage, "proxy", &proxy.url("u", "wrong"));
    assert!(fault(&stage, "proxy").contains("other credentials"));
    let url = stage.url();
    set(&stage, "server", "https://localhost:1");
    set(&stage, "proxy", &proxy.url("u", "secret"));
    assert!(fault(&stage, "proxy").contains("forbids the way to localhost:1"));

    set(&stage, "server", &url);
    let before = proxy.asked().unwrap();
    stage.run_agent().unwrap();
    let outcome = stage.collect_small(&["--watch"]).unwrap();
    assert!([0, 2].contains(&outcome.code), "{outcome:?}");
    assert!(proxy.asked().unwrap() > before, "it went another way");
    let outcome = examined(&stage);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.out.contains("ok    proxy"), "{outcome:?}");
    for shown in [
        outcome.out,
        fs::read_to_string(stage.path("agent.log")).unwrap(),
    ] {
        assert!(!shown.contains("secret"), "{shown}");
    }
    stage.stop().unwrap();
}
