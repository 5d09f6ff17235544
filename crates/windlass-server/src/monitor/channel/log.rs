//! Lines of the server's own log.

use windlass_api::monitor::{Incident, Notice};

/// Writes one line for each finding, with the target `alert`.
pub(super) fn send(channel: &str, notice: &Notice) {
    let data = &notice.data;
    let line = |word: &str, incident: &Incident| {
        let Incident { rule, subject, text, page, .. } = incident;
        let severity = incident.severity.as_str();
        tracing::warn!(target: "alert", channel, severity, rule, page, "{word}: {subject} {text}");
    };
    data.firing.iter().for_each(|incident| line("firing", incident));
    data.reminded.iter().for_each(|incident| line("still firing", incident));
    data.recovered.iter().for_each(|incident| line("recovered", incident));
    if data.left_out > 0 {
        tracing::warn!(target: "alert", channel, "and {} more", data.left_out);
    }
}
