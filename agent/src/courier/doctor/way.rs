//! The way to the server below TLS: a name, a connection, a proxy.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{PATIENCE_ALL, Seen};
use crate::courier::http::{Place, ProxyPlace, inert};

/// Who has not answered by then is not there.
const PATIENCE: Duration = Duration::from_secs(10);
/// No sensible answer of a proxy is longer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What the host's name stands for; `named_in` is where it is written.
pub(super) fn addresses(place: &Place, named_in: &str) -> Result<Vec<SocketAddr>, String> {
    let told = (place.host.as_str(), place.port).to_socket_addrs();
    let wrong = |why: String| {
        format!(
            "{:?} has no address here: {why}. Check the name in {named_in}, and this host's resolver (/etc/resolv.conf, /etc/hosts).",
            place.host
        )
    };
    let found: Vec<_> = told.map_err(|error| wrong(error.to_string()))?.collect();
    match found.is_empty() {
        true => Err(wrong("the resolver names none".to_owned())),
        false => Ok(found),
    }
}

pub(super) fn listed(addresses: &[SocketAddr]) -> String {
    let all: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    all.join(", ")
}

/// The first of `addresses` that takes a connection.
pub(super) fn connect(addresses: &[SocketAddr]) -> Result<(SocketAddr, TcpStream), String> {
    let mut wrong = Vec::new();
    let begun = Instant::now();
    for address in addresses {
        if begun.elapsed() > PATIENCE_ALL {
            wrong.push("the rest was not tried".to_owned());
            break;
        }
        match TcpStream::connect_timeout(address, PATIENCE) {
            Ok(connection) => return Ok((*address, connection)),
            Err(error) => wrong.push(format!("{address}: {}", because(&error))),
        }
    }
    Err(wrong.join("; "))
}

fn because(error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::ConnectionRefused => {
            "nothing listens on that port, or a firewall rejects it. Check the server's port and the firewalls."
        }
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            "no answer. A firewall drops it, or the way back is missing; allow outgoing TCP to that port."
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            "no route. Check this host's network (ip route) and VPN."
        }
        ErrorKind::PermissionDenied => "this host's own firewall or sandbox forbids it.",
        _ => "the connection failed.",
    };
    format!("{error}: {advice}")
}

/// Asks a proxy for a way to `server`.
pub(super) fn tunnel(
    mut connection: TcpStream,
    (proxy, server): (&ProxyPlace, &Place),
    named_in: &str,
) -> Seen {
    let head = asked(&mut connection, proxy, server).map_err(|error| {
        format!("it does not answer: {error}. Check that a proxy listens there.")
    })?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse::<u16>().ok());
    let said = head.trim();
    match status.filter(|_| head.starts_with("HTTP/")) {
        Some(200..=299) => Ok(format!("it opens a way to {}:{}", server.host, server.port)),
        Some(401 | 407) => Err(format!(
            "it asks for other credentials ({said}). Correct user and password of `proxy` in {named_in}."
        )),
        Some(403 | 405) => Err(format!(
            "it forbids the way to {}:{} ({said}). Have it allow CONNECT to that address and port.",
            server.host, server.port
        )),
        Some(502..=504) => Err(format!(
            "it can't reach {}:{} itself ({said}). Check the name and the way from the proxy.",
            server.host, server.port
        )),
        Some(_) => Err(format!(
            "it answers {said:?}. A captive portal may stand there: log in to the network, or have this host exempted."
        )),
        None => Err(format!("what answers is no HTTP proxy ({said:?}).")),
    }
}

/// The first line of its answer.
fn asked(connection: &mut TcpStream, proxy: &ProxyPlace, server: &Place) -> io::Result<String> {
    connection.set_write_timeout(Some(PATIENCE))?;
    let target = match server.host.contains(':') {
        true => format!("[{}]:{}", server.host, server.port),
        false => format!("{}:{}", server.host, server.port),
    };
    let mut question = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(credentials) = &proxy.credentials {
        let encoded = BASE64_STANDARD.encode(credentials);
        question.push_str(&format!("Proxy-Authorization: Basic {encoded}\r\n"));
    }
    question.push_str("\r\n");
    connection.write_all(question.as_bytes())?;
    let line = first_line(connection, Instant::now() + PATIENCE)?;
    match line.is_empty() {
        true => Err(ErrorKind::UnexpectedEof.into()),
        false => Ok(inert(String::from_utf8_lossy(&line).trim())),
    }
}

/// Until its end, a ceiling, or `until`, however slowly it drips.
fn first_line(connection: &mut TcpStream, until: Instant) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut some = [0; 256];
    while line.len() < HEAD_BYTES_MAX && !line.contains(&b'\n') {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        connection.set_read_timeout(Some(left))?;
        match connection.read(&mut some)? {
            0 => break,
            read => line.extend_from_slice(some.get(..read).unwrap_or_default()),
        }
    }
    let end = line.iter().position(|byte| *byte == b'\n');
    line.truncate(end.unwrap_or(line.len()));
    Ok(line)
}
