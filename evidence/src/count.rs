//! Numbers with their nouns, for people.

/// `1 gap`, `2 gaps`: the number with the noun that fits it.
pub fn of(number: impl Into<u64>, one: &str, many: &str) -> String {
    match number.into() {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_is_not_many() {
        let gaps = |n: u64| super::of(n, "gap", "gaps");
        assert_eq!([gaps(0), gaps(1), gaps(2)], ["0 gaps", "1 gap", "2 gaps"]);
    }
}
