//! What only all parts together can settle: files in pieces, and further names of stored files.
//!
//! Said only where every part was opened; else the missing ones may hold what is looked for.

use std::collections::{BTreeMap, HashSet};

use super::{
    part::PartReport,
    records::PieceSeen,
    verdict::{Code, Findings},
};

/// Checks pieces and links over the parts of one collection, in their order.
pub(super) fn check(parts: &[PartReport], findings: &mut Findings) {
    let whole = parts.last().is_some_and(|p| p.last == Some(true));
    let numbered = parts
        .iter()
        .enumerate()
        .all(|(at, p)| p.opened && p.number.map(u64::from) == Some(at as u64 + 1));
    if whole && numbered {
        check_links(parts, findings);
        check_pieces(parts, findings);
    }
}

fn check_links(parts: &[PartReport], findings: &mut Findings) {
    let stored: HashSet<u64> = parts
        .iter()
        .flat_map(|p| &p.across.stored)
        .copied()
        .collect();
    for part in parts {
        for link in &part.across.links {
            if !stored.contains(&link.to) {
                let text = format!("Its record names {}.", link.name);
                findings.add(Code::LinkAbsent, &*part.file, text);
            }
        }
    }
}

/// Each file's pieces, by attempt: a run that was taken up again repeats unfinished files whole.
fn check_pieces(parts: &[PartReport], findings: &mut Findings) {
    let mut files: BTreeMap<(&str, u32), Vec<&PieceSeen>> = BTreeMap::new();
    for part in parts {
        let attempt = part.record.as_ref().map_or(1, |r| r.attempt);
        for piece in &part.across.pieces {
            let key = (piece.path.as_str(), attempt);
            files.entry(key).or_default().push(piece);
        }
    }
    let whole: HashSet<&str> = files
        .iter_mut()
        .filter_map(|((path, _), pieces)| is_whole(pieces).then_some(*path))
        .collect();
    let broken: HashSet<&str> = files
        .keys()
        .map(|(path, _)| *path)
        .filter(|path| !whole.contains(path))
        .collect();
    let mut broken: Vec<_> = broken.into_iter().collect();
    broken.sort_unstable();
    for path in broken {
        findings.add(Code::PieceMissing, path, "Its pieces do not join.");
    }
}

/// Numbered from 1 to the one that says `last`, each starting where the one before ends.
fn is_whole(pieces: &mut [&PieceSeen]) -> bool {
    pieces.sort_by_key(|p| p.number);
    let mut offset = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let is_last = at + 1 == pieces.len();
        if u64::from(piece.number) != at as u64 + 1
            || piece.offset_bytes != offset
            || piece.last != is_last
        {
            return false;
        }
        offset = offset.saturating_add(piece.size_bytes);
    }
    !pieces.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(number: u32, offset_bytes: u64, last: bool) -> PieceSeen {
        PieceSeen {
            path: "/f".into(),
            number,
            offset_bytes,
            size_bytes: 10,
            last,
        }
    }

    #[test]
    fn pieces_join_only_without_hole_or_end() {
        let whole = |pieces: &[PieceSeen]| is_whole(&mut pieces.iter().collect::<Vec<_>>());
        assert!(whole(&[piece(2, 10, true), piece(1, 0, false)]));
        assert!(!whole(&[piece(1, 0, false), piece(2, 10, false)]));
        assert!(!whole(&[piece(2, 10, true)]));
        assert!(!whole(&[piece(1, 0, false), piece(2, 11, true)]));
        assert!(!whole(&[piece(1, 0, true), piece(2, 10, true)]));
        assert!(!whole(&[
            piece(1, 0, false),
            piece(1, 0, false),
            piece(2, 10, true)
        ]));
    }
}
