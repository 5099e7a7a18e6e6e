//! Where what lies in a kit's folder; names with `/`, relative to the folder.

/// Digests of all that the kit is made of, in coreutils' form.
pub const SUMS: &str = "SHA256SUMS";
/// The kit's own document; it names the digest of [`SUMS`], and so stands outside of it.
pub const KIT: &str = "kit/kit.json";
/// The root document in force.
pub const ROOT: &str = "kit/root.json";
/// The root certificate, for people's tools.
pub const ROOT_CERTIFICATE: &str = "kit/root.crt";
/// The policy.
pub const POLICY: &str = "kit/policy.json";
/// The order.
pub const ORDER: &str = "kit/order.json";
/// The proof that the order is for the kit's identity.
pub const TARGET: &str = "kit/target.json";
/// The seal key, PKCS#8 in PEM, under a passphrase where the builder gave one.
pub const SEAL_KEY: &str = "kit/seal.pem";
/// The folder that collections go to, each in one of its own, named by its id.
pub const EVIDENCE: &str = "evidence";
/// Beside a collection's parts: the record of the use, encrypted.
pub const USE: &str = "use.age";
/// Beside a collection's parts: the custody leaf of the use.
pub const USED: &str = "used.custody.json";
/// The receipt of the kit's certification, as verify looks for it beside a part.
pub const CERTIFIED: &str = "enrolment.receipt";

/// Beside a collection's parts, once they were brought in: the receipt of the custody event `imported`.
pub const IMPORTED: &str = "imported.receipt";

/// Folders in which nothing lies that [`SUMS`] does not name, but for [`KIT`].
pub const CLOSED: [&str; 2] = ["bin", "kit"];

/// Where the agent of a system lies.
pub fn agent(os: &str, arch: &str) -> String {
    let end = if os == "windows" { ".exe" } else { "" };
    format!("bin/{os}-{arch}/fieldseal-agent{end}")
}
