//! The system's own journal: where starts, orders and the owner of this agent are told so that misuse is seen.
//!
//! # Platform behaviour
//! Linux: standard error, where systemd has connected that to its journal; else the journal's native socket or
//! `/dev/log`, opened once by a name that is passed in, and standard error beside. Where there is neither, standard error
//! alone tells it.

use std::{
    io::{self, Write as _},
    path::Path,
};

use self::channel::Channel;

/// Where journals listen.
pub const SOCKETS: [(&str, Form); 2] = [
    ("/run/systemd/journal/socket", Form::Native),
    ("/dev/log", Form::Syslog),
];

/// Where systemd connects the standard error of its services to.
#[cfg(target_os = "linux")]
const STREAM: &str = "/run/systemd/journal/stdout";

/// How a journal wants its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Fields, as systemd-journald reads them.
    Native,
    /// One line, RFC 3164.
    Syslog,
}

/// Tells the journal and standard error.
#[derive(Debug)]
pub struct Journal {
    socket: Option<(Channel, Form)>,
    error: Error,
}

/// What standard error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Error {
    /// Somebody's terminal or file.
    Plain,
    /// The journal, which reads each line's level off its beginning (sd-daemon(3)).
    Journal,
    /// Not to be written to.
    Silent,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something that a guardian of the host should see.
    Notice,
    /// Something is wrong.
    Warning,
}

impl Level {
    const fn number(self) -> u8 {
        match self {
            Self::Warning => 4,
            Self::Notice => 5,
        }
    }
}

impl Journal {
    /// The first of `sockets` that takes a connection.
    pub fn open<P: AsRef<Path>>(sockets: &[(P, Form)]) -> Self {
        if is_standard_error() {
            // No second line, and one socket less that whoever takes this process over could speak to.
            return Self {
                socket: None,
                error: Error::Journal,
            };
        }
        let connect =
            |(path, form): &(P, Form)| Some((Channel::connect(path.as_ref()).ok()?, *form));
        Self {
            socket: sockets.iter().find_map(connect),
            error: Error::Plain,
        }
    }

    /// Tells nobody.
    pub const fn silent() -> Self {
        Self {
            socket: None,
            error: Error::Silent,
        }
    }

    /// Something that a guardian of the host should see.
    pub fn notice(&self, text: &str) {
        self.tell(Level::Notice, text);
    }

    /// Something is wrong.
    pub fn warning(&self, text: &str) {
        self.tell(Level::Warning, text);
    }

    fn tell(&self, level: Level, text: &str) {
        let line = one_line(text);
        // When a journal goes away the other still tells it; more can't be done.
        let _ = match self.error {
            Error::Silent => return,
            Error::Plain => writeln!(io::stderr(), "fieldseal-agent: {line}"),
            Error::Journal => writeln!(io::stderr(), "<{}>{line}", level.number()),
        };
        if let Some((socket, form)) = &self.socket {
            socket.send(message(*form, level, &line).as_bytes());
        }
    }
}

/// Whether standard error is the system's journal already.
pub fn is_standard_error() -> bool {
    #[cfg(target_os = "linux")]
    {
        leads_to(io::stderr(), STREAM)
    }
    #[cfg(not(target_os = "linux"))]
    false
}

#[cfg(target_os = "linux")]
fn leads_to(end: impl std::os::fd::AsFd, path: &str) -> bool {
    let peer = rustix::net::getpeername(end).ok().flatten();
    let peer = peer.and_then(|peer| rustix::net::SocketAddrUnix::try_from(peer).ok());
    peer.is_some_and(|peer| peer.path_bytes() == Some(path.as_bytes()))
}

fn message(form: Form, level: Level, line: &str) -> String {
    let number = level.number();
    match form {
        Form::Native => {
            format!("PRIORITY={number}\nSYSLOG_IDENTIFIER=fieldseal-agent\nMESSAGE={line}\n")
        }
        // Facility 3: system daemons.
        Form::Syslog => format!(
            "<{}>fieldseal-agent[{}]: {line}",
            3 * 8 + number,
            std::process::id()
        ),
    }
}

/// A text from elsewhere must not begin a line or a field of its own.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(unix)]
mod channel {
    use std::{io, os::unix::net::UnixDatagram, path::Path};

    /// A way to a journal.
    #[derive(Debug)]
    pub(super) struct Channel(UnixDatagram);

    impl Channel {
        pub(super) fn connect(path: &Path) -> io::Result<Self> {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            // A journal that is full must not hold the agent.
            socket.set_nonblocking(true)?;
            Ok(Self(socket))
        }

        /// Tries to tell it; what it doesn't take is on standard error too.
        pub(super) fn send(&self, message: &[u8]) {
            let _ = self.0.send(message);
        }
    }
}

#[cfg(not(unix))]
mod channel {
    use std::{convert::Infallible, io, path::Path};

    /// Nobody has one here: standard error alone tells it.
    #[derive(Debug)]
    pub(super) struct Channel(Infallible);

    impl Channel {
        pub(super) fn connect(_path: &Path) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn send(&self, _message: &[u8]) {
            match self.0 {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_stream_is_known_by_whom_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(leads_to(&stream, path.to_str().unwrap()));
        assert!(!leads_to(&stream, STREAM));
        let plain = std::fs::File::open("/dev/null").unwrap();
        assert!(!leads_to(plain, STREAM));
    }

    #[test]
    fn both_forms_reach_their_socket_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        for (form, wanted) in [
            (
                Form::Native,
                "PRIORITY=5\nSYSLOG_IDENTIFIER=fieldseal-agent\nMESSAGE=order PRIORITY=0 x\n",
            ),
            (Form::Syslog, "order PRIORITY=0 x"),
        ] {
            let path = folder.path().join(format!("{form:?}"));
            let journal = UnixDatagram::bind(&path).unwrap();
            let nowhere = folder.path().join("nowhere");
            let sockets = [(nowhere, form), (path, form)];
            Journal::open(&sockets).notice("order\nPRIORITY=0\tx");
            let mut buffer = [0; 500];
            let length = journal.recv(&mut buffer).unwrap();
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            assert!(text.ends_with(wanted), "{text}");
        }
    }
}
