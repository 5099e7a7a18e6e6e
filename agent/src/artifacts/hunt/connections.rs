//! Looks for sockets by address, network, port, protocol and state; each hit names the processes that hold it.

use std::{net::IpAddr, sync::LazyLock};

use ipnet::IpNet;
use serde_json::Value;

use super::{
    HITS, Hits, MATCHED,
    asked::{Fault, Options},
    option, refuse, tell_others,
};
use crate::artifacts::{
    Artifact, Asked, Extent, Field, OptionField, OptionKind, Record, Request, Sink, Stopped,
    connections, source::put,
};

/// The artifact.
#[derive(Debug)]
pub struct HuntConnections;

static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| [connections::FIELDS, &[MATCHED]].concat());

const OPTIONS: &[OptionField] = &[
    option(
        "remote",
        OptionKind::Words,
        "the remote address: an address, or a network as in 192.0.2.0/24; one of these",
    ),
    option("local", OptionKind::Words, "the local address, likewise"),
    option(
        "ports",
        OptionKind::Numbers,
        "the local or the remote port; one of these",
    ),
    option(
        "remote_ports",
        OptionKind::Numbers,
        "the remote port; one of these",
    ),
    option(
        "local_ports",
        OptionKind::Numbers,
        "the local port; one of these",
    ),
    option(
        "protocols",
        OptionKind::Words,
        "tcp, udp, raw, unix, packet and so on; tcp is tcp6 too, and so with the others",
    ),
    option(
        "states",
        OptionKind::Words,
        "the state in words, as in `listen`; one of these",
    ),
    HITS,
];

/// What `protocols` takes.
const PROTOCOLS: [&str; 12] = [
    "tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6", "packet",
    "unix",
];

impl Artifact for HuntConnections {
    fn name(&self) -> &'static str {
        "hunt_connections"
    }

    fn about(&self) -> &'static str {
        "Connections and listeners that fit all criteria: addresses, ports, protocol, state."
    }

    fn volatile(&self) -> bool {
        true
    }

    fn needs_running(&self) -> bool {
        true
    }

    fn asked(&self) -> Asked {
        Asked::Criteria
    }

    fn extent(&self) -> Extent {
        Extent::Users("uid")
    }

    fn options(&self) -> &'static [OptionField] {
        OPTIONS
    }

    fn fields(&self) -> &'static [Field] {
        &FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let read = Options::of(self, request.options).and_then(Criteria::read);
        let criteria = match read {
            Ok(criteria) => criteria,
            Err(fault) => return refuse(&fault, sink),
        };
        let (hits, mut others) = (Hits::of(request), 0);
        connections::each(request, sink, &mut |mut record, sink| {
            let uid = record.get("uid").and_then(Value::as_u64);
            let uid = uid.and_then(|uid| u32::try_from(uid).ok());
            if request
                .bounds
                .is_some_and(|bounds| bounds.user(uid).is_err())
            {
                others += 1;
                return Ok(());
            }
            match criteria.judge(&record) {
                Some(fits) if hits.take() => {
                    put(&mut record, "matched", fits);
                    sink.record(record)
                }
                _ => Ok(()),
            }
        })?;
        hits.tell(sink)?;
        tell_others(others, "sockets", sink)
    }
}

/// What is looked for: all that is given must hold.
#[derive(Debug)]
struct Criteria {
    remote: Option<Vec<IpNet>>,
    local: Option<Vec<IpNet>>,
    ports: Option<Vec<u16>>,
    remote_ports: Option<Vec<u16>>,
    local_ports: Option<Vec<u16>>,
    protocols: Option<Vec<String>>,
    states: Option<Vec<String>>,
}

impl Criteria {
    fn read(options: Options<'_>) -> Result<Self, Fault> {
        let lower = |words: Vec<&str>| words.into_iter().map(str::to_ascii_lowercase).collect();
        let criteria = Self {
            remote: options.networks("remote")?,
            local: options.networks("local")?,
            ports: options.ports("ports")?,
            remote_ports: options.ports("remote_ports")?,
            local_ports: options.ports("local_ports")?,
            protocols: options.words("protocols")?.map(lower),
            states: options.words("states")?.map(lower),
        };
        let protocols = criteria.protocols.iter().flatten();
        let mut strange = protocols.filter(|p| !PROTOCOLS.contains(&p.as_str()));
        if let Some(strange) = strange.next() {
            return Err(Fault::unfit("protocols", strange, "protocol"));
        }
        let is_given = criteria.remote.is_some()
            || criteria.local.is_some()
            || criteria.ports.is_some()
            || criteria.remote_ports.is_some()
            || criteria.local_ports.is_some()
            || criteria.protocols.is_some()
            || criteria.states.is_some();
        match is_given {
            true => Ok(criteria),
            false => Err(Fault::new("criteria", "there is no criterion")),
        }
    }

    /// What a socket fits; `None` where one criterion fails.
    fn judge(&self, record: &Record) -> Option<Vec<String>> {
        let text = |key: &str| record.get(key).and_then(Value::as_str);
        let port = |key: &str| u16::try_from(record.get(key)?.as_u64()?).ok();
        let mut fits = Vec::new();
        for (networks, key, word) in [
            (&self.remote, "remote_address", "remote"),
            (&self.local, "local_address", "local"),
        ] {
            if let Some(networks) = networks {
                fits.push(format!("{word} {}", network_of(networks, text(key)?)?));
            }
        }
        let (local, remote) = (port("local_port"), port("remote_port"));
        for (ports, of, word) in [
            (&self.ports, [local, remote], "port"),
            (&self.remote_ports, [remote, None], "remote port"),
            (&self.local_ports, [local, None], "local port"),
        ] {
            if let Some(ports) = ports {
                let port = of.into_iter().flatten().find(|p| ports.contains(p))?;
                fits.push(format!("{word} {port}"));
            }
        }
        if let Some(protocols) = &self.protocols {
            let own = text("protocol")?;
            let is = |p: &&String| p.as_str() == own || own.strip_suffix('6') == Some(p.as_str());
            fits.push(format!("protocol {}", protocols.iter().find(is)?));
        }
        if let Some(states) = &self.states {
            let own = text("state")?;
            fits.push(format!("state {}", states.iter().find(|s| *s == own)?));
        }
        Some(fits)
    }
}

/// The network that holds `address`; an IPv4 address within IPv6 is itself.
fn network_of(networks: &[IpNet], address: &str) -> Option<IpNet> {
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    networks.iter().copied().find(|n| n.contains(&address))
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
