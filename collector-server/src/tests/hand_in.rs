//! A stick is handed in by the command, with and without a running server, and by the drop folder; it gets its receipts.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use evidence::{custody::receipt::Receipt, ids::CollectionId};
use protocol::kit::layout;
use tokio::{task::JoinHandle, time};

use crate::{
    hand_in::{HandIn, hand_in},
    intake::{
        drop::{self, report_of},
        import::{Outcome, Report},
    },
    testing::{Deployment, Running},
    tests::imports::{Stick, host},
};

fn what(stick: &Stick, wipe: bool) -> HandIn {
    HandIn {
        path: stick.path().to_owned(),
        by: Some("ann".into()),
        medium: Some("0815".into()),
        wipe,
    }
}

async fn handed(d: &Deployment, stick: &Stick, wipe: bool) -> Report {
    let what = what(stick, wipe);
    let (path, config) = (d.path(), d.config());
    let handed = hand_in(&path, &config, &what);
    let within = Duration::from_secs(60);
    time::timeout(within, handed).await.unwrap().unwrap()
}

fn watched(s: &Running<'_>) -> JoinHandle<()> {
    tokio::spawn(drop::run(s.server.clone()))
}

/// A collection, pushed into the drop folder as an agency's own tools would.
fn pushed(stick: &Stick, of: CollectionId, drop_folder: &Path) -> PathBuf {
    let (partial, pushed) = (drop_folder.join("host.partial"), drop_folder.join("host"));
    fs::create_dir(&partial).unwrap();
    fs::rename(stick.folder(of), partial.join(of.to_string())).unwrap();
    fs::rename(&partial, &pushed).unwrap();
    pushed
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let looking = async {
        let mut ticks = time::interval(Duration::from_millis(20));
        while !is_so() {
            ticks.tick().await;
        }
    };
    let within = Duration::from_secs(60);
    time::timeout(within, looking).await.expect(what);
}

/// The receipts beside a collection's parts hold, and name what they are of.
fn check_receipts(d: &Deployment, stick: &Stick, of: CollectionId) {
    let key = d.policy().log_key().unwrap();
    for (name, says) in [
        ("part-0001.receipt", "received"),
        ("part-0002.receipt", "received"),
        ("enrolment.receipt", "kit_certified"),
        ("imported.receipt", "imported"),
    ] {
        let receipt = fs::read(stick.folder(of).join(name)).unwrap();
        let proven = Receipt::parse(&receipt).unwrap().verify(&key).unwrap();
        let leaf = evidence::custody::event::Event::read(&proven.leaf).unwrap();
        let said: serde_json::Value = serde_json::from_slice(leaf.0.payload()).unwrap();
        assert_eq!(said["event"], says, "{name}");
    }
}

fn holds_ciphertext(stick: &Stick, of: CollectionId) -> bool {
    stick.folder(of).join("part-0001.zip.age").exists()
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[tokio::test]
async fn beside_a_running_server_the_drop_folder_hands_it_over_and_what_is_durable_is_wiped() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let watching = watched(&s);
    until("the drop folder is there", || {
        d.folder().drop_folder().exists()
    })
    .await;
    let stick = Stick::new(&s).await;
    let (good, bad) = (stick.collect(&s, host("a")), stick.collect(&s, host("b")));
    let part = stick.folder(bad).join("part-0002.zip.age");
    fs::write(&part, b"changed").unwrap();
    let kept = handed(&d, &stick, false).await;
    assert_eq!(kept.exit_code(), 2, "{}", kept.text());
    check_receipts(&d, &stick, good);
    assert!(holds_ciphertext(&stick, good));

    let wiped = handed(&d, &stick, true).await;
    let outcome = |of| wiped.collections.iter().find(|c| c.collection == of);
    assert_eq!(outcome(good).unwrap().outcome, Outcome::WasHere);
    assert_eq!(outcome(bad).unwrap().outcome, Outcome::SetApart);
    assert!(!holds_ciphertext(&stick, good) && holds_ciphertext(&stick, bad));
    assert!(stick.folder(good).join("part-0001.statement.json").exists());
    check_receipts(&d, &stick, good);
    // A stick that was wiped is known again by its statements.
    let again = handed(&d, &stick, true).await;
    let told = again.collections.iter().find(|c| c.collection == good);
    assert_eq!(told.unwrap().outcome, Outcome::WasHere);
    until("the drop folder is empty", || {
        entries(&d.folder().drop_folder()) == 0
    })
    .await;
    watching.abort();
}

#[tokio::test]
async fn without_a_server_the_command_takes_the_stick_in_by_itself() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let one = stick.collect(&s, host("a"));
    s.stop().await;
    let report = handed(&d, &stick, true).await;
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    check_receipts(&d, &stick, one);
    assert!(!holds_ciphertext(&stick, one));
    let s = d.start().await;
    assert!(s.server.index.is_whole(one).await.unwrap());
    let record = s.server.index.import_record(one).await.unwrap().unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(
        (&record["by"], &record["medium"]),
        (&"ann".into(), &"0815".into())
    );
}

#[tokio::test]
async fn a_folder_that_anybody_pushes_is_taken_in_once_it_has_its_name() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let (early, late) = (stick.collect(&s, host("a")), stick.collect(&s, host("b")));
    // What lay there before the server began to look, and what comes later.
    let drop_folder = d.folder().drop_folder();
    fs::create_dir_all(drop_folder.join("first")).unwrap();
    fs::rename(
        stick.folder(early),
        drop_folder.join("first").join(early.to_string()),
    )
    .unwrap();
    let partial = drop_folder.join("second.partial");
    fs::create_dir_all(&partial).unwrap();
    fs::rename(stick.folder(late), partial.join(late.to_string())).unwrap();
    let watching = watched(&s);
    let (first, second) = (drop_folder.join("first"), drop_folder.join("second"));
    until("the first is told", || report_of(&first).exists()).await;
    assert!(partial.exists(), "what is being written is left alone");
    fs::rename(&partial, &second).unwrap();
    until("the second is told", || report_of(&second).exists()).await;
    until("both are gone", || !first.exists() && !second.exists()).await;
    for (folder, of) in [(first, early), (second, late)] {
        let report = fs::read(report_of(&folder)).unwrap();
        let report: Report = serde_json::from_slice(&report).unwrap();
        assert_eq!(report.exit_code(), 0, "{}", report.text());
        assert!(
            report.collections[0]
                .parts
                .iter()
                .all(|p| p.receipt.is_some())
        );
        assert!(s.server.index.is_whole(of).await.unwrap());
    }
    watching.abort();
}

#[tokio::test]
async fn a_folder_under_a_name_that_was_told_of_before_is_taken_in_too() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let watching = watched(&s);
    let drop_folder = d.folder().drop_folder();
    until("the drop folder is there", || drop_folder.exists()).await;
    for of in [stick.collect(&s, host("a")), stick.collect(&s, host("a"))] {
        let pushed = pushed(&stick, of, &drop_folder);
        until("it is taken in", || !pushed.exists()).await;
        assert!(s.server.index.is_whole(of).await.unwrap());
        let report = fs::read(report_of(&pushed)).unwrap();
        let report: Report = serde_json::from_slice(&report).unwrap();
        assert_eq!(report.collections[0].collection, of);
    }
    watching.abort();
}

#[tokio::test]
async fn a_drop_of_which_anything_is_missing_stays_until_somebody_has_looked() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let watching = watched(&s);
    let drop_folder = d.folder().drop_folder();
    until("the drop folder is there", || drop_folder.exists()).await;
    let of = stick.collect(&s, host("a"));
    let leaf = stick.folder(of).join(layout::USED);
    let kept = fs::read(&leaf).unwrap();
    fs::remove_file(&leaf).unwrap();
    let pushed = pushed(&stick, of, &drop_folder);
    let report = report_of(&pushed);
    until("it is told of", || report.exists()).await;
    let part = pushed.join(of.to_string()).join("part-0001.zip.age");
    assert!(part.is_file(), "the only copy");

    fs::write(pushed.join(of.to_string()).join(layout::USED), kept).unwrap();
    fs::remove_file(&report).unwrap();
    until("it is taken in", || !pushed.exists()).await;
    assert!(s.server.index.is_whole(of).await.unwrap());
    watching.abort();
}

#[tokio::test]
async fn a_decoy_of_the_same_name_hides_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let one = stick.collect(&s, host("a"));
    fs::create_dir(stick.path().join(one.to_string())).unwrap();
    let watching = watched(&s);
    until("the drop folder is there", || {
        d.folder().drop_folder().exists()
    })
    .await;
    handed(&d, &stick, false).await;
    check_receipts(&d, &stick, one);
    assert!(s.server.index.is_whole(one).await.unwrap());
    watching.abort();
}

#[tokio::test]
async fn what_another_folder_of_the_same_name_holds_is_not_wiped() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let one = stick.collect(&s, host("a"));
    s.stop().await;
    let (genuine, other) = (stick.path().join(one.to_string()), stick.folder(one));
    fs::create_dir(&genuine).unwrap();
    for entry in fs::read_dir(&other).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, genuine.join(path.file_name().unwrap())).unwrap();
    }
    let cut = other.join("part-0002.zip.age");
    fs::write(&cut, b"something else").unwrap();
    handed(&d, &stick, true).await;
    assert!(!genuine.join("part-0002.zip.age").exists());
    assert_eq!(fs::read(cut).unwrap(), b"something else");
}

#[tokio::test]
async fn a_copy_that_a_killed_command_was_laying_is_removed_by_the_next() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let watching = watched(&s);
    let drop_folder = d.folder().drop_folder();
    until("the drop folder is there", || drop_folder.exists()).await;
    let stick = Stick::new(&s).await;
    stick.collect(&s, host("a"));
    let left = |id: u8| {
        let id = CollectionId::from_bytes([id; 16]);
        let left = drop_folder.join(format!("import-{id}.partial"));
        fs::create_dir(&left).unwrap();
        left
    };
    let (dead, at_work, others) = (left(1), left(2), drop_folder.join("host.partial"));
    fs::create_dir(&others).unwrap();
    let held = fs::File::open(&at_work).unwrap();
    held.try_lock().unwrap();
    assert_eq!(handed(&d, &stick, false).await.exit_code(), 0);
    assert!(!dead.exists() && at_work.exists() && others.exists());
    watching.abort();
}
