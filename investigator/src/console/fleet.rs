//! How the fleet fares in figures, each of which leads to the hosts that it counts.

use evidence::instant::Instant;
use protocol::messages::HostRow;

use crate::health::{Concern, concerns, is_looked_after};

/// What a list of hosts is narrowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Nothing gives reason to look.
    Well,
    /// This does.
    With(Concern),
}

impl Only {
    /// Reads it out of an address.
    pub fn read(name: &str) -> Option<Self> {
        if name == Self::Well.name() {
            return Some(Self::Well);
        }
        let known = Concern::ALL.into_iter().find(|one| one.name() == name);
        known.map(Self::With)
    }

    /// Its name in addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::With(concern) => concern.name(),
        }
    }

    /// In words, of hosts.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::With(concern) => concern.words(),
        }
    }

    /// What it means.
    pub fn about(self) -> String {
        match self {
            Self::Well => "In touch, told all that agents tell, and nothing is wrong".to_owned(),
            Self::With(concern) => concern.about(),
        }
    }

    /// Whether `host` is one of them.
    pub fn holds(self, host: &HostRow, now: Instant) -> bool {
        let found = concerns(host, now);
        match self {
            Self::Well => is_looked_after(host) && found.is_empty(),
            Self::With(concern) => found.iter().any(|(one, _)| *one == concern),
        }
    }
}

/// One figure.
pub struct Count {
    /// Its name in addresses.
    pub name: &'static str,
    /// In words.
    pub words: &'static str,
    /// What it means.
    pub about: String,
    /// How many.
    pub hosts: usize,
    /// Whether the list is narrowed to it.
    pub is_here: bool,
}

/// The figures of all hosts.
pub struct Fleet {
    /// Hosts that are looked after.
    pub hosts: usize,
    /// The figures, those that are well first.
    pub counts: Vec<Count>,
}

impl Fleet {
    /// Counts `hosts`, a list of which is narrowed to `here`.
    pub fn of(hosts: &[HostRow], here: Option<Only>, now: Instant) -> Self {
        let all = Concern::ALL.into_iter().map(Only::With);
        let counts = std::iter::once(Only::Well).chain(all);
        Self {
            hosts: hosts.iter().filter(|host| is_looked_after(host)).count(),
            counts: counts
                .map(|only| Count {
                    name: only.name(),
                    words: only.words(),
                    about: only.about(),
                    hosts: hosts.iter().filter(|host| only.holds(host, now)).count(),
                    is_here: Some(only) == here,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, at};

    #[test]
    fn each_figure_counts_what_its_list_shows() {
        let mut hosts = [1, 2, 3, 4, 5].map(|number| World::host(number, "h"));
        hosts[1].last_seen = None;
        hosts[2].removed = Some(at(2));
        hosts[3].cloned = Some(at(2));
        hosts[4].revoked = Some(at(2));
        let fleet = Fleet::of(&hosts, Only::read("silent"), at(60));
        assert_eq!(fleet.hosts, 2);
        for count in &fleet.counts {
            let only = Only::read(count.name).unwrap();
            let shown = hosts.iter().filter(|host| only.holds(host, at(60)));
            assert_eq!(shown.count(), count.hosts, "{}", count.name);
            assert_eq!(count.is_here, count.name == "silent");
        }
        let of = |name: &str| fleet.counts.iter().find(|c| c.name == name).unwrap().hosts;
        // No host of these has told anything: none is taken for well.
        assert_eq!((of("well"), of("silent"), of("untold")), (0, 1, 2));
        assert_eq!((of("cloned"), of("revoked")), (1, 1));
        assert_eq!(Only::read("<script>"), None);
    }
}
