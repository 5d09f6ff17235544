//! In whose name and through whom messages go: senders and providers.

use super::*;

/// With that text in every place that has one.
pub(super) fn full(t: &str) -> Vec<(&'static str, String)> {
    vec![
        ("senders", senders(t)),
        ("sender", sender(t, "warning", Some(6))),
        ("sender-paused", sender(t, "paused", None)),
        ("providers", providers(t)),
        ("provider", provider(admin(Section::Providers), t)),
    ]
}

/// Before there is anything.
pub(super) fn empty() -> Vec<(&'static str, String)> {
    vec![
        (
            "no senders",
            html(&SendersPage { s: admin(Section::Senders), rows: vec![], form: SenderForm::default() }),
        ),
        (
            "no providers",
            html(&ProvidersPage {
                s: admin(Section::Providers),
                rows: vec![],
                form: ProviderForm::default(),
            }),
        ),
    ]
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
        goes_on: (status == "paused").then(soon),
        until: wrong(t),
        zone: t.to_owned(),
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
        slowed: (state != "half_open").then(|| slowed(t)),
    }
}

/// With that text in every place that has one.
pub(super) fn slowed(t: &str) -> SlowedView {
    SlowedView { pace: t.to_owned(), full: t.to_owned(), since: when(5_000), why: t.to_owned() }
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
        has_inbound_key: id.is_some(),
        inbound_key: wrong(t),
        per_second: wrong(t),
        concurrency: wrong(t),
    }
}

fn providers(t: &str) -> String {
    let rows = ["closed", "open", "half_open"].map(|state| provider_row(t, state)).to_vec();
    html(&ProvidersPage { s: admin(Section::Providers), rows, form: provider_form(t, None) })
}

pub(in crate::pages::view::tests) fn provider(s: Shell, t: &str) -> String {
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
