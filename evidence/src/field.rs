//! A collection without any network: what the person at the host said, sealed in with the evidence.

use serde::{Deserialize, Serialize};

use crate::{ids::KitId, instant::Instant};

/// The hand of chain of custody that begins at the host (the fields of ISO/IEC 27037's record of acquisition).
///
/// All of it is what a person typed; the clock and the host speak for themselves in collection.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The kit.
    pub kit: KitId,
    /// Who collected.
    pub operator: String,
    /// Where.
    pub location: String,
    /// The serial number of the medium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
    /// What time it was, by a clock other than the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_time: Option<Instant>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}
