//! Following against scripted answers.

use std::cell::{Cell, RefCell};

use super::*;

fn host(number: u8, state: HostState) -> OrderHost {
    OrderHost {
        agent: AgentId::from_bytes([number; 16]),
        hostname: format!("host-{number}\x1b[2J"),
        state,
        collection: None,
        progress: None,
        refusal: None,
        ended_early: None,
        parts_received: 0,
        captures: None,
    }
}

fn status(revision: u64, hosts: Vec<OrderHost>) -> OrderStatus {
    OrderStatus {
        v: 1,
        revision,
        order: String::new(),
        cancel: None,
        halted: None,
        totals: Totals::default(),
        hosts,
    }
}

fn unreachable() -> RemoteError {
    RemoteError::Unreachable {
        server: "https://h:1".into(),
        source: Box::new(ureq::Error::ConnectionFailed),
    }
}

fn judge(_: &OrderStatus, _: &OrderHost, notice: &str) -> RefusalView {
    RefusalView {
        signed: true,
        text: notice.to_owned(),
    }
}

/// What the server answers, one after the other; what it was asked; how often we paused.
struct Script {
    answers: RefCell<Vec<Result<OrderStatus, RemoteError>>>,
    asked: RefCell<Vec<u64>>,
    pauses: Cell<u32>,
    questions_left: Cell<u32>,
    is_over: Cell<bool>,
}

impl Script {
    fn new(answers: Vec<Result<OrderStatus, RemoteError>>) -> Self {
        Self {
            answers: RefCell::new(answers.into_iter().rev().collect()),
            asked: RefCell::default(),
            pauses: Cell::new(0),
            questions_left: Cell::new(100),
            is_over: Cell::new(false),
        }
    }

    fn run(&self, show: &mut dyn Show) -> anyhow::Result<Option<View>> {
        let source = Source {
            ask: &|since, _| {
                self.asked.borrow_mut().push(since);
                match self.answers.borrow_mut().pop() {
                    Some(answer) => answer,
                    // Once more for last words, of which there are none.
                    None if !self.is_over.replace(true) => Ok(status(since, vec![])),
                    None => panic!("asked too often"),
                }
            },
            judge: &judge,
            lacking: &|_| 0,
            pause: &|_| self.pauses.set(self.pauses.get() + 1),
            left: &|| {
                let left = self.questions_left.get().checked_sub(1)?;
                self.questions_left.set(left);
                Some(Duration::from_secs(60))
            },
        };
        follow(OrderId::from_bytes([9; 16]), &source, show)
    }
}

fn lines(script: &Script) -> (Option<View>, String) {
    let mut out = Vec::new();
    let last = script.run(&mut plain::Plain::new(&mut out)).unwrap();
    (last, String::from_utf8(out).unwrap())
}

#[test]
fn goes_on_across_broken_connections_from_the_last_revision() {
    let script = Script::new(vec![
        Ok(status(3, vec![host(1, HostState::Waiting)])),
        Err(unreachable()),
        Err(unreachable()),
        Ok(status(5, vec![host(1, HostState::Running)])),
        Err(unreachable()),
        Ok(status(8, vec![host(1, HostState::Delivered)])),
    ]);
    let (last, text) = lines(&script);
    assert_eq!(last.unwrap().exit(), Exit::Done);
    assert_eq!(*script.asked.borrow(), [0, 3, 3, 3, 5, 5, 8]);
    assert_eq!(script.pauses.get(), 3);
    assert_eq!(text.matches("can't be reached").count(), 2, "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn ends_when_every_host_has_settled_and_not_before() {
    let mut refused = host(2, HostState::Refused);
    refused.refusal = Some("because".into());
    let script = Script::new(vec![
        Ok(status(
            1,
            vec![host(1, HostState::Running), refused.clone()],
        )),
        Ok(status(2, vec![host(1, HostState::Delivered), refused])),
    ]);
    let (last, text) = lines(&script);
    assert_eq!(last.unwrap().exit(), Exit::Failed);
    assert_eq!(text.matches("because").count(), 1, "told once: {text}");
}

#[test]
fn what_a_host_says_last_is_waited_for() {
    let mut cut = host(1, HostState::Delivered);
    cut.ended_early = Some("cancelled by ann".into());
    let script = Script::new(vec![
        Ok(status(1, vec![host(1, HostState::Running)])),
        Ok(status(2, vec![host(1, HostState::Delivered)])),
        Ok(status(3, vec![cut])),
    ]);
    let (last, text) = lines(&script);
    assert_eq!(last.unwrap().exit(), Exit::Partial);
    assert!(text.contains("cut short: cancelled by ann"), "{text}");
}

#[test]
fn a_lasting_refusal_by_the_server_ends_it() {
    let gone = RemoteError::Refused {
        status: 404,
        what: "GET /v1/orders/o".into(),
        text: "no such order".into(),
    };
    let script = Script::new(vec![Err(gone)]);
    assert!(script.run(&mut plain::Plain::new(&mut Vec::new())).is_err());
}

#[test]
fn stops_when_the_time_is_over() {
    let script = Script::new(vec![Ok(status(1, vec![host(1, HostState::Running)]))]);
    script.questions_left.set(1);
    let (last, _) = lines(&script);
    assert_eq!(last.unwrap().exit(), Exit::Partial);
}

#[test]
fn the_exit_code_is_that_of_the_worst_host() {
    let exit = |hosts: Vec<OrderHost>| {
        let answers = vec![Ok(status(1, hosts))];
        let script = Script::new(answers);
        script.questions_left.set(1);
        script
            .run(&mut plain::Plain::new(Vec::new()))
            .unwrap()
            .unwrap()
            .exit()
    };
    let done = || host(1, HostState::Delivered);
    let mut with_gaps = host(2, HostState::Delivered);
    with_gaps.progress = Some(Progress {
        gaps: 1,
        ..Progress::default()
    });
    let mut cut = host(3, HostState::Delivered);
    cut.ended_early = Some("stopped".into());
    assert_eq!(exit(vec![done(), done()]), Exit::Done);
    assert_eq!(exit(vec![done(), with_gaps]), Exit::Partial);
    assert_eq!(exit(vec![cut]), Exit::Partial);
    assert_eq!(
        exit(vec![done(), host(2, HostState::Expired)]),
        Exit::Failed
    );
    assert_eq!(exit(vec![]), Exit::Partial);
}

#[test]
fn json_has_one_object_for_each_change() {
    let script = Script::new(vec![
        Ok(status(1, vec![host(1, HostState::Waiting)])),
        Ok(status(1, vec![host(1, HostState::Waiting)])),
        Ok(status(2, vec![host(1, HostState::Delivered)])),
    ]);
    let mut out = Vec::new();
    script.run(&mut json::Json::new(&mut out)).unwrap();
    let text = String::from_utf8(out).unwrap();
    let objects: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(objects.len(), 2, "{text}");
    assert_eq!(objects[1]["settled"], true);
    assert_eq!(objects[1]["hosts"][0]["state"], "delivered");
}

#[test]
fn an_answer_without_news_is_no_line_of_json() {
    let script = Script::new(vec![
        Ok(status(3, vec![host(1, HostState::Running)])),
        Ok(status(3, Vec::new())),
        Ok(status(4, vec![host(1, HostState::Delivered)])),
    ]);
    let mut out = Vec::new();
    script.run(&mut json::Json::new(&mut out)).unwrap();
    let lines: Vec<serde_json::Value> = serde_json::Deserializer::from_slice(&out)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let states: Vec<_> = lines.iter().map(|l| &l["hosts"][0]["state"]).collect();
    assert_eq!(states, ["running", "delivered"]);
}
