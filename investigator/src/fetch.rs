//! Downloads a collection: every part with what proves it, each file whole or absent under its name.
//!
//! A part that was cut off goes on where it stopped; its digest is checked before it gets its name.
//! Files that are there are never overwritten.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use data_encoding::BASE64;
use evidence::{
    digest::{Digest, DigestWriter},
    ids::{CollectionId, OrderId},
    statement,
    verify::Paper,
    wrap,
};
use protocol::messages::{CollectionRow, PartFrame, PartRow};

use crate::{
    commands::files,
    private,
    remote::{Beside, Download, Remote, RemoteError},
    stream::{self, Framed},
};

/// How often a part is asked for again when its body breaks off without any progress.
const FRUITLESS_TRIES: u32 = 5;

const WRONG_DIGEST: &str = "What the server sent has not the digest that was sealed. Fetch again; tell its operator if it stays so.";

/// Where parts come from: the server, or a script in tests.
pub trait Source {
    /// A part from byte `from` on.
    ///
    /// # Errors
    /// The server's.
    fn part(
        &self,
        collection: CollectionId,
        part: &PartRow,
        from: u64,
    ) -> Result<Download, RemoteError>;

    /// A file beside it.
    ///
    /// # Errors
    /// The server's.
    fn beside(
        &self,
        collection: CollectionId,
        part: &PartRow,
        which: Beside,
    ) -> Result<Vec<u8>, RemoteError>;
}

impl Source for crate::remote::Remote {
    fn part(
        &self,
        collection: CollectionId,
        part: &PartRow,
        from: u64,
    ) -> Result<Download, RemoteError> {
        Self::part(self, collection, part.part, part.stored_sha256, from)
    }

    fn beside(
        &self,
        collection: CollectionId,
        part: &PartRow,
        which: Beside,
    ) -> Result<Vec<u8>, RemoteError> {
        Self::beside(self, collection, part.part, part.stored_sha256, which)
    }
}

/// What became of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It was downloaded, or its rest was.
    New,
    /// It was there already.
    Kept,
    /// The server has deleted it by a retention rule; what proves it was fetched.
    Expired,
}

/// The parts of one order on their way into a folder, each taken once however often one looks.
#[derive(Debug)]
pub struct Arriving<'o> {
    order: OrderId,
    output: &'o Path,
    cursor: u64,
    rows: BTreeMap<CollectionId, CollectionRow>,
}

impl<'o> Arriving<'o> {
    /// From the order's first part on, each collection into a folder of its own below `output`.
    pub const fn new(order: OrderId, output: &'o Path) -> Self {
        Self {
            order,
            output,
            cursor: 0,
            rows: BTreeMap::new(),
        }
    }

    /// Fetches what is new; `say` hears of each part.
    ///
    /// # Errors
    /// As for [`collection`].
    pub fn look(
        &mut self,
        remote: &Remote,
        say: &mut dyn FnMut(&PartRow, CollectionId, Fetched) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (order, output, rows) = (self.order, self.output, &mut self.rows);
        self.cursor = stream::each(
            remote,
            order,
            self.cursor,
            &mut |Framed { head, content }| {
                let part = head.part.clone();
                let new = || row_of(order, &head);
                let row = rows.entry(head.collection).or_insert_with(new);
                row.complete = head.complete;
                row.parts.push(part.clone());
                let folder = prepare(row, output)?;
                let fetched = streamed(remote, head, content, &folder).with_context(|| {
                    format!("Part {} of {} was not fetched.", part.part, row.collection)
                })?;
                say(&part, row.collection, fetched)
            },
        )?;
        Ok(())
    }

    /// What came so far, a row a collection.
    pub fn rows(&self) -> impl Iterator<Item = &CollectionRow> {
        self.rows.values()
    }
}

/// A collection as the first of its parts tells of it.
fn row_of(order: OrderId, head: &PartFrame) -> CollectionRow {
    CollectionRow {
        collection: head.collection,
        agent: head.agent,
        hostname: head.hostname.clone(),
        order: Some(order),
        case: None,
        complete: false,
        parts: Vec::new(),
        enrolment: head.enrolment.clone(),
        revocation: head.revocation.clone(),
        held: false,
        expired: head.expired.clone(),
    }
}

/// A part that came in the stream, or whose content is still to be asked for.
fn streamed(
    source: &dyn Source,
    head: PartFrame,
    content: Option<Vec<u8>>,
    folder: &Path,
) -> anyhow::Result<Fetched> {
    let tsr = head
        .tsr
        .map(|tsr| BASE64.decode(tsr.as_bytes()))
        .transpose();
    let papers = Papers {
        statement: head.statement.into_bytes(),
        receipt: head.receipt.into_bytes(),
        tsr: tsr.context("The time stamp that the server gave is no base64.")?,
    };
    if head.expired.is_some() {
        return keep_papers(head.collection, &head.part, &papers, folder).map(|_| Fetched::Expired);
    }
    keep_part(source, head.collection, &head.part, papers, content, folder)
}

/// Where the parts of a collection lie below `output`.
#[must_use]
pub fn folder_of(output: &Path, collection: CollectionId) -> PathBuf {
    output.join(collection.to_string())
}

/// Makes the collection's folder, with the receipts of its agent.
fn prepare(row: &CollectionRow, output: &Path) -> anyhow::Result<PathBuf> {
    let folder = folder_of(output, row.collection);
    private::create_folder(&folder).with_context(|| {
        format!(
            "{} can't be made. Choose another --output.",
            folder.display()
        )
    })?;
    keep_each(&folder, files::ENROLMENT, row.enrolment.as_bytes())?;
    if let Some(revocation) = &row.revocation {
        keep_each(&folder, files::REVOCATION, revocation.as_bytes())?;
    }
    for receipt in row.expired.iter().flat_map(|expired| &expired.receipts) {
        keep_each(&folder, files::EXPIRY, receipt.as_bytes())?;
    }
    Ok(folder)
}

/// Fetches `row` into a folder of its own below `output`; `say` hears of each part.
///
/// # Errors
/// The server or the disk fails, a digest is wrong, or another file has the name.
pub fn collection(
    source: &dyn Source,
    row: &CollectionRow,
    output: &Path,
    say: &mut dyn FnMut(&PartRow, Fetched) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let folder = prepare(row, output)?;
    for part in &row.parts {
        let fetched = one_part(source, row, part, &folder).with_context(|| {
            format!("Part {} of {} was not fetched.", part.part, row.collection)
        })?;
        say(part, fetched)?;
    }
    Ok(folder)
}

fn one_part(
    source: &dyn Source,
    row: &CollectionRow,
    part: &PartRow,
    folder: &Path,
) -> anyhow::Result<Fetched> {
    let collection = row.collection;
    let beside = |which| source.beside(collection, part, which);
    let papers = Papers {
        statement: beside(Beside::Statement)?,
        receipt: beside(Beside::Receipt)?,
        tsr: part.has_tsr.then(|| beside(Beside::Tsr)).transpose()?,
    };
    if row.expired.is_some() {
        return keep_papers(collection, part, &papers, folder).map(|_| Fetched::Expired);
    }
    keep_part(source, collection, part, papers, None, folder)
}

/// What lies beside a part.
struct Papers {
    statement: Vec<u8>,
    receipt: Vec<u8>,
    tsr: Option<Vec<u8>>,
}

fn stem(part: &PartRow) -> String {
    format!("part-{:04}", part.part)
}

/// Writes what lies beside a part, and says how the part's own name ends.
fn keep_papers(
    collection: CollectionId,
    part: &PartRow,
    papers: &Papers,
    folder: &Path,
) -> anyhow::Result<&'static str> {
    let stem = stem(part);
    let ending = check_statement(&papers.statement, collection, part)?;
    let statement = folder.join(format!("{stem}.statement.json"));
    keep_same(&statement, &papers.statement)?;
    keep(&folder.join(format!("{stem}.receipt")), &papers.receipt)?;
    if let Some(tsr) = &papers.tsr {
        keep(&folder.join(format!("{stem}.tsr")), tsr)?;
    }
    Ok(ending)
}

/// Writes a part and what lies beside it; the part itself is asked for where it has not come along.
fn keep_part(
    source: &dyn Source,
    collection: CollectionId,
    part: &PartRow,
    papers: Papers,
    content: Option<Vec<u8>>,
    folder: &Path,
) -> anyhow::Result<Fetched> {
    let stem = stem(part);
    let ending = keep_papers(collection, part, &papers, folder)?;
    // The part comes last: where it is, the rest is.
    let target = folder.join(format!("{stem}{ending}"));
    if target.exists() {
        let (found, _) = digest_of(&target)?;
        ensure!(
            found == part.stored_sha256,
            "{} is not what the server has. Move it away and fetch again.",
            target.display()
        );
        return Ok(Fetched::Kept);
    }
    if let Some(content) = content {
        ensure!(Digest::of(&content) == part.stored_sha256, WRONG_DIGEST);
        private::replace(&target, &content)
            .with_context(|| format!("{} can't be written. Make room.", target.display()))?;
        return Ok(Fetched::New);
    }
    let unfinished = folder.join(format!(".{stem}-{}.unfinished", part.stored_sha256));
    download(source, collection, part, &unfinished)?;
    fs::rename(&unfinished, &target)?;
    private::sync_folder_of(&target)?;
    Ok(Fetched::New)
}

/// The statement must speak of this very file; who signed it is for `fieldseal verify`.
fn check_statement(
    json: &[u8],
    collection: CollectionId,
    part: &PartRow,
) -> anyhow::Result<&'static str> {
    let (_, said) = statement::read_unverified(json)?;
    let stored = said.stored();
    ensure!(
        said.collection == collection
            && said.part == part.part
            && stored.sha256 == part.stored_sha256
            && stored.size_bytes == part.size_bytes,
        "The statement that the server gave speaks of another part. Tell its operator."
    );
    Ok(if said.wrapping.kind == wrap::NONE {
        ".zip"
    } else {
        ".zip.age"
    })
}

/// Writes the whole part to `path`, going on with what is there.
fn download(
    source: &dyn Source,
    collection: CollectionId,
    part: &PartRow,
    path: &Path,
) -> anyhow::Result<()> {
    let mut fruitless = 0;
    loop {
        let have = fs::metadata(path).map_or(0, |m| m.len());
        if have == part.size_bytes && path.exists() {
            break;
        }
        if have > part.size_bytes {
            fs::remove_file(path)?;
            continue;
        }
        let outcome = more(source, collection, part, path, have);
        let gained = fs::metadata(path).map_or(0, |m| m.len()) > have;
        match outcome {
            Ok(()) => {}
            Err(error) if is_passing(&error) && (gained || fruitless < FRUITLESS_TRIES) => {}
            Err(error) => return Err(error),
        }
        fruitless = if gained { 0 } else { fruitless + 1 };
        if fruitless > FRUITLESS_TRIES {
            bail!("The server sends nothing of it. Try again later: what is here is kept.");
        }
    }
    let (found, _) = digest_of(path)?;
    if found != part.stored_sha256 {
        fs::remove_file(path)?;
        bail!(WRONG_DIGEST);
    }
    Ok(())
}

/// Whether asking again may help: the network's fault, not the server's answer nor the disk's.
fn is_passing(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<RemoteError>() {
        Some(remote) => !remote.is_permanent(),
        None => error.downcast_ref::<BrokenBody>().is_some(),
    }
}

/// The body of an answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("the connection broke while a part came. Fetch again: it goes on from here.")]
struct BrokenBody(#[source] io::Error);

/// One answer's worth.
fn more(
    source: &dyn Source,
    collection: CollectionId,
    part: &PartRow,
    path: &Path,
    have: u64,
) -> anyhow::Result<()> {
    let mut got = source.part(collection, part, have)?;
    let mut file =
        open_at(path, got.from).with_context(|| format!("{} can't be written.", path.display()))?;
    let mut left = part.size_bytes.saturating_sub(got.from);
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = got.body.read(&mut buffer[..most]).map_err(BrokenBody)?;
        if read == 0 {
            return Err(BrokenBody(io::ErrorKind::UnexpectedEof.into()).into());
        }
        file.write_all(&buffer[..read])
            .with_context(|| format!("{} can't be written. Make room.", path.display()))?;
        left -= read as u64;
    }
    Ok(file.sync_all()?)
}

/// The file, cut at `from`, ready for more.
fn open_at(path: &Path, from: u64) -> io::Result<File> {
    if !path.exists() {
        private::create(path, b"")?;
    }
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(from)?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(from))?;
    Ok(file)
}

/// Digest and size in bytes of the file at `path`.
///
/// # Errors
/// It can't be read.
pub fn digest_of(path: &Path) -> anyhow::Result<(Digest, u64)> {
    let shown = || format!("{} can't be read.", path.display());
    let file = File::open(path).with_context(shown)?;
    let mut hash = DigestWriter::new(io::sink());
    io::copy(&mut BufReader::with_capacity(1 << 17, file), &mut hash).with_context(shown)?;
    let (_, digest, size) = hash.finish();
    Ok((digest, size))
}

/// Writes a small file once. Receipts and stamps may be made anew at the server: the first that came stays.
fn keep(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    private::replace(path, bytes).with_context(|| format!("{} can't be written.", path.display()))
}

/// Writes a receipt of the collection beside those of its kind that came before: a later one, of another leaf, takes
/// nothing back. One of the same leaf, under a newer checkpoint, says nothing new.
fn keep_each(folder: &Path, kind: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let first = folder.join(format!("{kind}.receipt"));
    let held = files::papers(&first, kind)?;
    let leaf = leaf_of(bytes);
    let is_held =
        |paper: &Paper| paper.bytes == bytes || (leaf.is_some() && leaf_of(&paper.bytes) == leaf);
    if held.iter().any(is_held) {
        return Ok(());
    }
    let further = (2..).map(|number: u32| folder.join(format!("{kind}-{number}.receipt")));
    let mut names = std::iter::once(first).chain(further);
    let free = names.find(|path| path.symlink_metadata().is_err());
    let free = free.context("There is no free name.")?;
    private::replace(&free, bytes).with_context(|| format!("{} can't be written.", free.display()))
}

/// The leaf that a receipt claims to prove, as text; whether it does is for `fieldseal verify`.
fn leaf_of(receipt: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(receipt).ok()?;
    Some(json.get("leaf_b64")?.as_str()?.to_owned())
}

/// Writes a file that can't change: one that is there must be the same.
fn keep_same(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    keep(path, bytes)?;
    let there = files::read(path, bytes.len() as u64 + 1);
    ensure!(
        there.is_ok_and(|there| there == bytes),
        "{} is not what the server has. Move it away and fetch again.",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests;
