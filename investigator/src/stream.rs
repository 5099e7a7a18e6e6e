//! The stream of an order's parts: frames out of a server's bytes, each bounded before it is read.

use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context as _, ensure};
use evidence::ids::OrderId;
use protocol::{
    messages::{MAX_FRAME_HEAD_BYTES, MAX_INLINE_BYTES, PartFrame},
    version,
};

use crate::remote::{Download, Remote, RemoteError};

/// How often a stream that breaks off is asked for again without any progress.
const FRUITLESS_TRIES: u32 = 5;

/// A part that came.
#[derive(Debug)]
pub struct Framed {
    /// What belongs to it.
    pub head: PartFrame,
    /// The stored file, where it came along.
    pub content: Option<Vec<u8>>,
}

/// The stream broke off.
#[derive(Debug, thiserror::Error)]
#[error("the connection broke while parts came. Fetch again: what is here is kept.")]
struct BrokenStream(#[source] io::Error);

/// Calls `take` for each part of the order that came to the server after `after`, and gives where the stream stands then.
/// What breaks off is asked for again from there.
///
/// # Errors
/// The server refuses, sends what is no stream of parts, or `take` fails.
pub fn each(
    remote: &Remote,
    order: OrderId,
    after: u64,
    take: &mut dyn FnMut(Framed) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    each_of(&|after| remote.order_parts(order, after), after, take)
}

fn each_of(
    ask: &dyn Fn(u64) -> Result<Download, RemoteError>,
    mut after: u64,
    take: &mut dyn FnMut(Framed) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut fruitless = 0;
    loop {
        let before = after;
        let outcome = ask(after).map_err(Into::into).and_then(|got| {
            let mut stream = BufReader::with_capacity(1 << 17, got.body);
            while let Some(framed) = next(&mut stream)? {
                ensure!(
                    framed.head.cursor > after,
                    "The server sends parts in no order. Tell its operator."
                );
                let cursor = framed.head.cursor;
                take(framed)?;
                after = cursor;
            }
            Ok(())
        });
        let Err(error) = outcome else {
            return Ok(after);
        };
        fruitless = if after > before { 0 } else { fruitless + 1 };
        if !is_passing(&error) || fruitless > FRUITLESS_TRIES {
            return Err(error);
        }
    }
}

fn is_passing(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<RemoteError>() {
        Some(remote) => !remote.is_permanent(),
        None => error.is::<BrokenStream>(),
    }
}

/// The next frame; `None` at the end.
fn next(stream: &mut impl BufRead) -> anyhow::Result<Option<Framed>> {
    let mut line = Vec::new();
    let most = MAX_FRAME_HEAD_BYTES as u64 + 1;
    let read = stream.take(most).read_until(b'\n', &mut line);
    if read.map_err(BrokenStream)? == 0 {
        return Ok(None);
    }
    ensure!(
        line.len() <= MAX_FRAME_HEAD_BYTES,
        "The server sends a part's head that is too long. Tell its operator."
    );
    if line.pop() != Some(b'\n') {
        return Err(BrokenStream(io::ErrorKind::UnexpectedEof.into()).into());
    }
    let head: PartFrame = version::read_message(&line, "part").context(
        "The stream of parts is not of the protocol. Update this program or the server.",
    )?;
    let is_whole = head.content_bytes == head.part.size_bytes;
    ensure!(
        head.content_bytes == 0 || (is_whole && head.content_bytes <= MAX_INLINE_BYTES),
        "The server sends a part of another length than it says. Tell its operator."
    );
    if head.content_bytes == 0 {
        return Ok(Some(Framed {
            head,
            content: None,
        }));
    }
    let mut content = Vec::new();
    let read = stream.take(head.content_bytes).read_to_end(&mut content);
    if (read.map_err(BrokenStream)? as u64) < head.content_bytes {
        return Err(BrokenStream(io::ErrorKind::UnexpectedEof.into()).into());
    }
    Ok(Some(Framed {
        head,
        content: Some(content),
    }))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use evidence::{
        digest::Digest,
        ids::{AgentId, CollectionId},
    };
    use protocol::messages::PartRow;

    use super::*;
    use crate::testing::at;

    fn frame(cursor: u64, content: &[u8]) -> Vec<u8> {
        let head = PartFrame {
            v: 1,
            cursor,
            collection: CollectionId::from_bytes([1; 16]),
            agent: AgentId::from_bytes([1; 16]),
            hostname: "h\n".into(),
            complete: true,
            part: PartRow {
                part: 1,
                stored_sha256: Digest::of(content),
                size_bytes: content.len() as u64,
                received: at(1),
                last: true,
                has_tsr: false,
                quarantined: false,
            },
            statement: "{}".into(),
            receipt: "{}".into(),
            tsr: None,
            enrolment: "{}".into(),
            revocation: None,
            expired: None,
            content_bytes: content.len() as u64,
        };
        let mut bytes = serde_json::to_vec(&head).unwrap();
        bytes.push(b'\n');
        bytes.extend_from_slice(content);
        bytes
    }

    /// What came of a server that gives these answers, one after the other, and from where it was asked.
    fn run(mut answers: Vec<Vec<u8>>) -> (anyhow::Result<u64>, Vec<u64>, Vec<u64>) {
        answers.reverse();
        let (answers, asked) = (RefCell::new(answers), RefCell::new(Vec::new()));
        let ask = |after| {
            asked.borrow_mut().push(after);
            let answer = answers.borrow_mut().pop().unwrap_or_else(|| b"{".to_vec());
            let body = Box::new(io::Cursor::new(answer));
            Ok(Download { from: 0, body })
        };
        let mut taken = Vec::new();
        let end = each_of(&ask, 0, &mut |framed| {
            taken.push(framed.head.cursor);
            Ok(())
        });
        (end, taken, asked.into_inner())
    }

    #[test]
    fn what_broke_off_goes_on_behind_the_last_whole_part() {
        let (one, two) = (frame(3, b"one\n{}"), frame(5, b"two"));
        let whole = [one.clone(), two.clone()].concat();
        let (end, taken, asked) = run(vec![whole[..whole.len() - 1].to_vec(), two]);
        assert_eq!((end.unwrap(), taken, asked), (5, vec![3, 5], vec![0, 3]));
        assert_eq!(run(vec![Vec::new()]).0.unwrap(), 0);
    }

    #[test]
    fn a_stream_that_never_gets_on_is_given_up() {
        let (end, taken, asked) = run(Vec::new());
        assert!(end.is_err() && taken.is_empty());
        assert_eq!(asked.len() as u32, FRUITLESS_TRIES + 1);
    }

    #[test]
    fn lies_are_refused_at_once() {
        let again = [frame(3, b"x"), frame(3, b"x")].concat();
        let text = String::from_utf8(frame(3, b"x")).unwrap();
        let longer = text.replace(r#""content_bytes":1"#, r#""content_bytes":999999999"#);
        for lie in [again, longer.into_bytes(), b"[]\n".to_vec()] {
            let (end, _, asked) = run(vec![lie]);
            assert!(end.is_err());
            assert_eq!(asked, [0]);
        }
    }
}
