//! What is written.

use super::*;

/// With that text in every place that has one.
pub(super) fn full(t: &str) -> Vec<(&'static str, String)> {
    vec![("templates", templates(t)), ("template", template(t, Some(3))), ("template-new", template(t, None))]
}

/// Before there is anything.
pub(super) fn empty() -> Vec<(&'static str, String)> {
    vec![
        ("no templates", html(&TemplatesPage { s: admin(Section::Templates), rows: vec![] })),
        (
            "a bare template",
            html(&TemplatePage {
                s: admin(Section::Templates),
                id: None,
                version: 0,
                next: 1,
                is_changed: false,
                name: Input::default(),
                channels: vec![],
                subject: Input::default(),
                body: Input::default(),
                html: Input::default(),
                findings: vec![],
                variables: vec![],
                contact: Input::default(),
                preview: None,
                senders: vec![],
                test_to: Input::default(),
                versions: vec![],
            }),
        ),
    ]
}

fn templates(t: &str) -> String {
    let row = |errors, warnings| TemplateRow {
        id: 3,
        name: t.to_owned(),
        channel: Channel::Email,
        version: 2,
        says: t.to_owned(),
        used_by: Count(1),
        errors: Count(errors),
        warnings: Count(warnings),
        written: when(9_000),
    };
    html(&TemplatesPage { s: admin(Section::Templates), rows: vec![row(1, 1), row(0, 2), row(0, 0)] })
}

fn template(t: &str, id: Option<i64>) -> String {
    let preview = Preview {
        contact: Some(9),
        to: t.to_owned(),
        subject: t.to_owned(),
        text: format!("Hi {t},\n\nI saw that …"),
        html_at: Some("/q/campaigns/templates/3/preview.html?contact=9".to_owned()),
        missing: vec![t.to_owned(), "company".to_owned()],
        costs: t.to_owned(),
    };
    html(&TemplatePage {
        s: admin(Section::Templates),
        id,
        version: id.map_or(0, |_| 2),
        next: 3,
        is_changed: true,
        name: wrong(t),
        channels: vec![Choice::of("email", "email", "email"), Choice::of("sms", t, "email")],
        subject: wrong(t),
        body: wrong(t),
        html: wrong(t),
        findings: vec![super::campaigns::finding(t, "error"), super::campaigns::finding(t, "warning")],
        variables: vec![("{{first_name}}".to_owned(), t.to_owned())],
        contact: wrong(t),
        preview: Some(preview),
        senders: choices(t),
        test_to: wrong(t),
        versions: vec![(3, 2, when(9_000)), (1, 1, when(99_000))],
    })
}
