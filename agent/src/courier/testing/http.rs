//! The little of HTTP/1.1 that the test server speaks.

use std::io::{self, BufRead, Write};

/// A request's head; its body is still to be read.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// The next request; none at the end of the connection.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut head = Self {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            headers: Vec::new(),
        };
        loop {
            line.clear();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let Some((name, value)) = line.split_once(':') else {
                return Ok(Some(head));
            };
            let name = name.to_ascii_lowercase();
            head.headers.push((name, value.trim().to_owned()));
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.header(name)?.parse().ok()
    }

    /// Asks for the body where the client waits for that, and reads at most `most` bytes of it.
    pub(super) fn body<S: BufRead + Write>(
        &self,
        stream: &mut S,
        most: usize,
    ) -> io::Result<Vec<u8>> {
        if self.header("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            stream.flush()?;
        }
        let length = self.number("content-length").unwrap_or(0).min(most);
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok(body)
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub(in crate::courier) struct Said {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Said {
    pub(super) fn of(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(super) fn json(message: &impl serde::Serialize) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: serde_json::to_vec(message).unwrap(),
        }
    }

    pub(super) fn write(&self, to: &mut impl Write, is_head: bool) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {} x\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            text.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        to.write_all(text.as_bytes())?;
        if !is_head {
            to.write_all(&self.body)?;
        }
        to.flush()
    }
}
