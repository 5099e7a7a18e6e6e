//! Syslog, RFC 5424, over UDP (RFC 5426), TCP (RFC 6587, octets counted) and TLS (RFC 5425).
//!
//! Syslog has no receipts: what the system took is as good as it gets. Where each event must arrive, use the webhook.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    record::{Record, Severity},
    settings::{Address, Format, Transport},
};

/// The facility for the audit of security, 13.
const FACILITY: u8 = 13;
const LONGEST: Duration = Duration::from_secs(30);

type Stream = Box<dyn AsyncWrite + Send + Unpin>;

/// A syslog server, and the connection to it while there is one.
pub(super) struct Syslog {
    address: Address,
    format: Format,
    hostname: String,
    tls: Arc<ClientConfig>,
    stream: Option<Stream>,
}

impl Syslog {
    pub(super) fn new(
        address: Address,
        format: Format,
        hostname: &str,
        tls: Arc<ClientConfig>,
    ) -> Self {
        Self {
            address,
            format,
            hostname: printable(hostname),
            tls,
            stream: None,
        }
    }

    /// Sends one event; a stream that broke is opened again the next time.
    pub(super) async fn send(&mut self, record: &Record) -> anyhow::Result<()> {
        let line = line(record, self.format, &self.hostname);
        let sent = timeout(LONGEST, self.put(line.as_bytes())).await;
        let sent = sent.unwrap_or_else(|_| Err(anyhow::anyhow!("the receiver stands still")));
        if sent.is_err() {
            self.stream = None;
        }
        sent
    }

    async fn put(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let to = (self.address.host.as_str(), self.address.port);
        if self.address.transport == Transport::Udp {
            let local = match tokio::net::lookup_host(to).await?.next() {
                Some(address) if address.is_ipv6() => "[::]:0",
                _ => "0.0.0.0:0",
            };
            let socket = UdpSocket::bind(local).await?;
            socket.send_to(line, to).await?;
            return Ok(());
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let opened = open(&self.address, &self.tls).await?;
                self.stream.insert(opened)
            }
        };
        let mut framed = format!("{} ", line.len()).into_bytes();
        framed.extend(line);
        stream.write_all(&framed).await?;
        Ok(stream.flush().await?)
    }
}

async fn open(address: &Address, tls: &Arc<ClientConfig>) -> anyhow::Result<Stream> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    if address.transport == Transport::Tcp {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(address.host.clone())?;
    let stream = TlsConnector::from(tls.clone())
        .connect(name, stream)
        .await?;
    Ok(Box::new(stream))
}

/// One message.
fn line(record: &Record, format: Format, hostname: &str) -> String {
    let priority = FACILITY * 8 + record.severity as u8;
    let time = record.time.to_rfc3339();
    // Syslog takes microseconds at most.
    let time = time.and_then(|t| t.get(..26).map(|t| format!("{t}Z")));
    let time = time.unwrap_or_else(|| "-".to_owned());
    let text = match format {
        Format::Cef => cef(record),
        Format::Json => {
            let mut all = record.data.clone();
            all.insert("id".into(), json!(record.id));
            all.insert("event".into(), json!(record.kind));
            all.insert("time".into(), json!(record.time));
            Value::Object(all).to_string()
        }
    };
    let kind: String = record.kind.chars().take(32).collect();
    format!("<{priority}>1 {time} {hostname} fieldseal-server - {kind} - {text}")
}

/// Common Event Format, version 0.
fn cef(record: &Record) -> String {
    let severity = match record.severity {
        Severity::Alert => 9,
        Severity::Warning => 6,
        Severity::Notice => 3,
    };
    let (version, kind) = (env!("CARGO_PKG_VERSION"), &record.kind);
    let mut text = format!("CEF:0|Fieldseal|fieldseal-server|{version}|{kind}|{kind}|{severity}|");
    text.push_str(&format!("externalId={}", value(&json!(record.id))));
    for (field, held) in &record.data {
        text.push_str(&format!(" {}={}", camel(field), value(held)));
    }
    text
}

/// A value of an extension, with what has a meaning there escaped.
fn value(held: &Value) -> String {
    let text = match held {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.replace('\\', "\\\\")
        .replace('=', "\\=")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

/// Keys of extensions have letters and digits alone.
fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let (head, tail) = word.split_at(word.len().min(1));
        text + &head.to_uppercase() + tail
    })
}

fn printable(hostname: &str) -> String {
    let text: String = hostname
        .chars()
        .filter(char::is_ascii_graphic)
        .take(255)
        .collect();
    match text.is_empty() {
        true => "-".to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use evidence::instant::Instant;

    use super::*;

    fn record() -> Record {
        Record {
            id: "leaf-1".into(),
            kind: "custody.fetched".into(),
            time: Instant {
                seconds: 1_795_255_200,
                ns: 123_456_789,
            },
            severity: Severity::Notice,
            data: json!({"stored_sha256": "00ff", "part": 2, "odd": "a=b\\c\nd"})
                .as_object()
                .unwrap()
                .clone(),
        }
    }

    #[test]
    fn a_line_is_as_rfc_5424_and_cef_have_it() {
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "<109>1 2026-11-21T10:00:00.123456Z localhost fieldseal-server - custody.fetched - \
             CEF:0|Fieldseal|fieldseal-server|{version}|custody.fetched|custody.fetched|3|\
             externalId=leaf-1 odd=a\\=b\\\\c\\nd part=2 storedSha256=00ff"
        );
        assert_eq!(line(&record(), Format::Cef, "localhost"), expected);
    }

    #[test]
    fn json_says_the_same_in_one_object() {
        let line = line(&record(), Format::Json, "localhost");
        let (_, text) = line.split_once(" - {").unwrap();
        let read: Value = serde_json::from_str(&format!("{{{text}")).unwrap();
        assert_eq!(read["event"], "custody.fetched");
        assert_eq!((&read["id"], &read["part"]), (&json!("leaf-1"), &json!(2)));
    }
}
