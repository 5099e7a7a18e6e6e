//! The server's settings: `server.toml` in its folder. Unknown keys are refused.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use crate::{intake::UploadLimits, serve::Limits, siem::Siem};

/// The settings' file, in the server's folder.
pub const FILE: &str = "server.toml";

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error(
        "{path} could not be read. Make a deployment first (`fieldseal-server init --help`), or check the folder's name and rights."
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
    /// Where it takes RFC 3161 queries: `http://HOST[:PORT]/PATH`. Plain HTTP, as such authorities offer it: the
    /// answer is signed and proves itself, and the question holds a digest only.
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
    /// Bytes that one agent may have promised and not delivered.
    pub max_promised_bytes_per_agent: u64,
    /// Bodies received at one time.
    pub max_receiving: usize,
    /// Those of them that may be one agent's.
    pub max_receiving_per_agent: usize,
    /// Connections at one time.
    pub max_connections: usize,
    /// Those of them that may be of one client certificate.
    pub max_connections_per_client: usize,
    /// Questions that wait for news at one time.
    pub max_polls: usize,
    /// Those of them that may be one agent's, or one person's.
    pub max_polls_per_caller: usize,
    /// Requests that one agent may make a minute.
    pub max_requests_per_minute_per_agent: u32,
    /// Requests that one person may make a minute.
    pub max_requests_per_minute_per_person: u32,
    /// Requests a minute from one address, of all there whose key is nobody's.
    pub max_requests_per_minute_per_address: u32,
    /// How long an upload may take.
    pub upload_expiry_s: u32,
    /// How long a body may stand still.
    pub upload_idle_ms: u64,
    /// What a body must bring in each `upload_idle_ms`; a slower request is ended, and its upload can be resumed.
    pub upload_min_bytes: u64,
    /// How often evidence is looked through for what has expired.
    pub expiry_every_s: u32,
    /// How long after a retention rule came nothing expires by it.
    pub retention_notice_s: u32,
    /// The time-stamping authority, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsa: Option<Tsa>,
    /// Where events are sent, where anybody wants them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub siem: Option<Siem>,
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
            max_promised_bytes_per_agent: 16 << 30,
            max_receiving: 256,
            max_receiving_per_agent: 8,
            max_connections: 10_000,
            max_connections_per_client: 64,
            max_polls: 10_000,
            max_polls_per_caller: 16,
            max_requests_per_minute_per_agent: 3_000,
            max_requests_per_minute_per_person: 12_000,
            max_requests_per_minute_per_address: 3_000,
            upload_expiry_s: 30 * 86_400,
            upload_idle_ms: 60_000,
            upload_min_bytes: 64 << 10,
            expiry_every_s: 3_600,
            retention_notice_s: 86_400,
            tsa: None,
            siem: None,
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
                (self.max_part_bytes..1 << 63).contains(&self.max_promised_bytes_per_agent),
                "`max_promised_bytes_per_agent` is out of range. Give it at least `max_part_bytes`, and less than 2^63.",
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
                (1..=self.max_connections).contains(&self.max_connections_per_client),
                "`max_connections_per_client` is out of range. Give it 1 to `max_connections`.",
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
                (1..=self.max_polls).contains(&self.max_polls_per_caller),
                "`max_polls_per_caller` is out of range. Give it 1 to `max_polls`.",
            ),
            (
                self.max_requests_per_minute_per_agent >= 60,
                "`max_requests_per_minute_per_agent` is too low for questions, reports and uploads. Give it at least 60.",
            ),
            (
                self.max_requests_per_minute_per_person >= 60,
                "`max_requests_per_minute_per_person` is too low for one command. Give it at least 60.",
            ),
            (
                self.max_requests_per_minute_per_address >= 10,
                "`max_requests_per_minute_per_address` is too low to enrol. Give it at least 10.",
            ),
            (
                self.tsa.as_ref().is_none_or(|t| is_plain_http(&t.url)),
                "`tsa.url` is no plain HTTP address; `https://` is not supported. Give `http://HOST[:PORT]/PATH`: the answer is signed and needs no TLS.",
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
            (
                (60..=86_400).contains(&self.expiry_every_s),
                "`expiry_every_s` is out of range. Give it 60 to 86400: once a day at least.",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(ConfigError::Value(why)),
            None => match self.siem.as_ref().and_then(Siem::fault) {
                Some(why) => Err(ConfigError::Value(why)),
                None => Ok(()),
            },
        }
    }

    /// What uploads may take.
    pub fn upload_limits(&self) -> UploadLimits {
        UploadLimits {
            max_part_bytes: self.max_part_bytes,
            max_store_bytes: self.max_store_bytes,
            min_free_bytes: self.min_free_bytes,
            max_open_per_agent: self.max_open_uploads_per_agent,
            max_promised_per_agent_bytes: self.max_promised_bytes_per_agent,
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
            connections_per_client: self.max_connections_per_client,
            ..Limits::default()
        }
    }
}

fn is_plain_http(url: &str) -> bool {
    let uri: Result<Uri, _> = url.parse();
    uri.is_ok_and(|uri| {
        uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty())
    })
}

/// What stands above each setting in the file that `init` writes.
const ABOUT: &[(&str, &str)] = &[
    ("listen", "Where agents and investigators connect."),
    (
        "names",
        "The DNS names and addresses that the server's certificate is for. Changed names are in the next certificate.",
    ),
    (
        "metrics_listen",
        "Where Prometheus asks; without TLS, so loopback only.",
    ),
    ("log_format", "\"text\" for people, \"json\" for programs."),
    ("max_part_bytes", "The largest part that is taken."),
    ("max_store_bytes", "What all parts together may take."),
    (
        "min_free_bytes",
        "What stays free on the disk; below it, uploads are told to come later.",
    ),
    (
        "max_open_uploads_per_agent",
        "Uploads that one agent may have begun and not ended.",
    ),
    (
        "max_promised_bytes_per_agent",
        "What those uploads of one agent may come to, so that no host fills the store with promises; it waits beyond that.",
    ),
    (
        "max_receiving",
        "Bodies of uploads that are received at one time; more are told to come later.",
    ),
    (
        "max_receiving_per_agent",
        "Those of them that may be one agent's.",
    ),
    ("max_connections", "Connections at one time."),
    (
        "max_connections_per_client",
        "Those of them that may be of one client certificate; more are closed.",
    ),
    ("max_polls", "Questions that wait for news at one time."),
    (
        "max_polls_per_caller",
        "Those of them that may be one agent's, or one person's.",
    ),
    (
        "max_requests_per_minute_per_agent",
        "Requests that one agent may make a minute, all at once or evenly; more are told to come later (429).",
    ),
    (
        "max_requests_per_minute_per_person",
        "The same for one person of the policy; fetching takes four requests a part.",
    ),
    (
        "max_requests_per_minute_per_address",
        "The same for all at one address whose key is nobody's: hosts that enrol, and strangers.",
    ),
    (
        "upload_expiry_s",
        "How long an upload may take before it is dropped.",
    ),
    (
        "upload_idle_ms",
        "The window in which an upload's body must move.",
    ),
    (
        "upload_min_bytes",
        "What a body must bring in each such window; a slower request is ended, and its upload can be resumed.",
    ),
    (
        "expiry_every_s",
        "How often evidence is looked through for what has expired by a retention rule; at each start too.",
    ),
    (
        "retention_notice_s",
        "How long after a retention rule came nothing expires by it, so that a hold can still be placed.",
    ),
];

const ABOUT_TSA: &str = "
# A time-stamping authority (RFC 3161) that stamps every part. Plain http:// only: its answer is signed, and the
# question holds a digest only. Take away the number signs and name yours.
# [tsa]
# url = \"http://tsa.example.org/tsr\"
";

const ABOUT_SIEM: &str = "
# Custody leaves, refusals and alarms for a SIEM, in ids and digests: by syslog (RFC 5424; udp://, tcp:// or tls://), as
# \"cef\" or \"json\", and by webhook (CloudEvents, signed with the secret in a file). Take away what you don't use.
# [siem]
# syslog = \"tls://siem.example.org:6514\"
# format = \"cef\"
# webhook = \"https://siem.example.org/fieldseal\"
# webhook_secret_file = \"keys/webhook.secret\"
# ca_file = \"keys/siem-ca.pem\"
";

/// The settings as a file, each with what it is for.
///
/// # Errors
/// They can't be written as TOML, which they can.
pub fn to_text(config: &Config) -> Result<String, toml::ser::Error> {
    let mut text = String::new();
    for line in toml::to_string(config)?.lines() {
        let key = line.split(" = ").next().unwrap_or_default();
        if let Some((_, about)) = ABOUT.iter().find(|(name, _)| *name == key) {
            text.push_str(&format!("# {about}\n"));
        }
        text.push_str(line);
        text.push('\n');
    }
    if config.tsa.is_none() {
        text.push_str(ABOUT_TSA);
    }
    if config.siem.is_none() {
        text.push_str(ABOUT_SIEM);
    }
    Ok(text)
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
    fn what_is_written_is_read_again_and_every_setting_says_what_it_is_for() {
        let text = to_text(&Config::default()).unwrap();
        assert_eq!(load(&text).unwrap(), Config::default());
        let settings = toml::to_string(&Config::default()).unwrap();
        let keys = settings.lines().map(|l| l.split(" = ").next().unwrap());
        let told: Vec<_> = ABOUT.iter().map(|(name, _)| *name).collect();
        assert_eq!(keys.collect::<Vec<_>>(), told);
        // What is offered there works once the number signs are gone.
        let with_siem = text.split_once("# [siem]").unwrap().1.replace("# ", "");
        let siem: Siem = toml::from_str(&with_siem).unwrap();
        assert_eq!(siem.fault(), None);
        let with_tsa = text.replace("# [tsa]", "[tsa]").replace("# url", "url");
        let url = "http://tsa.example.org/tsr".to_owned();
        assert_eq!(load(&with_tsa).unwrap().tsa, Some(Tsa { url }));
    }

    #[test]
    fn an_authority_behind_tls_is_refused_in_words() {
        for url in ["https://x", "http://", "x", "ftp://x/"] {
            let told = load(&format!("tsa = {{ url = \"{url}\" }}")).unwrap_err();
            assert!(
                told.to_string().contains("`https://` is not supported"),
                "{url}"
            );
        }
    }

    #[test]
    fn refuses_unknown_keys_and_values_without_sense() {
        assert!(matches!(
            load("listne = \"x\""),
            Err(ConfigError::Parse { .. })
        ));
        for nested in [
            "[tsa]\nurl = \"http://x/\"\nurls = 1",
            "tsa = { url = \"http://x/\", policy = \"1.2\" }",
            "[tsa.more]\nx = 1",
            "[siem]\nsyslog = \"udp://x:1\"\nfacility = 1",
            "[siem.webhook]\nurl = \"https://x/\"",
            "[siem]\nformat = \"leef\"",
            "[tas]\nurl = \"http://x/\"",
            "[listen]\nport = 1",
        ] {
            assert!(
                matches!(load(nested), Err(ConfigError::Parse { .. })),
                "{nested}"
            );
        }
        for (few, many) in [
            ("max_promised_bytes_per_agent", "max_part_bytes"),
            ("max_polls_per_caller", "max_polls"),
            ("max_connections_per_client", "max_connections"),
        ] {
            let told = load(&format!("{few} = 0")).unwrap_err().to_string();
            assert!(told.contains(few) && told.contains(many), "{told}");
        }
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
        assert!(matches!(load("[siem]"), Err(ConfigError::Value(_))));
        assert!(matches!(
            load("max_receiving = 0"),
            Err(ConfigError::Value(_))
        ));
    }
}
