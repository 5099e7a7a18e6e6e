//! The hits of hunts that somebody looks at here: read from the server as they arrive, and kept in memory alone.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use evidence::ids::OrderId;

use super::{desk::lock, problem};
use crate::{
    hits::{Hit, Keys, arriving::Arriving},
    session::Session,
};

/// Hunts that are kept; the one that was looked at longest ago goes first.
const MOST: usize = 8;
/// Hits of one hunt that are kept; the rest is counted.
const MOST_HITS: usize = 100_000;
/// Gaps and faults of one hunt that are kept; the rest is counted.
const MOST_NOTES: usize = 200;

/// What a hunt has found so far.
#[derive(Default)]
pub struct Gathered {
    /// Its hits, in the order in which they came: a hit keeps its place.
    pub hits: Vec<Hit>,
    /// Hits that are not kept.
    pub more_hits: usize,
    /// What was not looked at, in words; hostile text.
    pub gaps: Vec<String>,
    /// Parts that are not genuine or can't be read, and why; hostile text.
    pub faults: Vec<String>,
    /// Gaps and faults that are not kept.
    pub more_notes: usize,
}

struct Hunt {
    arriving: Arriving,
    gathered: Gathered,
}

/// All of them.
#[derive(Default)]
pub struct Hunts(Mutex<VecDeque<(OrderId, Arc<Mutex<Hunt>>)>>);

impl Hunts {
    /// Reads what is new of the hunt `order`, and gives all of it to `use_it`.
    ///
    /// # Errors
    /// The person's key can't be read, or the server refuses.
    pub fn look<R>(
        &self,
        session: &Session,
        order: OrderId,
        use_it: impl FnOnce(&Gathered) -> R,
    ) -> anyhow::Result<R> {
        let hunt = self.hunt(session, order)?;
        let mut hunt = lock(&hunt);
        let Hunt { arriving, gathered } = &mut *hunt;
        arriving.look(&session.remote, &mut |part| {
            match part {
                Ok(part) => {
                    gathered.gaps.extend(part.gaps);
                    gathered.hits.extend(part.hits);
                }
                Err(error) => gathered.faults.push(problem::words(&error).join(" ")),
            }
            gathered.bound();
            Ok(())
        })?;
        Ok(use_it(gathered))
    }

    fn hunt(&self, session: &Session, order: OrderId) -> anyhow::Result<Arc<Mutex<Hunt>>> {
        let mut all = lock(&self.0);
        let at = all.iter().position(|(id, _)| *id == order);
        let hunt = match at.and_then(|at| all.remove(at)) {
            Some((_, hunt)) => hunt,
            None => Arc::new(Mutex::new(Hunt {
                arriving: Arriving::new(order, Keys::of(&session.home, None)?),
                gathered: Gathered::default(),
            })),
        };
        all.push_back((order, Arc::clone(&hunt)));
        if all.len() > MOST {
            all.pop_front();
        }
        Ok(hunt)
    }
}

impl Gathered {
    fn bound(&mut self) {
        self.more_hits += self.hits.len().saturating_sub(MOST_HITS);
        self.hits.truncate(MOST_HITS);
        for notes in [&mut self.gaps, &mut self.faults] {
            self.more_notes += notes.len().saturating_sub(MOST_NOTES);
            notes.truncate(MOST_NOTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_bounds_is_counted() {
        let mut gathered = Gathered {
            gaps: vec![String::new(); MOST_NOTES + 3],
            faults: vec![String::new(); MOST_NOTES + 1],
            ..Gathered::default()
        };
        gathered.bound();
        gathered.bound();
        assert_eq!((gathered.gaps.len(), gathered.more_notes), (MOST_NOTES, 4));
    }
}
