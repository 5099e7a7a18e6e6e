//! As much of HTTP as a browser needs to look at pages of the console.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use anyhow::{Context as _, ensure};

/// A browser that has come in.
pub(super) struct Http {
    host: String,
    cookie: String,
}

impl Http {
    /// Comes in by the address that counts once.
    ///
    /// # Errors
    /// The console lets nobody in.
    pub(super) fn enter(url: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").context("no address")?;
        let (host, path) = rest.split_once('/').context("no address")?;
        let mut http = Self {
            host: host.to_owned(),
            cookie: String::new(),
        };
        let answer = http.ask(&format!("/{path}"))?;
        let cookie = answer.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let first = value.split(';').next()?;
            name.eq_ignore_ascii_case("set-cookie")
                .then(|| first.to_owned())
        });
        http.cookie = cookie.context("the console sets no cookie")?;
        Ok(http)
    }

    /// A page, with its head.
    ///
    /// # Errors
    /// It is not served.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.ask(path)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        Ok(answer)
    }

    fn ask(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.host)?;
        let (host, cookie) = (&self.host, &self.cookie);
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
