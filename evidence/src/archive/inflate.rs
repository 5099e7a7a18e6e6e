//! The plain bytes of one entry, streamed, never more than announced, checked to the end.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::{directory::Entry, fault::FaultCode};

const BUFFER_BYTES: usize = 1 << 16;

/// Reads an entry's plain bytes from its compressed ones.
///
/// It ends with `Ok(0)` only where length, CRC-32 and compressed length all hold.
pub(super) struct PlainReader<R> {
    source: R,
    source_left: u64,
    buffer: Vec<u8>,
    at: usize,
    inflate: Option<Decompress>,
    ended: bool,
    expected_bytes: u64,
    expected_crc: u32,
    produced_bytes: u64,
    crc: crc32fast::Hasher,
    fault: Option<(FaultCode, &'static str)>,
    disk_error: Option<io::Error>,
}

impl<R: Read> PlainReader<R> {
    /// `source` stands at the entry's first data byte.
    pub(super) fn new(source: R, entry: &Entry) -> Self {
        Self {
            source,
            source_left: entry.compressed_bytes,
            buffer: Vec::new(),
            at: 0,
            inflate: (entry.method == 8).then(|| Decompress::new(false)),
            ended: false,
            expected_bytes: entry.size_bytes,
            expected_crc: entry.crc32,
            produced_bytes: 0,
            crc: crc32fast::Hasher::new(),
            fault: None,
            disk_error: None,
        }
    }

    /// What was wrong with the entry, or with the disk that it lies on.
    pub(super) fn into_outcome(self) -> io::Result<Option<(FaultCode, &'static str)>> {
        self.disk_error.map_or(Ok(self.fault), Err)
    }

    /// Whether a read failed.
    pub(super) fn failed(&self) -> bool {
        self.fault.is_some() || self.disk_error.is_some()
    }

    fn fail(&mut self, code: FaultCode, detail: &'static str) -> io::Error {
        self.fault.get_or_insert((code, detail));
        io::Error::new(io::ErrorKind::InvalidData, detail)
    }

    /// Fills the buffer where it is empty; false at the end of the entry's data.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at < self.buffer.len() {
            return Ok(true);
        }
        self.at = 0;
        self.buffer.resize(BUFFER_BYTES, 0);
        let want =
            usize::try_from(self.source_left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
        let got = loop {
            match self.source.read(&mut self.buffer[..want]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(*got.as_ref().unwrap_or(&0));
        match got {
            Ok(0) if want > 0 => {
                Err(self.fail(FaultCode::Size, "the archive ends inside the entry"))
            }
            Ok(got) => {
                self.source_left -= got as u64;
                Ok(got > 0)
            }
            Err(error) => {
                let told = io::Error::new(error.kind(), "the archive can't be read");
                self.disk_error.get_or_insert(error);
                Err(told)
            }
        }
    }

    fn stored(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.fill()? {
            self.ended = true;
            return Ok(0);
        }
        let got = out.len().min(self.buffer.len() - self.at);
        out[..got].copy_from_slice(&self.buffer[self.at..self.at + got]);
        self.at += got;
        Ok(got)
    }

    fn inflated(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.ended {
            let more = self.fill()?;
            let Some(inflate) = &mut self.inflate else {
                break;
            };
            let (read, written) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(&self.buffer[self.at..], out, FlushDecompress::None);
            let read = (inflate.total_in() - read) as usize;
            let written = (inflate.total_out() - written) as usize;
            self.at += read;
            match status {
                Err(_) => return Err(self.fail(FaultCode::Deflate, "the contents don't inflate")),
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(_) if !more && written == 0 => {
                    return Err(self.fail(
                        FaultCode::Deflate,
                        "the contents end before their deflate stream",
                    ));
                }
                Ok(_) if read == 0 && written == 0 => {
                    return Err(
                        self.fail(FaultCode::Deflate, "the contents don't inflate any further")
                    );
                }
                Ok(_) => {}
            }
            if written > 0 {
                return Ok(written);
            }
        }
        Ok(0)
    }

    fn check_end(&mut self) -> io::Result<usize> {
        if self.source_left > 0 || self.at < self.buffer.len() {
            return Err(self.fail(FaultCode::Size, "bytes are left after the contents"));
        }
        if self.produced_bytes != self.expected_bytes {
            return Err(self.fail(FaultCode::Size, "the contents are shorter than announced"));
        }
        if self.crc.clone().finalize() != self.expected_crc {
            return Err(self.fail(FaultCode::Crc, "the contents don't match their CRC-32"));
        }
        Ok(0)
    }
}

impl<R: Read> Read for PlainReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some((_, detail)) = self.fault {
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        if out.is_empty() {
            return Ok(0);
        }
        // One byte more than announced is enough to know that it is too long.
        let room = (self.expected_bytes - self.produced_bytes).saturating_add(1);
        let room = usize::try_from(room).map_or(out.len(), |room| room.min(out.len()));
        let got = match self.inflate {
            Some(_) => self.inflated(&mut out[..room])?,
            None => self.stored(&mut out[..room])?,
        };
        if got == 0 {
            return self.check_end();
        }
        if self.expected_bytes - self.produced_bytes < got as u64 {
            return Err(self.fail(FaultCode::Size, "the contents are longer than announced"));
        }
        self.produced_bytes += got as u64;
        self.crc.update(&out[..got]);
        Ok(got)
    }
}
