//! The criteria of a hunt as its options hold them: each is read whole, or the hunt looks for nothing.

use std::net::IpAddr;

use evidence::instant::Instant;
use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::artifacts::{Artifact, option_fault};

/// Why a hunt looks for nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) option: String,
    pub(super) text: String,
}

impl Fault {
    pub(super) fn new(option: &str, what: &str) -> Self {
        let option = option.chars().take(80).collect();
        let text = format!("{what}; nothing was looked for");
        Self { option, text }
    }

    /// `given` is none of what `option` takes.
    pub(super) fn unfit(option: &str, given: &str, what: &str) -> Self {
        let shown: String = given.chars().take(80).collect();
        Self::new(option, &format!("{shown:?} is no {what}"))
    }
}

/// Options whose kinds are right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options<'a>(&'a Map<String, Value>);

impl<'a> Options<'a> {
    /// Those that the profile gives `artifact`.
    pub(super) fn of(
        artifact: &dyn Artifact,
        given: &'a Map<String, Value>,
    ) -> Result<Self, Fault> {
        for (option, value) in given {
            if let Some(text) = option_fault(artifact, option, value) {
                let option = option.chars().take(80).collect();
                return Err(Fault { option, text });
            }
        }
        Ok(Self(given))
    }

    /// Whether the flag is on.
    pub(super) fn on(self, option: &str) -> bool {
        self.0.get(option).and_then(Value::as_bool) == Some(true)
    }

    pub(super) fn number(self, option: &str) -> Option<u64> {
        self.0.get(option).and_then(Value::as_u64)
    }

    pub(super) fn time(self, option: &str) -> Option<Instant> {
        self.0.get(option)?.as_str().and_then(Instant::parse)
    }

    /// The texts of a list; `None` where it was not given. An empty list or text fits nothing, so it is a fault.
    pub(super) fn texts(self, option: &str) -> Result<Option<Vec<&'a str>>, Fault> {
        let list = self.0.get(option).and_then(Value::as_array);
        let texts = list.map(|l| l.iter().filter_map(Value::as_str).collect());
        full(option, texts)
    }

    /// The words of a list or of one text.
    pub(super) fn words(self, option: &str) -> Result<Option<Vec<&'a str>>, Fault> {
        let words = match self.0.get(option) {
            Some(Value::String(text)) => Some(text.split_whitespace().collect()),
            Some(Value::Array(list)) => Some(list.iter().filter_map(Value::as_str).collect()),
            _ => None,
        };
        full(option, words)
    }

    /// Ports.
    pub(super) fn ports(self, option: &str) -> Result<Option<Vec<u16>>, Fault> {
        let Some(list) = self.0.get(option).and_then(Value::as_array) else {
            return Ok(None);
        };
        let port = |value: &Value| {
            let port = value.as_u64().and_then(|n| u16::try_from(n).ok());
            port.ok_or_else(|| Fault::unfit(option, &value.to_string(), "port"))
        };
        let ports = list.iter().map(port).collect::<Result<Vec<_>, _>>()?;
        match ports.is_empty() {
            true => Err(Fault::new(option, "the list is empty")),
            false => Ok(Some(ports)),
        }
    }

    /// Addresses and networks.
    pub(super) fn networks(self, option: &str) -> Result<Option<Vec<IpNet>>, Fault> {
        let Some(words) = self.words(option)? else {
            return Ok(None);
        };
        let network = |word: &&str| {
            let address = word.parse::<IpAddr>().map(IpNet::from);
            let network = address.or_else(|_| word.parse::<IpNet>());
            network.map_err(|_| Fault::unfit(option, word, "address or network"))
        };
        words
            .iter()
            .map(network)
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

fn full<'a>(option: &str, texts: Option<Vec<&'a str>>) -> Result<Option<Vec<&'a str>>, Fault> {
    match texts {
        Some(texts) if texts.is_empty() => Err(Fault::new(option, "the list is empty")),
        Some(texts) if texts.iter().any(|t| t.is_empty()) => {
            Err(Fault::new(option, "a text in the list is empty"))
        }
        texts => Ok(texts),
    }
}
