//! Parts on their way: delivered whole whatever breaks, resumed, and removed here only against a receipt.

use std::fs;

use evidence::{custody::event::StoredPart, digest::Digest, ids::CollectionId, keys::SigningKey};

use super::{World, bytes};
use crate::{
    courier::{
        status,
        testing::{Act, COLLECTION, part_of, receipt_for, until},
    },
    link::{FromReader, FromSpool},
};

const MIB: usize = 1 << 20;

#[test]
fn a_part_reaches_the_server_and_leaves_the_host_against_a_receipt() {
    let world = World::new();
    let mut courier = world.start();
    assert_eq!(courier.begin(), 0);
    let sent = bytes(17 * MIB);
    courier.seal(1, &sent);
    until("the ciphertext is removed", || {
        !world.has("part-0001.zip.age")
    });
    assert_eq!(world.server.part(1).unwrap(), sent);
    // The reader gets the receipt, who can judge it.
    let (said, handed) = courier.link.receive::<FromSpool>().unwrap().unwrap();
    assert_eq!(said, FromSpool::Receipt {});
    let mut receipt = Vec::new();
    std::io::Read::read_to_end(&mut fs::File::from(handed.unwrap()), &mut receipt).unwrap();
    assert!(evidence::custody::receipt::Receipt::parse(&receipt).is_ok());
    assert_eq!(
        world.names(),
        ["part-0001.receipt", "part-0001.statement.json"]
    );
    world.server.with(|s| {
        for (version, group) in &s.handshakes {
            assert_eq!(version, "Some(TLSv1_3)");
            assert_eq!(group, "Some(X25519MLKEM768)");
        }
        let patches = s.requests.iter().filter(|r| r.starts_with("PATCH"));
        assert_eq!(patches.count(), 3);
    });
    courier.stop().unwrap();
    let told = status::read(world.state.path()).unwrap().unwrap();
    assert_eq!((told.parts_waiting, told.parts_delivered), (0, 1));
    assert!(told.last_contact.is_some() && told.last_error.is_none());
}

#[test]
fn a_collection_that_made_way_for_another_is_gone_on_with_in_the_same_conversation() {
    let world = World::new();
    let mut courier = world.start();
    let other = CollectionId::from_bytes([4; 16]);
    assert_eq!(courier.begin(), 0);
    courier.seal(1, b"one");
    // Nothing will ever be written into it.
    courier.open(2);
    assert!(matches!(
        courier.hear().0,
        FromSpool::SlotOpened { slot: 2, .. }
    ));
    assert_eq!(courier.begin_other(other), 0);
    courier.say(&FromReader::End { collection: other });
    assert_eq!(courier.hear().0, FromSpool::Ended { collection: other });
    assert_eq!(courier.begin(), 1);
    assert!(!world.names().iter().any(|name| name.contains("slot-")));
    courier.seal(2, b"two");
    until("both are delivered", || {
        !world.has("part-0001.zip.age") && !world.has("part-0002.zip.age")
    });
    assert_eq!(world.server.part(2).unwrap(), b"two");
    courier.stop().unwrap();
}

#[test]
fn every_way_to_break_an_upload_ends_with_the_part_delivered_whole() {
    let world = World::new();
    let mut courier = world.start();
    courier.begin();
    let faults: [(&str, &str, Act); 12] = [
        ("PATCH", "/v1/parts", Act::CutAfter(100_000)),
        ("PATCH", "/v1/parts", Act::CutAnswer),
        ("PATCH", "/v1/parts", Act::Refuse(409, None)),
        ("PATCH", "/v1/parts", Act::Refuse(460, None)),
        ("PATCH", "/v1/parts", Act::Refuse(423, Some(0))),
        ("PATCH", "/v1/parts", Act::Refuse(503, Some(0))),
        ("PATCH", "/v1/parts", Act::Forget),
        ("PATCH", "/v1/parts", Act::Refuse(422, None)),
        ("POST", "/v1/parts", Act::Refuse(507, Some(0))),
        ("POST", "/v1/parts", Act::CutAnswer),
        ("GET", "/receipt", Act::Refuse(404, None)),
        ("GET", "/receipt", Act::Lie(b"{}".to_vec())),
    ];
    for (part, (method, path, act)) in (1..).zip(faults) {
        world.server.fault(method, path, act.clone());
        let sent = bytes(MIB + part as usize);
        courier.seal(part, &sent);
        let sealed = format!("part-{part:04}.zip.age");
        until(&format!("{act:?}"), || !world.has(&sealed));
        assert!(world.server.is_faultless(), "{act:?}");
        if !matches!(act, Act::Forget) {
            assert_eq!(world.server.part(part).unwrap(), sent, "{act:?}");
        }
    }
}

#[test]
fn a_server_that_vanishes_in_the_middle_is_gone_on_with_where_it_stopped() {
    let world = World::new();
    let mut courier = world.start();
    courier.begin();
    let sent = bytes(20 * MIB);
    world
        .server
        .fault("PATCH", "/v1/parts", Act::CutAfter(5 * MIB));
    courier.seal(1, &sent);
    until("the cut", || world.server.is_faultless());
    world.server.vanish();
    let more = bytes(1000);
    courier.seal(2, &more);
    until("the trouble is told", || {
        let told = status::read(world.state.path()).unwrap().unwrap();
        // Part 1 may have got through just before the server went.
        told.last_error.is_some() && told.parts_waiting >= 1
    });
    world.server.come_back();
    until("all is delivered", || !world.has("part-0002.zip.age"));
    assert_eq!(world.server.part(1).unwrap(), sent);
    assert_eq!(world.server.part(2).unwrap(), more);
    assert_eq!(world.server.with(|s| s.created), 2);
}

#[test]
fn a_new_courier_goes_on_with_the_upload_of_the_one_before() {
    let world = World::new();
    let mut courier = world.start();
    courier.begin();
    let sent = bytes(20 * MIB);
    world
        .server
        .fault("PATCH", "/v1/parts", Act::CutAfter(5 * MIB));
    courier.seal(1, &sent);
    until("the cut", || world.server.is_faultless());
    world.server.vanish();
    courier.stop().unwrap();
    world.server.come_back();
    world
        .server
        .fault("GET", "/receipt", Act::Refuse(503, Some(600)));
    let courier = world.start();
    until("the receipt is refused", || world.server.is_faultless());
    courier.stop().unwrap();
    assert!(world.has("part-0001.zip.age"));
    let patches = || {
        world.server.with(|s| {
            let all = s.requests.iter().filter(|r| r.starts_with("PATCH"));
            all.count()
        })
    };
    let before = patches();
    let mut courier = world.start();
    until("the receipt is had", || !world.has("part-0001.zip.age"));
    assert_eq!(courier.begin(), 1);
    assert_eq!(world.server.part(1).unwrap(), sent);
    assert_eq!((world.server.with(|s| s.created), patches()), (1, before));
}

#[test]
fn what_a_crash_left_is_put_right_at_the_next_start() {
    let world = World::new();
    let folder = world.folder.spool().join(COLLECTION.to_string());
    fs::create_dir_all(&folder).unwrap();
    let (one, two) = (bytes(1000), bytes(2000));
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    // Part 1: its receipt was durable, its ciphertext not yet removed.
    let stored = StoredPart {
        collection: COLLECTION,
        part: 1,
        stored_sha256: Digest::of(&one),
    };
    let key = SigningKey::generate().unwrap();
    write("part-0001.zip.age", &one);
    write("part-0001.statement.json", part_of(1, &one).as_bytes());
    write("part-0001.receipt", &receipt_for(stored, 1000, &key));
    write("part-0001.upload", b"/v1/parts/upload-gone");
    // Part 2: sealed, its upload unknown to the server. Part 3: never sealed.
    write("part-0002.zip.age", &two);
    write("part-0002.statement.json", part_of(2, &two).as_bytes());
    write("part-0002.upload", b"/v1/parts/upload-gone");
    write("part-0002.receipt.new", b"half");
    write("slot-00000003.partial", b"half");
    let _courier = world.start();
    until("part 2 is delivered", || !world.has("part-0002.zip.age"));
    assert_eq!(world.server.part(2).unwrap(), two);
    assert_eq!(
        world.names(),
        [
            "part-0001.receipt",
            "part-0001.statement.json",
            "part-0002.receipt",
            "part-0002.statement.json",
        ]
    );
    assert_eq!(world.server.with(|s| s.created), 1);
}

#[test]
fn a_part_that_is_not_what_was_sealed_is_kept_and_told_and_holds_nobody_up() {
    let world = World::new();
    let folder = world.folder.spool().join(COLLECTION.to_string());
    fs::create_dir_all(&folder).unwrap();
    let sealed = bytes(1000);
    fs::write(folder.join("part-0001.zip.age"), &sealed[..999]).unwrap();
    let statement = part_of(1, &sealed);
    fs::write(folder.join("part-0001.statement.json"), statement).unwrap();
    let mut courier = world.start();
    assert_eq!(courier.begin(), 1);
    courier.seal(2, &sealed);
    until("part 2 is delivered", || !world.has("part-0002.zip.age"));
    assert!(world.has("part-0001.zip.age"));
    assert!(world.server.part(1).is_none());
    courier.stop().unwrap();
    // The server has answered since, and that is no end of it.
    let told = status::read(world.state.path()).unwrap().unwrap();
    let error = told.errors.newest_first().next().unwrap();
    assert!(!error.way && !error.over, "{error:?}");
    assert_eq!(told.last_error.unwrap().text, error.text);
}

#[test]
fn a_receipt_for_something_else_removes_nothing() {
    let world = World::new();
    let mut courier = world.start();
    courier.begin();
    let sent = bytes(1000);
    let other = StoredPart {
        collection: COLLECTION,
        part: 9,
        stored_sha256: Digest::of(&sent),
    };
    let key = SigningKey::generate().unwrap();
    let lie = receipt_for(other, 1000, &key);
    world.server.fault("GET", "/receipt", Act::Lie(lie.clone()));
    world
        .server
        .fault("GET", "/receipt", Act::Refuse(503, Some(600)));
    courier.seal(1, &sent);
    until("both are seen", || world.server.is_faultless());
    assert!(world.has("part-0001.zip.age"));
    assert!(!world.has("part-0001.receipt"));
}

#[test]
fn a_full_spool_makes_the_reader_wait_for_delivery_and_nothing_else() {
    let world = World::new();
    world.set(|s| s.spool_quota_bytes = 1);
    world.server.vanish();
    let mut courier = world.start();
    courier.begin();
    courier.seal(1, &bytes(1000));
    courier.open(2);
    courier.open(3);
    let given_up = FromReader::Discard {
        collection: COLLECTION,
        slot: 3,
    };
    courier.say(&given_up);
    // The part that ends the chain is never held up, and neither is anything else.
    courier.say(&FromReader::OpenSlot {
        collection: COLLECTION,
        slot: 4,
        closing: true,
    });
    let (said, _) = courier.hear();
    assert!(
        matches!(said, FromSpool::SlotOpened { slot: 4, .. }),
        "{said:?}"
    );
    world.server.come_back();
    courier.fill(2, &bytes(2000));
    until("all is delivered", || !world.has("part-0002.zip.age"));
}

#[test]
fn too_little_free_disk_makes_the_reader_wait() {
    let world = World::new();
    world.set(|s| s.min_free_bytes = Some(1 << 60));
    let mut courier = world.start();
    courier.begin();
    courier.open(1);
    courier.say(&FromReader::End {
        collection: COLLECTION,
    });
    let (said, _) = courier.hear();
    assert_eq!(
        said,
        FromSpool::Ended {
            collection: COLLECTION
        }
    );
}
