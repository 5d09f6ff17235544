//! How far a day is, as the application's database says: what its pages show, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use windlass_campaigns::app::AppError;
use windlass_campaigns::db::Db;
use windlass_campaigns::model::CampaignId;
use windlass_campaigns::model::campaign::{CampaignStatus, EnrolmentStatus};
use windlass_campaigns::store::{campaigns, enrolments};

use super::day::Day;
use crate::fault::Fault;

/// How often the database is asked; counting a hundred thousand contacts takes some milliseconds.
const EVERY: Duration = Duration::from_millis(400);

/// The progress of a day; it is followed until this is dropped.
pub(super) struct Progress {
    now: Arc<Mutex<Vec<CampaignProgress>>>,
    task: JoinHandle<()>,
}

/// The progress of one campaign.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CampaignProgress {
    /// Contacts who have come to the end of the sequence.
    pub(super) ended: u64,
    /// Whether all have.
    pub(super) is_done: bool,
}

impl Progress {
    /// Follows the campaigns of a day.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub(super) async fn follow(database: &str, day: &Day) -> Result<Self, Fault> {
        let db = Db::open(database).await.map_err(AppError::from)?;
        let ids: Vec<CampaignId> = day.campaigns.iter().map(|campaign| campaign.id).collect();
        let now = Arc::new(Mutex::new(vec![CampaignProgress::default(); ids.len()]));
        let kept = Arc::clone(&now);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                let asked = ids.clone();
                let looked = db.read(move |tx| {
                    asked
                        .iter()
                        .map(|id| {
                            let status = campaigns::get(tx, *id)?.map(|campaign| campaign.status);
                            let counts = enrolments::counts(tx, *id)?;
                            let ended =
                                counts.iter().filter(|(status, _)| *status != EnrolmentStatus::Active);
                            let ended = ended.map(|(_, count)| u64::try_from(*count).unwrap_or(0)).sum();
                            Ok(CampaignProgress { ended, is_done: status == Some(CampaignStatus::Done) })
                        })
                        .collect::<Result<Vec<_>, AppError>>()
                });
                // A database that is busy is asked again.
                if let Ok(looked) = looked.await {
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = looked;
                }
            }
        });
        Ok(Self { now, task })
    }

    /// The campaigns' progress, in the order of the day.
    pub(super) fn now(&self) -> Vec<CampaignProgress> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every campaign is done.
    pub(super) fn is_through(&self) -> bool {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).iter().all(|campaign| campaign.is_done)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
    }
}
