//! What is said of a campaign before its launch, and that it comes true.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[path = "flow/stage.rs"]
#[allow(dead_code, reason = "the flow's tests use all of it")]
mod stage;

use std::collections::BTreeMap;

use stage::{Setting, Stage, person, step};
use windlass_campaigns::{
    app::{App, AppError, Options},
    channel::Channel::{self, Email, Sms, Voicemail},
    flow::{accounts, optout, verbs},
    model::{
        CampaignId, ContactId, TemplateId,
        campaign::{Campaign, CampaignStatus, Condition, Step},
        sender::WarmUp,
        touch::{Reason, TouchStatus},
    },
    preflight::{self, Preflight},
    store::{campaigns, contacts, contacts::NewContact, lists, senders, suppressions, templates, touches},
    template::Severity,
    window::{Delay, HoursIn, OnNoZone, Week, WindowPolicy, Zone},
};

const MAIL: &str = "Hi {{first_name}}\n{{unsubscribe_url}}\n{{postal_address}}";
const TEXT: &str = "Hi {{first_name}}. Reply STOP to opt out.";
const CALL: &str = "Hello {{first_name}}, please call {{sender.phone}}.";

/// A stage, the application as the world reaches it, and what its campaigns say.
struct Set {
    stage: Stage,
    app: App,
    mail: TemplateId,
    text: TemplateId,
    call: TemplateId,
    drafts: std::cell::Cell<u32>,
}

impl Set {
    async fn up(dir: &std::path::Path) -> Self {
        let stage = Stage::set(dir, Setting { speed: 600, ..Setting::default() }).await;
        let options = Options { public_url: Some("https://send.example.com".into()), ..Options::default() };
        let app = App::open(stage.app.db().clone(), stage.client().clone(), options).await.unwrap();
        let mail = stage.template(Email, MAIL).await;
        let text = stage.template(Sms, TEXT).await;
        let call = stage.template(Voicemail, CALL).await;
        Self { stage, app, mail, text, call, drafts: std::cell::Cell::new(0) }
    }

    fn steps(&self) -> Vec<Step> {
        vec![
            step(Email, self.mail, Delay::Minutes(0)),
            step(Sms, self.text, Delay::Minutes(30)),
            step(Voicemail, self.call, Delay::Days(1)),
        ]
    }

    async fn draft(&self, people: &[ContactId], steps: Vec<Step>) -> CampaignId {
        self.drafts.set(self.drafts.get() + 1);
        self.stage.draft(&format!("draft {}", self.drafts.get()), people, steps).await
    }

    async fn check(&self, id: CampaignId) -> Preflight {
        preflight::check(&self.app, id).await.unwrap()
    }

    async fn template(&self, channel: Channel, body: &str) -> TemplateId {
        self.stage.template(channel, body).await
    }

    async fn people(&self, people: Vec<NewContact>) -> Vec<ContactId> {
        let now = self.app.now();
        let added = self
            .app
            .db()
            .write(move |tx| contacts::upsert_all(tx, &people, contacts::How::FORM, |_| true, now));
        added.await.unwrap().upserted.into_iter().map(|done| done.id()).collect()
    }

    fn person(&self, prefix: &str, nth: u32) -> NewContact {
        person(prefix, nth, self.app.now())
    }
}

/// What was found: the severity, the code, the channel and the count of each.
fn found(preflight: &Preflight) -> Vec<(Severity, &str, Option<Channel>, Option<u64>)> {
    let said = preflight.findings.iter();
    said.map(|found| (found.severity, found.code, found.channel, found.count)).collect()
}

const ERROR: Severity = Severity::Error;
const WARNING: Severity = Severity::Warning;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_with_nothing_wrong_is_told_when_it_is_through() {
    let dir = tempfile::tempdir().unwrap();
    let set = Set::up(dir.path()).await;
    let people = set.stage.contacts("b", 20).await;
    let id = set.draft(&people, set.steps()).await;
    let said = set.check(id).await;
    assert_eq!(found(&said), []);
    assert_eq!((said.contacts, said.looked_at, said.reachable), (20, 20, 20));
    // Ten o'clock on a Wednesday: mails and texts on that day, calls on the next, one after the other for 15 minutes.
    let forecast = said.forecast.unwrap();
    let days: Vec<(u64, u64)> = forecast.days.iter().map(|day| (day.sent, day.left)).collect();
    assert_eq!(days, [(40, 20), (20, 0)]);
    let through = forecast.completes_local.unwrap();
    assert!(through.starts_with("2026-11-19T1"), "{through}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_thing_that_is_wrong_with_a_campaign_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let set = Set::up(dir.path()).await;
    let people = set.stage.contacts("b", 5).await;
    let edit = async |change: fn(&mut Campaign)| {
        let id = set.draft(&people, set.steps()).await;
        set.stage.edit(id, change).await;
        set.check(id).await
    };
    let with = async |steps: Vec<Step>| set.check(set.draft(&people, steps).await).await;
    let one = |channel, template| vec![step(channel, template, Delay::Minutes(0))];

    let no_list = edit(|campaign| campaign.list = None).await;
    assert_eq!(found(&no_list), [(ERROR, "no_list", None, None)]);
    let empty = set.check(set.draft(&[], set.steps()).await).await;
    assert_eq!(found(&empty), [(ERROR, "empty_list", None, None)]);
    assert_eq!(found(&with(vec![]).await), [(ERROR, "sequence", None, None)]);
    let gone = with(one(Email, TemplateId(999))).await;
    assert_eq!(found(&gone), [(ERROR, "no_template", Some(Email), None)]);
    let wrong = with(one(Email, set.text)).await;
    assert_eq!(found(&wrong), [(ERROR, "template_channel", Some(Email), None)]);
    let broken = set.template(Sms, "STOP {{first_name").await;
    assert_eq!(found(&with(one(Sms, broken)).await), [(ERROR, "bad_template", Some(Sms), None)]);
    let homeless = edit(|campaign| campaign.postal_address.clear()).await;
    assert_eq!(found(&homeless), [(ERROR, "postal_address_missing", Some(Email), None)]);
    let capped = edit(|campaign| campaign.daily_cap = Some(0)).await;
    assert_eq!(found(&capped), [(WARNING, "slow", None, Some(15))]);

    // No process of this one was ever told where the world reaches it.
    let beside = tempfile::tempdir().unwrap();
    let untold = Stage::set(beside.path(), Setting { speed: 600, ..Setting::default() }).await;
    let (few, mail) = (untold.contacts("b", 5).await, untold.template(Email, MAIL).await);
    let id = untold.draft("draft", &few, one(Email, mail)).await;
    let unreached = preflight::check(&untold.app, id).await.unwrap();
    assert_eq!(found(&unreached), [(ERROR, "no_public_url", Some(Email), None)]);

    let conditional = |condition| {
        let mut steps = set.steps();
        steps[1].condition = condition;
        steps
    };
    for (condition, told) in [(Condition::Opened, 1), (Condition::NotClicked, 1), (Condition::NotReplied, 0)]
    {
        let said = with(conditional(condition)).await;
        assert_eq!(found(&said), vec![(WARNING, "never_told", None, None); told], "{condition:?}");
    }
    let by_click = edit(|campaign| campaign.stop_rules.click = true).await;
    assert_eq!(found(&by_click), [(WARNING, "never_told", None, None)]);

    let id = set.draft(&people, set.steps()).await;
    let only = set.stage.senders[&Email];
    set.app.db().write(move |tx| senders::choose(tx, id, &[only])).await.unwrap();
    let told = [(ERROR, "no_sender", Some(Sms), None), (ERROR, "no_sender", Some(Voicemail), None)];
    assert_eq!(found(&set.check(id).await), told);
    // What is only fallen back on stops nothing.
    let mut steps = one(Email, set.mail);
    steps[0] = stage::fallback(steps[0].clone(), Sms, set.text);
    let id = set.draft(&people, steps).await;
    set.app.db().write(move |tx| senders::choose(tx, id, &[only])).await.unwrap();
    assert_eq!(found(&set.check(id).await), [(WARNING, "no_sender", Some(Sms), None)]);

    let plain = set.template(Email, "Hi {{nickname}} {{unsubscribe_url}}").await;
    let lint = with(one(Email, plain)).await;
    let codes: Vec<_> =
        lint.findings.iter().map(|finding| (finding.severity, finding.code, finding.step)).collect();
    assert_eq!(codes, [(ERROR, "unknown_variable", Some(1)), (ERROR, "no_postal_address", Some(1))]);
    let everybody = set.template(Sms, "{{company}} {{sender.company}} STOP").await;
    let lacking = with(one(Sms, everybody)).await;
    let told = (ERROR, "missing_values", Some(Sms), Some(5));
    assert_eq!(found(&lacking), [told, told]);

    accounts::pause_sender(&set.app, set.stage.senders[&Sms], true, "", "Ann").await.unwrap();
    assert_eq!(found(&with(one(Sms, set.text)).await), [(WARNING, "sender_paused", Some(Sms), None)]);
    accounts::pause_sender(&set.app, set.stage.senders[&Sms], false, "", "Ann").await.unwrap();
    let id = set.stage.senders[&Email];
    let mut sender = set.app.db().read(move |tx| senders::get(tx, id)).await.unwrap().unwrap();
    sender.warm_up = WarmUp { first_day: 1, growth_percent: 0, day: Some(1), idle_days: 0 };
    accounts::set_sender(&set.app, sender, "Ann").await.unwrap();
    let young = with(one(Email, set.mail)).await;
    assert_eq!(found(&young), [(WARNING, "sender_caps", None, None)]);
    assert!(
        young.findings[0].what.contains("2 days longer; on the first day they may send 1 by email"),
        "{young:?}"
    );
    let days: Vec<u64> = young.forecast.unwrap().days.iter().map(|day| day.sent).collect();
    assert_eq!(days, [1, 2, 2]);
}

/// Contacts of whom each has another thing missing, and the reason for which a text does not reach them.
async fn a_mixed_list(set: &Set) -> (Vec<ContactId>, BTreeMap<Reason, u64>) {
    let mut people: Vec<NewContact> = (0..9).map(|nth| set.person("m", nth)).collect();
    people[0].phone = None;
    people[1].consents[1].revoked_at = Some(set.app.now());
    for nth in [2, 3] {
        // A number abroad tells no zone.
        (people[nth].phone, people[nth].time_zone) = (Some(format!("+4420794609{nth:02}")), None);
    }
    people[4].time_zone = Some("Pacific/Honolulu".into());
    people[5].name = Some(String::new());
    people[6].time_zone = Some("EST".into());
    let ids = set.people(people).await;
    let (contact, about) = (ids[7], windlass_campaigns::store::events::About::default());
    optout::by_contact(&set.app, contact, Some(Sms), about, "stop", "test").await.unwrap();
    let (hash, now) = (set.app.hash_of("+12122001008"), set.app.now());
    let by_user = suppressions::Addressed { hash, text: None };
    let user = Some(set.stage.user);
    let add = move |tx: &mut windlass_campaigns::db::Tx<'_>| {
        suppressions::add(tx, user, None, &by_user, "asked", "Ann", now)
    };
    set.app.db().write(add).await.unwrap();
    let expected = [
        (Reason::NoAddress, 1),
        (Reason::NoConsent, 1),
        (Reason::NoZone, 2),
        (Reason::NeverOpen, 1),
        (Reason::MissingVariable, 1),
        (Reason::Suppressed, 2),
    ];
    (ids, expected.into_iter().collect())
}

fn early(campaign: &mut Campaign) {
    // Nine to noon in New York is before eight in Honolulu.
    let zone = Zone::named("America/New_York").unwrap();
    let week = Week::daily("09:00-12:00").unwrap();
    let policy = WindowPolicy::new(zone, week).unwrap();
    campaign.policy = WindowPolicy { hours_in: HoursIn::Campaign, no_zone: OnNoZone::Skip, ..policy };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_preflight_says_are_not_reached_are_those_whom_the_campaign_skips() {
    let dir = tempfile::tempdir().unwrap();
    let mut set = Set::up(dir.path()).await;
    let (people, expected) = a_mixed_list(&set).await;
    let id = set.draft(&people, vec![step(Sms, set.text, Delay::Minutes(0))]).await;
    set.stage.edit(id, early).await;

    let said = set.check(id).await;
    let told: BTreeMap<&str, u64> = said.findings.iter().map(|one| (one.code, one.count.unwrap())).collect();
    let code = |reason: Reason| match reason {
        Reason::MissingVariable => "missing_values".to_owned(),
        reason => reason.to_string(),
    };
    let mut named: BTreeMap<String, u64> =
        expected.iter().map(|(reason, count)| (code(*reason), *count)).collect();
    named.insert("bad_zone".into(), 1);
    assert_eq!(
        told.into_iter().map(|(code, count)| (code.to_owned(), count)).collect::<BTreeMap<_, _>>(),
        named
    );
    assert!(said.findings.iter().all(|finding| finding.severity == WARNING), "{said:?}");
    assert_eq!((said.contacts, said.reachable), (9, 1));
    assert_eq!(said.forecast.unwrap().days[0].sent, 1);

    // Warnings keep nobody from launching.
    verbs::launch(&set.app, id, "Ann").await.unwrap();
    set.stage.work().await;
    set.stage.until_done(id).await;
    set.stage.rest().await;
    let mut skipped: BTreeMap<Reason, u64> = BTreeMap::new();
    for tally in set.app.db().read(move |tx| touches::tallies(tx, id)).await.unwrap() {
        if tally.status == TouchStatus::Skipped {
            let reason = serde_json::from_value(tally.reason.into()).unwrap();
            *skipped.entry(reason).or_default() += u64::try_from(tally.count).unwrap();
        }
    }
    assert_eq!(skipped, expected);
    assert_eq!(set.stage.calls_and_texts().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_with_an_error_stays_a_draft_and_the_refusal_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let set = Set::up(dir.path()).await;
    let people = set.stage.contacts("b", 1).await;
    let bare = set.template(Email, "Hi").await;
    let id = set.draft(&people, vec![step(Email, bare, Delay::Minutes(0))]).await;
    let refused = verbs::launch(&set.app, id, "Ann").await.unwrap_err();
    let AppError::Invalid { field: "preflight", why } = &refused else { panic!("{refused:?}") };
    for said in ["step 1", "no_unsubscribe", "no_postal_address", "add {{unsubscribe_url}} as a visible link"]
    {
        assert!(why.contains(said), "{why}");
    }
    assert_eq!(set.stage.campaign(id).await.status, CampaignStatus::Draft);

    // The one contact is suppressed: nobody is left.
    let id = set.draft(&people, vec![step(Sms, set.text, Delay::Minutes(0))]).await;
    let about = windlass_campaigns::store::events::About::default();
    optout::by_contact(&set.app, people[0], None, about, "stop", "test").await.unwrap();
    let refused = verbs::launch(&set.app, id, "Ann").await.unwrap_err();
    assert!(refused.to_string().contains("nobody_reachable"), "{refused}");
    let said = set.check(id).await;
    assert_eq!(found(&said)[1], (WARNING, "suppressed", Some(Sms), Some(1)));

    let launched = verbs::launch_without_preflight(&set.app, id, "Ann").await.unwrap();
    assert_eq!(launched.status, CampaignStatus::Running);
    let twice = verbs::launch(&set.app, id, "Ann").await.unwrap_err();
    assert!(matches!(twice, AppError::Conflict(_)), "{twice}");
    // The list and its templates are as they were: looking writes nothing.
    let (steps, all) = set
        .app
        .db()
        .read(move |tx| {
            Ok::<_, AppError>((campaigns::steps(tx, id, 1)?, (lists::all(tx)?, templates::newest(tx)?)))
        })
        .await
        .unwrap();
    assert_eq!((steps.len(), all.0.len(), all.1.len()), (1, 2, 4));
}
