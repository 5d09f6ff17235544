//! The table of legal calling hours: what holds, and another one in its place.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{Ask, Question, Reply, Sent, is_sure, words};
use crate::{
    app::AppError,
    flow::hours,
    pages::{
        Section,
        view::{HoursPage, HoursRow, Input},
    },
    window::{Holidays, Rule, RuleTable},
};

/// What a source says whose reading is not certain.
const UNCERTAIN: &str = "verify";

/// `GET /hours`
pub(super) async fn show(ask: Ask) -> Reply {
    page(&ask, None).await
}

async fn page(ask: &Ask, written: Option<Input>) -> Reply {
    let (text, is_edited) = hours::text(&ask.app).await?;
    let table = ask.app.rules();
    let stored = RuleTable::parse(&text).map_or_else(|_| String::new(), |stored| stored.edition);
    let today = date(ask.now.0);
    let page = HoursPage {
        s: ask.shell(Section::Hours).await?,
        edition: table.edition.clone(),
        is_edited,
        stored: (stored != table.edition).then_some(stored),
        rows: table.rules.iter().map(|rule| row(rule, today)).collect(),
        is_open: written.is_some(),
        text: written.unwrap_or_else(|| Input::of(text)),
    };
    Ok(windlass_look::show(&page))
}

/// The date in UTC; on the day that a rule begins or ends it is one or the other somewhere.
fn date(at_ms: u64) -> Date {
    let at =
        i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    at.to_zoned(TimeZone::UTC).date()
}

fn row(rule: &Rule, today: Date) -> HoursRow {
    let channels: Vec<&str> = rule.channels.iter().map(|channel| channel.name()).collect();
    let since = (rule.valid_from.year() > 1970).then(|| format!("since {}", rule.valid_from));
    let until = rule.valid_until.map(|last| format!("to {last}"));
    let dates: Vec<String> = since.into_iter().chain(until).collect();
    HoursRow {
        id: rule.id.clone(),
        place: rule.place.to_string(),
        channels: channels.join(", "),
        hours: words::week(&rule.hours),
        closed_on: closed_on(&rule.closed_on),
        dates: dates.join(" "),
        holds: rule.valid_from <= today && rule.valid_until.is_none_or(|last| today <= last),
        is_uncertain: rule.source.contains(UNCERTAIN),
        source: rule.source.clone(),
    }
}

fn closed_on(days: &Holidays) -> String {
    let calendars = days.calendars.iter().map(|calendar| format!("holidays of {}", calendar.name()));
    let dates = days.dates.iter().map(ToString::to_string);
    calendars.chain(dates).collect::<Vec<_>>().join(", ")
}

/// `POST /hours`
pub(super) async fn set(ask: Ask, Sent(form): Sent) -> Reply {
    ask.admin()?;
    match hours::set(&ask.app, form.text("text"), ask.who()).await {
        Ok(table) => {
            let said = format!("Edition {} holds for every message from now on.", table.edition);
            Ok(ask.done("/hours", said))
        }
        Err(AppError::Invalid { why, .. }) => page(&ask, Some(Input::of(form.text("text")).wrong(why))).await,
        Err(error) => Err(error.into()),
    }
}

/// `POST /hours/reset`: asks first.
pub(super) async fn reset(ask: Ask, Sent(form): Sent) -> Reply {
    ask.admin()?;
    if is_sure(&form) {
        let done = hours::reset(&ask.app, ask.who()).await;
        return ask.told("/hours", done, "The table that the program brings holds again.");
    }
    let edition = format!("Edition {} takes its place.", RuleTable::built_in().edition);
    let means = [
        edition.as_str(),
        "What was edited here is gone; messages keep the edition that they were checked against.",
    ];
    let ask_first = Question {
        title: "Take the edited table away?".to_owned(),
        means: &means,
        button: "Take it away",
        action: "/hours/reset".to_owned(),
        back: "/hours".to_owned(),
        fields: Vec::new(),
    };
    Ok(ask_first.show(ask.shell(Section::Hours).await?))
}
