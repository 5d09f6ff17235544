//! What is said of a campaign before its launch: what would stop it, whom it would not reach and why, and when it would be
//! through.
//!
//! An error means that the launch is refused: nobody, or nobody by some channel, could lawfully get what was written. A
//! warning means that somebody should look first. The contacts of the list are gone through once (`survey`); the texts are
//! judged by [`crate::template::lint`]; `plan` makes the forecast. Nothing is written.

pub(crate) mod plan;
mod survey;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use windlass::Time;

use self::survey::Survey;
use crate::{
    app::{App, AppError},
    channel::{Channel, rules::ProviderKind},
    db::Tx,
    flow::content,
    model::{
        CampaignId, TemplateId,
        campaign::{Campaign, Condition, Step, check_sequence},
        sender::Sender,
        touch::Reason,
        variant::Variant,
    },
    store::{campaigns, lists, providers, senders, templates, templates::StoredTemplate},
    template::{self, Severity, Source, Template, Variable},
    window::Forecast,
};

/// Contacts that are gone through at most: 2.5 s of work. The numbers of a larger list are of its beginning.
const LOOKED_AT_MAX: u64 = 250_000;
/// What a launch that is refused names as wrong.
pub const FIELD: &str = "preflight";
/// Days after which a campaign is told to be slow: nobody waits a quarter of a year for a message.
const SLOW_DAYS: usize = 90;

/// What is said of a campaign before its launch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preflight {
    /// The campaign.
    pub campaign: CampaignId,
    /// The revision of it that was looked at.
    pub revision: i64,
    /// When.
    pub checked_at: Time,
    /// Contacts on its list.
    pub contacts: u64,
    /// Contacts that were looked at; fewer than all only for very long lists.
    pub looked_at: u64,
    /// Of those, contacts whom at least one step reaches.
    pub reachable: u64,
    /// What was found, errors first.
    pub findings: Vec<Finding>,
    /// When it would be through, with what is known now of senders, caps and windows; none when nothing can be sent.
    pub forecast: Option<Forecast>,
}

/// Something that should be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, for programs: one of [`CODES`], or of a text's [`template::Code`]s.
    pub code: &'static str,
    /// About which step, from 1; none is the campaign.
    pub step: Option<u32>,
    /// About which channel.
    pub channel: Option<Channel>,
    /// About which of the step's variants; none is all of them, or a step without any.
    pub variant: Option<Variant>,
    /// What is wrong, for people.
    pub what: String,
    /// What to do about it.
    pub hint: String,
    /// How many contacts or messages it is about, where it is about some.
    pub count: Option<u64>,
}

/// The codes of findings that are not about a text; a code never changes its meaning.
pub const CODES: [&str; 20] = [
    "sequence",
    "no_list",
    "empty_list",
    "nobody_reachable",
    "no_template",
    "template_channel",
    "bad_template",
    "no_sender",
    "no_public_url",
    "postal_address_missing",
    "sender_paused",
    "never_told",
    "no_address",
    "suppressed",
    "no_consent",
    "no_zone",
    "never_open",
    "bad_zone",
    "sender_caps",
    "slow",
];

impl Preflight {
    /// What keeps the campaign from being launched.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

    /// Refuses a campaign that must not be launched.
    ///
    /// # Errors
    /// [`AppError::Invalid`] that names everything that keeps it.
    pub fn passed(&self) -> Result<(), AppError> {
        let said: Vec<String> = self
            .errors()
            .map(|error| {
                let variant = error.variant.map_or(String::new(), |variant| format!(" {variant}"));
                let step = error.step.map_or(String::new(), |step| format!("step {step}{variant}: "));
                format!("{step}{} ({}): {}", error.what, error.code, error.hint)
            })
            .collect();
        if said.is_empty() { Ok(()) } else { Err(AppError::invalid(FIELD, said.join("; "))) }
    }
}

/// Looks at a campaign as it is now; 100,000 contacts take about a second.
///
/// # Errors
/// A campaign that is none; the database's.
pub async fn check(app: &App, id: CampaignId) -> Result<Preflight, AppError> {
    let (now, inner) = (app.now(), app.clone());
    app.db().read(move |tx| look(tx, &inner, id, now)).await
}

/// What a campaign is made of.
struct Parts {
    campaign: Campaign,
    steps: Vec<Step>,
    /// By channel, in the order of [`Channel::ALL`].
    senders: [Vec<Sender>; 3],
    /// What each step says, and what it says by its other channel.
    texts: Vec<Text>,
}

/// A text of a step.
struct Text {
    /// From 0.
    step: usize,
    is_fallback: bool,
    /// Which variant of the step it is: a contact gets one of them.
    variant: Option<Variant>,
    channel: Channel,
    /// Whether it is the first message of its channel.
    is_first: bool,
    template: Option<StoredTemplate>,
    parsed: Option<Parsed>,
}

struct Parsed {
    subject: Template,
    body: Template,
    html: Option<Template>,
}

impl Parsed {
    fn parts(&self) -> impl Iterator<Item = &Template> {
        [&self.subject, &self.body].into_iter().chain(&self.html)
    }
}

fn look(tx: &mut Tx<'_>, app: &App, id: CampaignId, now: Time) -> Result<Preflight, AppError> {
    app.learn_public_url(tx)?;
    let campaign = campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))?;
    let steps = campaigns::steps(tx, id, campaign.version)?;
    let mut found = Findings::default();
    if let Err(why) = check_sequence(&steps) {
        found.error("sequence", why.to_string(), "change the sequence");
    }
    let of = |tx: &mut Tx<'_>, channel| senders::of_campaign(tx, id, channel);
    let senders = [of(tx, Channel::Email)?, of(tx, Channel::Sms)?, of(tx, Channel::Voicemail)?];
    let texts = texts(tx, &steps, &mut found)?;
    if !is_told(tx, &senders[Channel::Email as usize])? {
        found.of_opens(&campaign, &steps);
    }
    let parts = Parts { campaign, steps, senders, texts };
    found.of_campaign(app, &parts);

    let contacts = match parts.campaign.list {
        Some(list) => u64::try_from(lists::size(tx, list)?).unwrap_or(0),
        None => 0,
    };
    match (parts.campaign.list, contacts) {
        (None, _) => found.error("no_list", "the campaign has no list", "choose whom it reaches"),
        (Some(_), 0) => {
            found.error("empty_list", "nobody is on the list", "import contacts, or choose another")
        }
        _ => {}
    }
    let from = parts.campaign.starts_at.map_or(now, |at| at.max(now));
    let survey = survey::make(tx, app, &parts, from, LOOKED_AT_MAX)?;
    found.of_contacts(&survey);
    found.of_texts(app, &parts, &survey);
    let mut forecast = None;
    let is_explained = found.all.iter().any(|finding| finding.severity == Severity::Error);
    if survey.looked_at > 0 && survey.reachable == 0 && !is_explained {
        let hint = "look at addresses, consents and senders below";
        found.error("nobody_reachable", "nobody on the list can be reached by any step", hint);
    } else if survey.reachable > 0 {
        let plan = plan::make(tx, app, &parts, &survey, contacts, (now, from))?;
        found.of_plan(&plan);
        forecast = Some(plan.forecast);
    }
    found.all.sort_by_key(|finding| finding.severity);
    Ok(Preflight {
        campaign: id,
        revision: parts.campaign.revision,
        checked_at: now,
        contacts,
        looked_at: survey.looked_at,
        reachable: survey.reachable,
        findings: found.all,
        forecast,
    })
}

/// Whether a provider of one of these says that its mails are opened, and links in them followed. Mail servers do not.
fn is_told(tx: &mut Tx<'_>, senders: &[Sender]) -> Result<bool, AppError> {
    for sender in senders {
        let provider = providers::get(tx, sender.provider)?;
        if provider.is_some_and(|provider| provider.kind == ProviderKind::HttpMail) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The texts of all steps, with what is wrong with them by themselves.
fn texts(tx: &mut Tx<'_>, steps: &[Step], found: &mut Findings) -> Result<Vec<Text>, AppError> {
    let mut texts: Vec<Text> = Vec::new();
    for (step, of_step) in steps.iter().enumerate() {
        let arms = of_step.arms();
        for (channel, id) in of_step.texts() {
            let is_fallback = channel != of_step.channel;
            let arm = arms.iter().find(|arm| !is_fallback && arm.template == id);
            let variant = arm.map(|arm| arm.variant);
            let about = About { step: number(step), channel: Some(channel), variant };
            let template = templates::get(tx, id)?;
            let parsed = found.parse(about, channel, id, template.as_ref());
            let is_first = !texts.iter().any(|earlier| earlier.step < step && earlier.channel == channel);
            texts.push(Text { step, is_fallback, variant, channel, is_first, template, parsed });
        }
    }
    Ok(texts)
}

/// What was found so far.
#[derive(Default)]
struct Findings {
    all: Vec<Finding>,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, Default)]
struct About {
    step: Option<u32>,
    channel: Option<Channel>,
    variant: Option<Variant>,
}

impl From<Option<Channel>> for About {
    fn from(channel: Option<Channel>) -> Self {
        Self { channel, ..Self::default() }
    }
}

fn number(step: usize) -> Option<u32> {
    u32::try_from(step + 1).ok()
}

impl Findings {
    fn error(&mut self, code: &'static str, what: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, code, None, what, hint, None);
    }

    fn push(
        &mut self,
        severity: Severity,
        code: &'static str,
        about: impl Into<About>,
        what: impl Into<String>,
        hint: impl Into<String>,
        count: Option<u64>,
    ) {
        let About { step, channel, variant } = about.into();
        let (what, hint) = (what.into(), hint.into());
        self.all.push(Finding { severity, code, step, channel, variant, what, hint, count });
    }

    fn parse(
        &mut self,
        place: About,
        channel: Channel,
        id: TemplateId,
        template: Option<&StoredTemplate>,
    ) -> Option<Parsed> {
        let Some(template) = template else {
            let what = format!("there is no template {id}");
            self.push(Severity::Error, "no_template", place, what, "choose what the step says", None);
            return None;
        };
        if template.channel != channel {
            let what = format!(
                "{:?} is written for {}, and the step sends {channel}",
                template.name, template.channel
            );
            self.push(Severity::Error, "template_channel", place, what, "choose another template", None);
            return None;
        }
        let parse = || {
            Ok::<_, template::TemplateError>(Parsed {
                subject: Template::parse(&template.subject)?,
                body: Template::parse(&template.body)?,
                html: template.html.as_deref().map(Template::parse).transpose()?,
            })
        };
        match parse() {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                let what = format!("{:?} makes no sense: {why}", template.name);
                self.push(Severity::Error, "bad_template", place, what, "change the template", None);
                None
            }
        }
    }

    /// What goes by openings and clicks of which nobody will tell.
    fn of_opens(&mut self, campaign: &Campaign, steps: &[Step]) {
        let hint = "send through a provider that tells by callbacks (kind http_mail), or go by answers and deliveries";
        for (at, step) in steps.iter().enumerate() {
            let then = match step.condition {
                Condition::Opened | Condition::Clicked => "it will be skipped for everybody",
                Condition::NotOpened | Condition::NotClicked => "it will be taken for everybody",
                Condition::Always | Condition::NotReplied | Condition::NotDelivered => continue,
            };
            let what = format!("nothing tells whether mails are opened or links in them followed: {then}");
            let about = About { step: number(at), ..About::default() };
            self.push(Severity::Warning, "never_told", about, what, hint, None);
        }
        if campaign.stop_rules.click {
            let what = "nothing tells whether links are followed: the rule that ends with a click never does";
            self.push(Severity::Warning, "never_told", None, what, hint, None);
        }
    }

    fn of_campaign(&mut self, app: &App, parts: &Parts) {
        for channel in Channel::ALL {
            let senders = &parts.senders[channel as usize];
            let is_used = |fallback: bool| {
                parts.texts.iter().any(|text| text.channel == channel && text.is_fallback == fallback)
            };
            let place = Some(channel);
            let severity = if is_used(false) { Severity::Error } else { Severity::Warning };
            if !is_used(false) && !is_used(true) {
                continue;
            }
            if senders.is_empty() {
                let what = format!("the campaign has no sender for {channel}");
                self.push(severity, "no_sender", place, what, "choose one", None);
            } else if senders.iter().all(|sender| sender.paused) {
                let what = format!("every sender of the campaign for {channel} is paused");
                let hint = "let one of them go on, or choose another; messages wait until then";
                self.push(Severity::Warning, "sender_paused", place, what, hint, None);
            }
            if channel == Channel::Email && app.public_url().is_none() {
                let what = "recipients cannot unsubscribe: the application has no public address";
                let hint = "start it with the address under which the world reaches it (--public-url, also of a command)";
                self.push(Severity::Error, "no_public_url", place, what, hint, None);
            }
            if channel == Channel::Email && parts.campaign.postal_address.trim().is_empty() {
                let what = "the campaign has no postal address, which the law wants in every commercial mail";
                self.push(Severity::Error, "postal_address_missing", place, what, "write the sender's", None);
            }
        }
    }

    fn of_contacts(&mut self, survey: &Survey) {
        let all = survey.looked_at;
        for ((channel, reason), count) in &survey.lost {
            let (code, hint) = match reason {
                Reason::NoAddress => {
                    ("no_address", "complete the list, or give the step another channel to fall back on")
                }
                Reason::Suppressed => ("suppressed", "nothing: they asked not to be reached, or cannot be"),
                Reason::NoConsent => {
                    ("no_consent", "ask them first, or give the step another channel to fall back on")
                }
                Reason::NoZone => (
                    "no_zone",
                    "complete time zones, states or ZIP codes; or let the campaign's zone stand in",
                ),
                Reason::NeverOpen => ("never_open", "widen the campaign's window"),
                _ => continue,
            };
            let what = format!("{count} of {all} contacts are not reached by {channel}: {}", reason.said());
            self.push(Severity::Warning, code, Some(*channel), what, hint, Some(*count));
        }
        if survey.bad_zones > 0 {
            let example = survey.bad_zone.as_deref().unwrap_or_default();
            let what =
                format!("{} of {all} contacts have a time zone that is none: {example}", survey.bad_zones);
            let hint = "import them again with names such as America/New_York; until then their address or number tells";
            self.push(Severity::Warning, "bad_zone", None, what, hint, Some(survey.bad_zones));
        }
    }

    /// What the texts themselves have wrong, for those who would get them.
    fn of_texts(&mut self, app: &App, parts: &Parts, survey: &Survey) {
        for (at, text) in parts.texts.iter().enumerate() {
            let (Some(template), Some(parsed)) = (&text.template, &text.parsed) else { continue };
            let contacts = survey.texts[at].contacts;
            let mut lacking: BTreeMap<Variable, u64> = survey.lacking(at);
            let mut fields: BTreeSet<String> = survey.fields.clone();
            if survey.looked_at == 0 {
                // Nobody can lack a field where there is nobody.
                let used = parsed.parts().flat_map(Template::variables);
                fields.extend(used.filter_map(Variable::field).map(str::to_owned));
            }
            let sender = parts.senders[text.channel as usize].first();
            let url = app.public_url().map(|base| format!("{base}/u/{}", "x".repeat(80)));
            let sample =
                survey.sample.as_ref().zip(sender).map(|(contact, sender)| {
                    content::values(&parts.campaign, contact, sender, url.as_deref())
                });
            for variable in parsed.parts().flat_map(Template::required) {
                let is_own = variable.known().is_none_or(|known| known.source == Source::Contact);
                // Those two have findings of their own.
                let is_said = ["unsubscribe_url", "postal_address"].contains(&variable.as_str());
                let has_it = sample.as_ref().is_none_or(|sample| sample.get(variable).is_some());
                if !is_own && !is_said && !has_it {
                    lacking.insert(variable.clone(), contacts);
                }
            }
            let draft = template::Draft {
                channel: text.channel,
                first_touch: text.is_first,
                subject: (text.channel == Channel::Email).then_some(&parsed.subject),
                text: (!template.body.is_empty()).then_some(&parsed.body),
                html: parsed.html.as_ref(),
                fields: &fields,
                contacts,
                lacking: &lacking,
                sample: sample.as_ref(),
            };
            for finding in template::lint(&draft) {
                let count = (finding.code == template::Code::MissingValues)
                    .then(|| lacking.values().copied().max().unwrap_or(0));
                let place =
                    About { step: number(text.step), channel: Some(text.channel), variant: text.variant };
                self.push(finding.severity, finding.code.name(), place, finding.what, finding.hint, count);
            }
        }
    }

    fn of_plan(&mut self, plan: &plan::Plan) {
        let days = plan.forecast.days.len();
        let left = plan.forecast.days.last().map_or(0, |day| day.left);
        if plan.held_days > 0 {
            let first: Vec<String> =
                plan.first_day.iter().map(|(channel, cap)| format!("{cap} by {channel}")).collect();
            let what = format!(
                "the senders' caps make it {} days longer; on the first day they may send {}",
                plan.held_days,
                first.join(", ")
            );
            let hint = "choose more senders, or begin earlier; a sender that warms up may send more each day";
            self.push(Severity::Warning, "sender_caps", None, what, hint, None);
        }
        if plan.forecast.completes_at.is_none() {
            let what = format!("it is not through after {days} days: {left} messages are left then");
            let hint = "raise the caps, widen the window, or choose more senders";
            self.push(Severity::Warning, "slow", None, what, hint, Some(left));
        } else if days > SLOW_DAYS {
            let what = format!("it takes {days} days");
            let hint = "raise the caps, widen the window, or choose more senders";
            self.push(Severity::Warning, "slow", None, what, hint, None);
        }
    }
}
