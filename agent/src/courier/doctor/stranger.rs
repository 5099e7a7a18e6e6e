//! The way to the deployment's server as anybody goes it: name, route, proxy, TLS, and the clock by it.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use protocol::health::CLOCK_OFF_MS;

use super::{ANSWER_BYTES_MAX, Findings, PATIENCE_ALL, Seen, Step, way};
use crate::courier::{
    clock,
    http::{Access, Client, HttpError, way as way_to},
};

/// Whom to reach.
#[derive(Clone, Copy)]
pub(super) struct Goal<'a> {
    /// How, as a stranger.
    pub(super) access: Access<'a>,
    /// The file in which people correct an address.
    pub(super) named_in: &'a str,
    /// The step that brought the addresses.
    pub(super) named_by: Step,
}

/// The server, reached.
pub(super) struct Reached {
    /// Its `Trust` message.
    pub(super) trust: Vec<u8>,
    /// Whether this host's clock is right by it.
    pub(super) clock: Option<()>,
}

/// From step to step; none once one has failed that the next rests on.
pub(super) fn reach(goal: Goal<'_>, found: &mut Findings) -> Option<Reached> {
    let way = match way_to(goal.access.server, goal.access.proxy) {
        Ok(way) => way,
        Err(error) => {
            let wrong = found.note(goal.named_by, Err(error.to_string()));
            return wrong.and(None);
        }
    };
    let addresses = way::addresses(way.first(), goal.named_in);
    let seen = addresses.as_ref().map(|found| way::listed(found));
    found.note(Step::Name, seen.map_err(Clone::clone))?;
    let connected = way::connect(&addresses.unwrap_or_default());
    let seen = connected
        .as_ref()
        .map(|(address, _)| format!("{address} answers"));
    found.note(Step::Route, seen.map_err(Clone::clone))?;
    if let (Some(proxy), Ok((_, connection))) = (&way.proxy, connected) {
        let tunnel = way::tunnel(connection, (proxy, &way.server), goal.named_in);
        found.note(Step::Proxy, tunnel)?;
    }
    let client = match Client::new(goal.access) {
        Ok(client) => client,
        Err(error) => {
            let wrong = found.note(Step::Server, Err(error.to_string()));
            return wrong.and(None);
        }
    };
    let mut trust = Vec::new();
    let seen = within(PATIENCE_ALL, &client, |client| server(client, &mut trust));
    found.note(Step::Server, seen)?;
    let seen = within(PATIENCE_ALL, &client, clock);
    let clock = found.note(Step::Clock, seen);
    Some(Reached { trust, clock })
}

/// Asks, and gives up after `patience` in all: each byte that drips would be waited for anew.
pub(super) fn within(
    patience: Duration,
    client: &Client,
    ask: impl FnOnce(&Client) -> Seen,
) -> Seen {
    let (done, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let is_late = ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            if is_late {
                client.shut_down();
            }
            is_late
        });
        let seen = ask(client);
        drop(done);
        match (seen, watch.join()) {
            (Err(_), Ok(true)) => Err(format!(
                "no whole answer came within {} s: what answers there is slow, or holds us up on purpose. Check what stands between this host and the server.",
                patience.as_secs_f32()
            )),
            (seen, _) => seen,
        }
    })
}

fn server(client: &Client, trust: &mut Vec<u8>) -> Seen {
    match client.get("/v1/trust", ANSWER_BYTES_MAX) {
        Ok(answer) => {
            *trust = answer.body;
            Ok("the deployment's server answers, shown by root.crt".to_owned())
        }
        Err(error @ HttpError::Certificate { .. }) => Err(format!(
            "{} Where the network inspects TLS, or asks for a login in a browser, this address must be exempted.",
            error.chain()
        )),
        Err(error @ HttpError::Network(_)) => Err(format!(
            "no TLS is spoken there: {}. Something else answers (another service, a captive portal), or the connection is cut.",
            error.chain()
        )),
        Err(error) => Err(error.chain()),
    }
}

/// How far this host's clock is from the server's. The signature of the time is the reader's matter.
fn clock(client: &Client) -> Seen {
    let ahead_ms = clock::ahead_ms(client)?;
    let seconds = ahead_ms as f64 / 1000.0;
    let text = format!("{seconds:+.1} s from the server's");
    match ahead_ms.unsigned_abs() <= CLOCK_OFF_MS {
        true => Ok(text),
        false => Err(format!(
            "{text}. Set it right (timedatectl, chrony): orders and certificates are judged by time."
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::TcpListener, time::Instant};

    use super::*;
    use crate::courier::testing::Pki;

    #[test]
    fn who_drips_bytes_of_a_handshake_holds_nobody_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let peer = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            // A record of 4,096 bytes begins, and never ends.
            let mut next: &[u8] = &[0x16, 3, 3, 0x10, 0, 2, 0, 0x0f, 0xfc];
            while client.write_all(next).is_ok() {
                next = &[0];
                thread::park_timeout(Duration::from_millis(20));
            }
        });
        let root_pem = Pki::new().root_pem;
        let access = Access {
            server: &format!("https://127.0.0.1:{port}"),
            proxy: None,
            root_pem: &root_pem,
            identity: None,
        };
        let client = Client::new(access).unwrap();
        let began = Instant::now();
        let ask = |client: &Client| server(client, &mut Vec::new());
        let told = within(Duration::from_millis(300), &client, ask).unwrap_err();
        assert!(told.contains("no whole answer came within 0.3 s"), "{told}");
        assert!(began.elapsed() < Duration::from_secs(20));
        peer.join().unwrap();
    }
}
