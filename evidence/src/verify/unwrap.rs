//! The file of a part as it lies there: its digest, and what is inside its encryption.

use std::io::{self, Read, Seek, SeekFrom};

use super::{
    part::{Options, PartReport},
    verdict::Code,
};
use crate::{
    digest::{Digest, DigestWriter},
    wrap::{self, Stanzas, UnwrapReader, WrapError},
};

/// Whether it is an encrypted part.
pub(super) fn is_wrapped<R: Read + Seek>(part: &mut R) -> io::Result<bool> {
    part.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    part.by_ref().take(64).read_to_end(&mut head)?;
    Ok(wrap::is_wrapped(&head))
}

/// Digest and length of the file.
pub(super) fn digest_of<R: Read + Seek>(part: &mut R) -> io::Result<(Digest, u64)> {
    part.seek(SeekFrom::Start(0))?;
    let mut digest = DigestWriter::new(io::sink());
    io::copy(part, &mut digest)?;
    let (_, sha256, size_bytes) = digest.finish();
    Ok((sha256, size_bytes))
}

/// Whom the head of an encrypted part is for.
pub(super) fn stanzas_of<R: Read + Seek>(part: &mut R) -> io::Result<Option<Stanzas>> {
    part.seek(SeekFrom::Start(0))?;
    wrap::stanzas(part)
}

/// Decrypts the whole part once, which proves every piece of it, for its digest and length.
pub(super) fn prove<R: Read + Seek>(
    part: &mut R,
    options: &Options,
    report: &mut PartReport,
) -> io::Result<Option<(Digest, u64)>> {
    let file = report.file.clone();
    if options.identities.is_empty() {
        let text = "No key was given. Give one with --identity to check the contents.";
        report.findings.add(Code::ContentUnread, file, text);
        report.not_checked.push(
            "what the encrypted part holds: its files, its seal, its records and gaps".into(),
        );
        return Ok(None);
    }
    let mut plain = match UnwrapReader::new(&options.identities, part) {
        Ok(plain) => plain.take(options.limits.plain_bytes.saturating_add(1)),
        Err(WrapError::Read(error)) => return Err(error),
        Err(WrapError::NoMatchingKey) => {
            report
                .findings
                .add(Code::IdentityWrong, file, WrapError::NoMatchingKey);
            report
                .not_checked
                .push("what the encrypted part holds".into());
            return Ok(None);
        }
        Err(error) => {
            report.findings.add(Code::DecryptFailed, file, error);
            return Ok(None);
        }
    };
    let mut digest = DigestWriter::new(io::sink());
    match io::copy(&mut plain, &mut digest) {
        Ok(size) if size > options.limits.plain_bytes => {
            let text = "The decrypted part is larger than a part may be.";
            report.findings.add(Code::Limit, file, text);
            Ok(None)
        }
        Ok(_) => {
            let (_, sha256, size_bytes) = digest.finish();
            Ok(Some((sha256, size_bytes)))
        }
        Err(error) => {
            report.findings.add(Code::DecryptFailed, file, error);
            Ok(None)
        }
    }
}
