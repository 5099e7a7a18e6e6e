//! Who waits for news of what: one bell a subject, made when somebody listens and gone when nobody does.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use evidence::ids::{AgentId, OrderId};
use tokio::sync::watch;

use crate::store::index::Woken;

/// Bells by subject.
pub struct Bells<K>(Mutex<HashMap<K, watch::Sender<()>>>);

impl<K> Default for Bells<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq> Bells<K> {
    /// From now on, hears every ring for `subject`.
    pub fn listen(&self, subject: K) -> watch::Receiver<()> {
        let mut bells = self.bells();
        // Only as many as are listened to: the map shrinks when it would have to grow.
        if bells.len() == bells.capacity() {
            bells.retain(|_, bell| !bell.is_closed());
        }
        let bell = bells
            .entry(subject)
            .or_insert_with(|| watch::Sender::new(()));
        bell.subscribe()
    }

    /// Wakes whoever listens for `subject`.
    pub fn ring(&self, subject: &K) {
        if let Some(bell) = self.bells().get(subject) {
            bell.send_replace(());
        }
    }

    /// Wakes everybody.
    pub fn ring_all(&self) {
        self.bells().values().for_each(|bell| {
            bell.send_replace(());
        });
    }

    fn bells(&self) -> MutexGuard<'_, HashMap<K, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bells of one server.
#[derive(Default)]
pub struct Wake {
    /// For agents: an order, or a revocation.
    pub agents: Bells<AgentId>,
    /// For orders: their state changed.
    pub orders: Bells<OrderId>,
    /// For orders: there is more of a live log.
    pub logs: Bells<OrderId>,
}

impl Wake {
    /// Wakes whom a change concerns.
    pub fn tell(&self, woken: &Woken) {
        woken
            .agents
            .iter()
            .for_each(|agent| self.agents.ring(agent));
        woken
            .orders
            .iter()
            .for_each(|order| self.orders.ring(order));
        woken.logs.iter().for_each(|order| self.logs.ring(order));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_between_listening_and_waiting_is_heard() {
        let bells = Bells::default();
        let mut heard = bells.listen(1);
        bells.ring(&1);
        heard.changed().await.unwrap();
        bells.ring(&2);
        assert!(!heard.has_changed().unwrap());
        bells.ring_all();
        heard.changed().await.unwrap();
    }

    #[test]
    fn bells_that_nobody_hears_go() {
        let bells = Bells::default();
        for subject in 0..10_000 {
            drop(bells.listen(subject));
        }
        assert!(bells.bells().len() < 100);
    }
}
