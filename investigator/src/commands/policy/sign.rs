//! `fieldseal policy sign`: what root keys sign is shown in words, judged, and signed; no network is needed.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, ensure};
use evidence::{
    envelope::{self, Envelope},
    instant::Instant,
    keys::{PublicKey, SigningKey},
};
use protocol::{policy::Policy, root::Root};

use crate::{
    cli::SignPolicy,
    exit::{Exit, misuse},
    keys::{passphrase, read_signing_key},
    policy::{
        changes,
        check::{self, Beside},
        document::{self, Document, Paper},
        words,
    },
    private,
};

/// A root, and the signatures of it that are needed.
struct Signers {
    version: u64,
    keys: Vec<PublicKey>,
    threshold: usize,
}

impl Signers {
    fn of(root: &Root) -> Self {
        Self {
            version: root.version,
            keys: root.keys.clone(),
            threshold: root.threshold,
        }
    }
}

/// Runs it.
///
/// # Errors
/// The document would not do, or a key is none of the root's or does not open.
pub(super) fn run(args: &SignPolicy) -> anyhow::Result<Exit> {
    let paper = document::read(&args.draft)?;
    let roots: Vec<Root> = document::roots(&args.root)?
        .into_iter()
        .map(|(root, _)| root)
        .collect();
    let signers = match &paper.document {
        Document::Policy(policy) => show_policy(args, policy, &roots)?,
        Document::Root(root) => show_root(root, &roots)?,
    };
    let keys = unlock(args, &signers)?;
    let Some(output) = &args.output else {
        writeln!(io::stdout(), "Nothing is signed without --key.")?;
        return Ok(Exit::Done);
    };
    let signed = sign(paper, &keys)?;
    write(args, output, &signed)?;
    say_result(output, &signed, &signers)
}

/// Says what the policy is and changes, judges it, and gives the root that must sign.
fn show_policy(args: &SignPolicy, policy: &Policy, roots: &[Root]) -> anyhow::Result<Vec<Signers>> {
    let mut say = io::stderr();
    writeln!(say, "To be signed:\n{}", words::policy(policy))?;
    let root = roots.iter().find(|r| r.version == policy.root_version);
    ensure!(
        roots.is_empty() || root.is_some(),
        "The policy is for root {}, which was not given with --root. Give it too.",
        policy.root_version
    );
    let old = args.against.as_deref().map(|path| old_policy(path, roots));
    let old = old.transpose()?;
    match &old {
        Some(old) => {
            writeln!(say, "What changes:")?;
            for line in changes::of_policy(old, policy) {
                writeln!(say, "  {line}")?;
            }
        }
        None => writeln!(
            say,
            "ATTENTION: without --against POLICY.json nobody can say what changes, nor whether the server's own keys do."
        )?,
    }
    let beside = Beside {
        old: old.as_ref(),
        root,
        new_server_keys: args.new_server_keys,
        now: Instant::now(),
    };
    check::policy(policy, beside).context("This policy is not to be signed.")?;
    attention_without(roots)?;
    Ok(root.map(Signers::of).into_iter().collect())
}

/// The policy that is followed: sound, signed, and by its root, which must be there where any root is.
fn old_policy(path: &Path, roots: &[Root]) -> anyhow::Result<Policy> {
    let (policy, envelope) = document::policy(path)?;
    let shown = path.display();
    let envelope = envelope.with_context(|| {
        format!("{shown} is not signed. Give the policy in force, as `fieldseal policy show --save` keeps it.")
    })?;
    policy
        .validate()
        .with_context(|| format!("{shown} is not sound. Give the policy in force."))?;
    if roots.is_empty() {
        writeln!(
            io::stderr(),
            "ATTENTION: without --root ROOT.json nobody can say whether {shown} is the policy in force: what changes, \
             and whether the server's own keys do, is UNPROVEN."
        )?;
        return Ok(policy);
    }
    let root = roots.iter().find(|r| r.version == policy.root_version);
    let root = root.with_context(|| {
        format!(
            "{shown} is by root {}, which was not given with --root: nobody can say whether it was in force. Give it too.",
            policy.root_version
        )
    })?;
    Policy::open(&envelope, root).with_context(|| format!("{shown} is not the root's."))
}

/// The same for a root: the thresholds of the one before and of its own must sign.
fn show_root(root: &Root, roots: &[Root]) -> anyhow::Result<Vec<Signers>> {
    let mut say = io::stderr();
    writeln!(say, "To be signed:\n{}", words::root(root))?;
    let old = roots.iter().max_by_key(|r| r.version);
    if let Some(old) = old {
        writeln!(say, "What changes:")?;
        for line in changes::of_root(old, root) {
            writeln!(say, "  {line}")?;
        }
    }
    check::root(root, old)?;
    attention_without(roots)?;
    Ok(old.into_iter().chain([root]).map(Signers::of).collect())
}

fn attention_without(roots: &[Root]) -> anyhow::Result<()> {
    if roots.is_empty() {
        writeln!(
            io::stderr(),
            "ATTENTION: without --root ROOT.json nobody can say whether the keys are the deployment's, nor how many must sign."
        )?;
    }
    Ok(())
}

/// The keys, each of which must be one that counts, where that is known.
fn unlock(args: &SignPolicy, signers: &[Signers]) -> anyhow::Result<Vec<SigningKey>> {
    let mut keys = Vec::new();
    for path in &args.key {
        let key = read_signing_key(path, &|| passphrase::of_file(path))?;
        let public = key.public();
        let counts = signers.iter().any(|s| s.keys.contains(&public));
        if !args.root.is_empty() && !counts {
            return Err(misuse(format!(
                "{} is no key of the root: {}. Its signature would count for nothing.",
                path.display(),
                public.key_id()
            )));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Adds the signatures that are not there yet.
fn sign(paper: Paper, keys: &[SigningKey]) -> anyhow::Result<Envelope> {
    let (first, more) = keys.split_first().context("There is no key.")?;
    let (mut envelope, more) = match (paper.envelope, &paper.document) {
        (Some(envelope), _) => (envelope, keys),
        (None, Document::Policy(policy)) => {
            let signed = Envelope::sign_document(envelope::POLICY, policy, first)?;
            (signed, more)
        }
        (None, Document::Root(root)) => {
            let signed = Envelope::sign_document(envelope::ROOT, root, first)?;
            (signed, more)
        }
    };
    for key in more {
        if envelope.verify(&[key.public()]).is_empty() {
            envelope.add_signature(key);
        }
    }
    ensure!(
        envelope.signatures().len() <= envelope::MAX_SIGNATURES,
        "It has more signatures than a document may have. Sign the draft anew."
    );
    Ok(envelope)
}

/// Into a new file, or into the one that was signed before.
fn write(args: &SignPolicy, output: &Path, signed: &Envelope) -> anyhow::Result<()> {
    let json = signed.to_json()?;
    let is_same =
        output.exists() && std::fs::canonicalize(output)? == std::fs::canonicalize(&args.draft)?;
    if !is_same {
        return document::write_new(output, &json);
    }
    private::replace(output, &json)
        .with_context(|| format!("{} can't be written.", output.display()))
}

fn say_result(output: &Path, signed: &Envelope, signers: &[Signers]) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} is signed; its SHA-256 is {}",
        output.display(),
        signed.digest()
    )?;
    let mut exit = Exit::Done;
    for root in signers {
        let (found, needed) = (signed.verify(&root.keys).len(), root.threshold);
        writeln!(
            out,
            "{found} of {needed} signatures of root {}",
            root.version
        )?;
        if found < needed {
            exit = Exit::Partial;
        }
    }
    match exit {
        Exit::Done => writeln!(
            out,
            "Take it to an admin's machine: fieldseal policy publish"
        )?,
        _ => writeln!(
            out,
            "More root keys must sign: run this again on {}, with another --key",
            output.display()
        )?,
    }
    Ok(exit)
}
