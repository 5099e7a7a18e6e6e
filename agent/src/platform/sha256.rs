//! The block function of SHA-256 (FIPS 180-4, 6.2.2) over two messages at once.
//!
//! A processor's SHA unit can begin the next round of another message while one is under way; a single message leaves
//! it idle most of the time.
//!
//! # Platform behaviour
//! On x86-64 with the SHA extensions both messages go through together; elsewhere one after the other, through `sha2`.

#[cfg(target_arch = "x86_64")]
mod x86;

/// Bytes in a block.
pub const BLOCK_BYTES: usize = 64;

/// A block.
pub type Block = [u8; BLOCK_BYTES];
/// What a message's blocks so far have come to: H0 to H7.
pub type State = [u32; 8];

/// Before the first block (FIPS 180-4, 5.3.3).
pub const START: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A message's state and its next blocks.
pub type Lane<'a> = (&'a mut State, &'a [Block]);

/// Works the blocks of both lanes into their states, as many as the shorter one has; gives how many of each.
pub fn compress(one: Lane<'_>, other: Lane<'_>) -> usize {
    let blocks = one.1.len().min(other.1.len());
    let (first, second) = (&one.1[..blocks], &other.1[..blocks]);
    if !together([&mut *one.0, &mut *other.0], [first, second]) {
        sha2::block_api::compress256(one.0, first);
        sha2::block_api::compress256(other.0, second);
    }
    blocks
}

/// Whether the processor did both at once.
#[cfg(target_arch = "x86_64")]
fn together(states: [&mut State; 2], messages: [&[Block]; 2]) -> bool {
    x86::compress(states, messages)
}

#[cfg(not(target_arch = "x86_64"))]
fn together(_: [&mut State; 2], _: [&[Block]; 2]) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks that follow no pattern.
    fn noise(blocks: usize, seed: u64) -> Vec<Block> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        let mut block = || std::array::from_fn(|_| next());
        (0..blocks).map(|_| block()).collect()
    }

    #[test]
    fn both_lanes_agree_with_sha2_and_the_longer_one_waits() {
        for blocks in [0, 1, 2, 7, 100] {
            let messages = [noise(blocks, 1), noise(blocks + 3, 2)];
            let (mut states, mut expected) = ([START, [7; 8]], [START, [7; 8]]);
            let [one, other] = &mut states;
            let done = compress((one, &messages[0]), (other, &messages[1]));
            assert_eq!(done, blocks);
            for (state, message) in expected.iter_mut().zip(&messages) {
                sha2::block_api::compress256(state, &message[..blocks]);
            }
            assert_eq!(states, expected, "{blocks} blocks");
        }
    }

    #[test]
    fn the_example_of_the_standard() {
        // FIPS 180-4, "abc": one block with its padding.
        let mut block = [0; BLOCK_BYTES];
        block[..4].copy_from_slice(b"abc\x80");
        block[63] = 24;
        let (mut one, mut other) = (START, START);
        let blocks = [block];
        compress((&mut one, &blocks), (&mut other, &blocks));
        assert_eq!((one[0], one[7]), (0xba78_16bf, 0xf200_15ad));
        assert_eq!(one, other);
    }
}
