//! Collections that were begun and make way for others while their limits hold them: which may go on, which must end, and
//! what begins in the place of one that is held.

use evidence::{digest::Digest, ids::CollectionId};

use super::{Service, ServiceError};
use crate::reader::{
    follow::keep,
    orders::{self, House, OrderError},
    state::{Change, Running},
    waits::Waits,
};

/// More are not put aside: what comes then waits behind the one that is held. The spool has room for twice as many.
pub(super) const ASIDE_MOST: usize = 16;

/// A collection that was begun and has not ended, as the service looks at it.
pub(super) struct Unfinished {
    pub(super) collection: CollectionId,
    pub(super) order_sha256: Digest,
    waits: Waits,
}

impl Unfinished {
    pub(super) fn of(running: &Running, house: &House) -> Result<Self, OrderError> {
        Ok(Self {
            collection: running.collection,
            order_sha256: orders::digest(&running.handed),
            waits: orders::waits(&running.handed, &house.limits, house.host)?,
        })
    }

    /// Whether its limits let it go on; seldom asked of the host, and then once more before anything is done.
    fn may_go_on(&self) -> bool {
        self.waits.would_wait_for().is_none() && !self.is_held()
    }

    fn is_held(&self) -> bool {
        self.waits.why().is_some()
    }
}

impl Service {
    /// What ran has made way.
    pub(super) fn put_aside(&mut self, what: Unfinished) -> Result<(), ServiceError> {
        keep(&self.state, Change::PutAside {})?;
        self.journal.notice(&format!(
            "collection {} is held by its limits, and makes way for another",
            what.collection
        ));
        self.asides.push(what);
        Ok(())
    }

    /// Begins what is next where nothing runs; else asks what runs to make way where it is held and something is due.
    pub(super) fn look_for_next(&mut self) -> Result<(), ServiceError> {
        while self.running.is_none() {
            if !self.begin_next()? {
                return Ok(());
            }
        }
        let is_wanted = self.is_way_wanted();
        if let Some(collecting) = &self.running {
            collecting.way.want(is_wanted);
        }
        Ok(())
    }

    /// One that was put aside and shall end, an order that waits, one that was put aside and may go on, or a capture that is
    /// due, in this order; says whether there was any. Captures come last: one may be due whenever another has ended.
    fn begin_next(&mut self) -> Result<bool, ServiceError> {
        if let Some(collection) = self.aside_that_ends() {
            self.take_up(collection)?;
            return Ok(true);
        }
        if let Some(next) = self.waiting.pop_front() {
            self.decide(next, true)?;
            return Ok(true);
        }
        if let Some(collection) = self.aside_that_may_go_on() {
            self.take_up(collection)?;
            return Ok(true);
        }
        self.recur()?;
        Ok(self.running.is_some())
    }

    fn take_up(&mut self, collection: CollectionId) -> Result<(), ServiceError> {
        keep(&self.state, Change::TakenUp { collection })?;
        self.asides.retain(|aside| aside.collection != collection);
        self.go_on()
    }

    /// One that was cancelled or cut short, or that would wait in vain: it is closed, whatever its limits wait for.
    fn aside_that_ends(&self) -> Option<CollectionId> {
        let in_vain = |aside: &&Unfinished| aside.waits.in_vain().is_some();
        if let Some(aside) = self.asides.iter().find(in_vain) {
            return Some(aside.collection);
        }
        let state = self.known();
        let ends = |r: &&Running| r.cancelled.is_some() || r.cut_short.is_some();
        let found = state.known().aside.iter().find(ends)?;
        Some(found.collection)
    }

    fn aside_that_may_go_on(&self) -> Option<CollectionId> {
        let found = self.asides.iter().find(|aside| aside.may_go_on())?;
        Some(found.collection)
    }

    /// Whether something can begin in the place of what runs, if that is held.
    fn is_way_wanted(&self) -> bool {
        let Some(collecting) = &self.running else {
            return false;
        };
        if !collecting.way.is_held() {
            return false;
        }
        let has_room = self.asides.len() < ASIDE_MOST && self.known().known().has_room();
        let is_due = self.aside_that_ends().is_some()
            || has_room && (!self.waiting.is_empty() || self.may_capture())
            || self.aside_that_may_go_on().is_some();
        let may_make_way = self.is_running().is_some_and(|r| r.may_make_way());
        // What holds two of them ends for both: then the one that runs goes on.
        is_due && may_make_way && collecting.what.is_held()
    }
}
