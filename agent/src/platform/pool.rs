//! An allocator that keeps the middling blocks for itself, so that memory stays bounded whatever the tree holds.
//!
//! Every entry of an archive takes and gives back the state of a compressor, some hundred KiB, while the directory
//! grows by small pieces that stay. A general allocator puts those into the holes of these, and its heap grows with
//! every file (measured with glibc: 3 KiB an entry, 150 MB at 200,000). Here such blocks are used again as they are.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::Mutex,
};

/// Which blocks are kept, and how many bytes of them at most.
const SMALLEST: usize = 16 * 1024;
const LARGEST: usize = 512 * 1024;
const KEPT_BYTES: usize = 6 * 1024 * 1024;
const KEPT: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Pool {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// Address and layout of blocks that nobody uses.
    blocks: [Option<(usize, Layout)>; KEPT],
    bytes: usize,
}

impl Pool {
    /// An allocator that keeps nothing yet.
    #[expect(clippy::new_without_default, reason = "made in a static")]
    pub const fn new() -> Self {
        Self {
            kept: Mutex::new(Kept {
                blocks: [None; KEPT],
                bytes: 0,
            }),
        }
    }

    fn take(&self, layout: Layout) -> Option<*mut u8> {
        // Never waits: whoever comes second asks the system.
        let mut kept = self.kept.try_lock().ok()?;
        let fits = |b: &Option<(usize, Layout)>| b.is_some_and(|(_, l)| l == layout);
        let place = kept.blocks.iter().position(fits)?;
        let (address, _) = kept.blocks.get_mut(place)?.take()?;
        kept.bytes -= layout.size();
        Some(std::ptr::with_exposed_provenance_mut(address))
    }

    /// Whether the block is kept.
    fn keep(&self, block: *mut u8, layout: Layout) -> bool {
        let Ok(mut kept) = self.kept.try_lock() else {
            return false;
        };
        if kept.bytes + layout.size() > KEPT_BYTES {
            return false;
        }
        let Some(place) = kept.blocks.iter_mut().find(|b| b.is_none()) else {
            return false;
        };
        *place = Some((block.expose_provenance(), layout));
        kept.bytes += layout.size();
        true
    }
}

fn is_middling(size: usize) -> bool {
    (SMALLEST..=LARGEST).contains(&size)
}

// SAFETY: every block comes from `System` with the layout that it is asked for here, and is in one place only: with
// its user, or kept. A kept block is given out for the very layout with which it was allocated, and only once, since
// it is taken out under the lock. Nothing here allocates, panics or unwinds: the lock is only tried, and its data has
// a fixed size.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_middling(layout.size())
            && let Some(block) = self.take(layout)
        {
            return block;
        }
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_middling(layout.size()) && self.keep(block, layout) {
            return;
        }
        // SAFETY: it came from `System` with this layout, and is not kept.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_middling(layout.size())
            && let Some(block) = self.take(layout)
        {
            // SAFETY: the block is as long as `layout` says, and ours alone.
            unsafe { block.write_bytes(0, layout.size()) };
            return block;
        }
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the block came from `System` with `layout`; the caller's promise about `new_size` is handed on.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_given_out_again_for_its_own_layout_only() {
        let pool = Pool::new();
        let layout = Layout::from_size_align(100_000, 64).unwrap();
        let other = Layout::from_size_align(100_000, 8).unwrap();
        // SAFETY: the layouts are of more than no bytes, and each block is given back with its own.
        unsafe {
            let first = pool.alloc(layout);
            first.write_bytes(7, layout.size());
            pool.dealloc(first, layout);
            let strange = pool.alloc(other);
            assert_ne!(strange, first);
            let again = pool.alloc_zeroed(layout);
            assert_eq!(again, first);
            assert!(
                std::slice::from_raw_parts(again, layout.size())
                    .iter()
                    .all(|b| *b == 0)
            );
            let second = pool.alloc(layout);
            assert_ne!(second, again);
            for block in [again, second] {
                pool.dealloc(block, layout);
            }
            pool.dealloc(strange, other);
        }
    }

    #[test]
    fn no_more_is_kept_than_was_said() {
        let pool = Pool::new();
        let layout = Layout::from_size_align(LARGEST, 8).unwrap();
        // SAFETY: the layout is of more than no bytes, and each block is given back with it.
        unsafe {
            let blocks: Vec<*mut u8> = (0..40).map(|_| pool.alloc(layout)).collect();
            for block in blocks {
                pool.dealloc(block, layout);
            }
        }
        let kept = pool.kept.lock().unwrap();
        assert!(kept.bytes <= KEPT_BYTES);
        assert_eq!(kept.bytes, kept.blocks.iter().flatten().count() * LARGEST);
    }
}
