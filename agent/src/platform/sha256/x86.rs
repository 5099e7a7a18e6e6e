//! x86-64 with the SHA extensions: four rounds of each of two messages by turns. More than two gain nothing more: the
//! unit begins two rounds every other cycle, and a message's next two wait for four.
//!
//! The order of the instructions for one message is that of Intel's paper on the SHA extensions (2013).

use std::arch::{is_x86_feature_detected, x86_64::*};

use super::{Block, State};

/// The round constants (FIPS 180-4, 4.2.2).
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// Works both messages, of one length, into their states; tells whether it did.
pub(super) fn compress(states: [&mut State; 2], messages: [&[Block]; 2]) -> bool {
    if !is_x86_feature_detected!("sha") || !is_x86_feature_detected!("sse4.1") {
        return false;
    }
    // SAFETY: the processor has what the function was compiled for; it was asked just now.
    unsafe { both(states, messages) };
    true
}

/// A message between two rounds.
struct Message {
    abef: __m128i,
    cdgh: __m128i,
    /// The last sixteen words of the schedule.
    words: [__m128i; 4],
}

/// The rounds from four times `$round` on, of each message by turns. Not a loop: a loop is not unrolled where the
/// program is made small, and the words must stay in registers.
macro_rules! four_rounds {
    ($round:literal: $($message:ident),*) => {
        let k = _mm_set_epi32(
            K[4 * $round + 3] as i32,
            K[4 * $round + 2] as i32,
            K[4 * $round + 1] as i32,
            K[4 * $round] as i32,
        );
        $(
            let words = &mut $message.words;
            if $round >= 4 {
                // W[t-16] and W[t-15], then W[t-7], then W[t-2].
                let sum = _mm_sha256msg1_epu32(words[$round % 4], words[($round + 1) % 4]);
                let seven = _mm_alignr_epi8::<4>(words[($round + 3) % 4], words[($round + 2) % 4]);
                let sum = _mm_add_epi32(sum, seven);
                words[$round % 4] = _mm_sha256msg2_epu32(sum, words[($round + 3) % 4]);
            }
            let sum = _mm_add_epi32(words[$round % 4], k);
            $message.cdgh = _mm_sha256rnds2_epu32($message.cdgh, $message.abef, sum);
            let sum = _mm_shuffle_epi32::<0x0e>(sum);
            $message.abef = _mm_sha256rnds2_epu32($message.abef, $message.cdgh, sum);
        )*
    };
}

#[target_feature(enable = "sha,sse4.1")]
fn both([left, right]: [&mut State; 2], [first, second]: [&[Block]; 2]) {
    let (mut one, mut other) = (begun(left), begun(right));
    for (first, second) in first.iter().zip(second) {
        let before = (one.abef, one.cdgh, other.abef, other.cdgh);
        one.words = big_endian(first);
        other.words = big_endian(second);
        four_rounds!(0: one, other);
        four_rounds!(1: one, other);
        four_rounds!(2: one, other);
        four_rounds!(3: one, other);
        four_rounds!(4: one, other);
        four_rounds!(5: one, other);
        four_rounds!(6: one, other);
        four_rounds!(7: one, other);
        four_rounds!(8: one, other);
        four_rounds!(9: one, other);
        four_rounds!(10: one, other);
        four_rounds!(11: one, other);
        four_rounds!(12: one, other);
        four_rounds!(13: one, other);
        four_rounds!(14: one, other);
        four_rounds!(15: one, other);
        one.abef = _mm_add_epi32(one.abef, before.0);
        one.cdgh = _mm_add_epi32(one.cdgh, before.1);
        other.abef = _mm_add_epi32(other.abef, before.2);
        other.cdgh = _mm_add_epi32(other.cdgh, before.3);
    }
    *left = state_of(&one);
    *right = state_of(&other);
}

/// A state as the instructions want it.
#[inline]
#[target_feature(enable = "sse4.1")]
fn begun(state: &State) -> Message {
    let [a, b, c, d, e, f, g, h] = state.map(|word| word as i32);
    Message {
        abef: _mm_set_epi32(a, b, e, f),
        cdgh: _mm_set_epi32(c, d, g, h),
        words: [_mm_setzero_si128(); 4],
    }
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn state_of(Message { abef, cdgh, .. }: &Message) -> State {
    [
        _mm_extract_epi32::<3>(*abef),
        _mm_extract_epi32::<2>(*abef),
        _mm_extract_epi32::<3>(*cdgh),
        _mm_extract_epi32::<2>(*cdgh),
        _mm_extract_epi32::<1>(*abef),
        _mm_extract_epi32::<0>(*abef),
        _mm_extract_epi32::<1>(*cdgh),
        _mm_extract_epi32::<0>(*cdgh),
    ]
    .map(|word| word as u32)
}

/// The block's sixteen words, the first of each four lowest.
#[inline]
#[target_feature(enable = "sse4.1")]
fn big_endian(block: &Block) -> [__m128i; 4] {
    let quarter = |at: usize| {
        let bytes = block.as_chunks::<16>().0[at];
        u128::from_le_bytes(bytes)
    };
    [
        swapped(quarter(0)),
        swapped(quarter(1)),
        swapped(quarter(2)),
        swapped(quarter(3)),
    ]
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn swapped(bytes: u128) -> __m128i {
    let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    _mm_shuffle_epi8(_mm_set_epi64x((bytes >> 64) as i64, bytes as i64), order)
}
