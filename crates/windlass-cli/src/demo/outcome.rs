//! What is said at the end: one JSON object, or a story in plain words.

use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;

use super::DemoArgs;
use super::account::{Account, Cause};
use super::day::USERS;
use super::pass::{Finished, Kill, Times};
use super::people::{People, SkippedRow};
use super::room::Room;
use super::worker::Part;
use crate::fault::{Exit, Fault};
use crate::output::{Form, Output};

/// Kills that are told one by one.
const KILLS_TOLD: usize = 3;
/// Columns of the story's prose, as on the narrowest usual terminal.
const PROSE_COLUMNS: usize = 79;

/// Both ways to share, at a part of the size, without faults and kills.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Comparison {
    /// Contacts of each of the two days.
    pub(super) contacts: u32,
    /// A fair group for each campaign.
    pub(super) fair_groups: Times,
    /// One group for all.
    pub(super) one_group: Times,
}

/// The summary.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    contacts: u32,
    campaigns: u64,
    #[serde(flatten)]
    account: Account,
    dead: u64,
    fairness: bool,
    small_p50_s: f64,
    small_p95_s: f64,
    whale_s: f64,
    kills: usize,
    kill_log: Vec<Kill>,
    /// Refusals for now: greylisted, or told to slow down.
    deferred: u64,
    /// Times that a provider was down.
    unavailable: u64,
    comparison: Option<Comparison>,
    skipped: u64,
    skipped_rows: Vec<SkippedRow>,
    seed: u64,
    /// From the first launch to an idle queue.
    day_seconds: f64,
    /// Everything: the day, its account, the comparison.
    seconds: f64,
    #[serde(skip)]
    small: usize,
}

impl Outcome {
    pub(super) fn new(
        people: &People,
        args: &DemoArgs,
        day: Finished,
        comparison: Option<Comparison>,
        took: Duration,
    ) -> Self {
        let Finished { account, times, kills, mail, phone, dead, campaigns, seconds } = day;
        Self {
            contacts: people.count,
            campaigns,
            account,
            dead,
            fairness: !args.no_fairness,
            small: times.small,
            small_p50_s: times.small_p50_s,
            small_p95_s: times.small_p95_s,
            whale_s: times.whale_s,
            kills: kills.len(),
            kill_log: kills,
            deferred: mail.deferred + phone.deferred,
            unavailable: mail.unavailable + phone.unavailable,
            comparison,
            skipped: people.skipped,
            skipped_rows: people.skipped_rows.clone(),
            seed: args.seed,
            day_seconds: seconds,
            seconds: took.as_secs_f64(),
        }
    }

    /// An error when a promise was broken.
    pub(super) fn verdict(&self) -> Result<(), Fault> {
        let Account { lost, unexplained_repeats, strays, to_opted_out, out_of_hours, examples, .. } =
            &self.account;
        if self.account.is_clean() {
            return Ok(());
        }
        let told = format!(
            "{lost} lost, {unexplained_repeats} repeats without a cause, {strays} deliveries that are not on record, \
             {to_opted_out} to people who had opted out, {out_of_hours} out of hours",
        );
        let fault = Fault::new(Exit::Failed, "account_open", told);
        Err(if examples.is_empty() { fault } else { fault.next(examples.join("\n  ")) })
    }

    pub(super) fn tell(&self, out: &Output, room: &Room) -> Result<(), Fault> {
        match out.form {
            Form::Json => out.json(self),
            Form::Plain | Form::Human => out.text(&self.story(room)),
        }
    }

    fn story(&self, room: &Room) -> String {
        let parts = [
            self.day_paragraph(),
            self.account_paragraph(),
            self.waiting_paragraph(),
            self.next_paragraph(room),
        ];
        parts.map(|part| part.lines().map(wrapped).collect::<Vec<_>>().join("\n")).join("\n\n") + "\n"
    }

    fn day_paragraph(&self) -> String {
        let mut text = format!(
            "The day took {:.1} s: {} of {} users to {}, by mail or, without a mailbox, by text.",
            self.day_seconds,
            counted(self.campaigns, "campaign"),
            self.campaigns.min(USERS.len() as u64),
            counted(u64::from(self.contacts), "contact"),
        );
        if self.account.calls > 0 {
            text += &format!(" {} followed.", counted(self.account.calls, "call"));
        }
        if self.skipped > 0 {
            text += &format!("\nSkipped, because no contact: {} of the file.", counted(self.skipped, "row"));
        }
        text += &format!(
            "\nThe providers told {} to wait, were down {}, took {} without the reply arriving, and refused {} for \
             good.",
            counted(self.deferred, "message"),
            counted(self.unavailable, "time"),
            HumanCount(self.account.replies_dropped),
            HumanCount(self.account.refused),
        );
        if self.kill_log.len() > KILLS_TOLD {
            text += &format!("\n{} (SIGKILL):", counted(self.kill_log.len() as u64, "kill"));
            let parts = [Part::Server, Part::Application, Part::Worker, Part::Whole];
            let times = parts.iter().map(|part| {
                let times = self.kill_log.iter().filter(|kill| kill.part == part.name()).count();
                (part.name(), times)
            });
            let told: Vec<String> = times
                .filter(|(_, times)| *times > 0)
                .map(|(name, times)| format!("the {name} {}", counted(times as u64, "time")))
                .collect();
            text += &format!(" {}.", told.join(", "));
            return text;
        }
        for kill in &self.kill_log {
            text += &format!(
                "\nWith {} delivered the application was killed (SIGKILL); the next one was at work {:.2} s later.",
                HumanCount(kill.deliveries),
                kill.back_after_s.unwrap_or_default()
            );
        }
        text
    }

    fn account_paragraph(&self) -> String {
        let account = &self.account;
        let mut text = "The providers' own logs against the application's database:".to_owned();
        let mut line =
            |count: u64, words: &str| text += &format!("\n  {:>9} {words}", HumanCount(count).to_string());
        line(account.delivered, "reached");
        if account.withheld > 0 {
            line(account.withheld, "opted out before, and left alone");
        }
        line(account.refused, "refused for good, with the provider's words");
        line(account.lost, "lost");
        line(account.repeats, "repeated");
        for (cause, count) in &account.repeats_by_cause {
            line(
                *count,
                match cause {
                    Cause::WorkerKilled => "  of those: killed after the send, before it was on record",
                    Cause::ReplyLost => "  of those: the provider took it, the reply never came",
                },
            );
        }
        if account.unexplained_repeats > 0 {
            line(account.unexplained_repeats, "  of those: without a cause");
        }
        if account.undecided > 0 {
            line(account.undecided, "undecided: nobody knows whether it went out, and a person is asked");
        }
        line(account.to_opted_out, "sent to somebody who had opted out");
        line(account.out_of_hours, "sent out of hours, or at night where the recipient is");
        if account.repeats > 0 && account.unexplained_repeats == 0 {
            text += "\nOnly mails repeat, with the same Message-ID; a text is asked for first, a call is made at most once.";
        }
        text
    }

    fn waiting_paragraph(&self) -> String {
        let how =
            if self.fairness { "a fair group for each campaign" } else { "one group for all campaigns" };
        let mut text =
            format!("With {how}, from launch to last recipient: the whale took {:.1} s", self.whale_s);
        text += &match self.small {
            0 => ".".to_owned(),
            _ => format!(
                ", half of the small campaigns at most {:.1} s, 95 % of them at most {:.1} s.",
                self.small_p50_s, self.small_p95_s
            ),
        };
        if let Some(Comparison { contacts, fair_groups, one_group }) = &self.comparison {
            let row = |name: &str, times: &Times| {
                format!(
                    "\n  {name:<16} {:>9.2} s {:>9.2} s {:>9.2} s   {:>2} of {}",
                    times.small_p50_s,
                    times.small_p95_s,
                    times.whale_s,
                    times.small_before_whale,
                    times.small
                )
            };
            text += &format!(
                "\nBoth ways to share, {} contacts each, no faults, no kills:\n  {:<16} {:>11} {:>11} {:>11}   {}",
                HumanCount(u64::from(*contacts)),
                "",
                "small p50",
                "small p95",
                "whale",
                "small before whale"
            );
            text += &row("fair groups", fair_groups);
            text += &row("one group", one_group);
        }
        text
    }

    fn next_paragraph(&self, room: &Room) -> String {
        let mut lines = Vec::new();
        match room.kept() {
            Some(_) => {
                let commands = ["windlass queues ls", "windlass jobs ls --limit 10", "windlass errors"];
                lines.extend(commands.map(|command| format!("  {}", room.command(command))));
                let database = format!("windlass campaigns ls --database {}", room.first_database());
                lines.push(format!("  {}", room.command(&database)));
            }
            None => lines.push("  windlass demo --keep                  keep the data and look at it with the other commands".to_owned()),
        }
        if self.fairness {
            lines.push(
                "  windlass demo --no-fairness           the whole day with small campaigns behind the whale"
                    .to_owned(),
            );
        }
        lines.push(
            "  windlass demo --contacts people.csv   your own list; nothing leaves this machine".to_owned(),
        );
        format!("What to try next:\n{}", lines.join("\n"))
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

/// A line of prose on as many lines as it needs; what is indented is a table or a command and stays as it is.
fn wrapped(line: &str) -> String {
    if line.starts_with(' ') || line.chars().count() <= PROSE_COLUMNS {
        return line.to_owned();
    }
    let mut text = String::with_capacity(line.len());
    let mut column = 0;
    for word in line.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > PROSE_COLUMNS {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_fits_a_terminal_and_loses_no_word() {
        let prose = "word ".repeat(60).trim_end().to_owned();
        let text = wrapped(&prose);
        assert!(text.lines().all(|line| line.len() <= PROSE_COLUMNS), "{text}");
        assert_eq!(text.replace('\n', " "), prose);
        let table = format!("  {prose}");
        assert_eq!(wrapped(&table), table);
    }
}
