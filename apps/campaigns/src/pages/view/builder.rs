//! Writing a campaign: whom it reaches, when, and in which steps ([`SequenceForm`]). All of it is one form.

use askama::Template;

use super::{Choice, Input, SequenceForm, StepForm};
use crate::{channel::Channel, model::campaign::MAX_STEPS, pages::Shell};

/// The days of a week, as fields and people name them.
pub const WEEKDAYS: [(&str, &str); 7] = [
    ("mon", "Monday"),
    ("tue", "Tuesday"),
    ("wed", "Wednesday"),
    ("thu", "Thursday"),
    ("fri", "Friday"),
    ("sat", "Saturday"),
    ("sun", "Sunday"),
];

/// A template that a step may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateChoice {
    /// The number of its newest version.
    pub id: String,
    /// Its name.
    pub name: String,
    /// For which channel.
    pub channel: Channel,
}

/// When the campaign may reach somebody.
#[derive(Clone, Debug, Default)]
pub struct WindowForm {
    /// The campaign's zone.
    pub zone: Input,
    /// Whose clock the hours are on: `campaign`, `recipient`.
    pub hours_in: Vec<Choice>,
    /// The hours of each day of [`WEEKDAYS`], in their order: `09:00-12:00, 13:00-20:00`; empty for none.
    pub hours: Vec<Input>,
    /// Calendars of holidays on which nothing is sent.
    pub calendars: Vec<Choice>,
    /// Other days on which nothing is sent.
    pub dates: Input,
    /// What becomes of those whose zone nobody knows.
    pub no_zone: Vec<Choice>,
}

impl WindowForm {
    /// The days with their fields: word, label, field.
    pub fn days(&self) -> Vec<(&'static str, &'static str, &Input)> {
        WEEKDAYS.iter().zip(&self.hours).map(|((word, label), input)| (*word, *label, input)).collect()
    }
}

/// How many of the contacts can be reached in each hour of a week on the campaign's clock, in percent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heat {
    /// By which channels of the sequence: the law's hours hold for some.
    pub channels: String,
    /// The first day of the week that was looked at.
    pub monday: String,
    /// How many contacts were looked at.
    pub of: usize,
    /// For each day of [`WEEKDAYS`], each of its 24 hours.
    pub percent: Vec<[u8; 24]>,
}

impl Heat {
    /// The cells that are not empty: column, row, opacity in hundredths.
    pub fn cells(&self) -> Vec<(usize, usize, u8)> {
        let rows = self.percent.iter().enumerate();
        rows.flat_map(|(row, hours)| {
            hours.iter().enumerate().map(move |(hour, percent)| (hour, row, *percent))
        })
        .filter(|(_, _, percent)| *percent > 0)
        .collect()
    }

    /// The same in words: the hours of each day in which somebody can be reached.
    pub fn said(&self) -> String {
        let day = |(at, hours): (usize, &[u8; 24])| {
            let open = |hour: &usize| hours[*hour] > 0;
            let (first, last) = ((0..24).find(open)?, (0..24).rfind(open)?);
            let most = hours.iter().max().copied().unwrap_or(0);
            let name = WEEKDAYS.get(at).map_or("", |(_, label)| *label);
            Some(format!("{name} {first}:00 to {}:00, at most {most} % at once", last + 1))
        };
        let told: Vec<String> = self.percent.iter().enumerate().filter_map(day).collect();
        if told.is_empty() {
            "Nobody can be reached at any time.".to_owned()
        } else {
            format!("{}.", told.join("; "))
        }
    }
}

/// The builder.
#[derive(Clone, Debug, Template)]
#[template(path = "builder.html")]
pub struct BuilderPage {
    /// What stands around it.
    pub s: Shell,
    /// The campaign.
    pub id: i64,
    /// Its status: what runs gets a new version, and those who are on their way keep theirs.
    pub status: String,
    /// The version that it is a change of.
    pub revision: i64,
    /// Whether something is shown that is not kept.
    pub is_changed: bool,
    /// What is wrong with all of it.
    pub fault: Option<String>,
    /// Its name.
    pub name: Input,
    /// Lists to choose from.
    pub lists: Vec<Choice>,
    /// Senders; those that are chosen are ticked.
    pub senders: Vec<Choice>,
    /// Messages a day at most; empty for no cap.
    pub daily_cap: Input,
    /// Contacts whom it begins with on a day at most; empty for as many as the cap has room for.
    pub new_per_day: Input,
    /// Its share among its owner's campaigns.
    pub weight: Input,
    /// The postal address in its mails.
    pub postal_address: Input,
    /// What ends the sequence for a contact: `reply`, `account_reply`, `click`, `bounce`.
    pub stops: Vec<Choice>,
    /// When it may reach somebody.
    pub window: WindowForm,
    /// How many of the list can be reached when, by each channel of the sequence; none before there is a list.
    pub heats: Vec<Heat>,
    /// Who goes by a sequence that is changed after the launch.
    pub moves: Vec<Choice>,
    /// What saving it means for those who are under way, a sentence each; nothing before it is asked for.
    pub outlook: Vec<String>,
    /// The version of the sequence that saving it makes.
    pub next_version: u32,
    /// Its steps.
    pub sequence: SequenceForm,
    /// What can be said.
    pub templates: Vec<TemplateChoice>,
}

impl BuilderPage {
    /// Whether another step fits.
    pub fn may_add(&self) -> bool {
        self.sequence.steps.len() < MAX_STEPS
    }

    /// The steps, with their number from 1 and whether they get the focus.
    pub fn steps(&self) -> Vec<(usize, &StepForm, bool)> {
        let numbered = (1..).zip(&self.sequence.steps);
        numbered.map(|(n, step)| (n, step, self.sequence.focus == Some(n))).collect()
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_told_in_words_too() {
        let mut day = [0; 24];
        day[9..20].fill(40);
        day[12] = 80;
        let heat =
            |percent| Heat { channels: "sms".to_owned(), monday: "2026-11-23".to_owned(), of: 9, percent };
        let nobody = heat(vec![]);
        let heat = heat(vec![day, [0; 24], day]);
        assert_eq!(
            heat.said(),
            "Monday 9:00 to 20:00, at most 80 % at once; Wednesday 9:00 to 20:00, at most 80 % at once."
        );
        assert_eq!(heat.cells().len(), 22);
        assert_eq!(nobody.said(), "Nobody can be reached at any time.");
    }
}
