//! What happened when: a picture of how much, in which each bar leads closer, and the events below it.

use std::sync::Arc;

use anyhow::Context as _;
use askama::Template;
use axum::{extract::State, http::Uri};
use evidence::instant::Instant;

use super::{Desk, at, link, table::cut};
use crate::{
    case::read::{Bucket, Event, Moment, Window},
    console::{
        app::App,
        view::{Answer, Frame, number, show},
    },
};

/// Bars of the picture.
const BARS: u32 = 60;
/// The picture's size in its own units.
const WIDTH: u32 = 1200;
const HEIGHT: u32 = 160;
/// Events on a page.
const A_PAGE: usize = 100;
/// No closer than this: a bar of a second.
const CLOSEST_S: i64 = 60;

#[derive(Template)]
#[template(path = "timeline.html")]
struct Page {
    frame: Frame,
    case: String,
    from: String,
    to: String,
    bars: Vec<Bar>,
    most: String,
    all: String,
    wider: Option<String>,
    whole: String,
    events: Vec<Line>,
    next: Option<String>,
}

struct Bar {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    words: String,
    link: String,
}

struct Line {
    time: String,
    host: String,
    event: String,
    subject: String,
    source: String,
    link: String,
}

/// The page.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    at(app, uri, timeline).await
}

fn timeline(app: &App, desk: &Desk) -> Answer {
    let span = desk.database.span(&Window::default())?;
    let now = Instant::now();
    let whole = match &span {
        None => (second(now, -1), second(now, 1)),
        Some((first, last)) => (parse(first)?, second(parse(last)?, 1)),
    };
    let given = |name: &str| Instant::parse(desk.fields.get(name));
    let (from, to) = (
        given("from").unwrap_or(whole.0),
        given("to").unwrap_or(whole.1),
    );
    let window = Window {
        from: Some(from),
        to: Some(to),
        ..Window::default()
    };
    let buckets = desk.database.histogram(&window, (from, to), BARS)?;
    let after = desk.fields.raw("after").map(|time| Moment {
        time: time.to_owned(),
        shown: desk.fields.get("shown").parse().unwrap_or(0),
    });
    let (events, next) = desk.database.timeline(&window, after.as_ref(), A_PAGE)?;
    let most = buckets.iter().map(|b| b.events).max().unwrap_or(0);
    let (text_from, text_to) = (text(from), text(to));
    let next = next.map(|m| {
        let shown = m.shown.to_string();
        closer(
            desk,
            &text_from,
            &text_to,
            &[("after", &m.time), ("shown", &shown)],
        )
    });
    show(&Page {
        frame: desk.frame(app, "Timeline"),
        case: desk.case.clone(),
        bars: bars(desk, &buckets, most, to.seconds - from.seconds > CLOSEST_S),
        most: number(most),
        all: number(buckets.iter().map(|b| b.events).sum()),
        wider: wider(desk, (from, to), whole),
        whole: link("/case/timeline", &[("case", &desk.case)]),
        events: events.iter().map(|event| line(desk, event)).collect(),
        from: text_from,
        to: text_to,
        next,
    })
}

fn parse(text: &str) -> anyhow::Result<Instant> {
    Instant::parse(text).context("The case has a time that can't be read. Load it anew.")
}

fn second(at: Instant, more: i64) -> Instant {
    Instant {
        seconds: at.seconds + more,
        ..at
    }
}

fn text(at: Instant) -> String {
    at.to_rfc3339().unwrap_or_default()
}

fn closer(desk: &Desk, from: &str, to: &str, more: &[(&str, &str)]) -> String {
    let mut pairs = vec![("case", desk.case.as_str()), ("from", from), ("to", to)];
    pairs.extend_from_slice(more);
    link("/case/timeline", &pairs)
}

/// Three times as long around the same middle, no longer than all there is.
fn wider(desk: &Desk, (from, to): (Instant, Instant), whole: (Instant, Instant)) -> Option<String> {
    if from <= whole.0 && to >= whole.1 {
        return None;
    }
    let length = (to.seconds - from.seconds).max(1);
    let from = second(from, -length).max(whole.0);
    let to = second(to, length).min(whole.1);
    Some(closer(desk, &text(from), &text(to), &[]))
}

fn bars(desk: &Desk, buckets: &[Bucket], most: u64, may_closer: bool) -> Vec<Bar> {
    let width = WIDTH / BARS;
    let bar = |(at, bucket): (u32, &Bucket)| {
        // The smallest one is seen all the same.
        let height = u128::from(bucket.events) * u128::from(HEIGHT) / u128::from(most.max(1));
        let height = u32::try_from(height).unwrap_or(HEIGHT).max(3);
        let link = if may_closer {
            closer(desk, &bucket.from, &bucket.to, &[])
        } else {
            String::new()
        };
        Bar {
            x: at * width + 1,
            y: HEIGHT - height,
            width: width - 2,
            height,
            words: format!("{} from {}", number(bucket.events), short(&bucket.from)),
            link,
        }
    };
    let all = (0..).zip(buckets).filter(|(_, b)| b.events > 0);
    all.map(bar).collect()
}

/// To the second.
fn short(time: &str) -> String {
    time.chars().take(19).collect::<String>().replace('T', " ")
}

fn line(desk: &Desk, event: &Event) -> Line {
    let row = event.row_id.to_string();
    Line {
        time: short(&event.time),
        host: event.host.clone(),
        event: event.event.clone(),
        subject: cut(event.subject.as_deref().unwrap_or("record")),
        source: event.source.clone(),
        link: link(
            "/case/record",
            &[
                ("case", &desk.case),
                ("source", &event.source),
                ("row", &row),
            ],
        ),
    }
}
