//! Cron expressions in plain words, as far as they are plain: what most schedules say. Others are shown as they are.

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const DAY_NAMES: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The expression in words; none when it says more than words say well.
pub(crate) fn words(expression: &str) -> Option<String> {
    let expression = expression.trim();
    if let Some(name) = expression.strip_prefix('@') {
        return Some(match name.to_ascii_lowercase().as_str() {
            "hourly" => "every hour, on the hour".to_owned(),
            "daily" | "midnight" => "every day at 00:00".to_owned(),
            "weekly" => "every Sunday at 00:00".to_owned(),
            "monthly" => "on the first of every month at 00:00".to_owned(),
            "yearly" | "annually" => "on the first of January at 00:00".to_owned(),
            _ => return None,
        });
    }
    let parts: Vec<&str> = expression.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = parts[..] else { return None };
    let days = days(day, month, weekday)?;
    if let (Some(minute), Some(hour)) = (number(minute, 59), number(hour, 23)) {
        return Some(format!("{days} at {hour:02}:{minute:02}"));
    }
    let often = often(minute, hour)?;
    Some(if days == "every day" { often } else { format!("{often}, {days}") })
}

/// A plain number of that field.
fn number(text: &str, most: u32) -> Option<u32> {
    text.parse().ok().filter(|n| *n <= most && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A step: `*/15`.
fn step(text: &str) -> Option<u32> {
    text.strip_prefix("*/").and_then(|n| n.parse().ok()).filter(|n| *n > 0)
}

/// Several times a day.
fn often(minute: &str, hour: &str) -> Option<String> {
    let every =
        |n: u32, unit: &str| if n == 1 { format!("every {unit}") } else { format!("every {n} {unit}s") };
    match (minute, hour) {
        ("*", "*") => Some("every minute".to_owned()),
        (minute, "*") => match (step(minute).filter(|n| 60 % n == 0), number(minute, 59)) {
            (Some(n), _) => Some(every(n, "minute")),
            (_, Some(0)) => Some("every hour, on the hour".to_owned()),
            (_, Some(minute)) => Some(format!("every hour at minute {minute}")),
            _ => None,
        },
        (minute, hour) => {
            let (minute, n) = (number(minute, 59)?, step(hour).filter(|n| 24 % n == 0)?);
            Some(format!("{} at minute {minute}", every(n, "hour")))
        }
    }
}

/// Which days.
fn days(day: &str, month: &str, weekday: &str) -> Option<String> {
    match (day, month, weekday) {
        ("*", "*", "*") => Some("every day".to_owned()),
        ("*", "*", weekday) => weekdays(weekday),
        (day, "*", "*") => match (day, number(day, 31)?) {
            (_, 1) => Some("on the first of every month".to_owned()),
            (_, n) => Some(format!("on day {n} of every month")),
        },
        _ => None,
    }
}

fn weekdays(text: &str) -> Option<String> {
    let one = |text: &str| {
        let by_name = DAY_NAMES.iter().position(|name| name.eq_ignore_ascii_case(text));
        by_name.or_else(|| number(text, 7).map(|n| (n % 7) as usize)).map(|n| DAYS[n])
    };
    if let Some((from, to)) = text.split_once('-') {
        return Some(format!("{} to {}", one(from)?, one(to)?));
    }
    let days: Vec<&str> = text.split(',').map(one).collect::<Option<_>>()?;
    match days[..] {
        [] => None,
        [only] => Some(format!("every {only}")),
        [ref first @ .., last] => Some(format!("every {} and {last}", first.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_schedules_are_said_in_plain_words() {
        for (expression, said) in [
            ("* * * * *", "every minute"),
            ("*/15 * * * *", "every 15 minutes"),
            ("0 * * * *", "every hour, on the hour"),
            ("5 */6 * * *", "every 6 hours at minute 5"),
            ("30 2 * * *", "every day at 02:30"),
            ("0 9 * * MON-FRI", "Monday to Friday at 09:00"),
            ("0 9 * * 1,3,5", "every Monday, Wednesday and Friday at 09:00"),
            ("*/10 * * * 0", "every 10 minutes, every Sunday"),
            ("0 0 1 * *", "on the first of every month at 00:00"),
            ("0 6 15 * *", "on day 15 of every month at 06:00"),
            ("@daily", "every day at 00:00"),
        ] {
            assert_eq!(words(expression).as_deref(), Some(said), "{expression}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_as_it_is() {
        for expression in
            ["0 0 L * *", "*/7 * * * *", "0 9-17 * * *", "0 0 9 * * *", "0 0 1 1 MON", "0 9 * * +1", "x", ""]
        {
            assert_eq!(words(expression), None, "{expression}");
        }
    }
}
