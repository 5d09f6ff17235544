//! Accounts at providers: what they are set to, their breaker in a person's hand, and what their errors mean.
//!
//! What is secret goes one way only. A password inside an address is shown as [`MASK`]; a form that comes back with the
//! mask in its place keeps the password.

use windlass::Time;

use super::{
    Ask, Fault, Id, Reply, Sent,
    number::{maybe_number, named},
};
use crate::{
    app::AppError,
    channel::{
        breaker::{Breaker, Gate},
        pace::{Pace, Slowdown},
        rules::{Action, ErrorRule, ErrorTable, ProviderKind},
        without_credentials,
    },
    db::Tx,
    flow::{
        accounts,
        breakers::{self, Hand},
        paces::{self, Whose},
    },
    model::{ProviderId, Word, provider::Provider},
    pages::{
        Section, Shell,
        form::Fields,
        view::{
            self, BreakerView, Choice, Count, ErrorRuleRow, ForcedView, Input, ProviderForm, ProviderPage,
            ProviderRow, ProvidersPage, SlowedView,
        },
    },
    store::{events, providers, senders, touches},
};

/// What stands for a password.
const MASK: &str = "***";
/// The last failures of an account that its page shows.
const FAILURES: u32 = 20;
/// What is looked at as its recent fate.
const HOUR_MS: u64 = 3_600_000;
/// The most messages a second, or at once, that a form takes.
const PACE_MAX: u32 = 100_000;

/// An account with what is known of it.
struct Known {
    provider: Provider,
    breaker: Breaker,
    senders: u64,
    sent_hour: i64,
    failed_hour: i64,
}

impl Known {
    fn of(tx: &mut Tx<'_>, provider: Provider, now: Time) -> Result<Self, AppError> {
        let since = Time(now.0.saturating_sub(HOUR_MS));
        let all = senders::all(tx)?;
        Ok(Self {
            breaker: providers::breaker(tx, provider.id)?,
            senders: all.iter().filter(|sender| sender.provider == provider.id).count() as u64,
            sent_hour: touches::sent_through(tx, provider.id, since)?,
            failed_hour: events::failures_since(tx, &provider.name, since)?,
            provider,
        })
    }

    fn row(&self, ask: &Ask) -> ProviderRow {
        let provider = &self.provider;
        let a_second = provider.per_second.map(|n| format!("{} a second", Count::from(n)));
        let at_once = provider.concurrency.map(|n| format!("{} at once", Count::from(n)));
        let pace: Vec<String> = [a_second, at_once].into_iter().flatten().collect();
        ProviderRow {
            id: provider.id.0,
            name: provider.name.clone(),
            kind: provider.kind.to_string(),
            url: without_credentials(&provider.url),
            account: provider.account.clone(),
            pace: if pace.is_empty() { "as fast as it takes them".to_owned() } else { pace.join(", ") },
            senders: Count(self.senders),
            sent_hour: self.sent_hour.into(),
            failed_hour: self.failed_hour.into(),
            breaker: breaker_view(ask, &self.breaker),
            slowed: slowed(ask, &provider.pace),
        }
    }
}

fn breaker_view(ask: &Ask, breaker: &Breaker) -> BreakerView {
    let state = match breaker.state() {
        "closed" | "forced closed" => "closed",
        "probing" => "half_open",
        _ => "open",
    };
    BreakerView {
        state: state.to_owned(),
        says: breaker.says(),
        tries: None,
        forced: breaker.forced().map(|forced| ForcedView {
            gate: if forced.gate == Gate::Open { "open" } else { "closed" }.to_owned(),
            by: forced.by.clone(),
            why: forced.why.clone(),
            at: ask.when(forced.at),
        }),
    }
}

/// How slow that pace is, if it is not full.
pub(super) fn slowed(ask: &Ask, pace: &Pace) -> Option<SlowedView> {
    let Slowdown { per_minute, full_per_minute, since, why } = paces::slowdown(&ask.app, pace)?;
    Some(SlowedView { pace: paced(per_minute), full: paced(full_per_minute), since: ask.when(since), why })
}

/// A pace as people say it: by the minute below one a second.
fn paced(per_minute: u64) -> String {
    match per_minute {
        0..60 => format!("{} a minute", Count(per_minute)),
        60..600 if !per_minute.is_multiple_of(60) => {
            format!("{}.{} a second", per_minute / 60, per_minute % 60 / 6)
        }
        _ => format!("{} a second", Count(per_minute / 60)),
    }
}

/// An address without its password, which a form can send back.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((login, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    match login.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:{MASK}@{host}"),
        None => url.to_owned(),
    }
}

fn kinds(chosen: &str) -> Vec<Choice> {
    ProviderKind::ALL.map(|kind| Choice::of(kind, view::said(&kind.to_string()), chosen)).to_vec()
}

fn filled(provider: &Provider) -> ProviderForm {
    ProviderForm {
        id: Some(provider.id.0),
        revision: provider.revision,
        fault: None,
        name: Input::of(&provider.name),
        kinds: kinds(&provider.kind.to_string()),
        url: Input::of(masked(&provider.url)),
        account: Input::of(&provider.account),
        has_secret: !provider.secret.is_empty(),
        has_callback_key: !provider.callback_key.is_empty(),
        has_inbound_key: !provider.inbound_key.is_empty(),
        inbound_key: Input::default(),
        per_second: Input::some(provider.per_second),
        concurrency: Input::some(provider.concurrency),
    }
}

/// The form as somebody has filled it, without what is secret.
fn sent(form: &Fields, old: Option<&Provider>) -> ProviderForm {
    let field = |name: &str| Input::of(form.text(name));
    ProviderForm {
        id: old.map(|old| old.id.0),
        revision: form.word("revision").parse().unwrap_or(0),
        fault: None,
        name: field("name"),
        kinds: kinds(form.word("kind")),
        url: Input::of(masked(form.text("url"))),
        account: field("account"),
        has_secret: old.is_some_and(|old| !old.secret.is_empty()),
        has_callback_key: old.is_some_and(|old| !old.callback_key.is_empty()),
        has_inbound_key: old.is_some_and(|old| !old.inbound_key.is_empty()),
        inbound_key: Input::default(),
        per_second: field("per_second"),
        concurrency: field("concurrency"),
    }
}

/// `GET /providers`
pub(super) async fn list(ask: Ask) -> Reply {
    list_page(&ask, None).await
}

async fn list_page(ask: &Ask, form: Option<ProviderForm>) -> Reply {
    let now = ask.now;
    let known = ask
        .read(move |tx| {
            let all = providers::all(tx)?;
            all.into_iter().map(|provider| Known::of(tx, provider, now)).collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let blank = || ProviderForm { kinds: kinds(""), ..ProviderForm::default() };
    let page = ProvidersPage {
        s: ask.shell(Section::Providers).await?,
        rows: known.iter().map(|one| one.row(ask)).collect(),
        form: form.unwrap_or_else(blank),
    };
    Ok(windlass_look::show(&page))
}

/// The fields of a rule as they stand in the form.
#[derive(Default)]
struct RuleForm {
    code: Input,
    action: String,
    note: Input,
}

/// `GET /providers/{provider}`
pub(super) async fn show(ask: Ask, Id(id): Id) -> Reply {
    one_page(&ask, ProviderId(id), None, RuleForm::default()).await
}

async fn one_page(ask: &Ask, id: ProviderId, form: Option<ProviderForm>, rule: RuleForm) -> Reply {
    let now = ask.now;
    let (known, failures, rules) = ask
        .read(move |tx| {
            let provider = known(tx, id)?;
            let failures = events::failures_of(tx, &provider.name, FAILURES)?;
            let rules = rules(tx, provider.kind)?;
            Ok((Known::of(tx, provider, now)?, failures, rules))
        })
        .await?;
    let s = ask.shell(Section::Providers).await?;
    let failures = failures.into_iter().map(|(at, said)| failure(ask, &s, at, said)).collect();
    let page = ProviderPage {
        row: known.row(ask),
        form: form.unwrap_or_else(|| filled(&known.provider)),
        failures,
        rules,
        code: rule.code,
        actions: Action::ALL
            .map(|action| Choice::of(action.name(), view::said(action.name()), &rule.action))
            .to_vec(),
        note: rule.note,
        s,
    };
    Ok(windlass_look::show(&page))
}

fn failure(ask: &Ask, s: &Shell, at: Time, said: String) -> (view::When, String, String) {
    let (code, text) = match said.split_once(": ") {
        Some((code, text)) if code.contains('/') && !code.contains(' ') => (code.to_owned(), text.to_owned()),
        _ => ("no answer".to_owned(), said),
    };
    (ask.when(at), code, s.shown(text))
}

/// What the errors of that kind mean: what people have written first.
fn rules(tx: &mut Tx<'_>, kind: ProviderKind) -> Result<Vec<ErrorRuleRow>, AppError> {
    let own = providers::error_rules(tx)?;
    let is_own =
        |rule: &ErrorRule| own.iter().any(|one| (one.provider, &one.code) == (rule.provider, &rule.code));
    let table = ErrorTable::default()
        .merged(own.clone())
        .map_err(|why| AppError::invalid("the table of errors", why))?;
    let mut rows: Vec<ErrorRuleRow> = table
        .rules()
        .iter()
        .filter(|rule| rule.provider == kind)
        .map(|rule| ErrorRuleRow {
            code: kind.code(&rule.code),
            action: rule.action.name().to_owned(),
            means: rule.action.text().to_owned(),
            note: rule.note.clone(),
            is_own: is_own(rule),
        })
        .collect();
    rows.sort_by_key(|row| !row.is_own);
    Ok(rows)
}

/// `POST /providers`
pub(super) async fn set(ask: Ask, Sent(form): Sent) -> Reply {
    ask.admin()?;
    let (id, name) = (named(&form, "id")?.map(ProviderId), form.word("name").to_owned());
    let (old, is_taken) = ask
        .read(move |tx| {
            let old = id.map(|id| known(tx, id)).transpose()?;
            let is_taken = providers::all(tx)?.iter().any(|one| one.name == name && Some(one.id) != id);
            Ok((old, is_taken))
        })
        .await?;
    let mut shown = sent(&form, old.as_ref());
    if is_taken {
        shown.name = shown.name.wrong("there is an account of that name: change that one");
    }
    if let Some(provider) = read(&form, &mut shown, old.as_ref()) {
        match accounts::set_provider(&ask.app, provider, ask.who()).await {
            Ok(stored) => {
                let said = format!("{} is set: in force for every message from now on.", stored.name);
                return Ok(ask.done(format_args!("/providers/{}", stored.id), said));
            }
            Err(AppError::Invalid { field: "name", why }) => shown.name = shown.name.wrong(why),
            Err(AppError::Invalid { field: "url", why }) => shown.url = shown.url.wrong(why),
            Err(AppError::Invalid { field: "inbound_key", why }) => {
                shown.inbound_key = Input::default().wrong(why);
            }
            Err(AppError::Invalid { why, .. } | AppError::Conflict(why)) => shown.fault = Some(why),
            Err(error) => return Err(error.into()),
        }
    }
    match old {
        Some(old) => one_page(&ask, old.id, Some(shown), RuleForm::default()).await,
        None => list_page(&ask, Some(shown)).await,
    }
}

/// The account that a form means, or nothing, with what is wrong at its field.
fn read(form: &Fields, shown: &mut ProviderForm, old: Option<&Provider>) -> Option<Provider> {
    let per_second = maybe_number(&mut shown.per_second, 1..=PACE_MAX);
    let concurrency = maybe_number(&mut shown.concurrency, 1..=PACE_MAX);
    let kind = ProviderKind::ALL.into_iter().find(|kind| kind.word() == form.word("kind"));
    if kind.is_none() {
        shown.fault = Some("choose what it speaks".to_owned());
    }
    let mut url = form.word("url").to_owned();
    if let Some(old) = old {
        if old.revision != shown.revision {
            shown.fault = Some("somebody else has changed it meanwhile: look at it again".to_owned());
        }
        if form.word("name") != old.name {
            shown.name = std::mem::take(&mut shown.name).wrong("an account keeps its name: make another one");
        }
        if url == masked(&old.url) {
            url.clone_from(&old.url);
        }
    }
    if url.contains(&format!(":{MASK}@")) {
        shown.url =
            std::mem::take(&mut shown.url).wrong("write the password, too: it was for another address");
    }
    let is_faulty = shown.fault.is_some() || shown.name.fault.is_some() || shown.url.fault.is_some();
    let secret = |name: &str, kept: Option<&String>| {
        form.filled(name).map(str::to_owned).or_else(|| kept.cloned()).unwrap_or_default()
    };
    let provider = Provider {
        id: ProviderId(0),
        name: form.word("name").to_owned(),
        kind: kind?,
        url,
        account: form.word("account").to_owned(),
        secret: secret("secret", old.map(|old| &old.secret)),
        callback_key: secret("callback_key", old.map(|old| &old.callback_key)),
        inbound_key: secret("inbound_key", old.map(|old| &old.inbound_key)),
        per_second: per_second?,
        concurrency: concurrency?,
        pace: Pace::default(),
        revision: 0,
    };
    (!is_faulty).then_some(provider)
}

/// `POST /providers/{provider}/breaker`
pub(super) async fn breaker(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    ask.admin()?;
    let path = format!("/providers/{id}");
    let (hand, said) = match form.word("gate") {
        "open" => (Hand::HoldBack, "Nothing goes to this account until somebody lets it."),
        "closed" => (Hand::LetThrough, "Messages go to this account, whatever it answers."),
        "release" => (Hand::LetGo, "The breaker decides again."),
        _ => return ask.not_done(path, AppError::invalid("gate", "choose one of the buttons")),
    };
    let done = breakers::decide(&ask.app, ProviderId(id), hand, form.word("why"), ask.who()).await;
    ask.told(path, done, said)
}

/// `POST /providers/{provider}/pace`
pub(super) async fn pace(ask: Ask, Id(id): Id) -> Reply {
    ask.admin()?;
    let done = paces::reset(&ask.app, Whose::Provider(ProviderId(id)), ask.who()).await;
    ask.told(format_args!("/providers/{id}"), done, "The account is asked at full pace again.")
}

/// `POST /providers/{provider}/rules`
pub(super) async fn set_rule(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    ask.admin()?;
    let id = ProviderId(id);
    let kind = kind_of(&ask, id).await?;
    let action = Action::ALL.into_iter().find(|action| action.name() == form.word("action"));
    let done = async {
        let action = action.ok_or_else(|| AppError::invalid("rule", "choose what is done"))?;
        let rule = ErrorRule {
            provider: kind,
            code: own_code(kind, form.word("code")).to_owned(),
            action,
            note: form.word("note").to_owned(),
            source: String::new(),
        };
        accounts::set_error_rule(&ask.app, rule, ask.who()).await
    };
    match done.await {
        Ok(rule) => {
            let said =
                format!("{} is {} from now on.", kind.code(&rule.code), view::said(rule.action.name()));
            Ok(ask.done(format_args!("/providers/{id}"), said))
        }
        Err(AppError::Invalid { why, .. }) => {
            let code = Input::of(form.text("code")).wrong(why);
            let note = Input::of(form.text("note"));
            one_page(&ask, id, None, RuleForm { code, action: form.word("action").to_owned(), note }).await
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /providers/{provider}/rules/remove`
pub(super) async fn remove_rule(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    ask.admin()?;
    let kind = kind_of(&ask, ProviderId(id)).await?;
    let code = own_code(kind, form.word("code"));
    let done = accounts::remove_error_rule(&ask.app, kind, code, ask.who()).await;
    ask.told(format_args!("/providers/{id}"), done, "What the application brings holds again.")
}

async fn kind_of(ask: &Ask, id: ProviderId) -> Result<ProviderKind, Fault> {
    ask.read(move |tx| Ok(known(tx, id)?.kind)).await
}

/// A code without the word of its own kind in front, as people copy it from a message.
fn own_code(kind: ProviderKind, code: &str) -> &str {
    code.strip_prefix(kind.prefix()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(code)
}

fn known(tx: &mut Tx<'_>, id: ProviderId) -> Result<Provider, AppError> {
    providers::get(tx, id)?.ok_or_else(|| AppError::unknown("provider", id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_said_by_the_second_or_the_minute() {
        let said = [1, 59, 60, 90, 599, 600, 720, 60_000].map(paced);
        assert_eq!(
            said,
            [
                "1 a minute",
                "59 a minute",
                "1 a second",
                "1.5 a second",
                "9.9 a second",
                "10 a second",
                "12 a second",
                "1,000 a second"
            ]
        );
    }

    #[test]
    fn a_password_in_an_address_is_masked_whatever_is_in_it() {
        for (url, shown) in [
            ("smtp://ann:secret@host:25", "smtp://ann:***@host:25"),
            ("smtp://ann:s@c:r/t@host", "smtp://ann:***@host"),
            ("smtp://ann@host", "smtp://ann@host"),
            ("https://host/v3", "https://host/v3"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }
}
