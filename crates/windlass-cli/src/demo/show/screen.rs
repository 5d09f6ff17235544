//! The live view on a terminal.
//!
//! It takes the whole screen and gives it back however the demo ends: at its end, at Ctrl-C, at a panic.

use std::io;
use std::time::Duration;

use indicatif::HumanCount;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use super::{Bar, Scene};

/// Width of a campaign's title.
const TITLE_COLUMNS: usize = 22;
/// Width of the numbers behind a bar.
const NUMBERS_COLUMNS: usize = 18;

/// Lines of a terminal on which the parts of the view need not touch.
const ROOMY_LINES: u16 = 30;

/// The terminal while it is ours.
pub(in crate::demo) struct Screen {
    terminal: DefaultTerminal,
    open: bool,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        // Sets a panic hook too, which restores the terminal before the message is printed.
        Ok(Self { terminal: ratatui::try_init()?, open: true })
    }

    /// Draws the scene; true when somebody pressed Ctrl-C or q.
    pub(super) fn draw(&mut self, scene: &Scene) -> io::Result<bool> {
        self.terminal.draw(|frame| draw(frame, scene))?;
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
            {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                let wants_out = match key.code {
                    KeyCode::Char('c' | 'd') => control,
                    KeyCode::Char('q') | KeyCode::Esc => true,
                    _ => false,
                };
                if wants_out {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    pub(super) fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            ratatui::restore();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

fn draw(frame: &mut Frame<'_>, scene: &Scene) {
    // Everything fits into 24 lines; where there are more, the parts stand apart.
    let apart = u16::from(frame.area().height >= ROOMY_LINES);
    let [head, queues, campaigns, providers, notes] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(3),
        Constraint::Min(0),
    ])
    .spacing(apart)
    .areas(frame.area());
    draw_head(frame, head, scene);
    draw_queues(frame, queues, scene);
    draw_campaigns(frame, campaigns, scene);
    draw_providers(frame, providers, scene);
    draw_notes(frame, notes, scene);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, scene: &Scene) {
    let state = match scene.holdup() {
        Some(holdup) => Span::styled(format!(" {holdup} "), Style::new().fg(Color::Black).bg(Color::Yellow)),
        None => Span::styled(" at work ", Style::new().fg(Color::Black).bg(Color::Green)),
    };
    let seconds = scene.begun.elapsed().as_secs_f64();
    let title = Line::from(vec![
        Span::styled("windlass demo", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {}  {seconds:.1} s  ", scene.name)),
        state,
        Span::raw("  q ends it").dim(),
    ]);
    let text = format!("{} of {} messages", HumanCount(scene.deliveries), HumanCount(scene.messages));
    let rate = format!("  {}/s", HumanCount(scene.rate as u64));
    let width = usize::from(area.width).saturating_sub(text.len() + rate.len() + 2);
    let line = Line::from(
        vec![Span::raw(text), Span::raw(rate).cyan(), Span::raw("  ")]
            .into_iter()
            .chain(bar(scene.deliveries, scene.messages, width))
            .collect::<Vec<_>>(),
    );
    frame.render_widget(Paragraph::new(vec![title, line]), area);
}

fn draw_queues(frame: &mut Frame<'_>, area: Rect, scene: &Scene) {
    let header = ["queue", "at once", "running", "waiting", "retrying", "done", "done/s", "oldest", "dead"];
    let header = Row::new(header.map(Cell::new)).style(Style::new().add_modifier(Modifier::DIM));
    let rows = scene.beat.queues.iter().enumerate().map(|(nth, queue)| {
        let rate = scene.rates.get(nth).copied().unwrap_or_default();
        let dead = Cell::new(HumanCount(queue.dead).to_string());
        Row::new([
            Cell::new(queue.name.clone()),
            Cell::new(queue.concurrency.map_or_else(|| "-".to_owned(), |most| most.to_string())),
            Cell::new(queue.running.to_string()),
            Cell::new(HumanCount(queue.waiting).to_string()),
            Cell::new(HumanCount(queue.retrying).to_string()),
            Cell::new(HumanCount(queue.completed).to_string()),
            Cell::new(HumanCount(rate as u64).to_string()),
            Cell::new(age(queue.oldest_ms)),
            if queue.dead > 0 { dead.red() } else { dead },
        ])
    });
    let widths = [15, 7, 7, 8, 8, 8, 7, 7, 5].map(Constraint::Length);
    frame.render_widget(Table::new(rows, widths).header(header).block(titled("queues")), area);
}

fn draw_campaigns(frame: &mut Frame<'_>, area: Rect, scene: &Scene) {
    let title = format!("campaigns: {} of {} through", scene.campaigns_done, scene.campaigns());
    let width = usize::from(area.width).saturating_sub(TITLE_COLUMNS + NUMBERS_COLUMNS + 2);
    let lines: Vec<Line<'_>> = scene.bars.iter().map(|campaign| campaign_line(campaign, width)).collect();
    frame.render_widget(Paragraph::new(lines).block(titled(&title)), area);
}

fn campaign_line(campaign: &Bar, width: usize) -> Line<'static> {
    let mut spans = vec![Span::raw(format!("{:<TITLE_COLUMNS$} ", campaign.title))];
    spans.extend(bar(campaign.ended, campaign.contacts, width));
    let numbers = format!("{} of {}", HumanCount(campaign.ended), HumanCount(campaign.contacts));
    spans.push(Span::raw(format!(" {numbers}")));
    Line::from(spans)
}

fn draw_providers(frame: &mut Frame<'_>, area: Rect, scene: &Scene) {
    let line = |name: &'static str, counters: &windlass_doubles::Counters| {
        Line::from(format!(
            "{name:<16}{} taken, {} deferred, {} unavailable, {} replies lost, {} refused",
            HumanCount(counters.accepted),
            HumanCount(counters.deferred),
            HumanCount(counters.unavailable),
            HumanCount(counters.replies_dropped),
            HumanCount(counters.refused),
        ))
    };
    let lines = vec![line("mail server", &scene.mail), line("texts and calls", &scene.phone)];
    frame.render_widget(Paragraph::new(lines).block(titled("providers")), area);
}

fn draw_notes(frame: &mut Frame<'_>, area: Rect, scene: &Scene) {
    let lines: Vec<Line<'_>> = scene.notes.iter().map(|note| Line::from(note.as_str()).yellow()).collect();
    frame.render_widget(Paragraph::new(lines).block(titled("what happened")), area);
}

fn titled(title: &str) -> Block<'static> {
    Block::new().title(Line::from(title.to_owned()).bold().blue())
}

/// A bar of that width, filled as far as `done` is of `all`.
fn bar(done: u64, all: u64, width: usize) -> [Span<'static>; 2] {
    let filled = (u128::from(done.min(all)) * width as u128).checked_div(u128::from(all)).unwrap_or(0);
    let filled = usize::try_from(filled).unwrap_or(width);
    [Span::raw("█".repeat(filled)).green(), Span::raw("░".repeat(width - filled)).dim()]
}

fn age(ms: u64) -> String {
    match ms {
        0 => "-".to_owned(),
        ms if ms < 1_000 => format!("{ms} ms"),
        ms => format!("{:.1} s", Duration::from_millis(ms).as_secs_f64()),
    }
}
