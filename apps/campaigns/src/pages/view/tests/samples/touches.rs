//! Messages, and what a person has to decide about some of them.

use super::*;

/// With that text in every place that has one.
pub(super) fn full(t: &str) -> Vec<(&'static str, String)> {
    vec![("touches", touches(t)), ("touch", touch_page(t)), ("reviews", reviews(t))]
}

/// Before there is anything.
pub(super) fn empty() -> Vec<(&'static str, String)> {
    vec![
        (
            "no messages",
            html(&TouchesPage {
                s: admin(Section::Touches),
                campaigns: vec![],
                steps: vec![],
                step_field: "step".to_owned(),
                is_narrowed: false,
                unknown: None,
                statuses: vec![],
                reasons: vec![],
                channels: vec![],
                variants: vec![],
                rows: vec![],
                pages: Pages::default(),
            }),
        ),
        (
            "a bare message",
            html(&TouchPage {
                s: admin(Section::Touches),
                row: touch("Ann", 1, "queued"),
                reason: String::new(),
                job: None,
                queue: None,
                sender: None,
                provider: None,
                template: None,
                sends: Count(0),
                facts: vec![],
                content: None,
                timeline: vec![],
                evidence: None,
                review: None,
            }),
        ),
        (
            "no reviews",
            html(&ReviewsPage {
                s: admin(Section::Reviews),
                rows: vec![],
                dropped: vec![],
                pages: Pages::default(),
            }),
        ),
    ]
}

fn touch(t: &str, id: i64, status: &str) -> TouchRow {
    TouchRow {
        id,
        campaign: 7,
        campaign_name: t.to_owned(),
        contact: 9,
        to: format!("ann@{t}"),
        step: 2,
        variant: t.to_owned(),
        channel: Channel::Sms,
        status: status.to_owned(),
        why: if status == "delivered" { String::new() } else { format!("quiet hours {t}") },
        detail: if status == "failed" { format!("550 5.1.1 no such user {t}") } else { String::new() },
        until: (status == "deferred").then(soon),
        is_due: status == "queued",
        sender: if status == "queued" { String::new() } else { t.to_owned() },
        since: when(60_000),
    }
}

pub(super) fn touch_rows(t: &str) -> Vec<TouchRow> {
    let all =
        ["queued", "deferred", "sending", "sent", "delivered", "bounced", "failed", "skipped", "unknown"];
    (1..).zip(all).map(|(id, status)| touch(t, id, status)).collect()
}

fn touches(t: &str) -> String {
    html(&TouchesPage {
        s: admin(Section::Touches),
        campaigns: choices(t),
        steps: choices(t),
        step_field: "step".to_owned(),
        is_narrowed: true,
        unknown: None,
        statuses: choices(t),
        reasons: choices(t),
        channels: choices(t),
        variants: choices(t),
        rows: touch_rows(t),
        pages: paging(),
    })
}

fn touch_page(t: &str) -> String {
    let entry = |kind: &str, detail: &str| TimelineEntry {
        at: when(5_000),
        kind: kind.to_owned(),
        source: t.to_owned(),
        detail: detail.to_owned(),
    };
    let evidence = Evidence {
        checked: when(5_100),
        verdict: format!("open {t}"),
        clocks: vec![("Recipient".to_owned(), t.to_owned(), "2026-11-21T10:30:00.000-05:00".to_owned())],
        rules: vec![t.to_owned(), "us-fl".to_owned()],
        editions: t.to_owned(),
        consent: Some(ConsentBasis { basis: t.to_owned(), proof: t.to_owned(), given: when(999_999) }),
    };
    html(&TouchPage {
        s: admin(Section::Touches),
        row: touch(t, 41, "deferred"),
        reason: "recipient_quiet_hours".to_owned(),
        job: Some("01a20349-19a4-7000-a26a-6a7218659a2a".to_owned()),
        queue: Some(format!("the limit sender-3 is used up {t}")),
        sender: Some(3),
        provider: Some((1, t.to_owned())),
        template: Some((3, t.to_owned())),
        sends: Count(1),
        facts: vec![("Provider's reference".to_owned(), t.to_owned())],
        content: Some((t.to_owned(), t.to_owned())),
        timeline: vec![entry("deferred", t), entry("sending", ""), entry("delivered", t)],
        evidence: Some(evidence),
        review: Some(5),
    })
}

fn reviews(t: &str) -> String {
    let row = |id, text: &str| ReviewRow {
        id,
        question: format!("May this call have been made? {t}"),
        known: t.to_owned(),
        text: text.to_owned(),
        channel: Channel::Voicemail,
        touch: Some(41),
        contact: (id == 1).then_some(9),
        to: t.to_owned(),
        campaign: Some((7, t.to_owned())),
        at: when(7_000),
        choices: vec![Choice::of("sent", "It was made", ""), Choice::of(t, t, "")],
    };
    html(&ReviewsPage {
        s: admin(Section::Reviews),
        rows: vec![row(1, t), row(2, "")],
        dropped: vec![t.to_owned()],
        pages: paging(),
    })
}
