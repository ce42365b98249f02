//! Cron expressions: five fields, or six with seconds first as Spin's cron trigger
//! has them, and when their time comes next.
//!
//! Fields are in a zone with a fixed offset from UTC, so no hour comes twice or
//! never. A day matches as in Vixie cron: if both its fields are restricted,
//! one of them is enough.

use std::{fmt, str::FromStr};

const MINUTES_PER_DAY: i64 = 24 * 60;
const MS_PER_SECOND: i64 = 1_000;
const SECONDS_PER_MINUTE: i64 = 60;
/// From one 29 February to the next it may take eight years.
const SEARCH_DAYS_MAX: i64 = 8 * 366;

/// A schedule such as `*/15 9-17 * * MON-FRI`, or `*/20 * * * * *`, every 20 seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    seconds: Set,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    /// Both day fields are restricted.
    either_day: bool,
}

/// Why a text is no schedule, as the end of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error(
        "has {0} fields; write five: minute, hour, day of month, month, day of week; or six, with the second before them"
    )]
    Fields(usize),
    #[error(
        "has \"{part}\" as its {field}, which takes {min} to {max}: numbers, `a-b`, `*`, `*/n`, `a-b/n` and lists of them"
    )]
    Field { field: &'static str, part: String, min: u32, max: u32 },
    #[error("never comes; no month of it has such a day")]
    Never,
}

/// Numbers below 64, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn contains(self, number: u32) -> bool {
        self.0.checked_shr(number).is_some_and(|bits| bits & 1 == 1)
    }

    /// The smallest member that is at least `number`.
    fn at_least(self, number: u32) -> Option<u32> {
        let bits = self.0.checked_shr(number)?;
        (bits != 0).then(|| number + bits.trailing_zeros())
    }
}

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Names of the numbers from `min` on.
    names: &'static [&'static str],
}

const SECOND: Field = Field { name: "second", min: 0, max: 59, names: &[] };
const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
const DAY: Field = Field { name: "day of month", min: 1, max: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
/// Sunday is both 0 and 7.
const WEEKDAY: Field =
    Field { name: "day of week", min: 0, max: 7, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] };

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let (second, [minute, hour, day, month, weekday]) = match *fields.as_slice() {
            [minute, hour, day, month, weekday] => ("0", [minute, hour, day, month, weekday]),
            [second, minute, hour, day, month, weekday] => (second, [minute, hour, day, month, weekday]),
            _ => return Err(CronError::Fields(fields.len())),
        };
        let mut weekdays = WEEKDAY.parse(weekday)?;
        if weekdays.contains(7) {
            weekdays.0 |= 1;
        }
        let cron = Self {
            text: fields.join(" "),
            seconds: SECOND.parse(second)?,
            minutes: MINUTE.parse(minute)?,
            hours: HOUR.parse(hour)?,
            days: DAY.parse(day)?,
            months: MONTH.parse(month)?,
            weekdays,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        match cron.next_after(0, 0) {
            Some(_) => Ok(cron),
            None => Err(CronError::Never),
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cron {
    /// The first time after `now_ms` that it names. Both are UTC, in milliseconds
    /// since 1970; `None` only past the end of time.
    #[must_use]
    pub fn next_after(&self, now_ms: i64, utc_offset_minutes: i32) -> Option<i64> {
        let offset = i64::from(utc_offset_minutes) * SECONDS_PER_MINUTE;
        let first = now_ms.div_euclid(MS_PER_SECOND).checked_add(offset + 1)?;
        let (minute, second) = (first.div_euclid(SECONDS_PER_MINUTE), first.rem_euclid(SECONDS_PER_MINUTE));
        let later_in_it = self.seconds.at_least(u32::try_from(second).ok()?);
        let (minute, second) = match (self.next_minute(minute)?, later_in_it) {
            (next, Some(second)) if next == minute => (next, second),
            (next, None) if next == minute => (self.next_minute(minute + 1)?, self.seconds.at_least(0)?),
            (next, _) => (next, self.seconds.at_least(0)?),
        };
        let local = minute.checked_mul(SECONDS_PER_MINUTE)?.checked_add(second.into())?;
        (local - offset).checked_mul(MS_PER_SECOND)
    }

    /// The first minute from `first` on; minutes are counted from 1970.
    fn next_minute(&self, first: i64) -> Option<i64> {
        let (first_day, mut minute) = (first.div_euclid(MINUTES_PER_DAY), first.rem_euclid(MINUTES_PER_DAY));
        for day in first_day..first_day.checked_add(SEARCH_DAYS_MAX)? {
            if self.includes_day(day)
                && let Some(minute) = self.minute_at_least(minute)
            {
                return day.checked_mul(MINUTES_PER_DAY)?.checked_add(minute);
            }
            minute = 0;
        }
        None
    }

    fn includes_day(&self, day: i64) -> bool {
        let (month, day_of_month) = month_and_day(day);
        let in_month = self.days.contains(day_of_month);
        // 1 January 1970 was a Thursday.
        let weekday = u32::try_from((day + 4).rem_euclid(7)).unwrap_or(0);
        let in_week = self.weekdays.contains(weekday);
        self.months.contains(month) && if self.either_day { in_month || in_week } else { in_month && in_week }
    }

    /// The first minute of a day, from `start` on.
    fn minute_at_least(&self, start: i64) -> Option<i64> {
        let start = u32::try_from(start).ok()?;
        let (start_hour, start_minute) = (start / 60, start % 60);
        let hour = self.hours.at_least(start_hour)?;
        let from = if hour == start_hour { start_minute } else { 0 };
        let (hour, minute) = match self.minutes.at_least(from) {
            Some(minute) => (hour, minute),
            None => (self.hours.at_least(hour + 1)?, self.minutes.at_least(0)?),
        };
        Some(i64::from(hour * 60 + minute))
    }
}

impl Field {
    fn parse(&self, text: &str) -> Result<Set, CronError> {
        let mut set = Set(0);
        for part in text.split(',') {
            let (start, end, step) = self.range(part).ok_or_else(|| CronError::Field {
                field: self.name,
                part: part.to_owned(),
                min: self.min,
                max: self.max,
            })?;
            for number in (start..=end).step_by(step) {
                set.0 |= 1 << number;
            }
        }
        Ok(set)
    }

    fn range(&self, part: &str) -> Option<(u32, u32, usize)> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(digits(step)?)),
            None => (part, None),
        };
        let (start, end) = match range.split_once('-') {
            Some((start, end)) => (self.number(start)?, self.number(end)?),
            None if range == "*" => (self.min, self.max),
            // `5/10` means different things to different crons.
            None if step.is_some() => return None,
            None => (self.number(range)?, self.number(range)?),
        };
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        (start <= end && step > 0).then_some((start, end, step))
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().zip(self.min..);
        for (name, number) in named {
            if name.eq_ignore_ascii_case(text) {
                return Some(number);
            }
        }
        digits(text).filter(|number| (self.min..=self.max).contains(number))
    }
}

fn digits(text: &str) -> Option<u32> {
    let valid = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| text.parse().ok()).flatten()
}

/// Month and day of month, both from 1, of a day counted from 1970 in the
/// Gregorian calendar. Years are taken to begin in March, so that the day that
/// some of them lack is their last.
fn month_and_day(day: i64) -> (u32, u32) {
    const DAYS_PER_400_YEARS: i64 = 146_097;
    const DAYS_FROM_MARCH_YEAR_0: i64 = 719_468;
    let day = (day + DAYS_FROM_MARCH_YEAR_0).rem_euclid(DAYS_PER_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (u32::try_from(month).unwrap_or(0), u32::try_from(day_of_month).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `2026-11-22T09:30` in UTC as milliseconds, by counting days.
    fn at(text: &str) -> i64 {
        let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
        let (year, month, day) = (number(0..4), number(5..7), number(8..10));
        let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let years: i64 = (1970..year).map(|year| 365 + i64::from(leap(year))).sum();
        let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let months: i64 = lengths[..usize::try_from(month - 1).unwrap()].iter().sum();
        let minutes = (years + months + day - 1) * 1440 + number(11..13) * 60 + number(14..16);
        minutes * 60_000
    }

    fn check(cron: &str, offset: i32, now: &str, next: &str) {
        let cron: Cron = cron.parse().unwrap();
        assert_eq!(cron.next_after(at(now), offset), Some(at(next)), "{cron} after {now}");
    }

    #[test]
    fn the_next_time_is_always_later_than_now() {
        check("* * * * *", 0, "2026-11-22T09:30", "2026-11-22T09:31");
        check("30 9 * * *", 0, "2026-11-22T09:30", "2026-11-23T09:30");
        check("30 9 * * *", 0, "2026-11-22T09:29", "2026-11-22T09:30");
        let cron: Cron = "30 9 * * *".parse().unwrap();
        let just_before = at("2026-11-22T09:30") - 1;
        assert_eq!(cron.next_after(just_before, 0), Some(at("2026-11-22T09:30")));
    }

    #[test]
    fn a_sixth_field_before_the_others_is_the_second() {
        let next = |cron: &str, after_ms: i64| {
            let cron: Cron = cron.parse().unwrap();
            let now = at("2026-11-22T09:30");
            cron.next_after(now + after_ms, 330).map(|next| next - now)
        };
        assert_eq!(next("*/20 * * * * *", -1), Some(0));
        assert_eq!(next("*/20 * * * * *", 0), Some(20_000));
        assert_eq!(next("*/20 * * * * *", 39_999), Some(40_000));
        assert_eq!(next("*/20 * * * * *", 40_000), Some(60_000));
        assert_eq!(next("5,30 */15 * * * *", 30_000), Some(15 * 60_000 + 5_000));
        assert_eq!(next("0 0 15 * * *", 0), next("0 15 * * *", 0));
    }

    #[test]
    fn steps_ranges_and_lists_combine() {
        check("*/15 * * * *", 0, "2026-11-22T09:46", "2026-11-22T10:00");
        check("5,10-12 * * * *", 0, "2026-11-22T09:10", "2026-11-22T09:11");
        check("10-40/20 * * * *", 0, "2026-11-22T09:11", "2026-11-22T09:30");
        check("0 9-17/4 * * *", 0, "2026-11-22T14:00", "2026-11-22T17:00");
    }

    #[test]
    fn minutes_that_are_over_move_on_to_the_next_hour_and_day() {
        check("10 * * * *", 0, "2026-11-22T23:10", "2026-11-23T00:10");
        check("10 8,20 * * *", 0, "2026-11-22T20:11", "2026-11-23T08:10");
        check("0 0 1 * *", 0, "2026-12-15T00:00", "2027-01-01T00:00");
    }

    #[test]
    fn weekdays_have_numbers_and_names_and_sunday_has_two() {
        // 22 November 2026 is a Sunday.
        check("0 0 * * MON", 0, "2026-11-22T09:30", "2026-11-23T00:00");
        check("0 0 * * 1-5", 0, "2026-11-27T00:00", "2026-11-30T00:00");
        check("0 12 * * 0", 0, "2026-11-22T09:30", "2026-11-22T12:00");
        check("0 12 * * 7", 0, "2026-11-22T09:30", "2026-11-22T12:00");
        check("0 12 * * fri-7", 0, "2026-11-23T00:00", "2026-11-27T12:00");
    }

    #[test]
    fn of_two_restricted_day_fields_one_is_enough() {
        check("0 0 13 * FRI", 0, "2026-11-22T00:00", "2026-11-27T00:00");
        check("0 0 24 * FRI", 0, "2026-11-22T00:00", "2026-11-24T00:00");
        check("0 0 13 * *", 0, "2026-11-22T00:00", "2026-12-13T00:00");
        check("0 0 */2 * FRI", 0, "2026-11-22T00:00", "2026-11-27T00:00");
    }

    #[test]
    fn fields_are_in_the_zone_of_the_offset() {
        check("30 9 * * *", 330, "2026-11-22T03:59", "2026-11-22T04:00");
        check("0 1 * * *", 330, "2026-11-22T09:30", "2026-11-22T19:30");
        check("0 20 * * *", -480, "2026-11-22T09:30", "2026-11-23T04:00");
        check("0 0 1 1 *", 330, "2026-11-22T09:30", "2026-12-31T18:30");
    }

    #[test]
    fn a_leap_day_is_found_however_far_it_is() {
        check("0 0 29 2 *", 0, "2026-11-22T09:30", "2028-02-29T00:00");
        check("0 0 29 FEB *", 0, "2096-03-01T00:00", "2104-02-29T00:00");
    }

    #[test]
    fn what_cannot_be_a_schedule_is_refused() {
        for text in [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "a * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "1/5 * * * *",
            "1,,2 * * * *",
            "-1 * * * *",
            "+1 * * * *",
            "* * * FOO *",
            "* * * * MON-",
            "1-2-3 * * * *",
            "* * ? * *",
            "001 * * * *",
        ] {
            let error = text.parse::<Cron>().unwrap_err();
            assert!(matches!(error, CronError::Field { .. }), "{text}: {error}");
        }
        assert_eq!("* * * *".parse::<Cron>(), Err(CronError::Fields(4)));
        assert_eq!("0 0 * * * * *".parse::<Cron>(), Err(CronError::Fields(7)));
        assert_eq!("@daily".parse::<Cron>(), Err(CronError::Fields(1)));
        assert_eq!("0 0 31 2,4 *".parse::<Cron>(), Err(CronError::Never));
    }

    #[test]
    fn an_error_says_which_field_and_what_it_takes() {
        let error = "0 25 * * *".parse::<Cron>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "has \"25\" as its hour, which takes 0 to 23: numbers, `a-b`, `*`, `*/n`, `a-b/n` and lists of them"
        );
    }

    /// Goes minute by minute: slow, and too simple to be wrong in the same way.
    fn next_by_counting(cron: &Cron, now_ms: i64) -> Option<i64> {
        let first = now_ms.div_euclid(60_000) + 1;
        (first..first + 3 * 1440).map(|minute| minute * 60_000).find(|time| {
            let minute = time / 60_000;
            let of_day = u32::try_from(minute.rem_euclid(1440)).unwrap();
            cron.includes_day(minute.div_euclid(1440))
                && cron.hours.contains(of_day / 60)
                && cron.minutes.contains(of_day % 60)
        })
    }

    proptest! {
        #[test]
        fn no_time_is_missed(minute in 0..60u32, step in 1..30u32, hour in 0..24u32, now in 0..4_000_000_000_000i64) {
            for text in [format!("{minute} */{step} * * *"), format!("*/{step} {hour} * * *")] {
                let Ok(cron) = text.parse::<Cron>() else { continue };
                prop_assert_eq!(cron.next_after(now, 0), next_by_counting(&cron, now));
            }
        }

        #[test]
        fn any_text_is_either_a_schedule_or_an_error(text in "[0-9*/,a-zA-Z -]{0,24}", now: i64) {
            if let Ok(cron) = text.parse::<Cron>() {
                let next = cron.next_after(now, 330);
                prop_assert!(next.is_none_or(|next| next > now));
            }
        }
    }
}
