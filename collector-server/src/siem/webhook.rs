//! Webhooks: each event as a CloudEvents 1.0 object, posted, signed, and taken for delivered with a 2xx only.
//!
//! `Fieldseal-Signature: t=SECONDS,v1=HEX` is HMAC-SHA256 under the shared secret over `SECONDS.BODY`, so that the receiver
//! knows who posts, and can refuse what is old.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use data_encoding::HEXLOWER;
use evidence::instant::Instant;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustls::{crypto::aws_lc_rs, pki_types::CertificateDer};
use serde_json::json;
use sha2::Sha256;
use tokio::task::spawn_blocking;
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::record::Record;

const LONGEST: Duration = Duration::from_secs(30);
/// The signature's header.
pub(super) const SIGNATURE: &str = "Fieldseal-Signature";

/// A receiver of webhooks.
pub(super) struct Webhook {
    agent: Agent,
    url: String,
    secret: Vec<u8>,
    source: String,
}

impl Webhook {
    pub(super) fn new(
        url: &str,
        secret: Vec<u8>,
        authorities: &[CertificateDer<'static>],
        deployment: &str,
    ) -> Self {
        let roots: Vec<_> = authorities
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .timeout_global(Some(LONGEST))
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls)
            .user_agent(concat!("fieldseal-server/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            agent,
            url: url.to_owned(),
            secret,
            source: format!("urn:fieldseal:{deployment}"),
        }
    }

    /// Posts one event.
    pub(super) async fn send(&self, record: &Record) -> anyhow::Result<()> {
        let body = self.body(record);
        let signature = signature(&self.secret, Instant::now().seconds, &body)?;
        let (agent, url) = (self.agent.clone(), self.url.clone());
        let post = move || {
            let request = agent
                .post(&url)
                .content_type("application/cloudevents+json; charset=utf-8")
                .header(SIGNATURE, signature);
            request.send(body.as_bytes()).map(|answer| answer.status())
        };
        let status = spawn_blocking(post).await??;
        ensure!(status.is_success(), "the receiver answers {status}");
        Ok(())
    }

    fn body(&self, record: &Record) -> String {
        let mut event = json!({
            "specversion": "1.0",
            "id": record.id,
            "source": self.source,
            "type": format!("fieldseal.{}", record.kind),
            "datacontenttype": "application/json",
            "data": record.data,
        });
        if let Some(time) = record.time.to_rfc3339() {
            event["time"] = time.into();
        }
        event.to_string()
    }
}

/// The header's value.
fn signature(secret: &[u8], at_s: i64, body: &str) -> anyhow::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)?;
    mac.update(format!("{at_s}.{body}").as_bytes());
    let tag = HEXLOWER.encode(&mac.finalize().into_bytes());
    Ok(format!("t={at_s},v1={tag}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_openssl_makes() {
        // printf '7.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let expected = "t=7,v1=3cd0ad802237a2c96b7ee3b06705b7350cc8cf0ba4123033d13eda91ad9c4ec2";
        assert_eq!(signature(b"0123456789abcdef", 7, "{}").unwrap(), expected);
    }
}
