//! What stands on the screen at the end, to be read from across a room, and what to write on the paper form.

use evidence::count;

use crate::reader::outcome::Outcome;

/// Letters of five rows, of which each is five wide; those of the words below.
const LETTERS: &[(char, [&str; 5])] = &[
    ('A', [" ### ", "#   #", "#####", "#   #", "#   #"]),
    ('C', [" ####", "#    ", "#    ", "#    ", " ####"]),
    ('D', ["#### ", "#   #", "#   #", "#   #", "#### "]),
    ('E', ["#####", "#    ", "#### ", "#    ", "#####"]),
    ('F', ["#####", "#    ", "#### ", "#    ", "#    "]),
    ('G', [" ####", "#    ", "#  ##", "#   #", " ####"]),
    ('H', ["#   #", "#   #", "#####", "#   #", "#   #"]),
    ('I', ["#####", "  #  ", "  #  ", "  #  ", "#####"]),
    ('L', ["#    ", "#    ", "#    ", "#    ", "#####"]),
    ('M', ["#   #", "## ##", "# # #", "#   #", "#   #"]),
    ('N', ["#   #", "##  #", "# # #", "#  ##", "#   #"]),
    ('O', [" ### ", "#   #", "#   #", "#   #", " ### "]),
    ('P', ["#### ", "#   #", "#### ", "#    ", "#    "]),
    ('S', [" ####", "#    ", " ### ", "    #", "#### "]),
    ('T', ["#####", "  #  ", "  #  ", "  #  ", "  #  "]),
    ('W', ["#   #", "#   #", "# # #", "## ##", "#   #"]),
];
const ROWS: usize = 5;

/// A word in large letters; other characters are gaps.
fn large(word: &str) -> String {
    let row = |at: usize| {
        let drawn = word.chars().map(|letter| {
            let found = LETTERS.iter().find(|(known, _)| *known == letter);
            found.map_or("     ", |(_, rows)| rows[at])
        });
        drawn.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    };
    (0..ROWS).map(row).collect::<Vec<_>>().join("\n")
}

/// The first digits of the last part's SHA-256, which stands on all parts before it, as people write them down.
pub fn fingerprint(outcome: &Outcome) -> Option<String> {
    Some(outcome.parts.last()?.sha256.fingerprint())
}

/// How it ended, for whoever stands before the host.
pub fn ended(outcome: &Outcome) -> String {
    let counts = &outcome.counts;
    let (word, why) = match (&outcome.ended_early, counts.gaps) {
        (None, 0) => (
            "COMPLETE",
            "Nothing that was asked for is missing.".to_owned(),
        ),
        (None, gaps) => (
            "COMPLETE\nWITH GAPS",
            format!(
                "{} could not be had, {} of them serious; the evidence lists each with its reason.",
                count::of(gaps, "thing", "things"),
                counts.serious_gaps
            ),
        ),
        (Some(why), _) => (
            "ENDED\nWITH GAPS",
            format!("It ended early: {why}. What was sealed is sound. Collect again if you can."),
        ),
    };
    let why = match outcome.without_room {
        0 => why,
        files => format!(
            "{why}\nTHE STICK IS FULL: there was no room for {files} of the files. Hand it in, or bring a larger one, and collect again."
        ),
    };
    let word: Vec<_> = word.split('\n').map(large).collect();
    let last = outcome.parts.last().map_or(0, |part| part.part);
    format!(
        "\n{}\n\n{why}\n{} records, {} files, {} part(s) in\n  {}\n\nWrite on the form:\n  collection   {}\n  fingerprint  {}\n  (the first digits of the SHA-256 of part {last})\n\nNow unmount the stick, and only then pull it out.",
        word.join("\n\n"),
        counts.records,
        counts.files,
        outcome.parts.len(),
        outcome.folder.display(),
        outcome.collection,
        fingerprint(outcome).unwrap_or_default(),
    )
}

/// That nothing, or not all, came of it.
pub fn failed() -> String {
    format!("\n{}\n", large("FAILED"))
}

#[cfg(test)]
mod tests {
    use evidence::{digest::Digest, ids::CollectionId, records::Counts};

    use super::*;
    use crate::reader::outcome::SealedPart;

    fn outcome(gaps: u64, ended_early: Option<&str>) -> Outcome {
        Outcome {
            collection: CollectionId::from_bytes([1; 16]),
            folder: "/media/stick/evidence".into(),
            parts: vec![SealedPart {
                part: 3,
                size_bytes: 1,
                sha256: Digest([0xab; 32]),
            }],
            counts: Counts {
                gaps,
                ..Counts::default()
            },
            ended_early: ended_early.map(str::to_owned),
            without_room: 0,
            seal_fingerprint: Digest([0; 32]),
        }
    }

    #[test]
    fn every_letter_of_every_word_is_drawn() {
        for word in ["COMPLETE", "WITHGAPS", "ENDED", "FAILED"] {
            let known = |letter| LETTERS.iter().any(|(l, _)| *l == letter);
            assert!(word.chars().all(known), "{word}");
        }
    }

    #[test]
    fn the_form_gets_what_anybody_can_compare() {
        let text = ended(&outcome(0, None));
        assert!(text.contains("abab abab abab abab") && text.contains("SHA-256 of part 3"));
        assert!(ended(&outcome(2, None)).contains("2 things could not be had"));
        assert!(ended(&outcome(0, Some("the disk is full"))).contains("the disk is full"));
        let mut full = outcome(2, None);
        assert!(!ended(&full).contains("FULL"));
        full.without_room = 1;
        assert!(ended(&full).contains("THE STICK IS FULL: there was no room for 1 of"));
    }
}
