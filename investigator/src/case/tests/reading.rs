//! What can be read of a case, a page at a time.

use std::time::Duration;

use evidence::{instant::Instant, wrap::Identity};

use super::*;
use crate::case::read::{Ask, Count, Filter, Operator, Sort, Window};

fn ask(source: &str, limit: usize) -> Ask {
    Ask {
        source: source.to_owned(),
        columns: Vec::new(),
        filters: Vec::new(),
        sort: None,
        after: None,
        limit,
        most: None,
    }
}

fn is(column: &str, operator: Operator, value: Value) -> Filter {
    Filter {
        column: column.to_owned(),
        operator,
        value,
    }
}

/// Every row of all pages, by `row_id`.
fn all_pages(database: &Database, mut ask: Ask) -> Vec<i64> {
    let mut rows = Vec::new();
    loop {
        let page = database.page(&ask).unwrap();
        assert!(page.rows.len() <= ask.limit);
        for row in &page.rows {
            assert_eq!(row.len(), page.columns.len());
            match row[0] {
                Value::Integer(id) => rows.push(id),
                ref other => panic!("{other:?}"),
            }
        }
        match page.next {
            Some(next) => ask.after = Some(next),
            None => return rows,
        }
    }
}

#[test]
fn pages_leave_no_row_out_in_whatever_order() {
    let stage = Stage::new();
    let lines: Vec<String> = (0..23)
        .map(|n| match n % 3 {
            0 => format!("{{\"pid\":{n},\"name\":\"a\"}}"),
            1 => format!("{{\"pid\":{n},\"name\":\"b{n}\"}}"),
            _ => format!("{{\"pid\":{n}}}"),
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Draft::default()
        .result("processes", &lines)
        .make(&stage.evidence());
    stage.load();
    let database = stage.open();
    for limit in [1, 2, 5, 8, 22, 23, 24] {
        for sort in [None, Some("row_id"), Some("name"), Some("pid"), Some("exe")] {
            for descending in [false, true] {
                let mut ask = ask("processes", limit);
                ask.sort = sort.map(|column| Sort {
                    column: column.to_owned(),
                    descending,
                });
                let rows = all_pages(&database, ask);
                let distinct: std::collections::BTreeSet<_> = rows.iter().collect();
                let told = (limit, sort, descending);
                assert_eq!((rows.len(), distinct.len()), (23, 23), "{told:?}: {rows:?}");
                if sort == Some("pid") {
                    assert_eq!(rows[0], if descending { 23 } else { 1 });
                }
            }
        }
    }
}

#[test]
fn a_page_that_ran_out_of_time_goes_on_where_it_stopped() {
    let stage = Stage::new();
    let lines: Vec<String> = (0..1_500)
        .map(|n| {
            format!(
                "{{\"pid\":{},\"name\":\"n{}\",\"state\":\"s{}\"}}",
                n % 7,
                n % 300,
                n % 400
            )
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Draft::default()
        .result("processes", &lines)
        .make(&stage.evidence());
    stage.load();
    let database = stage.open();
    for sort in [None, Some("name"), Some("pid"), Some("exe"), Some("host")] {
        let mut ask = ask("processes", 50);
        ask.filters = vec![is("state", Operator::Contains, text("s399"))];
        ask.most = Some(Duration::ZERO);
        ask.sort = sort.map(|column| Sort {
            column: column.to_owned(),
            descending: true,
        });
        let first = database.page(&ask).unwrap();
        assert!(first.is_cut && first.rows.len() < 3, "{sort:?}");
        assert_eq!(all_pages(&database, ask.clone()).len(), 3, "{sort:?}");
        // What the index leads to is found at once.
        ask.filters.push(is("name", Operator::Is, text("n99")));
        let found = database.page(&ask).unwrap();
        assert_eq!((found.rows.len(), found.is_cut), (1, false), "{sort:?}");
    }
    let filter = [is("state", Operator::BeginsWith, text("s3"))];
    let count = |most| database.count_up_to("processes", &filter, (most, Duration::MAX / 4));
    assert_eq!(count(10).unwrap(), Count::MoreThan(10));
    let exact = database.count("processes", &filter).unwrap();
    assert_eq!(count(1_500).unwrap(), Count::Exactly(exact));
}

#[test]
fn few_rows_that_take_too_long_by_their_index_are_looked_for_in_the_order_of_the_page() {
    let stage = Stage::new();
    let lines: Vec<String> = (0..20_000)
        .map(|n| format!("{{\"pid\":{},\"state\":\"s\"}}", n % 10))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Draft::default()
        .result("processes", &lines)
        .make(&stage.evidence());
    stage.load();
    let database = stage.open();
    let mut ask = ask("processes", 50);
    ask.filters = vec![is("pid", Operator::AtLeast, Value::Integer(1))];
    ask.sort = Some(Sort {
        column: "state".to_owned(),
        descending: true,
    });
    let unhurried = database.page(&ask).unwrap();
    assert!(!unhurried.is_cut && unhurried.rows.len() == 50);
    ask.filters[0].value = Value::Integer(9);
    ask.filters
        .push(is("pid", Operator::Less, Value::Integer(11)));
    let unhurried = database.page(&ask).unwrap();
    ask.most = Some(Duration::from_secs(60));
    assert_eq!(database.page(&ask).unwrap().rows, unhurried.rows);
    ask.most = Some(Duration::ZERO);
    let hurried = database.page(&ask).unwrap();
    assert!(
        hurried.is_cut && hurried.next.is_some(),
        "it goes on from there"
    );
}

#[test]
fn hours_counted_while_loading_are_those_that_there_are() {
    let stage = Stage::new();
    let lines: Vec<String> = (0..500)
        .map(|n| {
            let (day, hour, second) = (1 + n % 28, n % 24, n % 60);
            format!("{{\"pid\":{n},\"start_time\":\"2026-03-{day:02}T{hour:02}:59:{second:02}.000000000Z\"}}")
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let draft = Draft::default().result("processes", &lines);
    let collection = draft.id();
    draft.make(&stage.evidence());
    stage.load();
    let database = stage.open();
    let times = [
        "2026-03-03T07:59:30.000000000Z",
        "2026-03-20T11:59:15.000000000Z",
    ];
    let (from, to) = (
        Instant::parse(times[0]).unwrap(),
        Instant::parse(times[1]).unwrap(),
    );
    let sum = |window: &Window, buckets| {
        let all = database.histogram(window, (from, to), buckets).unwrap();
        assert_eq!(
            (all[0].from.as_str(), all[all.len() - 1].to.as_str()),
            (times[0], times[1])
        );
        all.iter().map(|b| b.events).sum::<u64>()
    };
    let sources = vec!["processes".to_owned()];
    let one_by_one = Window {
        collection: Some(collection),
        sources: sources.clone(),
        ..Window::default()
    };
    let by_hours = Window {
        sources,
        ..Window::default()
    };
    let events = sum(&one_by_one, 60);
    assert!(events > 100, "{events}");
    for buckets in [1, 7, 60, 400] {
        assert_eq!(sum(&by_hours, buckets), events, "{buckets}");
    }
}

#[test]
fn filters_take_what_they_say() {
    let stage = Stage::new();
    two_hosts(&stage);
    stage.load();
    let database = stage.open();
    let count = |filter: Filter| database.count("processes", &[filter]).unwrap();
    assert_eq!(database.count("processes", &[]).unwrap(), 6);
    assert_eq!(count(is("host", Operator::Is, text("web-1"))), 3);
    assert_eq!(count(is("pid", Operator::Is, Value::Integer(2))), 2);
    assert_eq!(count(is("pid", Operator::Less, Value::Integer(2))), 2);
    assert_eq!(count(is("exe", Operator::BeginsWith, text("/usr"))), 2);
    assert_eq!(count(is("exe", Operator::Contains, text("MINER"))), 2);
    assert_eq!(count(is("exe", Operator::Contains, text("%"))), 0);
    assert_eq!(count(is("hidden", Operator::IsEmpty, Value::Null)), 4);
    assert_eq!(count(is("hidden", Operator::IsNot, Value::Integer(1))), 4);
    let one = Draft::default().id();
    assert_eq!(count(is("collection", Operator::Is, text(&one))), 3);
    assert_eq!(count(is("collection", Operator::Is, text("c-none"))), 0);
    for wrong in ["nothing", "pid\" OR 1 --", "rowid"] {
        let filter = is(wrong, Operator::Is, Value::Null);
        assert!(database.count("processes", &[filter]).is_err(), "{wrong}");
    }
    assert!(database.page(&ask("sqlite_master", 1)).is_err());
    assert!(database.page(&ask("parts\"; --", 1)).is_err());
}

#[test]
fn search_finds_words_phrases_beginnings_and_digests() {
    let stage = Stage::new();
    two_hosts(&stage);
    stage.load();
    let database = stage.open();
    let hits = |what: &str| database.search(what, None, None, 100).unwrap().hits.len();
    assert_eq!(hits("miner"), 4);
    assert_eq!(hits("evil.example"), 2);
    assert_eq!(hits("MINER pool"), 2);
    assert_eq!(hits("/var/log/auth.log"), 2);
    assert_eq!(hits("\"usr sbin\""), 2);
    assert_eq!(hits("\"sbin usr\""), 0);
    assert_eq!(hits("kwork*"), 2);
    assert_eq!(hits(&"ab".repeat(32)), 2);
    assert_eq!(hits(&"AB".repeat(32)), 2);
    assert_eq!(hits("x NOT OR AND ("), 0);
    assert!(database.search("\" *", None, None, 1).is_err());
    let first = database
        .search("miner", Some("processes"), None, 1)
        .unwrap();
    let hit = &first.hits[0];
    assert_eq!(
        (hit.source.as_str(), hit.host.as_str()),
        ("processes", "web-1")
    );
    assert_eq!(hit.subject.as_deref(), Some("/tmp/.x/miner"));
    let next = database
        .search("miner", Some("processes"), first.next, 1)
        .unwrap();
    assert_eq!((next.hits[0].host.as_str(), next.next), ("db-1", None));
    assert_eq!(database.search_count("miner", 3).unwrap(), 3);
    for what in ["miner".to_owned(), "ab".repeat(32)] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let found = database.search(&what, None, after, 1).unwrap();
            seen.extend(found.hits.into_iter().map(|h| (h.source, h.row_id)));
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), hits(&what), "{seen:?}");
    }
    let record = database.record(&hit.source, hit.row_id).unwrap().unwrap();
    let pid = record.fields.iter().find(|(c, _)| c.name == "pid").unwrap();
    assert_eq!(pid.1, Value::Integer(4));
    assert_eq!((record.part, record.line), (1, 3));
    assert!(database.record("processes", 999).unwrap().is_none());
}

#[test]
fn the_timeline_is_in_order_and_counted() {
    let stage = Stage::new();
    two_hosts(&stage);
    stage.load();
    let database = stage.open();
    let everything = Window::default();
    let (events, next) = database.timeline(&everything, None, 1_000).unwrap();
    assert_eq!(next, None);
    let total = i64::try_from(events.len()).unwrap();
    assert_eq!(stage.number("SELECT count(*) FROM timeline"), total);
    assert!(events.is_sorted_by_key(|e| e.time.clone()));
    for limit in [1, 3, 7] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let (page, next) = database
                .timeline(&everything, after.as_ref(), limit)
                .unwrap();
            assert!(page.len() <= limit);
            seen.extend(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, events);
    }
    let web = Window {
        host: Some("web-1".to_owned()),
        sources: vec!["processes".to_owned()],
        ..Window::default()
    };
    let (events, _) = database.timeline(&web, None, 10).unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!(events[2].event, "process started");
    let (first, last) = database.span(&web).unwrap().unwrap();
    assert_eq!(
        (first.as_str(), last.as_str()),
        (events[0].time.as_str(), events[2].time.as_str())
    );
    let at = |text: &str| Instant::parse(text).unwrap();
    let edges = (at("2026-11-01T00:00:00Z"), at("2026-11-21T00:00:00Z"));
    let buckets = database.histogram(&web, edges, 20).unwrap();
    assert_eq!(buckets.len(), 20);
    let counts: Vec<_> = buckets.iter().map(|b| b.events).collect();
    assert_eq!((counts[0], counts[1], counts[18]), (1, 1, 1));
    assert_eq!(counts.iter().sum::<u64>(), 3);
    assert!(database.histogram(&web, (edges.1, edges.0), 5).is_err());
    let all = database.histogram(&everything, edges, 7).unwrap();
    assert_eq!(
        all.iter().map(|b| b.events).sum::<u64>(),
        u64::try_from(total).unwrap()
    );
}

#[test]
fn processes_stand_below_their_parents() {
    let stage = Stage::new();
    two_hosts(&stage);
    stage.load();
    let tree = stage.open().process_tree(&Draft::default().id()).unwrap();
    let shape: Vec<_> = tree
        .iter()
        .map(|p| (p.depth, p.name.as_str(), p.hidden))
        .collect();
    assert_eq!(
        shape,
        [(0, "init", false), (1, "sshd", false), (2, "kworker", true)]
    );
    assert!(stage.open().process_tree("c-none").unwrap().is_empty());
}

#[test]
fn files_are_read_out_of_their_parts() {
    let mut stage = Stage::new();
    let vault = Identity::generate();
    let long: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let draft = Draft {
        vault: Some(vault.clone()),
        ..Draft::default()
    };
    let made = draft
        .file(b"/var/log/a", b"small")
        .file(b"/var/log/long", &long)
        .make(&stage.evidence());
    stage.options.identities = vec![vault.clone()];
    stage.load();
    let database = stage.open();
    let keys = [vault];
    let content = database.content(2).unwrap().unwrap();
    assert_eq!(content.size_bytes, Some(long.len() as u64));
    assert_eq!(content.range(&keys, 0, 10).unwrap(), long[..10]);
    assert_eq!(
        content.range(&keys, 1_000_001, 77).unwrap(),
        long[1_000_001..1_000_078]
    );
    assert_eq!(
        content.range(&keys, long.len() as u64 - 3, 100).unwrap(),
        long[long.len() - 3..]
    );
    assert!(content.range(&keys, u64::MAX, 1).unwrap().is_empty());
    let mut whole = Vec::new();
    let told = content.copy(&keys, &mut whole).unwrap();
    assert_eq!((whole == long, told.size_bytes), (true, long.len() as u64));
    assert!(content.range(&[Identity::generate()], 0, 1).is_err());
    assert!(database.content(99).is_err());
    std::fs::remove_file(made.path).unwrap();
    let gone = format!("{:#}", content.range(&keys, 0, 1).unwrap_err());
    assert!(gone.contains("not there any more"), "{gone}");
}

#[test]
fn what_takes_too_long_is_ended() {
    let stage = Stage::new();
    two_hosts(&stage);
    stage.load();
    let database = stage.open();
    database.set_deadline(Some(Duration::from_millis(20)));
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    assert!(query(&database, endless).is_err());
    database.set_deadline(None);
    query(&database, "SELECT 1").unwrap();
    let sources = database.sources().unwrap();
    let processes = sources.iter().find(|s| s.name == "processes").unwrap();
    assert_eq!(processes.rows, 6);
    assert!(
        processes
            .columns
            .iter()
            .any(|c| c.name == "start_time" && c.is_time)
    );
}
