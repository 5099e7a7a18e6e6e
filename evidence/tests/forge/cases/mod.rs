//! Every case, in the order of the index.

mod authority;
mod bytes;
mod chain;
mod custody;
mod encryption;
mod genuine;
mod records;
mod seal;
mod structure;

use super::{Case, deployment::Deployment, log};

/// All of them; `folder` has the time-stamping authority's files.
pub(crate) fn all(stamps: &std::path::Path) -> Vec<Case> {
    let world = Deployment::new();
    let mut cases = genuine::cases(&world, stamps);
    cases.extend(bytes::cases(&world));
    cases.extend(structure::cases(&world));
    cases.extend(seal::cases(&world));
    cases.extend(records::cases(&world));
    cases.extend(chain::cases(&world));
    cases.extend(encryption::cases(&world));
    cases.extend(authority::cases(&world));
    cases.extend(custody::cases(&world, stamps));
    for case in cases.iter_mut().filter(|case| !case.is_bare) {
        log::receipts(&world, &mut case.files);
    }
    cases
}
