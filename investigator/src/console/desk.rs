//! The console's contact with the server: one session at a time, renewed often, so that a new policy counts at once.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use evidence::custody::checkpoint::Checkpoint;

use crate::{
    audit::{self, Outcome, words::Names},
    home::Home,
    session::Session,
    trust,
};

/// How long a contact is relied on for looking; whatever is signed makes a new one.
const FRESH: Duration = Duration::from_secs(15);

/// The custody log as examined, and the names that go with it.
pub struct Log {
    /// What the log's key has signed.
    pub checkpoint: Checkpoint,
    /// What came out.
    pub outcome: Outcome,
    /// Names of hosts and people.
    pub names: Names,
}

/// Sessions with the server.
pub struct Desk {
    home: Home,
    // Two contacts at once could take each other's view of the log for a log that shrank.
    held: Mutex<Option<(Instant, Arc<Session>)>>,
    last: Mutex<Option<Arc<Session>>>,
    log: Mutex<Option<Arc<Log>>>,
}

impl Desk {
    /// A desk whose settings lie in `home`; makes the first contact.
    ///
    /// # Errors
    /// As for [`Session::open`].
    pub fn open(home: Home) -> anyhow::Result<Self> {
        let desk = Self {
            home,
            held: Mutex::new(None),
            last: Mutex::new(None),
            log: Mutex::new(None),
        };
        desk.session()?;
        Ok(desk)
    }

    /// The tool's folder.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// A session to look with.
    ///
    /// # Errors
    /// As for [`Session::open`].
    pub fn session(&self) -> anyhow::Result<Arc<Session>> {
        let mut held = lock(&self.held);
        if let Some((since, session)) = held.as_ref()
            && since.elapsed() < FRESH
        {
            return Ok(Arc::clone(session));
        }
        self.renew(&mut held)
    }

    /// Acts in a session opened for it, alone: for everything that is signed.
    ///
    /// # Errors
    /// As for [`Session::open`], and what `act` fails with.
    pub fn act<R>(&self, act: impl FnOnce(&Session) -> anyhow::Result<R>) -> anyhow::Result<R> {
        let mut held = lock(&self.held);
        let session = self.renew(&mut held)?;
        let done = act(&session);
        // What was signed is in the log by now, and the next page shall see it.
        *held = None;
        done
    }

    fn renew(&self, held: &mut Option<(Instant, Arc<Session>)>) -> anyhow::Result<Arc<Session>> {
        *held = None;
        let session = Arc::new(Session::open(self.home.clone())?);
        *held = Some((Instant::now(), Arc::clone(&session)));
        *lock(&self.last) = Some(Arc::clone(&session));
        Ok(session)
    }

    /// The last session, however old: for what is read on this machine and asks the server nothing.
    ///
    /// # Errors
    /// There was none yet, and none can be opened.
    pub fn last(&self) -> anyhow::Result<Arc<Session>> {
        let last = lock(&self.last).clone();
        last.map_or_else(|| self.session(), Ok)
    }

    /// The custody log as it is now, examined whole; once for each state of it.
    ///
    /// # Errors
    /// It can't be fetched.
    pub fn log(&self) -> anyhow::Result<Arc<Log>> {
        // Evidence is fetched beside this desk, and who looks at the log shall see that it was handed out.
        let session = self.renew(&mut lock(&self.held))?;
        let mut log = lock(&self.log);
        if let Some(log) = log.as_ref()
            && log.checkpoint == session.checkpoint
        {
            return Ok(Arc::clone(log));
        }
        let policies = trust::policies(&session.home, &session.believed)?;
        let outcome = audit::contact::examine(&session, &policies)?;
        let mut names = Names::of(&policies);
        if let Ok(answer) = session.remote.hosts() {
            let rows = answer.hosts.into_iter();
            names.hosts = rows.map(|h| (h.agent, h.hostname)).collect();
        }
        let examined = Arc::new(Log {
            checkpoint: session.checkpoint.clone(),
            outcome,
            names,
        });
        *log = Some(Arc::clone(&examined));
        Ok(examined)
    }
}

/// A lock that a panic elsewhere does not take away: what it guards is replaced whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
