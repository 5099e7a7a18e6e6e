//! As much of Sigma as our own rules use: `Message|contains` with and without `all`, and a condition of two selections or three.

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Whether the rule in `text` (YAML) fires for a line of the journal.
///
/// # Errors
/// The rule uses what this does not know.
pub fn fires(text: &str, line: &str) -> anyhow::Result<bool> {
    let rule: Value = serde_norway::from_str(text)?;
    for wanted in ["title", "id", "status", "logsource", "level"] {
        rule.get(wanted).with_context(|| format!("no {wanted}"))?;
    }
    let detection = &rule["detection"];
    let condition = detection["condition"].as_str().context("no condition")?;
    let holds = |name: &str| selected(&detection[name], line);
    match condition.split(' ').collect::<Vec<_>>().as_slice() {
        [one, "and", "not", other] => Ok(holds(one)? && !holds(other)?),
        [one, "or", other, "and", "not", third] if one.starts_with('(') => {
            let either = holds(one.trim_start_matches('('))? || holds(other.trim_end_matches(')'))?;
            Ok(either && !holds(third)?)
        }
        [one, "or", other] => Ok(holds(one)? || holds(other)?),
        _ => bail!("a condition of another kind: {condition}"),
    }
}

fn selected(selection: &Value, line: &str) -> anyhow::Result<bool> {
    let fields = selection.as_object().context("no such selection")?;
    let mut holds = true;
    for (field, values) in fields {
        let values = values.as_array().context("no list")?;
        let mut texts = values.iter().filter_map(Value::as_str);
        holds &= match field.as_str() {
            "Message|contains|all" => texts.all(|text| line.contains(text)),
            "Message|contains" => texts.any(|text| line.contains(text)),
            other => bail!("a field of another kind: {other}"),
        };
    }
    Ok(holds)
}
