//! How often each may ask: a bucket of requests that fills again with time, one for each who asks.
//!
//! Who asks is told by the handshake's key and, where no key is known, by the connection's own address; never by
//! what a request says of itself.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use evidence::ids::AgentId;
use protocol::{name::Name, policy::Policy};
use tokio::time::Instant;

use crate::{
    config::Config,
    serve::{Peer, Role},
};

/// Buckets that are kept without looking which of them are full again; then at each doubling. A power of two.
const KEPT: usize = 4_096;

/// Who asks, as far as the rate goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A host's certificate, revoked or ended ones too.
    Agent(AgentId),
    /// A person of the policy.
    Person(Name),
    /// Anybody else, by address; of IPv6 the network of 64 bits, since whoever has one address has them all.
    Address(IpAddr),
}

impl Source {
    /// Who is at the other end of this connection.
    pub fn of(peer: Peer, from: IpAddr, policy: &Policy) -> Self {
        if let Role::Agent(id) | Role::EndedAgent(id) = peer.role {
            return Self::Agent(id);
        }
        let person = peer.key.and_then(|key| policy.person_by_tls_key(&key));
        match person {
            Some(person) => Self::Person(person.id.clone()),
            None => Self::Address(network(from)),
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(bits).into()
        }
        v4 => v4,
    }
}

struct Bucket {
    /// Requests that are left, as of `at`.
    left: f64,
    at: Instant,
}

/// The buckets of all; who has not asked for a minute takes no memory.
pub struct Rates {
    per_minute: [u32; 3],
    buckets: Mutex<HashMap<Source, Bucket>>,
}

impl Rates {
    /// Full buckets, of the settings' sizes.
    pub fn new(config: &Config) -> Self {
        Self {
            per_minute: [
                config.max_requests_per_minute_per_agent,
                config.max_requests_per_minute_per_person,
                config.max_requests_per_minute_per_address,
            ],
            buckets: Mutex::default(),
        }
    }

    /// Takes one request out of the bucket.
    ///
    /// # Errors
    /// It is empty: so long it takes until there is one again.
    pub fn take(&self, source: Source, now: Instant) -> Result<(), Duration> {
        let size = self.size(&source);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !buckets.contains_key(&source);
        if is_new && buckets.len() >= KEPT && buckets.len().is_power_of_two() {
            buckets.retain(|source, bucket| self.filled(source, bucket, now) < self.size(source));
        }
        let full = Bucket {
            left: size,
            at: now,
        };
        let bucket = buckets.entry(source.clone()).or_insert(full);
        bucket.left = self.filled(&source, bucket, now);
        bucket.at = now;
        if bucket.left < 1.0 {
            let wait_s = (1.0 - bucket.left) * 60.0 / size;
            return Err(Duration::from_secs_f64(wait_s));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    fn size(&self, source: &Source) -> f64 {
        let [agent, person, address] = self.per_minute;
        f64::from(match source {
            Source::Agent(_) => agent,
            Source::Person(_) => person,
            Source::Address(_) => address,
        })
    }

    /// What is in the bucket by now.
    fn filled(&self, source: &Source, bucket: &Bucket, now: Instant) -> f64 {
        let size = self.size(source);
        let passed_s = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + passed_s * size / 60.0).min(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        Rates::new(&Config {
            max_requests_per_minute_per_address: 60,
            ..Config::default()
        })
    }

    fn address(number: u32) -> Source {
        Source::Address(network(IpAddr::from(number.to_be_bytes())))
    }

    #[test]
    fn each_has_a_minutes_worth_at_once_and_then_one_after_the_other() {
        let (rates, now) = (rates(), Instant::now());
        for _ in 0..60 {
            rates.take(address(1), now).unwrap();
        }
        let wait = rates.take(address(1), now).unwrap_err();
        assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(900));
        rates.take(address(2), now).unwrap();
        let later = now + Duration::from_millis(1_001);
        rates.take(address(1), later).unwrap();
        assert!(rates.take(address(1), later).is_err());
        let agent = Source::Agent(AgentId::from_bytes([1; 16]));
        for _ in 0..1_000 {
            rates.take(agent.clone(), now).unwrap();
        }
    }

    #[test]
    fn who_has_not_asked_for_long_takes_no_memory() {
        let (rates, now) = (rates(), Instant::now());
        for number in 0..KEPT as u32 {
            rates.take(address(number), now).unwrap();
        }
        let later = now + Duration::from_secs(61);
        rates.take(address(u32::MAX), later).unwrap();
        assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    }

    #[test]
    fn whoever_has_a_network_of_ipv6_has_one_bucket_of_it() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
