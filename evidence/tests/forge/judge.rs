//! Reads a folder as a verifier does and says what it found.

use std::{collections::BTreeSet, io::Cursor};

use evidence::{
    seal::Trust,
    verify::{self, Beside, CollectionReport, Options, Paper},
    wrap::Identity,
};

use super::{
    Files, Given, authority,
    certificate::pem,
    deployment::{Deployment, STRANGERS_VAULT, VAULT},
};

/// What a verifier said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The exit code.
    pub(crate) exit: u8,
    /// Codes that are more than notes.
    pub(crate) codes: Vec<String>,
    /// Notes.
    pub(crate) notes: Vec<String>,
    /// Faults of the ZIP's form.
    pub(crate) faults: Vec<String>,
}

/// What is at hand, as the verifier takes it.
pub(crate) fn options(world: &Deployment, given: &[Given], stamp_root: &str) -> Options {
    let mut options = Options::default();
    for one in given {
        match one {
            Given::Trust => options.trust = Trust::from_pem(&pem(&world.root.der)).unwrap(),
            Given::Identity => options.identities = vec![VAULT.parse::<Identity>().unwrap()],
            Given::OtherIdentity => {
                options.identities = vec![STRANGERS_VAULT.parse::<Identity>().unwrap()];
            }
            Given::StampTrust => options.stamp_trust = Trust::from_pem(stamp_root).unwrap(),
            Given::Policy => {
                let policy = authority::signed_policy(world, &world.root.key);
                options.policies.push(policy.to_json().unwrap());
            }
        }
    }
    options
}

/// Checks the folder as one collection.
pub(crate) fn judge(files: &Files, options: &Options) -> (Said, Vec<CollectionReport>) {
    let parts = files.iter().filter(|(name, _)| {
        name.starts_with("part-") && (name.ends_with(".zip") || name.ends_with(".zip.age"))
    });
    let checked = parts
        .map(|(name, bytes)| {
            verify::verify_part(name, Cursor::new(bytes), &beside(files, name), options)
        })
        .collect();
    let reports = verify::collections(checked);
    let exit = verify::overall(&reports).exit_code();
    let found: Vec<_> = reports
        .iter()
        .flat_map(CollectionReport::all_findings)
        .collect();
    let codes = |note: bool| -> Vec<String> {
        let chosen = found
            .iter()
            .filter(|(_, f)| (f.weight == verify::Weight::Note) == note);
        let set: BTreeSet<_> = chosen.map(|(_, f)| f.code.to_string()).collect();
        set.into_iter().collect()
    };
    let faults: BTreeSet<_> = found.iter().filter_map(|(_, f)| f.fault).collect();
    let said = Said {
        exit,
        codes: codes(false),
        notes: codes(true),
        faults: faults.into_iter().map(str::to_owned).collect(),
    };
    (said, reports)
}

/// What lies beside a part.
pub(crate) fn beside(files: &Files, part: &str) -> Beside {
    let stem = part.split('.').next().unwrap_or_default();
    let get = |name: String| files.get(&name).cloned();
    let papers = |kind: &str| {
        let all = files.iter();
        let of_kind = all.filter(|(name, _)| name.starts_with(kind) && name.ends_with(".receipt"));
        let named = of_kind.map(|(name, bytes)| Paper {
            name: name.clone(),
            bytes: bytes.clone(),
        });
        named.collect()
    };
    Beside {
        statement: get(format!("{stem}.statement.json")),
        stamp: get(format!("{stem}.tsr")),
        receipt: get(format!("{stem}.receipt")),
        enrolments: papers("enrolment"),
        revocations: papers("revocation"),
    }
}
