//! Every statement of the store is understood by both databases, and both give the same answers.

use windlass::Time;
use windlass_campaigns::{
    channel::{
        Channel,
        breaker::{Breaker, Gate},
        pace::{self, Pace, TooMuch},
        rules::{Action, ErrorRule, ProviderKind},
    },
    db::{Db, DbError, Tx},
    flow::accounts::new_provider,
    import::sniff,
    model::{
        CampaignId, ContactId, ImportId, ListId, ReviewId, TemplateId, TouchId, UserId,
        campaign::{CampaignStatus, StopReason},
        contact::Consent,
        import::{ImportPlan, ImportStatus, Progress},
        sender::{Health, Sender, WarmUp},
        touch::{EventKind, Evidence, Reason, TouchStatus},
        variant::Variant,
    },
    store::{
        audit, campaigns, colleagues,
        contacts::{self, How},
        enrolments, events,
        events::About,
        imports, lists,
        providers::{self, DomainLimit},
        reviews::{self, ReviewKind},
        senders, settings,
        suppressions::{self, Addressed},
        templates,
        touches::{self, NewTouch, Sending, Which},
        usage, users, variants,
    },
    window::{self, Delay, Recipient, RuleTable},
};

use crate::{
    server::Server,
    stage::{MORNING, campaign, person, step},
};

const NOW: Time = MORNING;
const LATER: Time = Time(MORNING.0 + 60_000);

/// What is asked of many rows at once: by a preflight, the figures of a campaign, and exports.
fn ask_of_many(
    tx: &mut Tx<'_>,
    id: CampaignId,
    list: ListId,
    one: ContactId,
) -> Result<Vec<String>, DbError> {
    let mut said = Vec::new();
    macro_rules! say {
        ($what:expr) => {
            said.push(format!("{} = {:?}", stringify!($what), $what?))
        };
    }
    let some: Vec<_> = (0..3).map(|nth| person("many", nth, NOW)).collect();
    let moved = contacts::NewContact { phone: some[0].phone.clone(), ..person("moved", 9, NOW) };
    let both = [some[0].clone(), moved];
    say!(contacts::upsert_all(tx, &some, How::FILE, |_| true, NOW));
    say!(contacts::upsert_all(tx, &both, How::FILE, |_| false, LATER));
    say!(contacts::upsert_all(tx, &both, How::FORM, |_| true, LATER));
    let moved = contacts::NewContact { account: Some("Acme".into()), ..person("moved", 9, NOW) };
    say!(contacts::upsert_all(tx, &[moved], How::FORM, |_| true, LATER));
    say!(contacts::by_address(tx, Channel::Email, "moved9@example.org"));
    let person = contacts::get(tx, one)?.unwrap();
    say!(contacts::set_account(tx, &person, Some("Acme"), LATER));
    say!(colleagues::who_answered(tx, id, "example.org"));
    say!(colleagues::hold(tx, id, "example.org"));
    say!(colleagues::answered(tx, id, "example.org", one, NOW));
    say!(colleagues::answered(tx, id, "example.org", ContactId(7), LATER));
    say!(colleagues::hold(tx, id, "example.org"));
    say!(colleagues::stop(tx, id, "example.org", one, 1, LATER));
    say!(colleagues::stop(tx, id, "example.org", one, 9, LATER));
    say!(colleagues::stop(tx, id, "nobody.example", one, 9, LATER));
    say!(enrolments::page(tx, id, ContactId(0), 9));
    say!(colleagues::forget(tx, "example.org"));
    say!(colleagues::who_answered(tx, id, "example.org"));
    say!(contacts::set_account(tx, &person, None, LATER));
    say!(contacts::on_list(tx, list, one, 2));
    say!(contacts::agreed_on_list(tx, list, one, ContactId(i64::MAX)));
    say!(lists::names_of(tx, one));
    say!(enrolments::standing(tx, id));
    say!(touches::sent_since(tx, id, NOW));
    say!(touches::of_campaign(tx, id, (one, 1, "email"), 3));
    say!(events::answers(tx, id));
    say!(variants::tallies(tx, id));
    say!(enrolments::under_way(tx, id));
    say!(events::of_contact(tx, one));
    let address = Addressed { hash: "h2".into(), text: None };
    say!(suppressions::is_any(tx));
    say!(suppressions::add(tx, None, None, &address, "asked", "Ann", NOW));
    say!(suppressions::is_any(tx));
    say!(suppressions::among(tx, UserId(1), &["h1".into(), "h2".into()]));
    say!(suppressions::of_address(tx, "h2"));
    Ok(said)
}

/// What pages ask besides.
fn ask_of_pages(tx: &mut Tx<'_>, id: CampaignId) -> Result<Vec<String>, DbError> {
    let mut said = Vec::new();
    macro_rules! say {
        ($what:expr) => {
            said.push(format!("{} = {:?}", stringify!($what), $what?))
        };
    }
    let before = ContactId(i64::MAX);
    for begins in ["", "many", "+1", "MANY", "100%", "a_b!"] {
        said.push(begins.to_owned());
        say!(contacts::newest(tx, begins, before, 3));
    }
    say!(campaigns::live_sequences(tx));
    say!(touches::waits(tx, id));
    say!(touches::sent_to_domain(tx, "example.org", Time(0)));
    say!(touches::sent_through(tx, windlass_campaigns::model::ProviderId(1), Time(0)));
    say!(events::failures_since(tx, "mail", Time(0)));
    say!(events::failures_of(tx, "mail", 3));
    say!(suppressions::get(tx, 1));
    say!(suppressions::of_address(tx, "x"));
    Ok(said)
}

fn ask_of_imports(tx: &mut Tx<'_>, list: ListId) -> Result<Vec<String>, DbError> {
    let mut said = Vec::new();
    macro_rules! say {
        ($what:expr) => {
            said.push(format!("{} = {:?}", stringify!($what), $what?))
        };
    }
    let preview = sniff(b"email,name\na@example.com,Ann\n", None).unwrap();
    let plan = ImportPlan::new(preview.format, preview.mapping().unwrap());
    let id = imports::create(tx, "a.csv", "Ann", NOW, NOW)?;
    say!(imports::kept(tx));
    say!(imports::add_piece(tx, id, 0, &[0, 255, 10], NOW));
    say!(imports::add_piece(tx, id, 1, b"b", LATER));
    say!(imports::stale(tx, LATER.plus_ms(1), NOW));
    say!(imports::received(tx, id, NOW));
    say!(imports::add_piece(tx, id, 2, b"c", LATER));
    say!(imports::piece(tx, id, 0));
    say!(imports::piece(tx, id, 2));
    say!(imports::stale(tx, LATER, NOW));
    say!(imports::stale(tx, LATER, LATER));
    say!(imports::resume(tx, id, NOW));
    say!(imports::begin(tx, id, list, &plan, NOW));
    say!(imports::begin(tx, id, list, &plan, NOW));
    let mut progress = Progress { rows: 3, added: 2, refused: 1, ..Progress::default() };
    progress.by_code.insert("bad_email".into(), 1);
    say!(imports::running(tx));
    say!(imports::advance(tx, (id, 1), &progress, LATER));
    say!(imports::advance(tx, (id, 2), &progress, LATER));
    say!(imports::add_errors(tx, id, 2, "a\n"));
    say!(imports::add_errors(tx, id, 3, "b\n"));
    say!(imports::errors(tx, id));
    say!(imports::error_pieces(tx, (ImportId(0), -1), 1));
    let piece = imports::error_pieces(tx, (id, 2), 9)?.remove(0);
    say!(imports::rewrite_errors(tx, &imports::ErrorPiece { csv: "c\n".into(), ..piece }));
    say!(imports::error_pieces(tx, (id, 3), 9));
    say!(imports::errors(tx, id));
    say!(imports::is_one_lost(tx, LATER));
    say!(imports::interrupt(tx, LATER));
    say!(imports::is_one_lost(tx, LATER.plus_ms(1)));
    say!(imports::interrupt(tx, LATER.plus_ms(1)));
    say!(imports::interrupted(tx));
    say!(imports::resume(tx, id, LATER));
    say!(imports::resume(tx, id, LATER));
    say!(imports::end(tx, (id, 1), ImportStatus::Done, "", LATER));
    say!(imports::leftover(tx));
    say!(imports::end(tx, (id, 2), ImportStatus::Failed, "it ends in the middle", LATER));
    say!(imports::stop(tx, id, ImportStatus::Cancelled, "", LATER));
    say!(imports::leftover(tx));
    say!(imports::forget_pieces(tx, id, 1));
    say!(imports::piece(tx, id, 1));
    say!(imports::forget_pieces(tx, id, 5));
    say!(imports::forget_pieces(tx, id, 5));
    say!(imports::leftover(tx));
    say!(imports::has_errors_before(tx, LATER));
    say!(imports::has_errors_before(tx, LATER.plus_ms(1)));
    say!(imports::forget_errors(tx, LATER));
    say!(imports::forget_errors(tx, LATER.plus_ms(1)));
    say!(imports::remove(tx, id));
    let other = imports::create(tx, "b.csv", "Ann", NOW, NOW)?;
    say!(imports::stop(tx, other, ImportStatus::Cancelled, "it is none", LATER));
    say!(imports::get(tx, other));
    say!(imports::remove(tx, other));
    say!(imports::get(tx, other));
    say!(imports::page(tx, ImportId(i64::MAX), 10));
    Ok(said)
}

/// What one list of questions answers, line by line.
fn ask_everything(tx: &mut Tx<'_>) -> Result<Vec<String>, DbError> {
    let mut said = Vec::new();
    macro_rules! say {
        ($what:expr) => {
            said.push(format!("{} = {:?}", stringify!($what), $what?))
        };
    }
    say!(settings::get_or_make(tx, "x", || 7));
    say!(settings::get_or_make(tx, "x", || 8));
    say!(settings::set(tx, "x", &9));
    say!(settings::get::<u32>(tx, "x"));
    say!(settings::get::<u32>(tx, "y"));
    say!(settings::remove(tx, "x"));
    say!(settings::remove(tx, "x"));

    let user = users::ensure(tx, "Ann", "ann@example.com", 10, NOW)?;
    say!(users::ensure(tx, "Ann", "", 11, NOW));
    say!(users::set_weight(tx, user, 12));
    say!(users::get(tx, user));
    say!(users::all(tx));

    let mut ids = Vec::new();
    for nth in 0..4 {
        ids.push(contacts::upsert(tx, &person("b", nth, NOW), NOW)?.id());
    }
    let [one, two, three, four] = ids[..] else { panic!() };
    say!(contacts::upsert(tx, &person("b", 0, NOW), LATER));
    let mut stranger = person("b", 2, NOW);
    stranger.email = Some("b1@example.org".into());
    say!(contacts::upsert(tx, &stranger, LATER));
    say!(contacts::get(tx, one));
    say!(contacts::get(tx, ContactId(i64::MAX)));
    say!(contacts::by_address(tx, Channel::Email, "b1@example.org"));
    say!(contacts::by_address(tx, Channel::Sms, "+12122001000"));
    say!(contacts::count(tx));
    say!(contacts::consents(tx, one));
    let consent = Consent {
        channel: Channel::Sms,
        basis: "implied".into(),
        proof: String::new(),
        source: "form".into(),
        given_at: LATER,
        revoked_at: None,
    };
    say!(contacts::give_consent(tx, one, &consent));
    say!(contacts::give_consent(tx, one, &Consent { given_at: NOW, ..consent.clone() }));
    say!(contacts::revoke_consent(tx, one, Channel::Sms, LATER));
    say!(contacts::consents(tx, one));

    let list = lists::ensure(tx, "customers", NOW)?;
    say!(lists::ensure(tx, "customers", NOW));
    say!(lists::add(tx, list, ids.clone()));
    say!(lists::add(tx, list, ids.clone()));
    say!(lists::size(tx, list));
    say!(lists::is_there(tx, list));
    say!(lists::all(tx));
    say!(contacts::page(tx, None, "", ContactId(0), 2));
    say!(contacts::page(tx, Some(list), "b", one, 10));
    say!(contacts::page(tx, Some(list), "+1212", ContactId(0), 10));
    say!(contacts::page(tx, None, "ä%_'", ContactId(0), 10));

    let mail = templates::write(tx, "news", Channel::Email, "News", "Hi", Some("<p>Hi"), NOW)?;
    say!(templates::write(tx, "news", Channel::Email, "News", "Hi again", None, NOW));
    say!(templates::get(tx, mail));
    say!(templates::get(tx, TemplateId(0)));
    say!(templates::newest(tx));
    say!(templates::versions(tx, "news"));

    let provider = providers::set(tx, &new_provider("mail", ProviderKind::Smtp, "smtp://127.0.0.1"), NOW)?;
    let mut faster = new_provider("mail", ProviderKind::Smtp, "smtp://127.0.0.1:26");
    (faster.per_second, faster.concurrency) = (Some(5), Some(3));
    say!(providers::set(tx, &faster, NOW));
    say!(providers::get(tx, provider));
    say!(providers::all(tx));
    let (closed, mut open) = (Breaker::default(), Breaker::default());
    open.force(Gate::Open, "Ann", "an 'outage' of $1", NOW);
    say!(providers::breaker(tx, provider));
    say!(providers::keep_breaker(tx, provider, &closed, &open));
    say!(providers::keep_breaker(tx, provider, &closed, &open));
    say!(providers::keep_breaker(tx, provider, &open, &closed));
    say!(providers::breaker(tx, provider));
    let rule = ErrorRule {
        provider: ProviderKind::Smtp,
        code: "550*".into(),
        action: Action::Retry,
        note: "greylisting".into(),
        source: String::new(),
    };
    say!(providers::set_error_rule(tx, &rule));
    say!(providers::set_error_rule(tx, &rule));
    say!(providers::error_rules(tx));
    say!(providers::delete_error_rule(tx, ProviderKind::Smtp, "550*"));
    let (full, mut slow) = (Pace::default(), Pace::default());
    let too_much = TooMuch { asked_at: NOW, until: None, why: "it's $1", set: Some(600), taken: 0 };
    assert!(slow.refused(&too_much, NOW, &pace::Policy::default()));
    say!(providers::keep_pace(tx, provider, &full, &slow));
    say!(providers::keep_pace(tx, provider, &full, &slow));
    say!(providers::get(tx, provider));
    say!(providers::set(tx, &faster, NOW));
    say!(providers::get(tx, provider));
    faster.per_second = Some(6);
    say!(providers::set(tx, &faster, NOW));
    say!(providers::get(tx, provider));
    say!(providers::keep_domain_pace(tx, "example.org", &full, &slow));
    say!(providers::keep_domain_pace(tx, "example.org", &full, &slow));
    say!(providers::domain_limit(tx, "Example.ORG"));
    for _ in 0..4 {
        say!(providers::place_in_line(tx, "example.org", NOW, 5, NOW.plus_ms(12)));
    }
    say!(providers::place_in_line(tx, "example.org", LATER, 5, LATER));
    say!(providers::keep_domain_pace(tx, "example.org", &slow, &full));
    say!(providers::domain_limit(tx, "example.org"));
    let limit = DomainLimit { domain: "example.org".into(), per_minute: Some(9), ..DomainLimit::default() };
    say!(providers::set_domain_limit(tx, &limit));
    say!(providers::set_domain_limit(tx, &limit));
    say!(providers::keep_domain_pace(tx, "example.org", &full, &slow));
    say!(providers::keep_domain_pace(tx, "example.org", &slow, &full));
    say!(providers::domain_limits(tx));
    say!(providers::has_domain_limit(tx, "Example.ORG"));
    say!(providers::has_domain_limit(tx, "example.com"));
    say!(providers::delete_domain_limit(tx, "Example.ORG"));
    say!(providers::delete_domain_limit(tx, "example.org"));

    let sender = Sender {
        user: Some(user),
        name: "Ann".into(),
        per_minute: Some(30),
        warm_up: WarmUp::new_mailbox(),
        cap_today: 20,
        ..Sender::new(Channel::Email, "ann@example.com", provider, "America/New_York", 200)
    };
    let ann = senders::set(tx, &sender, NOW)?;
    say!(senders::set(tx, &Sender { user: None, per_minute: None, ..sender }, NOW));
    say!(senders::pause(tx, ann, true, "holidays"));
    say!(senders::grow(tx, ann, WarmUp::warm(), 200));
    say!(senders::get(tx, ann));
    say!(senders::by_address(tx, Channel::Email, "ann@example.com"));
    say!(senders::all(tx));
    say!(senders::keep_breaker(tx, ann, &closed, &open));
    say!(senders::breaker(tx, ann));

    let steps =
        vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Email, mail, Delay::Days(1))];
    let id = campaigns::create(tx, &campaign(user, "spring", list, NOW), &steps, NOW)?;
    say!(senders::choose(tx, id, &[ann]));
    say!(senders::choose(tx, id, &[ann, ann]));
    say!(senders::of_campaign(tx, id, Channel::Email));
    say!(senders::of_campaign(tx, id, Channel::Sms));
    let mut draft = campaigns::get(tx, id)?.unwrap();
    (draft.daily_cap, draft.starts_at) = (Some(4), Some(LATER));
    say!(campaigns::edit(tx, &draft));
    say!(campaigns::edit(tx, &draft));
    say!(campaigns::write_steps(tx, id, 1, &steps[..1], NOW));
    say!(campaigns::write_steps(tx, id, 2, &steps, NOW));
    say!(campaigns::steps(tx, id, 1));
    say!(campaigns::steps(tx, id, 2));
    assert!(campaigns::steps(tx, id, 3).is_err());
    say!(campaigns::change(tx, id, CampaignStatus::Draft, CampaignStatus::Running, NOW));
    say!(campaigns::change(tx, id, CampaignStatus::Draft, CampaignStatus::Running, NOW));
    let launched = campaigns::get(tx, id)?.unwrap();
    say!(campaigns::enrol_all(tx, &launched, NOW));
    say!(campaigns::enrol_all(tx, &launched, NOW));
    say!(campaigns::write_steps(tx, id, 1, &steps, LATER));
    say!(campaigns::steps(tx, id, 1));
    say!(campaigns::live_of(tx, user));
    say!(campaigns::page(tx, windlass_campaigns::model::CampaignId(i64::MAX), 10));

    say!(enrolments::get(tx, id, one));
    say!(enrolments::page(tx, id, one, 2));
    say!(enrolments::of_contact(tx, one));
    say!(enrolments::advance(tx, id, one, (1, 2), LATER, NOW));
    say!(enrolments::advance(tx, id, one, (1, 2), LATER, NOW));
    say!(enrolments::advance(tx, id, two, (2, 2), LATER, NOW));
    say!(enrolments::behind(tx, id, 2, true, ContactId(0), 9));
    say!(enrolments::behind(tx, id, 2, false, ContactId(0), 9));
    say!(enrolments::between(tx, id, one, three));
    say!(enrolments::move_to(tx, id, two, (2, 3), None, NOW));
    say!(enrolments::move_to(tx, id, one, (2, 2), Some(LATER), NOW));
    say!(campaigns::versions(tx, id));
    say!(enrolments::end(tx, id, two, None, NOW));
    say!(enrolments::stop_all(tx, three, StopReason::OptedOut, NOW));
    say!(enrolments::counts(tx, id).map(|mut counts| {
        counts.sort_by_key(|(status, _)| status.to_string());
        counts
    }));
    say!(campaigns::end_if_over(tx, id, NOW));
    say!(campaigns::paged(tx, id, NOW));

    let new = |contact, step| NewTouch {
        campaign: id,
        contact,
        step,
        step_key: step,
        channel: Channel::Email,
        version: 1,
        template: mail,
        variant: (contact != four).then_some(Variant::B),
        address: format!("b{contact}@example.org"),
        sender: Some(ann),
    };
    let mut all = Vec::new();
    for contact in [one, two, three, four] {
        all.push(touches::ensure(tx, &new(contact, 1), NOW)?.id);
    }
    say!(touches::ensure(tx, &new(one, 1), LATER));
    let recipient = Recipient::read("America/New_York", "", "", "", "").unwrap();
    let looked = window::look(&draft.policy, RuleTable::built_in(), &recipient, Channel::Email, NOW);
    let sending = Sending {
        sender: ann,
        template: mail,
        variant: Some(Variant::A),
        content_hash: "ab".into(),
        evidence: Evidence { checked_at: NOW, window: looked.evaluation().clone(), consent: Some(consent) },
        day: "2026-11-18".into(),
    };
    say!(touches::set_job(tx, all[0], "01a1ef2b"));
    say!(touches::rewrite(tx, all[0], (2, 3), (mail, Some(Variant::A))));
    say!(touches::defer(tx, all[0], Reason::SenderPaused, "holidays", LATER));
    say!(touches::waiting(tx, id, TouchId(0), 9));
    say!(touches::hand_over(tx, all[0], ann, "01a1ef2c"));
    say!(touches::waiting(tx, id, TouchId(0), 9));
    say!(touches::defer(tx, all[0], Reason::SenderPaused, "holidays", LATER));
    say!(enrolments::before_step(tx, id, ContactId(0), 9));
    say!(enrolments::set_due(tx, id, one, 1, LATER));
    say!(enrolments::before_step(tx, id, ContactId(0), 9));
    say!(campaigns::live_with(tx, ann));
    say!(campaigns::live(tx, None));
    say!(campaigns::live(tx, Some(user)));
    say!(touches::begin(tx, all[0], &sending, NOW));
    say!(touches::begin(tx, all[0], &sending, NOW));
    say!(touches::begin_again(tx, all[0], 1));
    say!(touches::begin_again(tx, all[0], 1));
    say!(touches::sent(tx, all[0], "q1", "", NOW));
    say!(touches::sent(tx, all[0], "q1", "", NOW));
    say!(touches::told(tx, all[0], TouchStatus::Sent, "on its way", "", LATER));
    say!(touches::get(tx, all[0]));
    say!(touches::told(tx, all[0], TouchStatus::Delivered, "there", "", LATER));
    say!(touches::told(tx, all[0], TouchStatus::Bounced, "back", "5.1.1", LATER));
    say!(touches::sent(tx, all[0], "q2", "", LATER));
    say!(touches::told(tx, all[0], TouchStatus::Unknown, "", "", LATER));
    say!(touches::skip(tx, all[1], Reason::NoConsent, "", NOW));
    say!(touches::begin(tx, all[2], &sending, NOW));
    say!(touches::fail(tx, all[2], TouchStatus::Unknown, Some(Reason::WorkerDied), "", NOW));
    say!(touches::fail(tx, all[2], TouchStatus::Failed, None, "", NOW));
    say!(touches::of_step(tx, id, one, 1, Channel::Email));
    say!(touches::of_enrolment(tx, id, one));
    say!(touches::of_contact(tx, one, 10));
    say!(touches::by_provider(tx, "q1"));
    say!(touches::latest_to(tx, "+12122001000", "+12125550100"));
    let address = new(one, 1).address;
    say!(touches::refs_to(tx, Channel::Email, &address, all[1]));
    say!(touches::tallies(tx, id));
    for which in [
        Which::default(),
        Which { campaign: Some(id), ..Which::default() },
        Which { status: Some(TouchStatus::Bounced), channel: Some(Channel::Email), ..Which::default() },
        Which { reason: Some(Reason::NoConsent), ..Which::default() },
        Which { campaign: Some(id), step: Some(1), ..Which::default() },
        Which { campaign: Some(id), variant: Some(Variant::B), ..Which::default() },
    ] {
        say!(touches::page(tx, which, TouchId(i64::MAX), 10).map(|page| page.len()));
    }
    say!(touches::skip_all(tx, four, Some(id), Some(Channel::Sms), Reason::Stopped, NOW));
    say!(touches::skip_all(tx, four, None, None, Reason::Stopped, NOW));
    say!(touches::ensure(tx, &new(four, 2), NOW));
    say!(touches::skip_campaign(tx, id, Reason::CampaignCancelled, NOW));

    let about = About { touch: Some(all[0]), campaign: Some(id), contact: Some(one) };
    say!(events::note(tx, about, EventKind::Complained, "mail", "", Some("k"), NOW));
    say!(events::note(tx, about, EventKind::Complained, "mail", "", Some("k"), NOW));
    say!(events::note(tx, About::default(), EventKind::OptedIn, "Ann", "", None, NOW));
    say!(events::of_touch(tx, all[0]));
    say!(events::is_known(tx, id, one, EventKind::Complained));
    say!(events::is_known(tx, id, one, EventKind::Clicked));
    say!(touches::ensure(tx, &new(two, 2), NOW).map(|touch| touch.status));
    let refused = touches::of_step(tx, id, two, 2, Channel::Email)?.unwrap().id;
    say!(touches::fail(tx, refused, TouchStatus::Bounced, Some(Reason::Refused), "550", LATER));
    say!(touches::has_bounced(tx, id, two));
    say!(touches::has_bounced(tx, id, one));
    for last in [1, 9] {
        say!(senders::bounces_of_late(tx, ann, last));
        say!(senders::complaints_of_late(tx, ann, last));
    }
    say!(senders::judge_from(tx, ann, LATER));
    say!(senders::bounces_of_late(tx, ann, 9));
    say!(senders::complaints_of_late(tx, ann, 9));
    say!(senders::brake(tx, ann, "again"));
    say!(senders::pause(tx, ann, false, ""));
    say!(senders::brake(tx, ann, "6.0 %"));
    let health = senders::health(tx, ann, Time(NOW.0 - 1), LATER)?;
    assert_eq!(health, Health { sent: 1, bounced: 1, complained: 1 });
    assert_eq!(senders::health(tx, ann, Time(0), Time(1))?, Health::default());

    let address = Addressed { hash: "h".into(), text: Some("x@example.org".into()) };
    say!(suppressions::add(tx, None, Some(Channel::Email), &address, "complaint", "mail", NOW));
    say!(suppressions::add(tx, None, Some(Channel::Email), &address, "again", "mail", NOW));
    say!(suppressions::add(tx, Some(user), None, &address, "own", "Ann", NOW));
    say!(suppressions::why(tx, user, Channel::Email, "h").map(|why| why.is_some()));
    say!(suppressions::why(tx, user, Channel::Sms, "h"));
    say!(suppressions::why(tx, windlass_campaigns::model::UserId(77), Channel::Sms, "h"));
    say!(suppressions::is_for(tx, Channel::Email, "h", "complaint"));
    say!(suppressions::forget_address(tx, "h"));
    say!(suppressions::page(tx, i64::MAX, 10));
    say!(suppressions::lift(tx, Channel::Email, "h", "complaint"));
    say!(suppressions::page(tx, i64::MAX, 10).map(|page| page.len()));
    let left = suppressions::page(tx, i64::MAX, 10)?;
    say!(suppressions::delete(tx, left[0].id));

    let day = "2026-11-18";
    for of in
        [usage::Of::Campaign(id), usage::Of::Sender(ann), usage::Of::Grown(ann), usage::Of::StrangersOrders]
    {
        say!(usage::take(tx, of, day, 1));
        say!(usage::take(tx, of, day, 1));
        say!(usage::take(tx, of, "2026-11-19", 0));
        say!(usage::used(tx, of, day));
        say!(usage::give_back(tx, of, day));
        say!(usage::give_back(tx, of, day));
        say!(usage::used(tx, of, day));
    }

    let about = (Some(all[2]), Some(three), Channel::Voicemail);
    say!(reviews::open(tx, ReviewKind::UnknownCall, about, "", "call:3", NOW));
    say!(reviews::open(tx, ReviewKind::UnknownCall, about, "", "call:3", NOW));
    let review = reviews::undecided(tx, ReviewId(0), 10)?[0].id;
    say!(reviews::get(tx, review).map(|review| review.is_some()));
    say!(reviews::count(tx));
    say!(reviews::decide(tx, review, "not called", "Ann", LATER));
    say!(reviews::decide(tx, review, "called", "Bob", LATER));
    say!(reviews::settle(tx, "call:3", "called", "phone", LATER));
    say!(reviews::count(tx));

    let about = (None, None, Channel::Sms);
    for (key, writer) in [("s1", "h"), ("s2", "h"), ("s2", "i"), ("s2", "k")] {
        let kind = ReviewKind::PossibleOptOut;
        say!(reviews::open_of_stranger(tx, kind, about, "+1: no", key, writer, NOW));
        say!(reviews::waits_of(tx, writer));
        say!(reviews::count_of_strangers(tx, 1));
        say!(reviews::count_of_strangers(tx, 9));
    }
    let asked = reviews::undecided(tx, ReviewId(0), 10)?[0].id;
    say!(reviews::decide(tx, asked, "no_opt_out", "Ann", LATER));
    say!(reviews::waits_of(tx, "h"));
    say!(reviews::open_of_stranger(tx, ReviewKind::PossibleOptOut, about, "+1: no!", "s3", "h", LATER));
    say!(reviews::waits_of(tx, ""));

    said.extend(crate::holds::ask_of_pauses(tx, id, (one, three), ann)?);
    said.extend(ask_of_many(tx, id, list, one)?);
    said.extend(ask_of_imports(tx, list)?);
    said.extend(ask_of_pages(tx, id)?);

    say!(contacts::erase(tx, one, LATER));
    say!(contacts::erase(tx, one, LATER));
    say!(contacts::get(tx, one));
    say!(enrolments::stop_campaign(tx, id, StopReason::CampaignCancelled, LATER));
    say!(enrolments::stops(tx, id).map(|mut stops| {
        stops.sort();
        stops
    }));
    say!(campaigns::most_steps(tx, id));
    say!(campaigns::end_if_over(tx, id, LATER));
    say!(campaigns::get(tx, id));
    say!(audit::note(tx, "Ann", "launch campaign", "1", "4 contacts", NOW));
    say!(audit::page(tx, i64::MAX, 10));
    Ok(said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_understand_every_statement_and_give_the_same_answers() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Db::open(&format!("sqlite:{}", dir.path().join("app.db").display())).await.unwrap();
    let (_server, address) = Server::on_loopback();
    let postgres = Db::open(&format!("postgres://windlass@{address}/postgres")).await.unwrap();
    let (small, great) = (sqlite.write(ask_everything).await, postgres.write(ask_everything).await);
    let (small, great) = (small.unwrap(), great.unwrap());
    assert!(small.len() > 150, "{} questions", small.len());
    for (one, other) in small.iter().zip(&great) {
        assert_eq!(one, other);
    }
    assert_eq!(small.len(), great.len());
}
