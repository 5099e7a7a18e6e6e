//! What a collection will do: the typed command line, judged once, so that all else receives values.

use std::path::{Path, PathBuf};

use evidence::{digest::Digest, wrap::Recipient};
use serde_json::{Map, Value};

use crate::{
    artifacts::{ARTIFACTS, Artifact},
    cli::CollectArgs,
};

/// The default length of a part: small enough for FAT32 and for starting an upload again.
const PART_BYTES: u64 = 1 << 30;

/// A profile that comes with the agent.
struct BuiltIn {
    name: &'static str,
    takes: fn(&dyn Artifact) -> bool,
}

/// The built-in profiles.
const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "volatile",
        takes: |a| a.volatile(),
    },
    BuiltIn {
        name: "triage",
        takes: |a| a.name() != WALKS,
    },
    BuiltIn {
        name: "full",
        takes: |_| true,
    },
];

/// The artifact that needs a `--path` to walk, and is taken up whenever one is given.
const WALKS: &str = "file_hashes";

/// One artifact that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its name; an unknown one becomes a gap.
    pub name: String,
    /// Its options.
    pub options: Map<String, Value>,
}

/// A collection that can begin.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the host's tree begins.
    pub root: PathBuf,
    /// The profile's name.
    pub profile: String,
    /// The digest of its text.
    pub profile_sha256: Digest,
    /// The artifacts, in the profile's order.
    pub wanted: Vec<Wanted>,
    /// The roots of a walk.
    pub paths: Vec<PathBuf>,
    /// The folder that takes the collection's own, absolute and without links.
    pub output: PathBuf,
    /// To whom it is encrypted; nobody where it was told to stay readable.
    pub recipients: Vec<Recipient>,
    /// The case.
    pub case: Option<String>,
    /// How long a part may become.
    pub part_bytes: u64,
}

/// The command line asks for something that can't be.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No such profile.
    #[error("there is no profile {name:?}. Choose one of: {known}.")]
    UnknownProfile {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A recipient is no age recipient.
    #[error(transparent)]
    Recipient(#[from] evidence::wrap::WrapError),
    /// The output folder can't be used.
    #[error(
        "the output folder {path} can't be used: {source}. Make the folder above it, or choose another."
    )]
    Output {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A path of a walk isn't absolute.
    #[error("{0} is not an absolute path. Give --path from the root.")]
    Relative(PathBuf),
}

impl Plan {
    /// Judges the command line; nothing is made or opened yet.
    ///
    /// # Errors
    /// An unknown profile, a recipient that is none, a folder that can't be used.
    pub fn resolve(args: CollectArgs) -> Result<Self, PlanError> {
        let recipients = args
            .recipients
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<Recipient>, _>>()?;
        if let Some(relative) = args.paths.iter().find(|p| !p.is_absolute()) {
            return Err(PlanError::Relative(relative.clone()));
        }
        let (wanted, profile_sha256) = profile(&args.profile, !args.paths.is_empty())?;
        let output = output_folder(&args.output)?;
        Ok(Self {
            root: PathBuf::from("/"),
            profile: args.profile,
            profile_sha256,
            wanted: wanted.into_iter().map(|w| leave_out(w, &output)).collect(),
            paths: args.paths,
            output,
            recipients,
            case: args.case,
            part_bytes: PART_BYTES,
        })
    }
}

fn profile(name: &str, walks: bool) -> Result<(Vec<Wanted>, Digest), PlanError> {
    let found = BUILT_IN.iter().find(|p| p.name == name);
    let profile = found.ok_or_else(|| PlanError::UnknownProfile {
        name: name.to_owned(),
        known: BUILT_IN
            .iter()
            .map(|p| p.name)
            .collect::<Vec<_>>()
            .join(", "),
    })?;
    let wanted: Vec<Wanted> = ARTIFACTS
        .iter()
        .filter(|a| (profile.takes)(**a) || (walks && a.name() == WALKS))
        .map(|a| Wanted {
            name: a.name().to_owned(),
            options: Map::new(),
        })
        .collect();
    // Until it has a text of its own, the list of its artifacts stands for it.
    let text: Vec<&str> = wanted.iter().map(|w| w.name.as_str()).collect();
    let digest = Digest::of(text.join("\n").as_bytes());
    Ok((wanted, digest))
}

/// A walk must not read what the collection itself writes.
fn leave_out(mut wanted: Wanted, output: &Path) -> Wanted {
    if wanted.name == WALKS {
        let excluded = Value::Array(vec![output.display().to_string().into()]);
        wanted.options.insert("excluded".to_owned(), excluded);
    }
    wanted
}

/// Where the output will lie, links resolved; making it is the spool's business, not the reader's.
fn output_folder(path: &Path) -> Result<PathBuf, PlanError> {
    let failed = |source| PlanError::Output {
        path: path.to_path_buf(),
        source,
    };
    let absolute = std::path::absolute(path).map_err(failed)?;
    match (
        absolute.canonicalize(),
        absolute.parent(),
        absolute.file_name(),
    ) {
        (Ok(there), _, _) => Ok(there),
        (Err(_), Some(parent), Some(name)) => Ok(parent.canonicalize().map_err(failed)?.join(name)),
        (Err(error), _, _) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_profile_is_told_with_the_known_ones() {
        let error = profile("nosuch", false).unwrap_err().to_string();
        assert!(error.contains("triage"), "{error}");
    }

    #[test]
    fn every_built_in_profile_resolves() {
        for built_in in BUILT_IN {
            assert!(profile(built_in.name, true).is_ok());
        }
    }
}
