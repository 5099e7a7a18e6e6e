//! The server's settings: `server.toml` in its folder. Unknown keys are refused.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{intake::UploadLimits, serve::Limits};

/// The settings' file, in the server's folder.
pub const FILE: &str = "server.toml";

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error(
        "{path} could not be read. Run `fieldseal-server init DIR` first, or check the rights."
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} is not valid. Correct the line that is named.")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: Box<toml::de::Error>,
    },
    /// A value makes no sense.
    #[error("{0}")]
    Value(&'static str),
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The outside authority that stamps what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tsa {
    /// Where it takes RFC 3161 queries. Plain HTTP: the answer proves itself.
    pub url: String,
}

/// Every setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where agents and investigators connect.
    pub listen: SocketAddr,
    /// The DNS names and addresses that the server's certificate is for.
    pub names: Vec<String>,
    /// Where Prometheus asks; without TLS, so loopback only.
    pub metrics_listen: SocketAddr,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// The largest part.
    pub max_part_bytes: u64,
    /// All parts together.
    pub max_store_bytes: u64,
    /// What stays free on the disk.
    pub min_free_bytes: u64,
    /// Uploads that one agent may have open.
    pub max_open_uploads_per_agent: u32,
    /// Bodies received at one time.
    pub max_receiving: usize,
    /// Those of them that may be one agent's.
    pub max_receiving_per_agent: usize,
    /// Connections at one time.
    pub max_connections: usize,
    /// Questions that wait for news at one time.
    pub max_polls: usize,
    /// How long an upload may take.
    pub upload_expiry_s: u32,
    /// How long a body may stand still.
    pub upload_idle_ms: u64,
    /// What a body must bring in each `upload_idle_ms`; a slower request is ended, and its upload can be resumed.
    pub upload_min_bytes: u64,
    /// The time-stamping authority, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsa: Option<Tsa>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            names: vec!["localhost".into(), "127.0.0.1".into()],
            metrics_listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            log_format: LogFormat::Text,
            max_part_bytes: 4 << 30,
            max_store_bytes: 1 << 40,
            min_free_bytes: 1 << 30,
            max_open_uploads_per_agent: 64,
            max_receiving: 256,
            max_receiving_per_agent: 8,
            max_connections: 10_000,
            max_polls: 10_000,
            upload_expiry_s: 30 * 86_400,
            upload_idle_ms: 60_000,
            upload_min_bytes: 64 << 10,
            tsa: None,
        }
    }
}

impl Config {
    /// Reads and checks the settings of the server in `dir`.
    ///
    /// # Errors
    /// The file is missing, has an unknown key or a value that makes no sense.
    pub fn load(dir: &Path) -> Result<Self, ConfigError> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        let config: Self = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path,
            source: Box::new(source),
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let rules = [
            (
                self.metrics_listen.ip().is_loopback(),
                "`metrics_listen` has no TLS. Give it a loopback address.",
            ),
            (
                self.max_part_bytes > 0,
                "`max_part_bytes` is 0. Give it at least the agents' part size.",
            ),
            (
                i64::try_from(self.max_store_bytes).is_ok(),
                "`max_store_bytes` is too large. Give it less than 2^63.",
            ),
            (
                self.max_part_bytes <= self.max_store_bytes,
                "`max_part_bytes` is above `max_store_bytes`. Lower it.",
            ),
            (
                self.max_open_uploads_per_agent > 0,
                "`max_open_uploads_per_agent` is 0. Give it at least 1.",
            ),
            (
                (1..=1 << 20).contains(&self.max_receiving),
                "`max_receiving` is out of range. Give it 1 to 1048576.",
            ),
            (
                (1..=self.max_receiving).contains(&self.max_receiving_per_agent),
                "`max_receiving_per_agent` is out of range. Give it 1 to `max_receiving`.",
            ),
            (
                (1..=1 << 20).contains(&self.max_connections),
                "`max_connections` is out of range. Give it 1 to 1048576.",
            ),
            (
                !self.names.is_empty(),
                "`names` is empty. Give the names and addresses that agents use.",
            ),
            (
                (1..=1 << 20).contains(&self.max_polls),
                "`max_polls` is out of range. Give it 1 to 1048576.",
            ),
            (
                self.tsa
                    .as_ref()
                    .is_none_or(|t| t.url.starts_with("http://")),
                "`tsa.url` is no plain HTTP address. Give `http://...`: the answer is signed and needs no TLS.",
            ),
            (
                self.upload_expiry_s >= 60,
                "`upload_expiry_s` is too short. Give it at least 60.",
            ),
            (
                self.upload_idle_ms >= 1_000,
                "`upload_idle_ms` is too short. Give it at least 1000.",
            ),
            (
                i64::try_from(self.upload_min_bytes).is_ok(),
                "`upload_min_bytes` is too large. Give it what the slowest line brings in `upload_idle_ms`.",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(ConfigError::Value(why)),
            None => Ok(()),
        }
    }

    /// What uploads may take.
    pub fn upload_limits(&self) -> UploadLimits {
        UploadLimits {
            max_part_bytes: self.max_part_bytes,
            max_store_bytes: self.max_store_bytes,
            min_free_bytes: self.min_free_bytes,
            max_open_per_agent: self.max_open_uploads_per_agent,
            max_receiving: self.max_receiving,
            max_receiving_per_agent: self.max_receiving_per_agent,
            idle_ms: self.upload_idle_ms,
            min_bytes: self.upload_min_bytes,
            expiry_s: i64::from(self.upload_expiry_s),
        }
    }

    /// What connections may take.
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            ..Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), text).unwrap();
        Config::load(dir.path())
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(load(&text).unwrap(), Config::default());
    }

    #[test]
    fn refuses_unknown_keys_and_values_without_sense() {
        assert!(matches!(
            load("listne = \"x\""),
            Err(ConfigError::Parse { .. })
        ));
        assert!(matches!(
            load("metrics_listen = \"0.0.0.0:1\""),
            Err(ConfigError::Value(_))
        ));
        assert!(matches!(
            load("upload_expiry_s = 0"),
            Err(ConfigError::Value(_))
        ));
        assert!(matches!(
            load("tsa = { url = \"https://x\" }"),
            Err(ConfigError::Value(_))
        ));
        assert!(matches!(
            load("max_receiving = 0"),
            Err(ConfigError::Value(_))
        ));
    }
}
