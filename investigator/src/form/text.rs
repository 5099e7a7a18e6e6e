//! Forms as text.

use std::fmt::{self, Write as _};

use super::{Form, hands};
use crate::inert::inert;

const LINE: &str = "________________________";

/// All forms, a page each.
pub fn whole(forms: &[Form]) -> String {
    let mut out = String::new();
    for form in forms {
        // Writing to a string does not fail.
        let _infallible = one(&mut out, form);
    }
    out
}

fn one(out: &mut String, form: &Form) -> fmt::Result {
    writeln!(
        out,
        "CHAIN OF CUSTODY, collection {}\n",
        inert(&form.collection)
    )?;
    if !form.is_genuine() {
        writeln!(out, "{}", "#".repeat(72))?;
        writeln!(
            out,
            "##   N O T   G E N U I N E :   D O   N O T   R E L Y   O N   T H I S   ##"
        )?;
        writeln!(out, "{}\n", "#".repeat(72))?;
    }
    writeln!(
        out,
        "{}\n{}\n",
        form.verdict.headline(),
        form.verdict.meaning()
    )?;
    for reason in &form.against {
        writeln!(out, "  - {}", inert(reason))?;
    }
    for group in &form.groups {
        writeln!(out, "\n{}", group.title)?;
        for (label, value) in &group.facts {
            writeln!(out, "  {label:<34} {}", inert(value))?;
        }
    }
    writeln!(out, "\nFiles")?;
    for part in &form.parts {
        let (number, file, size) = (&part.number, inert(&part.file), part.size_bytes);
        writeln!(out, "  Part {number}: {file}, {size} bytes")?;
        writeln!(out, "    SHA-256                 {}", part.stored_sha256)?;
        writeln!(out, "    SHA-256 when decrypted  {}", part.plain_sha256)?;
        writeln!(out, "    Sealed at or before     {}", part.sealed)?;
    }
    writeln!(out, "\nReceipts")?;
    for paper in &form.papers {
        let mark = if paper.is_proof { "+" } else { "-" };
        writeln!(out, "  {mark} {}: {}", paper.of, inert(&paper.says))?;
    }
    handed_over(out, form)
}

fn handed_over(out: &mut String, form: &Form) -> fmt::Result {
    writeln!(out, "\nHands")?;
    for hand in &form.hands {
        let (from, to) = (inert(&hand.from), inert(&hand.to));
        writeln!(
            out,
            "  {}: from {from} to {to}, {}",
            hand.when, hand.purpose
        )?;
    }
    for _ in 0..hands::EMPTY_ROWS {
        writeln!(
            out,
            "\n  Date and time {LINE}  purpose, condition, seal {LINE}"
        )?;
        writeln!(out, "  Handed over by {LINE}  signature {LINE}")?;
        writeln!(out, "  Received by    {LINE}  signature {LINE}")?;
    }
    let operator = inert(&form.operator);
    writeln!(
        out,
        "\nSignatures\n\n  Collected by {operator} {LINE}\n\n  Witness {LINE}\n\n  This form checked by {LINE}\n\u{c}"
    )
}
