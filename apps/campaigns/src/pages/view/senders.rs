//! In whose name messages go out: mailboxes and numbers, their caps, their warm-up and their health.

use askama::Template;

use super::drawing::Bars;
use super::{Choice, Count, Input, When, percent};
use crate::channel::Channel;
use crate::pages::Shell;

/// A sender in the list.
#[derive(Clone, Debug)]
pub struct SenderRow {
    /// Its number.
    pub id: i64,
    /// The name that recipients see.
    pub name: String,
    /// The mailbox or number.
    pub address: String,
    /// By which channel.
    pub channel: Channel,
    /// The account's number.
    pub provider: i64,
    /// The account's name.
    pub provider_name: String,
    /// Whose it is; none is everybody's.
    pub owner: Option<String>,
    /// Sent today.
    pub sent_today: Count,
    /// Of how many.
    pub cap_today: Count,
    /// How many when it is warm.
    pub daily_cap: Count,
    /// The day of its warm-up, from 1; none is warm.
    pub warm_up_day: Option<u32>,
    /// Messages of the last seven days.
    pub sent_week: Count,
    /// Of those, came back.
    pub bounced_week: Count,
    /// Of those, reported as spam.
    pub complained_week: Count,
    /// `healthy`, `paused`, `held back` (by its breaker or its account's), `warning` (it does not grow).
    pub status: String,
    /// Why, in a sentence; empty where all is well.
    pub why: String,
}

impl SenderRow {
    /// How much of today's cap is used.
    pub fn percent(&self) -> u8 {
        percent(self.sent_today, self.cap_today)
    }

    /// Whether it can go on.
    pub fn is_paused(&self) -> bool {
        self.status == "paused"
    }
}

/// What a sender is set to.
#[derive(Clone, Debug, Default)]
pub struct SenderForm {
    /// The number of the sender that is changed; none for a new one.
    pub id: Option<i64>,
    /// The version that it is a change of.
    pub revision: i64,
    /// What is wrong with all of it.
    pub fault: Option<String>,
    /// Channels to choose from.
    pub channels: Vec<Choice>,
    /// The name that recipients see.
    pub name: Input,
    /// The mailbox or number.
    pub address: Input,
    /// Accounts to choose from.
    pub providers: Vec<Choice>,
    /// Users to choose from; the first is everybody.
    pub users: Vec<Choice>,
    /// The zone in which its day begins.
    pub zone: Input,
    /// Messages a day when it is warm.
    pub daily_cap: Input,
    /// Messages a minute; empty for no limit.
    pub per_minute: Input,
    /// Whether it warms up.
    pub warms_up: bool,
    /// Messages on the first day.
    pub first_day: Input,
    /// How much more on the next, in percent.
    pub growth: Input,
}

/// The senders.
#[derive(Clone, Debug, Template)]
#[template(path = "senders.html")]
pub struct SendersPage {
    /// What stands around it.
    pub s: Shell,
    /// Senders, by address.
    pub rows: Vec<SenderRow>,
    /// A new one.
    pub form: SenderForm,
}

/// A day of a sender.
#[derive(Clone, Debug, Default)]
pub struct SenderDay {
    /// The date in its zone.
    pub date: String,
    /// Sent.
    pub sent: Count,
    /// Of how many; none where that is not known any more.
    pub cap: Option<Count>,
    /// Of those, came back.
    pub bounced: Count,
    /// Of those, reported as spam.
    pub complained: Count,
}

/// A sender.
#[derive(Clone, Debug, Template)]
#[template(path = "sender.html")]
pub struct SenderPage {
    /// What stands around it.
    pub s: Shell,
    /// The same as in the list.
    pub row: SenderRow,
    /// Its caps on the days of its warm-up, from the first to the one on which it is warm.
    pub curve: Vec<u64>,
    /// Its last days, newest first.
    pub days: Vec<SenderDay>,
    /// What it is set to.
    pub form: SenderForm,
    /// When it goes on by itself, if it is paused until then.
    pub goes_on: Option<When>,
    /// Until when it is to be paused, as somebody has written it.
    pub until: Input,
    /// The zone whose clocks that is on.
    pub zone: String,
}

impl SenderPage {
    /// The curve as bars; the day on which it is stands out.
    pub fn bars(&self) -> Bars {
        let today = self.row.warm_up_day.map(|day| day.saturating_sub(1) as usize);
        Bars::of(&self.curve, today)
    }
}
