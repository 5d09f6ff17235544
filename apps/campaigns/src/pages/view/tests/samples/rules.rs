//! What holds for everybody, and who changed it.

use super::*;

/// With that text in every place that has one.
pub(super) fn full(t: &str) -> Vec<(&'static str, String)> {
    vec![("audit", audit(t))]
}

/// Before there is anything.
pub(super) fn empty() -> Vec<(&'static str, String)> {
    vec![(
        "no changes",
        html(&AuditPage {
            s: admin(Section::Audit),
            rows: vec![],
            pages: Pages::default(),
            from: Input::default(),
            to: Input::default(),
        }),
    )]
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
