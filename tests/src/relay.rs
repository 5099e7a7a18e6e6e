//! A line between an agent and its server that breaks on demand: in the middle of an upload, for as long as it is told.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
};

/// More bytes than any test sends.
const ENDLESS: i64 = i64::MAX / 2;

struct Line {
    server: SocketAddr,
    is_broken: AtomicBool,
    has_ended: AtomicBool,
    /// How many more bytes pass towards the server.
    left_bytes: AtomicI64,
    ends: Mutex<Vec<TcpStream>>,
}

/// The line; it ends with the value.
pub struct Relay {
    line: Arc<Line>,
    /// Where agents connect.
    pub port: u16,
}

impl Relay {
    /// A line to `server`, whole.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let line = Arc::new(Line {
            server,
            is_broken: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            left_bytes: AtomicI64::new(ENDLESS),
            ends: Mutex::default(),
        });
        let shared = Arc::clone(&line);
        thread::spawn(move || shared.accept(&listener));
        Ok(Self { line, port })
    }

    /// Breaks when so many more bytes have passed towards the server.
    pub fn break_after(&self, bytes: i64) {
        self.line.left_bytes.store(bytes, Ordering::SeqCst);
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.line.is_broken.load(Ordering::SeqCst)
    }

    /// Makes it whole again.
    pub fn mend(&self) {
        self.break_after(ENDLESS);
        self.line.is_broken.store(false, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.line.has_ended.store(true, Ordering::SeqCst);
        self.line.cut();
        // Wakes the thread that accepts.
        let _woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Line {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for agent in listener.incoming() {
            if self.has_ended.load(Ordering::SeqCst) {
                return;
            }
            let Ok(agent) = agent else { continue };
            if self.is_broken.load(Ordering::SeqCst) {
                continue;
            }
            let line = Arc::clone(self);
            // A connection that breaks is what it is there for.
            thread::spawn(move || line.join(&agent));
        }
    }

    fn join(self: &Arc<Self>, agent: &TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.server)?;
        {
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.extend([agent.try_clone()?, server.try_clone()?]);
        }
        let (mut from_server, mut to_agent) = (server.try_clone()?, agent.try_clone()?);
        thread::spawn(move || {
            let _ended = io::copy(&mut from_server, &mut to_agent);
            let _closed = to_agent.shutdown(Shutdown::Both);
        });
        self.pass(agent, &server)?;
        server.shutdown(Shutdown::Both)
    }

    fn pass(&self, mut agent: &TcpStream, mut server: &TcpStream) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = agent.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let size = i64::try_from(count).unwrap_or(ENDLESS);
            if self.left_bytes.fetch_sub(size, Ordering::SeqCst) <= size {
                self.is_broken.store(true, Ordering::SeqCst);
                self.cut();
                return Ok(());
            }
            server.write_all(&buffer[..count])?;
        }
    }

    fn cut(&self) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for end in ends.drain(..) {
            let _closed = end.shutdown(Shutdown::Both);
        }
    }
}
