//! The service's end of the link: one thread hears, everybody speaks, and an answer finds who asked.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use evidence::ids::AgentId;
use protocol::messages::MAX_MESSAGE_BYTES;

use super::port::SpoolPort;
use crate::link::{FromReader, FromSpool, Link, LinkError, VERSION};
use crate::platform::{disk, handle::OwnedFd};

/// What came over the link, with its descriptor.
pub type Heard = (FromSpool, Option<OwnedFd>);

/// How long a wait lasts before it looks again whether it shall go on.
const STEP: Duration = Duration::from_millis(500);
/// Questions whose wait was given up; an answer may still come.
const GIVEN_UP: usize = 64;

/// The link, for everybody in the reader who speaks.
#[derive(Debug)]
pub struct Conversation {
    speaking: Mutex<Link>,
    waiting: Mutex<Waiting>,
    is_over: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    asked: Vec<Asked>,
    given_up: VecDeque<FromReader>,
    failed: Option<String>,
}

#[derive(Debug)]
struct Asked {
    number: u64,
    question: FromReader,
    answer: SyncSender<Heard>,
}

impl Conversation {
    /// Greets the other half over `link`, of which `hearing` is the end that a thread will hear by.
    ///
    /// # Errors
    /// It is gone, or of another version.
    pub fn greet(
        mut link: Link,
        hearing: &mut Link,
        (agent, policy_version): (AgentId, u64),
    ) -> Result<Self, LinkError> {
        let hello = FromReader::Hello {
            v: VERSION,
            policy_version,
            agent: Some(agent),
        };
        link.send(&hello, None)?;
        match hearing.receive::<FromSpool>()? {
            Some((FromSpool::Welcome { v: VERSION }, None)) => {}
            Some((FromSpool::Failed { text }, _)) => return Err(LinkError::Failed(text)),
            Some((other, _)) => return Err(out_of_turn(&other)),
            None => return Err(LinkError::Closed),
        }
        Ok(Self {
            speaking: Mutex::new(link),
            waiting: Mutex::default(),
            is_over: AtomicBool::new(false),
        })
    }

    /// Hears until the link is closed; what answers nobody's question goes to `rest`, which says whether to go on.
    ///
    /// Every wait ends when this returns.
    ///
    /// # Errors
    /// The other half broke the protocol.
    pub fn hear(
        &self,
        hearing: &mut Link,
        mut rest: impl FnMut(Heard) -> bool,
    ) -> Result<(), LinkError> {
        let outcome = self.hear_all(hearing, &mut rest);
        self.is_over.store(true, Ordering::SeqCst);
        let mut waiting = self.waiting();
        waiting.asked.clear();
        if let Err(LinkError::Failed(text)) = &outcome {
            waiting.failed = Some(text.clone());
        }
        outcome
    }

    fn hear_all(
        &self,
        hearing: &mut Link,
        rest: &mut dyn FnMut(Heard) -> bool,
    ) -> Result<(), LinkError> {
        while let Some((said, handed)) = hearing.receive::<FromSpool>()? {
            let carries = matches!(
                said,
                FromSpool::SlotOpened { .. }
                    | FromSpool::Order {}
                    | FromSpool::Cancel {}
                    | FromSpool::Trust {}
                    | FromSpool::Enrolled {}
                    | FromSpool::Forked {}
                    | FromSpool::Receipt {}
            );
            if carries != handed.is_some() {
                return Err(out_of_turn(&said));
            }
            match said {
                FromSpool::Failed { text } => return Err(LinkError::Failed(text)),
                FromSpool::Order {}
                | FromSpool::Cancel {}
                | FromSpool::Trust {}
                | FromSpool::Receipt {}
                | FromSpool::Cloned {}
                | FromSpool::Forked {}
                | FromSpool::Checkpoint { .. }
                | FromSpool::Consistency { .. }
                | FromSpool::SealRenewed { .. } => {
                    if !rest((said, handed)) {
                        return Ok(());
                    }
                }
                answer => {
                    let late = self.answer((answer, handed))?;
                    if late.is_some_and(|heard| !rest(heard)) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands an answer to who asked. A late one has nobody any more: it is given back.
    fn answer(&self, heard: Heard) -> Result<Option<Heard>, LinkError> {
        let mut waiting = self.waiting();
        let asked = &mut waiting.asked;
        if let Some(place) = asked.iter().position(|a| heard.0.answers(&a.question)) {
            let asked = asked.swap_remove(place);
            // Who gave up in this moment finds nothing lost but a file, which the spool closes at the end.
            let _ = asked.answer.try_send(heard);
            return Ok(None);
        }
        let given_up = &mut waiting.given_up;
        match given_up.iter().position(|q| heard.0.answers(q)) {
            Some(place) => {
                given_up.remove(place);
                Ok(Some(heard))
            }
            None => Err(out_of_turn(&heard.0)),
        }
    }

    /// Says `message` and waits for its answer, at most until `until`.
    ///
    /// # Errors
    /// The link failed, or the time is over.
    pub fn ask_until(&self, message: &FromReader, until: Instant) -> Result<Heard, LinkError> {
        self.ask(message, &|| Instant::now() >= until, || {
            until.saturating_duration_since(Instant::now())
        })
    }

    fn ask(
        &self,
        message: &FromReader,
        give_up: &dyn Fn() -> bool,
        step: impl Fn() -> Duration,
    ) -> Result<Heard, LinkError> {
        let (answer, heard) = mpsc::sync_channel(1);
        let number = self.wait_for(message, answer)?;
        if let Err(error) = self.say(message) {
            self.waiting().asked.retain(|a| a.number != number);
            return Err(error);
        }
        loop {
            match heard.recv_timeout(step()) {
                Ok(heard) => return Ok(heard),
                Err(RecvTimeoutError::Disconnected) => return Err(self.why_over()),
                Err(RecvTimeoutError::Timeout) if give_up() => {
                    self.give_up(number);
                    // It may have come in this very moment.
                    return heard.try_recv().map_err(|_| LinkError::GivenUp);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn wait_for(&self, message: &FromReader, answer: SyncSender<Heard>) -> Result<u64, LinkError> {
        let mut waiting = self.waiting();
        if self.is_over() {
            drop(waiting);
            return Err(self.why_over());
        }
        waiting.next += 1;
        let number = waiting.next;
        waiting.asked.push(Asked {
            number,
            question: message.clone(),
            answer,
        });
        Ok(number)
    }

    fn give_up(&self, number: u64) {
        let mut waiting = self.waiting();
        let place = waiting.asked.iter().position(|a| a.number == number);
        if let Some(place) = place {
            let asked = waiting.asked.swap_remove(place);
            if waiting.given_up.len() == GIVEN_UP {
                waiting.given_up.pop_front();
            }
            waiting.given_up.push_back(asked.question);
        }
    }

    /// Says `message`, which has no answer.
    ///
    /// # Errors
    /// The link failed.
    pub fn say(&self, message: &FromReader) -> Result<(), LinkError> {
        let mut link = self.speaking.lock().unwrap_or_else(PoisonError::into_inner);
        link.send(message, None)
    }

    /// Whether the other half is gone.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn why_over(&self) -> LinkError {
        match &self.waiting().failed {
            Some(text) => LinkError::Failed(text.clone()),
            None => LinkError::Closed,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpoolPort for Conversation {
    fn ask(&self, message: &FromReader, give_up: &dyn Fn() -> bool) -> Result<Heard, LinkError> {
        self.ask(message, give_up, || STEP)
    }

    fn tell(&self, message: &FromReader) -> Result<(), LinkError> {
        self.say(message)
    }

    fn is_gone(&self) -> bool {
        self.is_over()
    }
}

/// Reads a document that was handed over, whole: from a regular file, within the messages' ceiling.
///
/// # Errors
/// It is another kind of descriptor, too long, or the disk failed.
pub fn read_handed(handed: OwnedFd) -> Result<Vec<u8>, LinkError> {
    let wrong = |what: &str| LinkError::OutOfTurn(what.to_owned());
    let file = File::from(handed);
    let seen = file.metadata().map_err(LinkError::Socket)?;
    if !seen.is_file() {
        return Err(wrong("a descriptor of something else than a file"));
    }
    if seen.len() > MAX_MESSAGE_BYTES as u64 {
        return Err(wrong("a document that is too long"));
    }
    let mut bytes = Vec::new();
    let most = MAX_MESSAGE_BYTES as u64 + 1;
    // From its beginning, wherever the other half has left the shared position.
    FromStart(&file, 0)
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(LinkError::Socket)?;
    if bytes.len() as u64 == most {
        return Err(wrong("a document that is too long"));
    }
    Ok(bytes)
}

/// Reads a file by offset, so that nobody else moves the position.
struct FromStart<'f>(&'f File, u64);

impl Read for FromStart<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let got = disk::read_at(self.0, to, self.1)?;
        self.1 += got as u64;
        Ok(got)
    }
}

fn out_of_turn(said: &FromSpool) -> LinkError {
    // Its name is enough: what it holds may be long.
    LinkError::OutOfTurn(format!("{said:?}").chars().take(80).collect())
}

#[cfg(test)]
mod tests;
