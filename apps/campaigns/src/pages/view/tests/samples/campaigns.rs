//! Campaigns, the look before a launch, the builder, and the question before one is cancelled.

use super::*;

/// With that text in every place that has one.
pub(super) fn full(t: &str) -> Vec<(&'static str, String)> {
    vec![
        ("campaigns", campaigns(t)),
        ("campaign", campaign_page(t, "running")),
        ("campaign-draft", campaign_page(t, "draft")),
        ("campaign-scheduled", campaign_page(t, "scheduled")),
        ("campaign-paused", campaign_page(t, "paused")),
        ("campaign-done", campaign_page(t, "done")),
        ("preflight", preflight(t, vec![finding(t, "error"), finding(t, "warning")])),
        ("preflight-good", preflight(t, Vec::new())),
        ("builder", builder(t, "draft")),
        ("builder-running", builder(t, "running")),
        ("question", question(t)),
        ("enrolments", enrolments(t)),
    ]
}

/// Before there is anything.
pub(super) fn empty() -> Vec<(&'static str, String)> {
    vec![
        (
            "no campaigns",
            html(&CampaignsPage {
                s: admin(Section::Campaigns),
                rows: vec![],
                pages: Pages::default(),
                name: Input::default(),
                attention: vec![],
            }),
        ),
        (
            "a bare campaign",
            html(&CampaignPage {
                s: admin(Section::Campaigns),
                row: CampaignRow {
                    id: 1,
                    name: "Spring".to_owned(),
                    status: "draft".to_owned(),
                    ..CampaignRow::default()
                },
                revision: 0,
                facts: vec![],
                starts: None,
                steps: vec![],
                tests: vec![],
                goals: vec![],
                moves: vec![],
                deferred: vec![],
                skipped: vec![],
                between: None,
                enrolments: vec![],
                stops: vec![],
                senders: vec![],
                goes_on: None,
                until: Input::default(),
                zone: "UTC".to_owned(),
                jobs_at: "/q/jobs".to_owned(),
            }),
        ),
        (
            "nobody in a campaign",
            html(&EnrolmentsPage {
                s: admin(Section::Campaigns),
                id: 1,
                name: "Spring".to_owned(),
                statuses: vec![],
                reasons: vec![],
                steps: vec![],
                is_narrowed: false,
                rows: vec![],
                pages: Pages::default(),
            }),
        ),
        (
            "nothing to forecast",
            html(&PreflightPage {
                s: admin(Section::Campaigns),
                id: 1,
                name: "Spring".to_owned(),
                revision: 0,
                findings: vec![],
                contacts: vec![],
                messages: Count(0),
                completes: None,
                completes_local: None,
                days: vec![],
                starts_at: Input::default(),
                zone: String::new(),
            }),
        ),
        (
            "a bare builder",
            html(&BuilderPage {
                s: admin(Section::Campaigns),
                id: 1,
                status: "draft".to_owned(),
                revision: 0,
                is_changed: false,
                fault: None,
                name: Input::default(),
                lists: vec![],
                senders: vec![],
                daily_cap: Input::default(),
                new_per_day: Input::default(),
                weight: Input::default(),
                postal_address: Input::default(),
                stops: vec![],
                window: WindowForm {
                    hours: WEEKDAYS.map(|_| Input::default()).to_vec(),
                    ..WindowForm::default()
                },
                heats: vec![],
                moves: vec![],
                outlook: vec![],
                next_version: 2,
                sequence: SequenceForm::default(),
                templates: vec![],
            }),
        ),
    ]
}

fn enrolments(t: &str) -> String {
    let row = |status: &str, until| EnrolledRow {
        contact: 9,
        called: t.to_owned(),
        status: status.to_owned(),
        step: 2,
        version: (status == "active").then_some(1),
        why: t.to_owned(),
        until,
        touch: (status == "active").then(|| (7, "deferred".to_owned())),
    };
    html(&EnrolmentsPage {
        s: admin(Section::Campaigns),
        id: 7,
        name: t.to_owned(),
        statuses: choices(t),
        reasons: choices(t),
        steps: choices(t),
        is_narrowed: true,
        rows: vec![row("active", Some(soon())), row("stopped", None), row("done", None)],
        pages: paging(),
    })
}

fn campaign(t: &str, status: &str) -> CampaignRow {
    CampaignRow {
        id: 7,
        name: format!("Spring {t}"),
        owner: t.to_owned(),
        status: status.to_owned(),
        percent: 24,
        done: Count(12_345),
        all: Count(50_000),
        sent_today: Count(812),
        cap_today: Some(Count(2_000)),
        eta: Some(soon()),
        waits: Some(format!("its window opens in 3h {t}")),
        launched: (status != "draft").then(|| when(86_400_000)),
        ended: (status == "done").then(|| when(1_000)),
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
        attention: vec![waits(t, None), waits(t, Some(soon()))],
    })
}

fn waits(t: &str, due: Option<When>) -> AttentionRow {
    AttentionRow {
        what: t.to_owned(),
        at: "/q/campaigns/reviews".to_owned(),
        why: t.to_owned(),
        since: Some(when(9_000)),
        due,
    }
}

fn step(t: &str, number: u32, channel: Channel) -> StepFunnel {
    StepFunnel {
        number: number.to_string(),
        key: number,
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

fn test(t: &str, place: usize, is_current: bool) -> TestTable {
    let part =
        |n| Part { count: Count(n), percent: "4.2 %".to_owned(), between: format!("3.1 to 5.6 % {t}") };
    let row = |letter: &str, leads| VariantRow {
        letter: letter.to_owned(),
        template: 3,
        says: format!("hello {t}, version 3"),
        weight: 50,
        leads,
        sent: Count(5_500),
        goal: part(231),
        parts: vec![part(0), part(1_200)],
    };
    TestTable {
        step: 1,
        channel: Channel::Email,
        place,
        earlier: (!is_current).then(|| format!("version 1 {t}")),
        verdict: format!("B leads {t}"),
        is_decided: is_current,
        goal: "Replied".to_owned(),
        headings: vec!["Clicked", "Opened"],
        rows: vec![row("A", false), row("B", is_current)],
        keeps: if is_current { choices(t) } else { vec![] },
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
        steps: vec![step(t, 1, Channel::Email), step(t, 2, Channel::Sms), step(t, 3, Channel::Voicemail)],
        tests: vec![test(t, 1, true), test(t, 2, false)],
        goals: vec![("Replied".to_owned(), "/q/campaigns/7?goal=replied#tests".to_owned(), true)],
        moves: choices(t),
        deferred: vec![reasons("recipient_quiet_hours", 7_000), reasons("sender_cap", 200)],
        skipped: vec![reasons("suppressed", 410)],
        between: Some(format!("17 contacts wait {t}")),
        enrolments: vec![("active".to_owned(), Count(37_655)), ("done".to_owned(), Count(12_345))],
        stops: vec![("a colleague answered", Count(1_234)), ("they answered", Count(7))],
        senders: vec![sender],
        goes_on: (status == "paused").then(soon),
        until: wrong(t),
        zone: t.to_owned(),
        jobs_at: admin(Section::Campaigns).f.jobs(&[("group", t)]),
    })
}

pub(super) fn finding(t: &str, severity: &str) -> Finding {
    Finding {
        severity: severity.to_owned(),
        code: "missing_values".to_owned(),
        step: Some(1),
        variant: t.to_owned(),
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
    sequence.apply("vary-2");
    sequence.apply("vary-3");
    sequence.apply("vary-3");
    sequence.apply("drop-3-B");
    sequence.steps[2].variants[0].weight = wrong(t);
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
        new_per_day: wrong(t),
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
        heats: vec![Heat {
            channels: t.to_owned(),
            monday: t.to_owned(),
            of: 2_000,
            percent: vec![hours, hours, hours, hours, hours, [0; 24], [0; 24]],
        }],
        moves: choices(t),
        outlook: if status == "draft" { vec![] } else { vec![format!("3 contacts before step 2 {t}")] },
        next_version: 3,
        sequence,
        templates: vec![TemplateChoice { id: t.to_owned(), name: t.to_owned(), channel: Channel::Email }],
    })
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
