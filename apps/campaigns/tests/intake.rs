//! Files of contacts into a database: what becomes of every row, and of an import that is left in the middle.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use proptest::prelude::*;
use windlass::Time;
use windlass_campaigns::{
    app::{App, AppError, Options},
    channel::Channel,
    db::{Db, DbError},
    flow::erasure,
    import,
    intake::{self, Receiving, Tried},
    model::{
        ContactId, ImportId, ListId,
        contact::{Consent, Contact},
        import::{Import, ImportPlan, ImportStatus, Known},
    },
    store::{
        contacts::{self, How, NewContact, Upserted},
        lists,
    },
};

#[path = "../../../crates/windlass-postgres/tests/server/mod.rs"]
mod server;

/// What has not come by then never will.
const DEADLINE: Duration = Duration::from_secs(60);

async fn app_in(dir: &Path) -> App {
    app_on(dir, &format!("sqlite:{}", dir.join("campaigns.db").display())).await
}

/// One of perhaps several processes on that database, each with a queue of its own.
async fn app_on(dir: &Path, database: &str) -> App {
    let queue = tempfile::tempdir_in(dir).unwrap().keep();
    let client = windlass::open(&format!("file:{}", queue.display())).await.unwrap();
    let db = Db::open(database).await.unwrap();
    App::open(db, client, Options::default()).await.unwrap()
}

/// The file as it comes over a wire: in pieces of no particular size.
fn wire(file: &[u8]) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let pieces: Vec<_> = file.chunks(8_191).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

/// Takes a file in, as it is.
async fn bring(app: &App, file: impl AsRef<[u8]>) -> Result<ImportId, AppError> {
    intake::receive(app, "people.csv", "Ann", wire(file.as_ref())).await
}

/// The plan that is proposed.
async fn proposed(app: &App, id: ImportId) -> ImportPlan {
    let preview = intake::look_at(app, id, None).await.unwrap();
    ImportPlan::new(preview.format, preview.mapping().unwrap())
}

/// Takes a file in and begins to import it as is proposed.
async fn start(app: &App, file: impl AsRef<[u8]>) -> ImportId {
    let id = bring(app, file).await.unwrap();
    let plan = proposed(app, id).await;
    intake::begin(app, id, plan, "spring", "Ann").await.unwrap();
    id
}

/// Pieces of files that are kept.
async fn pieces(app: &App) -> i64 {
    app.db().read(|tx| tx.count("SELECT count(*) FROM import_files", &[])).await.unwrap()
}

async fn until(app: &App, id: ImportId, holds: impl Fn(&Import) -> bool) -> Import {
    let begun = Instant::now();
    loop {
        let import = intake::look(app, id).await.unwrap();
        if holds(&import) {
            return import;
        }
        assert!(begun.elapsed() < DEADLINE, "{import:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn ended(app: &App, id: ImportId) -> Import {
    until(app, id, |import| import.status.is_over()).await
}

async fn everybody(app: &App) -> Vec<Contact> {
    let all = app.db().read(|tx| contacts::page(tx, None, "", ContactId(0), 1_000_000));
    all.await.unwrap()
}

async fn on_list(app: &App, list: ListId) -> i64 {
    app.db().read(move |tx| lists::size(tx, list)).await.unwrap()
}

async fn consents_of(app: &App, email: &'static str) -> BTreeMap<Channel, Consent> {
    let look = move |tx: &mut windlass_campaigns::db::Tx<'_>| {
        let contact = contacts::by_address(tx, Channel::Email, email)?.unwrap();
        contacts::consents(tx, contact.id)
    };
    let all = app.db().read(look).await.unwrap();
    all.into_iter().map(|consent| (consent.channel, consent)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_rows_with_nonsense_each_becomes_a_contact_or_a_line_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let mut file = String::from("First Name,Last Name,Email,Mobile,State,Time Zone,SMS consent,Country\n");
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for nth in 0..10_000 {
        let (mut email, mut state, mut zone, mut consent, mut country) =
            (format!("Ann{nth}@example.com"), "New York", "Eastern", "yes", "");
        let code = match nth % 100 {
            7 => {
                email = format!("ANN{}@example.com", nth - 1);
                "duplicate"
            }
            17 => {
                zone = "America/Nowhere";
                "bad_time_zone"
            }
            27 => {
                state = "Nowhere";
                "bad_state"
            }
            37 => {
                email = "not an address".into();
                "bad_email"
            }
            47 => {
                consent = "perhaps";
                "bad_consent"
            }
            57 => {
                country = "Atlantis";
                "bad_country"
            }
            67 => {
                (state, country, zone) = ("Bavaria", "DE", "Europe/Berlin");
                ""
            }
            _ => "",
        };
        if !code.is_empty() {
            *expected.entry(code).or_default() += 1;
        }
        let phone = format!("+1212{:07}", 2_000_000 + nth);
        file += &format!("Ann,Nr{nth},{email},{phone},{state},{zone},{consent},{country}\n");
    }
    let id = start(&app, &file).await;
    let import = ended(&app, id).await;
    assert_eq!((import.status, import.percent(), import.why.as_str()), (ImportStatus::Done, 100, ""));
    let progress = &import.progress;
    assert_eq!(progress.by_code.iter().map(|(code, n)| (&**code, *n)).collect::<BTreeMap<_, _>>(), expected);
    assert_eq!((progress.rows, progress.added, progress.updated), (10_000, 9_400, 0));
    assert_eq!((progress.duplicates, progress.refused), (100, 500));
    assert_eq!(progress.bytes_done, file.len() as u64);
    assert_eq!(on_list(&app, import.list.unwrap()).await, 9_400);
    until_no_piece_is_kept(&app).await;

    let errors = intake::errors(&app, id).await.unwrap();
    assert_eq!(errors.lines().count(), 601);
    assert!(errors.contains("Time Zone \"\"America/Nowhere\"\": it is not a time zone"), "{errors}");
    let all = everybody(&app).await;
    assert_eq!(all.len(), 9_400);
    let ann = &all[0];
    assert_eq!((ann.email.as_deref(), ann.name.as_str()), (Some("ann0@example.com"), "Ann Nr0"));
    assert_eq!((ann.time_zone.as_deref(), ann.state.as_deref()), (Some("America/New_York"), Some("NY")));
    assert_eq!(ann.fields["first_name"], "Ann");
    let consents = consents_of(&app, "ann0@example.com").await;
    assert_eq!(consents.keys().collect::<Vec<_>>(), [&Channel::Sms]);
    assert_eq!((&*consents[&Channel::Sms].proof, consents[&Channel::Sms].revoked_at), ("yes", None));

    // What was refused can be mended and imported again: the headings fit, the reasons are left out.
    let mended = errors.replace("America/Nowhere", "Pacific");
    let id = start(&app, &mended).await;
    let again = ended(&app, id).await;
    assert_eq!((again.progress.added, again.progress.refused), (100, 400), "{again:?}");
    assert_eq!(again.progress.updated, 100, "the duplicates are known");
}

fn people(count: usize) -> String {
    let rows = (0..count).map(|nth| format!("a{nth}@example.com,Ann Nr{nth}\n"));
    "email,name\n".to_owned() + &rows.collect::<String>()
}

/// What an import came to, whoever worked on it: every row counted once.
async fn assert_exact(app: &App, import: &Import, file: &str, people: u64, refused: u64) {
    assert_eq!((import.status, import.why.as_str()), (ImportStatus::Done, ""), "{import:?}");
    let progress = &import.progress;
    assert_eq!((progress.added, progress.updated, progress.refused), (people, 0, refused), "{import:?}");
    assert_eq!((progress.rows, progress.bytes_done), (people + refused, file.len() as u64));
    assert_eq!(everybody(app).await.len() as u64, people);
    assert_eq!(on_list(app, import.list.unwrap()).await as u64, people);
    let errors = intake::errors(app, import.id).await.unwrap();
    let lines: std::collections::BTreeSet<&str> = errors.lines().collect();
    assert_eq!(lines.len() as u64, refused + 1, "each refused row once, and the headings");
    assert_eq!(errors.lines().count(), lines.len());
    until_no_piece_is_kept(app).await;
}

async fn until_no_piece_is_kept(app: &App) {
    let begun = Instant::now();
    while pieces(app).await > 0 {
        assert!(begun.elapsed() < DEADLINE, "the file goes with its import");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One process begins, another goes on as if the first were gone, and the first finds out at its next batch.
async fn is_handed_over(one: &App, other: &App) {
    let file = people(20_000) + "nobody,x\nnobody else,y\n";
    let id = start(one, &file).await;
    let running = until(one, id, |import| import.progress.added >= 2_000).await;
    assert_eq!(running.status, ImportStatus::Running);
    assert!((1..100).contains(&running.percent()), "{running:?}");

    // Half a minute later nobody has seen it.
    assert_eq!(intake::take_up(other, other.client().now()).await.unwrap(), 0);
    let later = other.client().now().plus_ms(31_000);
    assert_eq!(intake::mark_lost(other, later).await.unwrap(), 1);
    let interrupted = intake::look(other, id).await.unwrap();
    assert_eq!((interrupted.status, interrupted.ended_at), (ImportStatus::Interrupted, None));
    assert!(interrupted.progress.added >= 2_000, "what it has done is told: {interrupted:?}");
    assert_eq!(intake::take_up(other, other.client().now()).await.unwrap(), 1);
    let done = ended(other, id).await;
    assert_eq!(done.run, 2);
    assert_exact(other, &done, &file, 20_000, 2).await;
    assert_eq!(intake::take_up(one, later).await.unwrap(), 0, "what is done is not done again");
    assert_eq!(intake::look(one, id).await.unwrap(), done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_whose_process_is_gone_goes_on_behind_what_was_written_and_the_old_run_writes_nothing_more()
{
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    is_handed_over(&app, &app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_on_one_postgres_either_has_the_file_and_goes_on_for_the_other() {
    let (_server, address) = server::Server::on_loopback();
    let url = format!("postgres://windlass@{address}/postgres");
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (app_on(dir.path(), &url).await, app_on(dir.path(), &url).await);
    is_handed_over(&one, &other).await;
    // A file that one of them has taken in is imported by the other: its bytes come back as they were.
    let old = "name;email\r\nJos\u{e9};jose@example.org\r\n\"Z\u{eb}n\";zen@example.org\r\n";
    let file: Vec<u8> = old.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
    let id = bring(&one, &file).await.unwrap();
    let plan = proposed(&other, id).await;
    intake::begin(&other, id, plan, "other", "Bob").await.unwrap();
    let done = ended(&one, id).await;
    assert_eq!((done.progress.added, done.progress.bytes_done), (2, file.len() as u64), "{done:?}");
    let jose = everybody(&one).await.into_iter().find(|one| one.name == "José");
    assert!(jose.is_some(), "a letter that is no UTF-8 in the file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_file_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let file = people(1_500);
    for (added, updated) in [(1_500, 0), (0, 1_500)] {
        let id = start(&app, &file).await;
        let import = ended(&app, id).await;
        assert_eq!((import.progress.added, import.progress.updated), (added, updated));
    }
    let changed = "SELECT count(*) FROM contacts WHERE updated_at <> created_at";
    assert_eq!(app.db().read(move |tx| tx.count(changed, &[])).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opt_out_is_lifted_by_a_later_date_and_not_by_a_yes() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let opted_out = Time(1_772_323_200_000); // 2026-03-01
    let given = |revoked_at| Consent {
        channel: Channel::Sms,
        basis: "express_written".into(),
        proof: "https://example.com/form".into(),
        source: "form".into(),
        given_at: Time(1_000),
        revoked_at,
    };
    for (name, revoked_at) in [("out", Some(opted_out)), ("in", None)] {
        let new = NewContact {
            email: Some(format!("{name}@example.com")),
            consents: vec![given(revoked_at)],
            ..NewContact::default()
        };
        app.db().write(move |tx| contacts::upsert(tx, &new, Time(1_000))).await.unwrap();
    }
    let sms = async |cell: &str, email: &'static str| {
        let file = format!("email,sms consent\n{email},{cell}\n");
        let id = bring(&app, &file).await.unwrap();
        let mut plan = proposed(&app, id).await;
        plan.mapping =
            import::Mapping::new(["email", "consent.sms"].map(|word| word.parse().unwrap()).to_vec())
                .unwrap();
        intake::begin(&app, id, plan, "spring", "Ann").await.unwrap();
        assert_eq!(ended(&app, id).await.progress.updated, 1);
        consents_of(&app, email).await.remove(&Channel::Sms).unwrap()
    };
    assert_eq!(sms("yes", "out@example.com").await.revoked_at, Some(opted_out));
    assert_eq!(sms("2026-02-28", "out@example.com").await.revoked_at, Some(opted_out));
    let lifted = sms("2026-03-02", "out@example.com").await;
    assert_eq!((lifted.revoked_at, lifted.given_at), (None, Time(1_772_409_600_000)));
    assert_eq!(
        sms("yes", "in@example.com").await.proof,
        "https://example.com/form",
        "the better proof stays"
    );
    let refused = sms("no", "in@example.com").await;
    assert!(refused.revoked_at.is_some(), "a refusal counts in any case");
    assert_eq!(sms("yes", "in@example.com").await, refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_none_is_refused_when_it_comes_and_nothing_of_it_stays() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend((0..2_000_000_u32).map(|byte| byte as u8));
    let nuls = [b"email\n".to_vec(), vec![0; 700_000]].concat();
    for (file, said) in [
        (Vec::new(), "empty"),
        (b" \r\n\n".to_vec(), "empty"),
        (zip, "Excel"),
        (nuls, "NUL"),
        (vec![b'x'; 3_000_000], "longer than"),
        (b"\"email\nann@example.com\n".to_vec(), "line 1"),
    ] {
        let refused = bring(&app, &file).await.unwrap_err();
        assert!(matches!(refused, AppError::Invalid { field: "file", .. }), "{refused}");
        assert!(refused.to_string().contains(said), "{said}: {refused}");
    }
    // A sender who is cut off leaves nothing either.
    let cut = stream::iter([Ok(Bytes::from(people(50_000))), Err("the cable is out")]);
    let refused = intake::receive(&app, "people.csv", "Ann", cut).await.unwrap_err();
    assert!(refused.to_string().contains("the cable is out"), "{refused}");
    assert_eq!(intake::page(&app, ImportId(i64::MAX), 9).await.unwrap(), []);
    assert_eq!(pieces(&app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_does_not_fit_its_file_begins_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let id = bring(&app, people(10)).await.unwrap();
    let plan = proposed(&app, id).await;
    let email = || "email".parse().unwrap();
    let narrow = ImportPlan { mapping: import::Mapping::new(vec![email()]).unwrap(), ..plan.clone() };
    let baseless = ImportPlan { basis: "because".into(), ..plan.clone() };
    for (plan, list, field) in [(narrow, "x", "file"), (baseless, "x", "basis"), (plan.clone(), " ", "list")]
    {
        let refused = intake::begin(&app, id, plan, list, "Ann").await;
        assert!(matches!(&refused, Err(AppError::Invalid { field: at, .. }) if *at == field), "{refused:?}");
    }
    assert!(app.db().read(lists::all).await.unwrap().is_empty());
    intake::begin(&app, id, plan.clone(), "x", "Ann").await.unwrap();
    let twice = intake::begin(&app, id, plan.clone(), "x", "Ann").await;
    assert!(matches!(twice, Err(AppError::Conflict(_))), "{twice:?}");
    ended(&app, id).await;
    let none = intake::begin(&app, ImportId(99), plan, "x", "Ann").await;
    assert!(matches!(none, Err(AppError::Unknown { .. })), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_comes_back_to_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let mut unfinished = Receiving::begin(&app, "C:\\Users\\Ann\\list.csv", "Ann").await.unwrap();
    unfinished.take(people(40_000).as_bytes()).await.unwrap();
    drop(unfinished);
    let forgotten = bring(&app, people(3)).await.unwrap();
    let refused = start(&app, "email,name\nnobody,x\n").await;
    ended(&app, refused).await;
    let names: Vec<String> =
        intake::page(&app, ImportId(99), 9).await.unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["people.csv", "people.csv", "list.csv"]);

    let now = app.client().now();
    intake::sweep(&app, now).await.unwrap();
    assert_eq!(intake::page(&app, ImportId(99), 9).await.unwrap().len(), 3, "not yet");
    intake::sweep(&app, now.plus_ms(25 * 3_600_000)).await.unwrap();
    let left = intake::page(&app, ImportId(99), 9).await.unwrap();
    assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [refused, forgotten]);
    assert_eq!(left[1].status, ImportStatus::Cancelled);
    assert!(left[1].why.contains("within a day"), "{left:?}");
    assert_eq!(pieces(&app).await, 0);
    assert!(!intake::errors(&app, refused).await.unwrap().is_empty(), "refused rows stay for a month");

    // A cancelled upload takes nothing more.
    let mut ended_by_others = Receiving::begin(&app, "x.csv", "Ann").await.unwrap();
    intake::cancel(&app, intake::page(&app, ImportId(99), 1).await.unwrap()[0].id, "Bob").await.unwrap();
    let refused = ended_by_others.take(people(40_000).as_bytes()).await;
    assert!(matches!(refused, Err(AppError::Conflict(_))), "{refused:?}");
    assert_eq!(pieces(&app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_who_is_known_is_changed_filled_up_or_left_as_the_plan_says() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let file = "email,phone,name,plan,sms consent,email consent\n\
        ann@example.com,+12125550101,New,gold,2026-03-02,no\n";
    for (known, phone, name, plan, sms, email) in [
        (Known::Update, "+12125550101", "New", "gold", true, false),
        (Known::Fill, "+12125550100", "Ann", "gold", true, false),
        (Known::Keep, "+12125550100", "Ann", "", false, false),
    ] {
        let ann = NewContact {
            email: Some("ann@example.com".into()),
            phone: Some("+12125550100".into()),
            name: Some("Ann".into()),
            ..NewContact::default()
        };
        app.db()
            .write(move |tx| {
                tx.run("DELETE FROM list_members", &[])?;
                tx.run("DELETE FROM consents", &[])?;
                tx.run("DELETE FROM contacts", &[])?;
                contacts::upsert(tx, &ann, Time(1_000))
            })
            .await
            .unwrap();
        let id = bring(&app, file).await.unwrap();
        let chosen = ImportPlan { known, ..proposed(&app, id).await };
        intake::begin(&app, id, chosen, "spring", "Ann").await.unwrap();
        let import = ended(&app, id).await;
        assert_eq!((import.progress.added, import.progress.updated), (0, 1), "{import:?}");
        let ann = everybody(&app).await.remove(0);
        assert_eq!((ann.phone.as_deref(), ann.name.as_str()), (Some(phone), name), "{known}");
        assert_eq!(ann.fields.get("plan").map_or("", String::as_str), plan, "{known}");
        let consents = consents_of(&app, "ann@example.com").await;
        let agrees = |channel| consents.get(&channel).map(|one| one.revoked_at.is_none());
        assert_eq!(agrees(Channel::Sms).unwrap_or(false), sms, "{known}");
        assert_eq!(agrees(Channel::Email), Some(email), "a refusal counts: {known}");
        assert_eq!(on_list(&app, import.list.unwrap()).await, 1, "on the list in any case: {known}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_rows_are_tried_out_and_a_row_that_is_cut_off_is_not_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let id = bring(&app, "email,time zone\nann@example.com,Eastern\nbob@,\n").await.unwrap();
    let tried = intake::try_out(&app, id, &proposed(&app, id).await).await.unwrap();
    let [Tried::Contact(2, ann), Tried::Refused(bob)] = &tried[..] else { panic!("{tried:?}") };
    assert_eq!(ann.time_zone.as_deref(), Some("America/New_York"));
    assert_eq!((bob.line, bob.code.name()), (3, "bad_email"));
    assert!(everybody(&app).await.is_empty(), "nothing is written");

    let wide = format!(
        "email,note\nann@example.com,{}\nbob@example.com,{}\n",
        "x".repeat(3_000),
        "y".repeat(64_000)
    );
    let id = bring(&app, wide).await.unwrap();
    let tried = intake::try_out(&app, id, &proposed(&app, id).await).await.unwrap();
    assert!(matches!(&tried[..], [Tried::Contact(2, _)]), "{tried:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_contact_is_in_no_file_of_refused_rows() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let id = start(&app, people(3)).await;
    ended(&app, id).await;
    let file =
        "email;mobile;time zone\na1@example.com;;Nowhere\na2@example.com;;Nowhere\n;212 555 0100;Nowhere\n";
    let refused = start(&app, file).await;
    ended(&app, refused).await;
    assert_eq!(intake::errors(&app, refused).await.unwrap().lines().count(), 4);
    let a1 = everybody(&app).await[1].id;
    erasure::erase(&app, a1, "Ann").await.unwrap();
    let errors = intake::errors(&app, refused).await.unwrap();
    assert!(!errors.contains("a1@") && errors.contains("a2@"), "{errors}");
    assert_eq!(errors.lines().count(), 3, "headings and the others' rows: {errors}");
    assert_eq!(intake::look(&app, refused).await.unwrap().progress.refused, 3, "they stay counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_contact_is_not_imported_again_and_leaves_nothing_but_a_count() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let id = start(&app, people(3)).await;
    ended(&app, id).await;
    let before = everybody(&app).await;
    erasure::erase(&app, before[1].id, "Ann").await.unwrap();
    let again = start(&app, people(4)).await;
    let progress = ended(&app, again).await.progress;
    assert_eq!((progress.rows, progress.added, progress.updated, progress.refused), (4, 1, 2, 1));
    assert_eq!(progress.by_code, BTreeMap::from([("erased".to_owned(), 1)]));
    let list = intake::look(&app, again).await.unwrap().list.unwrap();
    assert_eq!(on_list(&app, list).await, 3);
    let email = before[1].email.as_deref().unwrap();
    assert!(everybody(&app).await.iter().all(|person| person.email.as_deref() != Some(email)));
    assert!(!intake::errors(&app, again).await.unwrap().contains(email), "no file names them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_erased_with_somebody_else_is_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let known = "email,mobile\nann@example.com,212 555 0100\ndora@example.com,212 555 0101\n";
    let first = start(&app, known).await;
    ended(&app, first).await;
    let ann = everybody(&app).await[0].id;
    erasure::erase(&app, ann, "Ann").await.unwrap();
    // Ann; two of her office, one of them twice; the number of somebody who is still there; a number of one's own.
    let file = "email,mobile\nann@example.com,212 555 0100\nbob@example.com,212 555 0100\ncarl@example.com,212 555 0100\n\
        bob@example.com,212 555 0100\neve@example.com,212 555 0101\nfay@example.com,212 555 0102\n";
    let again = start(&app, file).await;
    let progress = ended(&app, again).await.progress;
    let counted = |codes: &[(&str, u64)]| -> BTreeMap<String, u64> {
        codes.iter().map(|(code, rows)| ((*code).to_owned(), *rows)).collect()
    };
    assert_eq!((progress.rows, progress.added, progress.duplicates, progress.refused), (6, 4, 1, 1));
    assert_eq!(
        progress.by_code,
        counted(&[("duplicate", 1), ("erased", 1), ("number_erased", 2), ("number_kept", 1)])
    );
    let told = |codes: Vec<(&str, u64)>| counted(&codes);
    assert_eq!(told(progress.faults().collect()), counted(&[("duplicate", 1), ("erased", 1)]));
    assert_eq!(
        told(progress.without_number().collect()),
        counted(&[("number_erased", 2), ("number_kept", 1)])
    );
    assert_eq!(progress.in_file(), 1, "the row that stands twice");
    let phones: Vec<_> = everybody(&app).await.into_iter().filter_map(|one| one.phone).collect();
    assert_eq!(phones, ["+12125550101", "+12125550102"], "nobody has the number again");
}

/// Few addresses, so that contacts meet in every way that they can.
fn newcomer() -> impl Strategy<Value = NewContact> {
    let address = (proptest::option::of(0..4_u8), proptest::option::of(0..4_u8));
    let address = address.prop_filter("an address", |(email, phone)| email.is_some() || phone.is_some());
    (address, proptest::option::of("[AB]"), proptest::option::of("[xy]")).prop_map(
        |((email, phone), name, field)| NewContact {
            email: email.map(|n| format!("{}{n}@example.com", if n % 2 == 0 { "Ann" } else { "ann" })),
            phone: phone.map(|n| format!("+1212555010{n}")),
            name,
            fields: field.map(|value| ("plan".to_owned(), value)).into_iter().collect(),
            ..NewContact::default()
        },
    )
}

/// What a transaction came to that leaves nothing behind.
enum Undone {
    Came(Vec<Upserted>, Vec<Contact>),
    Db(DbError),
}

impl From<DbError> for Undone {
    fn from(error: DbError) -> Self {
        Undone::Db(error)
    }
}

#[test]
fn a_batch_does_what_its_contacts_do_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let db = runtime.block_on(Db::open(&dir.path().join("campaigns.db").display().to_string())).unwrap();
    let come_to = |before: &[NewContact], batch: &[NewContact], same: How, at_once: bool| {
        let (before, batch) = (before.to_vec(), batch.to_vec());
        let undone = db.write(move |tx| {
            for new in &before {
                contacts::upsert(tx, new, Time(1))?;
            }
            let mut upserted = Vec::new();
            for some in batch.chunks(if at_once { batch.len() } else { 1 }) {
                upserted.extend(contacts::upsert_all(tx, some, same, |_| true, Time(2))?.upserted);
            }
            Err::<(), _>(Undone::Came(upserted, contacts::page(tx, None, "", ContactId(0), 100)?))
        });
        match runtime.block_on(undone) {
            Err(Undone::Came(upserted, people)) => (upserted, people),
            Err(Undone::Db(error)) => panic!("{error}"),
            Ok(()) => unreachable!("it is always undone"),
        }
    };
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let few = |range| proptest::collection::vec(newcomer(), range);
    proptest::test_runner::TestRunner::new(config)
        .run(&(few(0..5), few(1..9)), |(before, batch)| {
            for same in [How::FORM, How::FILE] {
                prop_assert_eq!(come_to(&before, &batch, same, false), come_to(&before, &batch, same, true));
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn colleagues_with_one_number_stay_two_and_the_number_stays_with_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("campaigns.db").display().to_string()).await.unwrap();
    let person = |email: &str, phone: &str| NewContact {
        email: Some(email.to_owned()),
        phone: Some(phone.to_owned()),
        ..NewContact::default()
    };
    let both = [person("Ann@example.com", "+12125550100"), person("bob@example.com", "+12125550100")];
    let batch =
        db.write(move |tx| contacts::upsert_all(tx, &both, How::FILE, |_| true, Time(1))).await.unwrap();
    assert_eq!(batch.numbers_kept, 1);
    let people = db.read(|tx| contacts::page(tx, None, "", ContactId(0), 100)).await.unwrap();
    let addresses: Vec<_> = people.iter().map(|one| (one.email.as_deref(), one.phone.as_deref())).collect();
    assert_eq!(addresses, [(Some("ann@example.com"), Some("+12125550100")), (Some("bob@example.com"), None)]);
}
