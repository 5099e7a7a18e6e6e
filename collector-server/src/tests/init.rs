//! What `init` makes: one root behind everything, and a server that serves without it.

use std::{collections::BTreeMap, fs, process::Command};

use evidence::{envelope::Envelope, instant::Instant, keys::SigningKey};
use protocol::{policy::Class, root::Root};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::{
    app, certificate,
    config::Config,
    init::{Plan, init},
    serve::Shown,
    state::Server,
    status::Status,
    testing::{Deployment, name},
    trust::Documents,
};

#[tokio::test]
async fn one_key_is_behind_the_root_document_the_policy_and_the_root_certificate() {
    let d = Deployment::new().await;
    let folder = d.folder();
    let pem = fs::read_to_string(folder.offline().join("root.key")).unwrap();
    let key = SigningKey::from_pem(&pem).unwrap().public();
    let root = fs::read(folder.root_document(1)).unwrap();
    let root = Root::open(&Envelope::parse(&root).unwrap()).unwrap();
    assert_eq!((root.keys.as_slice(), root.threshold), (&[key][..], 1));
    let policy = Envelope::parse(&fs::read(folder.policy()).unwrap()).unwrap();
    assert_eq!(policy.verify(&[key]), [key.key_id()]);
    let shown = Command::new("openssl")
        .args(["x509", "-noout", "-pubkey", "-in"])
        .arg(folder.root_certificate())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(shown.stdout).unwrap(),
        key.to_pem().unwrap()
    );
    let ends = d.policy().expires.seconds - Instant::now().seconds;
    assert!((364 * 86_400..=365 * 86_400).contains(&ends));
}

#[cfg(unix)]
#[tokio::test]
async fn keys_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let d = Deployment::new().await;
    let folder = d.folder();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for dir in [folder.keys(), folder.offline()] {
        assert_eq!(mode(&dir), 0o700);
        for entry in fs::read_dir(dir).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    }
    for entry in fs::read_dir(folder.trust()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("PRIVATE KEY"));
    }
}

#[tokio::test]
async fn the_server_serves_without_the_root_key_counts_and_stops() {
    let d = Deployment::new().await;
    fs::remove_dir_all(d.folder().offline()).unwrap();
    app::check(&d.path(), &d.config()).unwrap();
    let config = d.config();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = metrics.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let path = d.path();
    let server = app::launch(&path, &config, listener, metrics, stopped);
    let client = async {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let ask = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        for wanted in [
            "HTTP/1.1 200",
            "fieldseal_agents_polling 0",
            "what=\"custody_leaves\"} 1",
            "# EOF",
        ] {
            assert!(answer.contains(wanted), "{answer}");
        }
        let status = Status::of(&path).await.unwrap();
        assert!(!status.root_key_here && status.free_bytes > 0);
        assert_eq!(status.kept.custody_leaves, 1);
        assert!(status.text().contains("root key                  offline"));
        stop.send(()).unwrap();
    };
    tokio::join!(server, client).0.unwrap();
}

fn plan(d: &Deployment) -> Plan {
    Plan {
        deployment: name("again"),
        names: vec!["localhost".into()],
        listen: "127.0.0.1:0".parse().unwrap(),
        people: vec![d.person("eve").person.clone()],
        vaults: d.vaults.clone(),
        thresholds: BTreeMap::from([(Class::Triage, 1), (Class::Files, 1)]),
    }
}

#[tokio::test]
async fn a_folder_in_use_and_plans_without_sense_are_refused() {
    let d = Deployment::new().await;
    let again = init(&d.path(), &plan(&d)).await.unwrap_err();
    assert!(again.to_string().contains("not empty"), "{again}");
    let dir = tempfile::tempdir().unwrap();
    type Change = fn(&mut Plan);
    let changes: [Change; 6] = [
        |p| p.people.clear(),
        |p| p.names.clear(),
        |p| p.vaults.clear(),
        |p| p.vaults.values_mut().for_each(|v| v.truncate(1)),
        |p| p.thresholds.clear(),
        // Nobody could ever sign so much.
        |p| p.thresholds.values_mut().for_each(|needed| *needed = 2),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut bad = plan(&d);
        change(&mut bad);
        let path = dir.path().join(i.to_string());
        assert!(init(&path, &bad).await.is_err(), "{i}");
        // So that the corrected command finds the folder free.
        assert!(!path.exists(), "{i}");
    }
    init(&dir.path().join("good"), &plan(&d)).await.unwrap();
}

#[tokio::test]
async fn documents_of_another_deployment_are_noticed() {
    let (d, other) = (Deployment::new().await, Deployment::new().await);
    for file in [
        d.folder().policy(),
        d.folder().root_certificate(),
        d.folder().time_key(),
        d.folder().log_key(),
        d.folder().issuing_key(),
    ] {
        let own = fs::read(&file).unwrap();
        let place = file.strip_prefix(d.path()).unwrap();
        fs::copy(other.path().join(place), &file).unwrap();
        assert!(
            app::check(&d.path(), &d.config()).is_err(),
            "{}",
            file.display()
        );
        fs::write(&file, own).unwrap();
    }
    app::check(&d.path(), &d.config()).unwrap();
}

#[tokio::test]
async fn a_server_certificate_is_renewed_before_its_end_and_shown_at_once() {
    let d = Deployment::new().await;
    let folder = d.folder();
    let documents = Documents::load(&folder).unwrap();
    let keys = crate::trust::Keys::load(&folder, &documents.policy).unwrap();
    let names = d.config().names;
    let pem = fs::read_to_string(folder.server_pem()).unwrap();
    let shown = Shown::new(&pem).unwrap();
    let now = Instant::now();
    let days = |n: i64| Instant {
        seconds: now.seconds + n * 86_400,
        ns: 0,
    };
    let renew = |at| certificate::renew(&folder, &keys.issuing, &names, at, &shown).unwrap();
    assert!(!renew(days(59)));
    assert!(renew(days(61)));
    let new = fs::read_to_string(folder.server_pem()).unwrap();
    assert_ne!(new, pem);
    let ends = certificate::end_of(&new).unwrap();
    assert!(ends.seconds > days(149).seconds);
    Shown::new(&new).unwrap();
}

#[tokio::test]
async fn an_older_policy_does_not_come_back() {
    let d = Deployment::new().await;
    let folder = d.folder();
    let first = fs::read(folder.policy()).unwrap();
    let root =
        SigningKey::from_pem(&fs::read_to_string(folder.offline().join("root.key")).unwrap());
    let mut next = d.policy();
    next.version = 2;
    let signed = Envelope::sign_document(evidence::envelope::POLICY, &next, &root.unwrap());
    fs::write(folder.policy(), signed.unwrap().to_json().unwrap()).unwrap();
    let config: Config = d.config();
    let s = d.start().await;
    assert_eq!(
        s.server.custody.size(),
        1,
        "the new policy is a custody event"
    );
    s.stop().await;
    fs::write(folder.policy(), first).unwrap();
    let refused = Server::open(&d.path(), &config).await.err().unwrap();
    assert!(
        refused.to_string().contains("Restore the newest"),
        "{refused}"
    );
}
