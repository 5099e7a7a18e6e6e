//! What lies beside a kit's parts: the record of the use, closed to all but intake and vault, and its custody leaf.
//!
//! Both are durable before anything is gathered, so that no part ever lies there without them.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use evidence::{
    custody::event::{Action, Event},
    digest::Digest,
    envelope::{self, Envelope, EnvelopeError},
    field::Field,
    ids::{CollectionId, HostId},
    instant::Instant,
    records::HostIdentity,
    wrap::{self, Recipient, WrapError},
};
use protocol::{
    kit::{KitUse, layout},
    name::NotAName,
    version::VERSION,
};

use super::folder::Opened;
use crate::{host, platform::private, reader::seal::Seal};

/// The record can't be written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The stick failed.
    #[error(
        "{path} can't be written: {source}. Check the stick's free space and that it is not write-protected."
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It can't be signed.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It can't be encrypted.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// The system has a name that is none.
    #[error(transparent)]
    Name(#[from] NotAName),
}

/// What is written of one use.
pub struct Use<'k> {
    /// The kit.
    pub kit: &'k Opened,
    /// Its seal.
    pub seal: &'k Seal,
    /// What is collected.
    pub collection: CollectionId,
    /// Digest of the order's payload.
    pub order_sha256: Digest,
    /// The host.
    pub host: &'k HostIdentity,
    /// What the person said.
    pub field: &'k Field,
}

impl Use<'_> {
    /// Writes both files into the collection's folder, which is made.
    ///
    /// # Errors
    /// The stick failed, or the system is out of what signing needs.
    pub fn write(&self, now: Instant) -> Result<(), RecordError> {
        let folder = self.kit.evidence().join(self.collection.to_string());
        let failed = |source| RecordError::File {
            path: folder.clone(),
            source,
        };
        match private::folder().create(self.kit.evidence()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error))?,
            _ => {}
        }
        private::folder().create(&folder).map_err(failed)?;
        let document = KitUse {
            v: VERSION,
            kit: self.kit.kit.id,
            agent: self.seal.agent(),
            collection: self.collection,
            order_sha256: self.order_sha256,
            host: host::facts(self.host, host_id(self.host))?,
            host_time: now,
            field: self.field.clone(),
        };
        let key = self.seal.key();
        let envelope = Envelope::sign_document(envelope::KIT_USE, &document, key)?;
        let mut recipients: Vec<Recipient> = self.kit.order.recipients.clone();
        if !recipients.contains(&self.kit.kit.intake) {
            recipients.push(self.kit.kit.intake.clone());
        }
        let closed = wrap::wrap(&recipients, &envelope.to_json()?)?;
        keep(&folder, layout::USE, &closed)?;
        let leaf = Action::KitUsed {
            agent: self.seal.agent(),
            kit: self.kit.kit.id,
            collection: self.collection,
            order_sha256: self.order_sha256,
            use_sha256: envelope.digest(),
            key: key.public(),
        };
        let leaf = Event::sign(leaf, now, key)?.to_json()?;
        keep(&folder, layout::USED, &leaf)?;
        // With it the parts prove themselves to whoever has the stick alone.
        keep(
            &folder,
            layout::CERTIFIED,
            self.kit.kit.certified.as_bytes(),
        )?;
        private::sync_folder(&folder).map_err(failed)
    }
}

fn keep(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), RecordError> {
    let path = folder.join(name);
    let written = private::file()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file: File| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|source| RecordError::File { path, source })
}

/// The host's id is made of its machine id, so that the same host is known again. Without one, its name and hardware
/// must do.
fn host_id(host: &HostIdentity) -> HostId {
    let known = match &host.machine_id {
        Some(id) => format!("machine {id}"),
        None => format!("named {} {:?}", host.hostname, host.hardware),
    };
    let digest = Digest::of(known.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.0[..16]);
    HostId::from_bytes(bytes)
}
