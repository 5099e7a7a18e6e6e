//! `kill -9` of a courier that is a process: nothing that is sealed is lost.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    process::{Child, Command, Stdio},
};

use super::{World, bytes};
use crate::{
    courier::{
        service,
        testing::{AGENT, COLLECTION, Courier, part_of, until},
    },
    link::{FromReader, FromSpool, Link, VERSION, Wrapping},
    platform::{sandbox::Walls, socket},
    stop::Stop,
};

/// Tells the child which folder is its own.
const STATE: &str = "FIELDSEAL_TEST_COURIER_STATE";

/// The courier's process: this test program again, with the link as its input.
#[test]
#[ignore = "a process that another test starts"]
fn the_process() {
    let Some(state) = std::env::var_os(STATE) else {
        return;
    };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let stop = Stop::default();
    let _ = service::run(state.as_ref(), socket, Walls::default(), &stop);
}

fn start(world: &World) -> (Child, Link) {
    let (ours, theirs): (OwnedFd, OwnedFd) = socket::pair().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "courier::tests::kill::the_process", "--ignored"])
        .env(STATE, world.state.path())
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut link = Link::new(ours);
    let hello = FromReader::Hello {
        v: VERSION,
        policy_version: 1,
        agent: Some(AGENT),
    };
    link.send(&hello, None).unwrap();
    let begin = FromReader::Begin {
        collection: COLLECTION,
        wrapping: Wrapping::Age,
        seal_certificate_pem: None,
        closing_bytes: 1 << 16,
    };
    link.send(&begin, None).unwrap();
    (child, link)
}

/// Seals one part after the other until the courier is gone; gives how many were said to be durable.
fn seal_until_gone(link: &mut Link, first: u32) -> u32 {
    let mut durable = first - 1;
    // So many and no more: nobody hears the receipts of the last round, and the link holds only some.
    for part in first..first + 20 {
        let bytes = bytes(300_000 + part as usize);
        let open = FromReader::OpenSlot {
            collection: COLLECTION,
            slot: part,
            closing: false,
        };
        if link.send(&open, None).is_err() {
            return durable;
        }
        let file = loop {
            match link.receive::<FromSpool>() {
                Ok(Some((FromSpool::SlotOpened { .. }, Some(file)))) => break file,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return durable,
            }
        };
        std::io::Write::write_all(&mut std::fs::File::from(file), &bytes).unwrap();
        let sealed = FromReader::Sealed {
            collection: COLLECTION,
            slot: part,
            part,
            size_bytes: bytes.len() as u64,
            statement: part_of(part, &bytes),
        };
        if link.send(&sealed, None).is_err() {
            return durable;
        }
        loop {
            match link.receive::<FromSpool>() {
                Ok(Some((FromSpool::Durable { part, .. }, _))) => {
                    durable = part;
                    break;
                }
                // Of a part that was delivered meanwhile.
                Ok(Some((FromSpool::Receipt {}, _))) => {}
                Ok(Some((other, _))) => panic!("{other:?}"),
                Ok(None) | Err(_) => return durable,
            }
        }
    }
    while let Ok(Some(_)) = link.receive::<FromSpool>() {}
    durable
}

#[test]
fn what_was_durable_is_delivered_after_kill_9_at_any_point() {
    let world = World::new();
    let mut durable = 0;
    for round in 1..=4u64 {
        let (mut child, mut link) = start(&world);
        // Another moment in each round: after so many more requests.
        let requests = world.server.with(|s| s.requests.len());
        let sealed = std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                until("it works", || {
                    world.server.with(|s| s.requests.len()) > requests + 5 * round as usize
                });
                child.kill().unwrap();
                child.wait().unwrap();
            });
            let begun = loop {
                match link.receive::<FromSpool>().unwrap().unwrap().0 {
                    FromSpool::Ready { durable, .. } => break durable,
                    _ => continue,
                }
            };
            assert!(begun >= durable, "{begun} of {durable} are left");
            let sealed = seal_until_gone(&mut link, begun + 1);
            killer.join().unwrap();
            sealed
        });
        durable = sealed;
    }
    let mut courier = Courier::start(world.state.path());
    let begun = courier.begin();
    assert!(begun >= durable);
    for part in 1..=begun {
        until("every part is delivered", || {
            world.server.part(part).is_some()
        });
        let expected = bytes(300_000 + part as usize);
        assert!(world.server.part(part).unwrap() == expected, "part {part}");
    }
}
