//! A time-stamp authority (RFC 3161) for a demonstration: `openssl ts` behind a small HTTP handler on loopback.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};

/// What `openssl` needs to know.
const CONFIG: &str = "\
[tsa]
default_tsa = demo
[demo]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
[ext]
extendedKeyUsage = critical,timeStamping
basicConstraints = critical,CA:false
";

/// No query is longer.
const MOST_BYTES: u64 = 64 * 1024;

/// An authority that answers.
#[derive(Debug, Clone)]
pub struct Tsa {
    /// Where it answers.
    pub url: String,
    /// The root certificate of its own.
    pub root: PathBuf,
}

/// Whether there is an `openssl` to do it with.
pub fn is_possible() -> bool {
    let asked = Command::new("openssl").arg("version").output();
    asked.is_ok_and(|out| out.status.success())
}

impl Tsa {
    /// Makes its keys in `dir` and answers on loopback until the program ends.
    ///
    /// # Errors
    /// `openssl` does not make them.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("tsa.cnf"), CONFIG)?;
        fs::write(dir.join("serial"), "01\n")?;
        let subject = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj";
        openssl(
            dir,
            &format!("{subject} /CN=Demo-time-root -x509 -days 30 -keyout root.key -out root.crt"),
        )?;
        openssl(
            dir,
            &format!("{subject} /CN=Demo-time -keyout tsa.key -out tsa.csr"),
        )?;
        openssl(
            dir,
            "x509 -req -in tsa.csr -CA root.crt -CAkey root.key -CAcreateserial -days 30 \
             -extfile tsa.cnf -extensions ext -out tsa.crt",
        )?;
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        let at: SocketAddr = listener.local_addr()?;
        let own = dir.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A question that can't be answered is the asker's to repeat.
                let _unanswered = answer(&stream, &own);
            }
        });
        Ok(Self {
            url: format!("http://{at}/"),
            root: dir.join("root.crt"),
        })
    }
}

fn openssl(dir: &Path, command: &str) -> anyhow::Result<()> {
    let made = Command::new("openssl")
        .current_dir(dir)
        .args(command.split_whitespace())
        .output()?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "openssl {command}: {said}");
    Ok(())
}

fn answer(stream: &TcpStream, dir: &Path) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.take(MOST_BYTES));
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            // The request's own line has none either, and comes first.
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut query = vec![0; usize::try_from(length.min(MOST_BYTES))?];
    reader.read_exact(&mut query)?;
    fs::write(dir.join("query"), &query)?;
    openssl(
        dir,
        "ts -reply -config tsa.cnf -queryfile query -signer tsa.crt -inkey tsa.key -chain root.crt -out reply",
    )?;
    let reply = fs::read(dir.join("reply")).context("openssl gave no reply")?;
    let mut out = stream;
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: application/timestamp-reply\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        reply.len()
    )?;
    out.write_all(&reply)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use evidence::{digest::Digest, seal::Trust, timestamp};

    use super::*;

    #[test]
    fn answers_a_query_with_a_stamp_under_its_root() {
        let dir = tempfile::tempdir().unwrap();
        let tsa = Tsa::start(dir.path()).unwrap();
        let digest = Digest::of(b"statement");
        let query = timestamp::query(digest).unwrap();
        let at = tsa
            .url
            .strip_prefix("http://")
            .unwrap()
            .trim_end_matches('/');
        let mut stream = TcpStream::connect(at).unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n",
            query.der.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&query.der).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let trust = Trust::from_pem(&fs::read_to_string(&tsa.root).unwrap()).unwrap();
        let expected = timestamp::Expected {
            digest,
            nonce: Some(&query.nonce),
            trust: &trust,
        };
        let report = timestamp::check(&answer[end + 4..], expected);
        assert!(report.is_sound(), "{report:?}");
        assert!(report.stamp.unwrap().is_known);
    }
}
