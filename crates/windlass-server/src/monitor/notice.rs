//! What a notice says: as JSON, as lines, and as a small mail.

use std::fmt::Write as _;

use askama::Template;
use windlass_api::monitor::{Incident, Notice, NoticeData, Severity, Stage, When};
use windlass_core::Time;

use super::record::Change;
use crate::ui::words;

/// Findings that a notice names; the rest is counted, and the page shows all.
pub(super) const TOLD_MOST: usize = 20;
/// What notices are called for whoever receives several kinds of messages.
const KIND: &str = "windlass.alert";

/// The notice of those changes; none if there are none.
pub(super) fn of(told: Vec<(Change, Incident)>, now: Time) -> Option<Notice> {
    let first = told.first()?;
    // The first incident is in no other notice of this time, so this is the same at every server and every try.
    let id = format!("alert_{}_{}", first.1.id, now.0);
    let mut data = NoticeData {
        id,
        summary: String::new(),
        severity: Severity::Warning,
        firing: Vec::new(),
        reminded: Vec::new(),
        recovered: Vec::new(),
        left_out: 0,
        link: None,
    };
    for (change, incident) in told {
        match change {
            Change::Fired => data.firing.push(incident),
            Change::Reminded => data.reminded.push(incident),
            Change::Recovered => data.recovered.push(incident),
        }
    }
    let counts = [data.firing.len(), data.reminded.len(), data.recovered.len()];
    let mut room = TOLD_MOST;
    for list in [&mut data.firing, &mut data.reminded, &mut data.recovered] {
        list.sort_by_key(|incident| incident.severity != Severity::Critical);
        if list
            .iter()
            .any(|incident| incident.severity == Severity::Critical && incident.stage == Stage::Firing)
        {
            data.severity = Severity::Critical;
        }
        data.left_out += list.len().saturating_sub(room) as u64;
        list.truncate(room);
        room -= list.len();
    }
    data.summary = summary(&data, counts);
    Some(Notice { kind: KIND.to_owned(), timestamp: now, data })
}

/// A notice that tries a channel out.
pub(super) fn trial(id: String, now: Time) -> Notice {
    let incident = Incident {
        id: id.clone(),
        rule: "test".to_owned(),
        when: When::Dead,
        severity: Severity::Warning,
        subject: "test".to_owned(),
        fingerprint: None,
        text: "tries this channel out; nothing is wrong".to_owned(),
        stage: Stage::Firing,
        since: now,
        fired_at: Some(now),
        recovered_at: None,
        told_at: Some(now),
        acknowledged_until: None,
        silenced_until: None,
        page: "/monitor".to_owned(),
    };
    let data = NoticeData {
        id: format!("alert_test_{id}"),
        summary: "A test of this channel: nothing is wrong".to_owned(),
        severity: Severity::Warning,
        firing: vec![incident],
        reminded: Vec::new(),
        recovered: Vec::new(),
        left_out: 0,
        link: None,
    };
    Notice { kind: KIND.to_owned(), timestamp: now, data }
}

fn summary(data: &NoticeData, [firing, reminded, recovered]: [usize; 3]) -> String {
    let all = [&data.firing, &data.reminded, &data.recovered];
    if let [incident] = all.into_iter().flatten().collect::<Vec<_>>()[..]
        && data.left_out == 0
    {
        let word = if !data.firing.is_empty() {
            incident.severity.as_str()
        } else if data.reminded.is_empty() {
            "recovered"
        } else {
            "still"
        };
        return format!("[{word}] {} {}", incident.subject, incident.text);
    }
    let mut parts = Vec::new();
    for (n, word) in [(firing, "firing"), (reminded, "still firing"), (recovered, "recovered")] {
        if n > 0 {
            parts.push(format!("{n} {word}"));
        }
    }
    let parts = parts.join(", ");
    match data.firing.first().or(data.reminded.first()) {
        Some(worst) => format!("[{}] {parts}: {} {}, …", data.severity.as_str(), worst.subject, worst.text),
        None => format!("[recovered] {parts}"),
    }
}

/// Puts the server's address before the pages, where it is known.
pub(super) fn link(notice: &mut Notice, public_url: Option<&str>) {
    let Some(base) = public_url.map(|url| url.trim_end_matches('/')) else { return };
    notice.data.link = Some(format!("{base}/monitor"));
    let data = &mut notice.data;
    for incident in [&mut data.firing, &mut data.reminded, &mut data.recovered].into_iter().flatten() {
        incident.page = format!("{base}{}", incident.page);
    }
}

/// The parts of a notice that say something, each with its heading.
fn parts(data: &NoticeData) -> Vec<(&'static str, &[Incident])> {
    let all: [(&str, &[Incident]); 3] =
        [("Firing", &data.firing), ("Still firing", &data.reminded), ("Recovered", &data.recovered)];
    all.into_iter().filter(|(_, list)| !list.is_empty()).collect()
}

/// The notice as plain text.
pub(super) fn text(notice: &Notice) -> String {
    let data = &notice.data;
    let mut told = String::new();
    for (heading, list) in parts(data) {
        let _ = writeln!(told, "{heading}:");
        for incident in list {
            let _ =
                writeln!(told, "- [{}] {} {}", incident.severity.as_str(), incident.subject, incident.text);
            let _ = writeln!(told, "  rule {}, since {}", incident.rule, incident.since);
            if data.link.is_some() {
                let _ = writeln!(told, "  {}", incident.page);
            }
        }
        told.push('\n');
    }
    if data.left_out > 0 {
        let _ = writeln!(told, "And {} more.\n", words::count(data.left_out));
    }
    if let Some(link) = &data.link {
        let _ = writeln!(told, "All of it: {link}");
    }
    told
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Mail<'a> {
    data: &'a NoticeData,
    parts: Vec<(&'static str, &'a [Incident])>,
}

/// The notice as the HTML of a mail.
pub(super) fn html(notice: &Notice) -> Result<String, askama::Error> {
    Mail { data: &notice.data, parts: parts(&notice.data) }.render()
}
