//! Delivers one part by tus 1.0: created once, resumed wherever it stopped, and removed here once its receipt is durable.
//!
//! It is what empties a full disk, so nothing of it waits for free space but what `Spare` keeps for it.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use evidence::{
    custody::event::StoredPart,
    digest::{Digest, DigestWriter},
    statement,
};

use super::{
    context::{Context, CourierError},
    disk::{self, DiskError, failed},
    http::{Answer, Client, HttpError},
    places::{self, Places},
    receipt,
    shelf::Waiting,
};
use crate::link::FromSpool;

/// What one request carries: so much is sent again at most when a line breaks.
const CHUNK_BYTES: u64 = 8 << 20;
/// A receipt holds one leaf, a proof and a checkpoint.
const RECEIPT_BYTES_MAX: usize = 2 << 20;
/// How often the offset may be asked for again without a step forward.
const STUMBLES_MAX: u32 = 5;

/// Why a part still waits.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undelivered {
    /// The server was not reached, or refuses it.
    #[error("the server did not take the part.")]
    Server(#[source] HttpError),
    /// What lies in the spool is not what was sealed.
    #[error(
        "{0} is not what was sealed. The disk may be failing; keep the file and have it looked at."
    )]
    Damaged(String),
    /// The courier's disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The courier ends.
    #[error("the courier ends")]
    Stopped,
}

/// What is sealed, by its statement.
struct Part<'w> {
    waiting: &'w Waiting,
    statement: Vec<u8>,
    stored: StoredPart,
}

/// Delivers `waiting` and removes its ciphertext.
pub(super) fn deliver(
    context: &Context,
    places: &mut Places,
    waiting: &Waiting,
) -> Result<(), Undelivered> {
    let part = read(waiting)?;
    match deliver_part(context, places, &part) {
        Err(_) if context.has_ended() => Err(Undelivered::Stopped),
        other => other,
    }
}

fn deliver_part(
    context: &Context,
    places: &mut Places,
    part: &Part<'_>,
) -> Result<(), Undelivered> {
    let waiting = part.waiting;
    let path = waiting.beside("receipt");
    if !path.exists() {
        send(context, places, part)?;
        fetch_receipt(context, part)?;
    }
    let receipt = disk::read_capped(&path, RECEIPT_BYTES_MAX as u64)?;
    let is_handed = hand_over(context, &receipt).is_ok();
    // In this order: a crash in between finds the receipt, and only removes.
    places.forget(waiting)?;
    disk::remove(&waiting.sealed())?;
    disk::sync_folder(waiting.folder())?;
    context.spare.fill();
    // Now there is room for it. A reader that never hears of it asks for the log's checkpoint by itself.
    if !is_handed && let Err(error) = hand_over(context, &receipt) {
        context.note("a receipt was not handed on", &error.to_text());
    }
    Ok(())
}

/// Reads the statement, and compares what it says with what lies there.
fn read(waiting: &Waiting) -> Result<Part<'_>, Undelivered> {
    let path = waiting.beside("statement.json");
    let damaged = || Undelivered::Damaged(path.display().to_string());
    let bytes = disk::read_capped(&path, statement::MAX_BYTES as u64)?;
    let (_, said) = statement::read_unverified(&bytes).map_err(|_| damaged())?;
    let stored = said.stored();
    let fits = said.collection == waiting.collection
        && said.part == waiting.part
        && stored.size_bytes == waiting.size_bytes;
    if !fits {
        return Err(damaged());
    }
    Ok(Part {
        waiting,
        statement: bytes,
        stored: StoredPart {
            collection: waiting.collection,
            part: waiting.part,
            stored_sha256: stored.sha256,
        },
    })
}

/// Brings every byte to the server.
fn send(context: &Context, places: &mut Places, part: &Part<'_>) -> Result<(), Undelivered> {
    let length_bytes = part.waiting.size_bytes;
    let path = part.waiting.sealed();
    let mut file = File::open(&path).map_err(failed("read", &path))?;
    let (mut place, mut offset_bytes) = resume(context, places, part)?;
    let mut stumbles = 0;
    while offset_bytes < length_bytes {
        if context.has_ended() {
            return Err(Undelivered::Stopped);
        }
        let client = context.client();
        let before = offset_bytes;
        match send_chunk(&client, &place, &mut file, offset_bytes, length_bytes)? {
            Step::At(offset) => {
                context.heard();
                offset_bytes = offset;
            }
            Step::Ask => (place, offset_bytes) = resume(context, places, part)?,
            Step::Refused(error) if error.status() == Some(422) => {
                return Err(refused_digest(places, part, error));
            }
            Step::Refused(error) => return Err(error.into()),
        }
        stumbles = if offset_bytes > before {
            0
        } else {
            stumbles + 1
        };
        if stumbles > STUMBLES_MAX {
            return Err(HttpError::Answer("the upload's offset does not move").into());
        }
    }
    Ok(())
}

/// What one request came to.
enum Step {
    /// The server has so many bytes.
    At(u64),
    /// Nobody knows how many: ask.
    Ask,
    /// It says no.
    Refused(HttpError),
}

fn send_chunk(
    client: &Client,
    place: &str,
    file: &mut File,
    offset_bytes: u64,
    length_bytes: u64,
) -> Result<Step, Undelivered> {
    let size_bytes = CHUNK_BYTES.min(length_bytes - offset_bytes);
    let disk = |e| Undelivered::Disk(failed("read", std::path::Path::new("the sealed part"))(e));
    let sum = checksum(file, offset_bytes, size_bytes).map_err(disk)?;
    file.seek(SeekFrom::Start(offset_bytes)).map_err(disk)?;
    let mut body = file.take(size_bytes);
    let headers = [
        ("tus-resumable", "1.0.0".to_owned()),
        ("content-type", "application/offset+octet-stream".to_owned()),
        ("upload-offset", offset_bytes.to_string()),
        (
            "upload-checksum",
            format!("sha256 {}", STANDARD.encode(sum.0)),
        ),
        // So that a refusal comes before the body, and is not lost behind it.
        ("expect", "100-continue".to_owned()),
    ];
    let sent = client.send_body("PATCH", place, &headers, &mut body, size_bytes);
    Ok(match sent {
        Ok(answer) if answer.number("upload-offset") == Some(offset_bytes + size_bytes) => {
            Step::At(offset_bytes + size_bytes)
        }
        Ok(_) => Step::Ask,
        // Another offset, another sum, gone, or expired: the server says where it stands, or that it must begin anew.
        Err(error) if matches!(error.status(), Some(404 | 409 | 410 | 460)) => Step::Ask,
        Err(error) => Step::Refused(error),
    })
}

fn checksum(file: &mut File, offset_bytes: u64, size_bytes: u64) -> io::Result<Digest> {
    file.seek(SeekFrom::Start(offset_bytes))?;
    let mut hash = DigestWriter::new(io::sink());
    let copied = copy(&mut file.take(size_bytes), &mut hash)?;
    if copied != size_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(hash.finish().1)
}

/// As `io::copy`, with larger steps.
fn copy(from: &mut dyn io::Read, to: &mut dyn io::Write) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut count = 0;
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(count);
        }
        to.write_all(&buffer[..length])?;
        count += length as u64;
    }
}

/// The upload's place, and how many bytes the server has: of the upload that was begun, or of a new one.
fn resume(
    context: &Context,
    places: &mut Places,
    part: &Part<'_>,
) -> Result<(String, u64), Undelivered> {
    if let Some(place) = places.of(part.waiting)
        && let Some(offset_bytes) = ask_offset(context, &place, part.waiting.size_bytes)?
    {
        return Ok((place, offset_bytes));
    }
    let (place, offset_bytes) = create(context, part)?;
    places.keep(context, part.waiting, &place);
    Ok((place, offset_bytes))
}

/// `None` when there is no such upload any more.
fn ask_offset(
    context: &Context,
    place: &str,
    length_bytes: u64,
) -> Result<Option<u64>, Undelivered> {
    let headers = [("tus-resumable", "1.0.0".to_owned())];
    match context.client().send("HEAD", place, &headers) {
        Ok(answer) => {
            context.heard();
            offset(&answer, length_bytes).map(Some)
        }
        Err(error) if matches!(error.status(), Some(404 | 410)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn offset(answer: &Answer, length_bytes: u64) -> Result<u64, Undelivered> {
    let offset = answer.number("upload-offset");
    offset
        .filter(|o| *o <= length_bytes)
        .ok_or_else(|| HttpError::Answer("an upload without a good offset").into())
}

fn create(context: &Context, part: &Part<'_>) -> Result<(String, u64), Undelivered> {
    let length_bytes = part.waiting.size_bytes;
    let headers = [
        ("tus-resumable", "1.0.0".to_owned()),
        ("upload-length", length_bytes.to_string()),
        ("upload-metadata", metadata(part)),
    ];
    let answer = context.client().send("POST", "/v1/parts", &headers)?;
    context.heard();
    let place = answer.header("location").and_then(places::plain);
    let place = place.ok_or(HttpError::Answer("an upload without a place"))?;
    match answer.header("upload-offset") {
        None => Ok((place, 0)),
        Some(_) => Ok((place, offset(&answer, length_bytes)?)),
    }
}

fn metadata(part: &Part<'_>) -> String {
    let stored = part.stored;
    [
        ("collection", stored.collection.to_string().into_bytes()),
        ("part", stored.part.to_string().into_bytes()),
        ("sha256", stored.stored_sha256.to_string().into_bytes()),
        ("statement", part.statement.clone()),
    ]
    .map(|(key, value)| format!("{key} {}", STANDARD.encode(value)))
    .join(",")
}

/// The server has another digest: either the file here has changed, or the way to the server changes bytes.
fn refused_digest(places: &mut Places, part: &Part<'_>, error: HttpError) -> Undelivered {
    let path = part.waiting.sealed();
    let sum = File::open(&path).and_then(|mut f| checksum(&mut f, 0, part.waiting.size_bytes));
    // A new upload is begun at the next try in any case.
    let _ = places.forget(part.waiting);
    match sum {
        Ok(sum) if sum == part.stored.stored_sha256 => error.into(),
        _ => Undelivered::Damaged(path.display().to_string()),
    }
}

/// Fetches the receipt and makes it durable beside the part.
fn fetch_receipt(context: &Context, part: &Part<'_>) -> Result<(), Undelivered> {
    let StoredPart {
        collection,
        part: number,
        stored_sha256,
    } = part.stored;
    let path = format!("/v1/parts/{collection}/{number}/{stored_sha256}/receipt");
    let answer = context.client().get(&path, RECEIPT_BYTES_MAX)?;
    context.heard();
    if !receipt::is_for(&answer.body, part.stored, part.waiting.size_bytes) {
        return Err(HttpError::Answer("a receipt for something else").into());
    }
    let path = part.waiting.beside("receipt");
    Ok(context.spare.write_durable(&path, &answer.body)?)
}

/// The reader holds the policy, and so the log's key: it is who looks whether the log goes on as it was.
fn hand_over(context: &Context, receipt: &[u8]) -> Result<(), DiskError> {
    match context.hand_over(&FromSpool::Receipt {}, receipt) {
        Err(CourierError::Disk(error)) => Err(error),
        // A reader that is gone ends the courier elsewhere; it asks for the log's checkpoint when it is back.
        Ok(()) | Err(_) => Ok(()),
    }
}
