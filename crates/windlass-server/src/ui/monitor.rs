//! The monitor: what fires, what is over, the rules and the channels, each with its form.

mod form;

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use windlass_api::monitor::{ChannelShape, Incident, Quiet, RuleShape, Stage, When as Watched};
use windlass_api::spell::span;
use windlass_core::Time;
use windlass_look::{Flash, Frame};

use super::confirm::{Question, ask, is_confirmed};
use super::form::{Fields, back};
use super::page::{Reply, show_with};
use super::visit::Visit;
use super::words::{self, When};
use crate::answer::Fault;
use crate::monitor;
use crate::read::Pairs;
use form::{ChannelForm, RuleForm};

struct IncidentRow {
    id: String,
    icon: &'static str,
    stage: &'static str,
    severity: &'static str,
    subject: String,
    at: String,
    text: String,
    rule: String,
    since: When,
    over: Option<When>,
    acknowledged: Option<When>,
    is_acknowledged: bool,
    silenced: Option<When>,
}

impl IncidentRow {
    fn of(f: &Frame, incident: Incident, now: Time) -> Self {
        let known_end = |at: &Time| *at != Time::NEVER;
        Self {
            id: incident.id,
            icon: match incident.stage {
                Stage::Pending => "scheduled",
                Stage::Firing => "dead",
                Stage::Recovered => "completed",
            },
            stage: incident.stage.as_str(),
            severity: incident.severity.as_str(),
            subject: incident.subject,
            at: format!("{}{}", f.base, incident.page),
            text: incident.text,
            rule: incident.rule,
            since: words::when(incident.since, now),
            over: words::some_when(incident.recovered_at, now),
            is_acknowledged: incident.acknowledged_until.is_some(),
            acknowledged: words::some_when(incident.acknowledged_until.filter(known_end), now),
            silenced: words::some_when(incident.silenced_until.filter(|until| *until > now), now),
        }
    }
}

struct RuleRow {
    name: String,
    is_default: bool,
    enabled: bool,
    severity: &'static str,
    means: String,
    queue: String,
    channels: String,
    edit: String,
}

impl RuleRow {
    fn of(f: &Frame, shape: RuleShape) -> Self {
        let rule = &shape.rule;
        let channels = if rule.channels.is_empty() { "all".to_owned() } else { rule.channels.join(", ") };
        Self {
            edit: format!("{}/monitor?rule={}#rule", f.base, words::part(&shape.name)),
            is_default: shape.is_default,
            enabled: rule.enabled,
            severity: rule.severity.as_str(),
            means: means(&shape),
            queue: if rule.when.is_of_queues() || rule.when == Watched::ScheduleMissed {
                rule.queue.clone()
            } else {
                String::new()
            },
            channels,
            name: shape.name,
        }
    }
}

/// A rule as a sentence.
fn means(shape: &RuleShape) -> String {
    let rule = &shape.rule;
    let above = words::count(rule.above.unwrap_or_default());
    let longer = span::exact(rule.longer_than.unwrap_or_default().ms);
    let within = span::exact(rule.within.unwrap_or_default().ms);
    let mut told = match rule.when {
        Watched::Dead => format!("more than {above} dead jobs"),
        Watched::DeadAge => format!("dead jobs for longer than {longer}"),
        Watched::DeadRate => format!("more than {above} new dead jobs in {within}"),
        Watched::DeadShare => format!("more than {above} of 100 jobs that end in {within} die"),
        Watched::NewFailureMode => "jobs fail in a way that is new to the queue".to_owned(),
        Watched::OldestReady => format!("a ready job waits for longer than {longer}"),
        Watched::NoWorker => "ready jobs and no worker".to_owned(),
        Watched::Paused => "paused".to_owned(),
        Watched::NearlyFull => format!("{above} of 100 of the jobs that it may hold, or more"),
        Watched::ScheduleMissed => format!("{longer} past its tick without a job"),
        Watched::SpaceLow => "the store runs out of space".to_owned(),
        Watched::StoreSilent => format!("the store does not answer for {longer}"),
    };
    if rule.held_for.ms > 0 {
        told = format!("{told}, for {}", span::exact(rule.held_for.ms));
    }
    if let Some(every) = rule.remind_every {
        told = format!("{told}; again every {}", span::exact(every.ms));
    }
    told
}

struct ChannelRow {
    name: String,
    kind: &'static str,
    to: String,
    is_default: bool,
    waiting: u64,
    failures: u32,
    error: Option<String>,
    delivered: Option<When>,
    next_try: Option<When>,
    edit: String,
}

impl ChannelRow {
    fn of(f: &Frame, shape: ChannelShape, now: Time) -> Self {
        Self {
            kind: shape.channel.as_str(),
            to: form::to_words(&shape.channel),
            is_default: shape.is_default,
            waiting: shape.waiting,
            failures: shape.failures,
            error: shape.error,
            delivered: words::some_when(shape.delivered_at, now),
            next_try: words::some_when(shape.next_try_at, now),
            edit: format!("{}/monitor?channel={}#channel", f.base, words::part(&shape.name)),
            name: shape.name,
        }
    }
}

#[derive(Template)]
#[template(path = "monitor.html")]
struct MonitorPage {
    f: Frame,
    open: Vec<IncidentRow>,
    over: Vec<IncidentRow>,
    rules: Vec<RuleRow>,
    channels: Vec<ChannelRow>,
    whens: Vec<&'static str>,
    rule: RuleForm,
    channel: ChannelForm,
}

/// What stands in the forms.
#[derive(Default)]
struct Forms {
    rule: Option<RuleForm>,
    channel: Option<ChannelForm>,
    /// What is wrong with one of them.
    fault: Option<Fault>,
    /// What was done, where that is told on this page and nowhere else.
    told: Option<Flash>,
}

/// `GET /monitor`.
pub(crate) async fn page(visit: Visit, mut query: Pairs) -> Reply {
    let (rule, channel) = (query.take("rule")?, query.take("channel")?);
    query.end("rule and channel")?;
    let mut forms = Forms::default();
    if let Some(name) = rule {
        forms.rule = Some(RuleForm::of(&monitor::rule(&visit.app, &name).await?));
    }
    if let Some(name) = channel {
        forms.channel = Some(ChannelForm::of(&monitor::channel(&visit.app, &name).await?));
    }
    draw(&visit, forms).await
}

async fn draw(visit: &Visit, forms: Forms) -> Reply {
    let (incidents, rules, channels) = tokio::try_join!(
        monitor::incidents(&visit.app),
        monitor::rules(&visit.app),
        monitor::channels(&visit.app)
    )?;
    let mut f = visit.frame("monitor");
    f.every = 10;
    let mut status = StatusCode::OK;
    if let Some(fault) = &forms.fault {
        status = StatusCode::UNPROCESSABLE_ENTITY;
        f.flash = Some(Flash::bad(format!("Nothing was changed.\n{}", fault.0.detail)));
    }
    if let Some(told) = forms.told {
        f.flash = Some(told);
    }
    let rows = incidents.into_iter().map(|incident| IncidentRow::of(&f, incident, visit.now));
    let (open, over) = rows.partition(|row| row.over.is_none());
    let view = MonitorPage {
        open,
        over,
        rules: rules.into_iter().map(|shape| RuleRow::of(&f, shape)).collect(),
        channels: channels.into_iter().map(|shape| ChannelRow::of(&f, shape, visit.now)).collect(),
        whens: Watched::ALL.iter().map(|when| when.as_str()).collect(),
        rule: forms.rule.unwrap_or_default(),
        channel: forms.channel.unwrap_or_default(),
        f,
    };
    show_with(status, &view)
}

fn home(visit: &Visit) -> String {
    format!("{}/monitor", visit.base())
}

/// `POST /monitor/rules`.
pub(crate) async fn set_rule(visit: Visit, fields: Fields) -> Reply {
    let form = RuleForm::read(&fields);
    let set = async {
        let rule = form.rule().map_err(Fault::bad_request)?;
        monitor::set_rule(&visit.app, &form.name, rule).await
    };
    match set.await {
        Ok(shape) => Ok(visit.go(&home(&visit), Some(Flash::good(format!("Rule {} is set.", shape.name))))),
        Err(fault) => draw(&visit, Forms { rule: Some(form), fault: Some(fault), ..Forms::default() }).await,
    }
}

/// `POST /monitor/rules/{rule}/remove`.
pub(crate) async fn remove_rule(visit: Visit, Path(name): Path<String>) -> Reply {
    monitor::remove_rule(&visit.app, &name).await?;
    let text =
        format!("Rule {name} is removed; where every server has one of that name, that one is in force.");
    Ok(visit.go(&home(&visit), Some(Flash::good(text))))
}

/// `POST /monitor/channels`.
pub(crate) async fn set_channel(visit: Visit, fields: Fields) -> Reply {
    let form = ChannelForm::read(&fields);
    let set = async {
        let channel = form.channel().map_err(Fault::bad_request)?;
        monitor::set_channel(&visit.app, &form.name, channel).await
    };
    match set.await {
        Ok(set) => {
            let text = format!("Channel {} is set. Test it.", set.name);
            let Some(secret) = set.secret else {
                return Ok(visit.go(&home(&visit), Some(Flash::good(text))));
            };
            // It goes on this page alone: what is told on the next one travels in a cookie.
            let told = Flash::good(format!(
                "{text}\nIts secret is shown this once: {secret}\nGive it to whoever verifies signatures."
            ));
            draw(&visit, Forms { told: Some(told), ..Forms::default() }).await
        }
        Err(fault) => {
            let form = form.without_secrets();
            draw(&visit, Forms { channel: Some(form), fault: Some(fault), ..Forms::default() }).await
        }
    }
}

/// `POST /monitor/channels/{channel}/test`.
pub(crate) async fn test(visit: Visit, Path(name): Path<String>) -> Reply {
    let flash = match monitor::test(&visit.app, &name).await {
        Ok(tested) => Flash::good(format!("Channel {name} took a test in {} ms.", tested.took_ms)),
        Err(fault) => Flash::bad(format!("The test did not arrive.\n{}", fault.0.detail)),
    };
    Ok(visit.go(&home(&visit), Some(flash)))
}

/// `POST /monitor/channels/{channel}/remove`.
pub(crate) async fn remove_channel(visit: Visit, Path(name): Path<String>, fields: Fields) -> Reply {
    let home = home(&visit);
    if is_confirmed(&fields) {
        let flash = match monitor::remove_channel(&visit.app, &name).await {
            Ok(()) => Flash::good(format!("Channel {name} is removed.")),
            Err(fault) => Flash::bad(format!("Not done: {}.", fault.0.detail)),
        };
        return Ok(back(&visit, &fields, &home, flash));
    }
    ask(
        &visit,
        Question {
            place: "monitor",
            title: format!("Remove channel {name}?"),
            means: vec!["What waits there is told to nobody.", "Its secret is forgotten."],
            items: Vec::new(),
            more: 0,
            action: format!("{home}/channels/{}/remove", words::part(&name)),
            fields: Vec::new(),
            button: "Remove it".to_owned(),
            is_danger: true,
            back: home,
        },
    )
}

/// `POST /monitor/incidents/{incident}/acknowledge`.
pub(crate) async fn acknowledge(visit: Visit, Path(id): Path<String>, fields: Fields) -> Reply {
    let incident = monitor::acknowledge(&visit.app, &id, &quiet(&fields)?).await?;
    let text = match incident.acknowledged_until {
        Some(_) => format!("No reminders of {} come while somebody looks into it.", incident.subject),
        None => format!("Reminders of {} come again.", incident.subject),
    };
    Ok(visit.go(&home(&visit), Some(Flash::good(text))))
}

/// `POST /monitor/incidents/{incident}/silence`.
pub(crate) async fn silence(visit: Visit, Path(id): Path<String>, fields: Fields) -> Reply {
    let incident = monitor::silence(&visit.app, &id, &quiet(&fields)?).await?;
    let text = match incident.silenced_until {
        Some(until) => format!("Nothing of {} on {} is told until {until}.", incident.rule, incident.subject),
        None => format!("{} on {} is told again.", incident.rule, incident.subject),
    };
    Ok(visit.go(&home(&visit), Some(Flash::good(text))))
}

fn quiet(fields: &Fields) -> Result<Quiet, Fault> {
    let length = fields.filled("for").map(str::parse).transpose().map_err(Fault::bad_request)?;
    Ok(Quiet { length })
}
