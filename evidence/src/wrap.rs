//! Encryption of a part to the vault's recipients, with age, while it is written.
//!
//! The wrapping is named by type in the statement ([`AGE`], [`NONE`]), so that
//! others can stand beside it later. Only X25519 recipients: passphrases and
//! plug-ins have no place on a host. Debian's `age` reads what this writes.

use std::fmt;
use std::io::{self, BufRead as _, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// The wrapping's name in statements.
pub const AGE: &str = "age";

/// The name of no wrapping at all, which only a local collection may ask for.
pub const NONE: &str = "none";

/// What can go wrong with wrapping and unwrapping.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// Not a recipient.
    #[error("{0:?} is not an age recipient. It must start with `age1` and have 62 characters.")]
    NotARecipient(String),
    /// Not an identity.
    #[error(
        "this is not an age identity. Give the file that holds the line `AGE-SECRET-KEY-1...`."
    )]
    NotAnIdentity,
    /// Nobody to encrypt to.
    #[error("there is nobody to encrypt to. Name at least one recipient.")]
    NoRecipients,
    /// The encryption could not be set up.
    #[error("the encryption could not start. Check the recipients and the file to write to.")]
    Encrypt(#[source] io::Error),
    /// None of the keys fits.
    #[error("none of the given keys opens the file. Use the vault key that it was encrypted to.")]
    NoMatchingKey,
    /// Not an age file, or a damaged one.
    #[error(
        "the file is not an age file, or its head was changed. Fetch it again, and compare its digest with the statement."
    )]
    Malformed,
    /// It could not be read.
    #[error("the encrypted file can't be read. Check the medium.")]
    Read(#[source] io::Error),
}

/// Somebody to encrypt to: `age1...`.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(age::x25519::Recipient);

impl FromStr for Recipient {
    type Err = WrapError;

    fn from_str(text: &str) -> Result<Self, WrapError> {
        let wrong = |_| WrapError::NotARecipient(text.chars().take(80).collect());
        Ok(Self(text.parse().map_err(wrong)?))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The key that opens what was encrypted to its recipient.
#[derive(Clone)]
pub struct Identity(age::x25519::Identity);

impl Identity {
    /// A new key.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// Whom to encrypt to so that this key opens it.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }

    /// The key as the line `AGE-SECRET-KEY-1...`.
    pub fn to_text(&self) -> Zeroizing<String> {
        use age::secrecy::ExposeSecret as _;
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }

    /// Reads every key of an identity file: one a line, `#` starts a comment.
    ///
    /// # Errors
    /// A line is neither, or there is no key.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, WrapError> {
        let lines = text.lines().map(str::trim);
        let keys: Vec<Self> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(WrapError::NotAnIdentity);
        }
        Ok(keys)
    }
}

impl FromStr for Identity {
    type Err = WrapError;

    fn from_str(text: &str) -> Result<Self, WrapError> {
        let key = text.trim().parse().map_err(|_| WrapError::NotAnIdentity)?;
        Ok(Self(key))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {}", self.recipient())
    }
}

/// Encrypts what is written to it and passes it on.
///
/// What is dropped without [`finish`](Self::finish) is a truncated file, which
/// no reader takes for a whole one.
pub struct WrapWriter<W: Write>(age::stream::StreamWriter<W>);

impl<W: Write> WrapWriter<W> {
    /// Writes the head for `recipients` to `output` and starts.
    ///
    /// # Errors
    /// There are no recipients, or the output refuses the head.
    pub fn new(recipients: &[Recipient], output: W) -> Result<Self, WrapError> {
        let all = recipients.iter().map(|one| &one.0 as &dyn age::Recipient);
        let encryptor =
            age::Encryptor::with_recipients(all).map_err(|_| WrapError::NoRecipients)?;
        let writer = encryptor.wrap_output(output).map_err(WrapError::Encrypt)?;
        Ok(Self(writer))
    }

    /// Writes the last piece and gives the output back.
    ///
    /// # Errors
    /// The output refuses it.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Write for WrapWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Decrypts what it reads; an error of kind `UnexpectedEof` or `InvalidData` says that the file is cut or changed.
pub struct UnwrapReader<R: Read>(age::stream::StreamReader<R>);

impl<R: Read> UnwrapReader<R> {
    /// Reads the head from `input` and looks for a key that fits.
    ///
    /// # Errors
    /// No key fits, or it is no age file.
    pub fn new(identities: &[Identity], input: R) -> Result<Self, WrapError> {
        let decryptor = age::Decryptor::new(input).map_err(unwrap_error)?;
        let reader = identities.iter().map(|one| &one.0 as &dyn age::Identity);
        Ok(Self(decryptor.decrypt(reader).map_err(unwrap_error)?))
    }
}

impl<R: Read> Read for UnwrapReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // Where a piece begins, the library takes one that was read by nobody for one that was read to its end.
        if into.is_empty() {
            return Ok(0);
        }
        self.0.read(into)
    }
}

impl<R: Read + io::Seek> io::Seek for UnwrapReader<R> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

fn unwrap_error(error: age::DecryptError) -> WrapError {
    match error {
        age::DecryptError::NoMatchingKeys => WrapError::NoMatchingKey,
        age::DecryptError::Io(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
            ) =>
        {
            WrapError::Read(error)
        }
        _ => WrapError::Malformed,
    }
}

/// Encrypts bytes that are in memory already.
///
/// # Errors
/// There are no recipients.
pub fn wrap(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>, WrapError> {
    let mut writer = WrapWriter::new(recipients, Vec::new())?;
    writer.write_all(plain).map_err(WrapError::Encrypt)?;
    writer.finish().map_err(WrapError::Encrypt)
}

/// The stanzas in the head of an age file: each is somebody who can open it, by the type of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanzas {
    /// How many X25519 keys.
    pub x25519: usize,
    /// The types of all others, which are not known here; hostile text.
    pub others: Vec<String>,
}

/// No head of ours is longer.
const HEAD_BYTES: u64 = 1 << 20;

/// Reads the head without any key. Grease, which the age library strews in so that readers stay tolerant, is passed over.
///
/// `None` where it is cut, malformed, or longer than such a head may be.
///
/// # Errors
/// The input can't be read.
pub fn stanzas<R: Read>(input: R) -> io::Result<Option<Stanzas>> {
    let mut input = io::BufReader::new(input.take(HEAD_BYTES));
    let (mut line, mut is_first) = (Vec::new(), true);
    let mut found = Stanzas {
        x25519: 0,
        others: Vec::new(),
    };
    loop {
        line.clear();
        input.read_until(b'\n', &mut line)?;
        let text = line.strip_suffix(b"\n");
        let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) else {
            return Ok(None);
        };
        if std::mem::take(&mut is_first) {
            if text.as_bytes() != MAGIC {
                return Ok(None);
            }
        } else if let Some(stanza) = text.strip_prefix("-> ") {
            match stanza.split(' ').next().unwrap_or_default() {
                "X25519" => found.x25519 += 1,
                grease if grease.ends_with("-grease") => {}
                other => found.others.push(other.chars().take(80).collect()),
            }
        } else if text.starts_with("---") {
            return Ok(Some(found));
        }
    }
}

/// The first line of an age file.
const MAGIC: &[u8] = b"age-encryption.org/v1";

/// Whether `head`, the first bytes of a file, are those of an age file.
pub fn is_wrapped(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

#[cfg(test)]
mod tests {
    use std::{io::Seek as _, process::Command};

    use super::*;

    /// The library encrypts so much at once.
    const PIECE_BYTES: usize = 64 << 10;

    fn open(keys: &[Identity], bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        UnwrapReader::new(keys, bytes)
            .map_err(io::Error::other)?
            .read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn any_one_recipient_opens_it() {
        let keys = [Identity::generate(), Identity::generate()];
        let plain = vec![7; 200_000];
        let secret = wrap(&keys.each_ref().map(Identity::recipient), &plain).unwrap();
        assert!(is_wrapped(&secret));
        for key in keys {
            let key = key.to_text().parse::<Identity>().unwrap();
            assert_eq!(open(&[key], &secret).unwrap(), plain);
        }
        assert!(matches!(
            UnwrapReader::new(&[Identity::generate()], secret.as_slice()),
            Err(WrapError::NoMatchingKey)
        ));
        assert!(matches!(wrap(&[], b""), Err(WrapError::NoRecipients)));
    }

    #[test]
    fn cut_or_changed_is_never_opened() {
        let key = [Identity::generate()];
        let secret = wrap(&[key[0].recipient()], &[1; 300]).unwrap();
        for at in 0..secret.len() {
            assert!(open(&key, &secret[..at]).is_err(), "cut at {at}");
            let mut changed = secret.clone();
            changed[at] ^= 1;
            assert!(open(&key, &changed).is_err(), "changed at {at}");
        }
        assert!(open(&key, &[secret, vec![0]].concat()).is_err());
    }

    #[test]
    fn an_empty_read_between_two_pieces_loses_neither() {
        let key = [Identity::generate()];
        let plain: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
        let secret = wrap(&[key[0].recipient()], &plain).unwrap();
        for at in [0, PIECE_BYTES, 2 * PIECE_BYTES] {
            let mut reader = UnwrapReader::new(&key, io::Cursor::new(&secret)).unwrap();
            reader.seek(io::SeekFrom::Start(at as u64)).unwrap();
            assert_eq!(reader.read(&mut []).unwrap(), 0);
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).unwrap();
            assert!(rest == plain[at..], "at {at}");
        }
    }

    #[test]
    fn the_head_tells_how_many_can_open_it() {
        let keys: Vec<_> = (0..3).map(|_| Identity::generate().recipient()).collect();
        for count in 1..=3 {
            // Grease comes by chance: not in every head, and never counted.
            for _ in 0..20 {
                let secret = wrap(&keys[..count], b"x").unwrap();
                let found = stanzas(secret.as_slice()).unwrap().unwrap();
                assert_eq!((found.x25519, found.others.len()), (count, 0));
            }
        }
        let head =
            |text: &str| stanzas(format!("age-encryption.org/v1\n{text}").as_bytes()).unwrap();
        let more =
            head("-> X25519 a\nAAAA\n-> a-grease b\n\n-> ssh-rsa c\nAAAA\n--- mac\n").unwrap();
        assert_eq!((more.x25519, more.others), (1, vec!["ssh-rsa".to_owned()]));
        assert_eq!(head("-> X25519 a\nAAAA\n"), None);
        assert_eq!(stanzas(&b"-> X25519 a\n--- m\n"[..]).unwrap(), None);
    }

    #[test]
    fn identity_files_have_comments() {
        let key = Identity::generate();
        let text = format!("# made today\n\n{}\n", *key.to_text());
        assert_eq!(Identity::parse_file(&text).unwrap().len(), 1);
        assert!(Identity::parse_file("# nothing\n").is_err());
        assert!("age1xyz".parse::<Recipient>().is_err());
    }

    #[test]
    fn debians_age_opens_ours_and_we_open_its() {
        let dir = tempfile::tempdir().unwrap();
        let (key, plain) = (Identity::generate(), vec![3; 100_000]);
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("key"), key.to_text().as_bytes()).unwrap();
        std::fs::write(path("plain"), &plain).unwrap();
        let ours = wrap(&[key.recipient()], &plain).unwrap();
        std::fs::write(path("ours"), ours).unwrap();
        let age = |args: &[&str]| {
            let out = Command::new("age")
                .current_dir(dir.path())
                .args(args)
                .output()
                .unwrap();
            assert!(out.status.success(), "{out:?}");
        };
        age(&["-d", "-i", "key", "-o", "opened", "ours"]);
        assert_eq!(std::fs::read(path("opened")).unwrap(), plain);
        age(&["-r", &key.recipient().to_string(), "-o", "theirs", "plain"]);
        let theirs = std::fs::read(path("theirs")).unwrap();
        assert_eq!(open(&[key], &theirs).unwrap(), plain);
    }
}
