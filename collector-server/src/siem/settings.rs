//! `[siem]` in `server.toml`: where events go, judged before anything is sent.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use axum::http::Uri;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
    version::TLS13,
};
use serde::{Deserialize, Serialize};

/// A shorter secret could be guessed.
const MIN_SECRET_BYTES: usize = 16;

/// How an event is written into a line of syslog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// ArcSight's Common Event Format.
    #[default]
    Cef,
    /// One JSON object.
    Json,
}

/// Where events go: syslog, a webhook, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Siem {
    /// `udp://`, `tcp://` or `tls://`, then HOST:PORT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syslog: Option<String>,
    /// What stands in each line of it.
    #[serde(default)]
    pub format: Format,
    /// `https://HOST[:PORT]/PATH`; `http://` to a loopback address only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The secret that signs what is posted: a file, in the server's folder unless its path is absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret_file: Option<PathBuf>,
    /// The certificates, PEM, under which receivers are believed; needed for `tls://` and `https://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// How syslog is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram an event, which may be lost.
    Udp,
    /// A stream.
    Tcp,
    /// A stream inside TLS 1.3.
    Tls,
}

/// Where a syslog server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// How.
    pub transport: Transport,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scheme, _) = text.split_once("://").ok_or(())?;
        let uri: Uri = text.parse().map_err(|_| ())?;
        let transport = match scheme {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            _ => return Err(()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(())?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        match (uri.port_u16(), is_bare) {
            (Some(port), true) => Ok(Self {
                transport,
                host: host.trim_matches(['[', ']']).to_owned(),
                port,
            }),
            _ => Err(()),
        }
    }
}

impl Siem {
    /// Why these settings make no sense, where they don't.
    pub fn fault(&self) -> Option<&'static str> {
        let syslog = self.syslog.as_ref().map(|text| text.parse::<Address>());
        let is_tls = matches!(&syslog, Some(Ok(a)) if a.transport == Transport::Tls);
        let is_https = self
            .webhook
            .as_ref()
            .is_some_and(|w| w.starts_with("https://"));
        let rules = [
            (
                self.syslog.is_some() || self.webhook.is_some(),
                "`[siem]` names no receiver. Give it `syslog` or `webhook`, or take it away.",
            ),
            (
                !matches!(syslog, Some(Err(()))),
                "`siem.syslog` is no address. Give `udp://HOST:PORT`, `tcp://HOST:PORT` or `tls://HOST:PORT`.",
            ),
            (
                self.webhook.as_deref().is_none_or(is_safe),
                "`siem.webhook` is no address that may be used. Give `https://HOST[:PORT]/PATH`; `http://` only to a loopback address.",
            ),
            (
                self.webhook.is_none() || self.webhook_secret_file.is_some(),
                "`siem.webhook` has no `webhook_secret_file`. Name a file with at least 16 random bytes, so that the receiver knows who posts.",
            ),
            (
                !(is_tls || is_https) || self.ca_file.is_some(),
                "`[siem]` has a receiver with TLS and no `ca_file`. Name a PEM file with the certificates under which it is believed.",
            ),
        ];
        rules.iter().find(|(holds, _)| !holds).map(|(_, why)| *why)
    }

    /// The secret that signs webhooks.
    ///
    /// # Errors
    /// The file can't be read, or is too short to be one.
    pub(super) fn secret(&self, dir: &Path) -> anyhow::Result<Vec<u8>> {
        let (path, bytes) = read(dir, self.webhook_secret_file.as_deref())?;
        let secret = bytes.trim_ascii().to_vec();
        ensure!(
            secret.len() >= MIN_SECRET_BYTES,
            "{} is too short for a secret. Put at least {MIN_SECRET_BYTES} random bytes into it.",
            path.display()
        );
        Ok(secret)
    }

    /// The certificates under which receivers are believed; none where the settings name no file.
    ///
    /// # Errors
    /// The file can't be read, or holds no certificate.
    pub(super) fn authorities(&self, dir: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let Some(file) = &self.ca_file else {
            return Ok(Vec::new());
        };
        let (path, pem) = read(dir, Some(file))?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let found = found.ok().filter(|found| !found.is_empty());
        found.with_context(|| format!("{} holds no certificates. Give PEM.", path.display()))
    }

    /// Checks that the files that the settings name are there and of use.
    ///
    /// # Errors
    /// One is not.
    pub fn check_files(&self, dir: &Path) -> anyhow::Result<()> {
        tls(&self.authorities(dir)?)?;
        match self.webhook.is_some() {
            true => self.secret(dir).map(|_| ()),
            false => Ok(()),
        }
    }
}

/// TLS to a receiver under these authorities.
pub(super) fn tls(authorities: &[CertificateDer<'static>]) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let added = roots.add(authority.clone());
        added.context("A certificate of `siem.ca_file` can't be used. Give an authority's own.")?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn read(dir: &Path, file: Option<&Path>) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let path = dir.join(file.unwrap_or(Path::new("")));
    let bytes = fs::read(&path).with_context(|| {
        format!(
            "{} could not be read. Check `[siem]` in server.toml.",
            path.display()
        )
    })?;
    Ok((path, bytes))
}

fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host
        .parse()
        .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_loopback,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_transport_a_host_and_a_port_and_nothing_else() {
        let address: Address = "tls://[::1]:6514".parse().unwrap();
        assert_eq!((address.transport, &*address.host), (Transport::Tls, "::1"));
        for bad in [
            "udp://x",
            "x:514",
            "tcp://:514",
            "http://x:514",
            "udp://x:1/y",
            "tls://x:1?y",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_in_words() {
        let of = |text: &str| toml::from_str::<Siem>(text).unwrap().fault();
        assert_eq!(of("syslog = \"udp://siem.example:514\""), None);
        for (text, word) in [
            ("", "no receiver"),
            ("syslog = \"siem.example\"", "`siem.syslog`"),
            ("syslog = \"tls://siem.example:6514\"", "`ca_file`"),
            ("webhook = \"http://siem.example/x\"", "`siem.webhook`"),
            (
                "webhook = \"https://siem.example/x\"",
                "`webhook_secret_file`",
            ),
        ] {
            assert!(of(text).unwrap().contains(word), "{text}");
        }
        let plain = "webhook = \"http://127.0.0.1:1/x\"\nwebhook_secret_file = \"s\"";
        assert_eq!(of(plain), None);
    }
}
