//! The application in a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
};

use windlass_campaigns::{
    app::{App, Options},
    db::{self, Db},
    flow::verbs,
    intake,
    model::{
        CampaignId, ImportId,
        import::{ImportPlan, ImportStatus},
    },
};

const DATABASE: &str = "WINDLASS_TEST_CAMPAIGNS_DATABASE";
const QUEUE: &str = "WINDLASS_TEST_CAMPAIGNS_QUEUE";
/// A campaign to launch; without one it works.
const LAUNCH: &str = "WINDLASS_TEST_CAMPAIGNS_LAUNCH";
/// An import to begin, or to go on with.
const IMPORT: &str = "WINDLASS_TEST_CAMPAIGNS_IMPORT";
/// What it says when it begins.
const BEGINS: &str = "it begins";

/// What this process is, if it was started to be the application.
pub(crate) fn asked_for() -> Option<ExitCode> {
    let (database, queue) = (std::env::var(DATABASE).ok()?, std::env::var(QUEUE).ok()?);
    let import = std::env::var(IMPORT).ok().map(|id| ImportId(id.parse().unwrap()));
    let launch = std::env::var(LAUNCH).ok().map(|id| CampaignId(id.parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let db = Db::open(&database).await.unwrap();
        let client = windlass::open(&queue).await.unwrap();
        let app = App::open(db, client, Options::default()).await.unwrap();
        let _relaying = db::relay(app.db(), app.client()).unwrap();
        println!("{BEGINS}");
        match (launch, import) {
            (Some(id), _) => drop(verbs::launch_without_preflight(&app, id, "test").await.unwrap()),
            (None, Some(id)) => begin_or_go_on(&app, id).await,
            (None, None) => std::mem::forget(app.work().await.unwrap()),
        }
        std::future::pending::<()>().await;
    });
    None
}

async fn begin_or_go_on(app: &App, id: ImportId) {
    if intake::look(app, id).await.unwrap().status == ImportStatus::Waiting {
        let preview = intake::look_at(app, id, None).await.unwrap();
        let plan = ImportPlan::new(preview.format, preview.mapping().unwrap());
        intake::begin(app, id, plan, "spring", "test").await.unwrap();
        return;
    }
    // As if half a minute had gone by since the process before this one was killed.
    intake::take_up(app, app.client().now().plus_ms(31_000)).await.unwrap();
}

/// An application that is killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(dir: &Path, launch: Option<CampaignId>) -> Self {
        let launch = launch.map(|id| (LAUNCH, id.to_string()));
        Self::with(dir, launch)
    }

    /// One that begins that import, or goes on with it.
    pub(crate) fn importing(dir: &Path, id: ImportId) -> Self {
        Self::with(dir, Some((IMPORT, id.to_string())))
    }

    fn with(dir: &Path, task: Option<(&str, String)>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(DATABASE, database(dir)).env(QUEUE, queue(dir)).envs(task);
        // What a panic says goes where the test's own output goes.
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the application starts");
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// Waits until it begins with what it was started for.
    pub(crate) fn until_it_begins(&mut self) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), BEGINS, "it began");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which the test finds out by what is missing.
        let _ = self.child.kill();
        self.child.wait().expect("our own child");
    }
}

pub(crate) fn database(dir: &Path) -> String {
    format!("sqlite:{}", dir.join("campaigns.db").display())
}

pub(crate) fn queue(dir: &Path) -> String {
    format!("file:{}", dir.join("queue").display())
}
