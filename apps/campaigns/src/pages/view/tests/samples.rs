//! Each page filled with a text in every place that has one, and each page as it is before there is anything.

use askama::Template;
use windlass_look::{Flash, Frame, Place, Visitor};

use super::super::*;
use crate::channel::Channel;
use crate::pages::{Section, Shell};

const NOW: u64 = 1_795_253_400_000;

/// What stands around a page below `/q`, for somebody who may do everything but perhaps administer.
pub(super) fn shell(here: Section, is_admin: bool) -> Shell {
    let place = |name, label, key| Place { name, label, key, at: format!("/q{name}") };
    let frame = Frame {
        base: "/q".to_owned(),
        places: vec![
            place("/", "Overview", "o"),
            place("/campaigns", "Campaigns", "p"),
            place("/jobs", "Jobs", "j"),
        ],
        address: "/q/campaigns".to_owned(),
        flash: Some(Flash::good("Saved.")),
        may: "read payloads operate admin".to_owned(),
        who: Some("root".to_owned()),
        server: "localhost:7979/q".to_owned(),
        ..Frame::default()
    };
    let mut visitor = Visitor::new("root", frame);
    (visitor.may_see_payloads, visitor.may_operate, visitor.may_admin) = (true, true, is_admin);
    Shell::of(&visitor, here).reviews(2)
}

fn admin(here: Section) -> Shell {
    shell(here, true)
}

fn html(page: &impl Template) -> String {
    page.render().expect("a page")
}

fn when(ago_ms: u64) -> When {
    When::new("2026-11-21T09:30:00.000Z", NOW - ago_ms, NOW)
}

fn soon() -> When {
    When::new("2026-11-21T12:30:00.000Z", NOW + 10_800_000, NOW)
}

fn paging() -> Pages {
    Pages { first: Some("/q/campaigns".to_owned()), next: Some("/q/campaigns?before=7&x=1".to_owned()) }
}

fn wrong(t: &str) -> Input {
    Input::of(t).wrong(t)
}

fn choices(t: &str) -> Vec<Choice> {
    vec![Choice::of("", "any", "x"), Choice::of("x", t, "x"), Choice::of(t, t, "x")]
}

fn campaign(t: &str, status: &str) -> CampaignRow {
    CampaignRow {
        id: 7,
        name: format!("Spring {t}"),
        owner: t.to_owned(),
        status: status.to_owned(),
        done: Count(12_345),
        all: Count(50_000),
        sent_today: Count(812),
        cap_today: Some(Count(2_000)),
        eta: Some(soon()),
        waits: Some(format!("its window opens in 3h {t}")),
        launched: Some(when(86_400_000)),
    }
}

fn campaigns(t: &str) -> String {
    let rows =
        ["draft", "scheduled", "running", "paused", "done", "cancelled"].map(|status| campaign(t, status));
    html(&CampaignsPage {
        s: admin(Section::Campaigns),
        rows: rows.to_vec(),
        pages: paging(),
        name: wrong(t),
    })
}

fn step(t: &str, number: u32, channel: Channel) -> StepFunnel {
    StepFunnel {
        number,
        channel,
        fallback: (number == 2).then_some(Channel::Voicemail),
        template: format!("hello {t}, version 3"),
        after: format!("2 business days later {t}"),
        contacts: Count(50_000),
        queued: Count(40),
        deferred: Count(7_200),
        sent: Count(31),
        delivered: Count(11_000),
        bounced: Count(93),
        failed: Count(2),
        skipped: Count(410),
        unknown: Count(u64::from(number == 3)),
        opened: Count(4_000),
        clicked: Count(900),
        replied: Count(80),
    }
}

fn campaign_page(t: &str, status: &str) -> String {
    let reasons = |reason: &str, n| Reasons {
        reason: reason.to_owned(),
        said: format!("quiet hours where the recipient is {t}"),
        count: Count(n),
        first_until: Some(soon()),
    };
    let sender = SenderLine {
        id: 3,
        address: format!("sales@{t}"),
        sent_today: Count(58),
        cap_today: Count(58),
        held: Some(t.to_owned()),
    };
    html(&CampaignPage {
        s: admin(Section::Campaigns).every(2),
        row: campaign(t, status),
        revision: 4,
        facts: vec![
            ("List".to_owned(), t.to_owned()),
            ("Window".to_owned(), format!("Monday to Friday 9 to 20 h {t}")),
        ],
        starts: (status == "scheduled").then(soon),
        ended: (status == "done").then(|| when(1_000)),
        steps: vec![step(t, 1, Channel::Email), step(t, 2, Channel::Sms), step(t, 3, Channel::Voicemail)],
        deferred: vec![reasons("recipient_quiet_hours", 7_000), reasons("sender_cap", 200)],
        skipped: vec![reasons("suppressed", 410)],
        enrolments: vec![("active".to_owned(), Count(37_655)), ("done".to_owned(), Count(12_345))],
        senders: vec![sender],
        jobs_at: admin(Section::Campaigns).f.jobs(&[("group", t)]),
    })
}

fn touch(t: &str, id: i64, status: &str) -> TouchRow {
    TouchRow {
        id,
        campaign: 7,
        campaign_name: t.to_owned(),
        contact: 9,
        to: format!("ann@{t}"),
        step: 2,
        channel: Channel::Sms,
        status: status.to_owned(),
        why: if status == "delivered" { String::new() } else { format!("quiet hours {t}") },
        detail: if status == "failed" { format!("550 5.1.1 no such user {t}") } else { String::new() },
        until: (status == "deferred").then(soon),
        sender: if status == "queued" { String::new() } else { t.to_owned() },
        since: when(60_000),
    }
}

fn touch_rows(t: &str) -> Vec<TouchRow> {
    let all =
        ["queued", "deferred", "sending", "sent", "delivered", "bounced", "failed", "skipped", "unknown"];
    (1..).zip(all).map(|(id, status)| touch(t, id, status)).collect()
}

fn touches(t: &str) -> String {
    html(&TouchesPage {
        s: admin(Section::Touches),
        campaign: wrong(t),
        statuses: choices(t),
        reasons: choices(t),
        channels: choices(t),
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
        sends: Count(1),
        facts: vec![("Provider's reference".to_owned(), t.to_owned())],
        content: Some((t.to_owned(), t.to_owned())),
        timeline: vec![entry("deferred", t), entry("sending", ""), entry("delivered", t)],
        evidence: Some(evidence),
        review: Some(5),
    })
}

fn finding(t: &str, severity: &str) -> Finding {
    Finding {
        severity: severity.to_owned(),
        code: "missing_values".to_owned(),
        step: Some(1),
        what: format!("contacts lack company {t}"),
        hint: format!("give it a default {t}"),
        contacts: Some(Count(1_234)),
        at: Some("/q/campaigns/templates/3".to_owned()),
    }
}

fn preflight(t: &str, findings: Vec<Finding>) -> String {
    let day = |date: &str, sent, left| ForecastDay {
        date: date.to_owned(),
        open: "9h".to_owned(),
        sent: Count(sent),
        left: Count(left),
    };
    html(&PreflightPage {
        s: admin(Section::Campaigns),
        id: 7,
        name: t.to_owned(),
        revision: 4,
        findings,
        contacts: vec![(format!("reachable {t}"), Count(49_000)), ("suppressed".to_owned(), Count(1_000))],
        messages: Count(98_000),
        completes: Some(soon()),
        completes_local: Some(t.to_owned()),
        days: vec![
            day("Mon 2026-11-23", 2_000, 96_000),
            day("Tue 2026-11-24", 1_200, 94_800),
            day(t, 0, 94_800),
        ],
        unreachable: vec![(t.to_owned(), Count(12))],
        starts_at: wrong(t),
        zone: t.to_owned(),
    })
}

fn builder(t: &str, status: &str) -> String {
    let mut sequence = SequenceForm::default();
    for _ in 0..3 {
        sequence.apply("add");
    }
    sequence.apply("up-3");
    sequence.steps[1].fault = Some(t.to_owned());
    sequence.steps[1].delay = wrong(t);
    sequence.steps[1].template = t.to_owned();
    let mut hours = [0; 24];
    hours[9..20].copy_from_slice(&[7, 30, 60, 90, 100, 100, 100, 100, 80, 40, 9]);
    html(&BuilderPage {
        s: admin(Section::Campaigns),
        id: 7,
        status: status.to_owned(),
        revision: 4,
        is_changed: true,
        fault: Some(t.to_owned()),
        name: wrong(t),
        lists: choices(t),
        senders: choices(t),
        daily_cap: wrong(t),
        weight: Input::of(10),
        postal_address: wrong(t),
        stops: choices(t),
        window: WindowForm {
            zone: wrong(t),
            hours_in: choices(t),
            hours: WEEKDAYS.map(|_| wrong(t)).to_vec(),
            calendars: choices(t),
            dates: wrong(t),
            no_zone: choices(t),
        },
        heat: Some(Heat { percent: vec![hours, hours, hours, hours, hours, [0; 24], [0; 24]] }),
        sequence,
        templates: vec![TemplateChoice { id: t.to_owned(), name: t.to_owned(), channel: Channel::Email }],
    })
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
        next: Some(soon()),
    };
    html(&ContactPage {
        s: admin(Section::Contacts),
        row: contact(t, is_erased),
        fields: vec![("field.plan".to_owned(), t.to_owned())],
        consents: vec![consent(Channel::Sms, None), consent(Channel::Email, Some(when(1_000)))],
        suppressed: vec![format!("answered STOP {t}")],
        enrolments: vec![enrolment],
        touches: touch_rows(t),
        erased: is_erased.then(|| when(3_000)),
        proof: wrong(t),
    })
}

fn import_row(t: &str, status: &str) -> ImportRow {
    ImportRow {
        id: 2,
        file: format!("{t}.csv"),
        list: t.to_owned(),
        status: status.to_owned(),
        added: Count(48_000),
        updated: Count(300),
        wrong: Count(17),
        began: when(4_000),
    }
}

fn imports(t: &str) -> String {
    let rows = ["waiting", "reading", "done", "failed", "cancelled"].map(|status| import_row(t, status));
    html(&ImportsPage {
        s: admin(Section::Contacts),
        rows: rows.to_vec(),
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
    html(&MappingPage {
        s: admin(Section::Contacts),
        id: 2,
        file: t.to_owned(),
        format: t.to_owned(),
        fault: Some(t.to_owned()),
        columns: vec![column(0, vec![t.to_owned(), "Bob".to_owned()]), column(1, Vec::new())],
        list: wrong(t),
        lists: vec![t.to_owned()],
        country: wrong(t),
        basis: choices(t),
        proof: wrong(t),
    })
}

fn import(t: &str, status: &str) -> String {
    html(&ImportPage {
        s: admin(Section::Contacts).every(1),
        row: import_row(t, status),
        read: Count(7_000_000),
        all: Count(12_000_000),
        rows: Count(58_000),
        per_second: Count(21_000),
        unchanged: Count(9_000),
        twice: Count(12),
        held: Count(3),
        wrong: vec![WrongRow { line: 31, code: "email".to_owned(), what: t.to_owned() }],
        why: (status == "failed").then(|| t.to_owned()),
        ended: (status != "reading").then(|| when(1_000)),
    })
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
        is_changed: true,
        name: wrong(t),
        channels: vec![Choice::of("email", "email", "email"), Choice::of("sms", t, "email")],
        subject: wrong(t),
        body: wrong(t),
        html: wrong(t),
        findings: vec![finding(t, "error"), finding(t, "warning")],
        variables: vec![("{{first_name}}".to_owned(), t.to_owned())],
        contact: wrong(t),
        preview: Some(preview),
        senders: choices(t),
        test_to: wrong(t),
        versions: vec![(3, 2, when(9_000)), (1, 1, when(99_000))],
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
        reason: wrong(t),
    })
}

fn sender_row(t: &str, status: &str, day: Option<u32>) -> SenderRow {
    SenderRow {
        id: 3,
        name: t.to_owned(),
        address: format!("sales@{t}"),
        channel: Channel::Email,
        provider: 1,
        provider_name: t.to_owned(),
        owner: day.map(|_| t.to_owned()),
        sent_today: Count(31),
        cap_today: Count(58),
        daily_cap: Count(200),
        warm_up_day: day,
        sent_week: Count(240),
        bounced_week: Count(4),
        complained_week: Count(0),
        status: status.to_owned(),
        why: if status == "healthy" { String::new() } else { t.to_owned() },
    }
}

fn sender_form(t: &str, id: Option<i64>) -> SenderForm {
    SenderForm {
        id,
        revision: 2,
        fault: Some(t.to_owned()),
        channels: choices(t),
        name: wrong(t),
        address: wrong(t),
        providers: choices(t),
        users: choices(t),
        zone: wrong(t),
        daily_cap: wrong(t),
        per_minute: wrong(t),
        warms_up: true,
        first_day: wrong(t),
        growth: wrong(t),
    }
}

fn senders(t: &str) -> String {
    let rows = vec![
        sender_row(t, "healthy", None),
        sender_row(t, "warning", Some(6)),
        sender_row(t, "paused", Some(2)),
        sender_row(t, "open", None),
    ];
    html(&SendersPage { s: admin(Section::Senders), rows, form: sender_form(t, None) })
}

fn sender(t: &str, status: &str, day: Option<u32>) -> String {
    let past = SenderDay {
        date: format!("2026-11-20 {t}"),
        sent: Count(47),
        cap: Some(Count(47)),
        bounced: Count(1),
        complained: Count(0),
    };
    html(&SenderPage {
        s: admin(Section::Senders),
        row: sender_row(t, status, day),
        curve: vec![20, 25, 31, 38, 47, 58, 72, 90, 112, 140, 175, 200],
        days: vec![past],
        form: sender_form(t, Some(3)),
    })
}

fn provider_row(t: &str, state: &str) -> ProviderRow {
    let forced = ForcedView { gate: "open".to_owned(), by: t.to_owned(), why: t.to_owned(), at: when(5_000) };
    ProviderRow {
        id: 1,
        name: t.to_owned(),
        kind: "http_mail".to_owned(),
        url: format!("https://{t}"),
        account: t.to_owned(),
        pace: format!("10 a second {t}"),
        senders: Count(4),
        sent_hour: Count(900),
        failed_hour: Count(31),
        breaker: BreakerView {
            state: state.to_owned(),
            says: t.to_owned(),
            tries: (state == "open").then(soon),
            forced: (state == "open").then_some(forced),
        },
    }
}

fn provider_form(t: &str, id: Option<i64>) -> ProviderForm {
    ProviderForm {
        id,
        revision: 2,
        fault: Some(t.to_owned()),
        name: wrong(t),
        kinds: choices(t),
        url: wrong(t),
        account: wrong(t),
        has_secret: id.is_some(),
        has_callback_key: false,
        per_second: wrong(t),
        concurrency: wrong(t),
    }
}

fn providers(t: &str) -> String {
    let rows = ["closed", "open", "half_open"].map(|state| provider_row(t, state)).to_vec();
    html(&ProvidersPage { s: admin(Section::Providers), rows, form: provider_form(t, None) })
}

pub(super) fn provider(s: Shell, t: &str) -> String {
    let rule = |is_own| ErrorRuleRow {
        code: t.to_owned(),
        action: "open_breaker".to_owned(),
        means: t.to_owned(),
        note: t.to_owned(),
        is_own,
    };
    html(&ProviderPage {
        s,
        row: provider_row(t, "open"),
        form: provider_form(t, Some(1)),
        failures: vec![(when(2_000), t.to_owned(), t.to_owned())],
        rules: vec![rule(true), rule(false)],
        code: wrong(t),
        actions: choices(t),
        note: wrong(t),
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
    html(&ReviewsPage { s: admin(Section::Reviews), rows: vec![row(1, t), row(2, "")], pages: paging() })
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

fn question(t: &str) -> String {
    html(&QuestionPage {
        s: admin(Section::Campaigns),
        title: format!("Cancel {t}?"),
        means: vec![t.to_owned(), "What was sent stays sent.".to_owned()],
        action: "/q/campaigns/7/cancel".to_owned(),
        fields: vec![("revision".to_owned(), t.to_owned())],
        button: t.to_owned(),
        is_danger: true,
        back: "/q/campaigns/7".to_owned(),
    })
}

/// Every page, with that text in every place that has one.
pub(super) fn full(t: &str) -> Vec<(&'static str, String)> {
    vec![
        ("campaigns", campaigns(t)),
        ("campaign", campaign_page(t, "running")),
        ("campaign-draft", campaign_page(t, "draft")),
        ("campaign-scheduled", campaign_page(t, "scheduled")),
        ("campaign-paused", campaign_page(t, "paused")),
        ("campaign-done", campaign_page(t, "done")),
        ("touches", touches(t)),
        ("touch", touch_page(t)),
        ("preflight", preflight(t, vec![finding(t, "error"), finding(t, "warning")])),
        ("preflight-good", preflight(t, Vec::new())),
        ("builder", builder(t, "draft")),
        ("builder-running", builder(t, "running")),
        ("contacts", contacts(t)),
        ("contact", contact_page(t, false)),
        ("contact-erased", contact_page(t, true)),
        ("imports", imports(t)),
        ("mapping", mapping(t)),
        ("import", import(t, "reading")),
        ("import-failed", import(t, "failed")),
        ("templates", templates(t)),
        ("template", template(t, Some(3))),
        ("template-new", template(t, None)),
        ("suppressions", suppressions(t)),
        ("senders", senders(t)),
        ("sender", sender(t, "warning", Some(6))),
        ("sender-paused", sender(t, "paused", None)),
        ("providers", providers(t)),
        ("provider", provider(admin(Section::Providers), t)),
        ("reviews", reviews(t)),
        ("audit", audit(t)),
        ("question", question(t)),
    ]
}

/// The pages of an application in which nothing is yet.
pub(super) fn empty() -> Vec<(&'static str, String)> {
    let (pages, none) = (Pages::default, Input::default);
    let s = admin;
    vec![
        (
            "no campaigns",
            html(&CampaignsPage { s: s(Section::Campaigns), rows: vec![], pages: pages(), name: none() }),
        ),
        (
            "a bare campaign",
            html(&CampaignPage {
                s: s(Section::Campaigns),
                row: CampaignRow {
                    id: 1,
                    name: "Spring".to_owned(),
                    status: "draft".to_owned(),
                    ..CampaignRow::default()
                },
                revision: 0,
                facts: vec![],
                starts: None,
                ended: None,
                steps: vec![],
                deferred: vec![],
                skipped: vec![],
                enrolments: vec![],
                senders: vec![],
                jobs_at: "/q/jobs".to_owned(),
            }),
        ),
        (
            "no messages",
            html(&TouchesPage {
                s: s(Section::Touches),
                campaign: none(),
                statuses: vec![],
                reasons: vec![],
                channels: vec![],
                rows: vec![],
                pages: pages(),
            }),
        ),
        (
            "a bare message",
            html(&TouchPage {
                s: s(Section::Touches),
                row: touch("Ann", 1, "queued"),
                reason: String::new(),
                job: None,
                sends: Count(0),
                facts: vec![],
                content: None,
                timeline: vec![],
                evidence: None,
                review: None,
            }),
        ),
        (
            "nothing to forecast",
            html(&PreflightPage {
                s: s(Section::Campaigns),
                id: 1,
                name: "Spring".to_owned(),
                revision: 0,
                findings: vec![],
                contacts: vec![],
                messages: Count(0),
                completes: None,
                completes_local: None,
                days: vec![],
                unreachable: vec![],
                starts_at: none(),
                zone: String::new(),
            }),
        ),
        (
            "a bare builder",
            html(&BuilderPage {
                s: s(Section::Campaigns),
                id: 1,
                status: "draft".to_owned(),
                revision: 0,
                is_changed: false,
                fault: None,
                name: none(),
                lists: vec![],
                senders: vec![],
                daily_cap: none(),
                weight: none(),
                postal_address: none(),
                stops: vec![],
                window: WindowForm { hours: WEEKDAYS.map(|_| none()).to_vec(), ..WindowForm::default() },
                heat: None,
                sequence: SequenceForm::default(),
                templates: vec![],
            }),
        ),
        (
            "no contacts",
            html(&ContactsPage {
                s: s(Section::Contacts),
                all: Count(0),
                search: String::new(),
                rows: vec![],
                pages: pages(),
            }),
        ),
        (
            "a bare contact",
            html(&ContactPage {
                s: s(Section::Contacts),
                row: ContactRow { id: 1, ..ContactRow::default() },
                fields: vec![],
                consents: vec![],
                suppressed: vec![],
                enrolments: vec![],
                touches: vec![],
                erased: None,
                proof: none(),
            }),
        ),
        (
            "no imports",
            html(&ImportsPage { s: s(Section::Contacts), rows: vec![], fault: None, most: String::new() }),
        ),
        ("no templates", html(&TemplatesPage { s: s(Section::Templates), rows: vec![] })),
        (
            "a bare template",
            html(&TemplatePage {
                s: s(Section::Templates),
                id: None,
                version: 0,
                is_changed: false,
                name: none(),
                channels: vec![],
                subject: none(),
                body: none(),
                html: none(),
                findings: vec![],
                variables: vec![],
                contact: none(),
                preview: None,
                senders: vec![],
                test_to: none(),
                versions: vec![],
            }),
        ),
        (
            "no senders",
            html(&SendersPage { s: s(Section::Senders), rows: vec![], form: SenderForm::default() }),
        ),
        (
            "no providers",
            html(&ProvidersPage { s: s(Section::Providers), rows: vec![], form: ProviderForm::default() }),
        ),
        ("no reviews", html(&ReviewsPage { s: s(Section::Reviews), rows: vec![], pages: pages() })),
        (
            "no changes",
            html(&AuditPage { s: s(Section::Audit), rows: vec![], pages: pages(), from: none(), to: none() }),
        ),
        (
            "no suppressions",
            html(&SuppressionsPage {
                s: s(Section::Suppressions),
                search: String::new(),
                rows: vec![],
                pages: pages(),
                address: none(),
                channels: vec![],
                reason: none(),
            }),
        ),
    ]
}
