//! Where the data of a sparse file lies: a file that claims a terabyte is stored by what it really holds.

use std::fs::File;

use evidence::{gap::Reason, records::Extent};

use crate::platform::tree::{self, Errno};

/// A sparse file claiming more than this is stored by its data extents.
pub(super) const SPARSE_BYTES: u64 = 1 << 30;
/// How many extents a record lists.
const AT_MOST: usize = 4096;

/// The data extents of `file`, in order.
///
/// # Errors
/// There are too many for a record, or the system can't tell.
pub(super) fn of(file: &File, size_bytes: u64) -> Result<Vec<Extent>, (Reason, String)> {
    let refused = |e: Errno| {
        let text = format!("where a sparse file's data lies can't be asked: {e}");
        (Reason::ReadError, text)
    };
    let (mut extents, mut at) = (Vec::new(), 0);
    while at < size_bytes {
        let Some((start, end)) = tree::next_data(file, at).map_err(refused)? else {
            break;
        };
        let end = end.min(size_bytes);
        if end <= start {
            break;
        }
        if extents.len() == AT_MOST {
            let text = format!("a sparse file with more than {AT_MOST} runs of data");
            return Err((Reason::Limit, text));
        }
        extents.push(Extent {
            offset_bytes: start,
            size_bytes: end - start,
        });
        at = end;
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn a_terabyte_of_holes_is_told_by_its_data() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        file.write_all_at(b"x", 1 << 39).unwrap();
        let found = of(&file, 1 << 40).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].offset_bytes <= 1 << 39);
        assert!(found[0].size_bytes < 1 << 20);
    }
}
