//! What is sealed stays, what is not goes, and the end of a chain finds its room.

use super::*;

const ID: CollectionId = CollectionId::from_bytes([0; 16]);

fn begun(parent: &Path) -> Spool {
    Spool::begin(parent, ID, Wrapping::None, Floor::NONE).unwrap()
}

fn fill(spool: &mut Spool, slot: u32, bytes: &[u8]) {
    let mut file = spool.open_slot(slot, false).unwrap();
    file.write_all(bytes).unwrap();
}

fn seal(spool: &mut Spool, slot: u32, part: u32, bytes: &[u8]) -> Result<PathBuf, SpoolError> {
    spool.seal(slot, part, bytes.len() as u64, "{}")
}

fn names(spool: &Spool) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(spool.folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn slots_are_open_side_by_side_and_parts_are_numbered_as_they_are_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = begun(folder.path());
    fill(&mut spool, 1, b"one");
    fill(&mut spool, 2, b"two");
    assert!(matches!(
        seal(&mut spool, 2, 2, b"two"),
        Err(SpoolError::OutOfTurn(_))
    ));
    seal(&mut spool, 2, 1, b"two").unwrap();
    let second = seal(&mut spool, 1, 2, b"one").unwrap();
    assert_eq!(fs::read(second).unwrap(), b"one");
    let expected = [
        "part-0001.statement.json",
        "part-0001.zip",
        "part-0002.statement.json",
        "part-0002.zip",
    ];
    assert_eq!(names(&spool), expected);
}

#[test]
fn what_is_not_sealed_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = begun(folder.path());
    fill(&mut spool, 1, b"one");
    fill(&mut spool, 2, b"two");
    spool.discard(1);
    assert_eq!(names(&spool), ["slot-00000002.partial"]);
    let path = spool.folder().to_owned();
    drop(spool);
    // As after kill -9: nothing was tidied up.
    fs::write(path.join("slot-00000002.partial"), "x").unwrap();
    let spool = begun(folder.path());
    assert_eq!(names(&spool), Vec::<String>::new());
}

#[test]
fn the_closing_part_and_its_statement_lie_in_the_room_that_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = begun(folder.path());
    spool.reserve(1 << 20).unwrap();
    assert_eq!(
        names(&spool),
        ["closing.partial", "closing.statement.partial"]
    );
    let mut file = spool.open_slot(1, true).unwrap();
    file.write_all(b"end").unwrap();
    seal(&mut spool, 1, 1, b"end").unwrap();
    assert_eq!(names(&spool), ["part-0001.statement.json", "part-0001.zip"]);
    // A second one is a file as any other.
    fill(&mut spool, 2, b"x");
    spool.reserve(1 << 20).unwrap();
    drop(spool);
    let left = fs::read_dir(folder.path().join(ID.to_string())).unwrap();
    assert_eq!(left.count(), 2);
}

#[test]
fn a_folder_that_another_process_writes_into_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = begun(folder.path());
    fill(&mut spool, 1, b"one");
    let second = Spool::begin(folder.path(), ID, Wrapping::None, Floor::NONE);
    assert!(matches!(second, Err(SpoolError::InUse(_))));
    assert_eq!(names(&spool), ["slot-00000001.partial"]);
}

#[test]
fn a_part_that_is_not_what_was_sealed_is_removed_and_its_number_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = begun(folder.path());
    fill(&mut spool, 1, b"evidenc");
    let refused = seal(&mut spool, 1, 1, b"evidence").unwrap_err();
    assert!(refused.is_of_one_slot(), "{refused}");
    assert_eq!(names(&spool), Vec::<String>::new());
    fill(&mut spool, 2, b"evidence");
    seal(&mut spool, 2, 1, b"evidence").unwrap();
}

#[test]
fn a_collection_is_taken_up_where_it_stood_even_when_parts_were_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = begun(folder.path());
    for part in 1..=2 {
        fill(&mut spool, part, b"x");
        seal(&mut spool, part, part, b"x").unwrap();
    }
    fs::rename(spool.part_path(1), spool.folder().join("part-0001.receipt")).unwrap();
    drop(spool);
    assert_eq!(begun(folder.path()).durable(), 2);
}

#[test]
fn the_floor_of_free_space_holds_up_all_but_the_closing_part() {
    let folder = tempfile::tempdir().unwrap();
    let floor = Floor::at_least(u64::MAX);
    let mut spool = Spool::begin(folder.path(), ID, Wrapping::None, floor).unwrap();
    let refused = spool.open_slot(1, false).unwrap_err();
    assert!(matches!(refused, SpoolError::NoRoom { .. }), "{refused}");
    assert!(refused.is_of_one_slot());
    spool.open_slot(1, true).unwrap();
}
