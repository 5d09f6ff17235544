//! The tests of a campaign on its page: what came of each variant, what that means, and the form that ends one.

use super::{
    Ask, Fault, Id, Question, Reply, Sent,
    builder::read_moves,
    campaigns::{known, unchanged},
    is_sure,
    number::named,
};
use crate::{
    app::AppError,
    channel::Channel,
    drafts::{self, Kept, Moves},
    figures::Figures,
    model::{
        CampaignId, Word,
        campaign::{Campaign, Step},
        variant::Variant,
    },
    pages::{
        Section, Shell,
        form::Fields,
        view::{Choice, Count, Part, TestTable, VariantRow},
    },
    store::{campaigns, templates},
    variants::{
        results::{Goal, Rates, Tally, Test},
        verdict::{Rate, Verdict},
    },
};

/// Below this a probability is told as being below it.
const LEAST_P: f64 = 0.001;

/// What the tests are compared by, as the address says.
pub(super) fn goal(ask: &Ask) -> Result<Goal, AppError> {
    let Some(word) = ask.query.filled("goal") else { return Ok(Goal::default()) };
    serde_json::from_value(word.into()).map_err(|_| AppError::invalid("goal", "replied, clicked or opened"))
}

/// What the tests may be compared by.
pub(super) fn goals(s: &Shell, campaign: CampaignId, chosen: Goal) -> Vec<(String, String, bool)> {
    let one = |goal: Goal| {
        let at = format!("{}?goal={goal}#tests", s.campaign(campaign));
        (heading(goal).to_owned(), at, goal == chosen)
    };
    Goal::ALL.map(one).to_vec()
}

fn heading(goal: Goal) -> &'static str {
    match goal {
        Goal::Replied => "Replied",
        Goal::Clicked => "Clicked",
        Goal::Opened => "Opened",
    }
}

fn part(rate: Rate, sent: u64) -> Part {
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    let Rate { count, rate, low, high } = rate;
    if sent == 0 {
        return Part { count: Count(count), ..Part::default() };
    }
    Part {
        count: Count(count),
        percent: format!("{} %", percent(rate)),
        between: format!("{} to {} %", percent(low), percent(high)),
    }
}

/// The columns besides the one that the test is about: only mails are opened and have links to follow.
fn columns(channel: Channel, goal: Goal, rates: &Rates) -> Vec<(&'static str, Rate)> {
    let is_mail = channel == Channel::Email;
    [
        (goal != Goal::Replied, "Replied", rates.replied),
        (is_mail && goal != Goal::Clicked, "Clicked", rates.clicked),
        (is_mail && goal != Goal::Opened, "Opened", rates.opened),
        (true, "Opted out", rates.opted_out),
        (true, "Bounced", rates.bounced),
        (true, "Delivered", rates.delivered),
    ]
    .into_iter()
    .filter(|(is_shown, ..)| *is_shown)
    .map(|(_, label, rate)| (label, rate))
    .collect()
}

/// Each test as a table.
pub(super) fn tables(campaign: &Campaign, figures: &Figures, goal: Goal) -> Vec<TestTable> {
    let one = |(place, test): (usize, &Test)| table(campaign, test, goal, place);
    (1..).zip(&figures.tests).map(one).collect()
}

fn table(campaign: &Campaign, test: &Test, goal: Goal, place: usize) -> TestTable {
    let verdict = test.verdict(goal);
    let leader = match verdict {
        Verdict::Leads { variant, .. } => Some(variant),
        Verdict::TooClose { .. } | Verdict::TooFew => None,
    };
    let row = |tally: &Tally| {
        let rates = tally.rates();
        let aim = match goal {
            Goal::Replied => rates.replied,
            Goal::Clicked => rates.clicked,
            Goal::Opened => rates.opened,
        };
        VariantRow {
            letter: tally.arm.variant.to_string(),
            template: tally.arm.template.0,
            says: format!("{}, version {}", tally.name, tally.template_version),
            weight: tally.arm.weight,
            leads: leader == Some(tally.arm.variant),
            sent: Count(tally.sent),
            goal: part(aim, tally.sent),
            parts: columns(test.channel, goal, &rates)
                .into_iter()
                .map(|(_, rate)| part(rate, tally.sent))
                .collect(),
        }
    };
    let headings = test.variants.first().map_or_else(Vec::new, |first| {
        columns(test.channel, goal, &first.rates()).into_iter().map(|(label, _)| label).collect()
    });
    let may_end = test.is_current && campaign.status.is_live();
    // What leads is what is offered first.
    let offered = leader.unwrap_or(Variant::A).to_string();
    let keeps = test.variants.iter().filter(|_| may_end).map(|one| {
        let letter = one.arm.variant.to_string();
        Choice::of(&letter, format!("{letter}: {}, version {}", one.name, one.template_version), &offered)
    });
    TestTable {
        step: test.step,
        channel: test.channel,
        place,
        earlier: (!test.is_current).then(|| versions(&test.versions)),
        verdict: said(verdict, goal, campaign.ended_at.is_some()),
        is_decided: leader.is_some(),
        goal: heading(goal).to_owned(),
        headings,
        rows: test.variants.iter().map(row).collect(),
        keeps: keeps.collect(),
    }
}

fn versions(all: &[u32]) -> String {
    let listed: Vec<String> = all.iter().map(u32::to_string).collect();
    format!("version{} {}", if all.len() == 1 { "" } else { "s" }, listed.join(", "))
}

/// What the numbers say, in words.
fn said(verdict: Verdict, goal: Goal, is_over: bool) -> String {
    let what = match goal {
        Goal::Replied => "answers",
        Goal::Clicked => "clicks",
        Goal::Opened => "opens",
    };
    let chance = |p: f64| if p < LEAST_P { format!("p < {LEAST_P}") } else { format!("p = {p:.3}") };
    let not_yet = if is_over { "It has not told" } else { "Too early to tell" };
    match verdict {
        Verdict::Leads { variant, p } => {
            format!(
                "{variant} leads: more {what} than any other, by more than chance explains ({})",
                chance(p)
            )
        }
        Verdict::TooClose { p } => {
            format!("{not_yet}: chance alone may make differences in {what} like these ({})", chance(p))
        }
        Verdict::TooFew => format!("{not_yet}: there are too few {what} to compare"),
    }
}

/// What the form that ends a test says.
fn read(form: &Fields) -> Result<Kept, AppError> {
    let step = form.word("step").parse().map_err(|_| AppError::invalid("step", "a whole number"))?;
    let variant = Variant::named(form.word("variant"));
    let variant = variant.ok_or_else(|| AppError::invalid("variant", "choose which one is kept"))?;
    let revision = named(form, "revision")?;
    Ok(Kept { step, variant, moves: read_moves(form.word("moves"))?, revision })
}

/// `POST /{campaign}/keep`: asks first.
pub(super) async fn keep(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let (number, back) = (CampaignId(id), format!("/{id}"));
    let kept = match read(&form) {
        Ok(kept) => kept,
        Err(error) => return ask.not_done(back, error),
    };
    let Kept { step, variant, moves, .. } = kept;
    if is_sure(&form) {
        let done = drafts::keep(&ask.app, number, kept, ask.who()).await;
        let whom =
            if moves == Moves::Everybody { "Everybody who comes to" } else { "Whoever begins and comes to" };
        return ask.told(back, done, format!("{whom} step {step} gets what was variant {variant}."));
    }
    let (campaign, steps) = ask
        .read(move |tx| {
            let campaign = known(tx, number)?;
            let steps = campaigns::steps(tx, number, campaign.version)?;
            Ok((campaign, steps))
        })
        .await?;
    if let Err(error) = unchanged(&campaign, &form) {
        return ask.not_done(back, error);
    }
    let at = usize::try_from(step).unwrap_or(0).checked_sub(1);
    let Some(alone) = at.and_then(|at| steps.get(at)).and_then(|step| step.keeping(variant)) else {
        let why = format!("step {step} has no variant {variant} any more");
        return ask.not_done(back, AppError::Conflict(why));
    };
    question(&ask, &campaign, &alone, kept).await
}

async fn question(ask: &Ask, campaign: &Campaign, alone: &Step, kept: Kept) -> Reply {
    let Kept { step, variant, moves, .. } = kept;
    let id = alone.template;
    let said = ask.read(move |tx| Ok(templates::get(tx, id)?)).await?;
    let said = said.map(|said| format!("{}, version {}", said.name, said.version)).unwrap_or_default();
    let next =
        format!("Version {} of the sequence has one text in step {step}: {said}.", campaign.version + 1);
    let whom = match moves {
        Moves::Everybody => {
            "Everybody who has steps before them goes by it, with all of its steps; a message of this step that still waits says this text, too."
        }
        Moves::NotBegun => {
            "Contacts who have had no message yet go by it. All others go on by the version that they have, with the variants of that one."
        }
    };
    let means = [
        next.as_str(),
        whom,
        "What was sent stays recorded as it was, and its numbers stay on the campaign's page.",
    ];
    let ask_first = Question {
        title: format!("Keep variant {variant} of step {step}, and end the test?"),
        means: &means,
        button: "Keep this one",
        action: format!("/{}/keep", campaign.id),
        back: format!("/{}", campaign.id),
        fields: vec![
            ("step".to_owned(), step.to_string()),
            ("variant".to_owned(), variant.to_string()),
            ("moves".to_owned(), moves.word()),
            ("revision".to_owned(), campaign.revision.to_string()),
        ],
    };
    Ok::<_, Fault>(ask_first.show(ask.shell(Section::Campaigns).await?))
}
