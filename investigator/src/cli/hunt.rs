//! The command line of a hunt: what to look for, one option a criterion.

use std::path::PathBuf;

use clap::Args;
use evidence::instant::Instant;

use super::{Ordering, instant};

/// `fieldseal hunt`. All that is given of one kind (files, processes, connections) must hold; of several values of one
/// option, one.
#[derive(Debug, Args)]
pub struct Hunt {
    /// A file with a digest at the start of each line (SHA-256, SHA-1 or MD5); up to 100,000.
    #[arg(long, value_name = "FILE")]
    pub hashes: Option<PathBuf>,
    /// What to look for.
    #[command(flatten)]
    pub criteria: Criteria,
    /// Where, why and by what right.
    #[command(flatten)]
    pub ordering: Ordering,
}

/// What a hunt looks for.
#[derive(Debug, Default, Args)]
#[group(skip)]
pub struct Criteria {
    /// A file's SHA-256, or the first 16 digits of it; may be given again.
    #[arg(long, value_name = "HEX")]
    pub sha256: Vec<String>,
    /// A file's name; may be given again.
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,
    /// A pattern of a file's whole path, or of its name where there is no `/` in it; may be given again.
    #[arg(long = "glob", value_name = "PATTERN")]
    pub globs: Vec<String>,
    /// Names, patterns and arguments fit whatever the case of A to Z.
    #[arg(long)]
    pub ignore_case: bool,
    /// Where to look for files [default: everywhere on local file systems]; may be given again.
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
    /// Files of this size or more, as in 100, 20K, 3M, 1G.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub larger: Option<u64>,
    /// Files of this size or less.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub smaller: Option<u64>,
    /// Files whose contents were modified at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub modified_since: Option<Instant>,
    /// Files whose contents were modified before this time.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub modified_before: Option<Instant>,
    /// Files whose contents or metadata changed at or after this time.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub changed_since: Option<Instant>,
    /// Files whose contents or metadata changed before this time.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub changed_before: Option<Instant>,
    /// Files made at or after this time.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub born_since: Option<Instant>,
    /// Files made before this time.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub born_before: Option<Instant>,
    /// A process's name, or its program's; may be given again.
    #[arg(long = "process-name", value_name = "NAME")]
    pub process_names: Vec<String>,
    /// A pattern of a process's program's path; may be given again.
    #[arg(long = "process-path", value_name = "PATTERN")]
    pub process_paths: Vec<String>,
    /// The SHA-256 of a process's program; may be given again.
    #[arg(long = "process-hash", value_name = "HEX")]
    pub process_hashes: Vec<String>,
    /// A text in a process's command line; may be given again.
    #[arg(long = "command-line", value_name = "TEXT")]
    pub command_lines: Vec<String>,
    /// A connection's remote address, or a network as in 192.0.2.0/24; may be given again.
    #[arg(long = "connected-to", value_name = "ADDR[/NET]")]
    pub connected_to: Vec<String>,
    /// A connection's local or remote port; may be given again.
    #[arg(long = "port", value_name = "N")]
    pub ports: Vec<u16>,
    /// A connection's protocol, as in tcp, udp, unix; may be given again.
    #[arg(long = "protocol", value_name = "NAME")]
    pub protocols: Vec<String>,
}

/// A number of bytes as people type it.
///
/// # Errors
/// It is none.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || "write a number of bytes, as in 100, 20K, 3M, 1G".to_owned();
    let (number, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_powers_of_1024() {
        assert_eq!(size("100"), Ok(100));
        assert_eq!(size("20K"), Ok(20 << 10));
        assert_eq!(size("1G"), Ok(1 << 30));
        for bad in ["", "K", "1T", "-1", "99999999999999G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
