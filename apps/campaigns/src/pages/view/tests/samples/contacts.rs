//! Contacts, how they come in, and who is not reached.

use super::*;
use crate::model::import::ImportStatus;

/// With that text in every place that has one.
pub(super) fn full(t: &str) -> Vec<(&'static str, String)> {
    vec![
        ("contacts", contacts(t)),
        ("contact", contact_page(t, false)),
        ("contact-erased", contact_page(t, true)),
        ("imports", imports(t)),
        ("mapping", mapping(t)),
        ("import", import(t, ImportStatus::Running)),
        ("import-failed", import(t, ImportStatus::Failed)),
        ("suppressions", suppressions(t)),
    ]
}

/// Before there is anything.
pub(super) fn empty() -> Vec<(&'static str, String)> {
    vec![
        (
            "no contacts",
            html(&ContactsPage {
                s: admin(Section::Contacts),
                all: Count(0),
                search: String::new(),
                rows: vec![],
                pages: Pages::default(),
            }),
        ),
        (
            "a bare contact",
            html(&ContactPage {
                s: admin(Section::Contacts),
                row: ContactRow { id: 1, ..ContactRow::default() },
                colleagues: None,
                account: Input::default(),
                fields: vec![],
                consents: vec![],
                suppressed: vec![],
                enrolments: vec![],
                touches: vec![],
                erased: None,
                proof: Input::default(),
                pauses: vec![],
                review: None,
                places: vec![],
                until: Input::default(),
                zone: "UTC".to_owned(),
            }),
        ),
        (
            "no imports",
            html(&ImportsPage {
                s: admin(Section::Contacts),
                rows: vec![],
                pages: Pages::default(),
                fault: None,
                most: String::new(),
            }),
        ),
        (
            "no suppressions",
            html(&SuppressionsPage {
                s: admin(Section::Suppressions),
                search: String::new(),
                rows: vec![],
                pages: Pages::default(),
                address: Input::default(),
                channels: vec![],
                users: vec![],
                reason: Input::default(),
            }),
        ),
    ]
}

fn contact(t: &str, is_erased: bool) -> ContactRow {
    ContactRow {
        id: 9,
        name: t.to_owned(),
        email: format!("ann@{t}"),
        phone: "+12125550100".to_owned(),
        zone: (!is_erased).then(|| t.to_owned()),
        place: t.to_owned(),
        consents: vec![Channel::Email, Channel::Sms],
        is_erased,
        added: Some(when(9_000)),
    }
}

fn contacts(t: &str) -> String {
    let rows = vec![contact(t, false), contact(t, true)];
    html(&ContactsPage {
        s: admin(Section::Contacts),
        all: Count(100_000),
        search: t.to_owned(),
        rows,
        pages: paging(),
    })
}

fn pause(t: &str, campaign: Option<(i64, String)>, until: Option<When>) -> PauseRow {
    PauseRow { campaign, until, why: t.to_owned(), who: t.to_owned(), at: when(9_000) }
}

fn contact_page(t: &str, is_erased: bool) -> String {
    let consent = |channel, revoked| ConsentRow {
        channel,
        basis: "express_written".to_owned(),
        proof: t.to_owned(),
        source: t.to_owned(),
        given: when(99_000),
        revoked,
    };
    let enrolment = EnrolmentRow {
        campaign: 7,
        name: t.to_owned(),
        status: "active".to_owned(),
        step: 2,
        why: t.to_owned(),
        colleague: Some(8),
        next: Some(soon()),
    };
    html(&ContactPage {
        s: admin(Section::Contacts),
        row: contact(t, is_erased),
        colleagues: Some((t.to_owned(), "as somebody wrote it")),
        account: wrong(t),
        fields: vec![("field.plan".to_owned(), t.to_owned())],
        consents: vec![consent(Channel::Sms, None), consent(Channel::Email, Some(when(1_000)))],
        suppressed: vec![format!("answered STOP {t}")],
        enrolments: vec![enrolment],
        touches: super::touches::touch_rows(t),
        erased: is_erased.then(|| when(3_000)),
        proof: wrong(t),
        pauses: vec![pause(t, Some((7, t.to_owned())), Some(soon())), pause(t, None, None)],
        review: Some(3),
        places: vec![Choice::of("", t, ""), Choice::of(7, t, "")],
        until: wrong(t),
        zone: t.to_owned(),
    })
}

fn import_row(t: &str, status: ImportStatus) -> ImportRow {
    ImportRow {
        id: 2,
        file: format!("{t}.csv"),
        list: t.to_owned(),
        status: status.to_string(),
        why: t.to_owned(),
        is_over: status.is_over(),
        percent: 58,
        added: Count(48_000),
        known: Count(300),
        twice: Count(12),
        refused: Count(17),
        began: when(4_000),
    }
}

fn imports(t: &str) -> String {
    let all = [
        ImportStatus::Uploading,
        ImportStatus::Waiting,
        ImportStatus::Running,
        ImportStatus::Interrupted,
        ImportStatus::Done,
        ImportStatus::Failed,
        ImportStatus::Cancelled,
    ];
    html(&ImportsPage {
        s: admin(Section::Contacts),
        rows: all.map(|status| import_row(t, status)).to_vec(),
        pages: Pages { first: None, next: Some("/q/campaigns/imports?before=2".to_owned()) },
        fault: Some(t.to_owned()),
        most: "256 MiB".to_owned(),
    })
}

fn mapping(t: &str) -> String {
    let column = |index, samples: Vec<String>| ColumnForm {
        index,
        heading: t.to_owned(),
        samples,
        targets: choices(t),
    };
    let tried = TriedRow {
        line: 2,
        refused: None,
        name: t.to_owned(),
        email: t.to_owned(),
        phone: t.to_owned(),
        place: t.to_owned(),
        agreed: vec![Channel::Sms],
        fields: vec![(t.to_owned(), t.to_owned())],
    };
    let refused = TriedRow { line: 3, refused: Some(t.to_owned()), ..TriedRow::default() };
    html(&MappingPage {
        s: admin(Section::Contacts),
        id: 2,
        file: t.to_owned(),
        format: t.to_owned(),
        notes: vec![t.to_owned()],
        fault: Some(t.to_owned()),
        columns: vec![column(0, vec![t.to_owned(), "Bob".to_owned()]), column(1, Vec::new())],
        tried: vec![tried, refused, TriedRow::default()],
        list: wrong(t),
        lists: vec![t.to_owned()],
        known: choices(t),
        basis: choices(t),
        country: wrong(t),
        encoding: choices(t),
        header: choices(t),
    })
}

fn import(t: &str, status: ImportStatus) -> String {
    html(&ImportPage {
        s: admin(Section::Contacts).every(1),
        row: import_row(t, status),
        rows: Count(58_000),
        why: if status == ImportStatus::Failed { t.to_owned() } else { String::new() },
        ended: status.is_over().then(|| when(1_000)),
        codes: vec![(t.to_owned(), t.to_owned(), Count(29))],
        without_number: vec![(t.to_owned(), t.to_owned(), Count(3))],
        first: vec![t.to_owned()],
        has_file: true,
        is_cut: status == ImportStatus::Failed,
    })
}

fn suppressions(t: &str) -> String {
    let row = |known: bool| SuppressionRow {
        id: 5,
        address: known.then(|| t.to_owned()),
        channel: known.then(|| t.to_owned()),
        user: known.then(|| t.to_owned()),
        reason: t.to_owned(),
        source: t.to_owned(),
        at: when(9_000),
    };
    html(&SuppressionsPage {
        s: admin(Section::Suppressions),
        search: t.to_owned(),
        rows: vec![row(true), row(false)],
        pages: paging(),
        address: wrong(t),
        channels: choices(t),
        users: choices(t),
        reason: wrong(t),
    })
}
