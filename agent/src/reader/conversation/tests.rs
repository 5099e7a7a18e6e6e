//! Answers find who asked; late ones nobody; everything else ends the conversation.

use std::{io::Write as _, os::fd::AsFd as _, sync::Arc, thread};

use evidence::ids::CollectionId;

use super::*;
use crate::platform::socket;

const ID: CollectionId = CollectionId::from_bytes([1; 16]);

/// A conversation whose hearing end is still to be served, and the courier's end.
fn met() -> (Arc<Conversation>, Link, Link) {
    let (ours, theirs) = socket::pair().unwrap();
    let mut hearing = Link::new(ours.try_clone().unwrap());
    let mut courier = Link::new(theirs);
    courier
        .send(&FromSpool::Welcome { v: VERSION }, None)
        .unwrap();
    let conversation = Conversation::greet(
        Link::new(ours),
        &mut hearing,
        (AgentId::from_bytes([1; 16]), 1),
    )
    .unwrap();
    courier.receive::<FromReader>().unwrap();
    (Arc::new(conversation), hearing, courier)
}

fn end() -> FromReader {
    FromReader::End { collection: ID }
}

fn ask_time(nonce: &str) -> FromReader {
    FromReader::AskTime {
        nonce: nonce.into(),
    }
}

fn time(nonce: &str) -> FromSpool {
    FromSpool::Time {
        nonce: nonce.into(),
        signed: None,
    }
}

#[test]
fn answers_find_their_questions_in_any_order() {
    let (conversation, mut hearing, mut courier) = met();
    thread::scope(|scope| {
        let asked: Vec<_> = [ask_time("1"), end(), ask_time("2")]
            .into_iter()
            .map(|question| {
                let conversation = &conversation;
                scope.spawn(move || SpoolPort::ask(&**conversation, &question, &|| false))
            })
            .collect();
        let hearing = scope.spawn(|| conversation.hear(&mut hearing, |_| true));
        for _ in 0..3 {
            courier.receive::<FromReader>().unwrap();
        }
        let ended = FromSpool::Ended { collection: ID };
        for said in [&time("2"), &ended, &time("1")] {
            courier.send(said, None).unwrap();
        }
        let answers: Vec<_> = asked
            .into_iter()
            .map(|a| a.join().unwrap().unwrap().0)
            .collect();
        assert_eq!(answers, [time("1"), ended, time("2")]);
        drop(courier);
        assert!(hearing.join().unwrap().is_ok());
    });
    assert!(conversation.is_over());
    assert!(matches!(
        SpoolPort::ask(&*conversation, &end(), &|| false),
        Err(LinkError::Closed | LinkError::Socket(_))
    ));
}

#[test]
fn a_late_answer_is_passed_on_and_an_unasked_one_ends_it() {
    let (conversation, mut hearing, mut courier) = met();
    let given_up = conversation.ask_until(&ask_time("1"), Instant::now());
    assert!(matches!(given_up, Err(LinkError::GivenUp)));
    courier.send(&time("1"), None).unwrap();
    courier.send(&time("1"), None).unwrap();
    let mut late = Vec::new();
    let outcome = conversation.hear(&mut hearing, |heard| {
        late.push(heard.0);
        true
    });
    assert_eq!(late, [time("1")]);
    assert!(matches!(outcome, Err(LinkError::OutOfTurn(_))));
}

#[test]
fn who_waits_hears_why_it_ended() {
    let (conversation, mut hearing, mut courier) = met();
    thread::scope(|scope| {
        let asked = scope.spawn(|| SpoolPort::ask(&*conversation, &end(), &|| false));
        courier.receive::<FromReader>().unwrap();
        let text = "the disk is gone".to_owned();
        courier.send(&FromSpool::Failed { text }, None).unwrap();
        assert!(conversation.hear(&mut hearing, |_| true).is_err());
        let told = asked.join().unwrap().unwrap_err().to_string();
        assert!(told.contains("the disk is gone"), "{told}");
    });
}

#[test]
fn documents_are_read_whole_from_regular_files_within_the_ceiling() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"whole").unwrap();
    // The position stands at the end, as it does after writing.
    let handed = file.as_fd().try_clone_to_owned().unwrap();
    assert_eq!(read_handed(handed).unwrap(), b"whole");
    file.set_len(MAX_MESSAGE_BYTES as u64 + 1).unwrap();
    assert!(read_handed(file.into()).is_err());
    assert!(read_handed(io::pipe().unwrap().0.into()).is_err());
    let null = File::open("/dev/null").unwrap();
    assert!(read_handed(null.into()).is_err());
}
