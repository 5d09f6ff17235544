//! Files of contacts into a database: what becomes of every row, and of an import that is left in the middle.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
    path::Path,
    sync::mpsc,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use windlass::Time;
use windlass_campaigns::{
    app::{App, AppError, Options},
    channel::Channel,
    db::{Db, DbError},
    import,
    intake::{self, Upload},
    model::{
        ContactId, ImportId, ListId,
        contact::{Consent, Contact},
        import::{Import, ImportPlan, ImportStatus},
    },
    store::{
        contacts::{self, NewContact, SameNumber, Upserted},
        lists,
    },
};

/// What has not come by then never will.
const DEADLINE: Duration = Duration::from_secs(60);

async fn app_in(dir: &Path) -> App {
    let client = windlass::open(&format!("file:{}", dir.join("queue").display())).await.unwrap();
    let db = Db::open(&format!("sqlite:{}", dir.join("campaigns.db").display())).await.unwrap();
    App::open(db, client, Options::default()).await.unwrap()
}

fn upload(file: &str, source: Box<dyn Read + Send>) -> Upload {
    let head = &file.as_bytes()[..file.len().min(import::SNIFF_BYTES)];
    let preview = import::sniff(head, None).unwrap();
    let plan = ImportPlan::new(preview.format, preview.mapping().unwrap());
    Upload { name: "people.csv".into(), bytes: file.len() as u64, source, plan, list: "spring".into() }
}

fn whole(file: &str) -> Box<dyn Read + Send> {
    Box::new(Cursor::new(file.to_owned().into_bytes()))
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
    until(app, id, |import| import.status != ImportStatus::Running).await
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
    let id = intake::start(&app, upload(&file, whole(&file)), "Ann").await.unwrap();
    let import = ended(&app, id).await;
    assert_eq!((import.status, import.percent(), import.why.as_str()), (ImportStatus::Done, 100, ""));
    let progress = &import.progress;
    assert_eq!(progress.by_code.iter().map(|(code, n)| (&**code, *n)).collect::<BTreeMap<_, _>>(), expected);
    assert_eq!((progress.rows, progress.added, progress.updated), (10_000, 9_400, 0));
    assert_eq!((progress.duplicates, progress.refused), (100, 500));
    assert_eq!(progress.bytes_done, file.len() as u64);
    assert_eq!(on_list(&app, import.list).await, 9_400);

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
    let id = intake::start(&app, upload(&mended, whole(&mended)), "Ann").await.unwrap();
    let again = ended(&app, id).await;
    assert_eq!((again.progress.added, again.progress.refused), (100, 400), "{again:?}");
    assert_eq!(again.progress.updated, 100, "the duplicates are known");
}

/// A file of which the second half comes when the test says so.
struct Gated {
    first: Cursor<Vec<u8>>,
    gate: mpsc::Receiver<()>,
    rest: Cursor<Vec<u8>>,
    /// Goes with the file, when nobody reads it any more.
    _read: mpsc::Sender<()>,
}

impl Read for Gated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.first.read(buffer)?;
        if read > 0 {
            return Ok(read);
        }
        let _ = self.gate.recv();
        self.rest.read(buffer)
    }
}

fn people(count: usize) -> String {
    let rows = (0..count).map(|nth| format!("a{nth}@example.com,Ann Nr{nth}\n"));
    "email,name\n".to_owned() + &rows.collect::<String>()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_whose_process_is_gone_is_interrupted_and_done_again_while_the_old_one_writes_nothing_more()
{
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let file = people(5_000);
    let half = file.len() / 2;
    let (open_gate, gate) = mpsc::channel();
    let (_read, is_read) = mpsc::channel();
    let gated = Gated {
        first: Cursor::new(file.as_bytes()[..half].to_vec()),
        gate,
        rest: Cursor::new(file.as_bytes()[half..].to_vec()),
        _read,
    };
    let id = intake::start(&app, upload(&file, Box::new(gated)), "Ann").await.unwrap();
    let running = until(&app, id, |import| import.progress.added >= 2_000).await;
    assert_eq!(running.status, ImportStatus::Running);
    assert!((1..100).contains(&running.percent()), "{running:?}");
    let refused = intake::again(&app, id, whole(&file), file.len() as u64, "Ann").await;
    assert!(matches!(refused, Err(AppError::Conflict(_))), "{refused:?}");

    // Half a minute later nobody has seen it.
    assert_eq!(intake::mark_lost(&app, app.client().now()).await.unwrap(), 0);
    let later = app.client().now().plus_ms(31_000);
    assert_eq!(intake::mark_lost(&app, later).await.unwrap(), 1);
    let interrupted = intake::look(&app, id).await.unwrap();
    assert_eq!(interrupted.status, ImportStatus::Interrupted);
    assert_eq!(interrupted.progress.added, 2_000, "what it has done is told");
    assert_eq!(everybody(&app).await.len(), 2_000);

    intake::again(&app, id, whole(&file), file.len() as u64, "Bob").await.unwrap();
    let done = ended(&app, id).await;
    assert_eq!((done.status, done.run), (ImportStatus::Done, 2));
    assert_eq!((done.progress.added, done.progress.updated), (3_000, 2_000));
    assert_eq!((everybody(&app).await.len(), on_list(&app, done.list).await), (5_000, 5_000));

    // The old run finds out at its next batch, and lets the file go.
    open_gate.send(()).unwrap();
    drop(open_gate);
    tokio::task::spawn_blocking(move || is_read.recv_timeout(DEADLINE)).await.unwrap().unwrap_err();
    assert_eq!(intake::look(&app, id).await.unwrap(), done);
    let refused = intake::again(&app, id, whole(&file), file.len() as u64, "Bob").await;
    assert!(matches!(refused, Err(AppError::Conflict(_))), "what is done is not done again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_file_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let file = people(1_500);
    for (added, updated) in [(1_500, 0), (0, 1_500)] {
        let id = intake::start(&app, upload(&file, whole(&file)), "Ann").await.unwrap();
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
        let mut upload = upload(&file, whole(&file));
        upload.plan.mapping =
            import::Mapping::new(["email", "consent.sms"].map(|word| word.parse().unwrap()).to_vec())
                .unwrap();
        let id = intake::start(&app, upload, "Ann").await.unwrap();
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
async fn a_file_that_is_none_is_refused_before_anything_is_written_and_one_that_ends_badly_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let app = app_in(dir.path()).await;
    let file = people(10);
    let mut bad = upload(&file, whole("email\n"));
    bad.list = "other".into();
    let refused = intake::start(&app, bad, "Ann").await;
    assert!(matches!(&refused, Err(AppError::Invalid { field: "file", .. })), "{refused:?}");
    let listed = app.db().read(lists::all).await.unwrap();
    assert!(listed.is_empty(), "{listed:?}");

    let longer = file.clone() + &people(2_000);
    let id = intake::start(&app, upload(&file, whole(&longer)), "Ann").await;
    let id = match id {
        Ok(id) => id,
        // The head alone may be longer than was said.
        Err(error) => return assert!(error.to_string().contains("longer than was said"), "{error}"),
    };
    let import = ended(&app, id).await;
    assert_eq!(import.status, ImportStatus::Failed);
    assert!(import.why.contains("longer than was said"), "{import:?}");
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
    let come_to = |before: &[NewContact], batch: &[NewContact], same: SameNumber, at_once: bool| {
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
            for same in [SameNumber::SamePerson, SameNumber::Colleague] {
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
    let batch = db
        .write(move |tx| contacts::upsert_all(tx, &both, SameNumber::Colleague, |_| true, Time(1)))
        .await
        .unwrap();
    assert_eq!(batch.numbers_kept, 1);
    let people = db.read(|tx| contacts::page(tx, None, "", ContactId(0), 100)).await.unwrap();
    let addresses: Vec<_> = people.iter().map(|one| (one.email.as_deref(), one.phone.as_deref())).collect();
    assert_eq!(addresses, [(Some("ann@example.com"), Some("+12125550100")), (Some("bob@example.com"), None)]);
}
