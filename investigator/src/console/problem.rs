//! An error as a page: what happened and what to do, inert; the status by whose fault it is.

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use crate::{
    exit::Exit,
    inert::{inert_html, inert_whole},
    remote::RemoteError,
};

/// Something that a page could not do.
pub struct Problem {
    status: StatusCode,
    causes: Vec<String>,
}

impl Problem {
    /// There is nothing of this name.
    pub fn not_found(what: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            causes: vec![what.to_owned()],
        }
    }

    /// What happened, then each cause.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        let remote = error.chain().find_map(|e| e.downcast_ref::<RemoteError>());
        let status = match remote.map(RemoteError::status) {
            Some(Some(404)) => StatusCode::NOT_FOUND,
            Some(_) => StatusCode::BAD_GATEWAY,
            None if Exit::of(&error) == Exit::Usage => StatusCode::BAD_REQUEST,
            None => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            status,
            causes: words(&error),
        }
    }
}

/// An error's chain, each link inert.
pub fn words(error: &anyhow::Error) -> Vec<String> {
    error.chain().map(|e| inert_whole(&e.to_string())).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut text = String::new();
        for (at, cause) in self.causes.iter().enumerate() {
            let head = if at == 0 { "" } else { "because: " };
            text.push_str(&format!("<p>{head}{}</p>", inert_html(cause)));
        }
        (self.status, Html(page(&text))).into_response()
    }
}

/// An answer outside any session: says what is wrong and nothing of the console.
pub fn bare(status: StatusCode, text: &str) -> Response {
    let text = format!("<p>{}</p>", inert_html(text));
    (status, Html(page(&text))).into_response()
}

/// The last page: the console has ended.
pub fn farewell(status: StatusCode) -> Response {
    let page = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Ended - Fieldseal</title></head>\
         <body><main><h1>The console has ended</h1><p>Close this page. To go on, start <code>fieldseal console</code> \
         again.</p></main></body></html>";
    (status, Html(page)).into_response()
}

fn page(text: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>It did not work - Fieldseal</title>\
         <link rel=\"stylesheet\" href=\"/assets/console.css\"></head><body class=\"bare\"><main>\
         <h1>It did not work</h1><div class=\"note bad\" role=\"alert\">{text}</div>\
         <p><a href=\"/\">To the overview</a></p></main></body></html>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_quotes_does_nothing_in_a_page() {
        let error = anyhow::anyhow!("no <script>\u{202e}").context("Reading \"x\" failed.");
        let problem = Problem::from(error);
        assert_eq!(problem.causes()[1], "no <script>\\u{202e}");
        let shown = page(&inert_html(&problem.causes()[1]));
        assert!(!shown.contains("<script>"));
    }
}
