//! What holds for everybody, and who changed it.

use super::*;

/// With that text in every place that has one.
pub(super) fn full(t: &str) -> Vec<(&'static str, String)> {
    vec![
        ("audit", audit(t)),
        ("domains", domains(t)),
        ("users", users(t)),
        ("hours", hours(admin(Section::Hours), t)),
    ]
}

fn domains(t: &str) -> String {
    let row = DomainRow {
        domain: t.to_owned(),
        per_minute: Some(Count(600)),
        concurrency: None,
        per_day: Some(Count(5_000)),
        limit_at: "/q/limits?edit=domain-gmail.com".to_owned(),
        is_set: true,
        slowed: Some(accounts::slowed(t)),
    };
    html(&DomainsPage {
        s: admin(Section::Domains),
        rows: vec![row],
        domain: wrong(t),
        per_minute: wrong(t),
        concurrency: wrong(t),
        per_day: wrong(t),
    })
}

fn users(t: &str) -> String {
    let row = |percent| UserRow {
        name: t.to_owned(),
        weight: 10,
        daily_cap: Some(Count(1_000)),
        edit_at: "/q/campaigns/users?edit=x#share".to_owned(),
        live: Count(3),
        percent,
    };
    html(&UsersPage {
        s: admin(Section::Users),
        rows: vec![row(Some(40)), row(None)],
        name: wrong(t),
        weight: wrong(t),
        daily_cap: wrong(t),
        everybodys: wrong(t),
    })
}

pub(in crate::pages::view::tests) fn hours(s: Shell, t: &str) -> String {
    let row = |is_uncertain| HoursRow {
        id: t.to_owned(),
        place: t.to_owned(),
        channels: "sms, voicemail".to_owned(),
        hours: t.to_owned(),
        closed_on: t.to_owned(),
        dates: t.to_owned(),
        holds: is_uncertain,
        source: t.to_owned(),
        is_uncertain,
    };
    html(&HoursPage {
        s,
        edition: t.to_owned(),
        is_edited: true,
        stored: Some(t.to_owned()),
        rows: vec![row(true), row(false)],
        text: wrong(t),
        is_open: true,
    })
}

/// Before there is anything.
pub(super) fn empty() -> Vec<(&'static str, String)> {
    let none = Input::default;
    vec![
        (
            "no changes",
            html(&AuditPage {
                s: admin(Section::Audit),
                rows: vec![],
                pages: Pages::default(),
                from: none(),
                to: none(),
            }),
        ),
        (
            "no domains",
            html(&DomainsPage {
                s: admin(Section::Domains),
                rows: vec![],
                domain: none(),
                per_minute: none(),
                concurrency: none(),
                per_day: none(),
            }),
        ),
        (
            "no users",
            html(&UsersPage {
                s: admin(Section::Users),
                rows: vec![],
                name: none(),
                weight: none(),
                daily_cap: none(),
                everybodys: none(),
            }),
        ),
        (
            "no rules",
            html(&HoursPage {
                s: shell(Section::Hours, false),
                edition: "none".to_owned(),
                is_edited: false,
                stored: None,
                rows: vec![],
                text: none(),
                is_open: false,
            }),
        ),
    ]
}

fn audit(t: &str) -> String {
    let row = |at_page: Option<&str>| ChangeRow {
        at: when(6_000),
        who: t.to_owned(),
        what: "campaign_launched".to_owned(),
        subject: t.to_owned(),
        at_page: at_page.map(ToOwned::to_owned),
        detail: t.to_owned(),
    };
    let rows = vec![row(Some("/q/campaigns/7")), row(None)];
    html(&AuditPage { s: admin(Section::Audit), rows, pages: paging(), from: wrong(t), to: wrong(t) })
}
