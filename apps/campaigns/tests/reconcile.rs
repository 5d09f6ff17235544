//! The account of a day over real servers: it closes when all is well, and finds what was planted.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use windlass::Time;
use windlass_campaigns::{
    channel::{
        CAMPAIGN_HEADER, Channel, Email, JOB_HEADER, MachineDetection, RefusalClass, SendOutcome, Sms,
        SmtpSender, TwilioClient, Twiml, Voicemail,
    },
    contacts::ContactList,
    plan::{Plan, Touch},
    reconcile::{Cause, Reconciliation, Record, Report},
};
use windlass_doubles::{Faults, Rate, smtp, twilio};

const FROM: &str = "+15550009999";

/// What a queue would have recorded.
#[derive(Clone, Default)]
struct Recorded {
    causes: HashMap<String, Vec<Cause>>,
    refused: HashSet<String>,
}

impl Record for Recorded {
    fn causes(&self, job: &str) -> Vec<Cause> {
        self.causes.get(job).cloned().unwrap_or_default()
    }

    fn refusal(&self, touch: &Touch) -> Option<String> {
        self.refused.get(&touch.to).cloned()
    }
}

struct Day {
    list: ContactList,
    plan: Plan,
    recorded: Recorded,
    logs: [PathBuf; 2],
    replies_dropped: u64,
}

/// Sends every touch until its provider settles it, as a queue would, and keeps the causes.
async fn day(dir: &Path) -> Day {
    let list = ContactList::generated(300, 11);
    let plan = Plan::new(&list).unwrap();
    let refused_recipients: HashSet<String> = plan
        .touches(&list)
        .filter(|touch| touch.contact.0 % 50 == 7)
        .map(|touch| touch.to.to_lowercase())
        .collect();
    let faults = Faults {
        seed: 3,
        defer: Rate::per_thousand(50),
        unavailable: Rate::per_thousand(50),
        drop_reply: Rate::per_thousand(100),
        refused_recipients,
        latency_ms: 0..=0,
    };
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mail = smtp::start(any_port, &dir.join("mail.jsonl"), faults.clone()).await.unwrap();
    let phone = twilio::start(any_port, &dir.join("phone.jsonl"), faults).await.unwrap();
    let client = TwilioClient::new(&phone.url(), "AC1", "token").unwrap();
    let sender = SmtpSender::new(&mail.url()).unwrap();

    let mut recorded = Recorded::default();
    for touch in plan.touches(&list) {
        let (job, campaign) = (format!("job-{}", touch.contact.0), touch.campaign.to_string());
        let (to, headers) = (touch.to.as_str(), &[(JOB_HEADER, job.as_str()), (CAMPAIGN_HEADER, &campaign)]);
        loop {
            let outcome = match touch.channel {
                Channel::Email => {
                    let message = Email {
                        message_id: &format!("<{job}@example.com>"),
                        touch: &job,
                        campaign: &campaign,
                        from: "Ann <ann@example.com>",
                        reply_to: None,
                        to,
                        to_name: "",
                        subject: "Hello",
                        text: "Hello",
                        html: None,
                        unsubscribe: None,
                        feedback_id: None,
                        date: Time(1_800_000_000_000),
                        headers,
                    };
                    sender.send(&message).await
                }
                Channel::Sms => {
                    let sms = Sms { to, from: FROM, body: "Hello", status_callback: None, headers };
                    client.send_sms(&sms).await
                }
                Channel::Voicemail => {
                    let call = Voicemail {
                        to,
                        from: FROM,
                        twiml: Twiml::Inline("Hello"),
                        status_callback: None,
                        machine_detection: MachineDetection::BeforeSpeech,
                        ring_s: None,
                        headers,
                    };
                    client.place_call(&call).await
                }
            };
            match outcome {
                SendOutcome::Sent { .. } => break,
                SendOutcome::Refused(no) if no.class == RefusalClass::Permanent => {
                    recorded.refused.insert(touch.to.clone());
                    break;
                }
                SendOutcome::Refused(_) => {}
                SendOutcome::Unanswered(error) => {
                    let cause = Cause::of_failure(&error.to_string());
                    recorded.causes.entry(job.clone()).or_default().extend(cause);
                }
            }
        }
    }
    let logs = [mail.log_path().to_owned(), phone.log_path().to_owned()];
    let replies_dropped = mail.shutdown().await.replies_dropped + phone.shutdown().await.replies_dropped;
    Day { list, plan, recorded, logs, replies_dropped }
}

impl Day {
    fn close(&self) -> Report {
        let mut account = Reconciliation::new();
        for log in &self.logs {
            account.read_log(log).unwrap();
        }
        account.close(self.plan.touches(&self.list), &self.recorded)
    }

    fn edit_mail_log(&self, edit: impl FnOnce(&mut Vec<String>)) {
        let text = std::fs::read_to_string(&self.logs[0]).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        edit(&mut lines);
        std::fs::write(&self.logs[0], lines.join("\n") + "\n").unwrap();
    }
}

#[tokio::test]
async fn a_day_with_every_fault_is_accounted_for_and_each_planted_wrong_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let day = day(dir.path()).await;
    let clean = day.close();
    assert!(clean.is_clean(), "{clean:?}");
    assert_eq!((clean.touches, clean.refused), (300, 6));
    assert_eq!(clean.delivered, 294);
    assert_eq!(clean.repeats, day.replies_dropped, "each dropped reply made one repeat");
    assert_eq!(clean.replies_dropped, day.replies_dropped);
    assert!(
        clean.repeats > 0 && clean.repeats_by_cause.get(&Cause::ReplyLost) == Some(&clean.repeats),
        "{clean:?}"
    );
    assert_eq!(clean.repeats_by_channel.values().sum::<u64>(), clean.repeats);
    assert_eq!(clean.deliveries, clean.delivered + clean.repeats);

    let original = std::fs::read_to_string(&day.logs[0]).unwrap();
    let restore = || std::fs::write(&day.logs[0], &original).unwrap();
    // A line of a touch that was delivered once.
    let once = original.lines().position(|line| {
        let to = serde_json::from_str::<serde_json::Value>(line).unwrap()["to"].as_str().unwrap().to_owned();
        original.matches(&format!("\"to\":\"{to}\"")).count() == 1
    });
    let once = once.unwrap();

    day.edit_mail_log(|lines| drop(lines.remove(once)));
    let loss = day.close();
    assert_eq!((loss.lost, loss.unexplained_repeats, loss.is_clean()), (1, 0, false));
    assert_eq!(loss.lost_examples.len(), 1);

    restore();
    day.edit_mail_log(|lines| lines.push(lines[once].clone()));
    let repeat = day.close();
    assert_eq!((repeat.lost, repeat.unexplained_repeats, repeat.repeats), (0, 1, clean.repeats + 1));
    assert!(!repeat.is_clean() && repeat.unexplained_examples[0].contains("x2"), "{repeat:?}");

    restore();
    day.edit_mail_log(|lines| {
        let second_job = lines[once].replace("\"job\":\"job-", "\"job\":\"other-");
        lines.push(second_job);
    });
    assert_eq!(day.close().unexplained_repeats, 1, "a second job for one touch is never explained");

    restore();
    day.edit_mail_log(|lines| lines[once] = lines[once].replace("\"campaign\":\"", "\"campaign\":\"9"));
    let stray = day.close();
    assert_eq!((stray.strays, stray.lost, stray.is_clean()), (1, 1, false));

    restore();
    day.edit_mail_log(|lines| lines.push("{\"at_ms\":1".to_owned()));
    let torn = day.close();
    assert_eq!((torn.unreadable_lines, torn.lost, torn.is_clean()), (1, 0, false));

    restore();
    let forgetful = Day { recorded: Recorded { causes: HashMap::new(), ..day.recorded.clone() }, ..day };
    let report = forgetful.close();
    assert_eq!((report.unexplained_repeats, report.repeats), (clean.repeats, clean.repeats));
}

#[test]
fn only_a_failure_after_which_the_message_may_have_arrived_explains_a_repeat() {
    assert_eq!(Cause::of_failure("reply_lost: connection closed"), Some(Cause::ReplyLost));
    assert_eq!(Cause::of_failure("not_sent: connection refused"), None);
}
