//! What kits gathered comes by hand: taken in once, and nothing that does not hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

use evidence::{
    custody::event::{Action, Event},
    envelope::{self, Envelope},
    field::Field,
    ids::CollectionId,
    instant::Instant,
    keys::SigningKey,
    wrap::{self, Identity as Vault},
};
use protocol::{
    enrolment::HostFacts,
    kit::{KitTerms, KitUse},
    messages::{CollectionRow, Collections, HostState},
    order::Order,
    version::VERSION,
};

use crate::{
    intake::import::{Brought, CollectionReport, Outcome, Report, import},
    testing::{Deployment, Running, TestPart, facts, later},
    tests::{
        kits::{TestKit, cancel, certified, kit_order},
        orders::status,
    },
};

/// A stick, and the kit on it.
pub(crate) struct Stick {
    dir: tempfile::TempDir,
    pub(crate) kit: TestKit,
    pub(crate) order: Order,
    pub(crate) signed: Envelope,
}

impl Stick {
    pub(crate) async fn new(s: &Running<'_>) -> Self {
        Self::with(s, |_| ()).await
    }

    async fn with(s: &Running<'_>, change: impl FnOnce(&mut Order)) -> Self {
        let kit = certified(s).await;
        let (order, signed) = kit_order(s, &kit, change).await;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("evidence")).unwrap();
        Self {
            dir,
            kit,
            order,
            signed,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn folder(&self, of: CollectionId) -> PathBuf {
        self.path().join("evidence").join(of.to_string())
    }

    fn used(&self, host: HostFacts) -> KitUse {
        KitUse {
            v: VERSION,
            kit: self.kit.kit,
            agent: self.kit.sealer.id,
            collection: CollectionId::random().unwrap(),
            order_sha256: self.signed.digest(),
            host,
            host_time: Instant::now(),
            field: Field {
                kit: self.kit.kit,
                operator: "Kim".into(),
                location: "Room 4".into(),
                medium: None,
                operator_time: None,
                remark: None,
            },
        }
    }

    /// A whole collection of two parts of a host.
    pub(crate) fn collect(&self, s: &Running<'_>, host: HostFacts) -> CollectionId {
        self.collect_as(s, host, |_| ())
    }

    fn collect_as(
        &self,
        s: &Running<'_>,
        host: HostFacts,
        change: impl FnOnce(&mut KitUse),
    ) -> CollectionId {
        let mut used = self.used(host);
        change(&mut used);
        self.lay_use(s, &used, &self.kit.sealer.seal);
        self.lay_parts(used.collection);
        used.collection
    }

    fn lay_use(&self, s: &Running<'_>, used: &KitUse, key: &SigningKey) {
        let folder = self.folder(used.collection);
        fs::create_dir_all(&folder).unwrap();
        let signed = Envelope::sign_document(envelope::KIT_USE, used, key).unwrap();
        let leaf = Action::KitUsed {
            agent: used.agent,
            kit: used.kit,
            collection: used.collection,
            order_sha256: used.order_sha256,
            use_sha256: signed.digest(),
            key: key.public(),
        };
        let leaf = Event::sign(leaf, used.host_time, key).unwrap();
        let to = [s.server.intake.recipient(), Vault::generate().recipient()];
        let sealed = wrap::wrap(&to, &signed.to_json().unwrap()).unwrap();
        fs::write(folder.join("use.age"), sealed).unwrap();
        fs::write(folder.join("used.custody.json"), leaf.to_json().unwrap()).unwrap();
    }

    fn lay_parts(&self, collection: CollectionId) {
        let (sealer, order) = (&self.kit.sealer, Some(self.signed.digest()));
        let first = sealer.part_of(collection, 3_000, None, false, order);
        let last = sealer.part_of(collection, 400_000, Some(&first), true, order);
        self.lay_part(&first);
        self.lay_part(&last);
    }

    fn lay_part(&self, part: &TestPart) {
        let at = |ending: &str| {
            let name = format!("part-{:04}.{ending}", part.said.part);
            self.folder(part.said.collection).join(name)
        };
        fs::write(at("zip.age"), &part.bytes).unwrap();
        fs::write(at("statement.json"), &part.statement).unwrap();
    }
}

async fn take_in(s: &Running<'_>, stick: &Stick) -> Report {
    let brought = Brought {
        by: Some("ann".into()),
        from: "here".into(),
        medium: Some("0815".into()),
    };
    import(&s.server, stick.path(), &brought).await
}

fn of(report: &Report, collection: CollectionId) -> &CollectionReport {
    let mut all = report.collections.iter();
    all.find(|c| c.collection == collection).unwrap()
}

async fn stored(s: &Running<'_>) -> Vec<CollectionRow> {
    let all: Collections = s.get_as("ann", "/v1/collections").await.message();
    all.collections
}

pub(crate) fn host(name: &str) -> HostFacts {
    HostFacts {
        hostname: name.into(),
        ..facts()
    }
}

/// What was set apart of a collection, its reasons as text.
fn quarantined(d: &Deployment, report: &CollectionReport) -> (PathBuf, String) {
    let place = d.path().join(report.quarantine.as_ref().unwrap());
    let reasons = fs::read_to_string(place.join("reasons.json")).unwrap();
    (place, reasons)
}

#[tokio::test]
async fn a_stick_is_taken_in_whole_and_a_second_time_changes_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let one = stick.collect(&s, host("vault-1"));
    let before = s.server.custody.size();
    let report = take_in(&s, &stick).await;
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let told = of(&report, one);
    assert_eq!((told.outcome, told.whole), (Outcome::TakenIn, true));
    assert_eq!(told.hostname.as_deref(), Some("vault-1"));
    // The kit's own leaf, two parts, the import.
    assert_eq!(s.server.custody.size(), before + 4);
    let row = stored(&s).await.remove(0);
    assert_eq!((row.collection, row.hostname.as_str()), (one, "vault-1"));
    assert_eq!((row.complete, row.parts.len()), (true, 2));
    assert_eq!(row.agent, stick.kit.sealer.id);
    let shown = status(&s, &stick.order).await;
    let captures = shown.hosts[0].captures.clone().unwrap();
    assert_eq!(shown.hosts[0].state, HostState::Delivered);
    assert_eq!((captures.begun, captures.delivered), (1, 1));
    let leaf = leaf(&s, before).await;
    let Action::KitUsed { collection, .. } = leaf else {
        panic!("{leaf:?}");
    };
    assert_eq!(collection, one);

    let size = s.server.custody.size();
    let again = take_in(&s, &stick).await;
    let told_again = of(&again, one);
    assert_eq!(told_again.outcome, Outcome::WasHere, "{}", again.text());
    assert_eq!(told_again.parts.len(), 2);
    assert!(told_again.parts.iter().all(|p| p.receipt.is_some()));
    assert!(told_again.imported.is_some());
    assert_eq!(
        (s.server.custody.size(), stored(&s).await),
        (size, vec![row])
    );
    assert_eq!(status(&s, &stick.order).await, shown);
    assert!(!d.path().join("quarantine").exists());
}

async fn leaf(s: &Running<'_>, number: u64) -> Action {
    let leaves = s.server.custody.leaves(number, 1, 1 << 20).await.unwrap();
    let leaf = data_encoding::BASE64.decode(leaves[0].as_bytes()).unwrap();
    Event::read(&leaf).unwrap().1.action
}

#[tokio::test]
async fn two_hosts_of_one_name_and_one_host_twice_are_three_collections_and_the_fourth_is_too_many()
{
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let twice = host("web");
    let three = [
        stick.collect(&s, twice.clone()),
        stick.collect(&s, twice),
        stick.collect(&s, host("web")),
    ];
    let report = take_in(&s, &stick).await;
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert_eq!(stored(&s).await.len(), three.len());
    let fourth = stick.collect(&s, host("web"));
    let report = take_in(&s, &stick).await;
    assert_eq!(report.exit_code(), 2);
    let told = of(&report, fourth);
    assert_eq!(told.outcome, Outcome::SetApart);
    assert!(told.reasons[0].contains("more often"), "{:?}", told.reasons);
    assert!(
        three
            .iter()
            .all(|c| of(&report, *c).outcome == Outcome::WasHere)
    );
    assert_eq!(stored(&s).await.len(), three.len());
}

#[tokio::test]
async fn nothing_that_does_not_hold_is_taken_in_and_the_rest_of_the_stick_is() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let named = |o: &mut Order| {
        let terms = o.kit.clone().unwrap();
        o.kit = Some(KitTerms {
            hosts: ["good".to_owned(), "bad".to_owned()].into(),
            ..terms
        });
    };
    let stick = Stick::with(&s, named).await;
    let good = stick.collect(&s, host("good"));
    let expires = stick.order.expires;
    let late = stick.collect_as(&s, host("bad"), |u| u.host_time = expires);
    let told_late = stick.collect_as(&s, host("bad"), |u| u.field.operator_time = Some(expires));
    let other_host = stick.collect(&s, host("other"));
    let other_order = stick.collect_as(&s, host("bad"), |u| {
        u.order_sha256 = evidence::digest::Digest::of(b"other");
    });
    let forged = stick.used(host("bad"));
    stick.lay_use(&s, &forged, &SigningKey::generate().unwrap());
    stick.lay_parts(forged.collection);
    let moved = stick.used(host("bad"));
    stick.lay_use(&s, &moved, &stick.kit.sealer.seal);
    let elsewhere = CollectionId::random().unwrap();
    fs::rename(stick.folder(moved.collection), stick.folder(elsewhere)).unwrap();
    let mixed = stick.collect(&s, host("bad"));
    fs::copy(
        stick.folder(good).join("use.age"),
        stick.folder(mixed).join("use.age"),
    )
    .unwrap();
    let report = take_in(&s, &stick).await;
    for (collection, why) in [
        (late, "expired"),
        (told_late, "expired"),
        (other_host, "does not name the host"),
        (other_order, "no order of this kit"),
        (forged.collection, "seal key"),
        (elsewhere, "collection is another"),
        (mixed, "use is another"),
    ] {
        let told = of(&report, collection);
        assert_eq!(told.outcome, Outcome::SetApart, "{why}");
        assert!(told.reasons[0].contains(why), "{why}: {:?}", told.reasons);
        let (place, reasons) = quarantined(&d, told);
        assert!(reasons.contains(why) && place.join("use.age").exists());
    }
    assert_eq!(of(&report, good).outcome, Outcome::TakenIn);
    assert_eq!(report.exit_code(), 2);
    assert_eq!(stored(&s).await.len(), 1);
    // Set apart once, whatever comes again.
    let count = || fs::read_dir(d.folder().quarantine()).unwrap().count();
    let before = count();
    take_in(&s, &stick).await;
    assert_eq!(count(), before);
}

#[tokio::test]
async fn a_changed_part_is_set_apart_and_a_missing_one_told_and_taken_later() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let (changed, missing) = (stick.collect(&s, host("a")), stick.collect(&s, host("b")));
    let path = stick.folder(changed).join("part-0002.zip.age");
    let genuine = fs::read(&path).unwrap();
    let mut bytes = genuine.clone();
    bytes[7] ^= 1;
    fs::write(&path, bytes).unwrap();
    let away = stick.folder(missing).join("part-0002.zip.age");
    let kept = stick.path().join("kept");
    fs::rename(&away, &kept).unwrap();
    let report = take_in(&s, &stick).await;
    let told = of(&report, changed);
    assert_eq!((told.outcome, told.whole), (Outcome::SetApart, false));
    assert_eq!(told.parts[0].outcome, Outcome::TakenIn);
    assert_eq!(told.parts[1].outcome, Outcome::SetApart);
    let (place, reasons) = quarantined(&d, told);
    assert!(reasons.contains("part 2"), "{reasons}");
    assert!(place.join("part-0002.zip.age").exists());
    assert!(!place.join("part-0001.zip.age").exists());
    let told = of(&report, missing);
    assert_eq!((told.outcome, told.whole), (Outcome::Incomplete, false));
    assert_eq!(
        status(&s, &stick.order).await.hosts[0].state,
        HostState::Running
    );

    fs::write(&path, genuine).unwrap();
    fs::rename(&kept, &away).unwrap();
    let report = take_in(&s, &stick).await;
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert_eq!(
        status(&s, &stick.order).await.hosts[0].state,
        HostState::Delivered
    );
}

#[tokio::test]
async fn a_cancelled_order_and_a_revoked_kit_end_what_is_begun_after() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let before = stick.collect_as(&s, host("a"), |u| u.host_time = later(-5));
    assert_eq!(cancel(&s, &stick.order, &stick.signed).await.status, 200);
    let after = stick.collect_as(&s, host("a"), |u| u.host_time = later(5));
    let report = take_in(&s, &stick).await;
    assert_eq!(
        of(&report, before).outcome,
        Outcome::TakenIn,
        "{}",
        report.text()
    );
    let told = of(&report, after);
    assert_eq!(told.outcome, Outcome::SetApart);
    assert!(told.reasons[0].contains("cancelled"), "{:?}", told.reasons);

    let other = Stick::new(&s).await;
    let revoked = other.collect(&s, host("b"));
    let event = Action::Revoked {
        agent: other.kit.sealer.id,
        invalid_from: Instant::now(),
    };
    let event = Event::sign(event, Instant::now(), &d.person("eve").signing).unwrap();
    let sent = protocol::messages::SubmitEvent {
        v: VERSION,
        event: crate::testing::text(&event),
        reason: None,
    };
    let answer = s.post_as("eve", "/v1/custody/events", &sent).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let report = take_in(&s, &other).await;
    assert_eq!(of(&report, revoked).outcome, Outcome::SetApart);
}

#[cfg(unix)]
#[tokio::test]
async fn links_pipes_and_huge_files_are_not_read() {
    use std::os::unix::fs::symlink;
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let (linked, piped) = (stick.collect(&s, host("a")), stick.collect(&s, host("b")));
    let huge = stick.collect(&s, host("c"));
    let part = |of, name: &str| stick.folder(of).join(name);
    let secret = d.folder().intake_key();
    fs::remove_file(part(linked, "part-0001.zip.age")).unwrap();
    symlink(&secret, part(linked, "part-0001.zip.age")).unwrap();
    fs::remove_file(part(piped, "use.age")).unwrap();
    let pipe = part(piped, "use.age");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let statement = fs::File::options()
        .write(true)
        .open(part(huge, "part-0001.statement.json"));
    statement.unwrap().set_len(1 << 40).unwrap();
    let folder = CollectionId::random().unwrap();
    symlink(stick.folder(huge), stick.folder(folder)).unwrap();
    let report = take_in(&s, &stick).await;
    for of_one in [linked, piped, huge, folder] {
        let told = of(&report, of_one);
        assert_eq!(told.outcome, Outcome::SetApart, "{}", report.text());
        assert!(
            told.reasons[0].contains("no plain file"),
            "{:?}",
            told.reasons
        );
        let (place, _) = quarantined(&d, told);
        assert!(!place.join("part-0001.zip.age").is_symlink());
    }
    assert_eq!(report.exit_code(), 2);
}

#[tokio::test]
async fn an_import_that_was_cut_off_goes_on_where_it_stood() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let stick = Stick::new(&s).await;
    let one = stick.collect(&s, host("a"));
    let report = take_in(&s, &stick).await;
    assert_eq!(report.exit_code(), 0);
    let size = s.server.custody.size();
    s.stop().await;
    // As if the server had ended before anything but the leaves was written down.
    let path = d.folder().index();
    let rows = sqlx::SqlitePool::connect(path.to_str().unwrap()).await;
    let rows = rows.unwrap();
    for undo in [
        "UPDATE imports SET receipt = NULL",
        "UPDATE collections SET complete = 0",
        "DELETE FROM parts WHERE part = 2",
        "DELETE FROM uploads",
        "UPDATE order_hosts SET captures = 0, state = 'waiting'",
    ] {
        sqlx::query(undo).execute(&rows).await.unwrap();
    }
    rows.close().await;
    let s = d.start().await;
    let report = take_in(&s, &stick).await;
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert!(of(&report, one).whole);
    assert_eq!(s.server.custody.size(), size, "no leaf is written twice");
    assert_eq!(
        status(&s, &stick.order).await.hosts[0].state,
        HostState::Delivered
    );
}
