//! How much of something each holder has at one time, so that no one of them takes it all.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Counts<K> = Arc<Mutex<HashMap<K, usize>>>;

/// Counts by holder; who has none takes no memory.
pub struct Shares<K: Hash + Eq> {
    counts: Counts<K>,
    most: usize,
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// Up to `most` for each holder.
    pub fn new(most: usize) -> Self {
        Self {
            counts: Arc::default(),
            most,
        }
    }

    /// One more for `holder`, until the value is dropped; none where it has its share.
    pub fn take(&self, holder: K) -> Option<Share<K>> {
        let mut counts = locked(&self.counts);
        let count = counts.get(&holder).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        counts.insert(holder.clone(), count + 1);
        Some(Share {
            of: self.counts.clone(),
            holder,
        })
    }
}

/// One of them; given back on drop.
pub struct Share<K: Hash + Eq> {
    of: Counts<K>,
    holder: K,
}

impl<K: Hash + Eq> Drop for Share<K> {
    fn drop(&mut self) {
        let mut counts = locked(&self.of);
        if let Some(count) = counts.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.holder);
            }
        }
    }
}

fn locked<K>(counts: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_share_and_gives_it_back() {
        let shares = Shares::new(2);
        let (first, second) = (shares.take("a"), shares.take("a"));
        assert!(first.is_some() && second.is_some());
        assert!(shares.take("a").is_none());
        assert!(shares.take("b").is_some());
        drop(first);
        assert!(shares.take("a").is_some());
        drop(second);
        assert!(locked(&shares.counts).is_empty());
    }
}
