//! Pieces that are missing, swapped, forged or hostile, and streams that break.

use std::{
    cell::{Cell, RefCell},
    io::{self, Write as _},
    time::Duration,
};

use data_encoding::BASE64;
use evidence::{
    digest::Digest,
    gap::{Gap, Reason, Severity},
    ids::CollectionId,
    keys::SigningKey,
    records::LogLine,
    seal::{Trust, self_signed_seal},
    wrap::{Identity, WrapWriter},
};
use protocol::{
    live::{LogFrame, LogPiece},
    messages::HostRow,
};

use super::{follow::Source, judge::Judge, *};
use crate::{
    remote::{Download, RemoteError},
    testing::{World as Deployment, at, pem},
};

/// A host that seals pieces, and a person who reads them.
struct World {
    key: SigningKey,
    hosts: Vec<HostRow>,
    trust: Trust,
    identity: Identity,
    order: Digest,
}

impl World {
    fn new() -> Self {
        let key = SigningKey::generate().unwrap();
        let mut host = Deployment::host(1, "web");
        let der = self_signed_seal(&key, host.agent, at(1_800_000_000)).unwrap();
        host.seal_chain = pem(&der);
        Self {
            key,
            trust: Trust::from_der(&der).unwrap(),
            hosts: vec![host],
            identity: Identity::generate(),
            order: Digest::of(b"order"),
        }
    }

    fn judge(&self) -> Judge<'_> {
        Judge::new(
            &self.hosts,
            &self.trust,
            vec![self.identity.clone()],
            self.order,
        )
    }

    /// A piece with one line, and the digest of its document.
    fn piece(&self, number: u32, previous: Option<Digest>, message: &str) -> (LogFrame, Digest) {
        self.changed(number, previous, message, |_| {})
    }

    fn changed(
        &self,
        number: u32,
        previous: Option<Digest>,
        message: &str,
        change: impl FnOnce(&mut LogPiece),
    ) -> (LogFrame, Digest) {
        let line = Line::Log(LogLine {
            time: at(1_800_000_001),
            message: message.to_owned(),
            artifact: None,
        });
        let mut writer = WrapWriter::new(&[self.identity.recipient()], Vec::new()).unwrap();
        writer
            .write_all(&serde_json::to_vec(&line).unwrap())
            .unwrap();
        let content = writer.finish().unwrap();
        let mut piece = LogPiece {
            v: 1,
            collection: CollectionId::from_bytes([3; 16]),
            agent: self.hosts[0].agent,
            order_digest: self.order,
            attempt: 1,
            piece: number,
            last: false,
            previous,
            sha256: Digest::of(&content),
            size_bytes: content.len() as u64,
            time: at(1_800_000_001),
        };
        change(&mut piece);
        let envelope = piece.sign(&self.key).unwrap();
        let frame = LogFrame {
            v: 1,
            cursor: u64::from(number),
            agent: self.hosts[0].agent,
            hostname: "web\x1b[2J".into(),
            piece: String::from_utf8(envelope.to_json().unwrap()).unwrap(),
            content: BASE64.encode(&content),
        };
        (frame, envelope.digest())
    }
}

/// What is shown of these pieces, one after the other.
fn shown(judge: &mut Judge<'_>, frames: &[&LogFrame]) -> Vec<String> {
    let entries = frames.iter().flat_map(|frame| judge.take(frame));
    entries.map(|entry| show::line(&entry)).collect()
}

#[test]
fn good_pieces_give_their_lines_inert_and_nothing_else() {
    let world = World::new();
    let (one, first) = world.piece(1, None, "a begins");
    let (two, _) = world.piece(2, Some(first), "b\x1b[31m\u{202e}");
    let mut judge = world.judge();
    let lines = shown(&mut judge, &[&one, &two]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with(": a begins"), "{lines:?}");
    let all = lines.concat();
    assert!(
        !all.contains('\x1b') && !all.contains('\u{202e}'),
        "{all:?}"
    );
    assert_eq!(judge.faults(), 0);
}

#[test]
fn a_missing_piece_is_told_and_so_is_one_that_comes_late() {
    let world = World::new();
    let (one, first) = world.piece(1, None, "one");
    let (two, second) = world.piece(2, Some(first), "two");
    let (three, third) = world.piece(3, Some(second), "three");
    let (four, _) = world.piece(4, Some(third), "four");
    let mut judge = world.judge();
    let lines = shown(&mut judge, &[&one, &four, &two]);
    assert!(lines[1].contains("pieces 2 to 3 are missing"), "{lines:?}");
    assert!(lines[2].ends_with(": four"), "{lines:?}");
    assert!(lines[3].contains("late"), "{lines:?}");
    assert_eq!((lines.len(), judge.faults()), (4, 2));
    // What was before the first that is here.
    let mut judge = world.judge();
    let lines = shown(&mut judge, &[&two, &three]);
    assert!(lines[0].contains("piece 1 is missing"), "{lines:?}");
    assert_eq!((lines.len(), judge.faults()), (3, 1));
}

#[test]
fn a_swapped_piece_is_told() {
    let world = World::new();
    let (one, first) = world.piece(1, None, "one");
    let (_, other) = world.piece(1, None, "another one");
    let (two, _) = world.piece(2, Some(first), "two");
    let (swapped, _) = world.piece(2, Some(other), "of another chain");
    let mut judge = world.judge();
    let lines = shown(&mut judge, &[&one, &swapped]);
    assert!(lines[1].contains("one of the two is false"), "{lines:?}");
    // The content of one under the document of another.
    let mixed = LogFrame {
        content: one.content.clone(),
        ..two.clone()
    };
    let mut judge = world.judge();
    let lines = shown(&mut judge, &[&one, &mixed]);
    assert!(lines[1].contains("not what was sealed"), "{lines:?}");
    assert_eq!((lines.len(), judge.faults()), (2, 1));
}

#[test]
fn nothing_is_shown_of_a_forged_piece_or_of_another_agents_order_or_collection() {
    let (world, stranger) = (World::new(), World::new());
    let (forged, _) = stranger.piece(1, None, "forged");
    let (other, _) = world.changed(1, None, "other order", |p| {
        p.order_digest = Digest::of(b"other");
    });
    let (unknown, _) = world.piece(1, None, "unknown host");
    let unknown = LogFrame {
        agent: evidence::ids::AgentId::from_bytes([9; 16]),
        ..unknown
    };
    let mut garbage = unknown.clone();
    garbage.piece = "{".into();
    for bad in [forged, other, unknown, garbage] {
        let mut judge = world.judge();
        let lines = shown(&mut judge, &[&bad]);
        assert_eq!((lines.len(), judge.faults()), (1, 1), "{lines:?}");
        assert!(lines[0].contains("nothing of it is shown"), "{lines:?}");
    }
    let (one, first) = world.piece(1, None, "one");
    let (elsewhere, _) = world.changed(2, Some(first), "elsewhere", |p| {
        p.collection = CollectionId::from_bytes([4; 16]);
    });
    let lines = shown(&mut world.judge(), &[&one, &elsewhere]);
    assert!(lines[1].contains("another collection"), "{lines:?}");
    // Encrypted to somebody else.
    let mut judge = Judge::new(
        &world.hosts,
        &world.trust,
        vec![stranger.identity.clone()],
        world.order,
    );
    let lines = shown(&mut judge, &[&one]);
    assert!(lines[0].contains("can't be opened"), "{lines:?}");
    assert_eq!(judge.faults(), 1);
}

#[test]
fn a_collection_that_is_taken_up_again_counts_anew() {
    let world = World::new();
    let (one, _) = world.changed(1, None, "one", |p| p.last = true);
    let again = |p: &mut LogPiece| p.attempt = 2;
    let (two, _) = world.changed(1, None, "two", again);
    let mut judge = world.judge();
    let lines = shown(&mut judge, &[&one, &two]);
    assert!(lines[1].contains("attempt 2"), "{lines:?}");
    assert_eq!((lines.len(), judge.faults()), (3, 0));
    let (cut, _) = world.piece(1, None, "cut off");
    let mut judge = world.judge();
    let lines = shown(&mut judge, &[&cut, &two]);
    assert!(lines[2].contains("did not come"), "{lines:?}");
    assert_eq!(judge.faults(), 1);
}

#[test]
fn a_gap_is_told_with_its_reason() {
    let gap = Gap {
        artifact: "logs".into(),
        subject: "/var/log/\u{7}x".into(),
        path_b64: None,
        reason: Reason::PermissionDenied,
        severity: Severity::Ordinary,
        text: "it is not to be read".into(),
        time: at(0),
    };
    assert_eq!(
        show::what(&Line::Gap(gap)),
        "gap in logs: /var/log/\\u{7}x: permission denied: it is not to be read"
    );
    let left_out = show::what(&Line::LeftOut { count: 2 });
    assert_eq!(left_out, "2 lines had no room here; the archive has them");
}

#[test]
fn following_goes_on_behind_the_last_piece_across_broken_connections() {
    let world = World::new();
    let line = |number| {
        let mut json = serde_json::to_vec(&world.piece(number, None, "x").0).unwrap();
        json.push(b'\n');
        json
    };
    let whole = [line(1), line(2)].concat();
    let cut = whole[..whole.len() - 9].to_vec();
    let answers = RefCell::new(vec![
        Some(Vec::new()),
        Some(line(3)),
        None,
        Some(line(2)),
        Some(cut),
    ]);
    let (asked, pauses) = (RefCell::new(Vec::new()), Cell::new(0));
    let source = Source {
        ask: &|after, wait| {
            asked.borrow_mut().push((after, wait.is_zero()));
            match answers.borrow_mut().pop().unwrap() {
                Some(body) => Ok(Download {
                    from: 0,
                    body: Box::new(io::Cursor::new(body)),
                }),
                None => Err(RemoteError::Unreachable {
                    server: "https://h:1".into(),
                    source: Box::new(ureq::Error::ConnectionFailed),
                }),
            }
        },
        is_over: &|| Ok(asked.borrow().last().unwrap().0 >= 2),
        pause: &|_: Duration| pauses.set(pauses.get() + 1),
    };
    let mut taken = Vec::new();
    follow::each(&source, true, &mut |frame| {
        taken.push(frame.cursor);
        Ok(())
    })
    .unwrap();
    assert_eq!(taken, [1, 2, 3]);
    // The last look, once nothing more comes, waits for nothing.
    let expected = [(0, false), (1, false), (2, false), (2, false), (3, true)];
    assert_eq!((asked.into_inner(), pauses.get()), (expected.to_vec(), 2));
}
