//! Cases out of real archives.
