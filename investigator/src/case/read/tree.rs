//! The processes of one collection as a tree: each below its parent.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Ask, Database, Filter, Operator, Value};

/// A process, in the order of the tree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Process {
    /// How deep it stands; 0 for one without a parent in the collection.
    pub depth: u32,
    /// Its row in `processes`.
    pub row_id: i64,
    /// Its number.
    pub pid: Option<i64>,
    /// Its parent's number.
    pub ppid: Option<i64>,
    /// The kernel's name for it.
    pub name: String,
    /// Its program.
    pub exe: String,
    /// Its arguments, as a JSON array.
    pub cmdline: String,
    /// Its user.
    pub user: String,
    /// When it was started.
    pub start_time: String,
    /// Whether it hides from the list of processes.
    pub hidden: bool,
}

impl Database {
    /// The processes of a collection, each below its parent, by number.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn process_tree(&self, collection: &str) -> anyhow::Result<Vec<Process>> {
        const COLUMNS: [&str; 8] = [
            "pid",
            "ppid",
            "name",
            "exe",
            "cmdline",
            "user",
            "start_time",
            "hidden",
        ];
        let mut ask = Ask {
            source: "processes".to_owned(),
            columns: COLUMNS.map(str::to_owned).to_vec(),
            filters: vec![Filter {
                column: "collection".to_owned(),
                operator: Operator::Is,
                value: Value::Text(collection.to_owned()),
            }],
            sort: None,
            after: None,
            limit: 10_000,
            most: None,
        };
        let mut all = Vec::new();
        loop {
            let page = self.page(&ask)?;
            all.extend(page.rows.iter().map(|row| process(row)));
            match page.next {
                Some(next) => ask.after = Some(next),
                None => return Ok(in_order(all)),
            }
        }
    }
}

fn process(row: &[Value]) -> Process {
    let number = |at: usize| match row.get(at) {
        Some(Value::Integer(number)) => Some(*number),
        _ => None,
    };
    let text = |at: usize| row.get(at).map(Value::to_text).unwrap_or_default();
    Process {
        depth: 0,
        row_id: number(0).unwrap_or_default(),
        pid: number(1),
        ppid: number(2),
        name: text(3),
        exe: text(4),
        cmdline: text(5),
        user: text(6),
        start_time: text(7),
        hidden: number(8) == Some(1),
    }
}

/// Each below its parent. What a host says of parents may go in circles: each process is taken once.
fn in_order(all: Vec<Process>) -> Vec<Process> {
    let pids: BTreeSet<_> = all.iter().filter_map(|p| p.pid).collect();
    let mut children: BTreeMap<Option<i64>, Vec<usize>> = BTreeMap::new();
    for (at, one) in all.iter().enumerate() {
        let parent = one.ppid.filter(|p| pids.contains(p) && one.pid != Some(*p));
        children.entry(parent).or_default().push(at);
    }
    let mut order = Order {
        children,
        seen: vec![false; all.len()],
        placed: Vec::with_capacity(all.len()),
    };
    for root in order.children.get(&None).cloned().unwrap_or_default() {
        order.place(&all, root);
    }
    for at in 0..all.len() {
        order.place(&all, at);
    }
    let placed = order.placed.into_iter();
    placed
        .map(|(at, depth)| Process {
            depth,
            ..all[at].clone()
        })
        .collect()
}

struct Order {
    children: BTreeMap<Option<i64>, Vec<usize>>,
    seen: Vec<bool>,
    placed: Vec<(usize, u32)>,
}

impl Order {
    /// Places a process and all below it; no recursion, since the depth is the host's to say.
    fn place(&mut self, all: &[Process], root: usize) {
        let mut waiting = vec![(root, 0)];
        while let Some((at, depth)) = waiting.pop() {
            if std::mem::replace(&mut self.seen[at], true) {
                continue;
            }
            self.placed.push((at, depth));
            if all[at].pid.is_some() {
                let below = self.children.get(&all[at].pid).into_iter().flatten();
                waiting.extend(below.rev().map(|&child| (child, depth + 1)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_once_below_its_parent_even_in_a_circle() {
        let one = |pid: i64, ppid: i64| process(&[pid, pid, ppid].map(Value::Integer));
        let all = vec![
            one(1, 0),
            one(5, 1),
            one(7, 5),
            one(6, 1),
            one(8, 9),
            one(9, 8),
            one(3, 3),
        ];
        let order: Vec<_> = in_order(all)
            .iter()
            .map(|p| (p.pid.unwrap(), p.depth))
            .collect();
        assert_eq!(
            order,
            [(1, 0), (5, 1), (7, 2), (6, 1), (3, 0), (8, 0), (9, 1)]
        );
    }
}
