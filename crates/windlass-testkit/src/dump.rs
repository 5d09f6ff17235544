//! All of a store that people can see, to compare two stores or one with itself.

use crate::subject::Subject;
use std::collections::BTreeMap;
use windlass_core::event::Event;
use windlass_core::job::JobDetail;
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Counts, Filter, GroupInfo, LimitInfo, Totals};
use windlass_core::{JobId, Time};

/// Everything that people can see of a store.
#[derive(Debug, PartialEq)]
pub struct Dump {
    /// Every job, in full.
    pub jobs: BTreeMap<JobId, JobDetail>,
    /// Settings, counts, totals and oldest ready time by queue.
    pub queues: BTreeMap<String, (QueueSettings, Counts, Totals, Option<Time>)>,
    /// Groups that have jobs or settings of their own, by queue.
    pub groups: BTreeMap<String, Vec<GroupInfo>>,
    /// Named limits, without who waits for them.
    pub limits: Vec<LimitInfo>,
    /// The whole event log.
    pub events: Vec<Event>,
}

/// What there is to see now.
pub fn dump(s: &Subject) -> Dump {
    let ids = s.list(&Filter::default());
    let infos = s.wait(s.store().queues(None, s.at()));
    let groups = infos.iter().map(|info| {
        let mut page = s.wait(s.store().groups(info.name.clone(), None, 1_000)).items;
        // Said to count from when the group came into memory, and empty groups come and go.
        page.iter_mut().for_each(|group| group.claimed = 0);
        page.retain(|group| group.own_settings || group.counts.0 != [0; 8]);
        (info.name.to_string(), page)
    });
    let groups = groups.collect();
    let mut limits = s.wait(s.store().limits(None, 1_000)).items;
    // Who waits where is found out again by the next claims.
    limits.iter_mut().for_each(|limit| (limit.waiting_lanes, limit.closed_until) = (0, None));
    let queue = |info: windlass_core::store::QueueInfo| {
        (info.name.to_string(), (info.settings, info.counts, info.totals, info.oldest_ready))
    };
    Dump {
        jobs: ids.into_iter().map(|id| (id, s.get(id))).collect(),
        queues: infos.into_iter().map(queue).collect(),
        groups,
        limits,
        events: s.events(),
    }
}
