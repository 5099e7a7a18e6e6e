//! What verification says: findings with stable codes, and the verdict that follows from them.
//!
//! A code never changes its meaning: scripts and the tamper vectors rest on it.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer};

/// How a finding bears on the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Worth knowing; the verdict does not change.
    Note,
    /// The evidence is genuine as far as it goes, but something is missing or unknown.
    Reservation,
    /// The evidence is not what its signer sealed.
    Fatal,
}

macro_rules! codes {
    ($($name:ident $text:literal $weight:ident $says:literal;)+) => {
        /// The kind of a finding: a closed list with a stable text for each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $says] $name,)+
        }

        impl Code {
            /// Every code, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable text: lower case, words joined by hyphens.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// How findings of this kind bear on the verdict.
            pub const fn weight(self) -> Weight {
                match self { $(Self::$name => Weight::$weight,)+ }
            }

            /// What it means, in one sentence for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $says,)+ }
            }
        }
    };
}

codes! {
    Unreadable "unreadable" Fatal "The file cannot be read, so nothing can be said for it.";
    ZipStructure "zip-structure" Fatal "The ZIP file is not built as a genuine part is: bytes were added, cut or rearranged.";
    ZipEntry "zip-entry" Fatal "The content of an entry does not match the ZIP file's own size or checksum.";
    Limit "limit" Fatal "The part exceeds what a genuine part may hold; it was not read further.";
    EntryOrder "entry-order" Fatal "The closing entries of the part are missing or not in their fixed order.";
    EntryUnknown "entry-unknown" Fatal "The part holds an entry that the format has no place for.";
    SumsMissing "sums-missing" Fatal "SHA256SUMS, the list of digests, is missing.";
    SumsGrammar "sums-grammar" Fatal "SHA256SUMS is not written in its exact form.";
    SumsDuplicate "sums-duplicate" Fatal "SHA256SUMS names an entry twice.";
    SumsOrder "sums-order" Fatal "SHA256SUMS does not follow the order of the entries.";
    SumsUnlisted "sums-unlisted" Fatal "The part holds an entry that was not sealed.";
    SumsAbsent "sums-absent" Fatal "A sealed entry is missing from the part.";
    SumsDigest "sums-digest" Fatal "The content of an entry is not what was sealed.";
    SealMissing "seal-missing" Fatal "SHA256SUMS.p7s, the seal, is missing.";
    SealInvalid "seal-invalid" Fatal "The seal is not a valid signature over SHA256SUMS.";
    SealChain "seal-chain" Fatal "The seal's certificate does not lead to the trusted root.";
    SealIdentity "seal-identity" Fatal "The seal is not by the agent that the part names, or not by a seal key.";
    SealRevoked "seal-revoked" Fatal "The seal was made after its certificate was revoked.";
    CollectionMalformed "collection-malformed" Fatal "collection.json cannot be read as its format demands.";
    VersionUnknown "version-unknown" Fatal "The part is of a format version that this program does not know.";
    RecordMalformed "record-malformed" Fatal "A record file holds a line that is not as its format demands.";
    FileUnlisted "file-unlisted" Fatal "The part stores a file or folder that files.jsonl does not record.";
    FileAbsent "file-absent" Fatal "files.jsonl records a stored file that the part does not hold.";
    FileTwice "file-twice" Fatal "files.jsonl records one stored file in contradicting ways.";
    FileSize "file-size" Fatal "The size in files.jsonl is not the size of what is stored.";
    FileDigest "file-digest" Fatal "The digest in files.jsonl is not that of what is stored.";
    CountMismatch "count-mismatch" Fatal "The counts in collection.json are not those of the part.";
    OrderDigest "order-digest" Fatal "The order or policy in the part is not the one that collection.json names.";
    PolicyUntrusted "policy-untrusted" Fatal "The policy is not signed by the trusted root, so it says nothing about who may do what.";
    OrderUnsigned "order-unsigned" Fatal "The order is not signed by those who must have signed it.";
    KitMismatch "kit-mismatch" Fatal "The collection was not made with the kit that its order is for, or on a host that the order does not name.";
    OrderMismatch "order-mismatch" Fatal "What collection.json says of the order is not what the order says.";
    RecipientForeign "recipient-foreign" Fatal "The part is encrypted to somebody whom neither order nor policy names.";
    StatementInvalid "statement-invalid" Fatal "The statement beside the part is not a valid statement of the seal's signer.";
    StatementMismatch "statement-mismatch" Fatal "The statement beside the part speaks of another part or of other content.";
    DecryptFailed "decrypt-failed" Fatal "The encrypted part was damaged or changed after it was sealed.";
    ChainPrevious "chain-previous" Fatal "A part does not follow on the part before it.";
    ChainDuplicate "chain-duplicate" Fatal "Two different parts claim the same number.";
    ChainAfterLast "chain-after-last" Fatal "A part follows the one that says it is the last.";
    ChainForeign "chain-foreign" Fatal "Parts that claim one collection disagree on whose it is.";
    ReceiptInvalid "receipt-invalid" Fatal "The custody receipt beside the part does not prove what it claims.";
    StampInvalid "stamp-invalid" Fatal "The time stamp beside the part is not a valid stamp over its statement.";
    EnrolmentInvalid "enrolment-invalid" Fatal "The receipt of the agent's enrolment does not prove what it claims.";
    EnrolmentMismatch "enrolment-mismatch" Fatal "The key that sealed is not the one that the custody log certifies for the agent.";
    SignerUnknown "signer-unknown" Reservation "The seal is sound, but nothing shows whose key made it.";
    PartMissing "part-missing" Reservation "A part of the collection is missing.";
    LastMissing "last-missing" Reservation "The last part of the collection is missing, so more may have followed.";
    ContentUnread "content-unread" Reservation "The contents were not opened; only the encrypted file and its statement were checked.";
    IdentityWrong "identity-wrong" Reservation "None of the given keys opens the encrypted part.";
    StatementAbsent "statement-absent" Reservation "An encrypted part has no statement beside it, so nothing shows who made it.";
    Gaps "gaps" Reservation "Something that was asked for was not obtained.";
    EndedEarly "ended-early" Reservation "The collection was cut off before it had done all that was asked.";
    OrderExpired "order-expired" Reservation "The collection was begun after the order or its policy had ended.";
    RevocationInvalid "revocation-invalid" Reservation "The receipt of a revocation proves nothing about this agent; ask the server whether it was revoked.";
    PieceMissing "piece-missing" Reservation "A file that is stored in pieces is not whole.";
    RevokedUndated "revoked-undated" Reservation "The agent was revoked later, and only the revoked key itself says that this seal is older.";
    ReceiptAbsent "receipt-absent" Reservation "Nothing here shows that the custody log holds the part.";
    EnrolmentAbsent "enrolment-absent" Reservation "Nothing here shows that the custody log knows the agent's seal key.";
    LinkAbsent "link-absent" Reservation "A further name of a file leads to content that no part holds.";
    StampTime "stamp-time" Note "The time of sealing rests on an outside authority's time stamp.";
    ReceiptTime "receipt-time" Note "The time of sealing rests on the server's receipt in the custody log.";
    SignerTime "signer-time" Note "The time of sealing is the signer's own claim.";
    StampUnanchored "stamp-unanchored" Note "A time stamp is sound, but its authority is not known here, so no time rests on it.";
    CertificateEnded "certificate-ended" Note "The seal's certificate was outside its validity at the time of sealing.";
    ClockWrong "clock-wrong" Note "The host's clock was wrong.";
    RevokedLater "revoked-later" Note "The agent was revoked after it had made this seal.";
    OrderAbsent "order-absent" Note "No order stands behind the collection.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// One reason for a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub code: Code,
    /// How it bears on the verdict.
    pub weight: Weight,
    /// The file or entry concerned: may come from the archive, so show it inert.
    pub subject: String,
    /// What was found: may quote the archive, so show it inert.
    pub text: String,
    /// The reader's own code for a fault of the ZIP's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<&'static str>,
}

/// How many findings of one code are kept; hostile input could make millions.
const KEPT_PER_CODE: usize = 100;

/// Every reason found, bounded in number.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    list: Vec<Finding>,
    left_out: u64,
    #[serde(skip)]
    counts: BTreeMap<Code, usize>,
}

impl Findings {
    /// Adds a finding, or only counts it once there are too many of its kind.
    pub fn add(&mut self, code: Code, subject: impl Into<String>, text: impl fmt::Display) {
        self.add_fault(code, subject, text, None);
    }

    /// [`add`](Self::add), with the ZIP reader's own code.
    pub fn add_fault(
        &mut self,
        code: Code,
        subject: impl Into<String>,
        text: impl fmt::Display,
        fault: Option<&'static str>,
    ) {
        let count = self.counts.entry(code).or_default();
        *count += 1;
        if *count > KEPT_PER_CODE {
            self.left_out += 1;
            return;
        }
        self.list.push(Finding {
            code,
            weight: code.weight(),
            subject: subject.into(),
            text: text.to_string(),
            fault,
        });
    }

    /// The findings, in the order in which they were made.
    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// How many more there were than are listed.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Whether a finding of this kind was made.
    pub fn has(&self, code: Code) -> bool {
        self.list.iter().any(|f| f.code == code)
    }

    /// Takes over the findings of another check that are not here already.
    pub fn extend(&mut self, other: Self) {
        for finding in other.list {
            if !self.list.contains(&finding) {
                self.list.push(finding);
            }
        }
        self.left_out += other.left_out;
    }

    /// The same without findings of these kinds.
    pub(super) fn without(mut self, codes: &[Code]) -> Self {
        self.list.retain(|f| !codes.contains(&f.code));
        self
    }

    /// The verdict that follows.
    pub fn verdict(&self) -> Verdict {
        match self.list.iter().map(|f| f.weight).max() {
            None | Some(Weight::Note) => Verdict::GenuineComplete,
            Some(Weight::Reservation) => Verdict::GenuineReserved,
            Some(Weight::Fatal) => Verdict::NotGenuine,
        }
    }
}

/// The answer to "may this be relied on?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All checks passed and nothing is missing.
    GenuineComplete,
    /// No sign of change, but with gaps, parts missing, signer unknown, or contents unread.
    GenuineReserved,
    /// Not what its signer sealed.
    NotGenuine,
}

impl Verdict {
    /// The headline.
    pub const fn headline(self) -> &'static str {
        match self {
            Self::GenuineComplete => "GENUINE AND COMPLETE",
            Self::GenuineReserved => "GENUINE AS FAR AS CHECKED, WITH RESERVATIONS",
            Self::NotGenuine => "NOT GENUINE",
        }
    }

    /// What it means, for a reader who knows the law better than computers.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::GenuineComplete => {
                "Every file is exactly what the named agent collected and sealed, the collection has \
                 all its parts, and everything that was asked for was obtained."
            }
            Self::GenuineReserved => {
                "Nothing was found to have been changed since it was sealed. But something is missing, \
                 unknown or was not checked: read the reservations before you rely on it."
            }
            Self::NotGenuine => {
                "At least one check failed: this is not, or not only, what the agent collected and \
                 sealed. Do not rely on it; keep it unchanged and ask for the original."
            }
        }
    }

    /// The exit code of a program that ends on this verdict.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::GenuineComplete => 0,
            Self::GenuineReserved => 2,
            Self::NotGenuine => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides() {
        let mut findings = Findings::default();
        assert_eq!(findings.verdict().exit_code(), 0);
        findings.add(Code::SignerTime, "", "");
        assert_eq!(findings.verdict().exit_code(), 0);
        findings.add(Code::Gaps, "", "");
        assert_eq!(findings.verdict().exit_code(), 2);
        findings.add(Code::SumsDigest, "", "");
        findings.add(Code::Gaps, "", "");
        assert_eq!(findings.verdict().exit_code(), 1);
    }

    #[test]
    fn codes_are_distinct_and_floods_are_bounded() {
        let texts: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        let mut findings = Findings::default();
        for _ in 0..1000 {
            findings.add(Code::FileSize, "x", "y");
        }
        assert_eq!(findings.list().len(), KEPT_PER_CODE);
        assert_eq!(findings.left_out(), 900);
    }
}
