//! What is said at the end: one JSON object, or a story in plain words.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;
use windlass_campaigns::channel::Channel;
use windlass_campaigns::plan::USERS;
use windlass_campaigns::reconcile::Cause;

use super::DemoArgs;
use super::pass::{Finished, Kill, Times};
use super::people::{People, SkippedRow};
use super::room::Room;
use crate::fault::{Exit, Fault};
use crate::output::{Form, Output};

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
    /// Messages and calls that the providers took, repeats included.
    deliveries: u64,
    /// Recipients that were reached at least once.
    delivered: u64,
    /// Refused for good by their provider; each is a dead letter.
    refused: u64,
    lost: u64,
    repeats: u64,
    unexplained_repeats: u64,
    repeats_by_cause: BTreeMap<Cause, u64>,
    repeats_by_channel: BTreeMap<Channel, u64>,
    /// Deliveries that nobody asked for.
    strays: u64,
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
    replies_dropped: u64,
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
    #[serde(skip)]
    examples: Vec<String>,
}

impl Outcome {
    pub(super) fn new(
        people: &People,
        args: &DemoArgs,
        day: Finished,
        comparison: Option<Comparison>,
        took: Duration,
    ) -> Self {
        let Finished { report, times, kills, mail, phone, dead, campaigns, seconds } = day;
        Self {
            contacts: people.list.len(),
            campaigns,
            deliveries: report.deliveries,
            delivered: report.delivered,
            refused: report.refused,
            lost: report.lost,
            repeats: report.repeats,
            unexplained_repeats: report.unexplained_repeats,
            repeats_by_cause: report.repeats_by_cause,
            repeats_by_channel: report.repeats_by_channel,
            strays: report.strays,
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
            replies_dropped: report.replies_dropped,
            comparison,
            skipped: people.skipped,
            skipped_rows: people.skipped_rows.clone(),
            seed: args.seed,
            day_seconds: seconds,
            seconds: took.as_secs_f64(),
            examples: report.lost_examples.into_iter().chain(report.unexplained_examples).collect(),
        }
    }

    /// An error when the queue broke a promise.
    pub(super) fn verdict(&self) -> Result<(), Fault> {
        if self.lost + self.unexplained_repeats + self.strays == 0 {
            return Ok(());
        }
        let told = format!(
            "{} lost, {} repeats without a cause, {} deliveries that nobody asked for",
            self.lost, self.unexplained_repeats, self.strays
        );
        let fault = Fault::new(Exit::Failed, "account_open", told);
        Err(if self.examples.is_empty() { fault } else { fault.next(self.examples.join("\n  ")) })
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
            "The day took {:.1} s: {} of {} users to {}, one message each, by SMTP and HTTP.",
            self.day_seconds,
            counted(self.campaigns, "campaign"),
            self.campaigns.min(u64::from(USERS)),
            counted(u64::from(self.contacts), "contact"),
        );
        if self.skipped > 0 {
            text += &format!("\nSkipped, because no contact: {} of the file.", counted(self.skipped, "row"));
        }
        text += &format!(
            "\nThe providers told {} to wait, were down {}, took {} without the reply arriving, and refused {} for \
             good.",
            counted(self.deferred, "message"),
            counted(self.unavailable, "time"),
            HumanCount(self.replies_dropped),
            HumanCount(self.refused),
        );
        for kill in &self.kill_log {
            text += &format!(
                "\nWith {} delivered the worker process was killed (SIGKILL); the next one was at work {:.2} s later.",
                HumanCount(kill.reached),
                kill.back_after_s
            );
        }
        text
    }

    fn account_paragraph(&self) -> String {
        let mut text = format!(
            "The providers' own logs against the queue:\n  \
             {:>9} reached\n  {:>9} refused, each a dead letter\n  {:>9} lost\n  {:>9} repeated",
            HumanCount(self.delivered).to_string(),
            HumanCount(self.refused).to_string(),
            HumanCount(self.lost).to_string(),
            HumanCount(self.repeats).to_string(),
        );
        for (cause, count) in &self.repeats_by_cause {
            let words = match cause {
                Cause::LeaseLost => "its worker was killed after the send, before the queue knew",
                Cause::ReplyLost => "the provider took it, the reply never came",
                Cause::Released => "given back at a shutdown in the middle of the send",
                Cause::Operator => "somebody asked for another run",
            };
            text += &format!("\n  {:>9}   of those: {words}", HumanCount(*count).to_string());
        }
        if self.unexplained_repeats > 0 {
            text += &format!(
                "\n  {:>9}   of those: without a cause",
                HumanCount(self.unexplained_repeats).to_string()
            );
        }
        if self.repeats > 0 && self.unexplained_repeats == 0 {
            text += "\nA queue promises at least once, with one recorded completion; every repeat here has its cause on record.";
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
                let commands = ["windlass queues ls", "windlass jobs ls --state dead", "windlass errors"];
                lines.extend(commands.map(|command| format!("  {}", room.command(command))));
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
