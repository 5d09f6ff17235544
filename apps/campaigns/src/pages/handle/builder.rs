//! Writing a campaign: one form, which comes back with the sequence changed, with what is wrong at its field, or is kept.

use serde_json::json;

use super::{
    Ask, Id, Reply, Sent, campaigns as campaign_pages,
    number::{maybe_number, number, read_number},
    senders as sender_pages, words,
};
use crate::{
    app::AppError,
    channel::Channel,
    db::Tx,
    drafts::{
        self, Draft, Moves,
        outlook::{self, Going, To},
    },
    flow::check,
    model::{
        CampaignId, ContactId, ListId, SenderId, TemplateId, Word,
        campaign::{
            Campaign, CampaignStatus, Condition, Fallback, MAX_STEPS, SequenceError, Step, StopRules,
        },
        sender::Sender,
        sequence,
        variant::{Alternative, USUAL_WEIGHT, WEIGHTS},
    },
    pages::{
        Section,
        form::Fields,
        view::{
            BuilderPage, Choice, Heat, Input, SequenceForm, StepForm, TemplateChoice, Then, VariantForm,
            WEEKDAYS, WindowForm,
        },
    },
    store::{
        PAGE_MAX, campaigns, contacts, lists,
        lists::List,
        senders,
        templates::{self, StoredTemplate},
    },
    window::{self, Calendar, Delay, Holidays, HoursIn, OnNoZone, Recipient, Week, WindowPolicy, Zone},
};

/// The most messages a day that a form takes.
const CAP_MAX: u32 = 100_000_000;
/// The longest delay that a form takes, in whatever it is counted; the sequence has its own bound.
const DELAY_MAX: u32 = 1_000_000;

/// Contacts of the list whose hours are looked at: enough that a percent is a percent, and read in some milliseconds.
const LOOKED_AT: usize = 2_000;

/// What may end the sequence for a contact.
const STOPS: [(&str, &str); 4] = [
    ("reply", "answers"),
    ("account_reply", "answers, or whose colleague of the same account does"),
    ("click", "follows a link"),
    ("bounce", "has a message that bounces"),
];
/// The button of whoever has read what another version means.
const SURE: &str = "sure";

/// What a campaign is written with.
struct Bench {
    campaign: Campaign,
    steps: Vec<Step>,
    chosen: Vec<SenderId>,
    lists: Vec<List>,
    senders: Vec<Sender>,
    templates: Vec<TemplateChoice>,
}

impl Bench {
    fn of(tx: &mut Tx<'_>, id: CampaignId) -> Result<Self, AppError> {
        let campaign = campaign_pages::known(tx, id)?;
        let steps = campaigns::steps(tx, id, campaign.version)?;
        let mut chosen = Vec::new();
        for channel in Channel::ALL {
            chosen.extend(senders::of_campaign(tx, id, channel)?.into_iter().map(|sender| sender.id));
        }
        let choice = |one: &StoredTemplate, name: String| TemplateChoice {
            id: one.id.to_string(),
            name,
            channel: one.channel,
        };
        let newest = templates::newest(tx)?;
        let mut offered: Vec<TemplateChoice> =
            newest.iter().map(|one| choice(one, one.name.clone())).collect();
        // A step keeps the version that it was written with until somebody chooses another.
        for (_, id) in steps.iter().flat_map(Step::texts) {
            if !offered.iter().any(|one| one.id == id.to_string())
                && let Some(older) = templates::get(tx, id)?
            {
                offered.push(choice(&older, format!("{}, version {}", older.name, older.version)));
            }
        }
        Ok(Self {
            campaign,
            steps,
            chosen,
            lists: lists::all(tx)?,
            senders: senders::all(tx)?,
            templates: offered,
        })
    }

    /// The fields of the campaign as it is.
    fn written(&self) -> Written {
        let Campaign { policy, stop_rules, .. } = &self.campaign;
        let StopRules { reply, click, bounce, account_reply } = *stop_rules;
        let stops =
            [(reply, "reply"), (account_reply, "account_reply"), (click, "click"), (bounce, "bounce")];
        Written {
            revision: self.campaign.revision,
            name: Input::of(&self.campaign.name),
            list: self.campaign.list.map(|list| list.to_string()).unwrap_or_default(),
            senders: self.chosen.iter().map(ToString::to_string).collect(),
            daily_cap: Input::some(self.campaign.daily_cap),
            new_per_day: Input::some(self.campaign.new_per_day),
            weight: Input::of(self.campaign.weight),
            postal_address: Input::of(&self.campaign.postal_address),
            stops: stops.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word.to_owned()).collect(),
            zone: Input::of(policy.zone.name()),
            hours_in: if policy.hours_in == HoursIn::Campaign { "campaign" } else { "recipient" }.to_owned(),
            hours: (0..7).map(|day| Input::of(words::hours(&policy.week, day))).collect(),
            calendars: policy.holidays.calendars.iter().map(|one| one.name().to_owned()).collect(),
            dates: Input::of(
                policy.holidays.dates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            ),
            no_zone: if policy.no_zone == OnNoZone::Skip { "skip" } else { "use_campaign_zone" }.to_owned(),
            sequence: SequenceForm { steps: self.steps.iter().map(step_form).collect(), focus: None },
            moves: Moves::default().word(),
            outlook: Vec::new(),
            fault: None,
        }
    }
}

fn step_form(step: &Step) -> StepForm {
    let (count, unit) = match step.delay {
        Delay::Minutes(n) => (n, "minutes"),
        Delay::Hours(n) => (n, "hours"),
        Delay::Days(n) => (n, "days"),
        Delay::BusinessHours(n) => (n, "business_hours"),
        Delay::BusinessDays(n) => (n, "business_days"),
    };
    let fallback = step.fallback.as_ref();
    StepForm {
        key: step.key,
        channel: step.channel.name().to_owned(),
        delay: Input::of(count),
        unit: unit.to_owned(),
        condition: step.condition.word(),
        template: step.template.to_string(),
        weight: Input::some(step.weight),
        variants: step.variants.iter().map(variant_form).collect(),
        focus: None,
        fallback: fallback.map_or("", |fallback| fallback.channel.name()).to_owned(),
        fallback_template: fallback.map(|fallback| fallback.template.to_string()).unwrap_or_default(),
        fault: None,
    }
}

fn variant_form(other: &Alternative) -> VariantForm {
    VariantForm { template: other.template.to_string(), weight: Input::of(other.weight) }
}

/// The fields of the form, as they are kept or as somebody has filled them.
struct Written {
    revision: i64,
    name: Input,
    list: String,
    senders: Vec<String>,
    daily_cap: Input,
    new_per_day: Input,
    weight: Input,
    postal_address: Input,
    stops: Vec<String>,
    zone: Input,
    hours_in: String,
    hours: Vec<Input>,
    calendars: Vec<String>,
    dates: Input,
    no_zone: String,
    sequence: SequenceForm,
    moves: String,
    outlook: Vec<String>,
    fault: Option<String>,
}

impl Written {
    fn sent(form: &Fields) -> Self {
        let field = |name: &str| Input::of(form.text(name));
        let all = |name: &str| form.all(name).map(str::to_owned).collect::<Vec<_>>();
        Self {
            revision: form.word("revision").parse().unwrap_or(0),
            name: field("name"),
            list: form.word("list").to_owned(),
            senders: all("sender"),
            daily_cap: field("daily_cap"),
            new_per_day: field("new_per_day"),
            weight: field("weight"),
            postal_address: field("postal_address"),
            stops: all("stop"),
            zone: field("zone"),
            hours_in: form.word("hours_in").to_owned(),
            hours: WEEKDAYS.iter().map(|(day, _)| field(&format!("hours-{day}"))).collect(),
            calendars: all("calendar"),
            dates: field("dates"),
            no_zone: form.word("no_zone").to_owned(),
            sequence: SequenceForm::read(form),
            moves: form.word("moves").to_owned(),
            outlook: Vec::new(),
            fault: None,
        }
    }

    /// The draft that it means; otherwise what is wrong stands at its field.
    fn draft(&mut self, campaign: &Campaign) -> Option<Draft> {
        let daily_cap = maybe_number(&mut self.daily_cap, 1..=CAP_MAX);
        let new_per_day = maybe_number(&mut self.new_per_day, 1..=CAP_MAX);
        let weight = number(&mut self.weight, 1..=100);
        let policy = self.policy();
        let steps = self.steps();
        let list = read_number(&self.list).map_err(|()| self.blame("List"));
        let senders = self.senders.iter().map(|id| id.parse().map(SenderId)).collect::<Result<Vec<_>, _>>();
        let senders = senders.map_err(|_| self.blame("Senders"));
        if self.stops.iter().any(|word| !STOPS.iter().any(|(known, _)| known == word)) {
            self.blame("The sequence ends for a contact who");
            return None;
        }
        let ends = |word: &str| self.stops.iter().any(|one| one == word);
        Some(Draft {
            name: self.name.text.trim().to_owned(),
            user: campaign.user,
            list: list.ok()?.map(ListId),
            weight: weight?,
            daily_cap: daily_cap?,
            new_per_day: new_per_day?,
            policy: policy?,
            stop_rules: StopRules {
                reply: ends("reply"),
                click: ends("click"),
                bounce: ends("bounce"),
                account_reply: ends("account_reply"),
            },
            postal_address: self.postal_address.text.clone(),
            starts_at: campaign.starts_at,
            senders: senders.ok()?,
            steps: steps?,
            revision: Some(self.revision),
        })
    }

    /// Says that a choice is none of those that the form offers: that nothing was chosen would be something else.
    fn blame(&mut self, label: &str) {
        self.fault = Some(format!("{label}: what was chosen is none of the choices; choose again"));
    }

    fn policy(&mut self) -> Option<WindowPolicy> {
        let zone = Zone::named(self.zone.text.trim()).map_err(|why| {
            self.zone.fault = Some(why.to_string());
        });
        let mut stretches: Vec<(&str, String)> = Vec::new();
        let mut is_faulty = false;
        for ((day, _), input) in WEEKDAYS.iter().zip(&mut self.hours) {
            for stretch in input.text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
                match Week::of(&[(day, stretch)]) {
                    Ok(_) => stretches.push((day, stretch.to_owned())),
                    Err(why) => {
                        input.fault = Some(why.to_string());
                        is_faulty = true;
                    }
                }
            }
        }
        let dates: Result<Vec<jiff::civil::Date>, _> = self
            .dates
            .text
            .split([',', ' '])
            .filter(|text| !text.is_empty())
            .map(|text| text.parse().map_err(|_| format!("{text} is no date, as 2026-12-24")))
            .collect();
        let dates = dates.map_err(|why| self.dates.fault = Some(why));
        if is_faulty {
            return None;
        }
        let stretches: Vec<(&str, &str)> =
            stretches.iter().map(|(day, stretch)| (*day, stretch.as_str())).collect();
        let week = Week::of(&stretches).map_err(|why| self.fault = Some(why.to_string())).ok()?;
        let policy = WindowPolicy::new(zone.ok()?, week);
        let policy = policy.map_err(|_| {
            let never = "the window never opens: give at least one day hours, as 09:00-20:00";
            self.hours[0].fault = Some(never.to_owned());
        });
        let named = |name: &String| Calendar::ALL.into_iter().find(|calendar| calendar.name() == name);
        let calendars = self.calendars.iter().map(named).collect::<Option<_>>();
        let hours_in = match self.hours_in.as_str() {
            "campaign" => Some(HoursIn::Campaign),
            "recipient" | "" => Some(HoursIn::Recipient),
            _ => None,
        };
        let no_zone = match self.no_zone.as_str() {
            "use_campaign_zone" => Some(OnNoZone::UseCampaignZone),
            "skip" | "" => Some(OnNoZone::Skip),
            _ => None,
        };
        let (Some(calendars), Some(hours_in), Some(no_zone)) = (calendars, hours_in, no_zone) else {
            self.blame("When it may reach somebody");
            return None;
        };
        let holidays = Holidays { calendars, dates: dates.ok()? };
        Some(WindowPolicy { hours_in, holidays, no_zone, ..policy.ok()? })
    }

    fn steps(&mut self) -> Option<Vec<Step>> {
        // Each is read, so that all that is wrong is told at once.
        let steps: Vec<Option<Step>> = self.sequence.steps.iter_mut().map(step).collect();
        steps.into_iter().collect()
    }

    /// Whether nothing is wrong with what is written.
    fn is_faultless(&self) -> bool {
        self.fault.is_none() && self.sequence.steps.iter().all(|step| step.fault.is_none())
    }

    /// Says what the application found, where it is about.
    fn refused(&mut self, error: AppError) -> Result<(), AppError> {
        let (field, why) = match error {
            AppError::Invalid { field, why } => (field, why),
            AppError::Conflict(why) => ("", why),
            AppError::Unknown { what: "campaign", .. } | AppError::Db(_) | AppError::Queue(_) => {
                return Err(error);
            }
            error @ AppError::Unknown { .. } => ("", error.to_string()),
        };
        let numbered = why.strip_prefix("step ").and_then(|rest| {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..digits].parse::<usize>().ok()
        });
        match (field, numbered) {
            ("name", _) => self.name.fault = Some(why),
            ("weight", _) => self.weight.fault = Some(why),
            ("daily cap", _) => self.daily_cap.fault = Some(why),
            ("new per day", _) => self.new_per_day.fault = Some(why),
            ("steps", Some(n)) if (1..=self.sequence.steps.len()).contains(&n) => {
                self.sequence.steps[n - 1].fault = Some(why);
            }
            _ => self.fault = Some(why),
        }
        Ok(())
    }
}

/// The step that its fields mean.
fn step(form: &mut StepForm) -> Option<Step> {
    let count = number(&mut form.delay, 0..=DELAY_MAX);
    let channel = |word: &str| Channel::ALL.into_iter().find(|channel| channel.name() == word);
    let template = |word: &str| word.parse().ok().map(TemplateId);
    let has_variants = !form.variants.is_empty();
    let nothing_said = if has_variants { "choose what each variant says" } else { "choose what it says" };
    let weight = if has_variants { number(&mut form.weight, WEIGHTS) } else { None };
    let weights: Vec<Option<u32>> =
        form.variants.iter_mut().map(|other| number(&mut other.weight, WEIGHTS)).collect();
    let are_weighed = !has_variants || (weight.is_some() && weights.iter().all(Option::is_some));
    let read = || {
        let delay =
            serde_json::from_value::<Delay>(json!({ "unit": form.unit, "count": count.unwrap_or(0) }))
                .map_err(|_| "choose in what the delay is counted")?;
        let condition = serde_json::from_value::<Condition>(form.condition.as_str().into())
            .map_err(|_| "choose when it is taken")?;
        let fallback = match form.fallback.as_str() {
            "" => None,
            word => Some(Fallback {
                channel: channel(word).ok_or("choose by which other channel, or by none")?,
                template: template(&form.fallback_template)
                    .ok_or("choose what is said to those who cannot be reached so")?,
            }),
        };
        let variants = form.variants.iter().zip(weights).map(|(other, weight)| {
            let template = template(&other.template).ok_or(nothing_said)?;
            Ok::<_, &str>(Alternative { template, weight: weight.unwrap_or(USUAL_WEIGHT) })
        });
        Ok::<_, &str>(Step {
            key: form.key,
            channel: channel(&form.channel).ok_or("choose a channel")?,
            delay,
            condition,
            template: template(&form.template).ok_or(nothing_said)?,
            weight,
            variants: variants.collect::<Result<_, _>>()?,
            fallback,
        })
    };
    match read() {
        Ok(step) => count.filter(|_| are_weighed).map(|_| step),
        Err(why) => {
            form.fault = Some(why.to_owned());
            None
        }
    }
}

/// `GET /{campaign}/edit`
pub(super) async fn show(ask: Ask, Id(id): Id) -> Reply {
    let bench = ask.read(move |tx| Bench::of(tx, CampaignId(id))).await?;
    let written = bench.written();
    page(&ask, bench, written, false).await
}

async fn page(ask: &Ask, bench: Bench, mut written: Written, is_changed: bool) -> Reply {
    let heats = heats(ask, &mut written).await?;
    let Bench { campaign, lists, senders, templates, .. } = bench;
    let none = Choice::of("", "choose…", &written.list);
    let of_list = |list: &List| {
        let label = format!("{} ({})", list.name, crate::pages::view::Count::from(list.contacts));
        Choice::of(list.id, label, &written.list)
    };
    let is_on = |all: &[String], value: &str| all.iter().any(|one| one == value);
    let boxes = |all: &[(String, String)], on: &[String]| -> Vec<Choice> {
        let one = |(value, label): &(String, String)| Choice {
            is_on: is_on(on, value),
            value: value.clone(),
            label: label.clone(),
        };
        all.iter().map(one).collect()
    };
    let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(value, label)| ((*value).to_owned(), (*label).to_owned())).collect()
    };
    let named: Vec<(String, String)> = senders
        .iter()
        .map(|sender| (sender.id.to_string(), format!("{}: {}", sender.channel, sender_pages::label(sender))))
        .collect();
    let calendars: Vec<(String, String)> =
        Calendar::ALL.map(|one| (one.name().to_owned(), one.name().replace('-', " "))).to_vec();
    let stops = pairs(&STOPS);
    let page = BuilderPage {
        s: ask.shell(Section::Campaigns).await?,
        id: campaign.id.0,
        status: campaign.status.to_string(),
        revision: written.revision,
        is_changed,
        fault: written.fault,
        name: written.name,
        lists: std::iter::once(none).chain(lists.iter().map(of_list)).collect(),
        senders: boxes(&named, &written.senders),
        daily_cap: written.daily_cap,
        new_per_day: written.new_per_day,
        weight: written.weight,
        postal_address: written.postal_address,
        stops: boxes(&stops, &written.stops),
        window: WindowForm {
            zone: written.zone,
            hours_in: Choice::all(
                &[("recipient", "each recipient"), ("campaign", "the campaign")],
                &written.hours_in,
            ),
            hours: written.hours,
            calendars: boxes(&calendars, &written.calendars),
            dates: written.dates,
            no_zone: Choice::all(
                &[("skip", "are skipped"), ("use_campaign_zone", "are taken to be in the campaign's zone")],
                &written.no_zone,
            ),
        },
        heats,
        moves: moves(&written.moves),
        outlook: written.outlook,
        next_version: campaign.version + 1,
        sequence: written.sequence,
        templates,
    };
    Ok(windlass_look::show(&page))
}

/// Who may go by another version of a sequence; those are chosen.
pub(super) fn moves(chosen: &str) -> Vec<Choice> {
    let all = [
        ("not_begun", "contacts who have had no message yet"),
        ("everybody", "everybody who has steps before them"),
    ];
    Choice::all(&all, chosen)
}

/// Who is to go by it, in a form's word; an empty one is the usual.
///
/// # Errors
/// A word that is none.
pub(super) fn read_moves(word: &str) -> Result<Moves, AppError> {
    match word {
        "" => Ok(Moves::default()),
        word => serde_json::from_value(word.into())
            .map_err(|_| AppError::invalid("moves", "choose who goes by the changed sequence")),
    }
}

/// When how many of the list can be reached, by each channel of the sequence; nothing before there is a list and a window.
async fn heats(ask: &Ask, written: &mut Written) -> Result<Vec<Heat>, super::Fault> {
    let (Some(list), Some(policy)) = (written.list.parse().ok().map(ListId), written.policy()) else {
        return Ok(Vec::new());
    };
    let people = ask
        .read(move |tx| {
            let mut people: Vec<(Recipient, u64)> = Vec::new();
            let mut after = ContactId(0);
            while people.len() < LOOKED_AT {
                let page = contacts::page(tx, Some(list), "", after, PAGE_MAX)?;
                let Some(last) = page.last() else { break };
                after = last.id;
                people.extend(page.iter().map(|contact| (check::recipient(contact), 1)));
            }
            Ok(people)
        })
        .await?;
    if people.is_empty() {
        return Ok(Vec::new());
    }
    let mut heats: Vec<Heat> = Vec::new();
    for channel in Channel::ALL {
        let is_used = |step: &StepForm| step.channel == channel.name() || step.fallback == channel.name();
        if !written.sequence.steps.iter().any(is_used) {
            continue;
        }
        let week = window::heat(&policy, &ask.app.rules(), channel, &people, ask.now);
        let percent = week.percent.to_vec();
        match heats.iter_mut().find(|heat| heat.percent == percent) {
            Some(same) => same.channels = format!("{} or {channel}", same.channels),
            None => heats.push(Heat {
                channels: channel.to_string(),
                monday: week.monday.to_string(),
                of: people.len(),
                percent,
            }),
        }
    }
    Ok(heats)
}

/// `POST /{campaign}/edit`
pub(super) async fn edit(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let bench = ask.read(move |tx| Bench::of(tx, CampaignId(id))).await?;
    let mut written = Written::sent(&form);
    if written.sequence.steps.len() > MAX_STEPS {
        // No form of ours sends so many, and showing them again would be as much work as somebody asks for.
        return Err(AppError::invalid("steps", SequenceError::TooLong(written.sequence.steps.len())).into());
    }
    let then = written.sequence.apply(form.word("then"));
    if then == Then::Again {
        return page(&ask, bench, written, true).await;
    }
    let moves = read_moves(&written.moves)?;
    let Some(draft) = written.draft(&bench.campaign) else {
        written
            .fault
            .get_or_insert_with(|| "Nothing is saved: some fields below say what is wrong".to_owned());
        return page(&ask, bench, written, true).await;
    };
    if form.word("then") != SURE && is_next_version(&bench, &draft) {
        match outlook::of(&ask.app, CampaignId(id), draft.steps.clone(), moves).await {
            Ok(going) => written.outlook = going.iter().map(told).collect(),
            Err(error) => written.refused(error)?,
        }
        if written.outlook.is_empty() && written.is_faultless() {
            written.outlook.push("Nobody is under way.".to_owned());
        }
        return page(&ask, bench, written, true).await;
    }
    match keep(&ask, &bench, draft, moves).await {
        Ok(campaign) if then == Then::Check => {
            Ok(ask.done(format_args!("/{id}/check"), format!("{} is saved.", campaign.name)))
        }
        Ok(campaign) => Ok(ask.done(format_args!("/{id}"), format!("{} is saved.", campaign.name))),
        Err(error) => {
            written.refused(error)?;
            page(&ask, bench, written, true).await
        }
    }
}

/// Whether keeping it makes another version of the sequence.
fn is_next_version(bench: &Bench, draft: &Draft) -> bool {
    // A form without keys says the same steps, too.
    let known = bench.steps.iter().map(|step| step.key).collect();
    let is_same = sequence::keyed(&draft.steps, &bench.steps, &known).is_ok_and(|steps| steps == bench.steps);
    bench.campaign.status != CampaignStatus::Draft && !is_same
}

/// What becomes of contacts who stand at the same step.
fn told(going: &Going) -> String {
    let Going { count, from, waits, to } = going;
    let who = windlass_look::words::many(*count, "contact", "contacts");
    let place = match waits {
        true => format!("{who} whose message of step {from} waits"),
        false => format!("{who} before step {from}"),
    };
    let skipped = if *waits { ": the message is skipped, and they" } else { "" };
    match to {
        To::Unmoved => format!("{place} go on by the version that they have."),
        To::Same(number) if number == from => format!("{place}: they stay there."),
        To::Same(number) => format!("{place}: it is step {number} now."),
        To::Other(number) => format!("{place}{skipped} go on with step {number}."),
        To::Done => format!("{place}{skipped} are through."),
    }
}

/// Keeps it: a draft as it is, a campaign that was launched with the next version of its sequence where that has changed.
async fn keep(ask: &Ask, bench: &Bench, draft: Draft, moves: Moves) -> Result<Campaign, AppError> {
    let id = bench.campaign.id;
    if !is_next_version(bench, &draft) {
        return drafts::edit(&ask.app, id, draft, ask.who()).await;
    }
    let steps = draft.steps.clone();
    drafts::edit(&ask.app, id, Draft { steps: bench.steps.clone(), ..draft }, ask.who()).await?;
    drafts::next_version(&ask.app, id, steps, moves, ask.who()).await
}
