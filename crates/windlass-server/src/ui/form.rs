//! What a form sends, and the way back to the page that it stood on.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use windlass_core::store::PerItem;
use windlass_core::{JobId, Rejection};
use windlass_look::{Flash, is_local};

use super::page::Wrong;
use super::visit::Visit;
use super::words;
use crate::answer::Fault;
use crate::read;

/// The largest payload, each byte of it escaped, and the fields around it.
const FORM_BYTES_MOST: usize = 4 << 20;
/// What forms of browsers are.
const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";
/// Lines of a flash that say why something was not done; the rest is counted.
const REASONS_SHOWN: usize = 5;

/// The fields of a form, in their order.
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a form of at most that many bytes.
    pub(crate) async fn read(request: Request, most: usize) -> Result<Self, Fault> {
        let media_type =
            request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if !media_type.starts_with(MEDIA_TYPE.as_bytes()) {
            return Err(Fault::new("unsupported_media_type", format!("a form is {MEDIA_TYPE}")));
        }
        let too_large =
            |_| Fault::new("too_large", format!("a form of more than {most} bytes, or one that broke off"));
        let body = to_bytes(request.into_body(), most).await.map_err(too_large)?;
        Ok(Self(form_urlencoded::parse(&body).into_owned().collect()))
    }

    /// The fields of a text that [`spelled`] made.
    pub(crate) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The field of that name; an absent one is empty.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// The same without space around it, which nobody sees in a field.
    pub(crate) fn word(&self, name: &str) -> &str {
        self.text(name).trim()
    }

    /// The field of that name, if anything stands in it.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        Some(self.word(name)).filter(|text| !text.is_empty())
    }

    /// Whether a box is ticked.
    pub(crate) fn ticked(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// The ids of the rows that are ticked.
    pub(crate) fn ids(&self) -> Result<Vec<JobId>, Fault> {
        self.0.iter().filter(|(name, _)| name == "id").map(|(_, value)| read::job_id(value)).collect()
    }

    /// Where the form stood, if it says so and that is here.
    pub(crate) fn back(&self) -> Option<&str> {
        self.filled("back").filter(|back| is_local(back))
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Wrong;

    async fn from_request(request: Request, _: &S) -> Result<Self, Wrong> {
        Ok(Self::read(request, FORM_BYTES_MOST).await?)
    }
}

/// Fields as one text, for a hidden field that says what a form showed at first.
pub(crate) fn spelled<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Back to where the form stood, or to that page, with what was done.
pub(crate) fn back(visit: &Visit, fields: &Fields, or: &str, flash: Flash) -> Response {
    visit.go(fields.back().unwrap_or(or), Some(flash))
}

/// What a verb came to for each of some jobs: how many were done, and why the others were not.
pub(crate) fn told<T>(answers: &PerItem<T>, done: &str) -> Flash {
    let ok = answers.iter().filter(|answer| answer.is_ok()).count();
    let mut reasons: Vec<(String, u64)> = Vec::new();
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        let text = refused.to_string();
        match reasons.iter_mut().find(|(other, _)| *other == text) {
            Some((_, times)) => *times += 1,
            None => reasons.push((text, 1)),
        }
    }
    let mut text = if ok > 0 || reasons.is_empty() {
        format!("{} {done}.", words::many(ok as u64, "job", "jobs"))
    } else {
        String::new()
    };
    for (reason, times) in reasons.iter().take(REASONS_SHOWN) {
        text.push_str(&format!("\nNot done for {}: {reason}.", words::many(*times, "job", "jobs")));
    }
    if reasons.len() > REASONS_SHOWN {
        let more = reasons.len() - REASONS_SHOWN;
        text.push_str(&format!("\nAnd {}.", words::many(more as u64, "other reason", "other reasons")));
    }
    Flash { good: reasons.is_empty(), text: text.trim_start().to_owned() }
}

/// What a verb that is refused or done as a whole came to.
pub(crate) fn said(answer: Result<(), Rejection>, done: impl Into<String>) -> Flash {
    match answer {
        Ok(()) => Flash::good(done),
        Err(refused) => Flash::bad(format!("Not done: {refused}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::State;

    #[test]
    fn reasons_are_told_once_each_with_their_number() {
        let wrong = || Err(Rejection::WrongState { verb: "retry", state: State::Running });
        let answers: PerItem<()> = vec![Ok(()), wrong(), wrong(), Ok(())];
        let flash = told(&answers, "retried");
        let lines: Vec<_> = flash.lines().collect();
        assert_eq!(lines[0], "2 jobs retried.");
        assert_eq!(lines[1], "Not done for 2 jobs: retry is not possible while the job is running.");
        assert!(!flash.good && told::<()>(&vec![Ok(())], "retried").good);
    }

    #[test]
    fn a_form_goes_back_to_this_server_only() {
        let fields = Fields::parse("back=%2Fjobs%3Ffilter%3Dx&id=7");
        assert_eq!(fields.back(), Some("/jobs?filter=x"));
        assert!(fields.ids().is_err());
        assert_eq!(Fields::parse("back=%2F%2Fevil.example").back(), None);
        let text = spelled([("a", "1 & 2"), ("b", "")]);
        assert_eq!((Fields::parse(&text).text("a"), Fields::parse(&text).filled("b")), ("1 & 2", None));
    }
}
