//! Files that hold a policy or a root: drafts as plain JSON, and signed ones.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use evidence::{
    envelope::{self, Envelope, parse_strict},
    keys::PublicKey,
};
use protocol::{
    policy::Policy,
    root::Root,
    version::{self, VERSION},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{commands::files, exit::OrMisuse as _, private};

/// No such file is longer.
const MOST_BYTES: u64 = envelope::MAX_BYTES as u64;

/// What root keys sign.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// A policy.
    Policy(Policy),
    /// A root document.
    Root(Root),
}

/// A file of it; signed or not.
#[derive(Debug)]
pub struct Paper {
    /// What it says.
    pub document: Document,
    /// The signatures, where there are any. They are not judged yet.
    pub envelope: Option<Envelope>,
}

/// Reads a draft, or a signed document, without asking who signed.
///
/// # Errors
/// It is neither; a mistake of the command line where there is no such file.
pub fn read(path: &Path) -> anyhow::Result<Paper> {
    let bytes = files::read(path, MOST_BYTES).or_misuse()?;
    parse(&bytes).with_context(|| {
        let shown = path.display();
        format!("{shown} is no policy and no root, signed or not. Make one with `fieldseal policy draft`.")
    })
}

fn parse(bytes: &[u8]) -> anyhow::Result<Paper> {
    let json: Value = parse_strict(bytes)?;
    if json.get("payloadType").is_some() {
        let envelope = Envelope::parse(bytes)?;
        let document = match envelope.payload_type() {
            envelope::POLICY => {
                Document::Policy(version::read(&envelope, envelope::POLICY, "policy")?)
            }
            envelope::ROOT => {
                Document::Root(version::read(&envelope, envelope::ROOT, "root document")?)
            }
            _ => bail!("it is a signed document of another kind"),
        };
        return Ok(Paper {
            document,
            envelope: Some(envelope),
        });
    }
    let document = match json.get("people").is_some() {
        true => Document::Policy(unsigned(bytes, &json, "policy")?),
        false => Document::Root(unsigned(bytes, &json, "root document")?),
    };
    Ok(Paper {
        document,
        envelope: None,
    })
}

fn unsigned<T: DeserializeOwned>(bytes: &[u8], json: &Value, kind: &str) -> anyhow::Result<T> {
    let v = json.get("v").and_then(Value::as_u64);
    ensure!(
        v == Some(VERSION),
        "the field `v` of the {kind} must be {VERSION}"
    );
    Ok(parse_strict(bytes)?)
}

/// Reads a policy, and says whether it is signed.
///
/// # Errors
/// It is none.
pub fn policy(path: &Path) -> anyhow::Result<(Policy, Option<Envelope>)> {
    match read(path)? {
        Paper {
            document: Document::Policy(policy),
            envelope,
        } => Ok((policy, envelope)),
        Paper { .. } => bail!("{} is a root. Name a policy.", path.display()),
    }
}

/// Reads signed root documents, the oldest first; each must continue the one before, and none between is left out.
///
/// # Errors
/// One is none, not signed by itself, not by the one before, or that one is not there.
pub fn roots(paths: &[impl AsRef<Path>]) -> anyhow::Result<Vec<(Root, Envelope)>> {
    let mut all = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let bytes = files::read(path, MOST_BYTES).or_misuse()?;
        let envelope = Envelope::parse(&bytes)?;
        let root = Root::open(&envelope)
            .with_context(|| format!("{} is no signed root document.", path.display()))?;
        all.push((root, envelope));
    }
    all.sort_by_key(|(root, _)| root.version);
    for pair in all.windows(2) {
        let [(old, _), (new, envelope)] = pair else {
            continue;
        };
        ensure!(
            new.version != old.version,
            "Root {} was given twice. Give each once.",
            new.version
        );
        // Across a hole nothing would hold an old root to the new one.
        ensure!(
            old.version.checked_add(1) == Some(new.version),
            "Between root {} and root {} one is missing. Give all of them.",
            old.version,
            new.version
        );
        old.open_next(envelope)
            .context("The roots that were given do not continue one another.")?;
    }
    Ok(all)
}

/// Reads the public half of a key.
///
/// # Errors
/// It is none.
pub fn public_key(path: &Path) -> anyhow::Result<PublicKey> {
    let bytes = files::read(path, MOST_BYTES).or_misuse()?;
    PublicKey::from_pem(&String::from_utf8_lossy(&bytes))
        .with_context(|| format!("{} can't be used.", path.display()))
}

/// Writes a draft into a new file, so that a person can edit it.
///
/// # Errors
/// The file is there already, or can't be written.
pub fn write_draft(path: &Path, document: &impl Serialize) -> anyhow::Result<()> {
    let mut json = serde_json::to_vec_pretty(document)?;
    json.push(b'\n');
    write_new(path, &json)
}

/// Writes a new file.
///
/// # Errors
/// It is there already, or can't be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    private::create(path, bytes).with_context(|| {
        let shown = path.display();
        format!("{shown} can't be written. Name a new file in a folder that exists.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[test]
    fn drafts_and_signed_documents_are_told_apart_and_read_strictly() {
        let dir = tempfile::tempdir().unwrap();
        let world = World::new();
        let at = |name: &str| dir.path().join(name);
        write_draft(&at("policy"), &world.policy).unwrap();
        assert!(write_draft(&at("policy"), &world.policy).is_err());
        let paper = read(&at("policy")).unwrap();
        assert_eq!(paper.document, Document::Policy(world.policy.clone()));
        assert!(paper.envelope.is_none());
        write_draft(&at("root"), &world.root).unwrap();
        let paper = read(&at("root")).unwrap();
        assert_eq!(paper.document, Document::Root(world.root.clone()));
        write_new(&at("signed"), world.trust().policy.as_bytes()).unwrap();
        let (policy, envelope) = policy(&at("signed")).unwrap();
        assert!(policy == world.policy && envelope.is_some());
        // There is no place for a server, for software, or for anything else.
        let text = std::fs::read_to_string(at("policy")).unwrap();
        for more in [
            r#""server": "https://h:1","#,
            r#""run": "sh","#,
            r#""v": 1,"#,
        ] {
            let text = text.replacen('{', &format!("{{{more}"), 1);
            assert!(parse(text.as_bytes()).is_err(), "{more}");
        }
        assert!(parse(text.replace("\"v\": 1", "\"v\": 2").as_bytes()).is_err());
        assert!(parse(b"{}").is_err() && parse(b"").is_err());
    }
}
