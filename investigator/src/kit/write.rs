//! The kit's folder: programs, documents, key, instruction, and a signature over all of it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::{Context as _, ensure};
use evidence::{
    digest::{Digest, DigestWriter},
    envelope::{self, Envelope},
    instant::Instant,
};
use protocol::{
    kit::{Kit, layout},
    order::Order,
    target::TargetList,
    version::VERSION,
};

use super::{
    pages::{self, Facts},
    programs::Program,
    waiting::Waiting,
};
use crate::{fetch, private, session::Session};

/// What goes into a kit.
pub struct Contents<'k> {
    /// The order.
    pub order: &'k Order,
    /// Its envelope, with all signatures.
    pub envelope: &'k Envelope,
    /// Key, certificate, receipt.
    pub waiting: &'k Waiting,
    /// The agent's programs.
    pub programs: &'k [Program],
}

/// Writes the kit into `folder`; gives the digest of its SHA256SUMS, by which people know it again.
///
/// # Errors
/// A kit is there already, or the medium fails.
pub fn write(session: &Session, contents: &Contents<'_>, folder: &Path) -> anyhow::Result<Digest> {
    ensure!(
        !folder.join(layout::KIT).exists(),
        "A kit is in {} already. Choose another folder: what it has collected must not be mixed up.",
        folder.display()
    );
    let mut writer = Writer {
        folder,
        sums: BTreeMap::new(),
    };
    for program in contents.programs {
        writer.copy(&layout::agent(program.os, program.arch), &program.path)?;
    }
    documents(session, contents, &mut writer)?;
    let facts = Facts::of(contents);
    for (name, text) in pages::all(&facts, contents.programs)? {
        writer.put(name, text.as_bytes())?;
    }
    let sums: String = (writer.sums.iter())
        .map(|(name, digest)| format!("{digest}  {name}\n"))
        .collect();
    let sums_sha256 = Digest::of(sums.as_bytes());
    writer.put(layout::SUMS, sums.as_bytes())?;
    let kit = kit(session, contents, sums_sha256);
    let signed = Envelope::sign_document(envelope::KIT, &kit, &session.unlock()?)?;
    writer.put(layout::KIT, &signed.to_json()?)?;
    private::create_folder(&folder.join(layout::EVIDENCE))?;
    writer.read_back()?;
    Ok(sums_sha256)
}

fn kit(session: &Session, contents: &Contents<'_>, sums_sha256: Digest) -> Kit {
    let waiting = contents.waiting;
    Kit {
        v: VERSION,
        id: waiting.kit,
        agent: waiting.agent,
        deployment: contents.order.deployment.clone(),
        order_sha256: contents.envelope.digest(),
        builder: session.me.id.clone(),
        built: Instant::now(),
        seal_chain: waiting.seal_chain.clone(),
        certified: waiting.certified.clone(),
        intake: waiting.intake.clone(),
        sums_sha256,
    }
}

fn documents(
    session: &Session,
    contents: &Contents<'_>,
    writer: &mut Writer<'_>,
) -> anyhow::Result<()> {
    let waiting = contents.waiting;
    let proof = TargetList::new([waiting.agent]).prove(&waiting.agent);
    let proof = proof.context("The order is not for the kit.")?;
    let root = session
        .believed
        .roots
        .last()
        .context("No root document is known here.")?;
    writer.put(layout::ROOT, root.as_bytes())?;
    let certificate = fs::read(&session.home.settings()?.root_certificate)?;
    writer.put(layout::ROOT_CERTIFICATE, &certificate)?;
    writer.put(layout::POLICY, &session.believed.policy_envelope.to_json()?)?;
    writer.put(layout::ORDER, &contents.envelope.to_json()?)?;
    writer.put(layout::TARGET, &serde_json::to_vec(&proof)?)?;
    writer.put(layout::SEAL_KEY, waiting.key_pem.as_bytes())
}

/// Writes files, and remembers what was written.
struct Writer<'f> {
    folder: &'f Path,
    sums: BTreeMap<String, Digest>,
}

impl Writer<'_> {
    fn put(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.fill(name, &mut &bytes[..])
    }

    fn copy(&mut self, name: &str, from: &Path) -> anyhow::Result<()> {
        let mut from =
            File::open(from).with_context(|| format!("{} can't be read.", from.display()))?;
        self.fill(name, &mut from)?;
        may_run(&self.folder.join(name))
    }

    fn fill(&mut self, name: &str, from: &mut dyn io::Read) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        let digest = fill(&path, from).with_context(|| {
            let shown = path.display();
            format!("{shown} can't be written. Make room, or take another medium.")
        })?;
        self.sums.insert(name.to_owned(), digest);
        Ok(())
    }

    /// What the medium gives back is what was written.
    fn read_back(&self) -> anyhow::Result<()> {
        for (name, digest) in &self.sums {
            let (read, _) = fetch::digest_of(&self.folder.join(name))?;
            ensure!(
                read == *digest,
                "{name} does not come back as it was written. The medium is failing; take another one."
            );
        }
        Ok(())
    }
}

fn fill(path: &Path, from: &mut dyn io::Read) -> io::Result<Digest> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut to = DigestWriter::new(private::new_file(path)?);
    io::copy(from, &mut to)?;
    let (file, digest, _) = to.finish();
    file.sync_all()?;
    Ok(digest)
}

/// On a file system that knows who may run what.
fn may_run(path: &Path) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // FAT and its kin take it by the way they are mounted.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
