//! The keys of the example, for tests alone: each private scalar is one byte repeated.

use evidence::keys::SigningKey;

/// PKCS#8 of a P-256 key up to its 32 bytes.
const HEAD: &[u8] = &[
    0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20,
];

fn key(byte: u8) -> SigningKey {
    SigningKey::from_pkcs8_der(&[HEAD, &[byte; 32]].concat()).unwrap()
}

macro_rules! keys {
    ($($name:ident $byte:literal,)*) => {
        $(pub(crate) fn $name() -> SigningKey {
            key($byte)
        })*
    };
}

keys! {
    root 0x01,
    time 0x02,
    ann 0x03,
    bob 0x04,
    eve 0x05,
    seal 0x06,
}
