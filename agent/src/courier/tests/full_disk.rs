//! On a disk that another program has filled: what empties it goes on, and nothing ends.

use std::fs;

use evidence::ids::{CollectionId, OrderId};
use protocol::messages::HandedOrder;

use super::{
    World, bytes, names,
    orders::{accepted, ended, handed, order},
};
use crate::{
    courier::testing::{Act, COLLECTION, part_of, until},
    link::{FromReader, FromSpool, Wrapping},
    small_disk::SmallDisk,
};

const MIB: usize = 1 << 20;

#[test]
fn a_full_disk_holds_up_no_delivery_no_order_and_no_report() {
    let Some(disk) = SmallDisk::mount(16 << 10) else {
        return;
    };
    let world = World::on(&disk);
    world.server.vanish();
    let mut courier = world.start();
    courier.begin();
    let sent = bytes(MIB);
    courier.seal(1, &sent);
    disk.fill();
    let (id, one) = order(1);
    courier.say(&FromReader::Report {
        report: accepted(OrderId::from_bytes([9; 16])),
    });
    until("the report is kept", || {
        names(&world.folder.reports()).len() == 1
    });
    world.server.come_back();
    until("the part is delivered", || !world.has("part-0001.zip.age"));
    assert_eq!(world.server.part(1).unwrap(), sent);
    assert!(world.has("part-0001.receipt"));
    assert_eq!(world.server.with(|s| s.created), 1);
    disk.fill();
    world.server.with(|s| s.orders.push(one.clone()));
    let (_, text) = handed(&mut courier);
    assert_eq!(serde_json::from_str::<HandedOrder>(&text).unwrap(), one);
    courier.say(&FromReader::Report { report: ended(id) });
    until("it is told", || {
        world.server.with(|s| s.reports.last() == Some(&ended(id)))
    });
    courier.stop().unwrap();
}

#[test]
fn without_any_room_at_all_nothing_ends_and_no_upload_is_begun_twice() {
    let Some(disk) = SmallDisk::mount(8 << 10) else {
        return;
    };
    let world = World::on(&disk);
    let folder = world.folder.spool().join(COLLECTION.to_string());
    fs::create_dir_all(&folder).unwrap();
    let sent = bytes(MIB);
    fs::write(folder.join("part-0001.zip.age"), &sent).unwrap();
    fs::write(folder.join("part-0001.statement.json"), part_of(1, &sent)).unwrap();
    let other = disk.fill();
    for _ in 0..3 {
        let act = Act::Refuse(503, Some(0));
        world.server.fault("PATCH", "/v1/parts", act);
    }
    let (_, one) = order(1);
    world.server.with(|s| s.orders.push(one.clone()));
    // Of another one: what the reader has accepted is not handed to it again.
    let report = accepted(OrderId::from_bytes([9; 16]));
    let mut courier = world.start();
    courier.say(&FromReader::Report {
        report: report.clone(),
    });
    let count = |of: &str| {
        world.server.with(|s| {
            let all = s.requests.iter().filter(|r| r.contains(of));
            all.count()
        })
    };
    until("the receipt is asked for again", || count("/receipt") >= 2);
    until("the order is asked for again", || count("/orders") >= 2);
    until("the report is told", || {
        world.server.with(|s| s.reports == [report.clone()])
    });
    assert_eq!(world.server.with(|s| s.created), 1);
    assert!(world.has("part-0001.zip.age"));
    fs::remove_file(other).unwrap();
    let (_, text) = handed(&mut courier);
    assert_eq!(serde_json::from_str::<HandedOrder>(&text).unwrap(), one);
    until("the part is delivered", || !world.has("part-0001.zip.age"));
    assert_eq!(world.server.part(1).unwrap(), sent);
    courier.stop().unwrap();
}

/// More than can be begun by what is kept.
const COLLECTIONS: u8 = 24;

#[test]
fn a_collection_that_a_full_disk_lets_neither_begin_nor_end_waits() {
    let Some(disk) = SmallDisk::mount_with_names(16 << 10, 200) else {
        return;
    };
    let world = World::on(&disk);
    let mut courier = world.start();
    let other = disk.take_names();
    let collections: Vec<_> = (1..=COLLECTIONS)
        .map(|id| CollectionId::from_bytes([id; 16]))
        .collect();
    for &collection in &collections {
        courier.say(&FromReader::Begin {
            collection,
            wrapping: Wrapping::Age,
            seal_certificate_pem: None,
            closing_bytes: 0,
        });
    }
    courier.say(&FromReader::OpenSlot {
        collection: collections[0],
        slot: 1,
        closing: false,
    });
    let mut ready = 0;
    loop {
        match courier.hear().0 {
            FromSpool::Ready { .. } => ready += 1,
            FromSpool::SlotFailed { slot: 1, .. } => break,
            heard => panic!("{heard:?}"),
        }
    }
    // Some names may be had by chance, and by the part of what is kept that is given up for it; never all.
    assert!((1..collections.len()).contains(&ready), "{ready}");
    let collection = collections[0];
    courier.say(&FromReader::End { collection });
    fs::remove_dir_all(other).unwrap();
    let mut heard = Vec::new();
    while heard.len() < collections.len() + 1 - ready {
        heard.push(courier.hear().0);
    }
    assert!(
        heard.contains(&FromSpool::Ended { collection }),
        "{heard:?}"
    );
    courier.stop().unwrap();
}
